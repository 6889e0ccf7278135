"""The words of HVPS that no other channel has: its two payments. The rest is shared and stands in
``rails/cnaps/messages.py``, where units and time are explained too.
Read next: ``shapes.py`` (how each word is written), ``codec.py``.
"""

from __future__ import annotations

import msgspec

from caiwutong.kernel.money import CNY
from caiwutong.rails.cnaps.messages import Original
from caiwutong.rails.contract import AccountAtBank


class CreditTransfer(msgspec.Struct, frozen=True):
    """hvps.111 客户发起汇兑: pay out of a customer's account. Its header's message id is the
    reference of the payment. With ``type_code`` A105 (退汇) it is a *new* payment that brings money
    back and names the original."""

    amount_fen: int
    payer: AccountAtBank
    payee: AccountAtBank
    priority: int = 3
    """1 特急, 2 紧急, 3 普通: the order in the centre's queue. Signed, and the header's as well."""
    type_code: str = "A100"
    """A100 汇兑, A105 退汇, C200 网银汇兑."""
    category: str = "02102"
    """业务种类: 02102 普通汇兑."""
    currency: str = CNY
    purpose: str = ""
    remark: str = ""
    original: Original | None = None
    """Of a return: the payment whose money comes back."""


class InstitutionTransfer(msgspec.Struct, frozen=True):
    """hvps.112 金融机构发起汇兑: money of one institution to another, between their settlement
    accounts. No customer of theirs is concerned, so it says nothing about our payments."""

    amount_fen: int
    payer: str
    """Twelve digits of the paying institution."""
    payee: str
    priority: int = 3
    type_code: str = "A200"
    """A200 金融机构间资金划拨 (own)."""
    category: str = "03101"
    """业务种类 (own)."""
    currency: str = CNY
    words: str = ""
