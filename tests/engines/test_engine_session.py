"""The session that gives other tests their databases."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg
import pytest

from support.engines import EngineSession

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def session() -> Iterator[EngineSession]:
    with EngineSession() as one:
        yield one


async def _fetch(url: str, sql: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def test_each_database_is_fresh_and_the_migration_runs_once(session: EngineSession) -> None:
    migrated: list[str] = []

    async def migrate(url: str) -> None:
        migrated.append(url)
        await _fetch(url, "CREATE TABLE fresh (n int)")
        await _fetch(url, "INSERT INTO fresh VALUES (1)")

    for _ in range(2):
        with session.database(migrate, "some test[1]") as url:
            assert await _fetch(url, "SELECT n FROM fresh") == [1]
            await _fetch(url, "INSERT INTO fresh VALUES (2)")
            assert url not in migrated
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(url)
    assert len(migrated) == 1


async def test_a_migration_may_wait_and_may_answer(session: EngineSession) -> None:
    def migrate(url: str) -> list[str]:
        return [url]

    with session.database(migrate) as url:
        assert await _fetch(url, "SELECT 1") == [1]


async def test_a_database_in_use_is_dropped_all_the_same(session: EngineSession) -> None:
    with session.database() as url:
        connection = await asyncpg.connect(url)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT 1")
    connection.terminate()
