"""Real use: connections of one's own, ``caiwutong init``, and everything else over HTTP.

The bank at the other end is still the sandbox, here started by the test as a stranger would run it.
"""

from __future__ import annotations

import base64
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caiwutong.engines.home import free_port
from caiwutong.sandbox.setup import prepare
from support.running import Answer, Caller, House, order, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

TENANT = "huaxing"
PER_PAYMENT_FEN = 10_000_00
DAILY_FEN = 50_000_00


@pytest.fixture
def bank_and_house() -> Iterator[House]:
    """A house for one real tenant, with ``connections.json`` to a bank it did not start."""
    house = House("--no-sandbox", "--tenant", TENANT)
    house.folder.mkdir(mode=0o755)
    port = free_port(19_090)
    prepare(house.folder / "sandbox", port=port, clock=house.clock(), seed=7)
    (house.folder / "connections.json").write_bytes(
        (house.folder / "sandbox" / "connections.json").read_bytes()
    )
    argv = ["--dir", str(house.folder / "sandbox"), "--port", str(port), "--seed", "7"]
    argv += ["--hub", f"http://127.0.0.1:{house.port}", "--clock", str(house.folder / "clock.json")]
    bank = subprocess.Popen(
        [sys.executable, "-m", "caiwutong.sandbox", *argv],
        env=house.environment(), cwd=house.base,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        house.start()
        yield house
    finally:
        bank.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            bank.wait(20)
        house.erase()


class Founder:
    """Someone with a key of their own, which never leaves this test."""

    def __init__(self, caller: Caller, name: str, role: str) -> None:
        self._caller = caller
        self._key = Ed25519PrivateKey.generate()
        public = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()
        made = _made(
            caller.post(
                "/v1/people",
                {"name": name, "role": role, "algorithm": "ed25519", "public_key": public},
            )
        )
        self.person_id, self.state = made["person_id"], made["state"]

    def sign(self, path: str) -> Answer:
        """Sign what this address asks a signature for."""
        to_sign = base64.b64decode(self._caller.get(f"{path}/signatures")["to_sign"])
        signature = base64.b64encode(self._key.sign(to_sign)).decode()
        given = {"person_id": self.person_id, "signature": signature}
        return self._caller.post(f"{path}/signatures", given)


def _made(answer: Answer) -> dict[str, Any]:
    assert answer.status == 201, answer
    return answer.data


def test_an_empty_tenant_is_founded_and_pays_within_a_mandate_and_by_signatures(
    bank_and_house: House,
) -> None:
    house = bank_and_house
    secrets = house.tell("init", "华兴集团", "--tenant", TENANT)
    caller = Caller(house.port, key_id=secrets["key_id"], secret=secrets["secret"])
    assert caller.get("/v1/people")["items"] == []
    account, payee = _found(house, caller)
    cfo, head = Founder(caller, "赵磊", "财务总监"), Founder(caller, "王强", "财务主管")
    assert (cfo.state, head.state) == ("active", "active"), "founders need nobody's signature"

    before = _pay(caller, "before", account, payee, 5_000_00)
    assert before["state"] == "awaiting_signatures", "without a mandate a machine pays nothing"
    _sign_a_mandate(house, caller, account, (cfo, head))

    within = _pay(caller, "within", account, payee, 9_999_99)
    assert within["state"] == "validated" and not within["needs"]
    outside = _pay(caller, "outside", account, payee, 60_000_00)
    assert outside["state"] == "awaiting_signatures" and outside["needs"]
    _wait_for(caller, within["id"], "completed")
    assert _state(caller, outside["id"]) == "awaiting_signatures"

    path = f"/v1/payments/{outside['id']}"
    first = cfo.sign(path)
    assert (first.status, first.data["missing"]) == (200, 1), first
    again = cfo.sign(path)
    assert again.status != 200 or again.data["missing"] == 1, "one person counts once"
    assert _state(caller, outside["id"]) == "awaiting_signatures"
    assert head.sign(path).data["state"] == "decided"
    _wait_for(caller, outside["id"], "completed")

    assert caller.post(f"/v1/payments/{before['id']}/cancel").status == 200
    verdict = house.tell("sandbox", "reconcile", "--tenant", TENANT)
    assert (verdict["payments"], verdict["agreement"], verdict["clean"]) == (3, 1.0, True)
    assert house.tell("audit", "verify")["ok"]


def _found(house: House, caller: Caller) -> tuple[str, Any]:
    """The enterprise over HTTP, from its group to its first bank account; and a payee."""
    group = _made(caller.post("/v1/enterprises", {"code": "hx", "name": "华兴集团"}))
    own = house.world.accounts[0]
    unit_at_bank = next(u for u in house.world.units if u.key == own.unit)
    entity_at_bank = next(e for e in house.world.entities if e.key == unit_at_bank.entity)
    entity = _made(
        caller.post(
            "/v1/legal-entities",
            {"group_id": group["group_id"], "code": "hx01", "name": entity_at_bank.name,
             "uscc": entity_at_bank.uscc},
        )
    )  # fmt: skip
    unit = _made(
        caller.post(
            "/v1/member-units",
            {"legal_entity_id": entity["legal_entity_id"], "code": "sh", "name": "上海分公司"},
        )
    )
    account = _made(
        caller.post(
            "/v1/bank-accounts",
            {"member_unit_id": unit["member_unit_id"], "name": own.name, "account": own.account,
             "bank_code": own.bank_code, "bank_name": own.bank_name, "nature": own.nature,
             "access_modes": list(own.access_modes), "opening_balance_fen": own.opening_fen},
        )
    )  # fmt: skip
    payee = next(p for p in house.world.payees if p.condition == "ok")
    kept = _made(
        caller.post(
            "/v1/payees",
            {"name": payee.name, "account": payee.account, "bank_code": payee.bank_code,
             "bank_name": payee.bank_name},
        )
    )  # fmt: skip
    assert own.account not in str(account) and payee.account not in str(kept), "numbers are masked"
    return account["bank_account_id"], payee


def _sign_a_mandate(
    house: House, caller: Caller, account: str, founders: tuple[Founder, Founder]
) -> None:
    now = house.clock().now()
    key = caller.get("/v1/api-keys")["items"][0]["api_key_id"]
    mandate = _made(
        caller.post(
            "/v1/mandates",
            {"api_key_id": key, "bank_account_ids": [account], "payees": "any",
             "per_payment_fen": PER_PAYMENT_FEN, "daily_fen": DAILY_FEN,
             "valid_from": (now - timedelta(minutes=1)).isoformat(),
             "valid_until": (now + timedelta(days=30)).isoformat()},
        )
    )  # fmt: skip
    path = f"/v1/mandates/{mandate['mandate_id']}"
    for founder in founders:
        assert caller.get(path)["state"] != "active"
        assert founder.sign(path).status == 200
    assert caller.get(path)["state"] == "active"


def _pay(caller: Caller, key: str, account: str, payee: Any, fen: int) -> dict[str, Any]:
    answer = caller.post("/v1/payments", order(account, payee, fen), key=key)
    assert answer.status == 202, answer
    return answer.data


def _state(caller: Caller, payment_id: str) -> str:
    return caller.get(f"/v1/payments/{payment_id}")["state"]


def _wait_for(caller: Caller, payment_id: str, state: str) -> None:
    wait_until(f"{payment_id} {state}", lambda: _state(caller, payment_id) == state, 40)
