"""Plans over several payments: funds shared out, cut-offs first, nothing cut into pieces."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from caiwutong.kernel.errors import Refusal, Refused
from caiwutong.routing.beliefs import Beliefs
from caiwutong.routing.decide import Router
from caiwutong.routing.model import Ask, Candidate, Decision, Profile, Standing
from caiwutong.routing.planning import Due, plan
from caiwutong.routing.policy import HOUSE, Policy, parse_policy
from caiwutong.routing.trial import begin, on_trial, seen, shadow
from routing.scene import FakeCatalog, ask, candidate

NOW = datetime(2026, 3, 6, 9, 10, tzinfo=UTC)  # ten past five in China
SOON = FakeCatalog({"hvps": Standing(closes_at=NOW + timedelta(minutes=5)), "ibps": Standing()})


def due(key: str, fen: int, *ways: Candidate, **more: object) -> Due:
    fields: dict[str, object] = {"payee": "p", "debt": ""}
    profile = more.pop("profile", Profile.NORMAL)
    assert isinstance(profile, Profile)
    one = ask(key=key, amount_fen=fen, profile=profile)
    return Due(ask=one, candidates=ways, **(fields | more))  # type: ignore[arg-type]


def test_urgent_goes_first_then_what_closes_soonest_then_the_large() -> None:
    late, ever = candidate("hvps"), candidate("ibps")
    payments = [
        due("small", 100, ever), due("large", 10**7, ever), due("closing", 500, late),
        due("urgent", 1, ever, profile=Profile.URGENT),
    ]  # fmt: skip
    planned = plan(payments, Router(SOON), Beliefs(), NOW)
    assert [each.key for each in planned] == ["urgent", "closing", "large", "small"]


def test_money_is_planned_once_and_the_next_payment_takes_another_account() -> None:
    first = candidate("ibps", available_fen=1_000)
    second = msgspec.structs.replace(first, account_id=UUID(int=8), available_fen=900)
    payments = [due("a", 800, first, second), due("b", 700, first, second)]
    planned = plan([*payments, due("c", 300, first, second)], Router(SOON), Beliefs(), NOW)
    answers = {each.key: each.answer for each in planned}
    ways = {k: a.chosen.account_id for k, a in answers.items() if isinstance(a, Decision)}
    assert set(ways) == {"a", "b"} and ways["a"] != ways["b"]
    assert isinstance(answers["c"], Refusal), "no account has 300 left, and it is not split"


@pytest.mark.parametrize(("each", "personal"), [(1_500_000_00, False), (300_000_00, True)])
def test_one_debt_in_pieces_below_the_reporting_threshold_is_refused_and_says_why(
    each: int, personal: bool
) -> None:
    pieces = [
        due(str(n), each, candidate("ibps"), debt="INV-7", personal=personal) for n in range(2)
    ]
    for planned in plan(pieces, Router(SOON), Beliefs(), NOW):
        assert isinstance(planned.answer, Refusal) and planned.answer.code == "routing.split"
        assert "INV-7" in planned.answer.detail and "reports" in planned.answer.detail


def test_separate_debts_to_one_payee_are_no_splitting() -> None:
    bills = [due(str(n), 1_500_000_00, candidate("ibps"), debt=f"INV-{n}") for n in range(2)]
    for planned in plan(bills, Router(SOON), Beliefs(), NOW):
        assert isinstance(planned.answer, Decision)


def test_a_policy_is_data_and_leaves_out_what_it_excludes() -> None:
    policy = parse_policy(b'{"name": "no-ibps", "excluded": ["ibps@102"]}')
    router = Router(SOON, policy)
    (found,) = router.decide_many([(ask(), (candidate("ibps"), candidate("hvps")))], Beliefs(), NOW)
    assert isinstance(found, Decision) and found.rail == "hvps" and found.policy == "no-ibps"
    assert set(policy.weights) == set(HOUSE.weights)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", "routing.policy_malformed"),
        (b'{"misspelt": 1}', "routing.policy_malformed"),
        (b'{"weights": {"normal": {"fee": 0}}}', "routing.policy_value"),
        (b'{"exploration": {"share": 0.5}}', "routing.policy_value"),
        (b'{"breaker": 2}', "routing.policy_value"),
    ],
)
def test_a_bad_policy_is_refused_by_name(raw: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_policy(raw)
    assert refused.value.code == code


class TestTrials:
    def test_a_payment_stays_on_its_side_and_the_share_is_kept(self) -> None:
        trial = begin(Policy(name="new"), 0.2)
        asks = [Ask(key=str(n), amount_fen=100) for n in range(5_000)]
        chosen = [on_trial(trial, each) for each in asks]
        assert chosen == [on_trial(trial, each) for each in asks]
        assert sum(chosen) / len(chosen) == pytest.approx(0.2, abs=0.02)

    def test_urgent_and_large_payments_are_not_tried_on(self) -> None:
        trial = begin(Policy(name="new"), 0.5)
        for n in range(100):
            assert not on_trial(trial, ask(key=str(n), profile=Profile.URGENT))
            assert not on_trial(trial, ask(key=str(n), amount_fen=300_000_00))

    def test_a_worse_policy_is_stopped_and_an_equal_one_is_not(self) -> None:
        worse = equal = begin(Policy(name="new"), 0.5)
        for n in range(3_000):
            failed = n % 100 == 0
            worse = seen(seen(worse, other=False, failed=failed), other=True, failed=n % 20 == 0)
            equal = seen(seen(equal, other=False, failed=failed), other=True, failed=failed)
        assert "standard errors worse" in worse.stopped and not equal.stopped
        assert not on_trial(worse, ask()), "a stopped trial decides nothing more"

    @pytest.mark.parametrize("share", [0.0, 0.6, -1.0])
    def test_a_share_that_is_no_trial_is_refused(self, share: float) -> None:
        with pytest.raises(Refused):
            begin(Policy(name="new"), share)

    def test_the_shadow_tells_differences_and_changes_nothing(self) -> None:
        pairs = [(ask(key=str(n)), (candidate("ibps"), candidate("hvps"))) for n in range(20)]
        house, other = Router(SOON), Router(SOON, Policy(name="x", excluded=("hvps",)))
        ours, differ = shadow(house, other, pairs, Beliefs(), NOW)
        assert ours == Router(SOON).decide_many(pairs, Beliefs(), NOW)
        assert {each.theirs for each in differ} <= {"ibps"} and differ
