"""A run over the rows of one file: reading them for a check, sending them to intake.

Rows stream through in chunks, in file order. A chunk goes to intake, then its outcomes are written
with the progress; whatever breaks in between, the chunk is sent again with the same keys, and rows
that got through answer with the payments they already are.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import msgspec

from caiwutong.bank_accounts.rules import account_index
from caiwutong.db.database import Database
from caiwutong.imports.keeping import Hear, Keeper
from caiwutong.imports.model import BadRow, Line, Problem, SourceRow
from caiwutong.imports.ports import Directories, Funds, Intake, Payments, Seal
from caiwutong.imports.readers import LeftOut, Source
from caiwutong.imports.records import Chunk, Import, RowOutcome, Status
from caiwutong.imports.rows import RowReader
from caiwutong.imports.sorting import PaidBefore, Ready, Sorter, likeness
from caiwutong.imports.tally import Tally
from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import InDoubt, Refusal, Unavailable
from caiwutong.payments.model import Answer, Receipt, Submission
from caiwutong.payments.states import State as PaymentState
from caiwutong.payments.store import LAST_ID, Filter

T = TypeVar("T")

CHUNK_ROWS = 500
CHECK_ROWS = 2_000
LOOK_BACK = timedelta(days=30)
MOST_COMPARED = 50_000
"""How far back, in days and in payments, a row is compared with what was paid before."""
TRIES = 5

_NOT_PAID = {PaymentState.REJECTED, PaymentState.CANCELLED, PaymentState.REVERSED}
_NOT_APPLIED = {Status.BAD, Status.DUPLICATE, Status.REFUSED}
_Sorted = tuple[int, Ready | RowOutcome, LeftOut | None]


class Runner:
    """Runs over the rows of an import that the caller has claimed."""

    def __init__(
        self,
        *,
        keeper: Keeper,
        database: Database,
        intake: Intake,
        payments: Payments,
        directories: Directories,
        funds: Funds,
        seal: Seal,
    ) -> None:
        self._keeper = keeper
        self._database = database
        self._intake = intake
        self._payments = payments
        self._directories = directories
        self._funds = funds
        self._seal = seal

    async def check(self, tenant: str, record: Import, source: Source, hear: Hear | None) -> None:
        """Read every row and leave the report on the record; nothing is applied."""
        directory = await self._directories.load(tenant)
        paid, whole = await self._paid_before(tenant, record)
        record.rows_total = source.total
        await self._keeper.save(tenant, record, hear)
        tally = Tally(source, directory)
        sorter = self._sorter(record, paid, allow_duplicates=False)
        rows = _sorted_rows(source, RowReader.of(source, directory, record.begun_on), sorter)
        self._keeper.first_row(record)
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
            await self._keeper.save(tenant, record, hear, rows=kept)
        record.rows_total = record.rows_done
        paying = [account.bank_account_id for account in tally.paying()]
        record.report = tally.report(await self._funds.available(tenant, paying))
        if not whole:
            note = f"Only the last {MOST_COMPARED:,} payments were compared for duplicates."
            record.report = msgspec.structs.replace(
                record.report, notes=(*record.report.notes, note)
            )

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
            index=lambda account: account_index(self._seal, account),
            paid=paid,
            allow_duplicates=allow_duplicates,
        )

    # ------------------------------------------------------------------ applying

    async def apply(self, tenant: str, record: Import, source: Source, hear: Hear | None) -> None:
        """Send every row after ``rows_done`` to intake, chunk by chunk."""
        directory = await self._directories.load(tenant)
        paid, _ = await self._paid_before(tenant, record)
        record.rows_total = source.total
        sorter = self._sorter(record, paid, allow_duplicates=record.allow_duplicates)
        rows = _sorted_rows(source, RowReader.of(source, directory, record.begun_on), sorter)
        # Rows done by an earlier run are read again, so that the sorter knows them, and passed.
        done = record.rows_done
        while done > 0 and (passed := await _take(rows, min(done, CHECK_ROWS))):
            done -= len(passed)
        self._keeper.first_row(record)
        async with aclosing(_chunks(rows, CHUNK_ROWS)) as chunks:
            async for chunk in chunks:
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
        await self._keeper.save(tenant, record, hear, rows=told, chunk=chunk)

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


def _sorted_rows(source: Source, reader: RowReader, sorter: Sorter) -> Iterator[_Sorted]:
    for row in source.rows():
        read: Line | BadRow | LeftOut = reader.read(row) if isinstance(row, SourceRow) else row
        left_out = read if isinstance(read, LeftOut) else None
        yield row.row_no, sorter.sort(read), left_out


async def _take(rows: Iterator[T], most: int) -> list[T]:
    """The next rows, read in a thread so that the loop stays free for others."""
    return await asyncio.to_thread(lambda: list(itertools.islice(rows, most)))


async def _chunks(rows: Iterator[T], most: int) -> AsyncGenerator[list[T]]:
    """The rows in chunks, the next one read while the last one is worked on."""
    ahead = asyncio.ensure_future(_take(rows, most))
    try:
        while chunk := await ahead:
            ahead = asyncio.ensure_future(_take(rows, most))
            yield chunk
    finally:
        # The thread must be done with the source before anyone closes it.
        await asyncio.gather(ahead, return_exceptions=True)


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
