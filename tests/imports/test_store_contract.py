"""One contract for both import stores: PostgreSQL and its memory twin keep the same promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from caiwutong.db.database import Database
from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.imports.memory import MemoryImportStore
from caiwutong.imports.model import Problem
from caiwutong.imports.records import Chunk, Import, Report, RowOutcome, State, Status, Total
from caiwutong.imports.store import ImportStore, PostgresImportStore
from caiwutong.kernel.errors import Refusal

T = "demo"
NOW = datetime(2026, 7, 1, 1, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.engine)])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Database, ImportStore]]:
    if request.param == "memory":
        yield MemoryDatabase(), MemoryImportStore()
        return
    database = await PostgresDatabase.connect(request.getfixturevalue("database_url"), name="test")
    yield database, PostgresImportStore()
    await database.close()


Kept = tuple[Database, ImportStore]


def new(number: int = 1, **changes: object) -> Import:
    record = Import(
        import_id=UUID(int=number),
        digest=bytes([number]) * 32,
        file_name="付款.csv",
        sheet="",
        size_bytes=3,
        caller=UUID(int=99),
        actor="api-key:erp",
        begun_on=date(2026, 7, 1),
        created_at=NOW,
    )
    for name, value in changes.items():
        setattr(record, name, value)
    return record


async def test_an_import_comes_back_as_it_was_kept(kept: Kept) -> None:
    database, store = kept
    async with database.transaction() as tx:
        assert await store.insert(tx, T, new(), [b"a", b"b"])
        assert await store.claim(tx, T, UUID(int=1), NOW, LATER)
    full = new(
        state=State.FINISHED,
        fence=1,
        report=Report(kind="csv", good=Total(2, 300), by_unit={"u00": Total(2, 300)}),
        rows_total=6,
        rows_done=6,
        applied=2,
        applied_fen=300,
        awaiting=1,
        already=1,
        not_applied=2,
        left_out=1,
        run_started_at=NOW,
        run_from=1,
        updated_at=LATER,
        finished_at=LATER,
        error=Refusal("imports.x", "Something.", "Do something."),
        skip_bad=True,
        allow_duplicates=True,
    )
    async with database.transaction() as tx:
        assert await store.save(tx, T, full)
    async with database.transaction() as tx:
        assert await store.get(tx, T, UUID(int=1)) == full
        assert await store.by_digest(tx, T, full.digest) == full
        assert await store.page(tx, T, UUID(int=2), 10) == [full]
        assert await store.file(tx, T, UUID(int=1)) == [b"a", b"b"]
        assert await store.get(tx, "other", UUID(int=1)) is None
        assert await store.by_digest(tx, "other", full.digest) is None
        assert await store.page(tx, "other", UUID(int=2), 10) == []


async def test_the_same_file_is_kept_once(kept: Kept) -> None:
    database, store = kept
    async with database.transaction() as tx:
        assert await store.insert(tx, T, new(), [b"a"])
        assert not await store.insert(tx, T, new(2, digest=new().digest), [b"a"])
        assert await store.insert(tx, "other", new(3, digest=new().digest), [b"a"])
    async with database.transaction() as tx:
        assert await store.get(tx, T, UUID(int=2)) is None
        assert await store.file(tx, T, UUID(int=2)) == []


async def test_a_claim_lasts_until_its_lease_and_raises_the_fence(kept: Kept) -> None:
    database, store = kept
    async with database.transaction() as tx:
        await store.insert(tx, T, new(), [b"a"])
        first = await store.claim(tx, T, UUID(int=1), NOW, LATER)
        assert first and first.fence == 1
        assert await store.claim(tx, T, UUID(int=1), NOW, LATER) is None
        second = await store.claim(tx, T, UUID(int=1), LATER, LATER + timedelta(seconds=5))
        assert second and second.fence == 2
        assert not await store.save(tx, T, first), "the first runner lost its fence"
        assert await store.save(tx, T, second)
        assert await store.claim(tx, T, UUID(int=7), NOW, LATER) is None


async def test_imports_left_in_the_middle_are_found_once_their_lease_is_over(kept: Kept) -> None:
    database, store = kept
    async with database.transaction() as tx:
        for number, state in enumerate(
            (State.CHECKING, State.APPLYING, State.CHECKED, State.STOPPED), start=1
        ):
            await store.insert(tx, T, new(number), [b"a"])
            record = await store.claim(tx, T, UUID(int=number), NOW, LATER)
            assert record
            record.state = state
            assert await store.save(tx, T, record)
        assert await store.unfinished(tx, T, NOW) == []
        assert await store.unfinished(tx, T, LATER) == [UUID(int=1), UUID(int=2)]
        assert await store.unfinished(tx, "other", LATER) == []


async def test_outcomes_are_paged_replaced_and_forgotten(kept: Kept) -> None:
    database, store = kept
    bad = RowOutcome(3, Status.BAD, (Problem("金额", "imports.x", "No.", "Yes."),), "key")
    noted = RowOutcome(5, Status.NOTED, (Problem("", "imports.note", "Hm."),), "", UUID(int=8))
    async with database.transaction() as tx:
        await store.insert(tx, T, new(), [b"a"])
        await store.put_rows(tx, T, UUID(int=1), [noted, bad])
        assert await store.rows(tx, T, UUID(int=1), 0, 10) == [bad, noted]
        assert await store.rows(tx, T, UUID(int=1), 3, 10) == [noted]
        assert await store.rows(tx, T, UUID(int=1), 0, 1) == [bad]
        again = RowOutcome(3, Status.NOTED, noted.problems, "key", UUID(int=9))
        await store.put_rows(tx, T, UUID(int=1), [again])
        assert await store.rows(tx, T, UUID(int=1), 0, 1) == [again]
        assert await store.rows(tx, "other", UUID(int=1), 0, 10) == []
        await store.clear(tx, T, UUID(int=1), chunks=False)
        assert await store.rows(tx, T, UUID(int=1), 0, 10) == []


async def test_chunks_are_paged_and_written_again(kept: Kept) -> None:
    database, store = kept
    first = Chunk(0, [2, 3], [UUID(int=20), UUID(int=30)])
    second = Chunk(500, [502], [UUID(int=40)])
    async with database.transaction() as tx:
        await store.insert(tx, T, new(), [b"a"])
        await store.put_chunk(tx, T, UUID(int=1), second)
        await store.put_chunk(tx, T, UUID(int=1), Chunk(0, [2], [UUID(int=20)]))
        await store.put_chunk(tx, T, UUID(int=1), first)
        assert await store.chunks(tx, T, UUID(int=1), -1, 10) == [first, second]
        assert await store.chunks(tx, T, UUID(int=1), 0, 10) == [second]
        await store.clear(tx, T, UUID(int=1), chunks=True)
        assert await store.chunks(tx, T, UUID(int=1), -1, 10) == []


async def test_a_rolled_back_change_leaves_nothing(kept: Kept) -> None:
    database, store = kept
    with pytest.raises(RuntimeError):
        async with database.transaction() as tx:
            await store.insert(tx, T, new(), [b"a"])
            await store.put_rows(tx, T, UUID(int=1), [RowOutcome(2, Status.BAD, ())])
            raise RuntimeError
    async with database.transaction() as tx:
        assert await store.get(tx, T, UUID(int=1)) is None
        assert await store.rows(tx, T, UUID(int=1), 0, 10) == []


# ---------------------------------------------------------------------------------- guards


@pytest.mark.engine
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("UPDATE imports SET digest = sha256('x')", asyncpg.RestrictViolationError),
        ("UPDATE imports SET begun_on = '2026-07-02'", asyncpg.RestrictViolationError),
        ("UPDATE imports SET state = 'finished', rows_done = 1", asyncpg.CheckViolationError),
        ("UPDATE imports SET awaiting = 1", asyncpg.CheckViolationError),
        ("UPDATE import_files SET body = 'x'", asyncpg.InsufficientPrivilegeError),
        ("DELETE FROM imports", asyncpg.InsufficientPrivilegeError),
    ],
)
async def test_the_database_guards_what_an_import_promises(
    database: PostgresDatabase, change: str, error: type[Exception]
) -> None:
    store = PostgresImportStore()
    async with database.transaction() as tx:
        await store.insert(tx, T, new(), [b"a"])
    with pytest.raises(error):
        async with database.transaction() as tx:
            await tx.execute(change)
