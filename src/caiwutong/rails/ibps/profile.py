"""What is known about IBPS from outside: limits, hours, windows and codes, each dated and sourced.

Nothing here is a law of nature: a notice of the central bank changes it, and then a line is added,
never overwritten. How sure we are stands with each fact: *read* (primary text), *secondary*, or
*own* (our reading of common knowledge, no text at hand).
Read next: ``reports.py``, which turns the status codes into the hub's words.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import msgspec

from caiwutong.kernel.clock import china_date, china_midnight
from caiwutong.rails.cnaps.codes import REJECT, STATUS, is_system_error, words_for

__all__ = ["REJECT", "STATUS", "is_system_error", "words_for"]

NAME = "ibps"


class Limit(msgspec.Struct, frozen=True):
    """The largest single payment from a day on. ``inclusive``: exactly this much still goes."""

    since: date
    amount_fen: int
    inclusive: bool
    source: str

    def allows(self, amount_fen: int) -> bool:
        return amount_fen < self.amount_fen or (self.inclusive and amount_fen == self.amount_fen)


LIMITS: tuple[Limit, ...] = (
    Limit(date(2010, 8, 30), 50_000_00, True, "own: the limit at launch; no text at hand"),
    Limit(
        date(2020, 1, 31),
        1_000_000_00,
        True,
        "read: 1,000,000 CNY per payment is the limit in force today; the day it began is not "
        "known (the date is the earliest one it is attested for). Whether exactly 1,000,000.00 "
        "still goes is ambiguous in public texts; taken as yes",
    ),
)


def limit_on(day: date) -> Limit | None:
    """The limit in force on a day in China, or None before the system began."""
    return next((limit for limit in reversed(LIMITS) if limit.since <= day), None)


class Hours(msgspec.Struct, frozen=True):
    """When the system takes payments."""

    since: date
    always: bool
    source: str


HOURS = (Hours(date(2010, 8, 30), True, "secondary: 7×24, but for announced outages (停运公告)"),)

ACCEPTANCE_GRACE = timedelta(minutes=30)
"""Own: how long after the business date a message of that date may still turn out to have been
accepted (queues inside the centre, clocks apart)."""


def valid_until(at: datetime) -> datetime:
    """Until when the network may accept a message made at ``at``: a message is accepted only on
    its own business date in China, so the end of that date and ``ACCEPTANCE_GRACE``."""
    return china_midnight(china_date(at) + timedelta(days=1)) + ACCEPTANCE_GRACE


# Processing codes as IBPS says them (see ``rails/cnaps/codes.py`` for what each means).
DONE = "IB1I0000"
UNKNOWN_ORIGINAL = "IB1O0404"
DUPLICATE = "IB1O0409"
WRONG_DATE = "IB1O0410"
BAD_FORMAT = "IB1O0400"
BAD_SIGNATURE = "IB1O0401"
UNKNOWN_ACCOUNT = "IB1O0406"
TOO_LATE = "IB1O0408"
SYSTEM_ERROR = "IB1S0500"
RESULT = (
    DONE,
    UNKNOWN_ORIGINAL,
    DUPLICATE,
    WRONG_DATE,
    BAD_FORMAT,
    BAD_SIGNATURE,
    UNKNOWN_ACCOUNT,
    TOO_LATE,
    SYSTEM_ERROR,
)
"""Our own processing codes, spoken by hub and sandbox alike."""
