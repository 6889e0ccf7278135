"""What happens on a connection, apart from any protocol: bodies out, delays, and broken lines."""

from __future__ import annotations

import itertools
import time
from datetime import datetime
from enum import StrEnum

import msgspec

from caiwutong.kernel.clock import CHINA
from caiwutong.sandbox.faults import FaultKind, Faults, Rule


class Fate(StrEnum):
    """What the other side sees of our answer."""

    ANSWERED = "answered"
    RESET = "reset"
    """The connection breaks without an answer."""
    UNAVAILABLE = "503"
    BLACKHOLE = "blackhole"
    """Nothing comes, ever; the caller's own timeout ends it."""


class Reply(msgspec.Struct):
    """The answer to one request, and how it travels."""

    body: bytes = b""
    fate: Fate = Fate.ANSWERED
    delay_s: float = 0.0
    """Business seconds until it leaves."""
    status: int = 200


def outage(faults: Faults, reference: str, at: datetime, *, channel: str, bank: str) -> Fate | None:
    """How the line is broken now, or None when it works."""
    rule: Rule | None = faults.strike(FaultKind.OUTAGE, reference, at, channel=channel, bank=bank)
    return None if rule is None else Fate(rule.mode)


_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class MessageIds:
    """Message ids of twenty characters that do not repeat, also not after a restart."""

    def __init__(self) -> None:
        # Microseconds of the machine's clock: a restart begins above where the last run ended.
        self._next = itertools.count(time.time_ns() // 1000)

    def new(self, at: datetime) -> str:
        """The date in China and twelve characters that rise."""
        number = next(self._next)
        tail: list[str] = []
        for _ in range(12):
            number, digit = divmod(number, 36)
            tail.append(_BASE36[digit])
        return f"{at.astimezone(CHINA):%Y%m%d}{''.join(reversed(tail))}"


def clean(text: str, limit: int) -> str:
    """Text that fits any message: no line breaks, no ``|``, no blanks around, at most so long."""
    return " ".join(text.replace("|", "/").split())[:limit].strip()
