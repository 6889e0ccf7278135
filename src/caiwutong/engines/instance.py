"""Both engines of one data folder, or the outside ones that replace them.

Owns the lock on the data folder, the supervisor, and the note ``data/run/engines.json`` by which
other commands on this machine find a running instance. It promises that an outside database or
broker, given by its URL, changes nothing else.

Read next: ``postgres.py``, ``nats.py``, ``supervisor.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from caiwutong.engines.home import data_folder, write_secret
from caiwutong.engines.lock import InstanceLock, holder
from caiwutong.engines.nats import NatsEngine
from caiwutong.engines.postgres import PostgresEngine
from caiwutong.engines.supervisor import Health, Supervisor
from caiwutong.kernel.errors import Refused


class EngineUrls(msgspec.Struct, frozen=True):
    """Where truth and transport are. Both hold passwords, so neither is shown."""

    database_url: str
    nats_url: str

    def __repr__(self) -> str:
        return "EngineUrls(…)"


class Engines:
    """What the house stands on, started together and stopped together.

    ``database_url`` and ``nats_url`` replace the embedded engine of their kind. ``on_health`` hears
    every change of state of every child. ``supervisor`` takes further children (API, workers),
    which then end before the engines do.
    """

    def __init__(
        self,
        data_dir: Path,
        database_url: str | None = None,
        nats_url: str | None = None,
        *,
        on_health: Callable[[Health], None] | None = None,
        postgres: PostgresEngine | None = None,
    ) -> None:
        self._asked = data_dir
        self._given = (database_url, nats_url)
        self._on_health = on_health
        self.postgres = None if database_url else postgres or PostgresEngine(data_dir)
        self.nats = None if nats_url else NatsEngine(data_dir)
        self._urls: EngineUrls | None = None
        self._lock: InstanceLock | None = None
        self._supervisor: Supervisor | None = None

    async def start(self) -> EngineUrls:
        """Take the data folder and start what is embedded.

        Raises ``Refused`` (``engines.already_running``) where another instance holds the folder,
        ``Unavailable`` where an engine does not start; nothing is left running then.
        """
        data_dir = data_folder(self._asked)
        self._lock = InstanceLock(data_dir)
        await self._lock.acquire()
        try:
            self._supervisor = Supervisor(
                data_dir / "log", keep_open=self._lock.handle, on_health=self._on_health
            )
            database_url, nats_url = self._given
            if self.postgres is not None:
                database_url = await self.postgres.start_under(self._supervisor)
            if self.nats is not None:
                nats_url = await self.nats.start_under(self._supervisor)
            assert database_url and nats_url
            self._urls = EngineUrls(database_url, nats_url)
            write_secret(_note(data_dir), msgspec.json.encode(self._urls).decode())
        except BaseException:
            await self.stop()
            raise
        return self._urls

    async def stop(self) -> None:
        """End every child, the youngest first, and give the folder back. Safe to call twice."""
        if self._urls is not None:
            _note(data_folder(self._asked)).unlink(missing_ok=True)
            self._urls = None
        if self._supervisor is not None:
            await self._supervisor.stop()
            self._supervisor = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def urls(self) -> EngineUrls:
        """Both addresses, while started."""
        if self._urls is None:
            raise Refused("engines.not_started", "The engines were not started.", "Start them.")
        return self._urls

    @property
    def database_url(self) -> str:
        """The database, embedded or given."""
        return self.urls.database_url

    @property
    def nats_url(self) -> str:
        """The broker, embedded or given."""
        return self.urls.nats_url

    @property
    def supervisor(self) -> Supervisor:
        """Who keeps the children alive, while started."""
        if self._supervisor is None:
            raise Refused("engines.not_started", "The engines were not started.", "Start them.")
        return self._supervisor


def running(data_dir: Path) -> EngineUrls | None:
    """Where the engines of a living instance on this data folder are; ``None`` where none lives."""
    data_dir = data_dir.resolve()
    if holder(data_dir) is None:
        return None
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(_note(data_dir).read_bytes(), type=EngineUrls)
    return None


def _note(data_dir: Path) -> Path:
    return data_dir / "run" / "engines.json"
