"""One contract for both stores of bank files, and what PostgreSQL refuses by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from caiwutong.bank_files.memory import MemoryBankFileStore
from caiwutong.bank_files.model import (
    BankFile,
    FileLine,
    FileState,
    LineState,
    Release,
    ResultFile,
)
from caiwutong.bank_files.store import BankFileStore, PostgresBankFileStore
from caiwutong.db.database import Database
from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.errors import Broken, Conflict, Unavailable
from caiwutong.kernel.ids import Ids

NOW = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
GUARD = (Broken, Unavailable, asyncpg.PostgresError)
F, L = FileState, LineState


class Shelf:
    """A store with a tenant of its own, and an account."""

    def __init__(self, database: Database, store: BankFileStore, ids: Ids) -> None:
        self.database, self.store, self.ids = database, store, ids
        self.tenant = f"t{ids.new().hex[-12:]}"
        self.account = ids.new()
        self.number = 0

    async def file(self, rows: int = 0) -> BankFile:
        """An open file with so many waiting rows."""
        self.number += 1
        file = BankFile(
            file_id=self.ids.new(),
            bank_account_id=self.account,
            template="rural-credit-batch",
            day=date(2026, 11, 2),
            number=self.number,
            opened_at=NOW,
            due_at=NOW + timedelta(hours=24),
        )
        async with self.database.transaction() as tx:
            await self.store.insert_file(tx, self.tenant, file)
        if rows:
            await self.add(file, *(self.line(file, n) for n in range(1, rows + 1)))
        return file

    def line(self, file: BankFile, number: int, **more: Any) -> FileLine:
        attempt = self.ids.new()
        fields: dict[str, Any] = {
            "file_id": file.file_id, "line_no": number, "payment_id": self.ids.new(),
            "attempt_id": attempt, "reference": attempt.hex[:20].upper(), "amount_fen": 100,
            "row_sealed": b"sealed",
        }  # fmt: skip
        return FileLine(**(fields | more))

    async def add(self, file: BankFile, *lines: FileLine) -> None:
        async with self.database.transaction() as tx:
            await self.store.insert_lines(tx, self.tenant, lines)

    async def save(self, file: BankFile, **more: Any) -> BankFile:
        changed = msgspec.structs.replace(file, version=file.version + 1, **more)
        async with self.database.transaction() as tx:
            await self.store.save_file(tx, self.tenant, changed)
        return changed

    async def exported(self, rows: int = 2) -> BankFile:
        file = await self.file(rows)
        return await self.save(
            file, state=F.EXPORTED, rows=rows, total_fen=rows * 100, exported_at=NOW,
            exported_by="p", file_name="a.csv", digest=b"d" * 32, content_sealed=b"sealed",
        )  # fmt: skip

    async def lines(self, file: BankFile) -> list[FileLine]:
        async with self.database.transaction() as tx:
            return await self.store.lines_of(tx, self.tenant, file.file_id)

    async def move(self, file: BankFile, state: LineState, *numbers: int) -> None:
        async with self.database.transaction() as tx:
            lines = await self.store.lines_of(tx, self.tenant, file.file_id)
            changed = [line for line in lines if line.line_no in numbers]
            for line in changed:
                line.state = state
            await self.store.save_lines(tx, self.tenant, changed)

    async def proposed(self, file: BankFile, *numbers: int) -> Release:
        release = Release(
            release_id=self.ids.new(),
            file_id=file.file_id,
            line_nos=numbers,
            reason="never uploaded",
            maker=self.ids.new(),
            actor="p",
            digest=b"r" * 32,
            proposed_at=NOW,
        )
        async with self.database.transaction() as tx:
            await self.store.insert_release(tx, self.tenant, release)
        return release

    async def decide(self, release: Release, *signers: UUID) -> None:
        decided = msgspec.structs.replace(
            release, state="decided", signers=tuple(signers), ended_at=NOW
        )
        async with self.database.transaction() as tx:
            await self.store.save_release(tx, self.tenant, decided)


@pytest.fixture(params=["memory", "postgres"])
async def shelf(request: pytest.FixtureRequest, ids: Ids) -> AsyncIterator[Shelf]:
    if request.param == "memory":
        yield Shelf(MemoryDatabase(), MemoryBankFileStore(), ids)
        return
    database = await PostgresDatabase.connect(request.getfixturevalue("shared_database_url"))
    yield Shelf(database, PostgresBankFileStore(), ids)
    await database.close()


async def test_a_file_and_its_rows_are_read_as_they_were_written(shelf: Shelf) -> None:
    file = await shelf.exported(2)
    async with shelf.database.transaction() as tx:
        read = await shelf.store.get_file(tx, shelf.tenant, file.file_id)
        live = await shelf.store.live_lines(tx, shelf.tenant, shelf.account)
        other = await shelf.store.get_file(tx, "nobody", file.file_id)
    assert read == file and other is None
    assert live == await shelf.lines(file)
    by_reference = {line.reference: line for line in live}
    async with shelf.database.transaction() as tx:
        found = await shelf.store.lines_by_reference(tx, shelf.tenant, list(by_reference))
    assert found == by_reference


async def test_an_account_has_one_open_file(shelf: Shelf) -> None:
    await shelf.file()
    with pytest.raises(GUARD):
        await shelf.file()


async def test_files_are_listed_newest_first_and_narrowed(shelf: Shelf) -> None:
    first = await shelf.exported(1)
    second = await shelf.file()
    async with shelf.database.transaction() as tx:
        everything = await shelf.store.page_files(tx, shelf.tenant)
        opened = await shelf.store.page_files(tx, shelf.tenant, states=[F.OPEN])
        older = await shelf.store.page_files(tx, shelf.tenant, before=second.file_id)
        number = await shelf.store.last_number(tx, shelf.tenant, shelf.account, second.day)
    assert [f.file_id for f in everything] == [second.file_id, first.file_id]
    assert [f.file_id for f in opened] == [second.file_id]
    assert [f.file_id for f in older] == [first.file_id] and number == 2


async def test_a_payment_is_in_at_most_one_live_file(shelf: Shelf) -> None:
    file = await shelf.file(1)
    (line,) = await shelf.lines(file)
    with pytest.raises(GUARD):
        await shelf.add(file, shelf.line(file, 2, payment_id=line.payment_id))
    await shelf.move(file, L.REJECTED, 1)
    await shelf.add(file, shelf.line(file, 2, payment_id=line.payment_id))
    with pytest.raises(GUARD):
        await shelf.add(file, shelf.line(file, 3, reference=line.reference))


@pytest.mark.parametrize(
    "change",
    [
        {"digest": b"e" * 32},
        {"content_sealed": b"other"},
        {"file_name": "b.csv"},
        {"rows": 3},
        {"total_fen": 1},
        {"exported_by": "q"},
        {"state": F.OPEN},
        {"state": F.DONE},
        {"state": F.ABANDONED},
    ],
)
async def test_a_file_that_was_handed_out_is_frozen(shelf: Shelf, change: dict[str, Any]) -> None:
    file = await shelf.exported()
    with pytest.raises(GUARD):
        await shelf.save(file, **change)


async def test_a_file_handed_out_takes_no_more_rows(shelf: Shelf) -> None:
    file = await shelf.exported()
    with pytest.raises(GUARD):
        await shelf.add(file, shelf.line(file, 3))


async def test_an_export_without_its_bytes_is_refused(shelf: Shelf) -> None:
    file = await shelf.file(1)
    with pytest.raises(GUARD):
        await shelf.save(file, state=F.EXPORTED)


async def test_a_version_is_used_once(shelf: Shelf) -> None:
    file = await shelf.file()
    await shelf.save(file, reminded_at=NOW)
    with pytest.raises(GUARD):
        await shelf.save(file, reminded_at=NOW)


@pytest.mark.parametrize("end", [L.SETTLED, L.REJECTED])
async def test_a_rows_end_is_never_overwritten(shelf: Shelf, end: LineState) -> None:
    file = await shelf.exported(1)
    await shelf.move(file, end, 1)
    for state in (L.ACCEPTED, L.DOUBT, L.WAITING, L.REJECTED, L.SETTLED):
        if state is not end:
            with pytest.raises(GUARD):
                await shelf.move(file, state, 1)


async def test_a_row_is_freed_only_by_two_other_people(shelf: Shelf) -> None:
    file = await shelf.exported(2)
    with pytest.raises(GUARD):
        await shelf.move(file, L.FREED, 1)
    release = await shelf.proposed(file, 1)
    with pytest.raises(GUARD):
        await shelf.move(file, L.FREED, 1)
    one, two = shelf.ids.new(), shelf.ids.new()
    for signers in ((), (one,), (one, one), (one, release.maker)):
        with pytest.raises(GUARD):
            await shelf.decide(release, *signers)
    await shelf.decide(release, one, two)
    with pytest.raises(GUARD):
        await shelf.move(file, L.FREED, 2)
    await shelf.move(file, L.FREED, 1)
    with pytest.raises(GUARD):
        await shelf.move(file, L.SETTLED, 1)


async def test_a_row_the_bank_has_answered_is_never_freed(shelf: Shelf) -> None:
    file = await shelf.exported(1)
    await shelf.decide(await shelf.proposed(file, 1), shelf.ids.new(), shelf.ids.new())
    await shelf.move(file, L.DOUBT, 1)
    with pytest.raises(GUARD):
        await shelf.move(file, L.FREED, 1)


async def test_a_file_is_done_when_every_row_is_and_abandoned_when_every_row_is_freed(
    shelf: Shelf,
) -> None:
    file = await shelf.exported(2)
    await shelf.move(file, L.SETTLED, 1)
    with pytest.raises(GUARD):
        await shelf.save(file, state=F.DONE)
    await shelf.move(file, L.REJECTED, 2)
    with pytest.raises(GUARD):
        await shelf.save(file, state=F.ABANDONED)
    await shelf.save(file, state=F.DONE)


async def test_one_proposal_about_a_file_waits_at_a_time_and_is_decided_once(
    shelf: Shelf,
) -> None:
    file = await shelf.exported(1)
    release = await shelf.proposed(file, 1)
    with pytest.raises(Conflict):
        await shelf.proposed(file, 1)
    await shelf.decide(release, shelf.ids.new(), shelf.ids.new())
    with pytest.raises(GUARD):
        await shelf.decide(release, shelf.ids.new(), shelf.ids.new())


async def test_a_result_is_kept_once(shelf: Shelf) -> None:
    file = await shelf.exported(1)

    async def keep() -> None:
        async with shelf.database.transaction() as tx:
            await shelf.store.insert_result(
                tx,
                shelf.tenant,
                ResultFile(
                    result_id=shelf.ids.new(), file_id=file.file_id, digest=b"x" * 32,
                    file_name="r.csv", content_sealed=b"sealed", rows=1, actor="p",
                    received_at=NOW,
                ),
            )  # fmt: skip

    await keep()
    with pytest.raises(Conflict):
        await keep()
    async with shelf.database.transaction() as tx:
        assert len(await shelf.store.results_of(tx, shelf.tenant, file.file_id)) == 1


async def test_what_is_due_is_found_until_it_is_over(shelf: Shelf) -> None:
    file = await shelf.exported(1)
    later = NOW + timedelta(hours=25)
    async with shelf.database.transaction() as tx:
        assert await shelf.store.due_files(tx, shelf.tenant, NOW, 10) == []
        assert [f.file_id for f in await shelf.store.due_files(tx, shelf.tenant, later, 10)] == [
            file.file_id
        ]
    await shelf.move(file, L.SETTLED, 1)
    await shelf.save(file, state=F.DONE)
    async with shelf.database.transaction() as tx:
        assert await shelf.store.due_files(tx, shelf.tenant, later, 10) == []


class TestOnlyInPostgres:
    async def test_nothing_of_a_bank_file_is_ever_deleted(self, shared_database_url: str) -> None:
        connection = await asyncpg.connect(shared_database_url)
        try:
            for table in (
                "bank_files", "bank_file_lines", "bank_file_releases", "bank_file_results",
            ):  # fmt: skip
                with pytest.raises(asyncpg.PostgresError):
                    await connection.execute(f"DELETE FROM {table}")
                with pytest.raises(asyncpg.PostgresError):
                    await connection.execute(f"TRUNCATE {table}")
        finally:
            await connection.close()

    async def test_an_attempt_in_a_file_is_not_given_up_without_its_freed_row(
        self, shared_database_url: str, ids: Ids
    ) -> None:
        connection = await asyncpg.connect(shared_database_url)
        tenant, attempt = f"t{ids.new().hex[-12:]}", ids.new()
        try:
            await connection.execute(
                "INSERT INTO payment_attempts (tenant, attempt_id, payment_id, number, rail,"
                " reference, route, created_at, valid_until)"
                " VALUES ($1, $2, $3, 1, 'bank_file', 'R1', '', $4, $4)",
                tenant, attempt, ids.new(), NOW,
            )  # fmt: skip
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(
                    "UPDATE payment_attempts SET outcome = 'revoked', code = 'x', closed_at = $3"
                    " WHERE tenant = $1 AND attempt_id = $2",
                    tenant, attempt, NOW,
                )  # fmt: skip
            await connection.execute(
                "UPDATE payment_attempts SET outcome = 'rejected', code = 'x', closed_at = $3"
                " WHERE tenant = $1 AND attempt_id = $2",
                tenant, attempt, NOW,
            )  # fmt: skip
        finally:
            await connection.close()
