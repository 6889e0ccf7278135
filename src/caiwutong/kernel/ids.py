"""Time-ordered identifiers (UUID version 7, RFC 9562) and the references that rails carry.

Ids come from the business clock and a source of randomness, both ports, so that a simulation
replays them. Time order matters: random keys in one index are the long-run enemy of a large table.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

from caiwutong.kernel.clock import CHINA, Clock, Randomness

_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Ids:
    """Makes new ids. Within one process they rise strictly, also inside one millisecond."""

    def __init__(self, clock: Clock, randomness: Randomness) -> None:
        self._clock = clock
        self._randomness = randomness
        self._last_ms = 0
        self._count = 0
        self._pool = b""
        self._at = 0

    def new(self) -> UUID:
        """One new id: 48 bits of milliseconds, 12 bits of count, 62 random bits."""
        ms = int(self._clock.now().timestamp() * 1000)
        if ms > self._last_ms:
            self._last_ms, self._count = ms, 0
        else:
            self._count += 1
            if self._count == 4096:
                self._last_ms, self._count = self._last_ms + 1, 0
        if self._at + 8 > len(self._pool):
            self._pool, self._at = self._randomness.bytes(4096), 0
        tail = int.from_bytes(self._pool[self._at : self._at + 8]) & 0x3FFF_FFFF_FFFF_FFFF
        self._at += 8
        return UUID(int=self._last_ms << 80 | 0x7000 << 64 | self._count << 64 | 1 << 63 | tail)


def reference(at: datetime, attempt_id: UUID) -> str:
    """The 20-character reference a rail carries for an attempt: the date in China and twelve
    characters of the attempt's id. Short enough for every rail (CNAPS MesgID 20, CMB yurRef 30),
    unique for ever where thirteen months are asked for."""
    number = attempt_id.int & 0x3FFF_FFFF_FFFF_FFFF
    tail: list[str] = []
    for _ in range(12):
        number, digit = divmod(number, 36)
        tail.append(_BASE36[digit])
    return f"{at.astimezone(CHINA):%Y%m%d}{''.join(tail)}"


def derived(base: UUID, label: str) -> UUID:
    """An id that always follows from another one and a label: the transfer that posts a payment has
    the same id however often it is asked for. Keeps the time order of its base."""
    tail = hashlib.sha256(base.bytes + label.encode()).digest()
    return UUID(int=(base.int >> 64 << 64) | 1 << 63 | int.from_bytes(tail[:8]) >> 2)
