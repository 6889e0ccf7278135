"""Worlds: the shipped files are what the page says, nobody can cheat, and short runs stand."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import msgspec
import pytest

from caiwutong.benchmarks.worlds import policies as policies_module
from caiwutong.benchmarks.worlds.command import decision_cost, run_routing, shortened, words
from caiwutong.benchmarks.worlds.default import FOLDER, SHIPPED, internal, month, text
from caiwutong.benchmarks.worlds.hub import Hub
from caiwutong.benchmarks.worlds.model import World, parse_world, read_world
from caiwutong.benchmarks.worlds.policies import BASELINES, Cheapest, Fastest, House
from caiwutong.benchmarks.worlds.replay import replay_world
from caiwutong.benchmarks.worlds.run import Outcome, Stage, rules_for, run_world
from caiwutong.benchmarks.worlds.traffic import payments
from caiwutong.kernel.errors import Refused
from caiwutong.routing.policy import Policy


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return run_world(shortened(month(), 3_000), 5, quiet)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_world_is_what_its_definition_makes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == text(SHIPPED[name]())
    assert read_world(FOLDER / name) == SHIPPED[name]()


def test_no_policy_can_reach_the_hidden_side() -> None:
    tree = ast.parse(Path(str(policies_module.__file__)).read_text(encoding="utf-8"))
    imported = {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    assert not {module for module in imported if module.endswith((".truth", ".oracle"))}
    routing = Path(str(policies_module.__file__)).parents[2] / "routing"
    for path in routing.glob("*.py"):
        assert "benchmarks" not in path.read_text(encoding="utf-8")


def test_the_oracle_is_best_and_nobody_pays_twice(outcome: Outcome) -> None:
    everyone = [*outcome.baselines.values(), outcome.house]
    assert all(outcome.oracle.loss < each.loss for each in everyone)
    assert all(each.double_payments == 0 for each in [*everyone, outcome.static])
    assert set(outcome.baselines) == set(BASELINES) and len(BASELINES) == 5


def test_a_short_month_is_better_than_the_best_baseline_and_hardly_freezes(
    outcome: Outcome,
) -> None:
    best = min(each.loss for each in outcome.baselines.values())
    assert outcome.house.loss < 0.95 * best
    assert outcome.house.freezes <= 0.35 * outcome.baselines["fastest"].freezes
    assert outcome.house.final_failure <= 0.0015 < outcome.static.final_failure


def test_faults_in_the_payees_data_are_counted_apart(outcome: Outcome) -> None:
    for each in (outcome.house, outcome.oracle, *outcome.baselines.values()):
        assert each.data_faults == outcome.house.data_faults > 0
        assert each.payments + each.data_faults == 3_000


def test_the_judge_sees_a_second_payment_where_silence_is_answered_with_one() -> None:
    world = shortened(month(), 3_000)
    stage = Stage(world, 3)
    records = Hub(stage.truth, stage.payments, stage.ways, Fastest(), blind_resend=True).run()
    assert any(record.executed > 1 for record in records)


def test_the_same_seed_gives_the_same_month_and_another_seed_another() -> None:
    world = shortened(month(), 500)
    first, _ = Stage(world, 1).play(House(rules_for(world.scoring)))
    again, _ = Stage(world, 1).play(House(rules_for(world.scoring)))
    other, _ = Stage(world, 2).play(House(rules_for(world.scoring)))
    assert first == again != other


def test_a_month_has_the_shape_it_was_asked_for() -> None:
    drawn = payments(shortened(month(), 20_000), 1)
    assert len(drawn) == 20_000 and [p.at for p in drawn] == sorted(p.at for p in drawn)
    kinds = [p.payee_kind for p in drawn]
    assert kinds.count("state") / 20_000 == pytest.approx(0.45, abs=0.02)
    assert sum(p.urgent for p in drawn) / 20_000 == pytest.approx(0.10, abs=0.01)
    amounts = sorted(p.amount_fen for p in drawn)
    assert amounts[10_000] == pytest.approx(8_000_00, rel=0.05)
    assert 0.003 < sum(a > 1_000_000_00 for a in amounts) / 20_000 < 0.012


def test_transfers_inside_the_group_all_arrive_where_a_static_policy_loses_some() -> None:
    world = shortened(internal(), 2_000)
    stage = Stage(world, 1)
    house, _ = stage.play(House(rules_for(world.scoring)))
    static, _ = stage.play(BASELINES["always_ibps"](1), failover=False)
    assert house.final_failure <= 0.0015 and static.final_failure > 0.015


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda w: w | {"days": "many"}, "bench.world_malformed"),
        (lambda w: w | {"surplus": 1}, "bench.world_malformed"),
        (lambda w: w | {"data_faults": 1.5}, "bench.world_malformed"),
        (lambda w: w | {"entities": 1_000}, "bench.world_value"),
        (lambda w: w | {"clearings": w["clearings"][1:]}, "bench.world_value"),
        (lambda w: w | {"payees": w["payees"] * 2}, "bench.world_value"),
    ],
)
def test_a_world_that_is_none_is_refused_by_name(change: object, code: str) -> None:
    assert callable(change)
    raw = msgspec.json.encode(change(json.loads(text(month()))))
    with pytest.raises(Refused) as refused:
        parse_world(raw)
    assert refused.value.code == code


def test_the_command_prints_rows_beside_their_baselines(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    path.write_text(text(shortened(month(), 400)), encoding="utf-8")
    found = run_routing([path], 1, None, quiet)
    assert msgspec.json.encode(found)
    for row in found["results"]:
        assert {"name", "value", "unit", "baseline", "baseline_value", "ratio"} <= set(row)
    assert "bandit" in words(found) and "oracle" in words(found)


def test_a_decision_costs_a_small_multiple_of_the_bandits() -> None:
    row = decision_cost(shortened(month(), 800), 1, rounds=5)
    assert row["ratio"] < 8


def test_a_replay_reports_each_policy_beside_the_houses() -> None:
    world: World = shortened(month(), 600)
    found = replay_world([Policy(name="no-express", excluded=("third_party",))], world, 1, quiet)
    house, other = found["policies"]
    assert (house["policy"], other["policy"]) == ("house", "no-express")
    assert "third_party" not in other["by_way"] and other["double_payments"] == 0


def test_baselines_keep_the_hard_filters() -> None:
    stage = Stage(shortened(month(), 1_500), 4)
    _, records = stage.play(Cheapest())
    by_number = {payment.number: payment for payment in stage.payments}
    for number, record in enumerate(records):
        if record.first is not None and record.first.clearing in ("ibps", "beps", "third_party"):
            assert by_number[number].amount_fen <= 1_000_000_00
