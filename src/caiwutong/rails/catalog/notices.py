"""What a network's announcement means as facts. Pure.

An announcement that changes nothing that was certain (the ordinary system date of a working day)
gives no fact: the catalog is not a log of greetings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from caiwutong.rails.catalog.changes import checked, day_span
from caiwutong.rails.catalog.model import Fact, Limit, Maintenance, SystemDay
from caiwutong.rails.catalog.rules import Catalog
from caiwutong.rails.contract import Notice, NoticeKind


def message_key(notice: Notice) -> str:
    """What an announcement is known by: a message id is unique for its sender and day."""
    return f"{notice.rail}/{notice.at:%Y%m%d}/{notice.message_id}"


def by_message(notices: Iterable[Notice]) -> dict[str, list[Notice]]:
    """Announcements gathered by the message that carried them."""
    found: dict[str, list[Notice]] = {}
    for notice in notices:
        found.setdefault(message_key(notice), []).append(notice)
    return found


def facts_of(catalog: Catalog, notices: Sequence[Notice]) -> list[Fact]:
    """The facts of one message. Raises Refused for one that cannot be understood."""
    return [checked(fact) for notice in notices if (fact := _fact(catalog, notice)) is not None]


def _fact(catalog: Catalog, notice: Notice) -> Fact | None:
    words = " ".join(notice.words.split())[:300]
    source = f"{notice.rail} notice {notice.message_id}: {words}".rstrip(": ")
    match notice.kind:
        case NoticeKind.LIMIT:
            if notice.limit_fen is None:
                return None
            return Limit(
                rail=notice.rail,
                valid_from=notice.effective_from,
                valid_until=notice.effective_until,
                per_payment_fen=notice.limit_fen,
                source=source,
            )
        case NoticeKind.OUTAGE:
            return Maintenance(
                rail=notice.rail,
                valid_from=notice.effective_from,
                valid_until=notice.effective_until,
                words=words,
                source=source,
            )
        case NoticeKind.SYSTEM_DAY:
            if notice.day is None or notice.working_day is None:
                return None
            known = catalog.look(notice.rail, notice.day)
            if known.working == notice.working_day and not known.provisional:
                return None
            start, end = day_span(notice.day)
            return SystemDay(
                rail=notice.rail,
                valid_from=start,
                valid_until=end,
                day=notice.day,
                working=notice.working_day,
                source=source,
            )
