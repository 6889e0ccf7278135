"""What an import does: take a file in, check it, apply it, tell how far it is.

Promises. *Nothing half-applied*: each row is applied exactly once or reported with cause and cure;
a file with rows that cannot be paid is applied only when asked (``skip_bad``). *Safe to run again*:
the same file is the same import; an import broken off, by an error or by ``kill -9``, goes on where
its last written chunk ended, and the rows in between answer with the payments they already are.
Rows stream through in chunks; what is held does not grow with the file but for its sealed bytes and
a hash a row. Next: ``sorting.py`` for what counts as the same payment, ``records.py`` for the life.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec

from caiwutong.db.database import Database, Tx
from caiwutong.imports.model import BadRow, Line, Problem, SourceRow
from caiwutong.imports.ports import Directories, Intake, Log, Payments, Seal
from caiwutong.imports.readers import LeftOut, Source, open_source
from caiwutong.imports.records import (
    Chunk,
    Import,
    Progress,
    Report,
    RowOutcome,
    State,
    Status,
    progress_of,
)
from caiwutong.imports.rows import RowReader
from caiwutong.imports.sorting import PaidBefore, Ready, Sorter, likeness
from caiwutong.imports.store import ImportStore
from caiwutong.imports.tally import Tally
from caiwutong.kernel.clock import Clock, china_date
from caiwutong.kernel.errors import (
    Broken,
    CaiwutongError,
    Conflict,
    InDoubt,
    NotFound,
    Refusal,
    Refused,
    Unavailable,
)
from caiwutong.kernel.ids import Ids
from caiwutong.payments.model import Answer, Receipt, Submission
from caiwutong.payments.states import State as PaymentState
from caiwutong.payments.store import LAST_ID, Filter

T = TypeVar("T")

CHUNK_ROWS = 500
CHECK_ROWS = 2_000
PART_BYTES = 1 << 20
LEASE_REAL_S = 5.0
"""How long an import stays with a runner that has gone silent; renewed with every chunk."""
LOOK_BACK = timedelta(days=30)
MOST_COMPARED = 50_000
"""How far back, in days and in payments, a row is compared with what was paid before."""
TRIES = 5
FILE_CLASS = "import_file"

_NOT_PAID = {PaymentState.REJECTED, PaymentState.CANCELLED, PaymentState.REVERSED}

Hear = Callable[[Progress], None]
_Sorted = tuple[int, Ready | RowOutcome, LeftOut | None]


class Imports:
    """Batch imports over one store."""

    def __init__(
        self,
        *,
        database: Database,
        store: ImportStore,
        intake: Intake,
        payments: Payments,
        directories: Directories,
        seal: Seal,
        log: Log,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._database = database
        self._store = store
        self._intake = intake
        self._payments = payments
        self._directories = directories
        self._seal = seal
        self._log = log
        self._clock = clock
        self._ids = ids

    # ------------------------------------------------------------------ taking in

    async def receive(
        self,
        tenant: str,
        data: bytes,
        *,
        file_name: str,
        caller: UUID,
        actor: str,
        sheet: str = "",
    ) -> tuple[Import, bool]:
        """The import of this file, and whether it was here before. Nothing is read yet."""
        digest = hashlib.sha256(sheet.encode() + b"\0" + data).digest()
        now = self._clock.now()
        record = Import(
            import_id=self._ids.new(),
            digest=digest,
            file_name=file_name[-200:],
            sheet=sheet,
            size_bytes=len(data),
            caller=caller,
            actor=actor,
            begun_on=china_date(now),
            created_at=now,
        )
        parts = await asyncio.to_thread(self._sealed_parts, tenant, record.import_id, data)
        async with self._database.transaction() as tx:
            before = await self._store.by_digest(tx, tenant, digest)
            if before is not None:
                return before, True
            if await self._store.insert(tx, tenant, record, parts):
                await self._tell(tx, tenant, record, "import.received")
                return record, False
        async with self._database.transaction() as tx:  # another request was faster
            before = await self._store.by_digest(tx, tenant, digest)
        if before is None:
            raise Broken("imports.lost", "The import was neither kept nor found.", "Send it again.")
        return before, True

    async def check(self, tenant: str, import_id: UUID, *, hear: Hear | None = None) -> Import:
        """Read every row, apply nothing, and report. A file that cannot be read makes the import
        *unusable*, with cause and cure in ``error``. One already applied is given as it is."""
        record = await self._claim(tenant, import_id)
        if record.state in (State.APPLYING, State.STOPPED, State.FINISHED):
            await self._release(tenant, record)
            return record
        self._begin_run(record, State.CHECKING)
        record.report, record.error = None, None
        _restart(record)
        await self._save(tenant, record, hear, clear=True)
        try:
            async with self._open(tenant, record) as source:
                await self._check_rows(tenant, record, source, hear)
        except Refused as refused:
            record.state, record.error = State.UNUSABLE, refused.as_refusal()
            await self._log.record_refusal(
                tenant,
                "import",
                refused,
                actor=record.actor,
                subject_kind="import",
                subject_id=import_id,
            )
        record.lease_until = None
        await self._save(tenant, record, hear, tell="import.checked")
        return record

    async def apply(
        self,
        tenant: str,
        import_id: UUID,
        *,
        skip_bad: bool = False,
        allow_duplicates: bool = False,
        retry: bool = False,
        hear: Hear | None = None,
    ) -> Import:
        """Submit the rows. An import applied before is given as it is; with ``retry`` its rows that
        were not applied are tried again. Raises Refused when the file was not checked, does not
        add up, or has rows that cannot be paid and ``skip_bad`` is not asked for."""
        record = await self._claim(tenant, import_id)
        try:
            if record.state is State.FINISHED and not (retry and record.not_applied):
                await self._release(tenant, record)
                return record
            resumed = record.state in (State.APPLYING, State.STOPPED)
            if not resumed:
                record.skip_bad = skip_bad or record.state is State.FINISHED
                record.allow_duplicates = allow_duplicates
                _refuse_unfit(record)
                _restart(record)
        except Refused as refused:
            await self._release(tenant, record)
            await self._log.record_refusal(
                tenant, "import.apply", refused, actor=record.actor,
                subject_kind="import", subject_id=import_id,
            )  # fmt: skip
            raise
        self._begin_run(record, State.APPLYING)
        await self._save(tenant, record, hear, clear=not resumed)
        try:
            async with self._open(tenant, record) as source:
                await self._apply_rows(tenant, record, source, hear)
        except (Unavailable, InDoubt, Broken, Refused) as error:
            await self._stop(tenant, record, error, hear)
            raise
        record.state, record.rows_total = State.FINISHED, record.rows_done
        record.finished_at, record.lease_until = self._clock.now(), None
        await self._save(tenant, record, hear, tell="import.applied")
        return record

    async def resume(self, tenant: str, *, hear: Hear | None = None) -> list[Import]:
        """Go on with every import whose runner is gone: for a worker, at its start and then now
        and again."""
        async with self._database.transaction() as tx:
            left = await self._store.unfinished(tx, tenant, self._clock.now())
        done: list[Import] = []
        for import_id in left:
            record = await self.get(tenant, import_id)
            act = self.check if record.state is State.CHECKING else self.apply
            try:
                done.append(await act(tenant, import_id, hear=hear))
            except Conflict:
                continue  # another runner took it
        return done

    # ------------------------------------------------------------------ looking

    async def get(self, tenant: str, import_id: UUID) -> Import:
        """The import as it stands. Raises NotFound."""
        async with self._database.transaction() as tx:
            record = await self._store.get(tx, tenant, import_id)
        if record is None:
            raise _not_found(import_id)
        return record

    async def page(
        self, tenant: str, *, before: UUID | None = None, limit: int = 50
    ) -> list[Import]:
        """Imports, newest first."""
        async with self._database.transaction() as tx:
            return await self._store.page(tx, tenant, before or LAST_ID, limit)

    async def progress(self, tenant: str, import_id: UUID) -> Progress:
        """How far it is; readable from any process while another one runs it."""
        return self._progress(await self.get(tenant, import_id))

    async def rows(
        self, tenant: str, import_id: UUID, *, after: int = 0, limit: int = 500
    ) -> list[RowOutcome]:
        """Rows worth telling of, in file order, after a row number."""
        async with self._database.transaction() as tx:
            return await self._store.rows(tx, tenant, import_id, after, limit)

    async def applied(
        self, tenant: str, import_id: UUID, *, after: int = -1, limit: int = 20
    ) -> list[Chunk]:
        """Which row became which payment, chunk by chunk, after a chunk number."""
        async with self._database.transaction() as tx:
            return await self._store.chunks(tx, tenant, import_id, after, limit)

    # ------------------------------------------------------------------ checking

    async def _check_rows(
        self, tenant: str, record: Import, source: Source, hear: Hear | None
    ) -> None:
        directory = await self._directories.load(tenant)
        paid, whole = await self._paid_before(tenant, record)
        record.rows_total = source.total
        await self._save(tenant, record, hear)
        tally = Tally(source, directory)
        sorter = self._sorter(record, paid, allow_duplicates=False)
        rows = _sorted_rows(source, RowReader.of(source, directory, record.begun_on), sorter)
        while chunk := await _take(rows, CHECK_ROWS):
            kept: list[RowOutcome] = []
            for _, row, left_out in chunk:
                if left_out is not None:
                    tally.claim(left_out)
                outcome = tally.add(row)
                if outcome is not None:
                    kept.append(outcome)
            record.rows_done += len(chunk)
            record.not_applied = tally.blocking
            await self._save(tenant, record, hear, rows=kept)
        record.rows_total = record.rows_done
        record.report = tally.report()
        if not whole:
            note = f"Only the last {MOST_COMPARED:,} payments were compared for duplicates."
            record.report = msgspec.structs.replace(
                record.report, notes=(*record.report.notes, note)
            )
        record.state = State.CHECKED

    async def _paid_before(self, tenant: str, record: Import) -> tuple[dict[int, PaidBefore], bool]:
        """What was ordered lately by others than this import, and whether that is all of it."""
        since = Filter(created_from=record.created_at - LOOK_BACK)
        paid: dict[int, PaidBefore] = {}
        before, seen = LAST_ID, 0
        while seen < MOST_COMPARED:
            async with self._database.transaction() as tx:
                page = await self._payments.page(tx, tenant, since, before, 1_000)
            for row in page:
                if row.import_id == record.import_id or row.state in _NOT_PAID:
                    continue
                like = likeness(row.bank_account_id, row.payee_index, row.amount_fen)
                paid[like] = PaidBefore(row.payment_id, china_date(row.created_at))
            if len(page) < 1_000:
                return paid, True
            seen, before = seen + len(page), page[-1].payment_id
        return paid, False

    def _sorter(
        self, record: Import, paid: dict[int, PaidBefore], *, allow_duplicates: bool
    ) -> Sorter:
        return Sorter(
            record.digest,
            index=lambda account: self._seal.blind_index("account", account),
            paid=paid,
            allow_duplicates=allow_duplicates,
        )

    # ------------------------------------------------------------------ applying

    async def _apply_rows(
        self, tenant: str, record: Import, source: Source, hear: Hear | None
    ) -> None:
        directory = await self._directories.load(tenant)
        paid, _ = await self._paid_before(tenant, record)
        record.rows_total = source.total
        sorter = self._sorter(record, paid, allow_duplicates=record.allow_duplicates)
        rows = _sorted_rows(source, RowReader.of(source, directory, record.begun_on), sorter)
        # Rows done by an earlier run are read again, so that the sorter knows them, and passed.
        done = record.rows_done
        while done > 0 and (passed := await _take(rows, min(done, CHECK_ROWS))):
            done -= len(passed)
        while chunk := await _take(rows, CHUNK_ROWS):
            await self._apply_chunk(tenant, record, [row for _, row, _ in chunk], hear)

    async def _apply_chunk(
        self,
        tenant: str,
        record: Import,
        rows: list[Ready | RowOutcome],
        hear: Hear | None,
    ) -> None:
        ready = [row for row in rows if isinstance(row, Ready)]
        answers = await self._submit(
            tenant,
            [
                Submission(r.key, r.line.order, record.caller, record.actor, record.import_id)
                for r in ready
            ],
        )
        told = [row for row in rows if isinstance(row, RowOutcome)]
        elsewhere = await self._paid_elsewhere(tenant, record, answers)
        chunk = Chunk(record.rows_done, [], [])
        for row, answer in zip(ready, answers, strict=True):
            if isinstance(answer, Refusal):
                told.append(_outcome(row, Status.REFUSED, _problem(answer)))
            elif answer.payment_id in elsewhere:
                told.append(
                    _outcome(row, Status.ALREADY, _already(answer), payment_id=answer.payment_id)
                )
            else:
                chunk.row_nos.append(row.line.row_no)
                chunk.payment_ids.append(answer.payment_id)
                record.applied += 1
                record.applied_fen += row.line.order.amount_fen
                record.awaiting += answer.state is PaymentState.AWAITING_SIGNATURES
                if row.notes:
                    told.append(
                        _outcome(row, Status.NOTED, *row.notes, payment_id=answer.payment_id)
                    )
        record.rows_done += len(rows)
        for outcome in told:
            record.already += outcome.status is Status.ALREADY
            record.left_out += outcome.status is Status.LEFT_OUT
            record.not_applied += outcome.status in _NOT_APPLIED
        await self._save(tenant, record, hear, rows=told, chunk=chunk)

    async def _submit(self, tenant: str, submissions: list[Submission]) -> list[Answer]:
        """The answers of intake. After a silence the same keys are sent again: a row that got
        through answers with its payment, and is not paid twice."""
        if not submissions:
            return []
        for attempt in range(TRIES):
            try:
                return await self._intake.submit_many(tenant, submissions)
            except (Unavailable, InDoubt):
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(0.2 * 2**attempt)
        raise AssertionError

    async def _paid_elsewhere(
        self, tenant: str, record: Import, answers: list[Answer]
    ) -> set[UUID]:
        """Of the payments that were here before, those another import or caller made."""
        replayed = [a.payment_id for a in answers if isinstance(a, Receipt) and a.replayed]
        found: set[UUID] = set()
        if replayed:
            async with self._database.transaction() as tx:
                for payment_id in replayed:
                    row = await self._payments.get(tx, tenant, payment_id)
                    if row is None or row.import_id != record.import_id:
                        found.add(payment_id)
        return found

    # ------------------------------------------------------------------ keeping

    def _sealed_parts(self, tenant: str, import_id: UUID, data: bytes) -> list[bytes]:
        packed = zlib.compress(data, 6)
        return [
            self._seal.seal(
                FILE_CLASS, packed[at : at + PART_BYTES], _place(tenant, import_id, number)
            )
            for number, at in enumerate(range(0, len(packed), PART_BYTES))
        ]

    @asynccontextmanager
    async def _open(self, tenant: str, record: Import) -> AsyncGenerator[Source]:
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

    async def _claim(self, tenant: str, import_id: UUID) -> Import:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            record = await self._store.claim(tx, tenant, import_id, now, self._lease())
            if record is None and await self._store.get(tx, tenant, import_id) is None:
                raise _not_found(import_id)
        if record is None:
            raise Conflict(
                "imports.running",
                f"Import {import_id} is being worked on.",
                "Read its progress; it needs no second run.",
            )
        return record

    def _lease(self) -> datetime:
        scale = max(self._clock.real_seconds(1.0), 1e-9)
        return self._clock.now() + timedelta(seconds=LEASE_REAL_S / scale)

    async def _release(self, tenant: str, record: Import) -> None:
        record.lease_until = None
        async with self._database.transaction() as tx:
            await self._store.save(tx, tenant, record)

    def _begin_run(self, record: Import, state: State) -> None:
        record.state = state
        record.run_started_at = record.updated_at = self._clock.now()
        record.run_from = record.rows_done
        record.error = record.finished_at = None

    async def _save(
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
        """Write progress and outcomes together; renew the lease while the import runs."""
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
            hear(self._progress(record))

    async def _stop(
        self, tenant: str, record: Import, error: CaiwutongError, hear: Hear | None
    ) -> None:
        record.state, record.error, record.lease_until = State.STOPPED, error.as_refusal(), None
        try:
            await self._save(tenant, record, hear, tell="import.stopped")
        except CaiwutongError:
            return  # The store is gone too: the lease runs out, and ``resume`` finds the import.

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

    def _progress(self, record: Import) -> Progress:
        now = self._clock.now()
        took = 0.0
        if record.run_started_at is not None:
            until = record.updated_at or now
            took = self._clock.real_seconds((until - record.run_started_at).total_seconds())
        return progress_of(record, took)


# ---------------------------------------------------------------------------------- small things

_NOT_APPLIED = {Status.BAD, Status.DUPLICATE, Status.REFUSED}


def _sorted_rows(source: Source, reader: RowReader, sorter: Sorter) -> Iterator[_Sorted]:
    for row in source.rows():
        read: Line | BadRow | LeftOut = reader.read(row) if isinstance(row, SourceRow) else row
        left_out = read if isinstance(read, LeftOut) else None
        yield row.row_no, sorter.sort(read), left_out


async def _take(rows: Iterator[T], most: int) -> list[T]:
    """The next rows, read in a thread so that the loop stays free for others."""
    return await asyncio.to_thread(lambda: list(itertools.islice(rows, most)))


def _restart(record: Import) -> None:
    record.rows_done = record.applied = record.applied_fen = record.awaiting = 0
    record.already = record.not_applied = record.left_out = 0


def _refuse_unfit(record: Import) -> None:
    """Raise Refused, with the cure, for an import that must not be applied."""
    report: Report | None = record.report
    if record.state is State.UNUSABLE and record.error is not None:
        raise Refused(record.error.code, record.error.detail, record.error.cure)
    if report is None:
        raise Refused(
            "imports.not_checked", "The file was not checked.", "Check it first, then apply it."
        )
    if report.faults:
        first = report.faults[0]
        raise Refused(first.code, first.detail, first.cure)
    blocking = report.bad + report.duplicates * (not record.allow_duplicates)
    if blocking and not record.skip_bad:
        raise Refused(
            "imports.has_bad_rows",
            f"{blocking} of {record.rows_total} rows cannot be paid.",
            "Mend them and send the file again, or apply the others with --skip-bad.",
            rows=blocking,
        )


def _outcome(
    row: Ready, status: Status, *problems: Problem, payment_id: UUID | None = None
) -> RowOutcome:
    return RowOutcome(row.line.row_no, status, tuple(problems), row.line.key, payment_id)


def _problem(refusal: Refusal) -> Problem:
    return Problem("", refusal.code, refusal.detail, refusal.cure)


def _already(receipt: Receipt) -> Problem:
    return Problem(
        "",
        "imports.already",
        f"This key is payment {receipt.payment_id} of before, now {receipt.state.value}.",
        "Nothing to do; a different payment needs a different key.",
    )


def _place(tenant: str, import_id: UUID, part: int) -> bytes:
    return f"{tenant}/{import_id}/file/{part}".encode()


def _not_found(import_id: UUID) -> NotFound:
    return NotFound(
        "imports.not_found", f"There is no import {import_id}.", "List the imports and name one."
    )
