"""A sealed log in memory, for tests that need events and not the sealing."""

from __future__ import annotations

from datetime import UTC, datetime

from caiwutong.db.database import Tx
from caiwutong.erp.feed import FeedEvent

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)


def event(seq: int, kind: str = "payment.completed") -> FeedEvent:
    return FeedEvent(
        seq=seq,
        id=f"0195{seq:08x}",
        kind=kind,
        subject_kind="payment",
        subject=f"p{seq}",
        actor="system:worker",
        at=NOW,
        recorded_at=NOW,
        data={"amount_fen": seq},
    )


class ListFeed:
    """Events by tenant; the list is the sealed log."""

    def __init__(self) -> None:
        self.events: dict[str, list[FeedEvent]] = {}
        self.reads = 0

    def seal(self, tenant: str, count: int, kind: str = "payment.completed") -> None:
        log = self.events.setdefault(tenant, [])
        log.extend(event(len(log) + 1, kind) for _ in range(count))

    async def read(self, tx: Tx, tenant: str, after_seq: int, limit: int) -> list[FeedEvent]:
        self.reads += 1
        return self.events.get(tenant, [])[after_seq : after_seq + limit]

    async def heads(self, tx: Tx) -> dict[str, int]:
        return {tenant: len(log) for tenant, log in self.events.items() if log}
