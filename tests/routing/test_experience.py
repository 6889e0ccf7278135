"""What the log of payments teaches: each event once, whoever reads it; late ends, returns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import ManualClock
from caiwutong.routing.beliefs import Beliefs, moment, own_outlook, payee_outlook, trust_of
from caiwutong.routing.experience import Notebook, read, read_on, write
from caiwutong.routing.service import Experience
from caiwutong.routing.store import MemoryNotebooks, NotebookStore, PostgresNotebooks

NOON = datetime(2026, 3, 4, 4, 0, tzinfo=UTC)
WAY = {
    "mode": "ibps", "clearing": "ibps", "bank": "102", "payee_bank": "103", "payee_kind": "state",
    "amount_fen": 100_000, "expected_s": 10.0, "explored": False,
}  # fmt: skip


class Told(msgspec.Struct, frozen=True):
    seq: int
    kind: str
    subject: str
    at: datetime
    data: Any


def log(*kinds: str, every_s: float = 5.0, **data: Any) -> list[Told]:
    """Payments that are sent and then end in this way, one after the other."""
    events: list[Told] = []
    for number, kind in enumerate(kinds):
        at = NOON + timedelta(seconds=60 * number)
        events.append(Told(0, "payment.submitted", f"p{number}", at, {"way": WAY}))
        events.append(Told(0, kind, f"p{number}", at + timedelta(seconds=every_s), data))
    return [msgspec.structs.replace(event, seq=n + 1) for n, event in enumerate(events)]


def fails(beliefs: Beliefs) -> float:
    trust = trust_of(beliefs, "ibps")
    found = payee_outlook(beliefs, "ibps", "103", "state", moment(NOON), trust)
    return found.failure * own_outlook(beliefs, "ibps", "ibps", "102", moment(NOON), trust).factor


def test_rejections_raise_the_expected_failure_and_completions_lower_it() -> None:
    fresh = fails(Beliefs())
    good = read_on(Notebook(), log(*["payment.completed"] * 50), NOON)
    mixed = [k for _ in range(10) for k in ("payment.completed",) * 4 + ("payment.rejected",)]
    bad = read_on(Notebook(), log(*mixed, code="RJ90"), NOON)
    assert fails(good.beliefs) < fresh < fails(bad.beliefs)


@pytest.mark.parametrize("code", ["RJ01", "RJ02", "RJ11"])
def test_a_wrong_name_or_account_is_not_held_against_the_way(code: str) -> None:
    found = read_on(Notebook(), log(*["payment.rejected"] * 20, code=code), NOON)
    assert fails(found.beliefs) <= fails(Beliefs())


def test_a_log_read_in_pieces_teaches_the_same_as_read_at_once() -> None:
    events = log("payment.completed", "payment.rejected", "payment.completed", code="RJ90")
    at_once = read_on(Notebook(), events, NOON)
    for cut in range(len(events) + 1):
        piece = read_on(Notebook(), events[:cut], NOON)
        assert read_on(read(write(piece)), events[cut:], NOON) == at_once


def test_a_kept_notebook_is_read_back_as_it_was() -> None:
    found = read_on(Notebook(), log("payment.completed", "payment.in_doubt"), NOON)
    assert read(write(found)) == found and "p1" in found.open


def test_a_payment_without_an_end_is_overdue_once_and_its_end_takes_that_back() -> None:
    sent = log("payment.clearing")
    late = NOON + timedelta(hours=1)
    waiting = read_on(Notebook(), sent, late)
    assert waiting.beliefs.seen == 1 and waiting.open["p0"].overdue
    assert read_on(waiting, [], late + timedelta(hours=1)) is waiting
    doubted = waiting.beliefs.cells[("z", "ibps")]
    end = Told(3, "payment.completed", "p0", late, {})
    ended = read_on(waiting, [end], late)
    assert doubted.s == 0.5 and ended.beliefs.cells[("z", "ibps")].s == 0.0


def test_a_return_after_completion_counts_as_a_freeze() -> None:
    done = read_on(Notebook(), log("payment.completed"), NOON)
    back = Told(3, "payment.returned", "p0", NOON + timedelta(days=1), {})
    assert read_on(done, [back], NOON).beliefs.cells[("z", "ibps")].s == 1.0


def test_a_way_told_by_another_version_teaches_nothing_and_breaks_nothing() -> None:
    events = [Told(1, "payment.submitted", "p0", NOON, {"way": {"mode": 7}})]
    assert read_on(Notebook(), events, NOON).open == {}


class Events:
    def __init__(self, events: list[Told]) -> None:
        self.events = events

    async def read(self, tx: object, tenant: str, after_seq: int, limit: int) -> list[Told]:
        return [event for event in self.events if event.seq > after_seq][:limit]

    async def heads(self, tx: object) -> dict[str, int]:
        return {"demo": len(self.events)}


@pytest.mark.parametrize("kind", ["memory", "postgres"])
async def test_a_store_keeps_the_newest_notebook_of_each_tenant(
    kind: str, request: pytest.FixtureRequest
) -> None:
    database: Any = MemoryDatabase()
    store: NotebookStore = MemoryNotebooks()
    if kind == "postgres":
        database = await PostgresDatabase.connect(request.getfixturevalue("shared_database_url"))
        store = PostgresNotebooks()
    async with database.transaction() as tx:
        assert await store.lock(tx, "a") == b"" and await store.all(tx) == {}
        await store.save(tx, "a", 7, b"seven")
    async with database.transaction() as tx:
        assert await store.lock(tx, "b") == b""
        await store.save(tx, "a", 8, b"eight")
    async with database.transaction() as tx:
        assert await store.lock(tx, "a") == b"eight" and await store.all(tx) == {"a": b"eight"}
    if kind == "postgres":
        await database.close()


async def test_the_service_learns_each_event_once_and_others_can_read_what_it_learnt() -> None:
    database, store, clock = MemoryDatabase(), MemoryNotebooks(), ManualClock(NOON)
    events = Events(log(*["payment.completed"] * 5))
    first = Experience(database=database, store=store, events=events, clock=clock)
    assert await first.run_once() == 10 and await first.run_once() == 0
    assert first.current("demo").seen == 5 and first.current("other").seen == 0
    second = Experience(database=database, store=store, events=events, clock=clock)
    await second.refresh()
    assert second.current("demo") == first.current("demo")


async def test_a_notebook_that_cannot_be_read_is_learnt_anew_from_the_log() -> None:
    database, store, clock = MemoryDatabase(), MemoryNotebooks(), ManualClock(NOON)
    async with database.transaction() as tx:
        await store.lock(tx, "demo")
        await store.save(tx, "demo", 3, b"not a notebook")
    events = Events(log(*["payment.completed"] * 5))
    experience = Experience(database=database, store=store, events=events, clock=clock)
    await experience.run_once()
    assert experience.current("demo").seen == 5
