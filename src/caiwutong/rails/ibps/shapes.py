"""How each IBPS word is laid out in XML: the payment and its answer here, the rest shared.

Element names are those of ISO 20022 and CNAPS2; the layouts and the schemas (folder ``schemas``
here and in ``rails/cnaps``, one file per message) are our own, because the official ones are not
openly licensed. Read next: ``rails/cnaps/shapes.py``, ``codec.py`` (who uses the table).
"""

from __future__ import annotations

from pathlib import Path

from caiwutong.rails.cnaps import shapes as s
from caiwutong.rails.cnaps.codec import pick
from caiwutong.rails.cnaps.layout import Amount, maybe, text
from caiwutong.rails.cnaps.shapes import LINE_KINDS, Shape
from caiwutong.rails.ibps import messages as m

__all__ = ["BY_KIND", "LINE_KINDS", "SHAPES"]

_shape = s.shapes_in(Path(__file__).with_name("schemas"))

SHAPES: tuple[Shape, ...] = (
    _shape(
        "ibps.101.001.01",
        m.CreditTransfer,
        "CstmrCdtTrf",
        text("TxTpCd", "type_code"),
        text("CtgyPurpCd", "category"),
        Amount("InstdAmt", "amount_fen"),
        s.account("payer", "Dbtr"),
        s.account("payee", "Cdtr"),
        maybe("Purp", "purpose"),
        maybe("RmtInf", "remark"),
        s.original(),
    ),
    _shape(
        "ibps.102.001.01",
        m.CreditAnswer,
        "CstmrCdtTrfCfm",
        s.original(),
        s.STATUS,
        s.REASON,
        Amount("InstdAmt", "amount_fen"),
        maybe("AcctSvcrRef", "bank_reference"),
        s.WORDS,
    ),
    _shape("ibps.305.001.01", m.Enquiry, "TxQry", *s.ENQUIRY),
    _shape("ibps.306.001.01", m.EnquiryAnswer, "TxQryRspn", *s.ENQUIRY_ANSWER),
    _shape("ibps.307.001.01", m.Revocation, "TxCxl", *s.REVOCATION),
    _shape("ibps.308.001.01", m.RevocationAnswer, "TxCxlRspn", *s.REVOCATION_ANSWER),
    _shape("ibps.909.001.01", m.LimitChange, "LmtChngNtfctn", *s.LIMIT_CHANGE),
    *pick(
        s.SHARED,
        (
            *s.ACCOUNT_QUERIES,
            "ccms.318.001.01",
            "ccms.319.001.01",
            "saps.601.001.01",
            "saps.603.001.01",
            "ccms.900.001.01",
            "ccms.911.001.01",
            "ccms.990.001.01",
        ),
    ),
)
BY_KIND: dict[str, Shape] = {shape.kind: shape for shape in SHAPES}
