"""What an import does: take a file in, check it, apply it, tell how far it is.

Promises. *Nothing half-applied*: each row is applied exactly once or reported with cause and cure;
a file with rows that cannot be paid is applied only when asked (``skip_bad``). *Safe to run again*:
the same file is the same import; an import broken off, by an error or by ``kill -9``, goes on where
its last written chunk ended, and the rows in between answer with the payments they already are.
Rows stream through in chunks; what is held does not grow with the file but for its sealed bytes and
a hash a row. Next: ``sorting.py`` for what counts as the same payment, ``records.py`` for the life.
"""

from __future__ import annotations

import hashlib
from uuid import UUID

from caiwutong.db.database import Database
from caiwutong.imports.keeping import Hear, Keeper, not_found
from caiwutong.imports.ports import Directories, Funds, Intake, Log, Payments, Seal
from caiwutong.imports.records import Chunk, Import, Progress, Report, RowOutcome, State
from caiwutong.imports.running import Runner
from caiwutong.imports.store import ImportStore
from caiwutong.kernel.clock import Clock, china_date
from caiwutong.kernel.errors import Broken, Conflict, InDoubt, Refused, Unavailable
from caiwutong.kernel.ids import Ids
from caiwutong.payments.store import LAST_ID


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
        funds: Funds,
        seal: Seal,
        log: Log,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._ids = ids
        self._keeper = Keeper(database=database, store=store, seal=seal, log=log, clock=clock)
        self._runner = Runner(
            keeper=self._keeper,
            database=database,
            intake=intake,
            payments=payments,
            directories=directories,
            funds=funds,
            seal=seal,
        )

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
        before = await self._keeper.add(tenant, record, data)
        return (record, False) if before is None else (before, True)

    async def check(self, tenant: str, import_id: UUID, *, hear: Hear | None = None) -> Import:
        """Read every row, apply nothing, and report. A file that cannot be read makes the import
        *unusable*, with cause and cure in ``error``. One already applied is given as it is."""
        record = await self._keeper.claim(tenant, import_id)
        if record.state in (State.APPLYING, State.STOPPED, State.FINISHED):
            await self._keeper.release(tenant, record)
            return record
        self._keeper.begin(record, State.CHECKING)
        record.report, record.error = None, None
        _restart(record)
        await self._keeper.save(tenant, record, hear, clear=True)
        try:
            async with self._keeper.open(tenant, record) as source:
                await self._runner.check(tenant, record, source, hear)
            self._keeper.end(record, State.CHECKED)
        except Refused as refused:
            self._keeper.end(record, State.UNUSABLE)
            record.error = refused.as_refusal()
            await self._keeper.refuse(tenant, record, "import", refused)
        await self._keeper.save(tenant, record, hear, tell="import.checked")
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
        record = await self._keeper.claim(tenant, import_id)
        try:
            if record.state is State.FINISHED and not (retry and record.not_applied):
                await self._keeper.release(tenant, record)
                return record
            resumed = record.state in (State.APPLYING, State.STOPPED)
            if not resumed:
                record.skip_bad = skip_bad or record.state is State.FINISHED
                record.allow_duplicates = allow_duplicates
                _refuse_unfit(record)
                _restart(record)
        except Refused as refused:
            await self._keeper.release(tenant, record)
            await self._keeper.refuse(tenant, record, "import.apply", refused)
            raise
        self._keeper.begin(record, State.APPLYING)
        await self._keeper.save(tenant, record, hear, clear=not resumed)
        try:
            async with self._keeper.open(tenant, record) as source:
                await self._runner.apply(tenant, record, source, hear)
        except (Unavailable, InDoubt, Broken, Refused) as error:
            await self._keeper.stop(tenant, record, error, hear)
            raise
        record.rows_total = record.rows_done
        self._keeper.end(record, State.FINISHED)
        await self._keeper.save(tenant, record, hear, tell="import.applied")
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
            raise not_found(import_id)
        return record

    async def page(
        self, tenant: str, *, before: UUID | None = None, limit: int = 50
    ) -> list[Import]:
        """Imports, newest first."""
        async with self._database.transaction() as tx:
            return await self._store.page(tx, tenant, before or LAST_ID, limit)

    async def progress(self, tenant: str, import_id: UUID) -> Progress:
        """How far it is; readable from any process while another one runs it."""
        return self._keeper.progress(await self.get(tenant, import_id))

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
