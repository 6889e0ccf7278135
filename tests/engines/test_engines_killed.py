"""What is killed comes back with what it promised; what loses its parent goes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import asyncpg
import nats
import pytest

from caiwutong.engines import Engines, Health, State
from caiwutong.engines.home import erase
from support.engines import data_folder_for_tests
from support.processes import Instance, parent_of, wait_until_nobody_works_on, working_on

pytestmark = pytest.mark.engine

BACK_WITHIN_S = 2.0
GONE_WITHIN_S = 3.0
BROKEN = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises when the server dies under it, the last in the middle of a message."""
SLACK = 2.5
"""The bars hold on a quiet machine; a busy one gets this much more. The figures are printed."""


@pytest.fixture
def folder() -> Iterator[Path]:
    base = data_folder_for_tests()
    yield base / "data"
    for pid in (left := working_on(base)):
        os.kill(pid, signal.SIGKILL)
    erase(base / "data")
    erase(base)
    assert not left, f"an orphan was left: {left}"


class Heard:
    """Every change of state the supervisor told."""

    def __init__(self) -> None:
        self.changes: list[Health] = []

    def __call__(self, health: Health) -> None:
        self.changes.append(health)

    def states_of(self, name: str) -> list[State]:
        return [health.state for health in self.changes if health.name == name]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def engines(folder: Path, heard: Heard) -> AsyncIterator[Engines]:
    async with Engines(folder, on_health=heard) as started:
        yield started


def _pid(engines: Engines, name: str) -> int:
    return next(health.pid for health in engines.supervisor.health() if health.name == name)


async def _accepts_again(url: str) -> float:
    """Seconds until a new connection is answered."""
    began = time.monotonic()
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=5)
            await connection.fetchval("SELECT 1")
            await connection.close()
            return time.monotonic() - began
        except BROKEN:
            assert time.monotonic() - began < 60, "PostgreSQL did not come back"
            await asyncio.sleep(0.01)


async def _pay_until_the_connection_breaks(url: str, name: int, confirmed: list[int]) -> None:
    connection = await asyncpg.connect(url)
    number = name
    try:
        while True:
            await connection.execute("INSERT INTO paid VALUES ($1)", number)
            confirmed.append(number)
            number += 100
    except BROKEN:
        connection.terminate()


async def _count_for_ever(url: str) -> None:
    """Keep a backend so busy that it does not notice its postmaster is dead."""
    connection = await asyncpg.connect(url)
    try:
        await connection.fetchval("SELECT count(*) FROM generate_series(1, 100000000000)")
    except BROKEN:
        connection.terminate()


async def test_a_killed_postmaster_is_back_in_two_seconds_with_every_confirmed_row(
    engines: Engines, heard: Heard
) -> None:
    url = engines.database_url
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE paid (number bigint)")
    await connection.close()
    confirmed: list[int] = []
    callers = [
        asyncio.create_task(_pay_until_the_connection_breaks(url, name, confirmed))
        for name in range(8)
    ]
    callers.append(asyncio.create_task(_count_for_ever(url)))
    await asyncio.sleep(1)
    first = _pid(engines, "postgres")

    os.kill(first, signal.SIGKILL)
    seconds = await _accepts_again(url)

    print(f"\nPostgreSQL accepted connections {seconds:.2f} s after kill -9")
    await asyncio.wait_for(asyncio.gather(*callers), 10)
    connection = await asyncpg.connect(url)
    rows = {row["number"] for row in await connection.fetch("SELECT number FROM paid")}
    await connection.close()
    assert confirmed
    assert set(confirmed) <= rows
    assert len(rows) - len(confirmed) <= 8, "at most the one each caller had under way"
    assert _pid(engines, "postgres") != first
    assert seconds < BACK_WITHIN_S * SLACK
    await _until(lambda: heard.states_of("postgres")[-1] is State.READY)
    assert heard.states_of("postgres") == [
        State.STARTING,
        State.READY,
        State.RESTARTING,
        State.RESTARTING,
        State.READY,
    ]


async def test_a_postmaster_killed_again_and_again_comes_back_each_time(engines: Engines) -> None:
    for _ in range(3):
        os.kill(_pid(engines, "postgres"), signal.SIGKILL)
        seconds = await _accepts_again(engines.database_url)
        assert seconds < BACK_WITHIN_S * SLACK
    await _until(lambda: engines.supervisor.health()[0].state is State.READY)
    assert engines.supervisor.health()[0].restarts == 3


async def test_a_postmaster_killed_with_its_guardian_comes_back(engines: Engines) -> None:
    caller = asyncio.create_task(_count_for_ever(engines.database_url))
    await asyncio.sleep(0.5)
    postmaster = _pid(engines, "postgres")
    guardian = parent_of(postmaster)
    os.kill(guardian, signal.SIGKILL)
    os.kill(postmaster, signal.SIGKILL)
    seconds = await _accepts_again(engines.database_url)
    await asyncio.wait_for(caller, 10)
    assert seconds < BACK_WITHIN_S * SLACK
    assert _pid(engines, "postgres") != postmaster


async def test_a_stale_process_number_that_is_a_strangers_now_stops_nobody(folder: Path) -> None:
    async with Engines(folder) as engines:
        assert engines.postgres is not None
        data = engines.postgres.cluster.data
        note = (data / "postmaster.pid").read_text().splitlines()
    owner = data.stat()
    # Another process of PostgreSQL's own user: the case in which it would not start by itself.
    stranger = await asyncio.create_subprocess_exec(
        *("/bin/sleep", "60"),
        **({"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}),
    )
    (data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *note[1:]]) + "\n")
    os.chown(data / "postmaster.pid", owner.st_uid, owner.st_gid)
    try:
        async with Engines(folder) as engines:
            assert await _accepts_again(engines.database_url) < 1
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_a_killed_broker_comes_back_with_its_messages(engines: Engines, heard: Heard) -> None:
    client = await nats.connect(engines.nats_url, reconnect_time_wait=0.05)
    stream = client.jetstream()
    await stream.add_stream(name="PAID", subjects=["paid.>"])
    for number in range(50):
        await stream.publish("paid.one", str(number).encode())
    first = _pid(engines, "nats")

    began = time.monotonic()
    os.kill(first, signal.SIGKILL)
    await _until(lambda: heard.states_of("nats")[-2:] == [State.RESTARTING, State.READY])
    seconds = time.monotonic() - began

    print(f"\nJetStream answered {seconds:.2f} s after kill -9")
    assert seconds < BACK_WITHIN_S * SLACK
    await _until(lambda: client.is_connected)
    assert (await stream.stream_info("PAID")).state.messages == 50
    await stream.publish("paid.one", b"after")
    await client.close()


def test_nobody_is_left_three_seconds_after_the_parent_was_killed(folder: Path) -> None:
    instance = Instance(folder)
    said = instance.said()
    assert set(said["children"]) == {"postgres", "nats"}
    assert set(said["children"].values()) <= set(working_on(folder))
    asyncio.run(_leave_a_busy_backend(said["database_url"]))

    instance.end(signal.SIGKILL)

    seconds = wait_until_nobody_works_on(folder, GONE_WITHIN_S * SLACK)
    print(f"\nthe last process was gone {seconds:.2f} s after kill -9 of the parent")


async def _leave_a_busy_backend(url: str) -> None:
    task = asyncio.create_task(_count_for_ever(url))
    await asyncio.sleep(0.5)
    task.cancel()


def test_who_follows_a_killed_instance_waits_for_its_engines_and_keeps_the_data(
    folder: Path,
) -> None:
    first = Instance(folder)
    url = first.said()["database_url"]
    asyncio.run(_make_and_fill(url))
    first.end(signal.SIGKILL)
    second = Instance(folder)
    said = second.said()
    assert said["database_url"] == url
    assert asyncio.run(_sum(url)) == 1288
    assert second.end(signal.SIGTERM) == 0


async def _make_and_fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept (fen bigint)")
    await connection.execute("INSERT INTO kept VALUES (1288)")
    await connection.close()


async def _sum(url: str) -> int:
    connection = await asyncpg.connect(url)
    total = await connection.fetchval("SELECT sum(fen)::bigint FROM kept")
    await connection.close()
    return total


async def _until(holds: Callable[[], bool], within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
