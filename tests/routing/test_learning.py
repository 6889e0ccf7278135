"""Learning: the posterior converges, forgets, and tells being down from often failing."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from caiwutong.routing.beliefs import (
    Beliefs,
    Observation,
    Outcome,
    band_of,
    band_outlook,
    down,
    moment,
    payee_outlook,
    trust_of,
)
from caiwutong.routing.decide import decide, decide_many
from caiwutong.routing.learning import learn, learn_many
from caiwutong.routing.model import Decision, Later
from routing.scene import FakeCatalog, ask, candidate

START = datetime(2026, 3, 4, 2, 0, tzinfo=UTC)


def saw(
    outcome: Outcome,
    after_s: float = 0.0,
    clearing: str = "ibps",
    payee: str = "103",
    **more: object,
) -> Observation:
    at = START + timedelta(seconds=after_s)
    fields: dict[str, Any] = {
        "at": at, "sent_at": at, "mode": clearing, "clearing": clearing, "bank": "102",
        "payee_bank": payee, "payee_kind": "state", "amount_fen": 100_000, "outcome": outcome,
    }  # fmt: skip
    return Observation(**(fields | more))


def failure(beliefs: Beliefs, payee: str = "103", days: float = 0.0) -> float:
    now = moment(START + timedelta(days=days))
    return payee_outlook(beliefs, "ibps", payee, "state", now, trust_of(beliefs, "ibps")).failure


def lived(rate: float, count: int, seed: int = 1, **more: Any) -> Beliefs:
    rng = random.Random(seed)
    seen = [
        saw(Outcome.REJECTED if rng.random() < rate else Outcome.SUCCESS, 40.0 * n, **more)
        for n in range(count)
    ]
    return learn_many(Beliefs(), seen)


@pytest.mark.parametrize("rate", [0.005, 0.05, 0.2])
def test_the_expected_failure_comes_to_what_is_seen(rate: float) -> None:
    assert failure(lived(rate, 4_000), days=2) == pytest.approx(rate, rel=0.35)


def test_a_bank_without_experience_is_taken_to_be_like_others_of_its_kind() -> None:
    bad = lived(0.2, 600)
    assert failure(bad, payee="105") > 2 * failure(Beliefs(), payee="105")


def test_what_is_known_of_one_bank_stays_known_as_little_is_known_of_another() -> None:
    found = lived(0.05, 1_000)
    now, trust = moment(START), trust_of(found, "ibps")
    known = payee_outlook(found, "ibps", "103", "state", now, trust)
    strange = payee_outlook(found, "ibps", "105", "state", now, trust)
    assert known.relative_variance < strange.relative_variance


def test_experience_fades() -> None:
    found = lived(0.3, 300)
    prior = failure(Beliefs())
    distances = [abs(failure(found, days=days) - prior) for days in (1, 20, 60, 200)]
    assert distances == sorted(distances, reverse=True) and distances[-1] < 0.1 * distances[0]


def test_failures_one_after_the_other_open_the_breaker_and_time_closes_it() -> None:
    found = learn_many(lived(0.01, 200), [saw(Outcome.REJECTED, 8_000 + n) for n in range(4)])
    key = ("d", "ibps", "103")
    soon = (START + timedelta(seconds=8_010)).timestamp()
    assert down(found, key, soon) > 0.5 > 0.02 > down(found, key, soon + 12 * 3_600)
    other = candidate("hvps")
    answer = decide(
        ask(), [candidate("ibps"), other], FakeCatalog(), found, START + timedelta(seconds=8_010)
    )
    assert isinstance(answer, Decision) and answer.chosen == other
    why = answer.dropped[0]
    assert why is not None and why.code == "breaker"


def test_where_nothing_else_is_left_one_payment_is_sent_to_see_and_the_rest_wait() -> None:
    found = learn_many(lived(0.01, 200), [saw(Outcome.REJECTED, 8_000 + n) for n in range(4)])
    now, only = START + timedelta(seconds=8_010), [candidate("ibps")]
    first, *rest = decide_many([(ask(), only) for _ in range(5)], FakeCatalog(), found, now)
    assert isinstance(first, Decision) and first.chosen == only[0] and not first.explored
    for each in rest:
        assert isinstance(each, Later) and now < each.at <= now + timedelta(minutes=2)


def test_one_success_closes_the_breaker_sooner() -> None:
    found = learn_many(Beliefs(), [saw(Outcome.REJECTED, n) for n in range(3)])
    key, at = ("d", "ibps", "103"), START.timestamp() + 60
    again = learn_many(found, [saw(Outcome.SUCCESS, 30 + n) for n in range(3)])
    assert down(found, key, at) > 0.5 > down(again, key, at)


def test_acknowledged_and_then_silent_opens_the_breaker_too() -> None:
    found = learn_many(lived(0.01, 200), [saw(Outcome.OVERDUE, 8_000 + n) for n in range(4)])
    assert down(found, ("d", "ibps", "103"), START.timestamp() + 8_010) > 0.5


def test_failures_in_an_outage_hardly_count_against_the_ordinary_rate() -> None:
    quiet = lived(0.01, 500)
    struck = learn_many(quiet, [saw(Outcome.REJECTED, 20_000 + n) for n in range(40)])
    assert failure(struck) < 3 * failure(quiet)


def test_freezes_are_learnt_by_amount_and_a_few_are_enough() -> None:
    large = {"clearing": "fast", "amount_fen": 300_000_00}
    seen = [saw(Outcome.SUCCESS, n, clearing="fast") for n in range(500)]
    seen += [saw(Outcome.FROZEN, 600 + n, **large) for n in range(2)]
    seen += [saw(Outcome.SUCCESS, 700 + n, **large) for n in range(8)]
    found = learn_many(Beliefs(), seen)
    now, trust = moment(START), trust_of(found, "fast")
    small = band_outlook(found, "fast", band_of(100_000), now, trust)
    big = band_outlook(found, "fast", band_of(300_000_00), now, trust)
    assert small.freeze < 0.002 and 0.1 < big.freeze < 0.3


def test_learning_leaves_the_old_beliefs_as_they_were() -> None:
    before = lived(0.1, 20)
    cells = dict(before.cells)
    after = learn(before, saw(Outcome.REJECTED, 900))
    assert before.cells == cells and after != before and after.seen == before.seen + 1
