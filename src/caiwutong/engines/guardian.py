"""Stands between a supervisor and one child, so that the child never outlives the house.

Runs as a program of its own (``python -I -S guardian.py '<plan>'``), with nothing but the standard
library, one thread, and no import of the package. It promises:

- The child ends when the supervisor ends, however that happens: the supervisor holds the other end
  of our standard input, and ``kill -9`` closes it too. Linux also tells the child if we die first.
- When the child ends, whatever it left behind ends before we do. On Linux we are the "subreaper":
  backends of a killed postmaster become our children, and are gone before anyone starts a new one.
- Ctrl-C at a terminal does not reach the child: it lives in a session of its own.

The supervisor writes signal numbers, one a line; we write the child's process id once, and leave
with its exit code (128 + the signal, where a signal ended it). Read next: ``supervisor.py``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LINUX = sys.platform.startswith("linux")
POLL_S = 0.5
EXEC_FAILED = 127


def prctl(option: int, value: int) -> None:
    """Set one attribute of this process; elsewhere than Linux there is nothing to set."""
    if LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def be_nice(how: int) -> None:
    """Let others go first. Where Linux groups processes by session (autogroup), niceness counts
    only inside a group, and the child is alone in its own: the group must be nice too."""
    with contextlib.suppress(OSError):
        os.nice(how)
        if LINUX:
            with open("/proc/self/autogroup", "w") as group:
                group.write(str(how))


def spawn(plan: dict[str, Any]) -> int:
    """Start the child as another user where the plan says so; returns its process id."""
    guardian = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        os.closerange(3, 256)
        if plan["nice"]:
            be_nice(plan["nice"])
        if plan["uid"] is not None:
            os.setgroups([plan["gid"]])
            os.setgid(plan["gid"])
            os.setuid(plan["uid"])
        # After the change of user: the kernel forgets the wish when credentials change.
        prctl(PR_SET_PDEATHSIG, plan["last_signal"])
        if os.getppid() != guardian:
            os._exit(EXEC_FAILED)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(plan["umask"])
        os.chdir(plan["cwd"])
        os.execv(plan["argv"][0], plan["argv"])
    except BaseException as error:
        os.write(2, f"cannot start {plan['argv'][0]}: {error}\n".encode())
    os._exit(EXEC_FAILED)


def children() -> list[int]:
    """The processes whose parent we are, adopted ones too."""
    mine: list[int] = []
    for name in os.listdir("/proc") if LINUX else ():
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # The command stands in brackets and may itself hold brackets and blanks.
                if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                    mine.append(int(name))
    return mine


def sweep() -> None:
    """End everything the child left behind, and wait until it is gone."""
    while True:
        for pid in children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


class Watch:
    """Waits for the child, passes signals on, and gives last orders when the supervisor is gone."""

    def __init__(self, child: int, last_signal: int, grace_s: float) -> None:
        self.child = child
        self.last_signal = last_signal
        self.grace_s = grace_s
        self.parent = os.getppid()
        self.listening = True
        self.deadline: float | None = None
        self.heard = b""

    def until_the_child_ends(self, wake: int) -> int:
        """The child's wait status."""
        while True:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self.child:
                    return status
                if not pid:
                    break
            if os.getppid() != self.parent:
                # A forked copy of the supervisor may still hold the pipe; the pipe is not enough.
                self.last_orders()
            if self.deadline is not None and time.monotonic() >= self.deadline:
                os.kill(self.child, signal.SIGKILL)
            wait_s = 0.05 if self.deadline is not None else POLL_S
            sources = [wake, 0] if self.listening else [wake]
            ready, _, _ = select.select(sources, [], [], wait_s)
            if wake in ready:
                os.read(wake, 4096)
            if 0 in ready:
                self.listen()

    def listen(self) -> None:
        """Pass on the signals the supervisor asks for; its end is the last order."""
        said = os.read(0, 4096)
        if not said:
            self.listening = False
            self.last_orders()
            return
        *lines, self.heard = (self.heard + said).split(b"\n")
        for line in lines:
            os.kill(self.child, int(line))

    def dismissed(self, _number: int, _frame: object) -> None:
        """Someone ends us: end the child first."""
        self.last_orders()

    def last_orders(self) -> None:
        """Ask the child to end now, and set the moment after which it is not asked any more."""
        if self.deadline is None:
            self.deadline = time.monotonic() + self.grace_s
            os.kill(self.child, self.last_signal)


def _wake_only(_number: int, _frame: object) -> None:
    """The wake-up pipe says it all; without a handler the signal would not reach it."""


def main() -> None:
    """Start the child of the plan in ``argv[1]`` and stay until it, and all it started, is gone."""
    plan: dict[str, Any] = json.loads(sys.argv[1])
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake, poke = os.pipe()
    os.set_blocking(poke, False)
    signal.set_wakeup_fd(poke, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _wake_only)
    # Nobody is told to end before there is someone to tell: these wait until the child stands.
    ending = {signal.SIGINT, signal.SIGHUP, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    pid = spawn(plan)
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{pid}\n".encode())
    watch = Watch(pid, plan["last_signal"], plan["grace_s"])
    for number in ending:
        signal.signal(number, watch.dismissed)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)
    status = watch.until_the_child_ends(wake)
    sweep()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
