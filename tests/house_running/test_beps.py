"""Over BEPS through the whole running house: HTTP, worker, batches, a round, callbacks, books."""

from __future__ import annotations

import pytest

from support.running import House, order

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_orders_over_beps_travel_in_batches_and_end_with_the_round(house: House) -> None:
    house.start()
    caller, everybody = house.caller(), house.world.payees
    accounts = [
        each["bank_account_id"]
        for each in caller.every("/v1/bank-accounts")
        if "beps" in each["access_modes"]
    ]
    good = [payee for payee in everybody if payee.condition == "ok"]
    bad = [payee for payee in everybody if payee.condition == "frozen"]
    payees = [*good[:36], *bad[:4]]
    orders = {
        f"beps-{n}": order(accounts[n % 5], payee, 12_34 + n, channel="beps")
        for n, payee in enumerate(payees)
    }

    ids = caller.pay_many(orders)
    house.set_clock(scale=120)  # A round of half an hour in fifteen seconds.
    states = house.wait_until_ended(ids.values(), 120)

    assert sorted(states.values()) == ["completed"] * 36 + ["rejected"] * 4
    assert house.assert_it_holds(ids.values())["payments"] == 40
    rounds = house.sandbox.rounds()
    assert {each["system"] for each in rounds} == {"beps"}
    assert sum(each["transfers"] for each in rounds) == 36
    assert house.stop() == 0, house.said()
