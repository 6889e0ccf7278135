"""Learning: beliefs and an observation give new beliefs. Pure; see ``beliefs`` for the model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from caiwutong.routing.beliefs import (
    DAY_S,
    EMPTY,
    HALF,
    LEVELS,
    NESTED,
    Beliefs,
    Cell,
    Observation,
    Outcome,
    band_of,
    moment,
    trust_of,
)

Key = tuple[str, ...]

_SURE = 6.0
"""How far the log odds of two shapes may go: the world may change."""

HALF_A_FREEZE = 0.5
"""What an overdue payment counts for until its end is known."""


def learn(beliefs: Beliefs, observation: Observation) -> Beliefs:
    """What is believed after one more observation."""
    return learn_many(beliefs, (observation,))


def learn_many(beliefs: Beliefs, observations: Sequence[Observation]) -> Beliefs:
    """What is believed after these observations, in order."""
    if not observations:
        return beliefs
    lesson = _Lesson(beliefs)
    for observation in observations:
        lesson.take(observation)
    return Beliefs(beliefs.priors, lesson.cells, beliefs.seen + len(observations))


class _Lesson:
    """One round of learning over a copy of the cells."""

    __slots__ = ("cells", "days", "priors")

    def __init__(self, beliefs: Beliefs) -> None:
        self.priors = beliefs.priors
        self.cells: dict[Key, Cell] = dict(beliefs.cells)
        self.days = -1.0 / (self.priors.half_life_days * DAY_S)

    def take(self, seen: Observation) -> None:
        at = seen.at.timestamp()
        self._freezes(seen, at)
        if seen.outcome is Outcome.OVERDUE:
            self._silence(seen, at)
            return
        failed = seen.outcome is Outcome.REJECTED
        self._failures(seen, at, failed)
        if seen.arrival_s is not None:
            value = math.log1p(seen.arrival_s)
            self._add(("a", seen.clearing, "kind", seen.payee_kind), value, 1.0, at)
            self._add(("a", seen.clearing, "bank", seen.payee_bank), value, 1.0, at)

    def _failures(self, seen: Observation, at: float, failed: bool) -> None:
        priors, cells, days = self.priors, self.cells, self.days
        clearing, then = seen.clearing, moment(seen.sent_at)
        keys: tuple[Key, ...] = (
            ("f", clearing),
            ("f", clearing, "kind", seen.payee_kind),
            ("f", clearing, "bank", seen.payee_bank),
            ("f", clearing, "hour", then.hour),
            ("f", clearing, "end", then.end),
            ("f", clearing, "band", str(band_of(seen.amount_fen))),
            ("f", seen.mode, "own", seen.bank),
        )
        *weights, scale = trust_of(self, clearing)
        faded: list[Cell] = []
        factors: list[float] = []
        spread: list[tuple[float, float]] = []
        for place, key in enumerate(keys):
            cell = cells.get(key, EMPTY)
            left = 2.0 ** ((at - cell[2]) * days) if at > cell[2] else 1.0
            s, e = cell[0] * left, cell[1] * left
            faded.append(Cell(s, e, max(at, cell[2])))
            if place >= NESTED:
                e *= scale
            loose = (priors.loose[place] + s) / (priors.loose[place] + e)
            tight = (priors.tight[place] + s) / (priors.tight[place] + e)
            spread.append((loose, tight))
            factors.append(weights[place] * tight + (1.0 - weights[place]) * loose)
        base = priors.failure.get(clearing, priors.other_failure)
        cross = factors[3] * factors[4] * factors[5] * factors[6]
        above = base, base * factors[0], base * factors[0] * factors[1]
        nested = above[2] * factors[2]
        normal = min(nested * cross, 0.9)
        # What an outage explains does not count against the way's ordinary rate.
        weight = 1.0 - self._outage(seen, at, normal, failed)
        if weight <= 0.0:
            return
        hit = weight if failed else 0.0
        for place, (key, cell) in enumerate(zip(keys, faded, strict=True)):
            due = weight * (above[place] * cross if place < NESTED else nested)
            cells[key] = Cell(cell.s + hit, cell.e + due, cell.at)
            if place:
                rest = above[place] * cross if place < NESTED else normal / factors[place]
                self._compare(("k", clearing, LEVELS[place]), hit, weight * rest, spread[place])
        self._add(("t", clearing), hit, weight * nested, at)
        if seen.explored:
            self._add(("x",), hit, normal, at)

    def _compare(self, key: Key, hit: float, rest: float, factors: tuple[float, float]) -> None:
        """Which of two shapes foretold this outcome better: the difference in log likelihood."""
        loose, tight = factors
        gain = rest * (loose - tight)
        if hit:
            gain += hit * math.log(tight / loose)
        before = self.cells.get(key, EMPTY).s
        self.cells[key] = Cell(min(max(before + gain, -_SURE), _SURE), 0.0, 0.0)

    def _outage(self, seen: Observation, at: float, normal: float, failed: bool) -> float:
        """Update both chains; the probability that an outage explains what was seen."""
        fails = self.priors.down_fails
        towards, own = self._pair(seen)
        before = self._down(towards, at), self._down(own, at)
        if seen.was_overdue:
            return max(before) if failed else 0.0  # old news: it says nothing of now
        after: list[float] = []
        for key, mine, other in ((towards, *before), (own, before[1], before[0])):
            if failed:
                down, up = fails, 1.0 - (1.0 - normal) * (1.0 - other * fails)
            else:
                down, up = 1.0 - fails, (1.0 - normal) * (1.0 - other * fails)
            after.append(self._set_down(key, mine, down, up, at))
        return 1.0 - (1.0 - after[0]) * (1.0 - after[1]) if failed else 0.0

    def _silence(self, seen: Observation, at: float) -> None:
        towards, own = self._pair(seen)
        before = self._down(towards, at), self._down(own, at)
        down = self.priors.silent_when_down
        for key, mine, other in ((towards, *before), (own, before[1], before[0])):
            up = self.priors.silent_when_up * (1.0 - other) + down * other
            self._set_down(key, mine, down, up, at)

    def _pair(self, seen: Observation) -> tuple[Key, Key]:
        return ("d", seen.clearing, seen.payee_bank), ("d", seen.mode, "own", seen.bank)

    def _down(self, key: Key, at: float) -> float:
        share = self.priors.outage_share
        cell = self.cells.get(key)
        if cell is None:
            return share
        return share + (cell.s - share) * math.exp(-max(0.0, at - cell.at) / self.priors.outage_s)

    def _set_down(self, key: Key, before: float, down: float, up: float, at: float) -> float:
        after = before * down / (before * down + (1.0 - before) * up)
        after = min(max(after, 1e-6), 0.999)
        self.cells[key] = Cell(after, 0.0, at)
        return after

    def _freezes(self, seen: Observation, at: float) -> None:
        if seen.outcome is Outcome.REJECTED or seen.outcome is Outcome.DATA_FAULT:
            hit, tries = 0.0, 0.0
        else:
            hit, tries = (1.0 if seen.outcome is Outcome.FROZEN else 0.0), 1.0
        if seen.outcome is Outcome.OVERDUE:
            hit = HALF_A_FREEZE
        elif seen.was_overdue:
            hit, tries = hit - HALF_A_FREEZE, tries - 1.0
        if not hit and not tries:
            return
        band = band_of(seen.amount_fen)
        for key in (
            ("z", seen.clearing),
            ("z", seen.clearing, "half", "high" if band >= HALF else "low"),
            ("z", seen.clearing, "band", str(band)),
        ):
            self._add(key, hit, tries, at)

    def _add(self, key: Key, s: float, e: float, at: float) -> None:
        cell = self.cells.get(key, EMPTY)
        left = 2.0 ** ((at - cell.at) * self.days) if at > cell.at else 1.0
        self.cells[key] = Cell(
            max(0.0, cell.s * left + s), max(0.0, cell.e * left + e), max(at, cell.at)
        )


def overdue_after(expected_s: float) -> float:
    """Seconds after which an accepted payment without an end is overdue, given the arrival that
    was expected when it was sent."""
    return max(600.0, 8.0 * expected_s)
