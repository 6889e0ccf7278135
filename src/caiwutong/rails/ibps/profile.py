"""What is known about IBPS from outside: how long a message may be accepted, and codes.

Limits and hours change by notice and live in ``rails/catalog``. How sure we are stands with each
fact: *read* (primary text), *secondary*, or *own* (common knowledge, no text at hand).
Read next: ``reports.py``, which turns the status codes into the hub's words.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from caiwutong.kernel.clock import china_date, china_midnight
from caiwutong.rails.cnaps.codes import REJECT, STATUS, is_system_error, words_for

__all__ = ["REJECT", "STATUS", "is_system_error", "words_for"]

NAME = "ibps"

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
