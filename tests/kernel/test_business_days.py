"""Working days in China: holidays, weekends worked in exchange, and years nobody knows yet."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.kernel.business_days import Calendar, default_calendar

CALENDAR = default_calendar()


@pytest.mark.parametrize("day", ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"])
def test_the_weekends_worked_in_2026(day: str):
    found = CALENDAR.look(date.fromisoformat(f"2026-{day}"))
    assert found.day.weekday() >= 5
    assert (found.working, found.reason, found.provisional) == (True, "调休", False)


def test_only_those_weekends_are_worked_in_2026():
    start = date(2026, 1, 1)
    days = [start + timedelta(days=n) for n in range(365)]
    worked = [d for d in days if d.weekday() >= 5 and CALENDAR.is_working(d)]
    assert [f"{d:%m-%d}" for d in worked] == ["01-04", "02-14", "02-28", "05-09", "09-20", "10-10"]


@pytest.mark.parametrize(
    ("day", "working", "reason"),
    [
        ("2026-11-24", True, "weekday"),
        ("2026-11-28", False, "weekend"),
        ("2026-10-01", False, "国庆节"),
        ("2026-02-17", False, "春节"),
        ("2020-01-31", False, "春节"),  # added in mid-holiday by a second notice
        ("2004-01-01", False, "元旦"),
    ],
)
def test_a_day_and_its_reason(day: str, working: bool, reason: str):
    found = CALENDAR.look(date.fromisoformat(day))
    assert (found.working, found.reason, found.provisional) == (working, reason, False)


@pytest.mark.parametrize(
    ("day", "following"),
    [
        ("2026-11-24", "2026-11-25"),
        ("2026-11-27", "2026-11-30"),  # Friday
        ("2026-09-30", "2026-10-08"),  # over the National Day week
        ("2026-10-09", "2026-10-10"),  # into a worked Saturday
        ("2026-02-13", "2026-02-14"),
    ],
)
def test_the_next_working_day(day: str, following: str):
    found = CALENDAR.next_working_day(date.fromisoformat(day))
    assert (found.day.isoformat(), found.provisional) == (following, False)
    back = CALENDAR.previous_working_day(found.day)
    assert back.day.isoformat() == day


def test_a_working_day_may_be_its_own_next():
    day = date(2026, 11, 24)
    assert CALENDAR.next_working_day(day, or_same=True).day == day
    assert CALENDAR.previous_working_day(day, or_same=True).day == day
    assert CALENDAR.add_working_days(day, 0).day == day


def test_an_unknown_year_says_so_and_assumes_weekdays():
    found = CALENDAR.look(date(2031, 6, 4))
    assert (found.working, found.reason, found.provisional) == (True, "weekday", True)
    assert found.year_unknown is not None
    assert found.year_unknown.code == "business_days.year_unknown"
    assert "2031" in found.year_unknown.detail
    assert not CALENDAR.is_working(date(2031, 6, 7))


def test_days_fixed_by_law_are_free_also_in_an_unknown_year():
    found = CALENDAR.look(date(2031, 10, 1))
    assert (found.working, found.reason, found.provisional) == (False, "国庆节", True)


def test_a_step_through_an_unknown_year_is_provisional_even_where_it_ends_in_a_known_one():
    found = CALENDAR.next_working_day(date(2026, 12, 31))
    assert (found.day.isoformat(), found.provisional) == ("2027-01-04", True)
    back = CALENDAR.previous_working_day(date(2027, 1, 4))
    assert (back.day.isoformat(), back.provisional) == ("2026-12-31", True)
    assert CALENDAR.add_working_days(date(2026, 12, 30), 3).provisional


def test_a_notice_makes_a_new_version_and_leaves_the_old_one():
    free = {date(2027, 2, day): "春节" for day in range(5, 13)}
    newer = CALENDAR.with_notice("notice-2027", 2027, free, [date(2027, 2, 14)])
    assert newer.look(date(2027, 2, 8)).reason == "春节"
    assert newer.look(date(2027, 2, 14)).reason == "调休"
    assert not newer.look(date(2027, 3, 1)).provisional
    assert CALENDAR.look(date(2027, 3, 1)).provisional
    assert newer.look(date(2026, 10, 10)).reason == "调休"
    changed = newer.with_notice("notice-2027b", 2027, {}, [])
    assert changed.look(date(2027, 2, 8)).working


@given(st.dates(date(2004, 1, 1), date(2030, 12, 31)), st.integers(-30, 30))
def test_working_days_add_up(day: date, count: int):
    found = CALENDAR.add_working_days(CALENDAR.next_working_day(day, or_same=True).day, count)
    assert found.working
    start = CALENDAR.next_working_day(day, or_same=True).day
    low, high = sorted((start, found.day))
    between = sum(
        CALENDAR.is_working(low + timedelta(days=n)) for n in range(1, (high - low).days + 1)
    )
    assert between == abs(count)


def test_an_empty_calendar_still_answers():
    empty = Calendar("none", frozenset(), {}, {})
    assert empty.next_working_day(date(2026, 11, 27)).day == date(2026, 11, 30)
