"""Sealed events over a real broker: each has its effect once, whatever the broker loses."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import nats
import nats.js.errors
import pytest

from caiwutong.db.database import Database, Tx
from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.engines import NatsEngine
from caiwutong.engines.home import erase
from caiwutong.erp.feed import FeedEvent
from caiwutong.kernel.errors import Unavailable
from caiwutong.worker.broker import STREAM, Pack, open_pack, pack_of
from caiwutong.worker.cursors import PUBLISHER, Cursors, MemoryCursors, PostgresCursors
from caiwutong.worker.inbox import Consumer, each
from caiwutong.worker.outbox import Publisher
from support.engines import EngineSession, data_folder_for_tests
from support.feeds import ListFeed, event

TENANT = "acme"
NOWHERE = "nats://127.0.0.1:1"
House = tuple[Database, Cursors]


class Reader:
    """A handler that remembers what it was handed, once that is kept."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.fail_at: set[int] = set()

    async def handle(self, tx: Tx, tenant: str, events: Sequence[FeedEvent]) -> None:
        for seq in [e.seq for e in events if e.seq in self.fail_at]:
            self.fail_at.discard(seq)
            raise RuntimeError("the handler stumbles once")
        tx.after_commit(lambda: self.seqs.extend(e.seq for e in events))


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.engine)])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "memory":
        yield MemoryDatabase(), MemoryCursors()
        return
    database = await PostgresDatabase.connect(request.getfixturevalue("database_url"))
    yield database, PostgresCursors()
    await database.close()


@contextlib.asynccontextmanager
async def running(*works: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(true: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  what we wait for is in another process
            await asyncio.sleep(0.02)


def consumer(
    house: House, feed: ListFeed, reader: Reader, url: str = NOWHERE, sweep_s: float = 2.0
) -> Consumer:
    return Consumer("reader", reader.handle, house[0], feed, house[1], url, sweep_s)


def test_a_pack_survives_the_wire():
    events = [event(1), event(2, "payment.created")]
    assert open_pack(pack_of(TENANT, events)) == Pack(TENANT, events)
    assert open_pack(b"\xc1 not a pack") is None


async def test_repeated_and_overlapping_packs_have_one_effect(house: House):
    feed, reader = ListFeed(), Reader()
    feed.seal(TENANT, 30)
    inbox = consumer(house, feed, reader)
    log = feed.events[TENANT]
    for pack in (log[:10], log[:10], log[5:20], log[:3], log[19:21]):
        await inbox.take(Pack(TENANT, pack))
    assert reader.seqs == list(range(1, 22))


async def test_a_gap_is_filled_from_the_log(house: House):
    feed, reader = ListFeed(), Reader()
    feed.seal(TENANT, 350)
    inbox = consumer(house, feed, reader)
    assert await inbox.take(Pack(TENANT, feed.events[TENANT][340:345])) == 345
    assert reader.seqs == list(range(1, 346))


async def test_a_handler_that_fails_leaves_no_trace_and_gets_the_events_again(house: House):
    feed, reader = ListFeed(), Reader()
    feed.seal(TENANT, 10)
    reader.fail_at = {4}
    inbox = consumer(house, feed, reader)
    with pytest.raises(RuntimeError):
        await inbox.sweep_once()
    assert reader.seqs == []
    assert await inbox.sweep_once() == 10
    assert reader.seqs == list(range(1, 11))


async def test_an_event_the_log_does_not_have_is_waited_for(house: House):
    feed, reader = ListFeed(), Reader()
    feed.seal(TENANT, 2)
    inbox = consumer(house, feed, reader)
    with pytest.raises(Unavailable):
        await inbox.take(Pack(TENANT, [event(5)]))
    assert reader.seqs == [1, 2]


async def test_single_events_can_be_handled(house: House):
    feed, seen = ListFeed(), list[tuple[str, int]]()
    feed.seal(TENANT, 3)

    async def one(tx: Tx, tenant: str, seq: int, what: FeedEvent) -> None:
        seen.append((tenant, seq))

    inbox = Consumer("one", each(one), house[0], feed, house[1], NOWHERE)
    await inbox.sweep_once()
    assert seen == [(TENANT, 1), (TENANT, 2), (TENANT, 3)]


async def test_the_publisher_rewinds_to_the_slowest_consumer(house: House):
    database, cursors = house
    async with database.transaction() as tx:
        for name, seq in (("quick", 90), ("slow", 40)):
            await cursors.lock(tx, TENANT, name)
            await cursors.move(tx, TENANT, name, seq)
        await cursors.publish(tx, TENANT, 100)
        await cursors.publish(tx, "alone", 7)
        await cursors.rewind(tx)
        assert await cursors.all(tx, PUBLISHER) == {TENANT: 40, "alone": 7}


@pytest.fixture
async def broker(engines: EngineSession) -> AsyncIterator[str]:
    """The session's broker without our stream."""
    await wipe(engines.nats_url)
    yield engines.nats_url
    await wipe(engines.nats_url)


async def wipe(url: str) -> None:
    client = await nats.connect(url)
    with contextlib.suppress(nats.js.errors.NotFoundError):
        await client.jetstream().delete_stream(STREAM)
    await client.close()


async def stream_messages(url: str) -> int:
    client = await nats.connect(url)
    try:
        return (await client.jetstream().stream_info(STREAM)).state.messages
    finally:
        await client.close()


@pytest.mark.engine
async def test_events_travel_packed_and_arrive_once(house: House, broker: str):
    feed, reader = ListFeed(), Reader()
    feed.seal(TENANT, 1000)
    publisher = Publisher(house[0], feed, house[1], broker, poll_s=0.05)
    inbox = consumer(house, feed, reader, broker, sweep_s=3600)
    async with running(publisher.run(), inbox.run()):
        await until(lambda: len(reader.seqs) >= 1000)
        feed.seal(TENANT, 1)
        publisher.wake()
        await until(lambda: len(reader.seqs) >= 1001)
    assert reader.seqs == list(range(1, 1002))
    assert await stream_messages(broker) == 11


@pytest.mark.engine
async def test_a_broker_wiped_under_us_is_filled_again(house: House, broker: str):
    feed, reader = ListFeed(), Reader()
    feed.seal(TENANT, 200)
    publisher = Publisher(house[0], feed, house[1], broker, poll_s=0.05)
    async with running(publisher.run()):
        inbox = consumer(house, feed, reader, broker, sweep_s=3600)
        async with running(inbox.run()):
            await until(lambda: len(reader.seqs) >= 200)
        feed.seal(TENANT, 100)
        await wipe(broker)
        feed.seal(TENANT, 100)
        await asyncio.sleep(0.5)
        feed.seal(TENANT, 1)
        async with running(inbox.run()):
            await until(lambda: len(reader.seqs) >= 401)
    assert reader.seqs == list(range(1, 402))
    assert await stream_messages(broker) >= 3


@pytest.mark.engine
async def test_a_broker_that_goes_and_comes_back_empty_is_filled_again():
    folder = data_folder_for_tests()
    house: House = (MemoryDatabase(), MemoryCursors())
    feed, reader = ListFeed(), Reader()
    feed.seal(TENANT, 150)
    engine = NatsEngine(folder)
    url = await engine.start()
    publisher = Publisher(house[0], feed, house[1], url, poll_s=0.05)
    inbox = consumer(house, feed, reader, url, sweep_s=3600)
    try:
        async with running(publisher.run(), inbox.run()):
            await until(lambda: len(reader.seqs) >= 150)
            await engine.stop()
            feed.seal(TENANT, 100)
            shutil.rmtree(engine.broker.home / "store")
            engine = NatsEngine(folder)
            assert await engine.start() == url
            await until(lambda: len(reader.seqs) >= 250, 20)
        assert reader.seqs == list(range(1, 251))
    finally:
        await engine.stop()
        erase(folder)


@pytest.mark.engine
async def test_without_a_broker_events_still_come(house: House):
    feed, reader = ListFeed(), Reader()
    feed.seal(TENANT, 250)
    async with running(consumer(house, feed, reader, NOWHERE, sweep_s=0.05).run()):
        await until(lambda: len(reader.seqs) >= 250)
    assert reader.seqs == list(range(1, 251))
