"""One data folder, one running instance.

The lock is an ``flock`` on ``data/run/instance.lock``, held by the instance and by the guardians of
its engines. So it is free only once the last engine is gone: whoever follows a killed instance
waits a moment for its engines to end, and never meets them.

Read next: ``instance.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sys
import time
from pathlib import Path

from caiwutong.kernel.errors import Refused

PATIENCE_S = 15.0


class InstanceLock:
    """The right to run on a data folder. Taken with ``acquire``, given back with ``release``."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "run" / "instance.lock"
        self._handle: int | None = None

    @property
    def handle(self) -> int:
        """The open file, for guardians to hold too."""
        assert self._handle is not None, "acquire first"
        return self._handle

    async def acquire(self) -> None:
        """Take the lock, waiting for the engines of a dead instance to end.

        Raises ``Refused`` (``engines.already_running``) with the process id of a living holder.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError as error:
            raise Refused(
                "engines.folder_not_ours",
                f"{self.path.parent.parent} belongs to another user.",
                "Run as its owner, or choose another data folder.",
            ) from error
        deadline = time.monotonic() + PATIENCE_S
        while not _try(handle, fcntl.LOCK_EX):
            pid = _living_holder(self.path)
            if pid is not None or time.monotonic() > deadline:
                os.close(handle)
                raise _already_running(self.path, pid)
            await asyncio.sleep(0.05)
        self._handle = handle
        os.truncate(handle, 0)
        holder = {"pid": os.getpid(), "born": _born(os.getpid())}
        os.pwrite(handle, json.dumps(holder).encode(), 0)

    def release(self) -> None:
        """Give the lock back. Safe to call twice."""
        if self._handle is not None:
            os.truncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None


def holder(data_dir: Path) -> int | None:
    """The process id of the instance that runs on this data folder, if one lives."""
    path = data_dir / "run" / "instance.lock"
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        return None if _try(handle, fcntl.LOCK_SH) else _living_holder(path)
    finally:
        os.close(handle)


def _try(handle: int, kind: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
        return True
    return False


def _living_holder(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, KeyError):
        said = json.loads(path.read_text())
        pid = int(said["pid"])
        if _lives(pid) and said["born"] == _born(pid):
            return pid
    return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _born(pid: int) -> str:
    """When a process began, as the kernel counts: tells it from a later one of the same number."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _already_running(path: Path, pid: int | None) -> Refused:
    folder = path.parent.parent
    who = f"process {pid}" if pid is not None else "engines of an instance that was killed"
    cure = f"stop process {pid}" if pid is not None else "wait a minute and try again"
    return Refused(
        "engines.already_running",
        f"An instance already runs on {folder}: {who} holds it.",
        f"Use the running instance, {cure}, or choose another data folder.",
        pid=pid,
    )
