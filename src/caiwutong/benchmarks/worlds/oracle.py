"""The oracle: knows every parameter and the outages to come, and takes the least expected loss.

It is the yardstick's upper end, not a policy one could run; it is the only chooser that is given a
``Truth``. It cannot know a payment's luck.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from caiwutong.benchmarks.worlds.hub import Choice
from caiwutong.benchmarks.worlds.policies import Baseline
from caiwutong.benchmarks.worlds.traffic import Payment
from caiwutong.benchmarks.worlds.truth import DAY_S, Truth
from caiwutong.routing.judge import fee_of
from caiwutong.routing.model import Ask, Candidate, FeeBand, Standing

_RETRY_LOG = math.log10(1.0 + 30.0)
"""Arrival of a payment whose first try failed: some seconds until the no, then another way."""

_NODES = (-2.0, -1.0, 0.0, 1.0, 2.0)
_NODE_WEIGHTS = tuple(w / 2.4836 for w in (0.1353, 0.6065, 1.0, 0.6065, 0.1353))


class Losses:
    """The expected loss of each way, by the truth: what regret is counted in."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        scoring = truth.world.scoring
        self._per_failure = scoring.failure / scoring.failure_unit
        self._per_fee = scoring.fee / scoring.fee_unit_fen
        self._per_freeze = scoring.freeze / scoring.freeze_unit
        self._per_arrival = scoring.arrival / scoring.arrival_unit
        self._per_urgent = scoring.urgent_arrival / scoring.arrival_unit
        self._logs: dict[tuple[str, str], float] = {}

    def of(
        self, payment: Payment, way: Candidate, fees: Sequence[FeeBand], at: float
    ) -> float:  # fmt: skip
        """The expected loss of sending it this way now."""
        truth, bank, clearing = self._truth, payment.payee_bank, way.clearing
        freeze = 0.0
        if truth.down(way, bank, at) is not None:
            failure, log = 1.0, _RETRY_LOG
        else:
            ends, executed = truth.silent_until(way, bank, at)
            if ends:
                failure, log = 1.0 - executed, math.log10(1.0 + ends - at)
            else:
                failure = truth.failure(clearing, bank, at)
                freeze = (1.0 - failure) * truth.freeze(clearing, payment.amount_fen)
                log = failure * _RETRY_LOG + (1.0 - failure) * self._log(clearing, bank, at)
                log += freeze * (math.log10(2.0 * DAY_S) - log)
        return (
            self._per_failure * failure
            + (self._per_urgent if payment.urgent else self._per_arrival) * log
            + self._per_fee * fee_of(fees, payment.amount_fen) * (1.0 - failure)
            + self._per_freeze * freeze
        )

    def _log(self, clearing: str, bank: str, at: float) -> float:
        law = self._truth.arrival(clearing, bank)
        wait = self._truth.round_wait(clearing, bank, at + law.median_s)
        if wait:
            return math.log10(1.0 + law.median_s + wait)
        found = self._logs.get((clearing, bank))
        if found is None:
            found = self._logs[(clearing, bank)] = sum(
                weight * math.log10(1.0 + law.median_s * math.exp(law.sigma * node))
                for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True)
            )
        return found


class Oracle(Baseline):
    """Least expected loss by the truth. ``best`` keeps it for each payment's first try."""

    name = "oracle"

    def __init__(self, truth: Truth, payments: Sequence[Payment], losses: Losses) -> None:
        super().__init__()
        self._truth = truth
        self._payments = payments
        self._losses = losses
        self._at = 0.0
        self.best: dict[int, float] = {}

    def choose_many(
        self, asks: Sequence[tuple[Ask, Sequence[Candidate]]], now: float
    ) -> list[Choice]:
        self._at = now
        return super().choose_many(asks, now)

    def pick(self, ask: Ask, fit: list[tuple[Candidate, Standing]]) -> Candidate:
        payment = self._payments[int(ask.key[1:])]
        least, chosen = math.inf, fit[0][0]
        seen: set[tuple[str, str, str]] = set()
        for way, standing in fit:
            same = (way.rail, way.flag, way.bank)
            if same in seen:
                continue
            seen.add(same)
            loss = self._losses.of(payment, way, standing.fees, self._at)
            if loss < least:
                least, chosen = loss, way
        if not ask.tried:
            self.best.setdefault(payment.number, least)
        return chosen
