"""One seed, from the first order to both sides' closed books.

Orders come for some hours while faults strike. Then everything is healed, what is under way may
end (an order nobody signs takes a week), and the judge compares. A run ends early at its first
violation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager

import msgspec

from caiwutong.payments.states import TERMINAL
from caiwutong.simulation.chance import Fault
from caiwutong.simulation.house import Parts
from caiwutong.simulation.judge import judge
from caiwutong.simulation.loop import Stuck, TooLong
from caiwutong.simulation.people import People, deliver_to
from caiwutong.simulation.processes import Process, keep_by_process
from caiwutong.simulation.setting import Setting, build
from caiwutong.simulation.watch import Violation
from caiwutong.simulation.world import World

PAYMENTS_AT_LEAST = 50
FAULTS_AT_LEAST = 20

_DAY_S = 86_400.0
_LONGEST_S = 40 * _DAY_S
"""After healing, a payment that has not ended in this time never will."""


class Outcome(msgspec.Struct, frozen=True):
    """What one seed showed."""

    seed: int
    payments: int
    terminal: int
    faults: dict[str, int]
    simulated_s: float
    cpu_s: float
    violations: list[Violation]
    digest: str
    trace: list[str]
    """The last lines around the first violation; empty without one."""

    @property
    def fault_count(self) -> int:
        return sum(self.faults.values())


def run_seed(seed: int, parts: Parts | None = None, *, full_trace: bool = False) -> Outcome:
    """Run one seed to its end, or to its first violation."""
    parts = parts or Parts()
    began = time.process_time()
    world = World(seed, parts)
    world.loop.on_task = keep_by_process
    with _patched(parts):
        try:
            world.loop.run_until_complete(_run(world))
        except (Stuck, TooLong) as error:
            world.watch.violated("every_payment_ends", f"{type(error).__name__}: {error}")
        outcome = _outcome(world, time.process_time() - began, full_trace)
        world.loop.end_all()
        world.loop.close()
    return outcome


def _outcome(world: World, cpu_s: float, full_trace: bool) -> Outcome:
    rows = world.stores.payments.rows().values()
    violations = list(world.watch.violations)
    lines = world.trace.lines() if full_trace else []
    if violations and not full_trace:
        lines = world.trace.about(violations[0].subjects)
    return Outcome(
        world.seed,
        len(rows),
        sum(row.state in TERMINAL for row in rows),
        {fault.value: count for fault, count in sorted(world.chance.struck.items())},
        world.loop.time(),
        cpu_s,
        violations,
        world.trace.digest(),
        lines,
    )


@contextmanager
def _patched(parts: Parts) -> Generator[None]:
    before = [(module, name, getattr(module, name)) for module, name, _ in parts.patches]
    for module, name, value in parts.patches:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


async def _run(world: World) -> None:
    founder = Process(world, "founder", worker=False, mortal=False)
    founder.start()
    setting = await build(world, founder.house)
    apis = [Process(world, f"api-{n}", worker=False) for n in (1, 2)]
    workers = [Process(world, f"worker-{n}", worker=True) for n in (1, 2)]
    processes = [*apis, *workers]
    for process in processes:
        process.start()
    world.network.deliver = deliver_to(world, apis)
    people = People(world, setting, apis)
    story = world.loop.spawn(_story(world, setting, people, processes))
    alarm = world.loop.spawn(world.watch.found.wait())
    await asyncio.wait([story, alarm], return_when=asyncio.FIRST_COMPLETED)
    if story.done() and not story.cancelled():
        story.result()


async def _story(world: World, setting: Setting, people: People, processes: list[Process]) -> None:
    await _trouble(world, people, processes)
    world.trace.tell("world", "healed")
    world.chance.healed = True
    world.network.heal()
    await people.done()
    try:
        await asyncio.wait_for(world.watch.all_ended.wait(), _LONGEST_S)
    except TimeoutError:
        world.trace.tell("world", "some payments never end")
    # Returns come up to half a day after settlement, and the last events want their seal.
    await asyncio.sleep(3 * _DAY_S)
    await judge(world, setting)


async def _trouble(world: World, people: People, processes: list[Process]) -> None:
    """Hours of orders and faults, until there were enough of both."""
    draw = world.chance.people
    hours = draw.uniform(0.5, 4)
    for process in processes:
        world.loop.spawn(_crashes(world, process))
    world.loop.spawn(_outages(world))
    world.loop.spawn(_mutes(world))
    if world.chance.strikes(Fault.WORKERS_AWAY):
        world.loop.spawn(_no_workers(processes, draw.uniform(0, hours * 3600)))
    for account in people.setting.accounts:
        for kind, sign in (("fee", -1), ("interest", 1)):
            if draw.random() < 0.3:
                wait, amount = draw.uniform(0, hours * 3600), sign * draw.randrange(1, 500)
                world.loop.later(wait, world.bank.charge, account.number, amount, kind)
    if draw.random() < 0.3:
        people.revoke_a_mandate(draw.uniform(0, hours * 3600))
    wanted = PAYMENTS_AT_LEAST + draw.randrange(8)
    ordered, at = 0, 0.0
    while ordered < wanted + 5:
        group = draw.choice((1, 1, 2, 3, 6))
        # Some callers come in the same moment as another.
        at = at + 0.003 if draw.random() < 0.4 else draw.uniform(0, hours * 3600)
        people.order(group, world.loop.time() + at)
        ordered += group
    await asyncio.sleep(hours * 3600)
    # Faults are drawn per occasion: more orders make more of them.
    while (
        people.accepted < PAYMENTS_AT_LEAST or sum(world.chance.struck.values()) < FAULTS_AT_LEAST
    ):
        people.order(draw.choice((1, 2, 3)), world.loop.time() + draw.uniform(0, 60))
        await asyncio.sleep(120)
    await asyncio.sleep(draw.uniform(0, 2) * 3600)


async def _crashes(world: World, process: Process) -> None:
    while (wait := world.chance.hourly(Fault.CRASH_ANY_TIME)) is not None:
        await asyncio.sleep(wait)
        if process.alive and not world.chance.healed:
            world.chance.struck_now(Fault.CRASH_ANY_TIME, process.name)
            process.crash()


async def _no_workers(processes: list[Process], wait: float) -> None:
    await asyncio.sleep(wait)
    for process in processes:
        if process.worker:
            process.crash(7.5 * _DAY_S)


async def _mutes(world: World) -> None:
    draw = world.chance.delays
    while (wait := world.chance.hourly(Fault.CHANNEL_MUTE)) is not None:
        await asyncio.sleep(wait)
        if not world.chance.healed:
            channel = draw.choice(world.channels).name
            world.chance.struck_now(Fault.CHANNEL_MUTE, channel)
            world.network.channel_goes_mute(channel, draw.uniform(1800, 6 * 3600))


async def _outages(world: World) -> None:
    draw = world.chance.delays
    while (wait := world.chance.hourly(Fault.BANK_AWAY)) is not None:
        await asyncio.sleep(wait)
        if not world.chance.healed:
            world.chance.struck_now(Fault.BANK_AWAY)
            world.network.bank_goes_away(draw.choice((60.0, 1200.0, 7200.0)) * draw.random())
