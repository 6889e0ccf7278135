"""Events leave the house: in order, without gaps, signed; whatever becomes of broker and receiver.
And whoever changes the sealed log in the database is found out."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from support.listening import Received, Receiver, read_events
from support.running import House, wait_until

pytestmark = [
    pytest.mark.engine,
    pytest.mark.slow,
    pytest.mark.xdist_group("shared-house"),
]

KINDS = "payment.*"


def _bearer(house: House) -> str:
    return json.loads((house.folder / "demo" / "credentials.json").read_text())["bearer"]


def _sealed(house: House, kinds: str = "") -> list[dict[str, Any]]:
    """The whole sealed log as the event stream tells it, after everything has been sealed."""
    wait_until("all is sealed", lambda: house.tell("audit", "verify")["unsealed"] == 0, 20)
    head = house.tell("audit", "verify")["events"]
    return read_events(house.port, _bearer(house), after=0, until=head, kinds=kinds)


def _pay(house: House, count: int, seed: int) -> None:
    ids = house.caller().pay_many(house.orders(count, seed))
    states = house.wait_until_ended(ids.values(), 60)
    assert set(states.values()) == {"completed"}


def test_a_webhook_gets_exactly_the_sealed_sequence_through_outages_and_a_wiped_broker(
    shared: House,
) -> None:
    with Receiver() as receiver:
        created = shared.caller().post("/v1/webhooks", {"url": receiver.url, "kinds": [KINDS]})
        assert created.status == 201, created
        webhook, secret = created.data["webhook"], created.data["secret"]
        begin = webhook["delivered_seq"]

        _pay(shared, 15, seed=51)
        receiver.out_of_order = True
        _pay(shared, 15, seed=52)
        wait_until("a delivery is turned away", lambda: receiver.turned_away > 0, 30)
        _wipe_the_broker(shared)
        receiver.out_of_order = False
        _pay(shared, 15, seed=53)

        wanted = [e["seq"] for e in _sealed(shared, KINDS) if e["seq"] > begin]
        assert len(wanted) >= 45 * 3
        wait_until("everything is delivered", lambda: len(receiver.taken) >= len(wanted), 60)
        assert receiver.sequence() == wanted, "each once, in order, without gaps"
        assert all(each.is_signed_with(secret) for each in receiver.taken)
        first = [(each.id, each.body) for each in receiver.taken]

        _replay_gives_the_same_again(shared, receiver, webhook["webhook_id"], begin, first)


def _wipe_the_broker(house: House) -> None:
    """Take its store away and kill it: it comes back as a new one, and empty."""
    store = house.folder / "nats" / "store"
    assert any(store.iterdir()), "JetStream keeps something there"
    store.rename(house.base / "taken-away")
    killed = house.kill_child("nats")
    wait_until("another NATS", lambda: house.pid("nats") != killed, 20)
    wait_until("a new store", lambda: store.exists() and any(store.iterdir()), 20)


def _replay_gives_the_same_again(
    house: House, receiver: Receiver, webhook_id: str, after: int, first: list[tuple[str, bytes]]
) -> None:
    before: list[Received] = list(receiver.taken)
    answered = house.caller().post(f"/v1/webhooks/{webhook_id}/replay", {"after_seq": after})
    assert answered.status == 200, answered
    wait_until(
        "all is delivered again", lambda: len(receiver.taken) >= len(before) + len(first), 60
    )
    again = [(each.id, each.body) for each in receiver.taken[len(before) :]]
    assert again == first, "the same ids, the same bytes, the same order"


def test_a_viewer_that_reconnects_sees_no_gap_and_no_double(shared: House) -> None:
    _pay(shared, 10, seed=54)
    everything = _sealed(shared)
    assert [e["seq"] for e in everything] == list(range(1, len(everything) + 1))

    seen: list[dict[str, Any]] = []
    while len(seen) < len(everything):
        step = min(7 + len(seen) // 3, len(everything) - len(seen))
        after = seen[-1]["seq"] if seen else 0
        seen += read_events(shared.port, _bearer(shared), after=after, count=step)[:step]

    assert seen == everything
    some = read_events(
        shared.port, _bearer(shared), after=0, until=len(everything), kinds="payment.completed"
    )
    assert some == [e for e in everything if e["kind"] == "payment.completed"]


@pytest.mark.parametrize("crime", ["edited", "deleted"])
def test_a_superuser_who_changes_a_sealed_event_is_named(shared: House, crime: str) -> None:
    sealed = _sealed(shared)
    victim = next(e for e in sealed if e["kind"] == "person.created" or e["seq"] == 5)
    url, _ = shared.engine_urls()
    row = asyncio.run(_commit(url, crime, victim["id"]))
    try:
        told = shared.run("audit", "verify", "--json")
    finally:
        asyncio.run(_undo(url, row))

    assert told.returncode == 1, told.stdout
    finding = json.loads(told.stdout)["findings"][0]
    assert finding["seq"] == victim["seq"], "the first bad one is named"
    words = f"{finding['event_id']}".replace("-", "")
    assert words == victim["id"].replace("-", "")
    assert shared.tell("audit", "verify")["ok"], "put back, it verifies again"


async def _commit(url: str, crime: str, event_id: str) -> Any:
    """The crime, with the guards taken away first as only a superuser can; the row as it was."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow("SELECT * FROM audit_events WHERE event_id = $1", event_id)
        assert row is not None
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("DELETE FROM audit_events WHERE event_id = $1", event_id)
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            if crime == "edited":
                sql = "UPDATE audit_events SET actor = 'nobody' WHERE event_id = $1"
            else:
                sql = "DELETE FROM audit_events WHERE event_id = $1"
            assert (await connection.execute(sql, event_id)).endswith(" 1")
        return row
    finally:
        await connection.close()


async def _undo(url: str, row: Any) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(
                "DELETE FROM audit_events WHERE event_id = $1", row["event_id"]
            )
            names = ", ".join(row.keys())
            places = ", ".join(f"${n + 1}" for n in range(len(row)))
            await connection.execute(
                f"INSERT INTO audit_events ({names}) VALUES ({places})", *row.values()
            )
    finally:
        await connection.close()
