"""Laws of decisions, for whatever candidates, facts and experience there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.kernel.errors import Refusal
from caiwutong.routing.beliefs import Beliefs, Observation, Outcome
from caiwutong.routing.decide import Router, decide
from caiwutong.routing.explain import dominates, explanation, front
from caiwutong.routing.learning import learn_many
from caiwutong.routing.model import (
    Ask,
    Candidate,
    Decision,
    FeeBand,
    Later,
    Profile,
    Standing,
    Why,
)
from routing.scene import FakeCatalog

NOW = datetime(2026, 3, 4, 2, 0, tzinfo=UTC)
MODES = ("ibps", "hvps", "beps", "bank_direct/book", "bank_direct/ibps", "third_party")
BANKS = ("102", "103", "308")

standings = st.builds(
    Standing,
    limit_fen=st.none() | st.integers(1, 10**9),
    closed=st.none() | st.just(Why("closed", "closed", "关闭")),
    opens_at=st.none() | st.just(NOW + timedelta(hours=2)),
    fees=st.just(()) | st.integers(0, 5_000).map(lambda fen: (FeeBand(None, fen),)),
    typical_seconds=st.floats(0.1, 1e5),
)
candidates = st.lists(
    st.builds(
        lambda account, mode, bank, funds: Candidate(
            account_id=UUID(int=account),
            rail=mode.partition("/")[0],
            flag=mode.partition("/")[2],
            bank=bank,
            available_fen=funds,
        ),
        st.integers(1, 4),
        st.sampled_from(MODES),
        st.sampled_from(BANKS),
        st.none() | st.integers(0, 10**9),
    ),
    max_size=8,
    unique_by=lambda candidate: candidate.key,
)
asks = st.builds(
    Ask,
    key=st.uuids().map(str),
    amount_fen=st.integers(1, 10**9),
    payee_bank=st.sampled_from(BANKS),
    payee_kind=st.sampled_from(("state", "rural")),
    profile=st.sampled_from(Profile),
    tried=st.just(()),
)
observations = st.lists(
    st.builds(
        lambda mode, bank, payee, outcome, amount, seconds: Observation(
            at=NOW - timedelta(seconds=seconds),
            sent_at=NOW - timedelta(seconds=seconds + 5),
            mode=mode,
            clearing=mode.rpartition("/")[2],
            bank=bank,
            payee_bank=payee,
            amount_fen=amount,
            outcome=outcome,
            arrival_s=3.0 if outcome is Outcome.SUCCESS else None,
        ),
        st.sampled_from(MODES),
        st.sampled_from(BANKS),
        st.sampled_from(BANKS),
        st.sampled_from(Outcome),
        st.integers(1, 10**9),
        st.integers(0, 100_000),
    ),
    max_size=30,
)
scenes = st.tuples(
    asks,
    candidates,
    st.dictionaries(st.sampled_from(MODES), standings).map(FakeCatalog),
    observations.map(lambda seen: learn_many(Beliefs(), seen)),
)


@settings(max_examples=150, deadline=None)
@given(scenes)
def test_what_is_chosen_is_dominated_by_nothing_and_was_not_dropped(
    scene: tuple[Ask, list[Candidate], FakeCatalog, Beliefs],
) -> None:
    ask, ways, catalog, beliefs = scene
    found = decide(ask, ways, catalog, beliefs, NOW)
    if not isinstance(found, Decision):
        return
    place = list(found.candidates).index(found.chosen)
    assert found.dropped[place] is None
    assert not any(s is not None and dominates(s, found.score) for s in found.scores)
    assert place in front(found.scores)
    for score, why in zip(found.scores, found.dropped, strict=True):
        assert (score is None) is (why is not None)
    assert len(explanation(found).considered) == len(ways)


@settings(max_examples=150, deadline=None)
@given(scenes)
def test_the_whole_amount_goes_one_way_that_carries_it_or_not_at_all(
    scene: tuple[Ask, list[Candidate], FakeCatalog, Beliefs],
) -> None:
    ask, ways, catalog, beliefs = scene
    found = decide(ask, ways, catalog, beliefs, NOW)
    if isinstance(found, Refusal):
        assert "never split" in found.cure
        return
    way = found.candidate if isinstance(found, Later) else found.chosen
    standing = catalog.standing(way.mode, way.bank, ask.payee_bank, NOW)
    assert found.ask is ask
    assert standing.limit_fen is None or ask.amount_fen <= standing.limit_fen
    assert way.available_fen is None or ask.amount_fen <= way.available_fen


@settings(max_examples=60, deadline=None)
@given(st.lists(scenes, min_size=1, max_size=4))
def test_the_same_question_has_the_same_answer_alone_and_in_a_batch(
    drawn: list[tuple[Ask, list[Candidate], FakeCatalog, Beliefs]],
) -> None:
    _, _, catalog, beliefs = drawn[0]
    pairs = [(ask, ways) for ask, ways, _, _ in drawn]
    router = Router(catalog)
    first = router.decide_many(pairs, beliefs, NOW)
    assert router.decide_many(pairs, beliefs, NOW) == first
    if not any(isinstance(each, Decision) and each.explored for each in first):
        assert [decide(a, w, catalog, beliefs, NOW) for a, w in pairs] == first


@settings(max_examples=100, deadline=None)
@given(scenes)
def test_urgent_and_large_payments_and_second_tries_never_explore(
    scene: tuple[Ask, list[Candidate], FakeCatalog, Beliefs],
) -> None:
    ask, ways, catalog, beliefs = scene
    found = decide(ask, ways, catalog, beliefs, NOW)
    if isinstance(found, Decision) and found.explored:
        assert ask.profile is not Profile.URGENT
        assert ask.amount_fen <= 50_000_00 and not ask.tried
