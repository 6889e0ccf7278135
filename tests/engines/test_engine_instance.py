"""One data folder, one instance: what it keeps, whom it refuses, what may replace its engines."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import nats
import psycopg
import pytest

from caiwutong.engines import Engines, NatsEngine, PostgresEngine, running
from caiwutong.engines.home import erase
from caiwutong.kernel.errors import Refused
from support.engines import BackgroundLoop, data_folder_for_tests
from support.processes import Instance, wait_until_nobody_works_on, working_on

pytestmark = pytest.mark.engine


@pytest.fixture
def folder() -> Iterator[Path]:
    base = data_folder_for_tests()
    yield base / "data"
    left = working_on(base)
    erase(base / "data")
    erase(base / "outside")
    erase(base)
    assert not left, f"an orphan was left: {left}"


@pytest.fixture(scope="module")
def started() -> Iterator[Engines]:
    """One instance for the tests that only look at it."""
    base = data_folder_for_tests()
    loop = BackgroundLoop()
    engines = Engines(base / "data")
    loop.run(engines.start())
    yield engines
    loop.run(engines.stop())
    loop.close()
    erase(base / "data")
    erase(base)


async def _ask(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_what_was_committed_is_there_after_a_stop_and_a_start(folder: Path) -> None:
    async with Engines(folder) as engines:
        first = engines.urls
        await _ask(engines.database_url, "CREATE TABLE kept (fen bigint)")
        await _ask(engines.database_url, "INSERT INTO kept VALUES (1288) RETURNING fen")
        client = await nats.connect(engines.nats_url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept.>"])
        await client.jetstream().publish("kept.a", b"a message")
        await client.close()
    assert not working_on(folder)

    async with Engines(folder) as engines:
        assert engines.urls == first, "the same passwords, socket and port: clients find us again"
        assert await _ask(engines.database_url, "SELECT fen FROM kept") == 1288
        client = await nats.connect(engines.nats_url)
        message = await client.jetstream().get_msg("KEPT", 1)
        assert message.data == b"a message"
        await client.close()


async def test_the_database_is_durable_utf8_and_sorts_by_code_point(started: Engines) -> None:
    connection = await asyncpg.connect(started.database_url)
    shown = {
        name: await connection.fetchval(f"SHOW {name}")
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "jit")
    }
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "jit": "off",
    }
    assert await connection.fetchval("SHOW listen_addresses") == ""
    assert await connection.fetchval("SHOW server_version_num") >= "180000"
    assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    assert await connection.fetchval("SELECT upper('é财') = 'É财' AND 'Z' < 'a'")
    await connection.close()


async def test_asyncpg_and_psycopg_read_the_same_url(started: Engines) -> None:
    assert await _ask(started.database_url, "SELECT current_database()") == "caiwutong"
    async with await psycopg.AsyncConnection.connect(started.database_url) as connection:
        row = await (await connection.execute("SELECT current_user")).fetchone()
    assert row == ("caiwutong_owner",)


async def test_nobody_enters_without_the_password(started: Engines) -> None:
    password = urlsplit(started.database_url).password
    assert password
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(started.database_url.replace(password, "guess"))
    port = urlsplit(started.nats_url).port
    refusals: list[Exception] = []

    async def hear(error: Exception) -> None:
        refusals.append(error)

    with pytest.raises(Exception, match=r"(?i)authorization|no servers"):
        await nats.connect(f"nats://guess@127.0.0.1:{port}", allow_reconnect=False, error_cb=hear)


async def test_the_broker_listens_below_the_range_of_outgoing_ports(started: Engines) -> None:
    address = urlsplit(started.nats_url)
    assert address.hostname == "127.0.0.1"
    assert address.port is not None
    assert 1024 < address.port < 32768


async def test_a_second_instance_is_refused_by_the_name_of_the_first(started: Engines) -> None:
    assert started.postgres is not None
    second = Instance(started.postgres.cluster.data.parent.parent)
    said = second.said()
    assert said["code"] == "engines.already_running"
    assert str(os.getpid()) in said["detail"]
    assert str(os.getpid()) in said["cure"]
    assert said["facts"] == {"pid": os.getpid()}
    assert second.process.wait(30) == 3
    assert await _ask(started.database_url, "SELECT 1") == 1, "the first is not disturbed"


async def test_the_folder_is_free_again_after_a_stop(folder: Path) -> None:
    for _ in range(2):
        async with Engines(folder):
            with pytest.raises(Refused, match=r"engines\.already_running"):
                await Engines(folder).start()


async def test_other_commands_find_a_running_instance(folder: Path) -> None:
    assert running(folder) is None
    async with Engines(folder) as engines:
        note = folder / "run" / "engines.json"
        assert running(folder) == engines.urls
        assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert not note.exists()
    assert running(folder) is None


async def test_the_note_of_a_killed_instance_is_not_believed(folder: Path) -> None:
    instance = Instance(folder)
    said = instance.said()
    found = running(folder)
    assert found is not None
    assert found.database_url == said["database_url"]
    instance.end(signal.SIGKILL)
    assert (folder / "run" / "engines.json").exists()
    assert running(folder) is None
    wait_until_nobody_works_on(folder, 10)


async def test_an_outside_database_and_broker_replace_the_embedded_ones(folder: Path) -> None:
    outside = folder.with_name("outside")
    database = PostgresEngine(outside / "postgres16", version=16, tcp=True, durable=False)
    broker = NatsEngine(outside / "nats")
    try:
        await database.start()
        nats_url = await broker.start()
        database_url = database.url_of("caiwutong", tcp=True)
        port = urlsplit(database_url).port
        assert port is not None
        assert port < 32768
        async with Engines(folder, database_url, nats_url) as engines:
            assert engines.database_url == database_url
            assert engines.nats_url == nats_url
            assert engines.supervisor.health() == []
            assert running(folder) == engines.urls
            version = await _ask(engines.database_url, "SHOW server_version_num")
            assert str(version).startswith("16")
            assert sorted(os.listdir(folder)) == ["run"]
    finally:
        await broker.stop()
        await database.stop()
        erase(outside / "postgres16")
        erase(outside / "nats")


async def test_an_empty_cluster_is_never_begun_beside_one_of_another_version(folder: Path) -> None:
    old = PostgresEngine(folder, version=16, durable=False)
    await old.start()
    await old.stop()
    with pytest.raises(Refused, match=r"engines\.other_version"):
        await PostgresEngine(folder, version=18, durable=False).start()


async def test_a_cluster_half_made_is_made_anew(folder: Path) -> None:
    half = folder / "postgres" / "18.new-00000000"
    engine = PostgresEngine(folder, durable=False)
    url = await engine.start()
    await engine.stop()
    engine.cluster.data.rename(half)
    (half / "PG_VERSION").unlink()
    assert await engine.start() == url
    assert await _ask(url, "SELECT 1") == 1
    assert not half.exists()
    await engine.stop()


async def test_a_deep_folder_does_not_make_the_socket_path_too_long(folder: Path) -> None:
    deep = folder / ("a-folder-with-a-long-name" * 4)
    engine = PostgresEngine(deep, durable=False)
    assert await _ask(await engine.start(), "SELECT 1") == 1
    assert len(bytes(engine.cluster.socket_dir)) <= 80
    assert engine.cluster.socket_dir.stat().st_mode & 0o777 == 0o700
    await engine.stop()
    engine.cluster.socket_dir.rmdir()


async def test_an_unknown_version_is_refused_with_those_there_are(folder: Path) -> None:
    with pytest.raises(Refused, match=r"engines\.unknown_version") as caught:
        PostgresEngine(folder, version=9)
    assert "[16, 18]" in caught.value.cure


async def test_a_lost_password_is_refused_before_anything_starts(folder: Path) -> None:
    engine = PostgresEngine(folder, durable=False)
    await engine.start()
    await engine.stop()
    (folder / "postgres" / "password").unlink()
    with pytest.raises(Refused, match=r"engines\.password_lost"):
        await PostgresEngine(folder).start()


async def test_secrets_are_for_the_owner_only(started: Engines) -> None:
    assert started.postgres is not None
    assert started.nats is not None
    for secret in (
        started.postgres.cluster.data.parent / "password",
        started.nats.broker.home / "password",
        started.nats.broker.home / "nats.conf",
    ):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    for private in (started.postgres.cluster.socket_dir, started.nats.broker.home):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


async def test_no_password_is_shown_where_a_url_is_printed(started: Engines) -> None:
    assert started.postgres is not None
    assert started.nats is not None
    shown = f"{started.urls!r} {started.postgres.cluster!r} {started.nats.broker!r}"
    for url in (started.database_url, started.nats_url):
        password = urlsplit(url).password
        assert password
        assert password not in shown


def test_ctrl_c_stops_everything_in_order(folder: Path) -> None:
    instance = Instance(folder)
    instance.said()
    assert instance.end(signal.SIGINT) == 0
    assert not working_on(folder)
    log = (folder / "log" / "postgres.log").read_text()
    assert "received fast shutdown request" in log
    assert "database system is shut down" in log
    assert json.loads((folder / "run" / "instance.lock").read_text() or "null") is None
