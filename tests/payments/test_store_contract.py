"""One contract for both payment stores, and what PostgreSQL refuses by itself."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from caiwutong.db.database import Database
from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.errors import Broken, Conflict, Unavailable
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.order import Direction
from caiwutong.payments.memory import MemoryPaymentStore
from caiwutong.payments.model import AttemptRow, PaymentRow, Task, Work
from caiwutong.payments.states import State
from caiwutong.payments.store import LAST_ID, Filter, PaymentStore, PostgresPaymentStore

NOW = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
GUARD = (Broken, asyncpg.PostgresError)
"""What a guard of the store raises: the memory twin's, or the database's."""


def later(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


class Shelf:
    """A payment store with a tenant of its own."""

    def __init__(self, database: Database, store: PaymentStore, ids: Ids) -> None:
        self.database, self.store, self.ids = database, store, ids
        self.tenant = f"t{ids.new().hex[-12:]}"
        self.account = ids.new()

    def row(self, key: str = "", **more: Any) -> PaymentRow:
        payment_id = self.ids.new()
        key = key or payment_id.hex
        fields: dict[str, Any] = {
            "payment_id": payment_id, "direction": Direction.PUSH,
            "bank_account_id": self.account, "ledger_account_id": self.account,
            "counter_account_id": self.account, "amount_fen": 100, "payee_sealed": b"sealed",
            "payee_index": b"index", "payee_last4": "0417", "caller": self.account,
            "actor": "api-key:erp", "key": key, "digest": hashlib.sha256(key.encode()).digest(),
            "created_at": NOW, "state": State.VALIDATED, "state_at": NOW,
            "authorised_by": "mandate:1",
        }  # fmt: skip
        return PaymentRow(**(fields | more))

    async def insert(self, *rows: PaymentRow) -> None:
        keys = [hashlib.sha256(row.key.encode()).digest()[:16] for row in rows]
        async with self.database.transaction() as tx:
            await self.store.insert(tx, self.tenant, rows, keys)

    async def kept(self, **more: Any) -> PaymentRow:
        row = self.row(**more)
        await self.insert(row)
        return row

    async def move(self, row: PaymentRow, state: State, **more: Any) -> PaymentRow:
        """Read under lock, change, save."""
        async with self.database.transaction() as tx:
            fresh = (await self.store.lock(tx, self.tenant, [row.payment_id]))[row.payment_id]
            fresh.state, fresh.version = state, fresh.version + 1
            for name, value in more.items():
                setattr(fresh, name, value)
            await self.store.save(tx, self.tenant, [fresh])
        return fresh

    async def get(self, payment_id: UUID) -> PaymentRow | None:
        async with self.database.transaction() as tx:
            return await self.store.get(tx, self.tenant, payment_id)

    def attempt(self, row: PaymentRow, number: int = 1, reference: str = "") -> AttemptRow:
        attempt_id = self.ids.new()
        return AttemptRow(
            attempt_id=attempt_id, payment_id=row.payment_id, number=number, rail="ibps",
            reference=reference or attempt_id.hex[-20:], route=b"{}", created_at=NOW,
            valid_until=later(7200),
        )  # fmt: skip

    async def open_attempt(self, attempt: AttemptRow) -> AttemptRow:
        async with self.database.transaction() as tx:
            await self.store.insert_attempts(tx, self.tenant, [attempt])
        return attempt

    async def close_attempt(self, attempt: AttemptRow, outcome: str) -> AttemptRow:
        closed = msgspec.structs.replace(attempt, outcome=outcome, code="x", closed_at=NOW)
        async with self.database.transaction() as tx:
            await self.store.close_attempts(tx, self.tenant, [closed])
        return closed

    async def put(self, *work: Work) -> None:
        async with self.database.transaction() as tx:
            await self.store.put_work(tx, self.tenant, work)

    async def claim(self, now: datetime, limit: int = 10, lease_s: int = 60) -> list[Work]:
        async with self.database.transaction() as tx:
            return await self.store.claim_work(
                tx, self.tenant, Task.ENQUIRE, now, limit, now + timedelta(seconds=lease_s)
            )

    async def finish(self, work: Work, due_at: datetime) -> None:
        async with self.database.transaction() as tx:
            done = msgspec.structs.replace(work, due_at=due_at)
            await self.store.finish_work(tx, self.tenant, [done])

    async def next_due(self) -> datetime | None:
        async with self.database.transaction() as tx:
            return await self.store.next_due(tx, self.tenant, Task.ENQUIRE)

    async def page(self, before: UUID = LAST_ID, limit: int = 50, **narrow: Any) -> list[UUID]:
        async with self.database.transaction() as tx:
            rows = await self.store.page(tx, self.tenant, Filter(**narrow), before, limit)
        return [row.payment_id for row in rows]


@pytest.fixture(params=["memory", "postgres"])
async def shelf(request: pytest.FixtureRequest, ids: Ids) -> AsyncIterator[Shelf]:
    if request.param == "memory":
        yield Shelf(MemoryDatabase(), MemoryPaymentStore(), ids)
    else:
        database = await PostgresDatabase.connect(request.getfixturevalue("shared_database_url"))
        yield Shelf(database, PostgresPaymentStore(), ids)
        await database.close()


class TestRowsAndKeys:
    async def test_a_row_comes_back_as_it_was_written(self, shelf: Shelf) -> None:
        row = await shelf.kept(purpose="货款", remark="十一月", execute_on=NOW.date())
        assert await shelf.get(row.payment_id) == row

    async def test_another_tenant_sees_nothing(self, shelf: Shelf) -> None:
        row = await shelf.kept()
        async with shelf.database.transaction() as tx:
            assert await shelf.store.get(tx, "stranger", row.payment_id) is None
            assert await shelf.store.lock(tx, "stranger", [row.payment_id]) == {}

    async def test_a_key_knows_its_content_and_its_payment(self, shelf: Shelf) -> None:
        row = await shelf.kept(key="order-7")
        bound, free = (hashlib.sha256(k).digest()[:16] for k in (b"order-7", b"order-8"))
        async with shelf.database.transaction() as tx:
            known = await shelf.store.known_keys(tx, shelf.tenant, [bound, free])
        assert set(known) == {bound}
        assert (known[bound].digest, known[bound].payment_id) == (row.digest, row.payment_id)

    async def test_a_bound_key_takes_no_second_payment(self, shelf: Shelf) -> None:
        await shelf.kept(key="order-7")
        second, other = shelf.row("order-7"), shelf.row("order-8")
        with pytest.raises(Conflict) as refused:
            await shelf.insert(other, second)
        assert refused.value.code == "payment.key_raced"
        assert await shelf.get(second.payment_id) is None
        assert await shelf.get(other.payment_id) is None, "the batch is undone as a whole"

    async def test_states_and_their_reasons_of_many(self, shelf: Shelf) -> None:
        one, two = await shelf.kept(), await shelf.kept(reason="why")
        async with shelf.database.transaction() as tx:
            found = await shelf.store.states_of(
                tx, shelf.tenant, [one.payment_id, two.payment_id, shelf.ids.new()]
            )
        assert found == {
            one.payment_id: (State.VALIDATED, ""),
            two.payment_id: (State.VALIDATED, "why"),
        }


class TestProgress:
    async def test_progress_is_saved_one_version_at_a_time(self, shelf: Shelf) -> None:
        row = await shelf.kept()
        await shelf.move(row, State.SUBMITTED, rail="ibps", reference="r1", attempts=1)
        kept = await shelf.get(row.payment_id)
        assert kept is not None
        assert (kept.state, kept.version, kept.reference) == (State.SUBMITTED, 1, "r1")

    @pytest.mark.parametrize("version", [0, 2])
    async def test_a_stale_read_cannot_be_saved(self, shelf: Shelf, version: int) -> None:
        row = await shelf.kept()
        row.state, row.version = State.SUBMITTED, version
        with pytest.raises((Broken, Unavailable)):
            async with shelf.database.transaction() as tx:
                await shelf.store.save(tx, shelf.tenant, [row])
        kept = await shelf.get(row.payment_id)
        assert kept is not None and kept.state is State.VALIDATED

    @pytest.mark.parametrize(
        ("path", "wrong"),
        [
            ((), State.COMPLETED),
            ((State.SUBMITTED,), State.CANCELLED),
            ((State.SUBMITTED, State.COMPLETED), State.REJECTED),
            ((State.REJECTED,), State.SUBMITTED),
            ((State.CANCELLED,), State.VALIDATED),
        ],
    )
    async def test_a_step_outside_the_table_is_refused(
        self, shelf: Shelf, path: tuple[State, ...], wrong: State
    ) -> None:
        row = await shelf.kept()
        for state in path:
            row = await shelf.move(row, state)
        with pytest.raises(GUARD):
            await shelf.move(row, wrong)

    async def test_nothing_leaves_the_house_unauthorised(self, shelf: Shelf) -> None:
        with pytest.raises(GUARD):
            await shelf.insert(shelf.row(authorised_by=""))
        waiting = await shelf.kept(authorised_by="", state=State.AWAITING_SIGNATURES)
        with pytest.raises(GUARD):
            await shelf.move(waiting, State.VALIDATED)
        await shelf.move(waiting, State.VALIDATED, authorised_by="signatures:2")

    async def test_states_are_counted_with_their_fen(self, shelf: Shelf) -> None:
        await shelf.kept(amount_fen=5)
        await shelf.kept(amount_fen=7)
        await shelf.move(await shelf.kept(amount_fen=11), State.CANCELLED)
        async with shelf.database.transaction() as tx:
            counts = await shelf.store.count_states(tx, shelf.tenant)
        assert counts == {State.VALIDATED: (2, 12), State.CANCELLED: (1, 11)}


class TestAttempts:
    async def test_an_attempt_is_found_by_what_the_rail_calls_it(self, shelf: Shelf) -> None:
        attempt = await shelf.open_attempt(shelf.attempt(await shelf.kept()))
        async with shelf.database.transaction() as tx:
            found = await shelf.store.attempts_by_reference(
                tx, shelf.tenant, "ibps", [attempt.reference, "unknown"]
            )
            elsewhere = await shelf.store.attempts_by_reference(
                tx, shelf.tenant, "bank_direct", [attempt.reference]
            )
        assert found == {attempt.reference: attempt} and elsewhere == {}

    async def test_a_second_way_out_opens_only_after_a_definite_no(self, shelf: Shelf) -> None:
        row = await shelf.kept()
        first = await shelf.open_attempt(shelf.attempt(row))
        with pytest.raises(GUARD):
            await shelf.open_attempt(shelf.attempt(row, 2))
        closed = await shelf.close_attempt(first, "rejected")
        second = await shelf.open_attempt(shelf.attempt(row, 2))
        async with shelf.database.transaction() as tx:
            kept = await shelf.store.attempts_of(tx, shelf.tenant, [row.payment_id])
        assert kept == {row.payment_id: [closed, second]}

    async def test_after_a_yes_there_is_no_other_way_out(self, shelf: Shelf) -> None:
        row = await shelf.kept()
        await shelf.close_attempt(await shelf.open_attempt(shelf.attempt(row)), "completed")
        with pytest.raises(GUARD):
            await shelf.open_attempt(shelf.attempt(row, 2))

    async def test_a_reference_stands_for_one_attempt(self, shelf: Shelf) -> None:
        await shelf.open_attempt(shelf.attempt(await shelf.kept(), reference="same"))
        with pytest.raises(GUARD):
            await shelf.open_attempt(shelf.attempt(await shelf.kept(), reference="same"))

    async def test_a_closed_attempt_stays_as_it_is(self, shelf: Shelf) -> None:
        attempt = await shelf.open_attempt(shelf.attempt(await shelf.kept()))
        await shelf.close_attempt(attempt, "rejected")
        with pytest.raises(GUARD):
            await shelf.close_attempt(attempt, "completed")


class TestWork:
    async def test_due_work_is_claimed_oldest_first_and_no_more_than_asked(
        self, shelf: Shelf
    ) -> None:
        ids = [shelf.ids.new() for _ in range(3)]
        await shelf.put(*(Work(i, Task.ENQUIRE, later(9 - n)) for n, i in enumerate(ids)))
        assert await shelf.claim(later(6)) == []
        assert await shelf.next_due() == later(7)
        claimed = await shelf.claim(later(8), limit=1)
        assert [w.payment_id for w in claimed] == [ids[2]]
        assert (claimed[0].tries, claimed[0].fence) == (1, 1)
        assert [w.payment_id for w in await shelf.claim(later(8))] == [ids[1]]
        assert await shelf.claim(later(8)) == []

    async def test_work_of_a_dead_worker_is_due_again_after_its_lease(self, shelf: Shelf) -> None:
        await shelf.put(Work(shelf.ids.new(), Task.ENQUIRE, NOW))
        await shelf.claim(NOW, lease_s=60)
        assert await shelf.claim(later(59)) == []
        (again,) = await shelf.claim(later(60))
        assert (again.tries, again.fence) == (2, 2)

    async def test_who_lost_the_lease_finishes_nothing(self, shelf: Shelf) -> None:
        await shelf.put(Work(shelf.ids.new(), Task.ENQUIRE, NOW))
        (slow,) = await shelf.claim(NOW, lease_s=60)
        (quick,) = await shelf.claim(later(60), lease_s=60)
        await shelf.finish(slow, later(9999))
        assert await shelf.next_due() == later(120)
        await shelf.finish(quick, later(300))
        assert await shelf.next_due() == later(300)

    async def test_work_put_anew_takes_the_fence_from_who_holds_it(self, shelf: Shelf) -> None:
        payment = shelf.ids.new()
        await shelf.put(Work(payment, Task.ENQUIRE, NOW))
        (held,) = await shelf.claim(NOW)
        await shelf.put(Work(payment, Task.ENQUIRE, later(20)))
        await shelf.finish(held, later(9999))
        assert await shelf.next_due() == later(20)

    async def test_dropped_work_is_gone_and_stays_gone(self, shelf: Shelf) -> None:
        payment = shelf.ids.new()
        await shelf.put(Work(payment, Task.ENQUIRE, NOW))
        (held,) = await shelf.claim(NOW)
        async with shelf.database.transaction() as tx:
            await shelf.store.drop_work(tx, shelf.tenant, {(payment, Task.ENQUIRE)})
        await shelf.finish(held, later(20))
        assert await shelf.next_due() is None

    async def test_two_workers_never_hold_the_same(self, shelf: Shelf) -> None:
        work = [Work(shelf.ids.new(), Task.ENQUIRE, NOW) for _ in range(40)]
        await shelf.put(*work)
        claims = await asyncio.gather(*(shelf.claim(NOW, limit=15) for _ in range(4)))
        taken = [w.payment_id for claim in claims for w in claim]
        assert len(taken) == len(set(taken))
        taken += [w.payment_id for w in await shelf.claim(NOW, limit=40)]
        assert sorted(taken) == sorted(w.payment_id for w in work)

    async def test_the_backlog_says_how_much_waits_and_since_when(self, shelf: Shelf) -> None:
        await shelf.put(
            Work(shelf.ids.new(), Task.DISPATCH, later(5)),
            Work(shelf.ids.new(), Task.DISPATCH, later(3)),
            Work(shelf.ids.new(), Task.ENQUIRE, later(7)),
        )
        async with shelf.database.transaction() as tx:
            backlog = await shelf.store.backlog(tx, shelf.tenant)
        assert backlog == {Task.DISPATCH: (2, later(3)), Task.ENQUIRE: (1, later(7))}

    async def test_rows_another_worker_holds_are_skipped_not_waited_for(
        self, shared_database_url: str, ids: Ids
    ) -> None:
        database = await PostgresDatabase.connect(shared_database_url)
        try:
            shelf = Shelf(database, PostgresPaymentStore(), ids)
            await shelf.put(*(Work(ids.new(), Task.ENQUIRE, NOW) for _ in range(2)))
            async with database.transaction() as tx:
                mine = await shelf.store.claim_work(
                    tx, shelf.tenant, Task.ENQUIRE, NOW, 1, later(60)
                )
                theirs = await asyncio.wait_for(shelf.claim(NOW), timeout=20)
            assert len(mine) == len(theirs) == 1
            assert mine[0].payment_id != theirs[0].payment_id
        finally:
            await database.close()


class TestPages:
    """Lists are newest first, and every filter narrows."""

    async def test_pages_follow_each_other_without_gap_or_overlap(self, shelf: Shelf) -> None:
        ids = [(await shelf.kept()).payment_id for _ in range(5)]
        first = await shelf.page(limit=2)
        second = await shelf.page(before=first[-1], limit=2)
        third = await shelf.page(before=second[-1], limit=2)
        assert first + second + third == sorted(ids, reverse=True)

    async def test_every_filter_narrows(self, shelf: Shelf) -> None:
        import_id, other_account = shelf.ids.new(), shelf.ids.new()
        plain = (await shelf.kept()).payment_id
        rich = (
            await shelf.kept(
                amount_fen=500, bank_account_id=other_account, payee_index=b"other",
                payee_last4="9999", created_at=later(60), import_id=import_id,
                purpose="Steel 100%_pure", reference="R-77",
            )
        ).payment_id  # fmt: skip
        await shelf.move((await shelf.kept()), State.CANCELLED)
        narrowed: list[dict[str, Any]] = [
            {"bank_account_ids": (other_account,)}, {"payee_index": b"other"},
            {"payee_last4": "9999"}, {"at_least_fen": 101}, {"created_from": later(1)},
            {"import_id": import_id}, {"text": "steel"}, {"text": "100%_p"}, {"text": "r-77"},
        ]  # fmt: skip
        for narrow in narrowed:
            assert await shelf.page(**narrow) == [rich], narrow
        assert await shelf.page(states=(State.VALIDATED,)) == [rich, plain]
        assert await shelf.page(states=(State.VALIDATED,), at_most_fen=499) == [plain]
        assert await shelf.page(states=(State.VALIDATED,), created_before=later(60)) == [plain]
        assert await shelf.page(states=()) == []
        assert await shelf.page(text="100_") == [], "wildcards of SQL are ordinary characters"


class TestDatabaseGuards:
    """What the database refuses by itself, even to its owner, whatever the code does."""

    @pytest.fixture
    async def shelf(self, shared_database_url: str, ids: Ids) -> AsyncIterator[Shelf]:
        database = await PostgresDatabase.connect(shared_database_url)
        yield Shelf(database, PostgresPaymentStore(), ids)
        await database.close()

    async def _refused(
        self, url: str, sql: str, *values: Any, error: type[Exception] | None = None
    ) -> None:
        owner = await asyncpg.connect(url)
        try:
            with pytest.raises(error or asyncpg.RestrictViolationError):
                await owner.execute(sql, *values)
        finally:
            await owner.close()

    @pytest.mark.parametrize("state", ["completed", "created", "in_doubt", "nonsense"])
    async def test_a_step_outside_the_table(
        self, shelf: Shelf, shared_database_url: str, state: str
    ) -> None:
        row = await shelf.kept()
        sql = "UPDATE payments SET state = $2, version = version + 1 WHERE payment_id = $1"
        await self._refused(shared_database_url, sql, row.payment_id, state)

    @pytest.mark.parametrize("end", [State.COMPLETED, State.REJECTED, State.REVERSED])
    async def test_an_end_is_never_overwritten(
        self, shelf: Shelf, shared_database_url: str, end: State
    ) -> None:
        row = await shelf.kept()
        await shelf.move(await shelf.move(row, State.SUBMITTED), end)
        sql = "UPDATE payments SET state = $2, version = version + 1 WHERE payment_id = $1"
        for other in set(State) - {end}:
            await self._refused(shared_database_url, sql, row.payment_id, other.value)

    async def test_a_payment_without_cover_does_not_leave(
        self, shelf: Shelf, shared_database_url: str
    ) -> None:
        row = await shelf.kept()
        sql = (
            "UPDATE payments SET state = 'submitted', authorised_by = '', version = version + 1 "
            "WHERE payment_id = $1"
        )
        await self._refused(
            shared_database_url, sql, row.payment_id, error=asyncpg.CheckViolationError
        )

    async def test_a_stale_version(self, shelf: Shelf, shared_database_url: str) -> None:
        row = await shelf.kept()
        sql = "UPDATE payments SET reason = 'x' WHERE payment_id = $1"
        await self._refused(
            shared_database_url, sql, row.payment_id, error=asyncpg.SerializationError
        )

    @pytest.mark.parametrize(
        "change",
        [
            "amount_fen = amount_fen + 1",
            "digest = '\\x00'",
            "bank_account_id = payment_id",
            "payee_index = '\\x00'",
        ],
    )
    async def test_the_order_is_frozen(
        self, shelf: Shelf, shared_database_url: str, change: str
    ) -> None:
        row = await shelf.kept()
        sql = f"UPDATE payments SET {change}, version = version + 1 WHERE payment_id = $1"
        await self._refused(shared_database_url, sql, row.payment_id)

    async def test_a_return_before_completion(self, shelf: Shelf, shared_database_url: str) -> None:
        row = await shelf.kept()
        sql = "UPDATE payments SET returned_at = now(), version = version + 1 WHERE payment_id = $1"
        await self._refused(
            shared_database_url, sql, row.payment_id, error=asyncpg.CheckViolationError
        )

    async def test_a_second_open_attempt(self, shelf: Shelf, shared_database_url: str) -> None:
        first = await shelf.open_attempt(shelf.attempt(await shelf.kept()))
        sql = (
            "INSERT INTO payment_attempts (tenant, attempt_id, payment_id, number, rail, "
            "reference, route, created_at, valid_until) SELECT tenant, gen_random_uuid(), "
            "payment_id, 2, rail, 'another', route, created_at, valid_until "
            "FROM payment_attempts WHERE attempt_id = $1"
        )
        await self._refused(
            shared_database_url, sql, first.attempt_id, error=asyncpg.UniqueViolationError
        )

    @pytest.mark.parametrize("change", ["reference = 'x'", "rail = 'x'"])
    async def test_an_attempt_keeps_its_name(
        self, shelf: Shelf, shared_database_url: str, change: str
    ) -> None:
        attempt = await shelf.open_attempt(shelf.attempt(await shelf.kept()))
        sql = f"UPDATE payment_attempts SET {change} WHERE attempt_id = $1"
        await self._refused(shared_database_url, sql, attempt.attempt_id)

    async def test_a_key_is_not_bound_again_nor_forgotten(
        self, shelf: Shelf, shared_database_url: str
    ) -> None:
        await shelf.kept(key="order-7")
        for sql in (
            "UPDATE payment_keys SET digest = sha256('x') WHERE tenant = $1",
            "DELETE FROM payment_keys WHERE tenant = $1",
        ):
            await self._refused(shared_database_url, sql, shelf.tenant)

    @pytest.mark.parametrize("table", ["payments", "payment_attempts"])
    async def test_nothing_is_deleted(self, shared_database_url: str, table: str) -> None:
        await self._refused(shared_database_url, f"DELETE FROM {table}")
        await self._refused(shared_database_url, f"TRUNCATE {table}")

    @pytest.mark.parametrize(
        "sql",
        [
            "DELETE FROM payments",
            "DELETE FROM payment_keys",
            "UPDATE payment_keys SET digest = digest",
            "DELETE FROM payment_attempts",
            "INSERT INTO payment_transitions VALUES ('completed', 'created')",
            "DELETE FROM payment_transitions",
        ],
    )
    async def test_the_application_has_not_even_the_right(
        self, shared_database_url: str, sql: str
    ) -> None:
        await self._refused(
            shared_database_url,
            f"SET ROLE caiwutong_app; {sql}",
            error=asyncpg.InsufficientPrivilegeError,
        )
