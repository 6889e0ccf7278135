"""What every rail promises, in one batch-shaped contract.

``encode_many`` turns attempts into messages, ``send`` carries one message and returns the bytes
that came back at once, ``decode`` turns any bytes from the rail into reports, ``enquire`` asks what
became of attempts. A rail never decides what a report means for a payment: that is
``payments/states.py``. Encoding and decoding are pure; only the connector touches the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

from caiwutong.kernel.errors import InDoubt, Refused, Unavailable
from caiwutong.kernel.money import CNY
from caiwutong.kernel.order import Direction, Priority


class ReportKind(StrEnum):
    """What a rail can say about an attempt."""

    ACCEPTED = "accepted"
    """Received and being worked on; says nothing of the end (CMB SUC0000, ccms.990, PR00, PR10)."""
    NETTED = "netted"
    """已轧差 (PR03): irrevocable on IBPS and BEPS."""
    SETTLED = "settled"
    """已清算 (PR04), or the bank's own final yes (FIN+S)."""
    REJECTED = "rejected"
    """A definite no: it has not been and will not be executed."""
    REVOKED = "revoked"
    """已撤销 (PR08): taken back before netting."""
    RETURNED = "returned"
    """退汇 / 退票: the money came back after it had been settled."""
    IN_DOUBT = "in_doubt"
    """The rail cannot say, or does not know the reference (code ``NOT_FOUND``)."""


NOT_FOUND = "not_found"
"""Report code: the rail does not know the reference. Not a failure: the message may still arrive
while ``Attempt.valid_until`` lies ahead."""

SILENCE = "silence"
"""Report code: no answer came in time, or the connection broke after sending."""


CARRIED_BY_PEOPLE = frozenset({"bank_file"})
"""Rails whose messages are files that a person carries into the bank's page: nothing is sent, and
nobody can be asked what became of them."""


class Concerning(StrEnum):
    """What a report speaks of: the payment itself, or a request we made about it."""

    PAYMENT = "payment"
    REVOCATION = "revocation"
    RETURN_REQUEST = "return_request"


class AccountAtBank(msgspec.Struct, frozen=True):
    """An account as a message names it."""

    name: str
    account: str
    bank_code: str = ""
    bank_name: str = ""


class Attempt(msgspec.Struct, frozen=True):
    """One try of one payment on one rail. Written down before it is sent; its reference never
    changes, and a message sent again carries the same reference."""

    tenant: str
    payment_id: UUID
    attempt_id: UUID
    rail: str
    reference: str
    payer: AccountAtBank
    payee: AccountAtBank
    amount_fen: int
    created_at: datetime
    valid_until: datetime
    """After this moment the network can no longer accept the message: an unknown reference is
    then a definite no."""
    currency: str = CNY
    direction: Direction = Direction.PUSH
    priority: Priority = Priority.NORMAL
    purpose: str = ""
    remark: str = ""
    flag: str = ""
    """For ``bank_direct``, the clearing channel the bank is asked to use: ``hvps``, ``beps``,
    ``ibps`` or ``book`` (inside the bank). Empty leaves it to the bank."""


class RailMessage(msgspec.Struct, frozen=True):
    """Encoded, signed bytes ready to be carried, with the references inside."""

    message_id: str
    kind: str
    """The message type as the rail names it: ``ibps.101.001.01``, ``BB1PAYOP``."""
    references: tuple[str, ...]
    body: bytes


class RailReport(msgspec.Struct, frozen=True):
    """What the rail says about one attempt, translated but not judged."""

    kind: ReportKind
    rail: str
    reference: str
    """The attempt's reference, as we sent it."""
    code: str
    """The rail's own code: ``PR03``, ``RJ01``, ``FIN/S``, or NOT_FOUND / SILENCE."""
    at: datetime
    """The rail's time of the fact, aware UTC."""
    words: str = ""
    """The rail's own words, as they came."""
    amount_fen: int | None = None
    message_id: str = ""
    """The message that carried the report: the evidence."""
    bank_reference: str = ""
    """The bank's own number for the payment, where it gives one."""
    concerning: Concerning = Concerning.PAYMENT
    next_word_at: datetime | None = None
    """With ACCEPTED: when the rail will have news by itself (the next netting round). Asking
    before says nothing new. None: unknown."""


class BankBalance(msgspec.Struct, frozen=True):
    """What a bank says stands on one of our accounts."""

    account: str
    balance_fen: int
    available_fen: int
    at: datetime
    currency: str = CNY


class StatementLine(msgspec.Struct, frozen=True):
    """One line of a bank's statement, from the account holder's side: positive is money in (收入),
    negative is money out (支出)."""

    account: str
    line_id: str
    """The bank's own unique number of the line; the key against reading it twice."""
    booked_at: datetime
    value_date: date
    amount_fen: int
    balance_after_fen: int
    kind: str
    """``payment``, ``incoming``, ``return``, ``fee``, ``interest``, ``opening`` or ``other``."""
    reference: str = ""
    """Our attempt's reference where the line comes from one (for a return: of the original)."""
    counterparty_name: str = ""
    counterparty_account: str = ""
    words: str = ""
    currency: str = CNY


class StatementPage(msgspec.Struct, frozen=True):
    """A page of lines in the bank's order, and where to go on."""

    lines: tuple[StatementLine, ...]
    cursor: str
    """Opaque; hand it back to get what follows. Stays valid when there is nothing more yet."""
    more: bool


class NoticeKind(StrEnum):
    """What a network announces to everybody, beside what it says of single payments."""

    LIMIT = "limit"
    """The most one payment may carry changes (ccms.926, IBPS 909)."""
    SYSTEM_DAY = "system_day"
    """Which day the system works on, and whether it is a working day (ccms.801)."""
    OUTAGE = "outage"
    """The system, or a part of it, stops for a while (ccms.809)."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An announcement of a network (系统通知), translated and not yet applied: what follows from it
    is decided by ``rails.catalog``. A rail that has such messages offers
    ``notices(raw) -> list[Notice]`` beside ``decode(raw)``; bytes without one give an empty list.
    """

    kind: NoticeKind
    rail: str
    at: datetime
    """When the network said it, aware UTC."""
    effective_from: datetime
    effective_until: datetime | None = None
    """The first moment at which it no longer holds; None: until another notice."""
    limit_fen: int | None = None
    """LIMIT: the most one payment may carry."""
    day: date | None = None
    """SYSTEM_DAY: the day in China that the system works on."""
    working_day: bool | None = None
    """SYSTEM_DAY: whether that day is a working day; None: the message does not say."""
    words: str = ""
    """The network's own words."""
    message_id: str
    """The message that carried it: the evidence, and the key against applying it twice."""


class BadMessage(Refused):
    """Bytes from outside that are not a well-formed, well-signed message. Nothing was done."""


class NotSent(Unavailable):
    """The bytes certainly did not reach the rail (no connection was made)."""


class SentInDoubt(InDoubt):
    """The bytes may have reached the rail: ask, do not repeat under another reference."""


class Rail(Protocol):
    """One clearing channel behind the common contract."""

    @property
    def name(self) -> str: ...

    def valid_until(self, at: datetime) -> datetime:
        """Until when the network may accept a message created at this business time."""
        ...

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """Signed messages carrying these attempts, in order. The same attempt gives a message
        with the same references each time."""
        ...

    async def send(self, message: RailMessage) -> bytes:
        """Carry the message; the bytes that came back at once (may be empty). Raises NotSent or
        SentInDoubt."""
        ...

    def decode(self, raw: bytes) -> list[RailReport]:
        """Every report in these bytes, whether an answer or a callback. Raises BadMessage."""
        ...

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        """What became of these attempts: one report each, in order; silence is IN_DOUBT."""
        ...

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        """Ask for 撤销 before netting. REVOKED, or REJECTED concerning the revocation."""
        ...

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        """Ask the payee's bank for the money back (申请退回)."""
        ...

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        """What the bank says stands on these accounts. Raises Unavailable."""
        ...

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        """The lines after ``cursor`` (empty: from the first). Raises Unavailable."""
        ...
