"""The running house pays out of banks of every style, and waits for the clerk who has one."""

from __future__ import annotations

import msgspec
import pytest

from caiwutong.sandbox.styles import STYLES
from caiwutong.sandbox.world import OwnAccount
from support.running import ENDED, House, order, wait_until

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.xdist_group("shared-house"),
]


def _account_of(house: House, own: OwnAccount) -> str:
    accounts = house.caller().every("/v1/bank-accounts")
    return next(
        each["bank_account_id"]
        for each in accounts
        if each["name"] == own.name and each["bank_code"] == own.bank_code
    )


def _at(house: House, style: str) -> OwnAccount:
    world = house.world
    return next(
        each
        for each in world.accounts
        if "bank_direct" in each.access_modes and world.bank(each.bank_code).style == style
    )


def test_every_style_of_direct_bank_is_paid_over_and_the_books_agree(shared: House) -> None:
    payees = [each for each in shared.world.payees if each.condition == "ok"]
    closed = next(each for each in shared.world.payees if each.condition == "closed")
    orders = {}
    for style in STYLES:
        account = _account_of(shared, _at(shared, style))
        for number, payee in enumerate([*payees[:4], closed]):
            orders[f"style-{style}-{number}"] = order(account, payee, 1_00 + number)
    ids = shared.caller().pay_many(orders)
    states = shared.wait_until_ended(ids.values(), 120)
    for key, payment in ids.items():
        assert states[payment] == ("rejected" if key.endswith("-4") else "completed"), key
    shared.assert_it_holds(ids.values())


def test_a_payment_with_the_banks_clerk_is_shown_as_under_way_and_ends_when_he_decides(
    shared: House,
) -> None:
    """Without the payee's bank number the bank handles it by hand (落地)."""
    account = _account_of(shared, _at(shared, "pab"))
    payee = next(each for each in shared.world.payees if each.condition == "ok")
    nameless = msgspec.structs.replace(payee, bank_code="")
    orders = {
        f"clerk-{decision}": order(account, nameless, 9_00) for decision in ("release", "refuse")
    }
    ids = shared.caller().pay_many(orders)
    wait_until("both are with the clerk", lambda: len(shared.sandbox.with_clerks()) == 2, 60)
    for decision in ("release", "refuse"):
        payment = shared.caller().get(f"/v1/payments/{ids[f'clerk-{decision}']}")
        assert payment["state"] not in ENDED
        told = shared.tell("sandbox", "clerk", decision, payment["reference"])
        assert told["decision"] == decision
    states = shared.wait_until_ended(ids.values(), 60)
    assert states == {ids["clerk-release"]: "completed", ids["clerk-refuse"]: "rejected"}
    shared.assert_it_holds(ids.values())
