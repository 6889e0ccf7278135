"""How the shared words are laid out in XML: one table behind writing and reading.

Element names are those of ISO 20022 and CNAPS2; the layouts and the schemas beside them (folder
``schemas``, one file per message) are our own, because the official ones are not openly licensed.
A channel's own ``shapes.py`` picks from ``SHARED`` what it speaks and adds its payments.

The signature element ``Sgntr`` is optional in the shared schemas: IBPS carries it, HVPS and BEPS
sign in the block before the body; ``codec.py`` holds each channel to its own place.
Read next: ``layout.py`` (what the nodes do), ``codec.py`` (who uses the table).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.layout import (
    Amount,
    Inner,
    Many,
    Node,
    Part,
    code,
    day,
    flag,
    instant,
    maybe,
    maybe_instant,
    number,
    text,
)
from caiwutong.rails.contract import AccountAtBank
from caiwutong.rails.xml import Schema

SCHEMAS = Path(__file__).with_name("schemas")

LINE_KINDS = {
    "payment": "PYMT",
    "incoming": "INCM",
    "return": "RTRN",
    "fee": "FEES",
    "interest": "INTR",
    "opening": "OPNG",
    "other": "OTHR",
}
"""Kind of a statement line and its code on the wire (own)."""

GROUP_HEADER = Part(
    "GrpHdr",
    text("MsgTp", "kind"),
    text("MsgId", "message_id"),
    instant("CreDtTm", "at"),
    text("InstgDrctPty", "sender"),
    text("InstdDrctPty", "receiver"),
)
"""Repeats the header inside the signature: the header itself is not signed."""


class Shape(msgspec.Struct, frozen=True):
    """One message: its type, its element under ``Document``, its nodes and its schema."""

    kind: str
    word: Any
    root: str
    nodes: tuple[Node, ...]
    schema: Schema
    signed: bool = True


def shapes_in(folder: Path) -> Callable[..., Shape]:
    """A maker of shapes whose schemas lie in this folder, each named by its message type."""

    def shape(kind: str, word: Any, root: str, *nodes: Node, signed: bool = True) -> Shape:
        return Shape(kind, word, root, nodes, Schema(folder / f"{kind}.xsd"), signed)

    return shape


def account(field: str, side: str) -> Node:
    """A party with its account and bank; ``side`` is ``Dbtr`` or ``Cdtr``."""
    return Inner(
        field,
        AccountAtBank,
        Part(side, text("Nm", "name")),
        Part(f"{side}Acct", text("Id", "account")),
        Part(f"{side}Agt", text("Id", "bank_code"), maybe("Nm", "bank_name")),
    )


def original(field: str = "original") -> Node:
    """What a message is about; may be absent where the word's field is None."""
    return Inner(
        field,
        m.Original,
        text("OrgnlMsgId", "message_id"),
        text("OrgnlInstgPty", "sender"),
        text("OrgnlMT", "kind"),
        maybe("OrgnlTxId", "transaction_id"),
        tag="OrgnlGrpHdr",
        width=4,
    )


QUERY = Part("OrgnlBizQry", text("MsgId", "answers"))
RESULT = text("PrcCd", "result")
STATUS = text("PrcSts", "status")
REASON = maybe("RjctCd", "reason")
WORDS = maybe("AddtlInf", "words")

ENQUIRY: tuple[Node, ...] = (original(),)
ENQUIRY_ANSWER: tuple[Node, ...] = (
    QUERY,
    original(),
    RESULT,
    maybe("PrcSts", "status"),
    REASON,
    maybe_instant("PrcDtTm", "changed_at"),
    maybe("NetgRnd", "round_id"),
    WORDS,
)
REVOCATION: tuple[Node, ...] = (original(), WORDS)
REVOCATION_ANSWER: tuple[Node, ...] = (QUERY, original(), STATUS, REASON, WORDS)
"""Four layouts that IBPS and the ccms messages have in common under different types."""

_ACCOUNT: tuple[Node, ...] = (
    Part("Acct", text("Id", "account")),
    Part("AcctSvcr", text("Id", "bank_code")),
)
_NOTICE: tuple[Node, ...] = (
    text("NetgRnd", "round_id"),
    text("PrcSts", "status"),
    instant("PrcDtTm", "at"),
    day("ClrDt", "clearing_day"),
    Amount("NetAmt", "net_fen", direction="CdtDbtInd"),
    Many(
        "Txs",
        "Tx",
        "payments",
        m.NettedPayment,
        text("OrgnlMsgId", "message_id"),
        text("OrgnlInstgPty", "sender"),
        text("OrgnlMT", "kind"),
        maybe("OrgnlTxId", "transaction_id"),
        Amount("Amt", "amount_fen", direction="CdtDbtInd"),
    ),
)
_LINE: tuple[Node, ...] = (
    text("NtryRef", "line_id"),
    instant("BookgDtTm", "booked_at"),
    day("ValDt", "value_date"),
    Amount("Amt", "amount_fen", direction="CdtDbtInd"),
    Amount("Bal", "balance_after_fen", direction="BalCdtDbtInd"),
    code("BkTxCd", "kind", LINE_KINDS),
    maybe("OrgnlMsgId", "reference"),
    maybe("CtrPtyNm", "counterparty_name"),
    maybe("CtrPtyAcct", "counterparty_account"),
    maybe("AddtlInf", "words"),
)
_IN_FORCE: tuple[Node, ...] = (
    instant("FctvDtTm", "effective_from"),
    maybe_instant("XpryDtTm", "effective_until"),
)
LIMIT_CHANGE: tuple[Node, ...] = (
    text("SysCd", "system"),
    Amount("LmtAmt", "amount_fen"),
    *_IN_FORCE,
    WORDS,
)
"""ccms.926 and IBPS 909."""
_CONTENT = text("Cntt", "content")

_shape = shapes_in(SCHEMAS)
_ALL = (
    _shape("ibps.309.001.01", m.BalanceEnquiry, "AcctBalQry", *_ACCOUNT),
    _shape(
        "ibps.310.001.01",
        m.BalanceAnswer,
        "AcctBalQryRspn",
        QUERY,
        *_ACCOUNT,
        RESULT,
        Amount("Bal", "balance_fen", direction="CdtDbtInd"),
        Amount("AvlblBal", "available_fen", direction="AvlblCdtDbtInd"),
        maybe_instant("BalDtTm", "at"),
        WORDS,
    ),
    _shape(
        "ibps.311.001.01",
        m.DetailEnquiry,
        "AcctDtlQry",
        *_ACCOUNT,
        maybe("StartCrsr", "cursor"),
        number("PgSz", "limit"),
    ),
    _shape(
        "ibps.312.001.01",
        m.DetailAnswer,
        "AcctDtlQryRspn",
        QUERY,
        *_ACCOUNT,
        RESULT,
        maybe("NxtCrsr", "cursor"),
        flag("MorePgs", "more"),
        Many("Ntrys", "Ntry", "lines", m.DetailLine, *_LINE),
        WORDS,
    ),
    _shape("ccms.303.001.01", m.FreeText, "FreeFrmt", maybe("Ttl", "title"), _CONTENT),
    _shape("ccms.307.001.01", m.Revocation, "TxCxl", *REVOCATION),
    _shape("ccms.308.001.01", m.RevocationAnswer, "TxCxlRspn", *REVOCATION_ANSWER),
    _shape("ccms.314.001.01", m.Question, "BizQry", original(), _CONTENT),
    _shape(
        "ccms.315.001.01",
        m.QuestionAnswer,
        "BizQryRspn",
        QUERY,
        original(),
        _CONTENT,
    ),
    _shape("ccms.316.001.01", m.Enquiry, "TxQry", *ENQUIRY),
    _shape("ccms.317.001.01", m.EnquiryAnswer, "TxQryRspn", *ENQUIRY_ANSWER),
    _shape(
        "ccms.318.001.01",
        m.ReturnRequest,
        "RtrReq",
        original(),
        Amount("RtrdInstdAmt", "amount_fen"),
        WORDS,
    ),
    _shape("ccms.319.001.01", m.ReturnAnswer, "RtrRspn", QUERY, original(), STATUS, REASON, WORDS),
    _shape("saps.601.001.01", m.NettingNotice, "NetgNtfctn", *_NOTICE),
    _shape("saps.603.001.01", m.ClearingNotice, "ClrNtfctn", *_NOTICE),
    _shape(
        "ccms.801.001.01",
        m.SystemDay,
        "SysStsNtfctn",
        text("SysCd", "system"),
        day("OrgnlSysDt", "previous_day"),
        day("CurSysDt", "day"),
        text("CurSysSts", "status"),
        flag("HldyFlg", "holiday"),
        instant("FctvDtTm", "effective_from"),
        WORDS,
    ),
    _shape(
        "ccms.809.001.01", m.Outage, "SysOutgNtfctn", text("SysCd", "system"), *_IN_FORCE, WORDS
    ),
    _shape("ccms.926.001.01", m.LimitChange, "LmtChngNtfctn", *LIMIT_CHANGE),
    _shape(
        "ccms.900.001.01",
        m.ProcessingConfirm,
        "CmonConf",
        original(),
        RESULT,
        STATUS,
        REASON,
        WORDS,
    ),
    _shape("ccms.911.001.01", m.Discard, "DscrdMsgNtfctn", original(), RESULT, REASON, WORDS),
    _shape("ccms.990.001.01", m.Acknowledgement, "CommAck", original(), RESULT, signed=False),
    _shape("ccms.991.001.01", m.Probe, "Prb", signed=False),
    _shape("ccms.992.001.01", m.ProbeAnswer, "PrbRspn", QUERY, signed=False),
)

SHARED: dict[str, Shape] = {shape.kind: shape for shape in _ALL}
"""By message type. HVPS and BEPS take them all; IBPS has its own 305 to 308."""

ACCOUNT_QUERIES = tuple(kind for kind in SHARED if kind.startswith("ibps."))
"""Balance and detail of a sponsored account: standard messages of IBPS, ours on HVPS and BEPS."""
