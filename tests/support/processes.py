"""Programs started for a test, and the processes that work on a folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

INSTANCE = Path(__file__).with_name("instance_program.py")


def working_on(folder: Path) -> dict[int, str]:
    """Living processes that name this folder in their command line or stand in it: pid → command.

    Reads ``/proc``: Linux only. The dead whom nobody has reaped do not count.
    """
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            stands = ""
            with contextlib.suppress(PermissionError):
                stands = os.readlink(process / "cwd")
            if words and (str(folder) in words or stands.startswith(str(folder))):
                found[int(process.name)] = words.strip()
    found.pop(os.getpid(), None)
    return found


def parent_of(pid: int) -> int:
    """The process id of its parent: of a supervised child, its guardian."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def wait_until_nobody_works_on(folder: Path, within_s: float) -> float:
    """Seconds until the last one was gone; fails, naming those left, after ``within_s``."""
    began = time.monotonic()
    while left := working_on(folder):
        assert time.monotonic() - began < within_s, left
        time.sleep(0.02)
    return time.monotonic() - began


class Instance:
    """Both engines of a data folder, run by a Python process of their own."""

    def __init__(
        self,
        data_dir: Path,
        *,
        python: str = sys.executable,
        user: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        paths = [path for path in sys.path if path]
        self.process = subprocess.Popen(
            [python, str(INSTANCE), str(data_dir)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(paths)} | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )

    def said(self) -> dict[str, Any]:
        """The next line it says: its URLs and children, or the error that stopped it."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            _, errors = self.process.communicate(timeout=30)
            raise AssertionError(f"the instance ended with {self.process.returncode}: {errors}")
        return json.loads(line)

    def end(self, number: int) -> int:
        """Send a signal and wait for the end; its exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def python_for_others(folder: Path) -> str | None:
    """A Python like ours that an unprivileged user can run: ours, the system's, or a copy.

    ``None`` where there is none: ours cannot be reached and does not run from a copy.
    """
    ours = Path(sys.base_prefix).resolve()
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    copy = folder / "python"
    for attempt in range(2):
        for python in (ours / "bin" / name, Path("/usr/bin") / name, copy / "bin" / name):
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                subprocess.run(
                    [python, "-c", "import asyncio, ctypes, msgspec, asyncpg, nats"],
                    env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
                    cwd="/",
                    user=65534,
                    group=65534,
                    extra_groups=[],
                    check=True,
                    capture_output=True,
                )
                return str(python)
        if attempt == 0:
            unneeded = shutil.ignore_patterns(
                "test", "site-packages", "__pycache__", "*.a", "share"
            )
            shutil.copytree(ours, copy, ignore=unneeded, symlinks=True)
    return None
