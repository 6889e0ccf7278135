"""The embedded PostgreSQL: the truth of the house, on one machine, without a server installed.

Owns a cluster in ``data/postgres/<version>``: made once, kept for ever, durable (fsync,
synchronous commit and full page writes cannot be turned off by its configuration). It listens on a
Unix socket in a private folder, and on the loopback only where asked; everyone proves themselves
with SCRAM.

Read next: ``cluster.py`` for how a cluster is made, ``supervisor.py`` for who keeps it alive.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import asyncpg

from caiwutong.engines.cluster import (
    ENVIRONMENT,
    INSTALLS,
    OWNER,
    Cluster,
    end_leftovers,
    prepare,
    write_configuration,
)
from caiwutong.engines.home import data_folder
from caiwutong.engines.lock import InstanceLock
from caiwutong.engines.supervisor import ProcessSpec, Supervisor
from caiwutong.kernel.errors import Broken, Refused

DATABASE = "caiwutong"


class PostgresEngine:
    """One PostgreSQL cluster in a data folder, alone or beside others under one supervisor.

    ``version`` is 18 or 16. ``tcp`` also listens on 127.0.0.1, at a free port below 32768.
    ``durable=False`` lets a crash of the machine lose data: for tests only. ``settings`` adds to
    or replaces those of ``tuning``.
    """

    def __init__(
        self,
        data_dir: Path,
        version: int = 18,
        *,
        tcp: bool = False,
        durable: bool = True,
        settings: dict[str, str] | None = None,
    ) -> None:
        if version not in INSTALLS:
            raise Refused(
                "engines.unknown_version",
                f"PostgreSQL {version} is not in the wheel.",
                f"Choose one of {sorted(INSTALLS)}, or give a database URL.",
            )
        self.version = version
        self._asked = data_dir
        self._tcp = tcp
        self._durable = durable
        self._settings = settings or {}
        self._prepared: Cluster | None = None
        self._lock: InstanceLock | None = None
        self._supervisor: Supervisor | None = None

    async def start(self) -> str:
        """Start it under a supervisor of its own, and return ``url``."""
        data_dir = data_folder(self._asked)
        self._lock = InstanceLock(data_dir)
        await self._lock.acquire()
        try:
            self._supervisor = Supervisor(data_dir / "log", keep_open=self._lock.handle)
            await self.start_under(self._supervisor)
        except BaseException:
            await self.stop()
            raise
        return self.url

    async def start_under(self, supervisor: Supervisor) -> str:
        """Start it as one child of this supervisor, whose owner holds the lock; returns ``url``."""
        self._prepared = await asyncio.to_thread(self._prepare)
        await supervisor.start(self._spec(self._prepared))
        await self._make_database(DATABASE)
        return self.url

    async def stop(self) -> None:
        """End it (fast shutdown: open transactions are rolled back). Safe to call twice."""
        if self._supervisor is not None:
            await self._supervisor.stop()
            self._supervisor = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def url(self) -> str:
        """The database ``caiwutong`` as its superuser, for asyncpg, psycopg and libpq alike."""
        return self.url_of(DATABASE)

    def url_of(self, database: str, *, tcp: bool = False) -> str:
        """Another database of this cluster; ``tcp`` goes over the loopback where it listens."""
        cluster = self.cluster
        who = f"{OWNER}:{quote(cluster.password)}"
        if tcp:
            return f"postgresql://{who}@127.0.0.1:{cluster.port}/{database}"
        where = f"host={quote(str(cluster.socket_dir), safe='')}&port={cluster.port}"
        return f"postgresql://{who}@/{database}?{where}"

    @property
    def cluster(self) -> Cluster:
        """Where everything lies: programs, data, socket. Known once started."""
        if self._prepared is None:
            raise Refused("engines.not_started", "PostgreSQL was not started.", "Start it first.")
        return self._prepared

    @property
    def programs(self) -> Path:
        """The folder with ``psql``, ``pg_dump``, ``pgbench`` and the others of this version."""
        return self.cluster.programs

    def _prepare(self) -> Cluster:
        cluster = prepare(self._asked, self.version, tcp=self._tcp, durable=self._durable)
        write_configuration(cluster, self._settings)
        return cluster

    def _spec(self, cluster: Cluster) -> ProcessSpec:
        switch = "on" if self._durable else "off"
        firm = {
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "unix_socket_directories": f'"{cluster.socket_dir}"',
            "unix_socket_permissions": "0700",
            "port": str(cluster.port),
            "fsync": switch,
            "synchronous_commit": switch,
            "full_page_writes": switch,
        }
        # On the command line, where neither the file nor ALTER SYSTEM can overrule them.
        options = [part for name, value in firm.items() for part in ("-c", f"{name}={value}")]
        return ProcessSpec(
            name="postgres",
            argv=(str(cluster.programs / "postgres"), "-D", str(cluster.data), *options),
            env=ENVIRONMENT,
            user=cluster.account,
            ready=self._answers,
            before=self._clear_the_way,
            # SIGINT is the fast shutdown, SIGQUIT the immediate one (recovery at the next start).
            stop=((signal.SIGINT, 60.0), (signal.SIGQUIT, 5.0)),
            last_signal=signal.SIGQUIT,
            # Recovery after a crash of the machine reads up to max_wal_size of log.
            ready_within_s=600.0,
        )

    async def _answers(self) -> bool:
        try:
            connection = await _connect(self.url_of("postgres"), 5)
        except asyncpg.InvalidPasswordError as error:
            raise Broken(
                "engines.password_wrong",
                f"PostgreSQL in {self.cluster.data} does not know its password any more.",
                "Put back the file 'password' that stands beside it.",
            ) from error
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close(timeout=5)
        return True

    async def _clear_the_way(self) -> None:
        await asyncio.to_thread(end_leftovers, self.cluster.data)

    async def _make_database(self, name: str) -> None:
        connection = await _connect(self.url_of("postgres"), 60)
        try:
            known = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name)
            if not known:
                await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close(timeout=5)


async def _connect(url: str, timeout_s: int) -> Any:
    return cast(Any, await asyncpg.connect(url, timeout=timeout_s))
