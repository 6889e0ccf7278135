"""What people and machines see of the catalog at a moment: every rail, the working day. Pure."""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from caiwutong.kernel.clock import china_date
from caiwutong.rails.catalog.model import Closed, Limit, Maintenance, Open, Unknown
from caiwutong.rails.catalog.rules import Catalog


class DayView(msgspec.Struct, frozen=True):
    """What kind of day it is in China."""

    day: date
    working: bool
    reason: str
    provisional: bool
    """The year's notice is not known: weekdays are assumed."""
    note: str
    """What to tell people about that; empty when it is certain."""
    next_working_day: date


class RailView(msgspec.Struct, frozen=True):
    """One rail at the moment asked about. Times are UTC."""

    rail: str
    state: Open | Closed | Unknown
    next_opening: datetime | None
    """The moment itself while it is open; None: none in sight, or not known."""
    cutoff: datetime | None
    """The last moment at which a payment is still booked on this day; None: not any more."""
    limit: Limit | None
    """None: no limit is known, so nothing is sent."""
    next_netting: datetime | None
    """None: it settles one by one, or nothing is known."""
    maintenance: tuple[Maintenance, ...]


class CatalogView(msgspec.Struct, frozen=True):
    """The catalog at a moment, as known at a moment."""

    at: datetime
    known_at: datetime
    version: int
    """How often this tenant's catalog changed since it began."""
    calendar: str
    """The newest notice of days off."""
    years_known: tuple[int, int]
    """The first and the last year with a notice."""
    day: DayView
    rails: tuple[RailView, ...]


def look(catalog: Catalog, at: datetime, known_at: datetime, bank: str = "") -> CatalogView:
    """Everything that holds at this moment; ``bank``: the first digits of a 联行号, for what is
    recorded of one bank."""
    calendar = catalog.calendar
    return CatalogView(
        at=at,
        known_at=known_at,
        version=catalog.version,
        calendar=calendar.version,
        years_known=(min(calendar.years, default=0), max(calendar.years, default=0)),
        day=day_view(catalog, china_date(at)),
        rails=tuple(rail_view(catalog, rail, at, bank) for rail in catalog.rails),
    )


def day_view(catalog: Catalog, day: date) -> DayView:
    """One day, with why it is or is not worked."""
    found = catalog.calendar.look(day)
    following = catalog.calendar.next_working_day(day)
    unknown = found.year_unknown or following.year_unknown
    return DayView(
        day=day,
        working=found.working,
        reason=found.reason,
        provisional=unknown is not None,
        note=unknown.detail if unknown else "",
        next_working_day=following.day,
    )


def rail_view(catalog: Catalog, rail: str, at: datetime, bank: str = "") -> RailView:
    """One rail at a moment."""
    opening = catalog.next_opening(rail, at, bank)
    cutoff = catalog.cutoff(rail, at, bank)
    netting = catalog.next_round(rail, at)
    return RailView(
        rail=rail,
        state=catalog.open_at(rail, at, bank),
        next_opening=None if isinstance(opening, Unknown) else opening,
        cutoff=None if isinstance(cutoff, Unknown) else cutoff,
        limit=catalog.limit_on(rail, at, bank),
        next_netting=None if isinstance(netting, Unknown) else netting,
        maintenance=catalog.maintenance(rail, at, bank),
    )
