"""Rush: urgent before normal, tenants by weight, and no more taken in than can be got out. Measured
in rounds and shares, never in seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Unavailable
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.order import Priority
from caiwutong.payments.memory import MemoryPaymentStore
from caiwutong.payments.model import Receipt, Task, Work
from caiwutong.payments.pressure import Pressure
from caiwutong.payments.store import PostgresPaymentStore
from caiwutong.payments.turns import Turns
from support.payment_house import House

NOW = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)
ROUND = 100


class Queue:
    """Due work of one tenant, on either store."""

    def __init__(self, database: Any, store: Any) -> None:
        self.database, self.store = database, store
        self.ids = Ids(ManualClock(NOW), SystemRandomness())
        self.tenant = f"t{self.ids.new().hex[-12:]}"

    async def put(self, count: int, *, urgent: bool = False) -> list[Any]:
        made = [Work(self.ids.new(), Task.DISPATCH, NOW, urgent=urgent) for _ in range(count)]
        async with self.database.transaction() as tx:
            await self.store.put_work(tx, self.tenant, made)
        return [work.payment_id for work in made]

    async def round(self) -> list[Work]:
        async with self.database.transaction() as tx:
            lease = NOW.replace(hour=2)
            claimed = await self.store.claim_work(tx, self.tenant, Task.DISPATCH, NOW, ROUND, lease)
            done = {(work.payment_id, work.task) for work in claimed}
            await self.store.drop_work(tx, self.tenant, done)
        return claimed


@pytest.fixture(params=["memory", "postgres"])
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    if request.param == "memory":
        yield Queue(MemoryDatabase(), MemoryPaymentStore())
    else:
        database = await PostgresDatabase.connect(request.getfixturevalue("shared_database_url"))
        yield Queue(database, PostgresPaymentStore())
        await database.close()


async def test_twenty_thousand_normal_ones_do_not_delay_an_urgent_one_by_a_round(
    queue: Queue,
) -> None:
    await queue.put(20_000)
    (urgent,) = await queue.put(1, urgent=True)
    assert urgent in {work.payment_id for work in await queue.round()}


async def test_a_flood_of_urgent_ones_leaves_the_others_a_tenth(queue: Queue) -> None:
    await queue.put(50)
    await queue.put(1_000, urgent=True)
    claimed = [await queue.round() for _ in range(5)]
    assert [sum(not work.urgent for work in each) for each in claimed] == [10] * 5
    assert [sum(work.urgent for work in each) for each in claimed] == [ROUND] * 5


async def test_an_urgent_order_is_urgent_work_from_intake_on(clock: ManualClock) -> None:
    house = await House(MemoryDatabase(), clock, memory=True).open()
    for n in range(3):
        assert isinstance(await house.submit(f"n{n}", 1_00), Receipt)
    urgent = await house.submit("u", 1_00, priority=Priority.URGENT)
    assert isinstance(urgent, Receipt)
    await house.dispatch.run_once(house.tenant, limit=1)
    assert (await house.view(urgent.payment_id)).reference


async def test_a_tenants_batch_does_not_keep_another_waiting(clock: ManualClock) -> None:
    house = await House(MemoryDatabase(), clock, memory=True).open()
    many = [house.submission(f"n{n}", house.order(1_00)) for n in range(40)]
    await house.intake.submit_many(house.tenant, many)
    other = Work(house.ids.new(), Task.DISPATCH, clock.now())
    async with house.database.transaction() as tx:
        await house.store.put_work(tx, "another", [other])
    turns = Turns({house.tenant: 3, "another": 1})
    taken = [await house.dispatch.run_fair(turns, limit=5) for _ in range(5)]
    assert taken.count(5) == 4
    assert taken.count(1) == 1, "the other tenant's only work went within its share of rounds"


class TestTurns:
    def test_rounds_are_shared_by_weight(self) -> None:
        turns = Turns({"a": 3, "b": 1})
        drawn = Counter(turns.next({"a", "b"}) for _ in range(400))
        assert drawn == {"a": 300, "b": 100}

    def test_who_is_alone_gets_every_round(self) -> None:
        turns = Turns({"a": 1, "b": 9})
        assert {turns.next({"a"}) for _ in range(20)} == {"a"}

    def test_idle_time_is_not_saved_up(self) -> None:
        turns = Turns({"a": 1, "b": 1})
        for _ in range(100):
            turns.next({"a"})
        assert Counter(turns.next({"a", "b"}) for _ in range(10)) == {"a": 5, "b": 5}

    def test_nobody_has_work(self) -> None:
        assert Turns({"a": 1}).next(()) is None

    @given(
        st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1),
        st.integers(1, 200),
    )
    def test_no_tenant_waits_longer_than_its_share_allows(
        self, weights: dict[str, int], rounds: int
    ) -> None:
        turns, total = Turns(weights), sum(weights.values())
        drawn = Counter(turns.next(weights) for _ in range(rounds))
        for tenant, weight in weights.items():
            assert abs(drawn[tenant] - rounds * weight / total) <= 1


class TestPressure:
    async def test_orders_are_turned_away_at_the_bound_and_urgent_ones_at_twice_it(
        self, queue: Queue
    ) -> None:
        clock = ManualClock(NOW)
        pressure = Pressure(queue.database, queue.store, clock, longest_backlog=50)
        await queue.put(49)
        assert await pressure.look(queue.tenant) == 49
        pressure.check(queue.tenant)
        await queue.put(1)
        await pressure.look(queue.tenant)
        with pytest.raises(Unavailable) as refused:
            pressure.check(queue.tenant)
        assert refused.value.code == "payments.backlog"
        assert refused.value.facts["retry_after_s"] >= 1
        pressure.check(queue.tenant, urgent=True)
        await queue.put(950)
        assert await pressure.look(queue.tenant) == 100, "counted no further than is needed"
        with pytest.raises(Unavailable):
            pressure.check(queue.tenant, urgent=True)

    async def test_another_tenant_is_not_turned_away(self, queue: Queue) -> None:
        pressure = Pressure(queue.database, queue.store, ManualClock(NOW), longest_backlog=5)
        await queue.put(5)
        await pressure.look(queue.tenant)
        pressure.check(f"{queue.tenant}-other")

    async def test_it_opens_again_when_the_backlog_is_gone(self, queue: Queue) -> None:
        pressure = Pressure(queue.database, queue.store, ManualClock(NOW), longest_backlog=5)
        await queue.put(5)
        await pressure.look(queue.tenant)
        await queue.round()
        await pressure.look(queue.tenant)
        pressure.check(queue.tenant)
