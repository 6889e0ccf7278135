"""Keeps child processes alive, and ends them with the house.

Owns starting, watching, restarting and stopping; knows nothing of PostgreSQL or NATS. It promises:

- ``start`` returns when the child answers its own ready probe, or says why it does not.
- A child that ends is started again, at once the first time, then with growing pauses.
- ``stop`` ends children in reverse order of their start, each the way it likes to be ended.
- A child has no life of its own: see ``guardian.py``, the process between it and us.

Read next: ``postgres.py`` and ``nats.py`` for two children; ``instance.py`` for both together.
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
from caiwutong.kernel.errors import Unavailable

log = logging.getLogger("caiwutong.engines")

GUARDIAN = Path(__file__).with_name("guardian.py")
PROBE_PAUSE_S = 0.03
STEADY_S = 10.0
LONGEST_PAUSE_S = 10.0
LARGEST_LOG_BYTES = 32 * 1024 * 1024
HOUSEKEEPING_S = 60.0
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
    says whether the child does its work yet; without one, being alive is enough. ``before`` runs
    ahead of every start. ``stop`` lists the signals of a clean end with the seconds each is given;
    SIGKILL follows. ``last_signal`` is what it gets when we die, with ``grace_s`` before SIGKILL.
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


class Supervisor:
    """Some children, started one after the other and stopped in reverse.

    ``log_dir`` receives ``<name>.log`` for each. ``keep_open`` is a file descriptor the guardians
    hold until their child is gone (the instance lock). ``on_health`` hears every change of state.
    """

    def __init__(
        self,
        log_dir: Path,
        *,
        keep_open: int | None = None,
        on_health: Callable[[Health], None] | None = None,
    ) -> None:
        self._log_dir = log_dir
        self._keep_open = keep_open
        self._on_health = on_health
        self._kept: list[_Kept] = []
        self._housekeeping: asyncio.Task[None] | None = None

    async def start(self, *specs: ProcessSpec) -> None:
        """Start each and wait until it is ready, in this order; more may be added later.

        Raises ``Unavailable`` (``engines.not_started``) with the end of the child's log; those
        started before stay, until ``stop``.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        if self._housekeeping is None:
            self._housekeeping = asyncio.create_task(self._trim_logs())
        for spec in specs:
            kept = _Kept(spec, self._log_dir / f"{spec.name}.log", self._keep_open, self._on_health)
            self._kept.append(kept)
            await kept.start()

    async def stop(self) -> None:
        """End every child, the youngest first. Safe to call twice."""
        while self._kept:
            await self._kept[-1].stop()
            self._kept.pop()
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            self._housekeeping = None

    def health(self) -> list[Health]:
        """Every child as it stands now, in order of start."""
        return [kept.health for kept in self._kept]

    async def _trim_logs(self) -> None:
        while True:
            for kept in self._kept:
                _trim(kept.log_path)
            await asyncio.sleep(HOUSEKEEPING_S)


class _Kept:
    """One child across all its lives."""

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
        self._stopping = False
        self._guardian: asyncio.subprocess.Process | None = None
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._life = asyncio.create_task(self._live(), name=f"keep {self.spec.name}")
        done, _ = await asyncio.wait(
            {self._first, self._life},
            timeout=self.spec.ready_within_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if self._first in done:
            return
        if self._life in done:
            self._life.result()
        await self.stop()
        raise self._not_started(f"did not answer within {self.spec.ready_within_s:g} s")

    async def stop(self) -> None:
        self._stopping = True
        for number, patience_s in (*self.spec.stop, (signal.SIGKILL, 5.0)):
            if self._life is None or self._life.done():
                break
            self._tell(number)
            await asyncio.wait({self._life}, timeout=patience_s)
        if self._life is not None and not self._life.done():
            self._life.cancel()
            await asyncio.wait({self._life})
        self._report(State.STOPPED)

    def _tell(self, number: int) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._guardian.stdin.write(f"{int(number)}\n".encode())

    async def _live(self) -> None:
        failures = 0
        while not self._stopping:
            born = time.monotonic()
            code = await self._one_life()
            if self._stopping:
                return
            failures = 0 if time.monotonic() - born > STEADY_S else failures + 1
            if not self._first.done() and failures >= FIRST_ATTEMPTS:
                raise self._not_started(f"ended with code {code}, {failures} times")
            detail = f"ended with code {code}"
            log.warning("%s %s; starting it again", self.spec.name, detail)
            self._report(State.RESTARTING, restarts=self.health.restarts + 1, detail=detail)
            if failures > 1:
                await asyncio.sleep(min(LONGEST_PAUSE_S, 0.1 * 2**failures))

    async def _one_life(self) -> int:
        """From one start to its end; returns the exit code (128 + signal)."""
        spec = self.spec
        if spec.before is not None:
            await spec.before()
        _trim(self.log_path)
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
        if self._stopping:
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


async def until_told_to_stop() -> str:
    """Wait for SIGINT (Ctrl-C) or SIGTERM; returns the name of the one that came."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    def hear(name: str) -> None:
        if not told.done():
            told.set_result(name)

    both = (signal.SIGINT, signal.SIGTERM)
    for number in both:
        loop.add_signal_handler(number, hear, number.name)
    try:
        return await told
    finally:
        for number in both:
            loop.remove_signal_handler(number)


async def _end(pid: int, number: int, grace_s: float) -> None:
    """End a child whose guardian was killed: only outside Linux does it still live."""
    deadline = time.monotonic() + grace_s
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        while time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)


def _trim(path: Path) -> None:
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
