"""The words of tables: a cell as the file holds it, and what was understood of it.

Values only. Next: ``cells.py`` for the rules of cells.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

import msgspec

Raw: TypeAlias = str | int | float | bool | date | datetime | time | timedelta | None
"""A cell as the file holds it. CSV and XML give text; spreadsheets give types."""

T = TypeVar("T")


class DateOrder(StrEnum):
    """How a file writes dates that end with the year."""

    DAY_FIRST = "day_first"
    MONTH_FIRST = "month_first"
    UNKNOWN = "unknown"
    """Nothing in the file decides it: ambiguous dates are refused."""


class Read(msgspec.Struct, Generic[T], frozen=True):
    """A cell that was understood, and in words what was repaired to do so (empty: nothing)."""

    value: T
    note: str = ""
