"""What the network asks of a system that settles gross. Next: ``hvps_centre``, which is one."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from caiwutong.sandbox.centre import Transfer


class Gross(Protocol):
    """A system that settles payments one by one instead of netting them (HVPS)."""

    def take(self, transfer: Transfer) -> Transfer:
        """A transfer was submitted: settle it or let it wait; gives it as it then stands."""
        ...

    def opens(self, at: datetime) -> datetime | None:
        """None while it takes payments; else when it will."""
        ...

    def heal(self, bank: str) -> int:
        """Look again at what was kept silent; gives how many were woken."""
        ...

    def recover(self) -> int:
        """Finish what a kill left half-way; gives how many."""
        ...
