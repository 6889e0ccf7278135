"""Intake over HTTP: single-payment requests, each signed by the caller, answered when durable.

The whole house runs on the same cores: API, worker, sandbox, PostgreSQL, NATS and the load
generator; the worker dispatches what comes in meanwhile. Every answer must be 202, every receipt a
payment. What the worker had not yet completed when the load ended is the backlog; it is watched
for a while, and the time to drain it is worked out from the pace seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec

from caiwutong.benchmarks.cpu import per_piece
from caiwutong.benchmarks.house import House
from caiwutong.benchmarks.load import Load, has_wrk, run_own, run_wrk, write_requests
from caiwutong.benchmarks.orders import orders_for
from caiwutong.benchmarks.proof import prove_intake
from caiwutong.benchmarks.requests import PATH, signed_requests
from caiwutong.benchmarks.results import Result
from caiwutong.kernel.errors import Broken
from caiwutong.payments.states import TERMINAL

WARM_S = 2.0
DRAIN_S = 15.0
"""How long the backlog is watched."""


async def bench_intake(
    house: House, connections: Sequence[int], seconds: float, *, own_generator: bool = False
) -> list[Result]:
    """One row for each number of connections, and the backlog's."""
    pace = await _warm(house, connections[0], own_generator)
    rows = [await _measure(house, n, seconds, pace, own_generator) for n in connections]
    return [*rows, await _watch_backlog(house, min(DRAIN_S, 2 * seconds))]


async def _warm(house: House, connections: int, own_generator: bool) -> float:
    """Load before the clock starts: connections, plans, caches. Gives the requests a second to
    make ready for."""
    load = await _load(house, f"warm-{time.time_ns():x}", connections, WARM_S, 8_000, own_generator)
    return max(500.0, load.answers / load.seconds)


async def _measure(
    house: House, connections: int, seconds: float, pace: float, own_generator: bool
) -> Result:
    run, cpu = f"c{connections}-{time.time_ns():x}", house.cpu()
    load = await _load(house, run, connections, seconds, pace, own_generator, cpu)
    after = house.cpu()
    if load.refused or load.broken:
        raise Broken(
            "bench.not_accepted",
            f"{load.refused} refusals and {load.broken} broken connections among "
            f"{load.answers} answers.",
            "Read the API's log; the figures of this run count for nothing.",
        )
    # What was cut off may still be on its way into the database.
    await asyncio.sleep(2.0)
    cut_off = await prove_intake(house.services, run, load.accepted, load.cut_off)
    return Result(
        name=f"intake {connections} connections",
        value=load.accepted / load.seconds,
        unit="requests",
        latency=load.latency,
        cpu_us=per_piece(cpu, after, load.accepted),
        extra={
            "generator": load.generator,
            "accepted_202": load.accepted,
            "errors": load.refused + load.broken,
            "cut_off_at_the_end": cut_off,
            "seconds": round(load.seconds, 2),
            "note": f"{load.generator}; {load.accepted:,} answers, all 202, all kept",
        },
    )


async def _load(
    house: House,
    run: str,
    connections: int,
    seconds: float,
    pace: float,
    own_generator: bool,
    cpu: dict[str, float] | None = None,
) -> Load:
    """Sign for twice the pace, send, and forget the file. ``cpu`` is read anew between the two."""
    settings = house.settings
    orders = await orders_for(house.services, "ibps", run)
    requests = signed_requests(settings, orders)
    if own_generator or not has_wrk():
        return await run_own(settings.host, settings.port, requests, connections, seconds=seconds)
    path = settings.data_dir / "requests"
    try:
        write_requests(path, requests, round(2 * pace * seconds) + connections)
        if cpu is not None:
            cpu.update(house.cpu())
        return await run_wrk(f"{settings.url}{PATH}", path, connections, seconds)
    finally:
        for part in path.parent.glob(f"{path.name}.*"):
            part.unlink()


class _Standing(msgspec.Struct, frozen=True):
    at: float
    ended: int
    open: int


async def _standing(house: House) -> _Standing:
    overview = await house.services.payments.views.overview(house.settings.tenant)
    ended = sum(n for state, n in overview.states.items() if state in TERMINAL)
    return _Standing(time.perf_counter(), ended, sum(overview.states.values()) - ended)


async def _watch_backlog(house: House, seconds: float) -> Result:
    """How fast the workers complete what waits, now that nothing more comes in."""
    first = last = await _standing(house)
    while last.open and last.at - first.at < seconds:
        await asyncio.sleep(0.5)
        last = await _standing(house)
    pace = (last.ended - first.ended) / max(last.at - first.at, 0.001)
    drain_s = first.open / pace if pace else float("inf")
    watched = "measured" if not last.open else f"from the pace of {seconds:.0f} s"
    return Result(
        name="backlog after intake",
        value=pace,
        unit="completed",
        extra={
            "backlog": first.open,
            "drain_s": round(drain_s, 1) if pace else None,
            "note": f"{first.open:,} waited when the load ended; drained in {drain_s:,.0f} s "
            f"({watched})",
        },
    )
