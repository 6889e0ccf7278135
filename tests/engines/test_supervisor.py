"""Children of any kind: their order, their end, their return, and what they leave behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from caiwutong.engines import Health, ProcessSpec, State, Supervisor
from caiwutong.engines.child import GUARDIAN
from caiwutong.kernel.errors import Broken, Unavailable
from support.processes import parent_of

CHILD = """
import os, signal, sys, time
def leave(*_):
    print("left", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
print("stands", flush=True)
while True:
    time.sleep(60)
"""
DEAF = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def _spec(name: str, program: str = CHILD, **more: object) -> ProcessSpec:
    return ProcessSpec(name=name, argv=(sys.executable, "-c", program), **more)  # type: ignore[arg-type]


class Heard:
    def __init__(self) -> None:
        self.changes: list[Health] = []

    def __call__(self, health: Health) -> None:
        self.changes.append(health)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def supervisor(tmp_path: Path, heard: Heard) -> AsyncIterator[Supervisor]:
    one = Supervisor(tmp_path / "log", on_health=heard)
    yield one
    await one.stop()


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def _until(holds: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_children_start_in_order_and_end_in_reverse(
    supervisor: Supervisor, heard: Heard
) -> None:
    await supervisor.start(_spec("first"), _spec("second"))
    await supervisor.start(_spec("third"))
    await supervisor.stop()
    told = [(health.name, health.state) for health in heard.changes]
    assert [name for name, state in told if state is State.READY] == ["first", "second", "third"]
    assert [name for name, state in told if state is State.STOPPED] == ["third", "second", "first"]
    assert supervisor.health() == []


async def test_a_child_is_ready_when_its_probe_says_so(supervisor: Supervisor) -> None:
    answers = iter([False, False, True])

    async def probe() -> bool:
        return next(answers)

    await supervisor.start(_spec("slow", ready=probe))
    assert next(answers, None) is None
    assert supervisor.health()[0].state is State.READY


async def test_what_a_child_says_is_in_its_log_and_its_end_is_clean(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    log = tmp_path / "log" / "speaker.log"
    await supervisor.start(_spec("speaker"))
    await _until(lambda: log.read_text() == "stands\n")
    await supervisor.stop()
    assert log.read_text() == "stands\nleft\n"


async def test_a_child_that_ends_is_started_again(supervisor: Supervisor) -> None:
    await supervisor.start(_spec("child"))
    first = supervisor.health()[0].pid
    os.kill(first, signal.SIGKILL)
    await _until(lambda: supervisor.health()[0].restarts == 1)
    await _until(lambda: supervisor.health()[0].state is State.READY)
    assert supervisor.health()[0].pid not in (0, first)


async def test_a_child_that_keeps_falling_is_started_less_and_less_often(
    supervisor: Supervisor, heard: Heard
) -> None:
    await supervisor.start(_spec("faller", "import time; time.sleep(0.1); raise SystemExit(7)"))
    await asyncio.sleep(3)
    falls = [health for health in heard.changes if health.detail]
    assert {health.detail for health in falls} == {"ended with code 7"}
    assert 2 <= len(falls) <= 5, "at once, then after 0.4, 0.8, 1.6 seconds"
    began = time.monotonic()
    await supervisor.stop()
    assert time.monotonic() - began < 1, "a pause does not delay the end"


async def test_a_child_that_never_stands_is_given_up_with_the_end_of_its_log(
    supervisor: Supervisor,
) -> None:
    async def never() -> bool:
        return False

    spec = _spec("broken", "raise SystemExit('the disk is full')", ready=never)
    with pytest.raises(Unavailable, match="the disk is full") as caught:
        await supervisor.start(spec)
    assert caught.value.code == "engines.not_started"


async def test_a_child_that_does_not_answer_in_time_is_given_up(supervisor: Supervisor) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(Unavailable, match=r"did not answer within 0\.5 s"):
        await supervisor.start(_spec("mute", ready=never, ready_within_s=0.5))
    assert supervisor.health()[0].state is State.STOPPED


async def test_a_probe_that_knows_the_child_is_useless_ends_the_wait(
    supervisor: Supervisor,
) -> None:
    async def useless() -> bool:
        raise Broken("engines.password_wrong", "It does not know its password.")

    with pytest.raises(Broken, match=r"engines\.password_wrong"):
        await supervisor.start(_spec("useless", ready=useless))


async def test_a_program_that_is_not_there_is_named(supervisor: Supervisor) -> None:
    async def never() -> bool:
        return False

    with pytest.raises(Unavailable, match=r"cannot start /nowhere/tool: .*No such file"):
        await supervisor.start(ProcessSpec(name="nothing", argv=("/nowhere/tool",), ready=never))


async def test_a_child_that_does_not_listen_is_killed(supervisor: Supervisor) -> None:
    await supervisor.start(_spec("deaf", DEAF, stop=((signal.SIGTERM, 0.5),)))
    pid = supervisor.health()[0].pid
    await asyncio.sleep(0.3)
    await supervisor.stop()
    assert not _lives(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets us adopt grandchildren")
async def test_what_a_killed_child_left_behind_is_gone_before_the_next_one(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    log = tmp_path / "log" / "parent.log"
    await supervisor.start(_spec("parent", PARENT))
    await _until(lambda: bool(log.read_text().strip()))
    grandchild = int(log.read_text())
    assert _lives(grandchild)
    os.kill(supervisor.health()[0].pid, signal.SIGKILL)
    await _until(lambda: len(log.read_text().splitlines()) == 2)
    assert not _lives(grandchild)


async def test_a_child_gets_only_the_environment_and_priority_of_its_spec(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    program = "import os, time; print(os.environ.get('HOME'), os.environ['ONLY'], os.nice(0), "
    program += "os.getcwd(), os.getsid(0) == os.getpid(), flush=True); time.sleep(600)"
    spec = _spec("plain", program, env={"ONLY": "this"}, nice=5, cwd=str(tmp_path))
    await supervisor.start(spec)
    log = tmp_path / "log" / "plain.log"
    await _until(lambda: bool(log.read_text().strip()))
    assert log.read_text().split() == ["None", "this", str(os.nice(0) + 5), str(tmp_path), "True"]


async def test_a_log_that_grew_too_long_is_moved_aside(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caiwutong.engines.child.LARGEST_LOG_BYTES", 100)
    log = tmp_path / "log" / "child.log"
    log.parent.mkdir()
    log.write_text("x" * 101)
    await supervisor.start(_spec("child"))
    await _until(lambda: log.read_text() == "stands\n")
    assert log.with_suffix(".log.1").read_text() == "x" * 101


def test_a_guardian_told_to_end_takes_its_child_along() -> None:
    plan = (
        '{"argv": ["/bin/sleep", "600"], "uid": null, "gid": null, "nice": 0, "cwd": "/",'
        ' "umask": 63, "last_signal": 15, "grace_s": 1.0}'
    )
    guardian = subprocess.Popen(
        [sys.executable, "-I", "-S", str(GUARDIAN), plan],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert guardian.stdout is not None
    child = int(guardian.stdout.readline())
    guardian.terminate()
    assert guardian.wait(5) == 128 + signal.SIGTERM
    assert not _lives(child)
    guardian.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
async def test_a_child_does_not_outlive_a_killed_guardian(supervisor: Supervisor) -> None:
    await supervisor.start(_spec("child"))
    child = supervisor.health()[0].pid
    guardian = parent_of(child)
    os.kill(guardian, signal.SIGKILL)
    await _until(lambda: supervisor.health()[0].pid not in (0, child))
    assert not _lives(child)
