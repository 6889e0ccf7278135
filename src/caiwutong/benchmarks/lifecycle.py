"""The whole life of payments: from signed HTTP requests to completed, over a rail of the sandbox.

Submitted through the API, authorised by the standing mandate, dispatched by the worker, signed and
sent, netted by the clearing centre, called back, posted. Every signature is real (SM2), and the
other side of the wire works on the same cores. Every payment must be completed and the books must
balance.
"""

from __future__ import annotations

import asyncio
import time

from caiwutong.benchmarks.cpu import per_piece
from caiwutong.benchmarks.house import NETTING_S, House
from caiwutong.benchmarks.load import run_own
from caiwutong.benchmarks.orders import orders_for
from caiwutong.benchmarks.proof import prove_intake
from caiwutong.benchmarks.requests import signed_requests
from caiwutong.benchmarks.results import Latency, Result
from caiwutong.kernel.errors import Broken
from caiwutong.sandbox.client import SandboxClient

CONNECTIONS = 64
WARM = 200
LONGEST_S = 120.0

_OPEN = """
    SELECT count(*) FROM payments
    WHERE tenant = $1 AND state NOT IN ('completed', 'rejected', 'cancelled', 'reversed')
"""
_LIFE = """
    SELECT count(*) FILTER (WHERE state = 'completed') AS completed,
           extract(epoch FROM max(completed_at) - min(created_at)) AS seconds,
           avg(extract(epoch FROM completed_at - created_at)) AS mean,
           percentile_disc(0.5) WITHIN GROUP
               (ORDER BY extract(epoch FROM completed_at - created_at)) AS p50,
           percentile_disc(0.99) WITHIN GROUP
               (ORDER BY extract(epoch FROM completed_at - created_at)) AS p99
    FROM payments WHERE tenant = $1 AND key LIKE $2
"""


async def bench_lifecycle(house: House, rail: str, count: int) -> Result:
    """``count`` payments over this rail, from the first request to the last completion. A few go
    before the clock starts: connections, prepared statements, the books of every account."""
    await _measure(house, rail, min(WARM, count))
    return await _measure(house, rail, count)


async def _measure(house: House, rail: str, count: int) -> Result:
    run = f"{rail}-{time.time_ns():x}"
    orders = await orders_for(house.services, rail, run, channel=rail)
    requests = signed_requests(house.settings, orders)
    cpu = house.cpu()
    load = await run_own(
        house.settings.host, house.settings.port, requests, CONNECTIONS, count=count
    )
    if load.refused or load.broken or load.answers != count:
        raise Broken("bench.not_accepted", f"{load}", "Read the API's log.")
    row = await _until_completed(house, rail, run, count)
    after = house.cpu()
    await prove_intake(house.services, run, count)
    return Result(
        name=f"life cycle {rail}",
        value=count / row["seconds"],
        unit="completed",
        latency=Latency(1000 * row["mean"], 1000 * row["p50"], 1000 * row["p99"]),
        cpu_us=per_piece(cpu, after, count),
        extra={
            "pieces": count,
            "seconds": round(row["seconds"], 2),
            "submitted_in_s": round(load.seconds, 2),
            "netting_s": NETTING_S,
            "clock_scale": 1,
            "note": f"netting every {NETTING_S:g} business s, clock scale 1, SM2 on; latency is "
            f"created to completed; submitted in {load.seconds:.1f} s",
        },
    )


async def _until_completed(house: House, rail: str, run: str, count: int) -> dict[str, float]:
    """Wait until none is open, looking through the index of open payments. Raises Broken when that
    does not come, or when one ended otherwise. BEPS nets every half hour by its catalog; here its
    centre is told to close a round as often as that of IBPS does."""
    sandbox = SandboxClient.at(house.settings.sandbox_dir)
    next_round = time.perf_counter() + NETTING_S
    tenant, end = house.settings.tenant, time.perf_counter() + LONGEST_S
    waiting = count
    while waiting and time.perf_counter() < end:
        await asyncio.sleep(0.25)
        if rail == "beps" and time.perf_counter() >= next_round:
            next_round = time.perf_counter() + NETTING_S
            await asyncio.to_thread(sandbox.beps_round)
        async with house.services.database.transaction() as tx:
            waiting = await tx.value(_OPEN, tenant)
    async with house.services.database.transaction() as tx:
        row = await tx.fetch_one(_LIFE, tenant, f"{run}-%")
    if row is None or row["completed"] != count:
        overview = await house.services.payments.views.overview(tenant)
        raise Broken(
            "bench.not_completed",
            f"{row and row['completed']} of {count} completed; states {overview.states}.",
            "Read the logs of worker and sandbox.",
        )
    return {name: float(row[name]) for name in ("seconds", "mean", "p50", "p99")}
