"""Simulated processes: they stall, lose their database, crash at any step and start again.

A process is a context; every task created inside belongs to it and ends with it. A crash ends them
where they stand: an open transaction is undone, a message half sent is the network's affair, memory
is gone. Workers sleep until their next work is due; a commit that brings earlier work wakes them
after a moment, as their polling would (the polls that find nothing are left out).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any

from caiwutong.db.memory import MemoryDatabase, MemoryTx
from caiwutong.kernel.errors import Broken, CaiwutongError, InDoubt, Unavailable
from caiwutong.payments.model import Task
from caiwutong.simulation.chance import Fault
from caiwutong.simulation.house import House
from caiwutong.simulation.network import SimRail
from caiwutong.simulation.stores import TENANT
from caiwutong.simulation.world import World

_RUNNING_IN: ContextVar[Process | None] = ContextVar("process", default=None)

AT_ONCE = 100
"""How much a worker takes up in one round."""

SEAL_AFTER_S = 900.0
"""How long events wait for their seal here. Production seals within a second; here each seal would
be an event of its own."""

_POLL_S = 0.5
_LATER = float("inf")


class Connection(MemoryDatabase):
    """One process's way to the database that all share."""

    def __init__(self, world: World, process: Process) -> None:
        super().__init__()
        self._lock = world.database_lock
        self._world = world
        self._process = process

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[MemoryTx]:
        if self._strikes(Fault.STALL):
            await asyncio.sleep(self._world.chance.delays.uniform(20, 400))
        if self._strikes(Fault.DATABASE_AWAY):
            await asyncio.sleep(self._world.chance.delays.uniform(0, 10))
            raise Unavailable("db.unavailable", "The database does not answer.")
        async with super().transaction() as tx:
            yield tx

    async def begin(self) -> None:
        self._world.stores.pending.clear()
        # Now and then a transaction takes its time, and others come in between.
        wait = self._world.chance.delays.random() - 0.5
        if wait > 0:
            await asyncio.sleep(wait / 100)

    async def before_commit(self) -> None:
        if self._process.crash_point(Fault.CRASH_BEFORE_COMMIT):
            await asyncio.sleep(0)
        if self._strikes(Fault.LOST_BEFORE_COMMIT):
            raise Unavailable("db.unavailable", "The connection broke before the commit.")

    async def after_commit(self) -> None:
        self._world.watch.committed()
        self._wake()
        if self._process.crash_point(Fault.CRASH_AFTER_COMMIT):
            await asyncio.sleep(0)
        if self._strikes(Fault.LOST_AFTER_COMMIT):
            raise InDoubt("db.commit_unknown", "The connection broke while committing.")

    def _strikes(self, fault: Fault) -> bool:
        return self._process.mortal and self._world.chance.strikes(fault, self._process.name)

    def _wake(self) -> None:
        world, pending = self._world, self._world.stores.pending
        now = world.loop.time()
        for task in {w.task: None for w in pending.work}:
            due = min(w.due_at for w in pending.work if w.task is task)
            world.work_due(task.value, (due - world.clock.start).total_seconds())
        if pending.lines:
            first = world.stores.statements.earliest_look()
            if first is not None:
                world.work_due("evidence", (first - world.clock.start).total_seconds())
        if pending.events:
            world.work_due("seal", now + SEAL_AFTER_S)
        if any(hold.expires_at is not None for hold in pending.holds):
            first = world.stores.ledger.earliest_expiry()
            if first is not None:
                world.work_due("expire", (first - world.clock.start).total_seconds())


class Process:
    """An API process (``rounds`` empty) or a worker."""

    def __init__(self, world: World, name: str, *, worker: bool, mortal: bool = True) -> None:
        self.world = world
        self.name = name
        self.mortal = mortal
        self.alive = False
        self.house: House
        self.worker = worker
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._down_until = 0.0
        self._context = copy_context()
        self._context.run(_RUNNING_IN.set, self)

    def start(self) -> None:
        """Begin with an empty memory."""
        world = self.world
        if self.alive or world.loop.time() < self._down_until:
            return
        self.alive = True
        world.trace.tell(self.name, "starts")
        rails = {c.name: SimRail(world.network, c, self.crash_point) for c in world.channels}
        database = Connection(world, self)
        self.house = House(
            world.parts, world.stores, database, rails, world.vault, world.clock, world.chance
        )
        if self.worker:
            for each in _rounds(self):
                self.run(each.run())

    def run(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do this inside the process: it ends with it."""
        return self.world.loop.create_task(coro, context=self._context.copy())

    def adopt(self, task: asyncio.Task[Any]) -> None:
        if len(self._tasks) > 100:
            self._tasks = {t: None for t in self._tasks if not t.done()}
        self._tasks[task] = None

    def crash_point(self, fault: Fault) -> bool:
        """Here the process may die; true when it did. The caller's next await does not return."""
        if not self.mortal or not self.alive or not self.world.chance.strikes(fault, self.name):
            return False
        self.crash()
        return True

    def crash(self, pause_s: float | None = None) -> None:
        """End every task where it stands, and start again after a while."""
        self.alive = False
        self.world.trace.tell(self.name, "crashes")
        tasks, self._tasks = self._tasks, {}
        self.world.sleepers = [
            s for s in self.world.sleepers if not (isinstance(s, Round) and s.process is self)
        ]
        for task in tasks:
            task.cancel()
        if pause_s is None:
            draw = self.world.chance.delays
            pause_s = draw.choice((1.0, 30.0, 600.0)) * draw.uniform(0.2, 1)
        self._down_until = max(self._down_until, self.world.loop.time() + pause_s)
        self.world.loop.later(pause_s, self.start)


def keep_by_process(task: asyncio.Task[Any], context: Context) -> None:
    """The loop's ``on_task``: whoever is created inside a process ends with it."""
    process = context.get(_RUNNING_IN)
    if process is not None:
        process.adopt(task)


class Round:
    """A worker's loop: at once while there is work, else asleep until some is due."""

    def __init__(
        self,
        process: Process,
        kind: str,
        act: Callable[[], Awaitable[int]],
        due: Callable[[], float] | None,
    ) -> None:
        """``due``: when the next work is due, by the loop's time; None: only by being told."""
        self.process = process
        self.kind = kind
        self._act = act
        self._due = due
        self._loop = process.world.loop
        self._awake = asyncio.Event()
        self._at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        world = self.process.world
        world.sleepers.append(self)
        pause = 0.2
        while True:
            try:
                done = await self._act()
                pause = 0.2
            except CaiwutongError as error:
                if isinstance(error, Broken):
                    world.watch.broken(self.process.name, error)
                world.trace.tell(self.process.name, f"{self.kind} failed: {error.code}")
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
                continue
            except Exception as error:
                world.watch.unexpected(f"{self.process.name} {self.kind}", error)
                raise
            if not done:
                await self._sleep()

    async def _sleep(self) -> None:
        """Until work is due. Somebody else may have done it by then: then longer."""
        while True:
            self._awake.clear()
            self._at = _LATER
            if self._due is not None:
                self._arm(self._due())
            await self._awake.wait()
            self._at = 0.0
            if self._due is None or self._due() <= self._loop.time():
                return

    def work_due(self, at_s: float) -> None:
        self._arm(at_s)

    def _arm(self, at_s: float) -> None:
        at_s = max(at_s, self._loop.time())
        if at_s + _POLL_S >= self._at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._at = at_s + self.process.world.chance.delays.uniform(0, _POLL_S)
        self._timer = self._loop.call_at(self._at, self._awake.set)


def _rounds(process: Process) -> list[Round]:
    world, house = process.world, process.house
    stores, start = world.stores, world.clock.start

    def due(task: Task) -> Callable[[], float]:
        def at() -> float:
            first = stores.payments.earliest(task)
            return _LATER if first is None else (first - start).total_seconds()

        return at

    def expiry() -> float:
        first = stores.ledger.earliest_expiry()
        return _LATER if first is None else (first - start).total_seconds()

    def unread() -> float:
        """When an account with lines nobody has read may be read again."""
        due = _LATER
        for account_id, number in world.our_accounts.items():
            cursor = stores.statements.cursor_of(account_id)
            if cursor is None:
                return 0.0
            if cursor.lines < len(world.bank.accounts[number].lines or ()):
                due = min(due, (cursor.next_at - start).total_seconds())
        return due

    def look() -> float:
        first = stores.statements.earliest_look()
        return _LATER if first is None else (first - start).total_seconds()

    return [
        Round(process, Task.DISPATCH.value, lambda: house.dispatch.run_once(TENANT, AT_ONCE),
              due(Task.DISPATCH)),
        Round(process, Task.ENQUIRE.value, lambda: house.recovery.run_once(TENANT, AT_ONCE),
              due(Task.ENQUIRE)),
        Round(process, "expire", lambda: house.requests.expire_due(TENANT, AT_ONCE), expiry),
        Round(process, "seal", house.sealer.run_once, None),
        Round(process, "statements", lambda: house.reader.run_once(TENANT), unread),
        Round(process, "evidence", lambda: house.evidence.run_once(TENANT), look),
    ]  # fmt: skip
