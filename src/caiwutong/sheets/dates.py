"""Dates as people and spreadsheets write them. 3/7/2026 is read only where the file itself decides
which number is the day; nothing is guessed.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta

from caiwutong.kernel.errors import Refusal
from caiwutong.sheets.cells import excel_error, is_blank, shown, text
from caiwutong.sheets.model import DateOrder, Raw, Read

_YMD = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?")
_ENDING_IN_YEAR = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_CLOCK_TIME = re.compile(r"[T\s]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$")
_EXCEL_EPOCH = date(1899, 12, 30)
"""Day 0 of spreadsheet serials after 1900-02-28 (the 1900 system and its leap-year error)."""
_FIRST, _LAST = date(2000, 1, 1), date(2099, 12, 31)


def execution_date(raw: Raw, order: DateOrder = DateOrder.UNKNOWN) -> Read[date | None] | Refusal:
    """The day meant: ISO, 2026/7/3, 2026年7月3日, 20260703, a spreadsheet date or serial; blank is
    None. ``3/7/2026`` only where the file itself decides which number is the day."""
    if is_blank(raw):
        return Read(None)
    if isinstance(raw, datetime):
        return _within(raw.date())
    if isinstance(raw, date):
        return _within(raw)
    if isinstance(raw, bool | time | timedelta):
        return _not_a_date(raw)
    if isinstance(raw, int | float):
        return _date_of_number(raw)
    words = text(raw)
    if error := excel_error(words):
        return error
    plain = _CLOCK_TIME.sub("", unicodedata.normalize("NFKC", words)).strip()
    if match := _YMD.fullmatch(plain) or _COMPACT.fullmatch(plain):
        return _date_of(raw, int(match[1]), int(match[2]), int(match[3]))
    if match := _ENDING_IN_YEAR.fullmatch(plain):
        return _date_ending_in_year(raw, match, order)
    if re.fullmatch(r"\d{5}", plain):
        return _date_of_number(int(plain))
    return _not_a_date(raw)


def _date_of_number(raw: float) -> Read[date | None] | Refusal:
    if not math.isfinite(raw) or raw < 1:
        return _not_a_date(raw)
    if raw == int(raw) and (match := _COMPACT.fullmatch(str(int(raw)))):
        return _date_of(raw, int(match[1]), int(match[2]), int(match[3]))
    if raw > 100_000:
        return _not_a_date(raw)
    day = _EXCEL_EPOCH + timedelta(days=int(raw))
    read = _within(day)
    if isinstance(read, Refusal):
        return read
    return Read(day, f"{raw:g} read as the spreadsheet serial of {day.isoformat()}")


def _date_ending_in_year(
    raw: Raw, match: re.Match[str], order: DateOrder
) -> Read[date | None] | Refusal:
    one, two, year = int(match[1]), int(match[2]), int(match[3])
    if len(match[3]) == 2:
        return Refusal(
            "imports.date_short_year",
            f"{shown(raw)} has a year of two digits.",
            "Write the year with four digits: 2026-07-03.",
        )
    if one > 12 or one == two or (two <= 12 and order is DateOrder.DAY_FIRST):
        return _date_of(raw, year, two, one)
    if two > 12 or order is DateOrder.MONTH_FIRST:
        return _date_of(raw, year, one, two)
    return Refusal(
        "imports.date_ambiguous",
        f"{shown(raw)} can be {year}-{one:02d}-{two:02d} or {year}-{two:02d}-{one:02d}, "
        "and nothing in the file decides it.",
        "Write the date as 2026-07-03.",
    )


def _date_of(raw: Raw, year: int, month: int, day: int) -> Read[date | None] | Refusal:
    try:
        return _within(date(year, month, day))
    except ValueError:
        return Refusal(
            "imports.date_impossible",
            f"{shown(raw)} is not a day of the calendar.",
            "Check month and day; write the date as 2026-07-03.",
        )


def _within(day: date) -> Read[date | None] | Refusal:
    if _FIRST <= day <= _LAST:
        return Read(day)
    return Refusal(
        "imports.date_far",
        f"{day.isoformat()} is outside {_FIRST.year}–{_LAST.year}.",
        "Check the year; write the date as 2026-07-03.",
    )


def _not_a_date(raw: Raw) -> Refusal:
    return Refusal(
        "imports.date_unreadable",
        f"{shown(raw)} is not a date.",
        "Write the date as 2026-07-03.",
    )


def date_order(cells: Iterable[Raw]) -> DateOrder:
    """Which number is the day in dates like 3/7/2026, as this column decides it. A column that
    contradicts itself decides nothing."""
    day_first = month_first = False
    for raw in cells:
        if not isinstance(raw, str):
            continue
        plain = _CLOCK_TIME.sub("", unicodedata.normalize("NFKC", text(raw))).strip()
        match = _ENDING_IN_YEAR.fullmatch(plain)
        if match is None or len(match[3]) != 4:
            continue
        one, two = int(match[1]), int(match[2])
        day_first |= one > 12 >= two
        month_first |= two > 12 >= one
    if day_first == month_first:
        return DateOrder.UNKNOWN
    return DateOrder.DAY_FIRST if day_first else DateOrder.MONTH_FIRST
