"""The words of IBPS: one frozen struct per message, free of XML, signatures and sockets.

Amounts are integer fen; signed amounts are positive for money in (贷) and negative for money out
(借) of the receiver or account holder. Instants are aware UTC with whole seconds or microseconds;
on the wire they are China time. Optional texts are empty when absent.
Read next: ``shapes.py`` (how each word is written), ``codec.py``.
"""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from caiwutong.kernel.money import CNY
from caiwutong.rails.contract import AccountAtBank


class Header(msgspec.Struct, frozen=True):
    """The 128 bytes in front of every message (V01 报文头)."""

    kind: str
    """Message type, like ``ibps.101.001.01``."""
    message_id: str
    """Unique per sender and day, at most 20 letters and digits."""
    sender: str
    """Twelve digits of the participant that speaks."""
    receiver: str
    at: datetime
    """When it was made, whole seconds, aware UTC; on the wire China date and time."""
    answers: str = ""
    """The message this one replies to (MesgRefID), or empty."""
    priority: int = 3
    """1 特急, 2 紧急, 3 普通."""
    direction: str = "U"
    """U towards the centre, D from the centre."""
    sender_system: str = "IBPS"
    receiver_system: str = "IBPS"


class Original(msgspec.Struct, frozen=True):
    """The earlier message something is about: (sender, message id) is the key of a payment."""

    message_id: str
    sender: str
    kind: str = "ibps.101.001.01"


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


class Enquiry(msgspec.Struct, frozen=True):
    """ibps.305: what became of this payment?"""

    original: Original


class EnquiryAnswer(msgspec.Struct, frozen=True):
    """ibps.306. A ``result`` of DONE comes with a status; UNKNOWN_ORIGINAL comes without."""

    answers: str
    """Message id of the 305."""
    original: Original
    result: str
    """Processing code, see ``profile``."""
    status: str = ""
    """PRxx, empty when the payment is not known."""
    reason: str = ""
    words: str = ""
    changed_at: datetime | None = None
    """When the payment reached this status."""
    round_id: str = ""
    """Netting round (轧差场次), once netted."""


class Revocation(msgspec.Struct, frozen=True):
    """ibps.307 撤销: take a payment back before it is netted."""

    original: Original
    words: str = ""


class RevocationAnswer(msgspec.Struct, frozen=True):
    """ibps.308: PR08 revoked, or PR09 not revoked with the reason."""

    answers: str
    original: Original
    status: str
    reason: str = ""
    words: str = ""


class BalanceEnquiry(msgspec.Struct, frozen=True):
    """ibps.309: what stands on this account? ``bank_code`` is the bank that holds it."""

    account: str
    bank_code: str


class BalanceAnswer(msgspec.Struct, frozen=True):
    """ibps.310. Amounts and instant are meaningful only when ``result`` is DONE."""

    answers: str
    account: str
    bank_code: str
    result: str
    balance_fen: int = 0
    available_fen: int = 0
    at: datetime | None = None
    currency: str = CNY
    words: str = ""


class DetailEnquiry(msgspec.Struct, frozen=True):
    """ibps.311: the account's lines after ``cursor`` (empty: from the first), ``limit`` at most."""

    account: str
    bank_code: str
    cursor: str = ""
    limit: int = 200


class DetailLine(msgspec.Struct, frozen=True):
    """One line of an account as its bank booked it. The original amount and the balance after it
    are signed from the account holder's side."""

    line_id: str
    booked_at: datetime
    value_date: date
    amount_fen: int
    balance_after_fen: int
    kind: str
    """``payment``, ``incoming``, ``return``, ``fee``, ``interest``, ``opening`` or ``other``."""
    reference: str = ""
    """Message id of the payment the line comes from; of a return, of the original payment."""
    counterparty_name: str = ""
    counterparty_account: str = ""
    words: str = ""
    currency: str = CNY


class DetailAnswer(msgspec.Struct, frozen=True):
    """ibps.312: a page of lines in the bank's order. ``cursor`` is where to go on; it stays valid
    when there is nothing more yet."""

    answers: str
    account: str
    bank_code: str
    result: str
    cursor: str = ""
    more: bool = False
    lines: tuple[DetailLine, ...] = ()
    words: str = ""


class ReturnRequest(msgspec.Struct, frozen=True):
    """ccms.318 退回申请: please send the money of this settled payment back."""

    original: Original
    amount_fen: int
    words: str = ""
    currency: str = CNY


class ReturnAnswer(msgspec.Struct, frozen=True):
    """ccms.319: PR10 the payee's bank agrees (an A105 credit follows), or PR09 it does not."""

    answers: str
    original: Original
    status: str
    reason: str = ""
    words: str = ""


class NettedPayment(msgspec.Struct, frozen=True):
    """One payment inside a netting or clearing notice, signed from the receiver's side: our own
    payment out is negative. Its key is ``original``'s (sender, message id)."""

    message_id: str
    sender: str
    amount_fen: int
    kind: str = "ibps.101.001.01"
    currency: str = CNY


class NettingNotice(msgspec.Struct, frozen=True):
    """saps.601 轧差通知: these payments are netted (PR03) and can no longer be taken back."""

    round_id: str
    at: datetime
    clearing_day: date
    net_fen: int
    """The receiver's net position of the round: the sum of all its payments in this notice."""
    payments: tuple[NettedPayment, ...]
    status: str = "PR03"
    currency: str = CNY


class ClearingNotice(msgspec.Struct, frozen=True):
    """saps.603 清算通知: the net positions of a round were settled (PR04) at the central bank."""

    round_id: str
    at: datetime
    clearing_day: date
    net_fen: int
    payments: tuple[NettedPayment, ...]
    status: str = "PR04"
    currency: str = CNY


class ProcessingConfirm(msgspec.Struct, frozen=True):
    """ccms.900 通用处理确认: the centre's own word on a payment or request."""

    original: Original
    result: str
    status: str
    reason: str = ""
    words: str = ""


class Discard(msgspec.Struct, frozen=True):
    """ccms.911 报文丢弃: the message was thrown away. The ``result`` says why; DUPLICATE means that
    the *first* copy lives on."""

    original: Original
    result: str
    reason: str = ""
    words: str = ""


class Acknowledgement(msgspec.Struct, frozen=True):
    """ccms.990 通信级确认: the bytes arrived. Says nothing of the payment and is not signed."""

    original: Original
    result: str = "IB1I0000"


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
)


class Frame(msgspec.Struct, frozen=True):
    """One message with its header, and the very bytes it came in (the evidence)."""

    header: Header
    message: Message
    raw: bytes = b""
