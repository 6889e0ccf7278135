"""Chinese working days: weekends, holidays, and the weekends worked in exchange (调休).

Owns: the answer to "is this a working day", with its reason. The days are data: a ``Calendar`` is
one version of the State Council's notices (国务院办公厅关于部分节假日安排的通知), by default those
in ``chinesecalendar``; a newer notice, or one changed in mid-holiday as in 2020, makes another
version with ``with_notice``. A year without a notice is never guessed at and never an error: the
answer says ``YearUnknown`` and gives weekdays as provisional, with the days fixed by law kept free
(全国年节及纪念日放假办法, 国令795号, in force 2025-01-01). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import cache
from typing import Any, cast

import chinese_calendar
import msgspec

_FIXED_BY_LAW = {
    (1, 1): "元旦",
    (5, 1): "劳动节",
    (5, 2): "劳动节",
    (10, 1): "国庆节",
    (10, 2): "国庆节",
    (10, 3): "国庆节",
}
_LAW_SINCE = 2025
_FARTHEST = 400
"""No stretch of free days is longer than a year: a search beyond it is a fault in the data."""


class YearUnknown(msgspec.Struct, frozen=True):
    """There is no notice for this year: weekdays are an assumption that must be shown as one."""

    year: int
    known_from: int
    known_to: int
    code: str = "business_days.year_unknown"

    @property
    def detail(self) -> str:
        """What to tell people."""
        return (
            f"The holidays of {self.year} are not known (known: {self.known_from} to "
            f"{self.known_to}). Weekdays are assumed until the State Council's notice is imported."
        )


class Day(msgspec.Struct, frozen=True):
    """What kind of day it is, and how sure that is."""

    day: date
    working: bool
    reason: str
    """``weekday``, ``weekend``, ``调休``, or the name of the holiday."""
    year_unknown: YearUnknown | None = None

    @property
    def provisional(self) -> bool:
        """Whether the answer rests on an assumption about a year without a notice."""
        return self.year_unknown is not None


class Calendar(msgspec.Struct, frozen=True):
    """One version of the working days. ``holidays`` are the free days with their names, weekends
    inside a holiday included; ``worked`` are the weekend days worked, with the holiday's name."""

    version: str
    years: frozenset[int]
    holidays: Mapping[date, str]
    worked: Mapping[date, str]

    def look(self, day: date) -> Day:
        """Whether banks and offices work on this day."""
        if day.year not in self.years:
            return self._assume(day)
        if day in self.worked:
            return Day(day, True, "调休")
        if day in self.holidays:
            return Day(day, False, self.holidays[day])
        return _by_weekday(day)

    def is_working(self, day: date) -> bool:
        """``look`` for callers that have shown the assumption elsewhere."""
        return self.look(day).working

    def next_working_day(self, day: date, *, or_same: bool = False) -> Day:
        """The first working day after ``day`` (or from it on). Provisional if any day looked at on
        the way is in a year without a notice."""
        return self._search(day if or_same else day + timedelta(days=1), 1)

    def previous_working_day(self, day: date, *, or_same: bool = False) -> Day:
        """The last working day before ``day`` (or up to it)."""
        return self._search(day if or_same else day - timedelta(days=1), -1)

    def add_working_days(self, day: date, count: int) -> Day:
        """The working day ``count`` working days after ``day`` (T+n; negative goes back)."""
        step = 1 if count >= 0 else -1
        unknown: YearUnknown | None = None
        found = self.look(day)
        for _ in range(abs(count)):
            found = self._search(found.day + timedelta(days=step), step)
            unknown = unknown or found.year_unknown
        return msgspec.structs.replace(found, year_unknown=found.year_unknown or unknown)

    def with_notice(
        self, version: str, year: int, holidays: Mapping[date, str], worked: Iterable[date]
    ) -> Calendar:
        """A new version with one year as a notice says, replacing what was known of that year.
        Days of a neighbouring year in the notice (元旦 in December) are added to that year."""
        kept = {day: name for day, name in self.holidays.items() if day.year != year}
        busy = {day: name for day, name in self.worked.items() if day.year != year}
        return Calendar(
            version=version,
            years=self.years | {year},
            holidays=kept | dict(holidays),
            worked=busy | {day: "调休" for day in worked},
        )

    def with_change(
        self, version: str, free: Mapping[date, str], worked: Iterable[date]
    ) -> Calendar:
        """A new version in which only the days named are other than they were: a notice changed in
        mid-year, as for the Spring Festival of 2020. A year that was unknown stays unknown."""
        busy = frozenset(worked)
        kept = {day: name for day, name in self.holidays.items() if day not in busy}
        kept_busy = {day: name for day, name in self.worked.items() if day not in free}
        return Calendar(
            version=version,
            years=self.years,
            holidays=kept | dict(free),
            worked=kept_busy | {day: "调休" for day in busy if day.weekday() >= 5},
        )

    def _assume(self, day: date) -> Day:
        unknown = YearUnknown(day.year, min(self.years, default=0), max(self.years, default=0))
        named = self.holidays.get(day)
        if named is None and day.year >= _LAW_SINCE:
            named = _FIXED_BY_LAW.get((day.month, day.day))
        if day in self.worked:
            return Day(day, True, "调休", unknown)
        if named is not None:
            return Day(day, False, named, unknown)
        return msgspec.structs.replace(_by_weekday(day), year_unknown=unknown)

    def _search(self, day: date, step: int) -> Day:
        unknown: YearUnknown | None = None
        for _ in range(_FARTHEST):
            found = self.look(day)
            unknown = unknown or found.year_unknown
            if found.working:
                return msgspec.structs.replace(found, year_unknown=unknown)
            day += timedelta(days=step)
        raise ValueError("business_days: a calendar without a working day in a year")


@cache
def default_calendar() -> Calendar:
    """The notices that came with the installed ``chinesecalendar`` (2004 to 2026 in 1.11)."""
    holidays: dict[date, str] = dict(chinese_calendar.holidays)
    worked: dict[date, str] = dict(chinese_calendar.workdays)
    names = {each.value: str(cast(Any, each).chinese) for each in chinese_calendar.Holiday}
    years = frozenset(day.year for day in holidays if day.month > 1)
    return Calendar(
        version=f"chinesecalendar-{max(years)}",
        years=years,
        holidays={day: names.get(name, name) for day, name in holidays.items()},
        worked=worked,
    )


def _by_weekday(day: date) -> Day:
    weekend = day.weekday() >= 5
    return Day(day, not weekend, "weekend" if weekend else "weekday")
