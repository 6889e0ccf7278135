"""How each HVPS word is laid out in XML: its two payments here, the rest shared.

Element names are those of ISO 20022 (pacs.008, pacs.009) and CNAPS2; the layouts and the schemas
(folder ``schemas`` here and in ``rails/cnaps``, one file per message) are our own, because the
official ones are not openly licensed.
Read next: ``rails/cnaps/shapes.py``, ``codec.py`` (who uses the table).
"""

from __future__ import annotations

from pathlib import Path

from caiwutong.rails.cnaps import shapes as s
from caiwutong.rails.cnaps.layout import Amount, Part, code, maybe, text
from caiwutong.rails.cnaps.shapes import Shape
from caiwutong.rails.hvps import messages as h

PRIORITIES = {1: "URGT", 2: "HIGH", 3: "NORM"}
"""优先级 as pacs.008 writes it: 特急, 紧急, 普通."""

_shape = s.shapes_in(Path(__file__).with_name("schemas"))
_TYPE = Part("PmtTpInf", text("TxTpCd", "type_code"), text("CtgyPurpCd", "category"))

SHAPES: tuple[Shape, ...] = (
    _shape(
        "hvps.111.001.01",
        h.CreditTransfer,
        "FIToFICstmrCdtTrf",
        _TYPE,
        Amount("IntrBkSttlmAmt", "amount_fen"),
        code("SttlmPrty", "priority", PRIORITIES),
        s.account("payer", "Dbtr"),
        s.account("payee", "Cdtr"),
        maybe("Purp", "purpose"),
        maybe("RmtInf", "remark"),
        s.original(),
    ),
    _shape(
        "hvps.112.001.01",
        h.InstitutionTransfer,
        "FIToFICdtTrf",
        _TYPE,
        Amount("IntrBkSttlmAmt", "amount_fen"),
        code("SttlmPrty", "priority", PRIORITIES),
        Part("Dbtr", text("Id", "payer")),
        Part("Cdtr", text("Id", "payee")),
        maybe("AddtlInf", "words"),
    ),
    *s.SHARED.values(),
)
BY_KIND: dict[str, Shape] = {shape.kind: shape for shape in SHAPES}
