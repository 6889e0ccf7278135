"""Business time and randomness as ports.

The house never asks the machine for the time: it asks a ``Clock``. Hub and sandbox read one
shared clock that can run faster or jump ahead; a simulation hands in its own. This file (and the
simulator) may import ``time`` and ``random``; nobody else may.

All instants are aware UTC datetimes. Bank dates are dates in China (``CHINA``, no daylight saving).
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Protocol

CHINA = timezone(timedelta(hours=8), "Asia/Shanghai")


class Clock(Protocol):
    """Says what the business time is, and how long a real wait is for a business duration."""

    def now(self) -> datetime:
        """The business time, aware UTC."""
        ...

    def real_seconds(self, business_seconds: float) -> float:
        """How many real seconds pass while business time moves on by this much."""
        ...


class Randomness(Protocol):
    """Where unpredictable bytes come from."""

    def bytes(self, n: int) -> bytes: ...


class SystemRandomness:
    """The operating system's randomness."""

    def bytes(self, n: int) -> bytes:
        return os.urandom(n)


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def real_seconds(self, business_seconds: float) -> float:
        return business_seconds


class ManualClock:
    """A clock that moves only when told to: for tests."""

    def __init__(self, at: datetime) -> None:
        self._now = at

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> datetime:
        self._now += timedelta(seconds=seconds)
        return self._now

    def set(self, at: datetime) -> None:
        self._now = at

    def real_seconds(self, business_seconds: float) -> float:
        return business_seconds


class SharedClock:
    """A clock kept in a small file, shared by hub and sandbox: business time =
    ``business + (real now - real) * scale``. Without the file it is the machine's own time.

    The file is looked at once every 50 ms at most, so ``now`` stays cheap.
    """

    _LOOK_EVERY_S = 0.05

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = -1.0
        self._mtime = -1
        self._real = 0.0
        self._business = 0.0
        self._scale = 1.0

    def now(self) -> datetime:
        self._look()
        return datetime.fromtimestamp(
            self._business + (time.time() - self._real) * self._scale, UTC
        )

    @property
    def scale(self) -> float:
        self._look()
        return self._scale

    def real_seconds(self, business_seconds: float) -> float:
        self._look()
        return business_seconds / self._scale

    def set(self, *, at: datetime | None = None, scale: float | None = None) -> None:
        """Jump to ``at`` and run at ``scale`` from now on. Business time never goes back."""
        self._looked_at = -1.0
        present = self.now()
        target = max(at, present) if at is not None else present
        record = {
            "real": time.time(),
            "business": target.timestamp(),
            "scale": self._scale if scale is None else scale,
        }
        draft = self._path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(json.dumps(record))
        draft.replace(self._path)
        self._looked_at = -1.0

    def _look(self) -> None:
        tick = time.monotonic()
        if 0 <= tick - self._looked_at < self._LOOK_EVERY_S:
            return
        self._looked_at = tick
        with contextlib.suppress(FileNotFoundError):
            mtime = self._path.stat().st_mtime_ns
            if mtime != self._mtime:
                record = json.loads(self._path.read_text())
                self._real, self._business = record["real"], record["business"]
                self._scale = record["scale"]
                self._mtime = mtime


def monotonic() -> float:
    """Real seconds from an arbitrary start, for measuring how long something took."""
    return time.perf_counter()


def china_date(at: datetime) -> date:
    """The calendar day in China at this instant: the date banks mean."""
    return at.astimezone(CHINA).date()


def china_midnight(day: date) -> datetime:
    """The instant at which this day begins in China, as UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=CHINA).astimezone(UTC)
