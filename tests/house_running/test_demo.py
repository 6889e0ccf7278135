"""``caiwutong demo``: the main job without a person, and its proof as JSON."""

from __future__ import annotations

import pytest

from support.processes import working_on
from support.running import House

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PAYMENTS = 300


def test_a_rough_month_holds_and_proves_it(house: House) -> None:
    house.folder.mkdir(mode=0o755)

    proof = house.tell("demo", "--payments", str(PAYMENTS), "--faults", "rough", within_s=400)

    print(f"{PAYMENTS} payments in rough weather: {proof['seconds']} s, faults {proof['faults']}")
    assert proof["payments"] == PAYMENTS == sum(proof["states"].values())
    assert set(proof["states"]) <= {"completed", "rejected", "cancelled", "reversed"}
    assert proof["bank_agreement"] == 1.0
    assert proof["ledger_sum_fen"] == proof["double_paid"] == proof["in_doubt"] == 0
    assert proof["audit_ok"] is True
    assert sum(proof["faults"].values()) > 50, "the weather was rough"
    assert not working_on(house.base), "nothing is left running"
    assert not (house.folder / "demo-month").exists(), "nor in the folder"
