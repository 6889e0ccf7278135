"""The benches at their smallest: they end, they print what they promise, and their proofs hold.

No figure is judged here: this machine may be busy.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest

from caiwutong.benchmarks import baseline
from caiwutong.benchmarks.load import has_wrk
from caiwutong.benchmarks.plan import Plan
from caiwutong.benchmarks.results import Latency, Result, latency_of, table
from caiwutong.benchmarks.run import new_folder, run, settings_for, whole_house
from caiwutong.kernel.errors import Broken
from support.engines import EngineSession

pytestmark = [pytest.mark.engine, pytest.mark.slow]

ROW = {
    "name", "value", "unit", "baseline", "baseline_value", "ratio", "mean_ms", "p50_ms", "p99_ms",
    "cpu_us",
}  # fmt: skip
COMPONENTS = {"postgres", "nats", "sandbox", "worker", "api", "load generator"}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """One run of everything, with the generator that every machine has."""
    before = _running()
    plan = Plan(seconds=1, connections=(8,), payments=30, scale=1, own_generator=True)
    return asyncio.run(run(plan, lambda words: None)) | {"before": before}


def _running() -> set[Path]:
    """Benches of this machine whose engines run: others' may, ours may not."""
    return set(Path(tempfile.gettempdir()).glob("caiwutong-bench-*/data/run/engines.json"))


def row(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in found["results"] if row["name"].startswith(name))


def test_the_machine_is_told_and_its_database_is_durable(found: dict[str, Any]) -> None:
    where = found["machine"]
    assert where["cores"] >= 1
    assert where["postgresql"].startswith("18")
    assert where["durability"] == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
    }


def test_every_row_stands_beside_the_baseline(found: dict[str, Any]) -> None:
    for each in found["results"]:
        assert each.keys() >= ROW, each["name"]
        assert each["value"] > 0 and each["baseline_value"] > 0 and each["ratio"] >= 0


def test_each_bench_gives_its_rows_between_two_baselines(found: dict[str, Any]) -> None:
    names = [each["name"] for each in found["results"]]
    assert names == [
        "pgbench TPC-B",
        "ledger transfers ×4,000",
        "ledger hot account ×4,000",
        "ledger reserve + post ×4,000",
        "intake engine ×256",
        "pgbench TPC-B",
        "life cycle ibps",
        "life cycle beps",
        "life cycle bank_direct",
        "intake 8 connections",
        "backlog after intake",
        "pgbench TPC-B",
    ]


def test_the_intake_row_counts_answers_and_what_they_cost(found: dict[str, Any]) -> None:
    intake = row(found, "intake 8")
    assert intake["errors"] == 0
    assert intake["accepted_202"] > 0
    assert intake["cut_off_at_the_end"] == 0  # our own generator waits for every answer
    assert intake["cpu_us"].keys() == COMPONENTS
    assert "own" in intake["generator"]


def test_the_life_cycle_row_says_under_which_clock(found: dict[str, Any]) -> None:
    ibps = row(found, "life cycle ibps")
    assert (ibps["pieces"], ibps["netting_s"], ibps["clock_scale"]) == (30, 2.0, 1)
    assert 0 < ibps["p50_ms"] <= ibps["p99_ms"]


def test_people_get_one_table(found: dict[str, Any]) -> None:
    shown = table(found)
    for each in found["results"]:
        assert each["name"] in shown
    assert "fsync on" in shown


def test_nothing_is_left_behind(found: dict[str, Any]) -> None:
    assert _running() <= found["before"]


@pytest.mark.skipif(not has_wrk(), reason="wrk is not on this machine")
async def test_wrk_sends_what_was_signed_beforehand() -> None:
    plan = Plan(benches=["intake"], seconds=3, connections=(8,))
    with new_folder() as folder:
        intake, _ = await whole_house(settings_for(folder), plan, lambda words: None)
    assert intake.extra["generator"] == "wrk"
    assert intake.extra["accepted_202"] > 0
    assert 0 <= intake.extra["cut_off_at_the_end"] <= 8


async def test_a_server_that_may_lose_data_is_not_measured(engines: EngineSession) -> None:
    with pytest.raises(Broken) as raised:
        await baseline.shown_settings(engines.postgres.url)
    assert raised.value.code == "bench.not_durable"


def test_latency_names_the_value_that_ninety_nine_in_a_hundred_do_not_exceed() -> None:
    assert latency_of([n / 1024 for n in range(1, 129)]) == Latency(
        1000 * 64.5 / 1024, 1000 * 64 / 1024, 1000 * 127 / 1024
    )
    assert latency_of([]) is None


def test_a_ratio_is_value_over_baseline() -> None:
    shown = Result(name="x", value=300.0, unit="payments").shown(150.0)
    assert (shown["ratio"], shown["baseline_value"]) == (2.0, 150.0)
