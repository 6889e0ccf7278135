"""The audit log's rows in PostgreSQL, and the port both stores keep.

Writers call ``append_many``; readers of the outbox ``read_sealed``, by a sequence that has no gaps
and never changes; the rest serves the sealer and the verifier.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from caiwutong.audit.model import Batch, Event
from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, pg
from caiwutong.db.queries import load
from caiwutong.kernel.errors import Broken

_sql = load(__package__ or "")

_EVENT = ("tenant", "event_id", "kind", "subject_kind", "subject_id", "actor", "at", "body")

Cursor = tuple[int, UUID]
"""A place in the order of sealing: (xid, event id) of the last event taken."""


class AuditStore(Protocol):
    """Rows of the audit log: one store for PostgreSQL, one in memory, one contract suite."""

    async def append_many(self, tx: Tx, events: Sequence[Event]) -> None:
        """Write these events; they become visible with the transaction."""
        ...

    async def timeline(self, tx: Tx, tenant: str, subject_id: UUID) -> list[Event]:
        """Everything told of this subject, sealed or not, in time order."""
        ...

    async def read_sealed(
        self, tx: Tx, tenant: str, after_seq: int, limit: int
    ) -> list[tuple[int, Event]]:
        """The sealed events ``after_seq + 1`` and up, with their seq. The first event has seq 1."""
        ...

    async def sealed_sizes(self, tx: Tx) -> dict[str, int]:
        """The last sealed seq of every tenant that has one."""
        ...

    async def tenants(self, tx: Tx) -> list[str]:
        """Every tenant with an event or a batch."""
        ...

    async def pending(self, tx: Tx) -> list[str]:
        """Tenants with events that may be sealed now."""
        ...

    async def lock_tree(self, tx: Tx, tenant: str) -> bool:
        """Become the only sealer of this tenant until the transaction ends; False if it is not
        to be had."""
        ...

    async def last_batch(self, tx: Tx, tenant: str) -> Batch | None: ...

    async def next_events(self, tx: Tx, tenant: str, after: Cursor, limit: int) -> list[Event]:
        """What may be sealed next, in order."""
        ...

    async def next_xid(self, tx: Tx) -> int:
        """The number the next transaction will get."""
        ...

    async def save_batch(self, tx: Tx, batch: Batch) -> None: ...

    async def batches_after(
        self, tx: Tx, tenant: str, batch_no: int, limit: int
    ) -> list[Batch]: ...

    async def batch_of(self, tx: Tx, tenant: str, place: Cursor) -> Batch | None:
        """The first batch that reaches this place in the order of sealing."""
        ...

    async def batch_at(self, tx: Tx, tenant: str, seq: int) -> Batch | None:
        """The batch that holds this event number; the last one for a number beyond it."""
        ...

    async def batch_sealed_from(self, tx: Tx, tenant: str, at: datetime) -> Batch | None:
        """The first batch sealed at this moment or later."""
        ...

    def stream_events(self, tx: Tx, tenant: str) -> AsyncGenerator[Event]:
        """Every event in the order of sealing."""
        ...

    def stream_batches(self, tx: Tx, tenant: str) -> AsyncGenerator[Batch]:
        """Every batch in order."""
        ...

    async def event_exists(self, tx: Tx, tenant: str, event_id: UUID) -> bool: ...

    async def event_sealed(self, tx: Tx, tenant: str, event_id: UUID) -> int | None:
        """The seq this event was sealed under, or None."""
        ...


class PostgresAuditStore:
    """The audit log in PostgreSQL. Inserts by arrays; reads by the primary key."""

    async def append_many(self, tx: Tx, events: Sequence[Event]) -> None:
        if not events:
            return
        rows = [
            (
                e.tenant, e.event_id, e.kind, e.subject_kind, e.subject_id, e.actor, e.at, e.body,
            )
            for e in events
        ]  # fmt: skip
        await pg(tx).copy_records("audit_events", _EVENT, rows)

    async def timeline(self, tx: Tx, tenant: str, subject_id: UUID) -> list[Event]:
        return [_event(row) for row in await pg(tx).fetch(_sql["timeline"], tenant, subject_id)]

    async def read_sealed(
        self, tx: Tx, tenant: str, after_seq: int, limit: int
    ) -> list[tuple[int, Event]]:
        rows = await pg(tx).fetch(_sql["read_sealed"], tenant, after_seq, limit)
        found = [(row["seq"], _event(row, 1)) for row in rows]
        for place, (seq, _) in enumerate(found, after_seq + 1):
            if seq != place:
                raise sealed_event_missing(tenant, place)
        return found

    async def sealed_sizes(self, tx: Tx) -> dict[str, int]:
        return {row[0]: row[1] for row in await pg(tx).fetch(_sql["sealed_sizes"])}

    async def tenants(self, tx: Tx) -> list[str]:
        return [row["tenant"] for row in await pg(tx).fetch(_sql["tenants"])]

    async def pending(self, tx: Tx) -> list[str]:
        return [row["tenant"] for row in await pg(tx).fetch(_sql["pending"])]

    async def lock_tree(self, tx: Tx, tenant: str) -> bool:
        return bool(await pg(tx).value(_sql["lock_tree"], tenant))

    async def last_batch(self, tx: Tx, tenant: str) -> Batch | None:
        row = await pg(tx).fetch_one(_sql["last_batch"], tenant)
        return None if row is None else _batch(row)

    async def next_events(self, tx: Tx, tenant: str, after: Cursor, limit: int) -> list[Event]:
        rows = await pg(tx).fetch(_sql["next_events"], tenant, *after, limit)
        return [_event(row) for row in rows]

    async def next_xid(self, tx: Tx) -> int:
        return int(await pg(tx).value(_sql["next_xid"]))

    async def save_batch(self, tx: Tx, batch: Batch) -> None:
        b = batch
        await pg(tx).execute(
            _sql["save_batch"], b.tenant, b.batch_no, b.first_seq, b.count, b.event_ids,
            b.event_xids, b.last_xid, b.last_event_id, b.leaves, b.frontier, b.root, b.head,
            b.signature, b.sealed_at,
        )  # fmt: skip

    async def batches_after(self, tx: Tx, tenant: str, batch_no: int, limit: int) -> list[Batch]:
        rows = await pg(tx).fetch(_sql["batches_after"], tenant, batch_no, limit)
        return [_batch(row) for row in rows]

    async def batch_of(self, tx: Tx, tenant: str, place: Cursor) -> Batch | None:
        row = await pg(tx).fetch_one(_sql["batch_of"], tenant, *place)
        return None if row is None else _batch(row)

    async def batch_at(self, tx: Tx, tenant: str, seq: int) -> Batch | None:
        row = await pg(tx).fetch_one(_sql["batch_at"], tenant, seq)
        return None if row is None else _batch(row)

    async def batch_sealed_from(self, tx: Tx, tenant: str, at: datetime) -> Batch | None:
        row = await pg(tx).fetch_one(_sql["batch_sealed_from"], tenant, at)
        return None if row is None else _batch(row)

    async def stream_events(self, tx: Tx, tenant: str) -> AsyncGenerator[Event]:
        async for row in pg(tx).cursor(_sql["stream_events"], tenant):
            yield _event(row)

    async def stream_batches(self, tx: Tx, tenant: str) -> AsyncGenerator[Batch]:
        async for row in pg(tx).cursor(_sql["stream_batches"], tenant):
            yield _batch(row)

    async def event_exists(self, tx: Tx, tenant: str, event_id: UUID) -> bool:
        return bool(await pg(tx).value(_sql["event_exists"], tenant, event_id))

    async def event_sealed(self, tx: Tx, tenant: str, event_id: UUID) -> int | None:
        return await pg(tx).value(_sql["event_sealed"], tenant, event_id)


def sealed_event_missing(tenant: str, seq: int) -> Broken:
    """A sealed event is not in the log any more: someone removed it with a superuser's rights."""
    return Broken(
        "audit.sealed_event_missing",
        f"Event {seq} of {tenant} is sealed but no longer in the log.",
        "Run `caiwutong audit verify`, then restore the database from a backup.",
    )


def _event(row: Row, start: int = 0) -> Event:
    tenant, event_id, kind, subject_kind, subject_id, actor, at, body, recorded_at, xid = (
        row if start == 0 else tuple(row)[start:]
    )
    return Event(
        tenant=tenant, event_id=event_id, kind=kind, subject_kind=subject_kind,
        subject_id=subject_id, actor=actor, at=at, body=body, recorded_at=recorded_at, xid=xid,
    )  # fmt: skip


def _batch(row: Row) -> Batch:
    return Batch(**dict(row.items()))
