"""The dated catalog in a running house: every process learns of a change by itself, a network's
announcement becomes a fact, and a bank that takes too much is found out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.running import House, order

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SOON_S = 10.0
FAR = "2099-03-02T10:00:00%2B08:00"


def soon(true: Callable[[], Any]) -> Any:
    """What it gives once it is true; fails when it does not become so within seconds."""
    end = time.monotonic() + SOON_S
    while not (found := true()):
        assert time.monotonic() < end, "the house did not learn of it in time"
        time.sleep(0.1)
    return found


def rail(house: House, name: str, at: str = FAR) -> dict[str, Any]:
    catalog = house.caller().get(f"/v1/catalog?at={at}")
    return next(each for each in catalog["rails"] if each["rail"] == name)


@pytest.mark.xdist_group("shared-house")
def test_a_fact_recorded_at_the_command_line_is_known_to_the_api_within_seconds(
    shared: House,
) -> None:
    assert rail(shared, "beps")["state"]["answer"] == "open"
    change = shared.tell(
        "catalog", "propose", "maintenance", "rail=beps", "valid_from=2099-03-02",
        "valid_until=2099-03-03", "source=公告", "words=系统升级", "--reason", "停运公告",
    )  # fmt: skip
    assert change["state"] == "applied"
    soon(lambda: rail(shared, "beps")["state"]["answer"] == "closed")
    assert rail(shared, "beps")["state"]["words"] == "系统升级"


@pytest.mark.xdist_group("shared-house")
def test_a_year_is_provisional_until_its_notice_is_imported(shared: House, tmp_path: Path) -> None:
    at = "2098-03-04T10:00:00%2B08:00"

    def day() -> dict[str, Any]:
        return shared.caller().get(f"/v1/catalog?at={at}")["day"]

    assert day()["provisional"] and "2098 are not known" in day()["note"]
    text = "国务院办公厅关于2098年部分节假日安排的通知\n一、元旦：1月1日（周{}）放假，共1天。\n"
    notice = tmp_path / "notice.txt"
    notice.write_text(text.format("一"), encoding="utf-8")
    wrong = shared.run("catalog", "holidays", str(notice), "--reason", "年度通知", "--json")
    assert wrong.returncode == 1 and "is a 星期三" in wrong.stdout
    notice.write_text(text.format("三"), encoding="gb18030")
    assert shared.tell("catalog", "holidays", str(notice), "--reason", "年度通知")[
        "state"
    ] == "applied"  # fmt: skip
    soon(lambda: not day()["provisional"])
    assert shared.tell("catalog", "holidays", "2098")["free"] == {"2098-01-01": "元旦"}


@pytest.mark.xdist_group("shared-house")
def test_an_outage_called_off_waits_for_a_second_person(shared: House) -> None:
    made = shared.tell(
        "catalog", "propose", "maintenance", "rail=ibps", "valid_from=2099-03-02",
        "valid_until=2099-03-03", "source=公告", "--reason", "停运公告",
    )  # fmt: skip
    off = shared.tell(
        "catalog", "propose", "withdrawal", f"withdraws={made['facts'][0]['fact_id']}",
        "valid_from=2099-03-01", "source=取消公告", "--reason", "取消", "--as", "张敏",
    )  # fmt: skip
    assert off["state"] == "waiting"
    own = shared.run("catalog", "confirm", off["change_id"], "--as", "张敏", "--json")
    assert own.returncode == 1 and "approvals.maker_may_not_sign" in own.stdout
    done = shared.tell("catalog", "confirm", off["change_id"], "--as", "李娜")
    assert done["state"] == "applied"
    soon(lambda: rail(shared, "ibps")["state"]["answer"] == "open")


@pytest.mark.xdist_group("shared-house")
def test_what_the_centre_announces_becomes_a_fact(shared: House) -> None:
    """ccms.809 and 801 over the wire: sandbox, callback, catalog, API."""
    assert rail(shared, "hvps")["state"]["answer"] == "open"
    shared.tell(
        "sandbox", "hvps", "--outage-from", "2099-03-02T00:00:00+08:00",
        "--outage-until", "2099-03-02T16:00:00+08:00",
    )  # fmt: skip
    soon(lambda: rail(shared, "hvps")["state"]["answer"] == "closed")
    shared.tell("sandbox", "hvps", "--free-day", "2099-03-04")
    at = "2099-03-04T10:00:00%2B08:00"
    soon(lambda: rail(shared, "hvps", at)["state"].get("why") == "holiday")
    changes = shared.tell("catalog", "changes")
    assert {"network:hvps"} <= {change["actor"] for change in changes}


@pytest.mark.xdist_group("shared-house")
def test_a_bank_that_charges_twice_is_found_by_the_audit(shared: House) -> None:
    own = next(a for a in shared.world.accounts if "bank_direct" in a.access_modes)
    account = next(
        each["bank_account_id"]
        for each in shared.caller().every("/v1/bank-accounts")
        if each["name"] == own.name and each["bank_code"] == own.bank_code
    )
    payee = next(
        p for p in shared.world.payees if p.condition == "ok" and p.bank_code != own.bank_code
    )
    shared.tell("sandbox", "fault", "overcharge", "--mode", "twice", "--bank", own.bank_code)
    try:
        wanted = order(account, payee, 5_000_00) | {"channel": "bank_direct"}
        paid = shared.caller().pay_many({"charged-twice-1": wanted})["charged-twice-1"]
        assert set(shared.wait_until_ended([paid], 60).values()) == {"completed"}
    finally:
        shared.tell("sandbox", "heal", "--all")

    def audited() -> Any:
        report = shared.tell("fees", "audit", "--limit", "500")
        ours = [f for f in report["findings"] if f["payment_id"] == paid]
        return ours and report

    report = soon(audited)
    finding = next(f for f in report["findings"] if f["payment_id"] == paid)
    assert finding["reason"] == "charged_twice"
    assert report["too_much_fen"] >= finding["difference_fen"] > 0
    fees = shared.caller().get(f"/v1/payments/{paid}/fees")
    assert fees["charged_fen"] == 2 * fees["expected_fen"]
