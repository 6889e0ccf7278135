"""Laws of the audit log, over logs and intruders that nobody thought of."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.audit.memory import MemoryAuditStore
from caiwutong.audit.model import Batch, Event
from caiwutong.db.memory import MemoryDatabase
from caiwutong.kernel.clock import ManualClock

from .conftest import NOON, World

replace = msgspec.structs.replace
rounds = st.lists(st.integers(1, 6), min_size=1, max_size=4)


async def sealed_log(folder: Path, told: list[int]) -> tuple[World, MemoryAuditStore]:
    store = MemoryAuditStore(ManualClock(NOON))
    world = World(MemoryDatabase(), store, folder, "")
    for count in told:
        await world.tell(count)
        await world.seal_all()
    return world, store


def edited_event(draw: st.DataObject, event: Event) -> Event:
    change = draw.draw(
        st.sampled_from(
            [
                {"kind": event.kind + "x"},
                {"subject_kind": ""},
                {"subject_id": UUID(int=event.subject_id.int ^ 1)},
                {"actor": "key:other"},
                {"at": event.at + timedelta(microseconds=1)},
                {"body": event.body + b" "},
                {"recorded_at": NOON - timedelta(days=1)},
            ]
        )
    )
    return replace(event, **change)


def edited_batch(draw: st.DataObject, batch: Batch) -> Batch:
    field = draw.draw(st.sampled_from(["leaves", "root", "head", "signature", "frontier"]))
    value = bytearray(getattr(batch, field))
    value[draw.draw(st.integers(0, len(value) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    return replace(batch, **{field: bytes(value)})


def tamper(draw: st.DataObject, events: list[Event], batches: list[Batch]) -> None:
    at = draw.draw(st.integers(0, len(events) - 1))
    act = draw.draw(st.sampled_from(["edit", "delete", "insert", "swap", "batch", "cut"]))
    if act == "edit":
        events[at] = edited_event(draw, events[at])
    elif act == "delete":
        del events[at]
    elif act == "insert":
        intruder = edited_event(draw, events[at])
        events.insert(at, replace(intruder, event_id=UUID(int=1), xid=events[at].xid))
    elif act == "swap" and len(events) > 1:
        other = (at + 1) % len(events)
        events[at], events[other] = events[other], events[at]
    elif act == "cut":
        size = batches[-1].count
        del batches[-1], events[-size:]
    else:
        place = draw.draw(st.integers(0, len(batches) - 1))
        batches[place] = edited_batch(draw, batches[place])


@settings(max_examples=150)
@given(rounds, st.data())
def test_no_tampering_with_a_sealed_log_goes_unseen(told: list[int], draw: st.DataObject) -> None:
    async def story() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world, store = await sealed_log(Path(folder), told)
            report = await world.verify()
            assert report.ok, report
            assert (report.events, report.unsealed) == (sum(told), 0)
            tamper(draw, store.events["acme"], store.batches["acme"])
            report = await world.verify()
            assert not report.ok
            assert report.first_bad is not None
            assert report.first_bad.seq is not None

    asyncio.run(story())


@settings(max_examples=60)
@given(rounds, st.integers(1, 7))
def test_every_event_is_sealed_once_whatever_the_batches(told: list[int], limit: int) -> None:
    async def story() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world, store = await sealed_log(Path(folder), told)
            read: list[tuple[int, Event]] = []
            while some := await world.sealed(len(read), limit):
                read.extend(some)
            assert [seq for seq, _ in read] == list(range(1, sum(told) + 1))
            assert [event for _, event in read] == store.events["acme"]
            first_seqs = [batch.first_seq for batch in store.batches["acme"]]
            sizes = [batch.size for batch in store.batches["acme"]]
            assert first_seqs == [1, *(size + 1 for size in sizes[:-1])]

    asyncio.run(story())
