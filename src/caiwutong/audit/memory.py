"""The audit log's rows in memory: the twin of ``store.PostgresAuditStore``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.audit.model import Batch, Event
from caiwutong.audit.store import Cursor, sealed_event_missing
from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.kernel.clock import Clock


class MemoryAuditStore:
    """Lists by tenant, in the order of sealing: memory transactions come one after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._xid = 0
        self.events: dict[str, list[Event]] = {}
        self.batches: dict[str, list[Batch]] = {}
        self._by_subject: dict[tuple[str, UUID], list[Event]] = {}

    async def append_many(self, tx: Tx, events: Sequence[Event]) -> None:
        t, now = mem(tx), self._clock.now()
        for event in events:
            self._xid += 1
            stored = msgspec.structs.replace(event, recorded_at=now, xid=self._xid)
            t.append(self.events.setdefault(event.tenant, []), stored)
            key = event.tenant, event.subject_id
            t.append(self._by_subject.setdefault(key, []), stored)

    async def timeline(self, tx: Tx, tenant: str, subject_id: UUID) -> list[Event]:
        own = self._by_subject.get((tenant, subject_id), [])
        return sorted(own, key=lambda event: event.event_id)

    async def read_sealed(
        self, tx: Tx, tenant: str, after_seq: int, limit: int
    ) -> list[tuple[int, Event]]:
        batches, events = self.batches.get(tenant, []), self.events.get(tenant, [])
        found: list[tuple[int, Event]] = []
        first = max(bisect_right(batches, after_seq + 1, key=lambda b: b.first_seq) - 1, 0)
        for batch in batches[first:]:
            for seq, key in enumerate(
                zip(batch.event_xids, batch.event_ids, strict=True), batch.first_seq
            ):
                if seq <= after_seq:
                    continue
                if len(found) == limit:
                    return found
                at = bisect_right(events, key, key=_place) - 1
                if at < 0 or _place(events[at]) != key:
                    raise sealed_event_missing(tenant, seq)
                found.append((seq, events[at]))
        return found

    async def sealed_sizes(self, tx: Tx) -> dict[str, int]:
        return {tenant: own[-1].size for tenant, own in self.batches.items() if own}

    async def tenants(self, tx: Tx) -> list[str]:
        return sorted(
            {t for table in (self.events, self.batches) for t, own in table.items() if own}
        )

    async def pending(self, tx: Tx) -> list[str]:
        return sorted(
            tenant
            for tenant, events in self.events.items()
            if events and _place(events[-1]) > self._cursor(tenant)
        )

    async def lock_tree(self, tx: Tx, tenant: str) -> bool:
        return True  # The whole memory database is locked by the transaction.

    async def last_batch(self, tx: Tx, tenant: str) -> Batch | None:
        own = self.batches.get(tenant)
        return own[-1] if own else None

    async def next_events(self, tx: Tx, tenant: str, after: Cursor, limit: int) -> list[Event]:
        events = self.events.get(tenant, [])
        first = bisect_right(events, after, key=_place)
        return events[first : first + limit]

    async def next_xid(self, tx: Tx) -> int:
        return self._xid + 1

    async def save_batch(self, tx: Tx, batch: Batch) -> None:
        mem(tx).append(self.batches.setdefault(batch.tenant, []), batch)

    async def batches_after(self, tx: Tx, tenant: str, batch_no: int, limit: int) -> list[Batch]:
        own = self.batches.get(tenant, [])
        first = bisect_right(own, batch_no, key=lambda batch: batch.batch_no)
        return own[first : first + limit]

    async def batch_of(self, tx: Tx, tenant: str, place: Cursor) -> Batch | None:
        own = self.batches.get(tenant, [])
        found = bisect_left(own, place, key=lambda batch: (batch.last_xid, batch.last_event_id))
        return own[found] if found < len(own) else None

    async def batch_at(self, tx: Tx, tenant: str, seq: int) -> Batch | None:
        own = [batch for batch in self.batches.get(tenant, []) if batch.first_seq <= seq]
        return own[-1] if own else None

    async def batch_sealed_from(self, tx: Tx, tenant: str, at: datetime) -> Batch | None:
        return next((b for b in self.batches.get(tenant, []) if b.sealed_at >= at), None)

    async def stream_events(self, tx: Tx, tenant: str) -> AsyncGenerator[Event]:
        for event in list(self.events.get(tenant, [])):
            yield event

    async def stream_batches(self, tx: Tx, tenant: str) -> AsyncGenerator[Batch]:
        for batch in list(self.batches.get(tenant, [])):
            yield batch

    async def event_exists(self, tx: Tx, tenant: str, event_id: UUID) -> bool:
        return any(event.event_id == event_id for event in self.events.get(tenant, []))

    async def event_sealed(self, tx: Tx, tenant: str, event_id: UUID) -> int | None:
        for batch in self.batches.get(tenant, []):
            if event_id in batch.event_ids:
                return batch.first_seq + batch.event_ids.index(event_id)
        return None

    def _cursor(self, tenant: str) -> Cursor:
        own = self.batches.get(tenant)
        return (own[-1].last_xid, own[-1].last_event_id) if own else (0, UUID(int=0))


def _place(event: Event) -> Cursor:
    return event.xid, event.event_id
