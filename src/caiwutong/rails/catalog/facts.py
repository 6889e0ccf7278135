"""The dated facts of every rail that routing needs: limits, with validity and source.

A fact changes by notice, so it is data with a date and never a constant in a rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec


class Limit(msgspec.Struct, frozen=True):
    """How much one payment on a rail may carry, from a day on."""

    rail: str
    from_day: date
    per_payment_fen: int | None
    """None: the rail has no limit of its own."""
    inclusive: bool
    """Whether exactly the limit still passes: public texts are ambiguous, so it is a field."""
    source: str


LIMITS: tuple[Limit, ...] = (
    Limit(
        "ibps",
        date(2010, 8, 30),
        50_000_00,
        True,
        "IBPS launch limit of 50,000 CNY (general knowledge, no text read)",
    ),
    Limit(
        "ibps",
        date(2020, 1, 24),
        1_000_000_00,
        True,
        "1,000,000 CNY a payment, in force today; exact start before 2020-01-24 unverified",
    ),
    Limit("bank_direct", date(2010, 1, 1), None, True, "the bank's own limits apply"),
)


def limit_on(rail: str, day: date, limits: Sequence[Limit] = LIMITS) -> Limit | None:
    """The limit in force for a rail on a day; None when the catalog knows nothing of it."""
    known = [limit for limit in limits if limit.rail == rail and limit.from_day <= day]
    return max(known, key=lambda limit: limit.from_day, default=None)


def within(limit: Limit, amount_fen: int) -> bool:
    """Whether an amount passes this limit."""
    if limit.per_payment_fen is None:
        return True
    if limit.inclusive:
        return amount_fen <= limit.per_payment_fen
    return amount_fen < limit.per_payment_fen
