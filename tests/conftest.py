"""Fixtures every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from caiwutong.db.migrate import migrate
from support.engines import EngineSession


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
    """A fresh database with every migration applied, dropped afterwards."""
    with engines.database(migrated) as url:
        yield url
