"""The words all CNAPS2 channels share: header, references to earlier messages, requests about
payments and accounts, the centre's notices. Free of XML, signatures and sockets.

Amounts are integer fen; signed amounts are positive for money in (贷) and negative for money out
(借) of the receiver or account holder. Instants are aware UTC with whole seconds or microseconds;
on the wire they are China time. Optional texts are empty when absent. Which of these words a
channel speaks, and under which message type, its ``shapes.py`` says.
Read next: ``shapes.py`` (how each word is written), ``codec.py``.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import msgspec

from caiwutong.kernel.money import CNY


class Header(msgspec.Struct, frozen=True):
    """What stands in front of every message (报文头): 128 bytes in V01, 132 in V02."""

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
    sender_system: str = ""
    receiver_system: str = ""
    """``IBPS``, ``HVPS``, ``BEPS``: filled in by the codec."""


class Original(msgspec.Struct, frozen=True):
    """The earlier message something is about: (sender, message id) is the key of a payment;
    inside a batch also the transaction."""

    message_id: str
    sender: str
    kind: str
    """Its message type, like ``hvps.111.001.01``."""
    transaction_id: str = ""
    """The one payment meant inside a batch (beps.121); empty where the message is the payment."""


class Enquiry(msgspec.Struct, frozen=True):
    """ibps.305, ccms.316: what became of this payment?"""

    original: Original


class EnquiryAnswer(msgspec.Struct, frozen=True):
    """ibps.306, ccms.317. A ``result`` of DONE comes with a status; UNKNOWN_ORIGINAL comes
    without."""

    answers: str
    """Message id of the question."""
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
    """ibps.307, ccms.307 撤销: take a payment back before it is netted."""

    original: Original
    words: str = ""


class RevocationAnswer(msgspec.Struct, frozen=True):
    """ibps.308, ccms.308: PR08 revoked, or PR09 not revoked with the reason."""

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
    kind: str
    transaction_id: str = ""
    """The payment inside a batch; empty where the message is the payment."""
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
    result: str = "CB1I0000"


class FreeText(msgspec.Struct, frozen=True):
    """ccms.303 自由格式: words between two participants. Carries no payment and moves none."""

    content: str
    title: str = ""


class Question(msgspec.Struct, frozen=True):
    """ccms.314 业务查询: a question to the payee's bank about a payment, in words for people."""

    original: Original
    content: str


class QuestionAnswer(msgspec.Struct, frozen=True):
    """ccms.315 业务查复: the payee bank's words. Evidence for people, never a status."""

    answers: str
    original: Original
    content: str


class SystemDay(msgspec.Struct, frozen=True):
    """ccms.801 系统状态变更: a system's business day or its state has changed."""

    system: str
    """``HVPS`` or ``BEPS``."""
    previous_day: date
    day: date
    """The system's business date (工作日期) from ``effective_from`` on."""
    status: str
    """See ``codes.SYSTEM_STATUS``."""
    effective_from: datetime
    holiday: bool = False
    """Whether ``day`` is a free day, on which the system takes no payments (节假日标志)."""
    words: str = ""


class Outage(msgspec.Struct, frozen=True):
    """ccms.809 停运公告: the system takes nothing from then on. Without an end it lasts until it is
    announced again."""

    system: str
    effective_from: datetime
    effective_until: datetime | None = None
    words: str = ""


class LimitChange(msgspec.Struct, frozen=True):
    """ccms.926, IBPS 909: from then on one payment may carry so much, exactly this much included
    (own: the message does not say); until, for a passing measure."""

    system: str
    amount_fen: int
    effective_from: datetime
    effective_until: datetime | None = None
    currency: str = CNY
    words: str = ""


class Probe(msgspec.Struct, frozen=True):
    """ccms.991 探测: is the line up? Not signed."""


class ProbeAnswer(msgspec.Struct, frozen=True):
    """ccms.992 探测回应. Not signed."""

    answers: str


class Frame(msgspec.Struct, frozen=True):
    """One message with its header, and the very bytes it came in (the evidence)."""

    header: Header
    message: Any
    """A word of the channel that was decoded."""
    raw: bytes = b""
