"""The simulator is not blind: each planted bug is found, by a promise and within few seeds."""

from __future__ import annotations

import pytest

from caiwutong.payments import rules, settlement
from caiwutong.payments.rules import judge_unknown
from caiwutong.payments.states import follow
from caiwutong.simulation import mutants
from caiwutong.simulation.cli import main
from caiwutong.simulation.house import Parts
from caiwutong.simulation.mutants import MUTANTS, SEEDS_AT_MOST, Mutant, hunt
from caiwutong.simulation.report import simulate

ORDERED = (
    "double_settle",
    "blind_resend",
    "timeout_is_failed",
    "unknown_is_failed",
    "read_modify_write_balance",
    "send_before_commit",
    "late_report_overwrites_terminal",
    "key_without_content",
    "mandate_not_checked",
)


def test_the_bugs_that_cost_money_elsewhere_are_planted() -> None:
    assert set(ORDERED) <= set(MUTANTS)


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_planted_bug_is_found_by_the_promise_it_breaks(name: str) -> None:
    caught = hunt(name)
    assert caught.caught
    assert caught.by == MUTANTS[name].breaks
    assert caught.seed is not None
    assert caught.seed <= SEEDS_AT_MOST


def test_the_engine_is_left_as_it_was_after_a_mutant() -> None:
    hunt("double_settle")
    hunt("unknown_is_failed")
    assert settlement.follow is follow
    assert rules.judge_unknown is judge_unknown


def test_an_engine_without_a_bug_is_not_called_a_mutant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mutants.MUTANTS, "no_bug", Mutant(Parts(), "paid_once"))
    assert not hunt("no_bug", seeds=3).caught


def test_a_mutant_that_escapes_fails_the_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mutants.MUTANTS, "no_bug", Mutant(Parts(), "paid_once"))
    monkeypatch.setattr(mutants, "SEEDS_AT_MOST", 2)
    report = simulate(1, mutants=("no_bug",), jobs=1)
    assert report.violations == []
    assert report.mutants == {"no_bug": False}
    assert not report.ok


def test_a_violation_shows_what_led_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--trace", "1", "--mutant", "double_settle"]) == 1
    printed = capsys.readouterr().out
    assert "settled_once" in printed.splitlines()[-1]
    assert "> completed" in printed


def test_a_violation_names_the_command_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module, name, value in MUTANTS["double_settle"].parts.patches:
        assert module is settlement
        monkeypatch.setattr(module, name, value)
    assert main(["--seeds", "1", "--jobs", "1", "--no-mutants"]) == 1
    printed = capsys.readouterr().out
    assert "VIOLATION in seed 1" in printed
    assert "caiwutong simulate --trace 1" in printed
    assert "NOT EVERY PROMISE HOLDS" in printed
