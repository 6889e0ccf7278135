"""What BEPS asks of a message, dated and sourced. Limits, hours and netting rounds are facts of
``rails/catalog``; codes and their meaning are shared by all systems (``rails/cnaps/codes.py``).

Nothing here is a law of nature: a notice of the central bank changes it, and then a line is added,
never overwritten. How sure we are stands with each fact: *read* (primary text), *secondary*, or
*own* (our reading of common knowledge, no text at hand).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import msgspec

from caiwutong.kernel.clock import CHINA, china_date, china_midnight
from caiwutong.rails.catalog import shipped

NAME = "beps"
SYSTEM = "BEPS"
"""系统编号 of the system in headers (read)."""


class BatchRule(msgspec.Struct, frozen=True):
    """What may travel in one message."""

    since: date
    payments: int
    body_bytes: int
    by_payee_bank: bool
    """Whether all payees of a batch must be with one bank."""
    source: str


BATCHES: tuple[BatchRule, ...] = (
    BatchRule(
        date(2010, 8, 30),
        500,
        900_000,
        False,
        "own: 500 payments stay far below the 1,000,000 bytes of a body (read). A batch on the "
        "national system names one receiving direct participant (read, a published sample); which "
        "one keeps a payee's branch is in a directory that only participants have, so the "
        "sponsor's front-end splits by it",
    ),
)


def batch_rule_on(day: date) -> BatchRule:
    """The rule in force on a day in China."""
    return next((rule for rule in reversed(BATCHES) if rule.since <= day), BATCHES[0])


def round_id(at: datetime) -> str:
    """The name of the netting round (轧差场次) that closes at this moment: its day and time in
    China."""
    return f"{at.astimezone(CHINA):%Y%m%d%H%M}"


def news_at(at: datetime) -> datetime | None:
    """When a payment confirmed at this moment will be netted and told, by the shipped catalog; a
    hint for when to ask, no promise."""
    following = shipped().next_round(NAME, at)
    return following + NOTICE_MARGIN if isinstance(following, datetime) else None


NOTICE_MARGIN = timedelta(minutes=2)
"""Own: how long after a round its notices may take to arrive."""

ACCEPTANCE_GRACE = timedelta(minutes=30)
"""Own: how long after the business date a message of that date may still turn out to have been
accepted (queues inside the centre, clocks apart)."""


def valid_until(at: datetime) -> datetime:
    """Until when the network may accept a payment made at ``at``: one is accepted only on its own
    business date in China, so the end of that date and ``ACCEPTANCE_GRACE``."""
    return china_midnight(china_date(at) + timedelta(days=1)) + ACCEPTANCE_GRACE
