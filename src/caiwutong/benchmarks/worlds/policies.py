"""The policies that are compared: the house's own routing, and the five baselines.

None of them can reach a ``Truth``: they are given asks, candidates, catalogs and observations. The
baselines keep the same hard filters (hours, limits, announced outages, what gave a no already) and
the same failover, so that they differ from the house in what they choose and in nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

from caiwutong.benchmarks.worlds.hub import Choice
from caiwutong.kernel.errors import Refusal
from caiwutong.rails.catalog import Catalog
from caiwutong.routing.beliefs import Beliefs, Observation, Outcome
from caiwutong.routing.conditions import TYPICAL_S, CatalogConditions
from caiwutong.routing.decide import Router
from caiwutong.routing.judge import fee_of
from caiwutong.routing.learning import learn_many
from caiwutong.routing.model import Ask, Candidate, Later, Standing
from caiwutong.routing.policy import HOUSE
from caiwutong.routing.policy import Policy as Rules

NOMINAL_S: Mapping[str, float] = dict(TYPICAL_S) | {"third_party": 1.5, "beps": 900.0}
"""What each channel promises, as everybody may know it."""


class House:
    """The production router and the production learning; nothing is made for the benchmark."""

    def __init__(self, rules: Rules = HOUSE, beliefs: Beliefs | None = None) -> None:
        self.name = rules.name
        self.rules = rules
        self.beliefs = beliefs or Beliefs()
        self._router = Router(CatalogConditions(Catalog(())), rules)

    def know(self, catalog: Catalog) -> None:
        self._router = Router(CatalogConditions(catalog, NOMINAL_S), self.rules)

    def learn_many(self, observations: Sequence[Observation]) -> None:
        self.beliefs = learn_many(self.beliefs, observations)

    def choose_many(
        self, asks: Sequence[tuple[Ask, Sequence[Candidate]]], now: float
    ) -> list[Choice]:
        answers = self._router.decide_many(asks, self.beliefs, datetime.fromtimestamp(now, UTC))
        choices: list[Choice] = []
        for answer in answers:
            if isinstance(answer, Refusal):
                choices.append(Choice(None))
            elif isinstance(answer, Later):
                choices.append(Choice(None, answer.at.timestamp()))
            else:
                choices.append(Choice(answer.chosen, 0.0, answer.explored, answer.score.arrival_s))
        return choices


class _Open:
    """The ways of one lane that may be used now, and when the next of the others opens."""

    __slots__ = ("until", "waiting", "ways")

    def __init__(
        self, candidates: Sequence[Candidate], payee: str, known: CatalogConditions, now: float
    ) -> None:
        moment = datetime.fromtimestamp(now, UTC)
        self.until = float("inf")
        self.ways: list[tuple[Candidate, Standing]] = []
        self.waiting: list[tuple[float, Candidate, Standing]] = []
        for way in candidates:
            standing = known.standing(way.mode, way.bank, payee, moment)
            if standing.until is not None:
                self.until = min(self.until, standing.until.timestamp())
            if standing.unknown is not None:
                continue
            if standing.closed is None:
                self.ways.append((way, standing))
            elif standing.opens_at is not None:
                self.waiting.append((standing.opens_at.timestamp(), way, standing))


class Baseline:
    """Takes the first of the allowed ways in an order of its own."""

    name = ""

    def __init__(self) -> None:
        self._known = CatalogConditions(Catalog(()))
        self._lanes: dict[tuple[int, str], _Open] = {}

    def know(self, catalog: Catalog) -> None:
        self._known = CatalogConditions(catalog, NOMINAL_S)
        self._lanes.clear()

    def learn_many(self, observations: Sequence[Observation]) -> None:
        """Most learn nothing."""

    def choose_many(
        self, asks: Sequence[tuple[Ask, Sequence[Candidate]]], now: float
    ) -> list[Choice]:
        return [self._choose(ask, candidates, now) for ask, candidates in asks]

    def _choose(self, ask: Ask, candidates: Sequence[Candidate], now: float) -> Choice:
        key = (id(candidates), ask.payee_bank)
        lane = self._lanes.get(key)
        if lane is None or now >= lane.until:
            lane = self._lanes[key] = _Open(candidates, ask.payee_bank, self._known, now)
        amount, tried = ask.amount_fen, ask.tried
        fit = [
            (way, standing)
            for way, standing in lane.ways
            if (standing.limit_fen is None or amount <= standing.limit_fen)
            and (not tried or way.key not in tried)
        ]
        if fit:
            return Choice(self.pick(ask, fit))
        opens = [
            at
            for at, way, standing in lane.waiting
            if (standing.limit_fen is None or amount <= standing.limit_fen) and way.key not in tried
        ]
        return Choice(None, min(opens)) if opens else Choice(None)

    def pick(self, ask: Ask, fit: list[tuple[Candidate, Standing]]) -> Candidate:
        """One of these."""
        raise NotImplementedError


class AlwaysIbps(Baseline):
    """IBPS, and HVPS above its limit; what is left only after those gave a no. The generic way."""

    name = "always IBPS"
    _ORDER: ClassVar = {
        "ibps": 0,
        "hvps": 1,
        "beps": 2,
        "bank_file": 3,
        "third_party": 4,
        "book": 5,
    }

    def pick(self, ask: Ask, fit: list[tuple[Candidate, Standing]]) -> Candidate:
        return min(fit, key=lambda each: self._ORDER.get(each[0].clearing, 9))[0]


class Cheapest(Baseline):
    """The lowest fee by the tariffs; of equals the one that promises to be fastest."""

    name = "cheapest first"

    def pick(self, ask: Ask, fit: list[tuple[Candidate, Standing]]) -> Candidate:
        amount = ask.amount_fen
        return min(fit, key=lambda e: (fee_of(e[1].fees, amount), e[1].typical_seconds))[0]


class Fastest(Baseline):
    """The shortest promised arrival; of equals the cheapest."""

    name = "fastest first"

    def pick(self, ask: Ask, fit: list[tuple[Candidate, Standing]]) -> Candidate:
        amount = ask.amount_fen
        return min(fit, key=lambda e: (e[1].typical_seconds, fee_of(e[1].fees, amount)))[0]


class RoundRobin(Baseline):
    """Each allowed way in turn."""

    name = "round-robin"

    def __init__(self) -> None:
        super().__init__()
        self._turn = 0

    def pick(self, ask: Ask, fit: list[tuple[Candidate, Standing]]) -> Candidate:
        self._turn += 1
        return fit[self._turn % len(fit)][0]


class Bandit(Baseline):
    """The plain success-rate bandit: one Beta posterior for each mode, Thompson sampling."""

    name = "Beta-Thompson bandit"

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._rng = random.Random(f"bandit:{seed}")
        self._counts: dict[str, list[float]] = {}

    def learn_many(self, observations: Sequence[Observation]) -> None:
        for seen in observations:
            if seen.outcome in (Outcome.DATA_FAULT, Outcome.OVERDUE):
                continue
            counts = self._counts.setdefault(seen.mode, [1.0, 1.0])
            counts[1 if seen.outcome is Outcome.REJECTED else 0] += 1.0

    def pick(self, ask: Ask, fit: list[tuple[Candidate, Standing]]) -> Candidate:
        draws: dict[str, float] = {}
        for way, _ in fit:
            mode = way.mode
            if mode not in draws:
                draws[mode] = self._rng.betavariate(*self._counts.get(mode, (1.0, 1.0)))
        return max(fit, key=lambda each: draws[each[0].mode])[0]


BASELINES: Mapping[str, Callable[[int], Baseline]] = {
    "always_ibps": lambda seed: AlwaysIbps(),
    "cheapest": lambda seed: Cheapest(),
    "fastest": lambda seed: Fastest(),
    "bandit": Bandit,
    "round_robin": lambda seed: RoundRobin(),
}
