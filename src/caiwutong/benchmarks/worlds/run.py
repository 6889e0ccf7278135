"""Runs a world: every policy over the same payments, the same faults and the same luck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from caiwutong.benchmarks.worlds.hub import Hub, Policy, Record
from caiwutong.benchmarks.worlds.model import Scoring, World
from caiwutong.benchmarks.worlds.oracle import Losses, Oracle
from caiwutong.benchmarks.worlds.policies import BASELINES, AlwaysIbps, House
from caiwutong.benchmarks.worlds.score import Measures, city_arrival, gap_closed, measure
from caiwutong.benchmarks.worlds.traffic import Payment, Ways, payments
from caiwutong.benchmarks.worlds.truth import Truth
from caiwutong.routing.conditions import CatalogConditions
from caiwutong.routing.model import FeeBand, Profile
from caiwutong.routing.policy import HOUSE, Units, Weights
from caiwutong.routing.policy import Policy as Rules

Tell = Callable[[str], None]


class Outcome(msgspec.Struct, frozen=True):
    """One world under one seed."""

    world: str
    seed: int
    house: Measures
    baselines: dict[str, Measures]
    oracle: Measures
    static: Measures
    """Always IBPS without failover: what an enterprise has that sends and waits."""
    gap: float | None
    city: dict[str, Any]


class Stage:
    """A world set up once for all policies."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.truth = Truth(world, seed)
        self.payments: Sequence[Payment] = payments(world, seed)
        self.ways = Ways(world, seed)
        self.fees = _fees(self.truth, world)
        self.losses = Losses(self.truth)
        self.best: dict[int, float] = {}

    def play(self, policy: Policy, *, failover: bool = True) -> tuple[Measures, list[Record]]:
        """One policy over this world."""
        records = Hub(self.truth, self.payments, self.ways, policy, failover=failover).run()
        if isinstance(policy, Oracle):
            self.best = policy.best
        found = measure(
            self.payments, records, self.fees, self.world.scoring,
            losses=self.losses if self.best else None, best=self.best,
        )  # fmt: skip
        return found, records

    def oracle(self) -> Oracle:
        return Oracle(self.truth, self.payments, self.losses)


def rules_for(scoring: Scoring, rules: Rules = HOUSE) -> Rules:
    """The rules with the world's objective as their weights: what is to be reached is public."""
    weights = Weights(scoring.failure, scoring.arrival, scoring.fee, scoring.freeze)
    urgent = msgspec.structs.replace(weights, arrival=scoring.urgent_arrival)
    return msgspec.structs.replace(
        rules,
        weights=dict(rules.weights) | {Profile.NORMAL: weights, Profile.URGENT: urgent},
        units=Units(
            scoring.failure_unit, scoring.arrival_unit, scoring.fee_unit_fen, scoring.freeze_unit
        ),
    )


def run_world(world: World, seed: int, tell: Tell) -> Outcome:
    """Every policy over this world."""
    tell(f"{world.name}, seed {seed}: {world.traffic.payments:,} payments")
    stage = Stage(world, seed)
    oracle, _ = stage.play(stage.oracle())
    tell(f"  oracle: loss {oracle.loss:.3f}")
    baselines: dict[str, Measures] = {}
    generic: list[Record] = []
    for name, make in BASELINES.items():
        found, records = stage.play(make(seed))
        if name == "always_ibps":
            generic = records
        baselines[name] = found
        tell(f"  {name}: loss {found.loss:.3f}")
    house, records = stage.play(House(rules_for(world.scoring)))
    tell(f"  house: loss {house.loss:.3f}")
    static, _ = stage.play(AlwaysIbps(), failover=False)
    return Outcome(
        world=world.name,
        seed=seed,
        house=house,
        baselines=baselines,
        oracle=oracle,
        static=static,
        gap=gap_closed(house, list(baselines.values()), oracle),
        city=city_arrival(stage.payments, records, generic),
    )


def _fees(truth: Truth, world: World) -> dict[tuple[str, str], Sequence[FeeBand]]:
    known = CatalogConditions(truth.catalog(truth.start))
    at = datetime.fromtimestamp(truth.start, UTC)
    return {
        (mode.rpartition("/")[2], own.bank): known.standing(mode, own.bank, "", at).fees
        for own in world.own_banks
        for mode in own.modes
    }
