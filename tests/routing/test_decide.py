"""Decisions: the hard filters in order, the pick, and what is said when nothing can carry it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from caiwutong.kernel.errors import Refusal
from caiwutong.routing.beliefs import Beliefs
from caiwutong.routing.decide import decide
from caiwutong.routing.explain import explanation
from caiwutong.routing.model import Ask, Candidate, Decision, Later, Profile, Standing, Why
from routing.scene import FakeCatalog, ask, candidate

NOW = datetime(2026, 3, 4, 2, 0, tzinfo=UTC)


def choose(one: Ask, *candidates: Candidate, catalog: FakeCatalog | None = None) -> object:
    return decide(one, candidates, catalog or FakeCatalog(), Beliefs(), NOW)


def test_an_in_bank_transfer_beats_every_network() -> None:
    found = choose(
        ask(payee_bank="102"),
        candidate("ibps"),
        candidate("hvps"),
        candidate("bank_direct", "book", bank="102"),
    )
    assert isinstance(found, Decision) and found.chosen.flag == "book"


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (candidate("ibps", connected=False), "not_connected"),
        (candidate("ibps", barred=Why("permission", "no", "否")), "permission"),
        (candidate("bank_direct", "book", bank="103"), "not_this_bank"),
        (candidate("ibps", available_fen=99), "funds"),
        (candidate("ibps", own_limit_fen=99), "limit"),
        (candidate("beps"), "tried"),
        (candidate("hvps"), "closed"),
        (candidate("odd"), "unknown"),
    ],
)
def test_what_cannot_carry_a_payment_is_dropped_with_its_reason(one: Candidate, code: str) -> None:
    closed = Why("closed", "closed", "关闭")
    catalog = FakeCatalog(
        {
            "hvps": Standing(closed=closed),
            "odd": Standing(unknown=Why("unknown", "no limit known", "无限额")),
        }
    )
    good = candidate("bank_direct", "ibps")
    asked = ask(amount_fen=100, payee_bank="102", tried=(candidate("beps").key,))
    found = choose(asked, one, good, catalog=catalog)
    assert isinstance(found, Decision) and found.chosen == good
    why = found.dropped[0]
    assert why is not None and why.code == code


@pytest.mark.parametrize(
    ("amount", "inclusive", "passes"), [(100, True, True), (100, False, False)]
)
def test_exactly_the_limit_passes_where_the_limit_is_inclusive(
    amount: int, inclusive: bool, passes: bool
) -> None:
    catalog = FakeCatalog({"ibps": Standing(limit_fen=100, limit_inclusive=inclusive)})
    found = choose(ask(amount_fen=amount), candidate("ibps"), catalog=catalog)
    assert isinstance(found, Decision) is passes


def test_a_payment_above_every_limit_is_refused_and_never_split() -> None:
    catalog = FakeCatalog({"ibps": Standing(limit_fen=100)})
    found = choose(ask(amount_fen=101), candidate("ibps"), catalog=catalog)
    assert isinstance(found, Refusal)
    assert found.code == "routing.no_channel" and "never split" in found.cure


def test_a_closed_way_is_planned_for_its_next_opening() -> None:
    opening = NOW + timedelta(hours=3)
    closed = Standing(closed=Why("closed", "closed", "关闭"), opens_at=opening)
    found = choose(ask(), candidate("hvps"), catalog=FakeCatalog({"hvps": closed}))
    assert isinstance(found, Later) and found.at == opening


def test_a_compliance_verdict_refuses_the_payment_whatever_is_open() -> None:
    found = choose(
        ask(refused=Why("compliance", "Held for screening.", "待筛查")), candidate("ibps")
    )
    assert isinstance(found, Refusal) and found.code == "routing.compliance"


def test_an_urgent_payment_takes_the_fast_way_and_a_cheap_one_the_cheap_way() -> None:
    catalog = FakeCatalog.two_ways()
    ways = (candidate("fast"), candidate("slow"))
    urgent = choose(ask(profile=Profile.URGENT), *ways, catalog=catalog)
    cheap = choose(ask(profile=Profile.CHEAPEST), *ways, catalog=catalog)
    assert isinstance(urgent, Decision) and urgent.rail == "fast"
    assert isinstance(cheap, Decision) and cheap.rail == "slow"


def test_an_explanation_names_every_candidate_the_front_and_the_runner_up() -> None:
    ways = (candidate("fast"), candidate("slow"), candidate("ibps", connected=False))
    found = choose(ask(), *ways, catalog=FakeCatalog.two_ways())
    assert isinstance(found, Decision)
    told = explanation(found)
    assert [each.key for each in told.considered] == [way.key for way in ways]
    assert told.runner_up in {way.key for way in ways[:2]} - {found.chosen.key}
    assert [each.on_front for each in told.considered] == [True, True, False]
    dropped = told.considered[2].dropped
    assert dropped is not None and dropped.code == "not_connected"
    assert found.rail in told.words.en and found.rail in told.words.zh
