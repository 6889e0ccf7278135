"""The words of IBPS: one frozen struct per message, free of XML, signatures and sockets.

Only the payment itself and its answer are IBPS's own; the rest is shared with the other channels
and stands in ``rails/cnaps/messages.py``, where units and time are explained too.
Read next: ``shapes.py`` (how each word is written), ``codec.py``.
"""

from __future__ import annotations

import msgspec

from caiwutong.kernel.money import CNY
from caiwutong.rails.cnaps.messages import (
    Acknowledgement,
    BalanceAnswer,
    BalanceEnquiry,
    ClearingNotice,
    DetailAnswer,
    DetailEnquiry,
    DetailLine,
    Discard,
    Enquiry,
    EnquiryAnswer,
    Frame,
    Header,
    LimitChange,
    NettedPayment,
    NettingNotice,
    Original,
    ProcessingConfirm,
    ReturnAnswer,
    ReturnRequest,
    Revocation,
    RevocationAnswer,
)
from caiwutong.rails.contract import AccountAtBank

__all__ = [
    "Acknowledgement",
    "BalanceAnswer",
    "BalanceEnquiry",
    "ClearingNotice",
    "CreditAnswer",
    "CreditTransfer",
    "DetailAnswer",
    "DetailEnquiry",
    "DetailLine",
    "Discard",
    "Enquiry",
    "EnquiryAnswer",
    "Frame",
    "Header",
    "LimitChange",
    "Message",
    "NettedPayment",
    "NettingNotice",
    "Original",
    "ProcessingConfirm",
    "ReturnAnswer",
    "ReturnRequest",
    "Revocation",
    "RevocationAnswer",
]


class CreditTransfer(msgspec.Struct, frozen=True):
    """ibps.101 网银贷记: pay out of the payer's account. Its header's message id is the reference
    of the payment. With ``type_code`` A105 (退汇) it brings money back and names the original."""

    amount_fen: int
    payer: AccountAtBank
    payee: AccountAtBank
    type_code: str = "A100"
    """A100 汇兑, A105 退汇, C200 网银汇兑."""
    category: str = "02102"
    """业务种类: 02102 普通汇兑."""
    currency: str = CNY
    purpose: str = ""
    remark: str = ""
    original: Original | None = None
    """Of a return: the payment whose money comes back."""


class CreditAnswer(msgspec.Struct, frozen=True):
    """ibps.102: the payee bank's yes (PR10) or no (PR09 with a reject code) to a 101."""

    original: Original
    status: str
    amount_fen: int
    currency: str = CNY
    reason: str = ""
    """Reject code RJxx, empty with a yes."""
    words: str = ""
    bank_reference: str = ""
    """The payee bank's own number for the credit."""


Message = (
    CreditTransfer
    | CreditAnswer
    | Enquiry
    | EnquiryAnswer
    | Revocation
    | RevocationAnswer
    | BalanceEnquiry
    | BalanceAnswer
    | DetailEnquiry
    | DetailAnswer
    | ReturnRequest
    | ReturnAnswer
    | NettingNotice
    | ClearingNotice
    | ProcessingConfirm
    | Discard
    | Acknowledgement
    | LimitChange
)
