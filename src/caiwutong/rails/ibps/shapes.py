"""How each IBPS word is laid out in XML: the single table behind writing and reading.

Element names are those of ISO 20022 and CNAPS2; the layouts and the schemas beside them (folder
``schemas``, one file per message) are our own, because the official ones are not openly licensed.
Read next: ``layout.py`` (what the nodes do), ``codec.py`` (who uses the table).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from caiwutong.rails.contract import AccountAtBank
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps.layout import (
    Amount,
    Inner,
    Leaf,
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


def _account(field: str, side: str) -> Node:
    return Inner(
        field,
        AccountAtBank,
        Part(side, text("Nm", "name")),
        Part(f"{side}Acct", text("Id", "account")),
        Part(f"{side}Agt", text("Id", "bank_code"), maybe("Nm", "bank_name")),
    )


def _original(field: str = "original") -> Node:
    return Inner(
        field,
        m.Original,
        text("OrgnlMsgId", "message_id"),
        text("OrgnlInstgPty", "sender"),
        text("OrgnlMT", "kind"),
        tag="OrgnlGrpHdr",
        width=3,
    )


_QUERY = Part("OrgnlBizQry", text("MsgId", "answers"))
_RESULT = text("PrcCd", "result")
_STATUS = text("PrcSts", "status")
_REASON = maybe("RjctCd", "reason")
_WORDS = maybe("AddtlInf", "words")
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


def _shape(kind: str, word: Any, root: str, *nodes: Node, signed: bool = True) -> Shape:
    return Shape(kind, word, root, nodes, Schema(SCHEMAS / f"{kind}.xsd"), signed)


_ALL = (
    _shape(
        "ibps.101.001.01",
        m.CreditTransfer,
        "CstmrCdtTrf",
        text("TxTpCd", "type_code"),
        text("CtgyPurpCd", "category"),
        Amount("InstdAmt", "amount_fen"),
        _account("payer", "Dbtr"),
        _account("payee", "Cdtr"),
        maybe("Purp", "purpose"),
        maybe("RmtInf", "remark"),
        _original(),
    ),
    _shape(
        "ibps.102.001.01",
        m.CreditAnswer,
        "CstmrCdtTrfCfm",
        _original(),
        _STATUS,
        _REASON,
        Amount("InstdAmt", "amount_fen"),
        maybe("AcctSvcrRef", "bank_reference"),
        _WORDS,
    ),
    _shape("ibps.305.001.01", m.Enquiry, "TxQry", _original()),
    _shape(
        "ibps.306.001.01",
        m.EnquiryAnswer,
        "TxQryRspn",
        _QUERY,
        _original(),
        _RESULT,
        maybe("PrcSts", "status"),
        _REASON,
        maybe_instant("PrcDtTm", "changed_at"),
        maybe("NetgRnd", "round_id"),
        _WORDS,
    ),
    _shape("ibps.307.001.01", m.Revocation, "TxCxl", _original(), _WORDS),
    _shape(
        "ibps.308.001.01",
        m.RevocationAnswer,
        "TxCxlRspn",
        _QUERY,
        _original(),
        _STATUS,
        _REASON,
        _WORDS,
    ),
    _shape("ibps.309.001.01", m.BalanceEnquiry, "AcctBalQry", *_ACCOUNT),
    _shape(
        "ibps.310.001.01",
        m.BalanceAnswer,
        "AcctBalQryRspn",
        _QUERY,
        *_ACCOUNT,
        _RESULT,
        Amount("Bal", "balance_fen", direction="CdtDbtInd"),
        Amount("AvlblBal", "available_fen", direction="AvlblCdtDbtInd"),
        maybe_instant("BalDtTm", "at"),
        _WORDS,
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
        _QUERY,
        *_ACCOUNT,
        _RESULT,
        maybe("NxtCrsr", "cursor"),
        flag("MorePgs", "more"),
        Many("Ntrys", "Ntry", "lines", m.DetailLine, *_LINE),
        _WORDS,
    ),
    _shape(
        "ccms.318.001.01",
        m.ReturnRequest,
        "RtrReq",
        _original(),
        Amount("RtrdInstdAmt", "amount_fen"),
        _WORDS,
    ),
    _shape(
        "ccms.319.001.01",
        m.ReturnAnswer,
        "RtrRspn",
        _QUERY,
        _original(),
        _STATUS,
        _REASON,
        _WORDS,
    ),
    _shape("saps.601.001.01", m.NettingNotice, "NetgNtfctn", *_NOTICE),
    _shape("saps.603.001.01", m.ClearingNotice, "ClrNtfctn", *_NOTICE),
    _shape(
        "ccms.900.001.01",
        m.ProcessingConfirm,
        "CmonConf",
        _original(),
        _RESULT,
        _STATUS,
        _REASON,
        _WORDS,
    ),
    _shape("ccms.911.001.01", m.Discard, "DscrdMsgNtfctn", _original(), _RESULT, _REASON, _WORDS),
    _shape("ccms.990.001.01", m.Acknowledgement, "CommAck", _original(), _RESULT, signed=False),
)

BY_KIND: dict[str, Shape] = {shape.kind: shape for shape in _ALL}
BY_WORD: dict[Any, Shape] = {shape.word: shape for shape in _ALL}
SIGNATURE: Node = Leaf("Sgntr", "signature")
