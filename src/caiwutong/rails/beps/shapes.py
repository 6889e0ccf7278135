"""How each BEPS word is laid out in XML: its own messages, and those it shares with HVPS and IBPS.

Element names are those of ISO 20022 and CNAPS2; the layouts and the schemas beside them (folder
``schemas``) are our own, because the official ones are not openly licensed. Three shared messages
have another layout here, because on BEPS they speak of many payments at once: the signature is the
dear part of a message, and one serves up to ``BatchRule.payments`` of them.
Read next: ``rails/cnaps/layout.py`` (what the nodes do), ``codec.py``.
"""

from __future__ import annotations

from pathlib import Path

from caiwutong.rails.beps import messages as b
from caiwutong.rails.cnaps.layout import (
    Amount,
    Inner,
    Many,
    Node,
    maybe,
    maybe_instant,
    number,
    text,
)
from caiwutong.rails.cnaps.shapes import (
    QUERY,
    REASON,
    RESULT,
    SHARED,
    STATUS,
    WORDS,
    Shape,
    account,
    original,
    shapes_in,
)

SCHEMAS = Path(__file__).with_name("schemas")

_CREDIT: tuple[Node, ...] = (
    text("TxId", "transaction_id"),
    Amount("Amt", "amount_fen"),
    text("TxTpCd", "type_code"),
    text("CtgyPurpCd", "category"),
    account("payer", "Dbtr"),
    account("payee", "Cdtr"),
    maybe("Purp", "purpose"),
    maybe("RmtInf", "remark"),
    original(),
)
_BATCH: tuple[Node, ...] = (
    number("NbOfTxs", "count"),
    Amount("CtrlSum", "total_fen"),
    Many("Txs", "Tx", "payments", b.Credit, *_CREDIT),
)
_TRANSACTION = text("OrgnlTxId", "transaction_id")

_shape = shapes_in(SCHEMAS)
_OWN = (
    _shape("beps.121.001.01", b.CustomerCredits, "CstmrCdtTrf", *_BATCH),
    _shape("beps.122.001.01", b.InstitutionCredits, "FICdtTrf", *_BATCH),
    _shape(
        "beps.123.001.01",
        b.RealTimeCredit,
        "RealTmCdtTrf",
        Inner("payment", b.Credit, *_CREDIT, tag="RealTmCdtTrfInf"),
    ),
    _shape(
        "beps.124.001.01",
        b.RealTimeAnswer,
        "RealTmCdtTrfCfm",
        original(),
        STATUS,
        REASON,
        Amount("Amt", "amount_fen"),
        maybe("AcctSvcrRef", "bank_reference"),
        WORDS,
    ),
    _shape(
        "ccms.900.001.01",
        b.BatchConfirm,
        "CmonConf",
        original(),
        RESULT,
        STATUS,
        REASON,
        WORDS,
        Many("Txs", "Tx", "outcomes", b.Outcome, _TRANSACTION, STATUS, REASON, WORDS),
    ),
    _shape(
        "ccms.316.001.01",
        b.StatusPull,
        "TxQry",
        Many("Txs", "Tx", "payments", b.Asked, _TRANSACTION),
    ),
    _shape(
        "ccms.317.001.01",
        b.StatusAnswer,
        "TxQryRspn",
        QUERY,
        text("OrgnlInstgPty", "sender"),
        Many(
            "Txs",
            "Tx",
            "payments",
            b.Found,
            _TRANSACTION,
            RESULT,
            maybe("PrcSts", "status"),
            REASON,
            maybe_instant("PrcDtTm", "changed_at"),
            maybe("NetgRnd", "round_id"),
            WORDS,
        ),
    ),
)

BY_KIND: dict[str, Shape] = SHARED | {shape.kind: shape for shape in _OWN}
