"""What HVPS asks of a payment beyond the codes all systems share, dated and sourced. Limits and
hours are facts of ``rails/catalog``.

How sure we are stands with each fact: *read* (primary text), *secondary*, or *own* (our reading of
common knowledge, no text at hand).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from caiwutong.kernel.order import Priority
from caiwutong.rails.catalog import Catalog, Closed, Open
from caiwutong.rails.catalog.hours import moment

NAME = "hvps"
SYSTEM = "HVPS"
"""系统编号 in headers and notices (read)."""

MOST_URGENT, URGENT, NORMAL = 1, 2, 3
PRIORITY = {Priority.URGENT: URGENT, Priority.NORMAL: NORMAL}
"""Ours never ask for 特急, which is kept for disaster relief and defence (own)."""

ACCEPTANCE_GRACE = timedelta(minutes=30)
"""Own: how long after the clearing window a message of that business day may still turn out to
have been taken (clocks apart, a line that delivers late)."""
LONGEST_UNKNOWN = timedelta(days=16)
"""Own: how long a message stays valid where no opening is in sight (an outage without an end, a
rail without recorded hours). Longer than any holiday, so that silence is never taken for a no."""


def valid_until(at: datetime, catalog: Catalog) -> datetime:
    """Until when the centre may still take, or settle out of its queue, a message made at ``at``:
    the end of the clearing window of its business day and ``ACCEPTANCE_GRACE``. In the evening,
    at weekends and on holidays that is the next business day: the centre may hold what comes
    early. An outage announced meanwhile does not shorten it."""
    answer = catalog.open_at(NAME, at)
    if isinstance(answer, Closed) and answer.until is not None:
        answer = catalog.open_at(NAME, answer.until)
    if not isinstance(answer, Open):
        return at + LONGEST_UNKNOWN
    day = answer.system_day
    hours = catalog.hours_on(NAME, day, "")
    if hours is None:
        return at + LONGEST_UNKNOWN
    return moment(day, hours.clearing_until or hours.closes) + ACCEPTANCE_GRACE


def business_day(at: datetime, catalog: Catalog) -> Open | Closed | None:
    """The session of this moment as the catalog has it: open with its business day (系统工作日),
    closed with the next opening, or None where nothing is known."""
    answer = catalog.open_at(NAME, at)
    return answer if isinstance(answer, (Open, Closed)) else None
