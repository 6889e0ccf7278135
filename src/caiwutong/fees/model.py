"""The words of the fee audit (手续费核对)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec


class FeeReason(StrEnum):
    """What a fee line is, held against the tariff."""

    AGREES = "agrees"
    CHARGED_TWICE = "charged_twice"
    """重复收费: another fee for the same payment came before."""
    DISCOUNT_NOT_APPLIED = "discount_not_applied"
    """未享优惠: the list price was taken although a discount is in force."""
    WRONG_BAND = "wrong_band"
    """档位有误: what another band of the tariff costs."""
    SHOULD_BE_FREE = "should_be_free"
    """The tariff takes nothing for it, for example inside one bank."""
    NOT_EXECUTED = "not_executed"
    """The payment was refused or taken back, and still cost something."""
    TOO_MUCH = "too_much"
    TOO_LITTLE = "too_little"
    NO_TARIFF = "no_tariff"
    """No tariff of this bank for this channel is recorded: nothing can be said."""
    NOT_OURS = "not_ours"
    """It names a reference that none of our payments has."""
    NO_REFERENCE = "no_reference"
    """A fee of the account, not of a payment: account keeping, certificates, receipts."""


DIFFERENT = frozenset(FeeReason) - {FeeReason.AGREES, FeeReason.NO_REFERENCE}
"""What a person should look at."""


class FeeLine(msgspec.Struct, frozen=True):
    """A fee as the bank booked it. ``charged_fen`` above zero was taken; below, given back."""

    bank_account_id: UUID
    line_id: str
    position: int
    booked_at: datetime
    charged_fen: int
    reference: str
    words: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fee line, judged."""

    line: FeeLine
    reason: FeeReason
    payment_id: UUID | None
    channel: str
    """The rail the payment went over; empty where no payment is known."""
    amount_fen: int | None
    """What was paid."""
    expected_fen: int | None
    """What it should have cost; None: nobody can say."""
    difference_fen: int
    """Charged minus expected; 0 where nobody can say."""
    tariff: str = ""
    """The fact of the catalog it was held against."""
    discount: str = ""
    note: str = ""
    """Why nobody can say, or which band it looks like."""


class Tally(msgspec.Struct, frozen=True):
    """How many lines of one reason, and their money."""

    lines: int
    charged_fen: int
    difference_fen: int


class FeeReport(msgspec.Struct, frozen=True, kw_only=True):
    """The fees of a stretch of time."""

    start: datetime
    end: datetime
    lines: int
    charged_fen: int
    expected_fen: int
    """Of the lines whose price is known."""
    too_much_fen: int
    """What can be asked back: the differences above zero."""
    by_reason: dict[FeeReason, Tally]
    findings: tuple[Finding, ...]
    """The lines that differ, dearest difference first; at most as many as were asked for."""
    left_out: int
    """How many more differ than are listed."""


class PaymentFees(msgspec.Struct, frozen=True):
    """One payment's fees: what it should cost by now, and what was taken."""

    payment_id: UUID
    expected_fen: int | None
    """Of the channel it went over; None: not sent yet, or no tariff is recorded."""
    list_fen: int | None
    """Before the discount."""
    channel: str
    note: str
    """Why nothing is expected; empty otherwise."""
    charged_fen: int
    findings: tuple[Finding, ...]
    """Every fee line of it, those that agree included."""
