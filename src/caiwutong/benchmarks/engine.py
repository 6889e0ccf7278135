"""Intake without HTTP: the service itself, in batches, on a database of its own.

What remains of ``intake`` when the front is taken away: orders decided, money held, mandate taken,
keys bound, events told, all durable. Every answer must be a receipt, each key must be bound, and
the ledger must balance.
"""

from __future__ import annotations

import asyncio
import time

from caiwutong.benchmarks.baseline import make_database
from caiwutong.benchmarks.cpu import cpu_of_trees, per_piece
from caiwutong.benchmarks.orders import Orders, orders_for
from caiwutong.benchmarks.proof import prove_intake
from caiwutong.benchmarks.results import Result, latency_of
from caiwutong.cli.seed import load_credentials, seed_demo
from caiwutong.db.migrate import migrate
from caiwutong.engines import Engines, EngineUrls
from caiwutong.kernel.clock import SharedClock
from caiwutong.kernel.errors import Broken
from caiwutong.payments.model import Receipt, Submission
from caiwutong.sandbox.setup import prepare
from caiwutong.settings import Settings
from caiwutong.wiring import Services, open_services

DATABASE = "bench_engine"
BATCH = 256
IN_FLIGHT = 2


async def bench_engine(
    engines: Engines, settings: Settings, seconds: float, *, batch: int = BATCH
) -> Result:
    """One row: payments taken in per second, by one process, ``IN_FLIGHT`` batches at once."""
    assert engines.postgres is not None
    urls = EngineUrls(await make_database(engines.postgres, DATABASE), engines.nats_url)
    await asyncio.to_thread(migrate, urls.database_url)
    prepare(settings.sandbox_dir, port=1, clock=SharedClock(settings.clock_file))
    async with open_services(settings, urls, name="bench-engine", pool=IN_FLIGHT + 1) as services:
        await seed_demo(services)
        orders = await orders_for(services, "ibps", "engine")
        taker = _Taker(services, orders, batch)
        pid = next(h.pid for h in engines.supervisor.health() if h.name == "postgres")
        row = await _drive(taker, {"postgres": pid}, seconds)
        await prove_intake(services, "engine-", taker.taken)
    return row


class _Taker:
    """Submits batches and counts what was taken."""

    def __init__(self, services: Services, orders: Orders, batch: int) -> None:
        self._services, self._orders, self._batch = services, orders, batch
        self._caller = load_credentials(services.settings.data_dir).api_key_id
        self.taken = 0
        self.took: list[float] = []

    async def batch(self) -> None:
        submissions = [
            Submission(key=key, order=order, caller=self._caller, actor="api-key:bench")
            for key, order in (self._orders.new() for _ in range(self._batch))
        ]
        began = time.perf_counter()
        tenant = self._services.settings.tenant
        answers = await self._services.payments.intake.submit_many(tenant, submissions)
        self.took.append(time.perf_counter() - began)
        wrong = [answer for answer in answers if not isinstance(answer, Receipt)]
        if wrong:
            raise Broken("bench.refused", f"Intake refused: {wrong[0]}.", "See why.")
        self.taken += len(answers)

    async def until(self, end: float) -> None:
        while time.perf_counter() < end:
            await self.batch()


async def _drive(taker: _Taker, roots: dict[str, int], seconds: float) -> Result:
    await taker.batch()  # Plans, caches and connections are warm before the clock starts.
    taker.took.clear()
    warm, before, start = taker.taken, cpu_of_trees(roots), time.perf_counter()
    await asyncio.gather(*(taker.until(start + seconds) for _ in range(IN_FLIGHT)))
    elapsed, done = time.perf_counter() - start, taker.taken - warm
    cpu = per_piece(before, cpu_of_trees(roots), done)
    return Result(
        name=f"intake engine ×{BATCH}",
        value=done / elapsed,
        unit="payments",
        latency=latency_of(taker.took),
        cpu_us={"postgres": cpu["postgres"], "python": cpu["load generator"]},
        extra={"pieces": done, "seconds": round(elapsed, 2), "note": "latency is of a batch"},
    )
