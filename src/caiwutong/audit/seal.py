"""The sealer: puts events into batches of the Merkle tree, signs each head, exports it.

Promises: every committed event is sealed exactly once, in the order (transaction, event id), with
a sequence that has no gaps; none is skipped however late its transaction commits; two sealers never
fork a tree; a head is exported only after its batch is durable, and what a crash kept from being
exported is exported first next time. If database and exported heads disagree, it refuses to go on.

A writing transaction that stays open, in any database of the server, holds the sealing of later
ones back: keep them short.
Old leaves are never read again: the tree goes on from its peaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from caiwutong.audit.heads import Head, HeadsOut, SignedHead, marks
from caiwutong.audit.model import Batch, Event, leaf_hash
from caiwutong.audit.store import AuditStore
from caiwutong.crypto.merkle import GrowingTree
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Broken, Conflict, InDoubt, Unavailable

BATCH_EVENTS = 1024
"""The most events of one batch: what a reader of the middle of a batch skips at most."""

EVERY_S = 0.1
"""How often the sealer looks: an event waits for its seal about this long."""

_EXPORT_AT_ONCE = 256
_START = (0, UUID(int=0))


class HeadSigner(Protocol):
    """The vault, as the sealer needs it."""

    def sign_head(self, head: bytes) -> bytes: ...


class Sealer:
    """Seals the log of every tenant. Run as many as you like: one at a time works on a tenant."""

    def __init__(
        self,
        database: Database,
        store: AuditStore,
        signer: HeadSigner,
        heads: HeadsOut,
        clock: Clock,
        *,
        batch_events: int = BATCH_EVENTS,
        every_s: float = EVERY_S,
        idle_s: float = EVERY_S,
    ) -> None:
        """``idle_s``: how long to sleep when there was nothing, unless woken. Events of other
        processes do not wake it, so keep it short there."""
        self._database = database
        self._store = store
        self._signer = signer
        self._heads = heads
        self._clock = clock
        self._batch_events = batch_events
        self._every_s = every_s
        self._idle_s = idle_s
        self._awake = asyncio.Event()
        self._exported = False

    def wake(self) -> None:
        """There are new events in this process: look soon, even if asleep for longer."""
        self._awake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Seal until told to stop. Waits out an absent database; ``Broken`` ends it."""
        while not stop.is_set():
            self._awake.clear()
            try:
                count = await self.run_once()
            except (Unavailable, InDoubt):
                count = 0
            if count >= self._batch_events:
                continue
            if count:
                # Events of the same moment share a batch, a signature and a disk write.
                await _first_of(self._every_s, stop)
            else:
                await _first_of(self._idle_s, stop, self._awake)

    async def run_once(self) -> int:
        """Seal one batch of every tenant that has something to seal; how many events."""
        if not self._exported:
            await self._export_the_missing()
        async with self._database.transaction() as tx:
            tenants = await self._store.pending(tx)
        sealed = list[Batch]()
        self._exported = False
        try:
            for tenant in tenants:
                batch = await self._seal(tenant)
                if batch is not None:
                    sealed.append(batch)
        finally:
            await self._export(sealed)
        self._exported = True
        return sum(batch.count for batch in sealed)

    async def _seal(self, tenant: str) -> Batch | None:
        async with self._database.transaction() as tx:
            if not await self._store.lock_tree(tx, tenant):
                return None
            last = await self._store.last_batch(tx, tenant)
            after = (last.last_xid, last.last_event_id) if last else _START
            await self._refuse_another_past(tx, tenant)
            events = await self._store.next_events(tx, tenant, after, self._batch_events)
            if not events:
                return None
            batch = self._batch(tenant, last, events, self._clock.now())
            await self._store.save_batch(tx, batch)
        return batch

    def _batch(
        self, tenant: str, last: Batch | None, events: Sequence[Event], at: datetime
    ) -> Batch:
        tree = GrowingTree(last.size, last.frontier) if last else GrowingTree()
        first_seq, batch_no = tree.size + 1, (last.batch_no if last else 0) + 1
        leaves = [leaf_hash(event) for event in events]
        tree.extend(leaves)
        root = tree.root()
        head = Head(
            version=1,
            tenant=tenant,
            batch_no=batch_no,
            size=tree.size,
            root=root.hex(),
            at=at.astimezone(UTC).isoformat(timespec="microseconds"),
            marks=marks(leaves),
        ).encoded()
        return Batch(
            tenant=tenant,
            batch_no=batch_no,
            first_seq=first_seq,
            count=len(events),
            event_ids=[event.event_id for event in events],
            event_xids=[event.xid for event in events],
            last_xid=events[-1].xid,
            last_event_id=events[-1].event_id,
            leaves=b"".join(leaves),
            frontier=tree.frontier(),
            root=root,
            head=head,
            signature=self._signer.sign_head(head),
            sealed_at=at,
        )

    async def _refuse_a_younger_server(self, tx: Tx, tenant: str) -> None:
        """A dump restored into a new server brings its old transaction numbers: events written
        there would sort before the last batch and never be sealed."""
        last, next_xid = await self._store.last_batch(tx, tenant), await self._store.next_xid(tx)
        if last is not None and last.last_xid >= next_xid:
            raise Broken(
                "audit.transaction_numbers_went_back",
                f"The log of {tenant} is sealed up to transaction {last.last_xid}, but the server "
                f"counts only to {next_xid}: the data came from another server.",
                "Stop the server and set its counter with `pg_resetwal --epoch … "
                f"--next-transaction-id …` beyond {last.last_xid}.",
            )

    async def _refuse_another_past(self, tx: Tx, tenant: str) -> None:
        """Heads are exported after their batch, so the newest exported one is in the database."""
        exported = await self._heads.last(tenant)
        if exported is None:
            return
        found = await self._store.batches_after(tx, tenant, exported.batch_no - 1, 1)
        if not found or found[0].head != exported.encoded():
            raise Broken(
                "audit.history_differs",
                f"Batch {exported.batch_no} of {tenant} in the database is not the one that was "
                "exported: the database was restored to an earlier moment, or altered.",
                "Run `caiwutong audit verify`. After a known restore, archive heads.jsonl under "
                "another name.",
            )

    async def _export_the_missing(self) -> None:
        """Export what a crash left behind, after checking that the past is the exported one."""
        async with self._database.transaction() as tx:
            tenants = {*await self._store.tenants(tx), *await self._heads.tenants()}
            for tenant in sorted(tenants):
                await self._refuse_another_past(tx, tenant)
                await self._refuse_a_younger_server(tx, tenant)
        for tenant in sorted(tenants):
            while batches := await self._not_exported(tenant):
                await self._heads.append([SignedHead.of(b.head, b.signature) for b in batches])
        self._exported = True

    async def _not_exported(self, tenant: str) -> list[Batch]:
        exported = await self._heads.last(tenant)
        number = exported.batch_no if exported else 0
        async with self._database.transaction() as tx:
            return await self._store.batches_after(tx, tenant, number, _EXPORT_AT_ONCE)

    async def _export(self, batches: Sequence[Batch]) -> None:
        try:
            await self._heads.append([SignedHead.of(b.head, b.signature) for b in batches])
        except Conflict:
            # Another sealer has sealed the batch before ours and not yet exported it.
            await self._export_the_missing()


async def _first_of(seconds: float, *signs: asyncio.Event) -> None:
    """Return when the first sign is given, or after these seconds."""
    waits = [asyncio.ensure_future(sign.wait()) for sign in signs]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
