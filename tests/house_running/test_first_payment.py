"""A fresh folder, one command, one curl: settled money; and the same folder once more."""

from __future__ import annotations

import shlex
import socket
import subprocess
import time

import msgspec
import pytest

from support.processes import working_on
from support.running import House

pytestmark = [pytest.mark.engine, pytest.mark.slow]

FIRST_PAYMENT_WITHIN_S = 60.0


def _printed_curl(house: House) -> list[str]:
    line = next(line for line in house.lines if line.strip().startswith("curl "))
    return [*shlex.split(line), "-w", "\n%{http_code}"]


def _run(curl: list[str]) -> tuple[int, dict[str, object]]:
    done = subprocess.run(curl, capture_output=True, text=True, timeout=60, check=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), msgspec.json.decode(body)


def test_one_printed_curl_becomes_settled_money_and_the_folder_keeps_it(house: House) -> None:
    began = time.monotonic()
    ready = house.start()
    curl = _printed_curl(house)

    status, paid = _run(curl)

    assert status == 202, paid
    states = house.wait_until_ended([str(paid["id"])], 60)
    first = time.monotonic() - began
    print(f"ready in {ready:.1f} s, first payment completed {first:.1f} s after the start")
    assert set(states.values()) == {"completed"}
    assert first <= FIRST_PAYMENT_WITHIN_S
    assert house.assert_it_holds()["payments"] == 1

    _a_second_one_is_refused(house)
    timeline = house.caller().get(f"/v1/payments/{paid['id']}/timeline")
    assert house.stop() == 0, house.said()

    house.start()
    again = house.caller()
    assert again.get(f"/v1/payments/{paid['id']}/timeline") == timeline
    status, answered = _run(_printed_curl(house))
    assert status == 202
    assert (answered["id"], answered["replayed"]) == (paid["id"], True)
    assert len(list(again.every("/v1/payments"))) == 1
    assert house.assert_it_holds()["payments"] == 1
    assert house.stop() == 0, house.said()


def _a_second_one_is_refused(house: House) -> None:
    second = house.run("up", "--port", str(house.port + 1), within_s=60)
    assert second.returncode == 1
    assert "engines.already_running" in second.stderr
    assert str(house.folder) in second.stderr, "it names the folder"
    assert house.caller().get("/healthz"), "the first one does not notice"


def test_told_to_stop_while_payments_are_under_way_it_ends_clean_and_goes_on_later(
    house: House,
) -> None:
    house.start()
    caller = house.caller()
    ids = caller.pay_many(house.orders(40, seed=1))
    assert house.stop() == 0, house.said()

    house.start()
    house.set_clock(scale=10)  # What was claimed is free again after a minute of business time.
    states = house.wait_until_ended(ids.values(), 90)

    assert set(states.values()) == {"completed"}
    assert house.assert_it_holds(ids.values())["payments"] == 40


def test_a_port_that_is_taken_is_refused_and_nothing_is_left(house: House) -> None:
    with socket.socket() as another:
        another.bind(("127.0.0.1", house.port))
        another.listen()
        refused = house.run("up", "--port", str(house.port), "--json", within_s=90)

    assert refused.returncode == 1
    told = msgspec.json.decode(refused.stdout.splitlines()[-1])
    assert told["error"] == "up.port_taken" and str(house.port) in told["detail"]
    assert not working_on(house.base)
