"""What one run is to measure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

BENCHES = ("intake", "ledger", "lifecycle")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much to do. The defaults take about five minutes."""

    benches: Sequence[str] = BENCHES
    seconds: float = 10.0
    connections: Sequence[int] = (256, 512, 1024)
    payments: int = 4_000
    """Payments of the life cycle over IBPS and over BEPS; a third of it over ``bank_direct``."""
    scale: int = 50
    """pgbench's scale."""
    own_generator: bool = False
