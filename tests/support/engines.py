"""Real engines for a test session: one PostgreSQL, one NATS, a fresh database for who asks.

Use in ``conftest.py``::

    @pytest.fixture(scope="session")
    def engines() -> Iterator[EngineSession]:
        with EngineSession() as session:
            yield session

    @pytest.fixture(scope="module")
    def database_url(engines: EngineSession) -> Iterator[str]:
        with engines.database(migrate) as url:  # migrate(url), sync or async; called once a session
            yield url

Each engine starts when first asked for (PostgreSQL within a second, most of it initdb) and runs in
a thread with a loop of its own, so tests may use any loop. A worker of pytest-xdist has its own
session. PostgreSQL runs without fsync here: a test that kills the machine's power starts its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import os
import re
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg

from caiwutong.engines import NatsEngine, PostgresEngine
from caiwutong.engines.home import erase

T = TypeVar("T")
Migrate = Callable[[str], object]

SMALL = {"shared_buffers": "64MB", "min_wal_size": "64MB", "max_wal_size": "512MB"}


class BackgroundLoop:
    """An event loop in a thread: what runs there does not end with a test's own loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def data_folder_for_tests() -> Path:
    """An empty folder other users can pass through, with a short path. Give it to ``erase``."""
    folder = Path(tempfile.mkdtemp(prefix="caiwutong-test-", dir="/tmp"))
    if os.geteuid() == 0:
        folder.chmod(0o755)
    return folder


class EngineSession:
    """One PostgreSQL and one NATS, each started when first asked for, ended together."""

    def __init__(self) -> None:
        self._loop = BackgroundLoop()
        self._folder = data_folder_for_tests()
        self._lock = threading.RLock()
        self._postgres: PostgresEngine | None = None
        self._nats: NatsEngine | None = None
        self._templates: dict[Migrate | None, str] = {}
        self._count = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started, delete everything."""
        with self._lock:
            for engine in (self._nats, self._postgres):
                if engine is not None:
                    self._loop.run(engine.stop())
            self._loop.close()
            erase(self._folder / "truth")
            erase(self._folder / "transport")
            erase(self._folder)

    @property
    def postgres(self) -> PostgresEngine:
        """The session's PostgreSQL, started."""
        with self._lock:
            if self._postgres is None:
                engine = PostgresEngine(self._folder / "truth", durable=False, settings=SMALL)
                self._loop.run(engine.start())
                self._postgres = engine
            return self._postgres

    @property
    def nats_url(self) -> str:
        """The session's NATS, started. Streams are shared: name yours after the test."""
        with self._lock:
            if self._nats is None:
                engine = NatsEngine(self._folder / "transport")
                self._loop.run(engine.start())
                self._nats = engine
            return self._nats.url

    @contextlib.contextmanager
    def database(self, migrate: Migrate | None = None, name: str = "test") -> Iterator[str]:
        """The URL of a fresh database, as ``migrate`` leaves one; dropped at the end.

        ``migrate`` gets the URL of an empty database, once a session; later databases are copies.
        """
        with self._lock:
            template = self._template(migrate)
            fresh = f"{re.sub('[^a-z0-9_]', '_', name.lower())[:40]}_{next(self._count)}"
            self._execute(f'CREATE DATABASE "{fresh}" TEMPLATE "{template}"')
        try:
            yield self.postgres.url_of(fresh)
        finally:
            with self._lock:
                self._execute(f'DROP DATABASE "{fresh}" WITH (FORCE)')

    def _template(self, migrate: Migrate | None) -> str:
        if migrate is None:
            return "template1"
        if migrate not in self._templates:
            name = f"template_{next(self._count)}"
            self._execute(f'CREATE DATABASE "{name}"')
            self._loop.run(_call(migrate, self.postgres.url_of(name)))
            self._templates[migrate] = name
        return self._templates[migrate]

    def _execute(self, sql: str) -> None:
        self._loop.run(_execute(self.postgres.url_of("postgres"), sql))


async def _call(migrate: Migrate, url: str) -> None:
    # In a thread: a migration tool waits, or runs a loop of its own.
    left = await asyncio.to_thread(migrate, url)
    if inspect.isawaitable(left):
        await left


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
