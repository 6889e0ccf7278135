"""Fixtures every test may use: real engines for a session, a fresh migrated database, a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import hypothesis
import pytest

from caiwutong.db.migrate import migrate
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.ids import Ids
from support.engines import EngineSession

# A busy machine is no counterexample.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


def migrated(url: str) -> None:
    """Every migration, once a session; later databases are copies of the first."""
    migrate(url)


@pytest.fixture(scope="session")
def engines() -> Iterator[EngineSession]:
    """One embedded PostgreSQL and one NATS for the session, each started when first used."""
    with EngineSession() as session:
        yield session


@pytest.fixture
def database_url(engines: EngineSession) -> Iterator[str]:
    """A fresh database with every migration applied, dropped afterwards. As its owner."""
    with engines.database(migrated) as url:
        yield url


@pytest.fixture(scope="module")
def shared_database_url(engines: EngineSession) -> Iterator[str]:
    """A migrated database for all tests of a file that keep to a tenant of their own."""
    with engines.database(migrated) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[PostgresDatabase]:
    """A fresh database, opened as the application opens it: as ``caiwutong_app``."""
    opened = await PostgresDatabase.connect(database_url, name="test")
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> ManualClock:
    """Monday, 2 November 2026, 09:00 in China."""
    return ManualClock(datetime(2026, 11, 2, 1, 0, tzinfo=UTC))


@pytest.fixture
def ids(clock: ManualClock) -> Ids:
    return Ids(clock, SystemRandomness())
