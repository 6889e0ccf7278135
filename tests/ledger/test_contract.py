"""One contract for both ledgers: PostgreSQL and its memory twin keep the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from caiwutong.db.database import Database
from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.ids import Ids
from caiwutong.ledger.memory import MemoryLedgerStore
from caiwutong.ledger.model import (
    DONE,
    DONE_BEFORE,
    Account,
    Keep,
    NormalSide,
    Operation,
    Outcome,
    Post,
    Reserve,
    Transfer,
    Void,
)
from caiwutong.ledger.service import Ledger
from caiwutong.ledger.store import PostgresLedgerStore

START = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)


class House:
    """A ledger with a bank account of 1,000.00, a payables account and opening equity."""

    def __init__(self, database: Database, ledger: Ledger, ids: Ids) -> None:
        self.database, self.ledger, self.ids = database, ledger, ids
        self.tenant = f"t{ids.new().hex[-12:]}"
        self.bank, self.other, self.payable, self.opening = (ids.new() for _ in range(4))

    async def open(self, overdraft: int = 0) -> House:
        accounts = [
            Account(self.bank, "1002.a", "bank", NormalSide.DEBIT, overdraft_fen=overdraft),
            Account(self.other, "1002.b", "other bank", NormalSide.DEBIT),
            Account(self.payable, "2202", "payables", NormalSide.CREDIT, overdraft_fen=None),
            Account(self.opening, "3001", "opening", NormalSide.CREDIT, overdraft_fen=None),
        ]
        async with self.database.transaction() as tx:
            await self.ledger.open_accounts(tx, self.tenant, accounts, START)
        assert await self.do(self.transfer(self.bank, self.opening, 1000_00)) == DONE
        return self

    def transfer(
        self, debit: UUID, credit: UUID, fen: int, *, minutes: int = 0, **more: object
    ) -> Transfer:
        return Transfer(
            transfer_id=more.pop("transfer_id", None) or self.ids.new(),  # type: ignore[arg-type]
            debit=debit,
            credit=credit,
            amount_fen=fen,
            at=START + timedelta(minutes=minutes),
            kind="test",
            **more,  # type: ignore[arg-type]
        )

    def reserve(self, fen: int, *, minutes: int = 0, **more: object) -> Reserve:
        return Reserve(
            hold_id=self.ids.new(),
            account=self.bank,
            amount_fen=fen,
            at=START + timedelta(minutes=minutes),
            **more,  # type: ignore[arg-type]
        )

    def post(self, hold: Reserve, fen: int | None = None, *, minutes: int = 1) -> Post:
        return Post(
            hold_id=hold.hold_id,
            transfer_id=self.ids.new(),
            counter=self.payable,
            at=START + timedelta(minutes=minutes),
            kind="payment",
            amount_fen=fen,
        )

    async def do(self, *operations: Operation) -> Outcome:
        return (await self.do_all(*operations))[0]

    async def do_all(self, *operations: Operation) -> list[Outcome]:
        async with self.database.transaction() as tx:
            return await self.ledger.apply_many(tx, self.tenant, operations)

    async def figures(self, account: UUID, as_of: datetime | None = None) -> tuple[int, int, int]:
        async with self.database.transaction() as tx:
            b = await self.ledger.balance(tx, self.tenant, account, now=START, as_of=as_of)
        return b.posted_fen, b.held_fen, b.available_fen

    async def proved(self) -> None:
        async with self.database.transaction() as tx:
            for proof in await self.ledger.trial_balance(tx, self.tenant):
                assert proof.holds, proof


@pytest.fixture(params=["memory", "postgres"])
async def house(request: pytest.FixtureRequest, ids: Ids) -> AsyncIterator[House]:
    if request.param == "memory":
        made = House(MemoryDatabase(), Ledger(MemoryLedgerStore()), ids)
        yield await made.open()
        await made.proved()
    else:
        database = await PostgresDatabase.connect(request.getfixturevalue("shared_database_url"))
        made = House(database, Ledger(PostgresLedgerStore()), ids)
        yield await made.open()
        await made.proved()
        await database.close()


async def test_a_hold_leaves_posted_and_takes_from_available(house: House) -> None:
    assert await house.do(house.reserve(400_00)) == DONE
    assert await house.figures(house.bank) == (1000_00, 400_00, 600_00)


async def test_a_second_hold_beyond_what_is_available_is_refused_by_name(house: House) -> None:
    first, second = await house.do_all(house.reserve(700_00), house.reserve(300_01))
    assert first == DONE
    assert isinstance(second, Refusal) and second.code == "ledger.insufficient"
    assert "300.00 CNY available" in second.detail
    assert await house.figures(house.bank) == (1000_00, 700_00, 300_00)


async def test_a_posted_hold_becomes_a_transfer(house: House) -> None:
    hold = house.reserve(400_00)
    assert await house.do_all(hold, house.post(hold)) == [DONE, DONE]
    assert await house.figures(house.bank) == (600_00, 0, 600_00)
    assert await house.figures(house.payable) == (-400_00, 0, -400_00)


async def test_a_partial_post_releases_the_rest(house: House) -> None:
    hold = house.reserve(400_00)
    await house.do_all(hold, house.post(hold, 150_00))
    assert await house.figures(house.bank) == (850_00, 0, 850_00)


async def test_posting_twice_is_answered_and_changes_nothing(house: House) -> None:
    hold = house.reserve(400_00)
    post = house.post(hold)
    assert await house.do_all(hold, post, post) == [DONE, DONE, DONE_BEFORE]
    assert await house.do(post) == DONE_BEFORE
    other = await house.do(house.post(hold))
    assert isinstance(other, Refusal) and other.code == "ledger.hold_over"
    assert await house.figures(house.bank) == (600_00, 0, 600_00)


async def test_a_void_gives_the_hold_back_once(house: House) -> None:
    hold = house.reserve(400_00)
    void = Void(hold_id=hold.hold_id, at=START)
    assert await house.do_all(hold, void) == [DONE, DONE]
    assert await house.do(void) == DONE_BEFORE
    refused = await house.do(house.post(hold))
    assert isinstance(refused, Refusal) and refused.code == "ledger.hold_over"
    assert await house.figures(house.bank) == (1000_00, 0, 1000_00)


async def test_the_same_id_with_other_content_is_refused(house: House) -> None:
    first = house.transfer(house.other, house.opening, 5_00)
    assert await house.do(first) == DONE
    assert await house.do(first) == DONE_BEFORE
    other = house.transfer(house.other, house.opening, 6_00, transfer_id=first.transfer_id)
    refused = await house.do(other)
    assert isinstance(refused, Refusal) and refused.code == "ledger.transfer_id_taken"


async def test_linked_operations_are_all_or_none(house: House) -> None:
    good = house.transfer(house.other, house.bank, 900_00, linked=True)
    bad = house.transfer(house.other, house.bank, 200_00)
    alone = house.transfer(house.other, house.bank, 300_00)
    first, second, third = await house.do_all(good, bad, alone)
    assert isinstance(first, Refusal) and first.code == "ledger.linked_failed"
    assert isinstance(second, Refusal) and second.code == "ledger.insufficient"
    assert third == DONE
    assert await house.figures(house.bank) == (700_00, 0, 700_00)


async def test_a_failed_chain_takes_its_holds_back_too(house: House) -> None:
    hold = house.reserve(100_00, linked=True)
    chain = [hold, house.transfer(house.other, house.bank, 2000_00)]
    outcomes = await house.do_all(*chain)
    assert all(isinstance(o, Refusal) for o in outcomes)
    assert await house.figures(house.bank) == (1000_00, 0, 1000_00)
    again = await house.do(Void(hold_id=hold.hold_id, at=START))
    assert isinstance(again, Refusal) and again.code == "ledger.no_such_hold"


async def test_the_balance_as_of_any_moment(house: House) -> None:
    hold = house.reserve(400_00, minutes=10)
    await house.do(hold)
    await house.do(house.post(hold, minutes=20))
    await house.do(house.transfer(house.bank, house.opening, 50_00, minutes=30))
    at = [START + timedelta(minutes=m) for m in (-1, 5, 15, 25, 35)]
    seen = [await house.figures(house.bank, moment) for moment in at]
    assert seen == [
        (0, 0, 0),
        (1000_00, 0, 1000_00),
        (1000_00, 400_00, 600_00),
        (600_00, 0, 600_00),
        (650_00, 0, 650_00),
    ]


async def test_an_entry_never_runs_behind_the_one_before(house: House) -> None:
    await house.do(house.transfer(house.bank, house.opening, 1_00, minutes=60))
    await house.do(house.transfer(house.bank, house.opening, 2_00, minutes=30))
    assert await house.figures(house.bank, START + timedelta(minutes=45)) == (1000_00, 0, 1000_00)
    assert await house.figures(house.bank, START + timedelta(minutes=60)) == (1003_00, 0, 1003_00)


async def test_holds_expire_by_business_time(house: House) -> None:
    short = house.reserve(100_00, expires_at=START + timedelta(minutes=5))
    long = house.reserve(200_00, expires_at=START + timedelta(minutes=50))
    await house.do_all(short, long)
    late = await house.do(house.post(short, minutes=6))
    assert isinstance(late, Refusal) and late.code == "ledger.hold_expired"
    async with house.database.transaction() as tx:
        now = START + timedelta(minutes=6)
        assert await house.ledger.expire_due(tx, house.tenant, now, 10) == [short.hold_id]
        assert await house.ledger.expire_due(tx, house.tenant, now, 10) == []
    assert await house.figures(house.bank) == (1000_00, 200_00, 800_00)


async def test_a_kept_hold_does_not_expire(house: House) -> None:
    hold = house.reserve(100_00, expires_at=START + timedelta(minutes=5))
    assert await house.do_all(hold, Keep(hold_id=hold.hold_id, at=START)) == [DONE, DONE]
    async with house.database.transaction() as tx:
        assert await house.ledger.expire_due(tx, house.tenant, START + timedelta(days=9), 10) == []
    assert await house.do(house.post(hold, minutes=60)) == DONE


async def test_a_forced_transfer_goes_beyond_and_is_remembered(house: House) -> None:
    await house.do(house.reserve(1000_00))
    fee = house.transfer(house.opening, house.bank, 5_00)
    refused = await house.do(fee)
    assert isinstance(refused, Refusal) and refused.code == "ledger.insufficient"
    assert await house.do(house.transfer(house.opening, house.bank, 5_00, forced=True)) == DONE
    assert await house.figures(house.bank) == (995_00, 1000_00, -5_00)
    # It can recover, and then the ordinary limit holds again.
    assert await house.do(house.transfer(house.bank, house.opening, 10_00)) == DONE
    over = await house.do(house.reserve(6_00))
    assert isinstance(over, Refusal)
    assert await house.do(house.reserve(5_00)) == DONE


async def test_a_closed_period_takes_no_more(house: House) -> None:
    async with house.database.transaction() as tx:
        await house.ledger.close_period(tx, house.tenant, 202611, START, "person:controller")
    refused = await house.do(house.transfer(house.bank, house.opening, 1_00))
    assert isinstance(refused, Refusal) and refused.code == "ledger.period_closed"
    next_month = house.transfer(house.bank, house.opening, 1_00, minutes=60 * 24 * 30)
    assert await house.do(next_month) == DONE


async def test_a_correction_puts_both_accounts_back(house: House) -> None:
    wrong = house.transfer(house.other, house.bank, 70_00)
    await house.do(wrong)
    async with house.database.transaction() as tx:
        back = house.ids.new()
        assert await house.ledger.correct(tx, house.tenant, wrong.transfer_id, back, START) == DONE
        assert (
            await house.ledger.correct(tx, house.tenant, wrong.transfer_id, back, START)
            == DONE_BEFORE
        )
    assert await house.figures(house.bank) == (1000_00, 0, 1000_00)
    assert await house.figures(house.other) == (0, 0, 0)


async def test_an_authorised_overdraft_is_a_limit_like_any_other(house: House, ids: Ids) -> None:
    async with house.database.transaction() as tx:
        loan = ids.new()
        account = Account(loan, "1002.o", "overdraft", NormalSide.DEBIT, overdraft_fen=500_00)
        await house.ledger.open_accounts(tx, house.tenant, [account], START)
    assert await house.do(house.transfer(house.bank, loan, 500_00)) == DONE
    refused = await house.do(house.transfer(house.bank, loan, 1))
    assert isinstance(refused, Refusal) and "overdraft 500.00" in refused.detail


async def test_nothing_overdraws_under_a_race(house: House) -> None:
    async def pay() -> Outcome:
        return await house.do(house.reserve(30_00))

    outcomes = await asyncio.gather(*(pay() for _ in range(60)))
    assert sum(o == DONE for o in outcomes) == 33
    assert await house.figures(house.bank) == (1000_00, 990_00, 10_00)


async def test_crossing_transfers_do_not_deadlock(house: House) -> None:
    await house.do(house.transfer(house.other, house.opening, 1000_00))
    there = [house.do(house.transfer(house.other, house.bank, 1_00)) for _ in range(40)]
    back = [house.do(house.transfer(house.bank, house.other, 1_00)) for _ in range(40)]
    assert set(await asyncio.gather(*there, *back)) == {DONE}
    assert await house.figures(house.bank) == (1000_00, 0, 1000_00)


class TestDatabaseGuards:
    """What the database refuses by itself, whatever the code does."""

    async def _refused(self, database_url: str, sql: str, error: type[Exception]) -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(
                "INSERT INTO ledger_accounts (tenant, account_id, code, name, normal_side, "
                "currency, overdraft_fen, posted_fen, opened_at) VALUES "
                "('demo', '00000000-0000-7000-8000-000000000001', 'a', 'a', 1, 'CNY', 0, 100, "
                "now()) ON CONFLICT DO NOTHING"
            )
            await connection.execute(
                "INSERT INTO ledger_holds (tenant, hold_id, account_id, amount_fen, state, "
                "opened_at, closed_at) VALUES ('demo', '00000000-0000-7000-8000-000000000002', "
                "'00000000-0000-7000-8000-000000000001', 5, 'voided', now(), now())"
            )
            with pytest.raises(error):
                await connection.execute(sql)
        finally:
            await connection.close()

    async def test_available_below_the_overdraft(self, database_url: str) -> None:
        await self._refused(
            database_url,
            "UPDATE ledger_accounts SET held_fen = 101",
            asyncpg.CheckViolationError,
        )

    async def test_entries_that_do_not_sum_to_zero(self, database_url: str) -> None:
        await self._refused(
            database_url,
            "INSERT INTO ledger_entries VALUES ('demo', "
            "'00000000-0000-7000-8000-000000000001', now(), 1, "
            "'00000000-0000-7000-8000-000000000003', 5, 0, 105, 0, 'CNY')",
            asyncpg.CheckViolationError,
        )

    @pytest.mark.parametrize("table", ["ledger_entries", "ledger_transfers"])
    async def test_history_is_not_deleted(self, database_url: str, table: str) -> None:
        await self._refused(database_url, f"DELETE FROM {table}", asyncpg.RestrictViolationError)

    async def test_an_ended_hold_does_not_come_back(self, database_url: str) -> None:
        await self._refused(
            database_url,
            "UPDATE ledger_holds SET state = 'held', closed_at = NULL",
            asyncpg.RestrictViolationError,
        )
