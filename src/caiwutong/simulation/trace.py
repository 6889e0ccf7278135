"""What happened in a run, event by event; its digest stands for the whole run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection


class Trace:
    """Every event: virtual seconds, who, what. Two runs are the same when their digests are."""

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self.now = now
        self._events: list[tuple[float, str, str]] = []

    def __len__(self) -> int:
        return len(self._events)

    def tell(self, who: str, what: str) -> None:
        self._events.append((self.now(), who, what))

    def digest(self) -> str:
        """SHA-256 over all events, in hex."""
        return hashlib.sha256("\n".join(self.lines()).encode()).hexdigest()

    def lines(self) -> list[str]:
        return [f"{at:14.6f}  {who:<10} {what}" for at, who, what in self._events]

    def about(self, names: Collection[str], most: int = 40) -> list[str]:
        """The last lines that speak of any of these names; the last of all where none is given."""
        lines = [
            f"{at:14.6f}  {who:<10} {what}"
            for at, who, what in self._events
            if not names or any(name in what for name in names)
        ]
        return lines[-most:]
