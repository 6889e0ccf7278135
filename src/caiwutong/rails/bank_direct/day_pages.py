"""Where reading a statement stopped, for banks that page by number within a span of days.

Such a bank answers "lines n to m of these days, in my order". A place is the day of the last line
read and how many lines of that day are read: lines are only ever added at the end of the newest
day, so the place stays good for ever, and the span asked for stays short. Pure.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import date

import msgspec

from caiwutong.kernel.errors import Refused


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Up to here the statement is read."""

    day: str
    """``yyyyMMdd`` of the last line read, or of the first day to read."""
    seen: int
    """Lines of that day that are read."""


def opened(cursor: str, earliest: date) -> Place:
    """The place a cursor stands for; the earliest day where it is empty or too old for the bank.
    Raises Refused for a cursor that was not given out."""
    first = Place(f"{earliest:%Y%m%d}", 0)
    if not cursor:
        return first
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=Place)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        place = None
    if place is None or len(place.day) != 8 or not place.day.isdigit() or place.seen < 0:
        raise Refused(
            "bank_direct.bad_cursor",
            "The statement cursor is not one this rail gave out.",
            "Hand back the cursor of the last page unchanged, or an empty one to begin again.",
        )
    return max(place, first, key=lambda each: each.day)


def after(place: Place, days: Iterable[str]) -> str:
    """The cursor after lines of these days (``yyyyMMdd``, in the bank's order) were read too."""
    day, seen = place.day, place.seen
    for each in days:
        day, seen = (each, 1) if each > day else (day, seen + 1)
    return base64.urlsafe_b64encode(msgspec.json.encode(Place(day, seen))).decode()
