"""``kill -9`` of every process in the middle of a running month: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import threading
import time
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from support.running import Caller, House, wait_until

pytestmark = [pytest.mark.engine, pytest.mark.slow]

BACK_WITHIN_S = 2.0
SLACK = 2.5
"""The bar holds on a quiet machine; a busy one gets this much more. The figures are printed."""
PAID = 400
IMPORTED = 120


@pytest.mark.parametrize("seed", [20261123])
def test_every_process_is_killed_once_in_a_running_month_and_the_month_holds(seed: int) -> None:
    house = House(faults="demo")
    try:
        house.start()
        _run_a_month_and_kill(house, random.Random(seed))
        assert house.stop() == 0, house.said()
    finally:
        house.erase()


def _run_a_month_and_kill(house: House, draw: random.Random) -> None:
    house.set_clock(scale=10)
    orders = house.orders(PAID, seed=draw.randrange(10_000))
    importing = _Importing(house, draw.randrange(10_000))
    taken: dict[str, str] = {}
    paying = threading.Thread(target=_pay_slowly, args=(house, orders, taken), daemon=True)
    importing.start()
    paying.start()
    victims = ["api", "worker", "postgres", "nats", "sandbox"]
    draw.shuffle(victims)
    for victim in victims:
        time.sleep(draw.uniform(0.5, 2.0))
        _kill(house, victim)
    paying.join(180)
    importing.join(180)
    assert not paying.is_alive() and len(taken) == PAID
    assert importing.error is None, importing.error

    again = house.caller().pay_many(orders)
    assert again == taken, "the same key is answered with the same payment"

    house.sandbox.heal()
    _let_hours_pass_until_all_ended(house)
    payments = {p["id"] for p in house.caller().every("/v1/payments")}
    assert set(taken.values()) <= payments, "an acknowledged payment is lost"
    assert len(payments) == PAID + IMPORTED
    house.assert_it_holds(payments)


def _kill(house: House, victim: str) -> None:
    killed = house.kill_child(victim)
    began = time.monotonic()
    if victim == "postgres":
        back = _accepts_again(house)
        print(f"postgres killed: answers again after {back:.2f} s")
        assert back <= BACK_WITHIN_S * SLACK
    wait_until(f"another {victim}", lambda: house.pid(victim) != killed, 30)
    print(f"{victim} killed: started again after {time.monotonic() - began:.2f} s")


def _accepts_again(house: House) -> float:
    url, _ = house.engine_urls()

    async def wait() -> float:
        began = time.monotonic()
        while True:
            try:
                connection = await asyncpg.connect(url, timeout=5)
                await connection.fetchval("SELECT 1")
                await connection.close()
                return time.monotonic() - began
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                assert time.monotonic() - began < 60
                await asyncio.sleep(0.01)

    return asyncio.run(wait())


def _pay_slowly(house: House, orders: dict[str, dict[str, object]], taken: dict[str, str]) -> None:
    """All orders in rounds, so that the kills fall between and into requests."""
    caller = house.caller(hmac=True)
    keys = list(orders)
    for start in range(0, len(keys), 20):
        taken |= caller.pay_many({key: orders[key] for key in keys[start : start + 20]})
        time.sleep(0.25)


class _Importing(threading.Thread):
    """Imports a file over HTTP, and sends it again as long as something breaks."""

    def __init__(self, house: House, seed: int) -> None:
        super().__init__(daemon=True)
        self._house = house
        self.error: AssertionError | None = None
        self._file = house.month_file(IMPORTED, seed)

    def run(self) -> None:
        try:
            self._until_applied()
        except AssertionError as error:
            self.error = error

    def _until_applied(self) -> None:
        end = time.monotonic() + 150
        caller, told = self._house.caller(hmac=True), "nothing yet"
        while time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException):
                got = caller.post("/v1/imports?file_name=month.csv", self._file.read_bytes())
                told = str(got.data)
                if got.status == 201 and self._further(caller, got.data):
                    return
            time.sleep(0.4)
        raise AssertionError(f"the import was not applied: {told}")

    def _further(self, caller: Caller, at: dict[str, Any]) -> bool:
        """Do what the import waits for; whether it is done. The same file is the same import."""
        path = f"/v1/imports/{at['import_id']}"
        match at["state"]:
            case "finished":
                assert (at["applied"], at["not_applied"]) == (IMPORTED, 0), at
                return True
            case "received":
                caller.post(f"{path}/check")
            case "checked" | "stopped":
                caller.post(f"{path}/apply", {})
        return False


def _let_hours_pass_until_all_ended(house: House) -> None:
    """Business hours pass until every payment has ended."""
    caller, end = house.caller(), time.monotonic() + 120
    while True:
        counts = house.tell("payments")["overview"]["states"]
        if set(counts) <= {"completed", "rejected", "cancelled", "reversed"}:
            break
        assert time.monotonic() < end, counts
        house.set_clock(at=house.clock().now() + timedelta(hours=1), scale=120)
        time.sleep(1)
    assert caller.get("/healthz")
    time.sleep(2)  # Returns and clearing notices that are still on their way.


def test_the_parent_killed_leaves_nothing_and_a_restart_completes_what_was_under_way(
    house: House,
) -> None:
    house.start()
    ids = house.caller().pay_many(house.orders(30, seed=3))
    gone = house.kill(3.0 * SLACK)
    print(f"parent killed: nothing left after {gone:.2f} s")

    house.start()
    house.set_clock(scale=10)  # What was claimed is free again after a minute of business time.
    states = house.wait_until_ended(ids.values(), 90)

    assert set(states.values()) == {"completed"}
    house.assert_it_holds(ids.values())
    assert house.stop() == 0, house.said()
