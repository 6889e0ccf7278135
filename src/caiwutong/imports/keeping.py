"""Keeping an import: its file under seal, its rows written with its progress, its lease.

One runner works on an import at a time. It holds a lease for seconds, renewed with every write, and
a fence that every write names: a runner that was thought dead and is not can no longer write.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

from caiwutong.db.database import Database, Tx
from caiwutong.imports.ports import Log, Seal
from caiwutong.imports.readers import Source, open_source
from caiwutong.imports.records import Chunk, Import, Progress, RowOutcome, State, progress_of
from caiwutong.imports.store import ImportStore
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import CaiwutongError, Conflict, NotFound, Refused

PART_BYTES = 1 << 20
LEASE_REAL_S = 5.0
"""How long an import stays with a runner that has gone silent."""
FILE_CLASS = "import_file"
"""The vault's record class of kept files."""

Hear = Callable[[Progress], None]
"""Hears of progress as it is written."""


class Keeper:
    """Claims, writes and releases imports."""

    def __init__(
        self, *, database: Database, store: ImportStore, seal: Seal, log: Log, clock: Clock
    ) -> None:
        self._database = database
        self._store = store
        self._seal = seal
        self._log = log
        self._clock = clock

    # ------------------------------------------------------------------ the file

    async def add(self, tenant: str, record: Import, data: bytes) -> Import | None:
        """Keep a new import with its file; the import that holds this file already, if one does."""
        parts = await asyncio.to_thread(self._sealed_parts, tenant, record.import_id, data)
        async with self._database.transaction() as tx:
            before = await self._store.by_digest(tx, tenant, record.digest)
            if before is not None:
                return before
            if await self._store.insert(tx, tenant, record, parts):
                await self._tell(tx, tenant, record, "import.received")
                return None
        async with self._database.transaction() as tx:  # another request was faster
            return await self._store.by_digest(tx, tenant, record.digest)

    @asynccontextmanager
    async def open(self, tenant: str, record: Import) -> AsyncGenerator[Source]:
        """The kept file as a source. Raises Refused for what cannot be a list of payments."""
        async with self._database.transaction() as tx:
            parts = await self._store.file(tx, tenant, record.import_id)

        def read() -> Source:
            packed = b"".join(
                self._seal.open(FILE_CLASS, part, _place(tenant, record.import_id, number))
                for number, part in enumerate(parts)
            )
            parts.clear()
            return open_source(zlib.decompress(packed), sheet=record.sheet)

        source = await asyncio.to_thread(read)
        try:
            yield source
        finally:
            source.close()

    def _sealed_parts(self, tenant: str, import_id: UUID, data: bytes) -> list[bytes]:
        packed = zlib.compress(data, 6)
        return [
            self._seal.seal(
                FILE_CLASS, packed[at : at + PART_BYTES], _place(tenant, import_id, number)
            )
            for number, at in enumerate(range(0, len(packed), PART_BYTES))
        ]

    # ------------------------------------------------------------------ the lease

    async def claim(self, tenant: str, import_id: UUID) -> Import:
        """The import, ours to work on. Raises NotFound, or Conflict while another has it."""
        async with self._database.transaction() as tx:
            record = await self._store.claim(
                tx, tenant, import_id, self._clock.now(), self._lease()
            )
            if record is None and await self._store.get(tx, tenant, import_id) is None:
                raise not_found(import_id)
        if record is None:
            raise Conflict(
                "imports.running",
                f"Import {import_id} is being worked on.",
                "Read its progress; it needs no second run.",
            )
        return record

    async def release(self, tenant: str, record: Import) -> None:
        """Give it back as it is."""
        record.lease_until = None
        async with self._database.transaction() as tx:
            await self._store.save(tx, tenant, record)

    def begin(self, record: Import, state: State) -> None:
        """Mark the start of a run."""
        record.state = state
        record.error = record.finished_at = None
        self.first_row(record)

    def first_row(self, record: Import) -> None:
        """Mark that rows are flowing now: the rate is counted from here, without the time that
        opening the file took."""
        record.run_started_at = record.updated_at = self._clock.now()
        record.run_from = record.rows_done

    def end(self, record: Import, state: State) -> None:
        """Mark the end of a run; the next ``save`` gives the import back."""
        record.state, record.lease_until = state, None
        if state is State.FINISHED:
            record.finished_at = self._clock.now()

    def _lease(self) -> datetime:
        scale = max(self._clock.real_seconds(1.0), 1e-9)
        return self._clock.now() + timedelta(seconds=LEASE_REAL_S / scale)

    # ------------------------------------------------------------------ writing

    async def save(
        self,
        tenant: str,
        record: Import,
        hear: Hear | None,
        *,
        rows: list[RowOutcome] | None = None,
        chunk: Chunk | None = None,
        clear: bool = False,
        tell: str = "",
    ) -> None:
        """Write progress and outcomes together; renew the lease while the import runs. Raises
        Conflict when another runner took it over."""
        record.updated_at = self._clock.now()
        if record.state in (State.CHECKING, State.APPLYING):
            record.lease_until = self._lease()
        async with self._database.transaction() as tx:
            if not await self._store.save(tx, tenant, record):
                raise Conflict(
                    "imports.taken_over",
                    f"Another runner took import {record.import_id} over.",
                    "Read its progress; nothing was done twice.",
                )
            if clear:
                await self._store.clear(tx, tenant, record.import_id, chunks=True)
            if rows:
                await self._store.put_rows(tx, tenant, record.import_id, rows)
            if chunk is not None and chunk.row_nos:
                await self._store.put_chunk(tx, tenant, record.import_id, chunk)
            if tell:
                await self._tell(tx, tenant, record, tell)
        if hear is not None:
            hear(self.progress(record))

    async def stop(
        self, tenant: str, record: Import, error: CaiwutongError, hear: Hear | None
    ) -> None:
        """Write down that a run broke off, if that can still be written."""
        self.end(record, State.STOPPED)
        record.error = error.as_refusal()
        try:
            await self.save(tenant, record, hear, tell="import.stopped")
        except CaiwutongError:
            return  # The store is gone too: the lease runs out, and ``resume`` finds the import.

    async def refuse(self, tenant: str, record: Import, act: str, refused: Refused) -> None:
        """Record that this act on the import was refused."""
        await self._log.record_refusal(
            tenant,
            act,
            refused,
            actor=record.actor,
            subject_kind="import",
            subject_id=record.import_id,
        )

    async def _tell(self, tx: Tx, tenant: str, record: Import, kind: str) -> None:
        body = {
            "file_name": record.file_name,
            "digest": record.digest.hex(),
            "state": record.state.value,
            "rows": record.rows_done,
            "applied": record.applied,
            "applied_fen": record.applied_fen,
            "already": record.already,
            "not_applied": record.not_applied,
            "left_out": record.left_out,
        }
        event = self._log.event(
            tenant,
            kind,
            actor=record.actor,
            subject_kind="import",
            subject_id=record.import_id,
            body=body,
        )
        await self._log.append_many(tx, [event])

    def progress(self, record: Import) -> Progress:
        """How far it is, as of its last write."""
        took = 0.0
        if record.run_started_at is not None and record.updated_at is not None:
            took = (record.updated_at - record.run_started_at).total_seconds()
        return progress_of(record, self._clock.real_seconds(took))


def not_found(import_id: UUID) -> NotFound:
    """Said of an import this tenant does not have."""
    return NotFound(
        "imports.not_found", f"There is no import {import_id}.", "List the imports and name one."
    )


def _place(tenant: str, import_id: UUID, part: int) -> bytes:
    return f"{tenant}/{import_id}/file/{part}".encode()
