"""Reading a statement page by page: every line once, however days and pages fall."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct import day_pages

FIRST = date(2026, 1, 1)
GROWTH = st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=1, max_size=6)
"""Bursts of new lines: each line comes so many days after the one before."""


class Bank:
    """Numbers the lines of a span of days, oldest first."""

    def __init__(self) -> None:
        self.days: list[date] = []

    def grow(self, gaps: list[int]) -> None:
        for gap in gaps:
            last = self.days[-1] if self.days else FIRST
            self.days.append(last + timedelta(days=gap))

    def span(self, first: str) -> list[int]:
        return [n for n, day in enumerate(self.days) if f"{day:%Y%m%d}" >= first]

    def lines(self, first: str, skip: int, most: int) -> list[int]:
        """By the number of the first line."""
        return self.span(first)[skip : skip + most]

    def page(self, first: str, number: int, size: int) -> list[int]:
        """By the number of the page, counted from 0."""
        return self.span(first)[number * size : (number + 1) * size]


@settings(max_examples=200, deadline=None)
@given(GROWTH, st.integers(1, 5), st.booleans())
def test_every_line_is_read_once_while_the_statement_grows(
    growth: list[list[int]], size: int, by_page: bool
) -> None:
    bank, cursor, read = Bank(), "", list[int]()
    for gaps in growth:
        bank.grow(gaps)
        while True:
            place = day_pages.opened(cursor, FIRST)
            if by_page:
                number, skip = divmod(place.seen, size)
                found = bank.page(place.day, number, size)[skip:]
            else:
                found = bank.lines(place.day, place.seen, size)
            cursor = day_pages.after(place, [f"{bank.days[n]:%Y%m%d}" for n in found])
            read += found
            if not found:
                break
    assert read == list(range(len(bank.days)))


def test_a_place_older_than_the_bank_keeps_begins_at_what_it_keeps() -> None:
    old = day_pages.after(day_pages.Place("20250101", 0), ["20250101", "20250101"])
    assert day_pages.opened(old, FIRST) == day_pages.Place("20260101", 0)
    assert day_pages.opened("", FIRST) == day_pages.Place("20260101", 0)


@pytest.mark.parametrize(
    "cursor", ["x", "W10=", "WyJhIiwxXQ==", "WyIyMDI2MDEwMSIsLTFd", "\x00 ", "5"]
)
def test_a_cursor_that_was_not_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(Refused):
        day_pages.opened(cursor, FIRST)
