"""One tenant's log walked from its first event to its last: where ``verify`` does its checking.

Events and batches are read side by side, one batch at a time. What the vault's key has signed is
the measure; the rest of the row must agree with it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.audit.heads import MARK_BYTES, Head, SignedHead, decode_head, signature_is_good
from caiwutong.audit.model import Batch, Event, leaf_hash
from caiwutong.audit.store import AuditStore
from caiwutong.crypto.merkle import HASH_BYTES, GrowingTree
from caiwutong.db.database import Tx
from caiwutong.kernel.errors import Broken


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that is wrong in a tenant's log.

    ``what``: edited, deleted, inserted, reordered, batch_altered, batch_missing, tail_missing,
    head_altered, head_missing; against a witness, history_rewritten. ``seq`` and ``event_id``
    name the event where one can be named; otherwise ``seq`` is the first one affected.
    """

    tenant: str
    what: str
    detail: str
    batch_no: int
    seq: int | None = None
    event_id: UUID | None = None


class Wrong(Exception):
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.detail)
        self.finding = finding


class Walk:
    """One tenant's log, from its first event to its last."""

    def __init__(
        self, store: AuditStore, tenant: str, public_key: bytes, exported: Iterator[SignedHead]
    ) -> None:
        self.events = self.batches = self.heads = self.unsealed = 0
        self._store = store
        self._tenant = tenant
        self._key = public_key
        self._exported = exported
        self._next_exported = next(exported, None)
        self._tree = GrowingTree()
        self._cursor: tuple[int, UUID] = (0, UUID(int=0))

    async def run(self, tx: Tx) -> None:
        """Check it all; raises ``Wrong`` at the first thing that is wrong."""
        async with (
            aclosing(self._store.stream_batches(tx, self._tenant)) as batches,
            aclosing(self._store.stream_events(tx, self._tenant)) as events,
        ):
            # Batches first: every event of a batch we see is then visible to the second query.
            batch = await anext(batches, None)
            event = await anext(events, None)
            while batch is not None:
                head = self._check_head(batch)
                event = await self._check_events(tx, batch, head, events, event)
                self._check_tree(batch, head)
                self._check_exported(batch)
                self._cursor = batch.last_xid, batch.last_event_id
                self.batches += 1
                batch = await anext(batches, None)
            self._check_no_more_exported()
            while event is not None:
                self.unsealed += 1
                event = await anext(events, None)

    def _check_head(self, batch: Batch) -> Head:
        """The row is the next batch, and its head is the vault's word for this very row."""
        expected_no = self.batches + 1
        if batch.batch_no != expected_no:
            raise self._wrong(
                "batch_missing",
                f"Batch {expected_no} is missing; batch {batch.batch_no} comes next.",
                expected_no,
                self._tree.size + 1,
            )
        if not signature_is_good(self._key, batch.head, batch.signature):
            raise self._altered(batch, "its head is not signed by the vault's key")
        try:
            head = decode_head(batch.head)
        except Broken as broken:
            raise self._altered(batch, broken.detail) from None
        if (head.tenant, head.batch_no) != (self._tenant, batch.batch_no):
            raise self._altered(batch, f"its head is that of {head.tenant} {head.batch_no}")
        if batch.first_seq != self._tree.size + 1 or batch.size != head.size:
            raise self._altered(batch, "its place in the sequence is not the sealed one")
        if (
            not len(batch.event_ids) == len(batch.event_xids) == batch.count
            or len(batch.leaves) != HASH_BYTES * batch.count
            or len(head.mark_bytes()) != MARK_BYTES * batch.count
        ):
            raise self._altered(batch, "its lists are longer or shorter than it says")
        return head

    async def _check_events(
        self,
        tx: Tx,
        batch: Batch,
        head: Head,
        events: AsyncGenerator[Event],
        event: Event | None,
    ) -> Event | None:
        """Each event of the batch against its leaf; the first event after the batch."""
        marks = head.mark_bytes()
        for place, (xid, event_id) in enumerate(
            zip(batch.event_xids, batch.event_ids, strict=True)
        ):
            seq = batch.first_seq + place
            if event is None or event.event_id != event_id:
                raise await self._out_of_place(tx, batch, seq, event_id, event)
            leaf = leaf_hash(event)
            sealed = batch.leaves[place * HASH_BYTES : (place + 1) * HASH_BYTES]
            if leaf[:MARK_BYTES] != marks[place * MARK_BYTES : (place + 1) * MARK_BYTES]:
                raise self._wrong(
                    "edited", _edited(event, xid, sealed == leaf), batch.batch_no, seq, event_id
                )
            if leaf != sealed or xid != event.xid:
                raise self._altered(batch, f"its leaf {seq} is not the sealed one", seq, event_id)
            self._tree.append(leaf)
            self.events += 1
            event = await anext(events, None)
        return event

    async def _out_of_place(
        self, tx: Tx, batch: Batch, seq: int, event_id: UUID, found: Event | None
    ) -> Wrong:
        """Which of two: something that should not be here, or something that is not here."""
        if found is not None:
            place = await self._store.event_sealed(tx, self._tenant, found.event_id)
            here = found.xid, found.event_id
            if (place is None or place < seq) and here <= (batch.last_xid, batch.last_event_id):
                why = "was never sealed" if place is None else f"is a copy of event {place}"
                return self._wrong(
                    "inserted",
                    f"Event {found.event_id} stands before event {seq} but {why}.",
                    batch.batch_no,
                    seq,
                    found.event_id,
                )
        if await self._store.event_exists(tx, self._tenant, event_id):
            return self._wrong(
                "reordered",
                f"Event {event_id} was sealed as {seq} but another row stands there now: a "
                "transaction number was altered.",
                batch.batch_no,
                seq,
                event_id,
            )
        return self._wrong(
            "deleted",
            f"Event {event_id} was sealed as {seq} and is gone.",
            batch.batch_no,
            seq,
            event_id,
        )

    def _check_tree(self, batch: Batch, head: Head) -> None:
        """The root that the events give is the signed one, and the row repeats it."""
        if self._tree.root().hex() != head.root:
            raise self._altered(batch, "its events do not give the signed root")
        if batch.root.hex() != head.root or batch.frontier != self._tree.frontier():
            raise self._altered(batch, "its root or its peaks are not the sealed ones")
        last = batch.event_xids[-1], batch.event_ids[-1]
        if (batch.last_xid, batch.last_event_id) != last or last <= self._cursor:
            raise self._altered(batch, "its last event is not the sealed one")
        if batch.sealed_at != datetime.fromisoformat(head.at):
            raise self._altered(batch, "its time is not the sealed one")

    def _check_exported(self, batch: Batch) -> None:
        """The exported heads up to this batch are those of the database."""
        line = self._next_exported
        while line is not None and line.decoded().batch_no <= batch.batch_no:
            if bytes(line.head) != batch.head or line.decoded().batch_no < batch.batch_no:
                raise self._wrong(
                    "head_altered",
                    f"Exported head {line.decoded().batch_no} is not the one in the database.",
                    batch.batch_no,
                    batch.first_seq,
                )
            self.heads += 1
            line = self._next_exported = next(self._exported, None)
        if line is not None and self.heads and line.decoded().batch_no > batch.batch_no + 1:
            missing = batch.batch_no + 1
            raise self._wrong(
                "head_missing",
                f"Exported head {missing} is gone; head {line.decoded().batch_no} comes next.",
                missing,
                self._tree.size + 1,
            )

    def _check_no_more_exported(self) -> None:
        line = self._next_exported
        if line is not None:
            head = line.decoded()
            raise self._wrong(
                "tail_missing",
                f"Head {head.batch_no} was exported with {head.size} events at least; the "
                f"database holds {self.batches} batches with {self._tree.size}.",
                head.batch_no,
                self._tree.size + 1,
            )

    def _altered(
        self, batch: Batch, why: str, seq: int | None = None, event_id: UUID | None = None
    ) -> Wrong:
        first, last = batch.first_seq, batch.first_seq + batch.count - 1
        detail = f"Batch {batch.batch_no} (events {first} to {last}): {why}."
        number = self.batches + 1
        return self._wrong("batch_altered", detail, number, seq or self._tree.size + 1, event_id)

    def _wrong(
        self, what: str, detail: str, batch_no: int, seq: int | None, event_id: UUID | None = None
    ) -> Wrong:
        return Wrong(
            Finding(
                tenant=self._tenant,
                what=what,
                detail=detail,
                batch_no=batch_no,
                seq=seq,
                event_id=event_id,
            )
        )


def _edited(event: Event, sealed_xid: int, row_agrees: bool) -> str:
    if event.xid != sealed_xid:
        what = f"its transaction number is {event.xid}, sealed as {sealed_xid}"
    else:
        what = "its columns no longer give the hash it was sealed with"
    also = "; the batch's leaf was rewritten to fit" if row_agrees else ""
    return f"Event {event.event_id} ({event.kind}): {what}{also}."
