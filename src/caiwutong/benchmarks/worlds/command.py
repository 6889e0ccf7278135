"""What ``caiwutong bench routing`` prints: rows beside their baselines, bars, every figure.

All arrival, failure and freeze figures are simulated. The cost of a decision is measured on this
machine, in CPU time, which neighbours on the same cores disturb least.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from caiwutong.benchmarks.results import cpu_model
from caiwutong.benchmarks.worlds.default import FOLDER, SHIPPED
from caiwutong.benchmarks.worlds.hub import Policy
from caiwutong.benchmarks.worlds.model import World, read_world
from caiwutong.benchmarks.worlds.policies import Bandit, House
from caiwutong.benchmarks.worlds.run import Outcome, Stage, Tell, run_world
from caiwutong.benchmarks.worlds.score import Measures
from caiwutong.routing.model import Ask, Profile

GAP_BAR, FINAL_BAR, COST_BAR_US = 0.90, 0.0015, 50.0
BATCH = 200


def run_routing(paths: Sequence[Path], seed: int, payments: int | None, tell: Tell) -> Any:
    """Every policy over each world; the shipped worlds when none is named. ``payments`` replaces
    the number in the file, for a shorter run."""
    named = paths or [FOLDER / name for name in SHIPPED]
    worlds = [shortened(read_world(path), payments) for path in named]
    where = _machine()
    results: list[dict[str, Any]] = []
    outcomes: list[Any] = []
    for world in worlds:
        outcome = run_world(world, seed, tell)
        results += _rows(outcome, internal=world.traffic.internal)
        outcomes.append(msgspec.to_builtins(outcome))
    results.append(decision_cost(worlds[0], seed))
    return {
        "machine": where,
        "seed": seed,
        "simulated": True,
        "results": results,
        "worlds": outcomes,
    }


def shortened(world: World, payments: int | None) -> World:
    """The same world with another number of payments."""
    if payments is None:
        return world
    traffic = msgspec.structs.replace(world.traffic, payments=payments)
    return msgspec.structs.replace(world, traffic=traffic)


def decision_cost(world: World, seed: int, rounds: int = 20) -> dict[str, Any]:
    """CPU microseconds of a decision in batches of 200, by beliefs that have learnt, beside the
    plain bandit on the same asks: the middle one of the rounds, each with payments it has not
    seen before and with nothing kept from the round before but candidates and catalog answers."""
    learnt = shortened(world, min(world.traffic.payments, 4_000))
    stage = Stage(learnt, seed)
    house, bandit = House(), Bandit(seed)
    stage.play(house)
    stage.play(bandit)
    asks = [
        (
            Ask(
                key=f"c{p.number}", amount_fen=p.amount_fen, payee_bank=p.payee_bank,
                payee_kind=p.payee_kind,
                profile=Profile.URGENT if p.urgent else Profile.NORMAL,
            ),
            stage.ways.of(p.entity, p.payee_bank),
        )
        for p in stage.payments
    ]  # fmt: skip
    at = stage.truth.start + 3 * 86_400.0 + 10 * 3_600.0
    costs = [_cost(policy, asks, at, rounds) for policy in (house, bandit)]
    ways = sum(len(candidates) for _, candidates in asks) / len(asks)
    return {
        "name": f"decision in batches of {BATCH}",
        "value": round(costs[0], 1),
        "unit": "µs CPU a payment",
        "baseline": "Beta-Thompson bandit",
        "baseline_value": round(costs[1], 1),
        "ratio": round(costs[0] / costs[1], 2) if costs[1] else 0.0,
        "bar": COST_BAR_US,
        "reached": costs[0] <= COST_BAR_US,
        "candidates": round(ways, 1),
    }


def _cost(policy: Policy, asks: Sequence[Any], at: float, rounds: int) -> float:
    policy.choose_many(asks, at)  # candidates and catalog are known to a house that runs
    spent: list[float] = []
    for number in range(rounds):
        start = number * BATCH % max(1, len(asks) - BATCH)
        batch = asks[start : start + BATCH]
        before = time.process_time()
        policy.choose_many(batch, at + 1.0 + number)
        spent.append((time.process_time() - before) / max(1, len(batch)) * 1e6)
    return sorted(spent)[len(spent) // 2]


def _rows(outcome: Outcome, *, internal: bool) -> list[dict[str, Any]]:
    house, oracle, static = outcome.house, outcome.oracle, outcome.static
    best_name, best = min(outcome.baselines.items(), key=lambda each: each[1].loss)
    fastest = outcome.baselines["fastest"]
    world = outcome.world
    gap = outcome.gap
    rows = [
        _row(f"{world}: loss", house.loss, "loss", best_name, best.loss, oracle=oracle.loss),
        _row(
            f"{world}: share of the gap from best baseline to oracle",
            gap if gap is not None else 0.0, "share", best_name, 0.0,
            bar=GAP_BAR, reached=gap is not None and gap >= GAP_BAR, counts=not internal,
        ),
        _row(
            f"{world}: final failure, payee data faults apart", 100 * house.final_failure, "%",
            "always IBPS without failover", 100 * static.final_failure,
            bar=100 * FINAL_BAR, reached=house.final_failure <= FINAL_BAR,
        ),
        _row(
            f"{world}: frozen payments", float(house.freezes), "payments", "fastest first",
            float(fastest.freezes), oracle=oracle.freezes,
        ),
        _row(
            f"{world}: double payments", float(house.double_payments), "payments", best_name,
            float(best.double_payments), bar=0, reached=house.double_payments == 0,
        ),
        _row(
            f"{world}: arrival at city banks, median (simulated)", outcome.city["p50_s"], "s",
            "always IBPS", outcome.city["generic_p50_s"], ways=outcome.city["ways"],
        ),
    ]  # fmt: skip
    everyone = {"house": house, "oracle": oracle, "static": static} | outcome.baselines
    rows += [
        _row(f"{world}: {name}, loss", m.loss, "loss", "oracle", oracle.loss, **_shown(m))
        for name, m in everyone.items()
    ]
    return rows


def _row(
    name: str, value: float, unit: str, baseline: str, baseline_value: float, **more: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 4),
        "unit": unit,
        "baseline": baseline,
        "baseline_value": round(baseline_value, 4),
        "ratio": round(value / baseline_value, 4) if baseline_value else None,
        **more,
    }


def _shown(measures: Measures) -> dict[str, Any]:
    return msgspec.to_builtins(measures)


def _machine() -> dict[str, Any]:
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def words(found: Any) -> str:
    """The run for people."""
    lines: list[str] = []
    for world in found["worlds"]:
        lines += ["", f"{world['world']}, seed {world['seed']} (simulated)"]
        lines.append(
            f"  {'policy':<12}{'loss':>8}{'first fail':>12}{'final fail':>12}"
            f"{'urgent p50/p95 s':>20}"
            f"{'normal p50/p95 s':>20}{'fee':>7}{'frozen':>8}{'double':>8}{'regret':>8}"
        )
        everyone = {"house": world["house"], "oracle": world["oracle"], "static": world["static"]}
        for name, m in (everyone | world["baselines"]).items():
            urgent = f"{m['urgent_p50_s']:.1f}/{m['urgent_p95_s']:.0f}"
            normal = f"{m['normal_p50_s']:.1f}/{m['normal_p95_s']:.0f}"
            lines.append(
                f"  {name:<12}{m['loss']:>8.3f}{m['first_failure']:>12.3%}"
                f"{m['final_failure']:>12.3%}"
                f"{urgent:>20}{normal:>20}{m['fee_yuan']:>7.2f}{m['freezes']:>8}"
                f"{m['double_payments']:>8}{m['regret'] or 0:>8.3f}"
            )
    for row in found["results"]:
        if "bar" in row and row.get("counts", True):
            mark = "reached" if row["reached"] else "NOT REACHED"
            lines.append(f"{row['name']}: {row['value']} {row['unit']} (bar {row['bar']}: {mark})")
    return "\n".join(lines).strip()
