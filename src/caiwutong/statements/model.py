"""The words of statements: a line as the bank booked it and what explains it, how far each account
is read, and the drift (差异) between our book and the bank.

Amounts of lines are from the account holder's side: positive is money in (收入), negative is money
out (支出).
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from caiwutong.ledger.model import Transfer


class Explained(StrEnum):
    """What a line is, as far as our books know."""

    NOTHING = ""
    """Not looked at yet: it is part of the drift."""
    PAYMENT = "payment"
    """The debit of a payment of ours; the payment's own post is the entry."""
    RETURN = "return"
    """退汇 of a payment of ours; settlement books it."""
    FEE = "fee"
    INTEREST = "interest"
    OPENING = "opening"
    """From before our books began: part of the opening entry (期初)."""
    INTERNAL = "internal"
    """A payment from another account of our own group."""
    SUSPENSE = "suspense"
    """待查: booked against suspense until a person says what it is."""
    INCOMING = "incoming"
    CORRECTION = "correction"
    """冲正: it takes back another line of the bank."""


class LineRow(msgspec.Struct, frozen=True, kw_only=True):
    """A statement line as it is kept. The bank's part never changes; the explanation does, once."""

    bank_account_id: UUID
    line_id: str
    position: int
    """1 for the first line read of the account, then without a gap, in the bank's order."""
    booked_at: datetime
    value_date: date
    amount_fen: int
    balance_after_fen: int
    gap_fen: int
    """What is missing between the balance before, the amount and the balance after: 0, or the
    chain is broken here."""
    kind: str
    """The rail's word: ``payment``, ``incoming``, ``return``, ``fee``, ``interest`` …"""
    reference: str
    counterparty_sealed: bytes
    """Name and account, sealed; empty where the bank names nobody."""
    counterparty_index: bytes
    counterparty_last4: str
    words: str
    rail: str
    read_at: datetime

    explained_by: Explained = Explained.NOTHING
    payment_id: UUID | None = None
    transfer_id: UUID | None = None
    """The ledger transfer that stands for this line in our books, there already or to come."""
    moved_by: UUID | None = None
    """The transfer that took it out of suspense."""
    corrects: str = ""
    """The line it takes back."""
    due_at: datetime | None = None
    """When to look at it again; None: nothing about it is open."""
    tries: int = 0

    @property
    def open(self) -> bool:
        """Whether our books may still have to follow."""
        return self.due_at is not None


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """What explains a line. With ``book`` that transfer is made now; suspense needs none, it is
    booked by itself."""

    line: LineRow
    explained_by: Explained
    payment_id: UUID | None = None
    transfer_id: UUID | None = None
    book: Transfer | None = None
    again: bool = False
    """Look once more, after a pause that grows; otherwise it is closed."""
    why: str = ""
    """For the log, where a person should look."""


class CursorRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far an account is read, over which rail, and who reads it now."""

    bank_account_id: UUID
    rail: str
    """The one rail it is read over: line numbers of two rails need not agree."""
    cursor: str = ""
    read_at: datetime | None = None
    next_at: datetime
    """When to read again; while someone reads, the end of the lease."""
    fence: int = 0
    failures: int = 0
    trouble: str = ""
    """Code of the last failure; empty after a success."""
    lines: int = 0
    last_balance_fen: int | None = None
    last_booked_at: datetime | None = None
    opened_fen: int | None = None
    """What the bank says stood there as our books began; None until that is known."""
    matched_to: datetime | None = None
    """Every entry of our book before this moment has its line."""


class BalanceRow(msgspec.Struct, frozen=True):
    """What a bank said stands on an account."""

    bank_account_id: UUID
    at: datetime
    balance_fen: int
    available_fen: int
    source: str
    """The rail that said it."""
    read_at: datetime


class Taken(msgspec.Struct, frozen=True):
    """What a page brought."""

    fresh: int
    """Lines not read before."""
    breaks: int
    """Places at which the bank's balances do not follow from its amounts."""
    lost: bool = False
    """Another reader has taken over: nothing was written."""


class OpenLine(msgspec.Struct, frozen=True):
    """A line of the statement that a drift names."""

    line_id: str
    booked_at: datetime
    amount_fen: int
    kind: str
    reference: str
    payment_id: UUID | None


class OpenEntry(msgspec.Struct, frozen=True):
    """An entry of our book that the statement does not show yet."""

    transfer_id: UUID
    at: datetime
    amount_fen: int
    """In the account's direction: a payment is negative."""
    kind: str
    subject: UUID | None


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """Our book against the bank, for one account, with every fen of the difference accounted for:

    ``difference = unexplained + bank_first + gaps − book_first + residue``

    where ``residue`` is zero; anything else is a fault of ours. Sums count everything; the lists
    hold the oldest of each. Nothing in flight and nothing unexplained: the difference is zero.
    """

    bank_account_id: UUID
    at: datetime
    book_fen: int
    held_fen: int
    bank_fen: int | None
    """After the last line read, or the bank's last word on its balance; None: nothing read."""
    bank_at: datetime | None
    difference_fen: int | None
    """Bank minus book."""
    unexplained: tuple[OpenLine, ...] = ()
    unexplained_fen: int = 0
    bank_first: tuple[OpenLine, ...] = ()
    """In transit (未达账项): the bank has booked a payment of ours that our book still holds."""
    bank_first_fen: int = 0
    book_first: tuple[OpenEntry, ...] = ()
    """In transit: booked here, not on the statement yet."""
    book_first_fen: int = 0
    gaps_fen: int = 0
    """What is missing in the bank's own chain of balances."""
    residue_fen: int = 0
    suspense: tuple[OpenLine, ...] = ()
    """待查: booked, so no part of the difference, but nobody has said yet what it is."""
    suspense_fen: int = 0
    read_at: datetime | None = None
    trouble: str = ""
    """Why the last reading failed; empty when it did not."""
    said_fen: int | None = None
    """The balance as the bank's balance query last gave it."""
    said_available_fen: int | None = None
    said_at: datetime | None = None

    @property
    def settled(self) -> bool:
        """Book and bank agree."""
        return self.difference_fen == 0


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """A statement line for a screen, the counterparty's account masked."""

    line_id: str
    position: int
    booked_at: datetime
    value_date: date
    amount_fen: int
    balance_after_fen: int
    gap_fen: int
    kind: str
    reference: str
    counterparty_name: str
    counterparty_account: str
    words: str
    explained_by: Explained
    open: bool
    payment_id: UUID | None
    transfer_id: UUID | None
    corrects: str
    rail: str
    read_at: datetime
