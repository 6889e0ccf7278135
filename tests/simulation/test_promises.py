"""Sixty seeds of the real engine: every promise holds, every fault strikes, every run replays."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from caiwutong.simulation.chance import Fault
from caiwutong.simulation.cli import main
from caiwutong.simulation.report import Report, simulate
from caiwutong.simulation.run import FAULTS_AT_LEAST, PAYMENTS_AT_LEAST, run_seed

SEEDS = 60


@pytest.fixture(scope="module")
def report() -> Report:
    return simulate(SEEDS, mutants=(), jobs=1)


def test_every_promise_holds(report: Report) -> None:
    assert report.violations == []


def test_every_payment_ends(report: Report) -> None:
    assert report.terminal == report.payments >= SEEDS * PAYMENTS_AT_LEAST


def test_enough_goes_wrong(report: Report) -> None:
    assert report.faults >= SEEDS * FAULTS_AT_LEAST


@pytest.mark.parametrize("fault", list(Fault))
def test_each_kind_of_fault_strikes(report: Report, fault: Fault) -> None:
    assert report.faults_by_kind.get(fault.value, 0) > 0


def test_time_is_simulated_and_not_waited_for(report: Report) -> None:
    assert report.simulated_hours > 100 * report.cpu_seconds


def test_payments_take_every_way_to_an_end() -> None:
    told = "\n".join(line for seed in range(1, 9) for line in run_seed(seed, full_trace=True).trace)
    for way in (
        "new > validated",
        "new > awaiting_signatures",
        "awaiting_signatures > validated",
        "awaiting_signatures > cancelled  payment.hold_expired",
        "validated > cancelled",
        "submitted > clearing",
        "submitted > in_doubt",
        "clearing > in_doubt",
        "in_doubt > clearing",
        "clearing > completed",
        "in_doubt > completed",
        "clearing > rejected",
        "clearing > validated",
        "in_doubt > validated",
        "switched",
        "clearing > reversed",
        "never_received",
    ):
        assert way in told


def test_a_seed_replays_event_by_event() -> None:
    first, second = run_seed(5, full_trace=True), run_seed(5, full_trace=True)
    assert first.trace == second.trace
    assert first.digest == second.digest


def test_another_seed_is_another_run() -> None:
    assert run_seed(5).digest != run_seed(6).digest


def test_a_seed_replays_in_another_process_with_another_hash_seed() -> None:
    command = [sys.executable, "-m", "caiwutong.simulation", "--trace", "9", "--json"]
    digests: set[str] = set()
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, capture_output=True, env=environment, check=True)
        digests.add(msgspec.json.decode(done.stdout)["digest"])
    assert digests == {run_seed(9).digest}


def test_processes_share_the_seeds_and_give_the_same_digest() -> None:
    alone = simulate(3, first=20, mutants=(), jobs=1)
    shared = simulate(3, first=20, mutants=(), jobs=2)
    assert (shared.digest, shared.payments) == (alone.digest, alone.payments)


def test_the_command_prints_one_json_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "1", "--jobs", "1", "--no-mutants", "--json"]) == 0
    printed = msgspec.json.decode(capsys.readouterr().out)
    assert printed["seeds"] == 1
    assert set(printed) >= {
        "payments", "terminal", "faults", "simulated_hours", "cpu_seconds",
        "payments_per_cpu_minute", "violations", "mutants", "digest",
    }  # fmt: skip


def test_a_trace_shows_the_whole_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--trace", "2"]) == 0
    printed = capsys.readouterr().out
    assert "new > validated" in printed
    assert "every promise holds" in printed
