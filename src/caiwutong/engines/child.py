"""One child process across all its lives: started, watched, started again, ended.

Between it and us stands ``guardian.py``, so that it has no life of its own. A child that ends is
started again, at once the first time, then with growing pauses. Read next: ``supervisor.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from caiwutong.engines.home import Account
from caiwutong.kernel.errors import CaiwutongError, Unavailable

log = logging.getLogger("caiwutong.engines")

GUARDIAN = Path(__file__).with_name("guardian.py")
PROBE_PAUSE_S = 0.03
STEADY_S = 10.0
LONGEST_PAUSE_S = 10.0
LARGEST_LOG_BYTES = 32 * 1024 * 1024
FIRST_ATTEMPTS = 4

Probe = Callable[[], Awaitable[bool]]


class State(StrEnum):
    """Where a child stands."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


class Health(msgspec.Struct, frozen=True):
    """What a supervisor knows of one child. ``pid`` is 0 while there is none."""

    name: str
    state: State
    pid: int = 0
    restarts: int = 0
    detail: str = ""


class ProcessSpec(msgspec.Struct, frozen=True):
    """A child to keep alive.

    ``argv[0]`` is an absolute path. ``env`` is the whole environment (``None``: ours). ``ready``
    says whether the child does its work yet (an error of the house means: it never will); without
    one, being alive is enough. ``before`` runs ahead of every start. ``stop`` lists the signals of
    a clean end with the seconds each is given; SIGKILL follows. ``last_signal`` is what it gets
    when we die, with ``grace_s`` before SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    ready: Probe | None = None
    user: Account | None = None
    nice: int = 0
    cwd: str = "/"
    umask: int = 0o077
    before: Callable[[], Awaitable[None]] | None = None
    stop: tuple[tuple[int, float], ...] = ((signal.SIGTERM, 10.0),)
    last_signal: int = signal.SIGTERM
    grace_s: float = 1.0
    ready_within_s: float = 60.0


class Child:
    """Keeps one child alive. ``health`` says where it stands; ``start`` and ``stop`` wait."""

    def __init__(
        self,
        spec: ProcessSpec,
        log_path: Path,
        keep_open: int | None,
        on_health: Callable[[Health], None] | None,
    ) -> None:
        self.spec = spec
        self.log_path = log_path
        self.health = Health(spec.name, State.STOPPED)
        self._keep_open = keep_open
        self._on_health = on_health
        self._stopping = asyncio.Event()
        self._guardian: asyncio.subprocess.Process | None = None
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return once it is ready; raise ``Unavailable`` with the end of its log if it will not."""
        self._life = asyncio.create_task(self._live(), name=f"keep {self.spec.name}")
        done, _ = await asyncio.wait(
            {self._first, self._life},
            timeout=self.spec.ready_within_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        try:
            for outcome in done:
                outcome.result()
        except BaseException:
            await self.stop()
            raise
        if done:
            return
        await self.stop()
        raise self._not_started(f"did not answer within {self.spec.ready_within_s:g} s")

    async def stop(self) -> None:
        """Ask it to end the way it likes, then make it end."""
        self._stopping.set()
        for number, patience_s in (*self.spec.stop, (signal.SIGKILL, 5.0)):
            if self._life is None or self._life.done():
                break
            self._tell(number)
            await asyncio.wait({self._life}, timeout=patience_s)
        if self._life is not None and not self._life.done():
            if self._guardian is not None:
                self._guardian.kill()
            self._life.cancel()
            await asyncio.wait({self._life})
        self._report(State.STOPPED)

    def _tell(self, number: int) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._guardian.stdin.write(f"{int(number)}\n".encode())

    async def _live(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            born = time.monotonic()
            code = await self._one_life()
            if self._stopping.is_set():
                return
            failures = 0 if time.monotonic() - born > STEADY_S else failures + 1
            if not self._first.done() and failures >= FIRST_ATTEMPTS:
                raise self._not_started(f"ended with code {code}, {failures} times")
            detail = f"ended with code {code}"
            log.warning("%s %s; starting it again", self.spec.name, detail)
            self._report(State.RESTARTING, restarts=self.health.restarts + 1, detail=detail)
            if failures > 1:
                with contextlib.suppress(TimeoutError):
                    pause_s = min(LONGEST_PAUSE_S, 0.1 * 2 ** min(failures, 10))
                    await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _one_life(self) -> int:
        """From one start to its end; returns the exit code (128 + signal)."""
        spec = self.spec
        if spec.before is not None:
            await spec.before()
        trim(self.log_path)
        with self.log_path.open("ab") as log_file:
            guardian = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(GUARDIAN), self._plan()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log_file,
                env=dict(os.environ if spec.env is None else spec.env),
                start_new_session=True,
                pass_fds=() if self._keep_open is None else (self._keep_open,),
            )
        self._guardian = guardian
        assert guardian.stdout is not None
        pid = int(await guardian.stdout.readline() or 0)
        if self._stopping.is_set():
            self._tell(spec.stop[0][0])
        first = not self._first.done()
        self._report(State.STARTING if first else State.RESTARTING, pid)
        probe = asyncio.create_task(self._until_ready(pid))
        try:
            code = await guardian.wait()
        finally:
            probe.cancel()
            self._guardian = None
        if code < 0 and pid:
            await _end(pid, spec.last_signal, spec.grace_s)
        return code

    def _plan(self) -> str:
        spec = self.spec
        return json.dumps(
            {
                "argv": spec.argv,
                "uid": spec.user.uid if spec.user else None,
                "gid": spec.user.gid if spec.user else None,
                "nice": spec.nice,
                "cwd": spec.cwd,
                "umask": spec.umask,
                "last_signal": int(spec.last_signal),
                "grace_s": spec.grace_s,
            }
        )

    async def _until_ready(self, pid: int) -> None:
        while self.spec.ready is not None:
            try:
                if await self.spec.ready():
                    break
            except CaiwutongError as error:
                log.error("%s will not do its work: %s", self.spec.name, error)
                if not self._first.done():
                    self._first.set_exception(error)
                return
            except Exception as error:
                log.warning("the ready probe of %s fails: %r", self.spec.name, error)
                await asyncio.sleep(0.5)
            await asyncio.sleep(PROBE_PAUSE_S)
        self._report(State.READY, pid)
        if not self._first.done():
            self._first.set_result(None)

    def _report(
        self, state: State, pid: int = 0, restarts: int | None = None, detail: str = ""
    ) -> None:
        count = self.health.restarts if restarts is None else restarts
        self.health = Health(self.spec.name, state, pid, count, detail)
        if self._on_health is not None:
            self._on_health(self.health)

    def _not_started(self, why: str) -> Unavailable:
        end = _last_lines(self.log_path)
        return Unavailable(
            "engines.not_started",
            f"{self.spec.name} {why}. The end of {self.log_path}:\n{end}",
            "Read the log; free the disk, the memory or the port it names, and start again.",
            name=self.spec.name,
        )


async def _end(pid: int, number: int, grace_s: float) -> None:
    """End a child whose guardian was killed: only outside Linux does it still live."""
    deadline = time.monotonic() + grace_s
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        while time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)


def trim(path: Path) -> None:
    """Move a log that grew too long aside. The child keeps writing to the same (emptied) file."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LARGEST_LOG_BYTES:
            path.with_suffix(".log.1").write_bytes(path.read_bytes())
            os.truncate(path, 0)


def _last_lines(path: Path, lines: int = 15) -> str:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    return ""
