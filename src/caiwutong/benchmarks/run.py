"""One run of the benches on a data folder of its own, which is deleted afterwards.

Baseline, engines alone (ledger, intake engine), baseline, the whole house (life cycle, intake),
baseline: each bench stands beside the mean of the baselines before and after it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from caiwutong.benchmarks import baseline
from caiwutong.benchmarks.engine import bench_engine
from caiwutong.benchmarks.house import NETTING_S, House
from caiwutong.benchmarks.intake import bench_intake
from caiwutong.benchmarks.ledger import bench_ledger
from caiwutong.benchmarks.lifecycle import bench_lifecycle
from caiwutong.benchmarks.plan import Plan
from caiwutong.benchmarks.results import Result, machine
from caiwutong.cli.up import everything
from caiwutong.engines import Engines, PostgresEngine
from caiwutong.engines.home import erase, free_port
from caiwutong.settings import Settings
from caiwutong.wiring import open_services

Tell = Callable[[str], None]


async def run(plan: Plan, tell: Tell) -> dict[str, Any]:
    """What ``caiwutong bench --json`` prints."""
    with new_folder() as folder:
        return await _run(plan, settings_for(folder), tell)


@contextmanager
def new_folder() -> Generator[Path]:
    """An empty data folder, deleted afterwards with all its engines kept; root's can be entered by
    the account its engines run as."""
    folder = Path(tempfile.mkdtemp(prefix="caiwutong-bench-"))
    if os.geteuid() == 0:
        folder.chmod(0o755)
    try:
        yield folder / "data"
    finally:
        erase(folder / "data")
        erase(folder)


async def _run(plan: Plan, settings: Settings, tell: Tell) -> dict[str, Any]:
    results: list[dict[str, Any]] = []
    async with Engines(settings.data_dir) as engines:
        shown = await baseline.shown_settings(engines.database_url)
        where = machine(shown)
        tell("Filling pgbench's tables …")
        await baseline.make(_postgres(engines), plan.scale)
        before = await _baseline(engines, plan, tell)
        results.append(before.shown(before.value))
        if {"ledger", "intake"} & {*plan.benches}:
            rows = await _engines_alone(engines, settings, plan, tell)
            after = await _baseline(engines, plan, tell)
            results += _beside(rows, before, after)
            before = after
    if {"lifecycle", "intake"} & {*plan.benches}:
        rows = await whole_house(settings, plan, tell)
        async with Engines(settings.data_dir) as engines:
            after = await _baseline(engines, plan, tell)
        results += _beside(rows, before, after)
    return {"machine": where, "results": results}


def _beside(rows: Sequence[Result], before: Result, after: Result) -> list[dict[str, Any]]:
    tps = (before.value + after.value) / 2
    return [*(row.shown(tps) for row in rows), after.shown(after.value)]


async def _baseline(engines: Engines, plan: Plan, tell: Tell) -> Result:
    tell("pgbench TPC-B …")
    return await baseline.measure(_postgres(engines), _postgres_pid(engines), plan.seconds)


async def _engines_alone(
    engines: Engines, settings: Settings, plan: Plan, tell: Tell
) -> list[Result]:
    rows: list[Result] = []
    if "ledger" in plan.benches:
        tell("Ledger …")
        url = await baseline.make_database(_postgres(engines), "bench_ledger")
        rows += await bench_ledger(url, _postgres_pid(engines), plan.seconds)
    if "intake" in plan.benches:
        tell("Intake engine …")
        rows.append(await bench_engine(engines, settings, plan.seconds))
    return rows


async def whole_house(settings: Settings, plan: Plan, tell: Tell) -> list[Result]:
    """The rows measured on the running house."""
    rows: list[Result] = []
    async with _house(settings) as house:
        if "lifecycle" in plan.benches:
            tell("Life cycle over IBPS …")
            rows.append(await bench_lifecycle(house, "ibps", plan.payments))
            tell("Life cycle over BEPS …")
            rows.append(await bench_lifecycle(house, "beps", plan.payments))
            tell("Life cycle over bank_direct …")
            rows.append(await bench_lifecycle(house, "bank_direct", max(1, plan.payments // 3)))
        if "intake" in plan.benches:
            tell("Intake over HTTP …")
            rows += await bench_intake(
                house, plan.connections, plan.seconds, own_generator=plan.own_generator
            )
    return rows


@asynccontextmanager
async def _house(settings: Settings) -> AsyncGenerator[House]:
    async with (
        everything(settings, netting_s=NETTING_S, beps_round_s=NETTING_S) as engines,
        open_services(settings, engines.urls, name="bench", pool=2) as services,
    ):
        yield House(settings=settings, engines=engines, services=services)


def settings_for(data: Path) -> Settings:
    """This folder and a free port."""
    return Settings(data_dir=data, port=free_port())


def _postgres(engines: Engines) -> PostgresEngine:
    assert engines.postgres is not None
    return engines.postgres


def _postgres_pid(engines: Engines) -> int:
    return next(h.pid for h in engines.supervisor.health() if h.name == "postgres")
