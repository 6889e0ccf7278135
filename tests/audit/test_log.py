"""The log itself, in both stores: what is told can be read, in an order that never changes."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import asyncpg
import msgspec
import pytest

from caiwutong.audit.model import HOUSE, Event, canonical_json, event_bytes, leaf_hash
from caiwutong.db.postgres import pg
from caiwutong.db.queries import load
from caiwutong.kernel.errors import Refused

from .conftest import NOON, SealedLog, World, as_superuser


async def test_a_timeline_tells_all_of_one_subject_in_time_order(world: World) -> None:
    subject = UUID(int=7)
    kinds = ["payment.created", "payment.validated", "payment.submitted"]
    for kind in kinds:
        event = world.audit.event("acme", kind, actor="key:erp", subject_id=subject)
        other = world.audit.event("other", kind, actor="key:erp", subject_id=subject)
        async with world.database.transaction() as tx:
            await world.audit.append_many(tx, [event, other])
        world.clock.advance(1)
    async with world.database.transaction() as tx:
        timeline = await world.audit.timeline(tx, "acme", subject)
        assert await world.audit.timeline(tx, "acme", UUID(int=8)) == []
    assert [event.kind for event in timeline] == kinds
    assert [event.at for event in timeline] == [NOON + timedelta(seconds=n) for n in range(3)]
    assert all(event.tenant == "acme" and event.recorded_at for event in timeline)


async def test_an_event_comes_back_as_it_was_told(world: World) -> None:
    (told,) = await world.tell(1)
    await world.seal_all()
    ((seq, event),) = await world.sealed()
    assert seq == 1
    assert msgspec.structs.replace(event, recorded_at=None, xid=0) == told
    assert event.data() == {"number": 0, "payee": "上海某某有限公司"}


async def test_an_act_that_is_rolled_back_leaves_no_event(world: World) -> None:
    with pytest.raises(ZeroDivisionError):
        async with world.database.transaction() as tx:
            await world.audit.append_many(tx, [world.event()])
            raise ZeroDivisionError
    assert await world.seal_all() == 0
    async with world.database.transaction() as tx:
        assert await world.audit.timeline(tx, "acme", UUID(int=1)) == []


async def test_a_refused_act_is_told_in_its_own_transaction(world: World) -> None:
    refused = Refused("payments.not_allowed", "Account …0417 is not in the mandate.", "Ask.")
    await world.audit.record_refusal(
        "acme", "payment.submit", refused, actor="key:erp", subject_kind="payment",
        subject_id=UUID(int=9), facts={"account": "…0417"},
    )  # fmt: skip
    await world.audit.record_refusal(HOUSE, "api.call", refused, actor="stranger")
    async with world.database.transaction() as tx:
        (event,) = await world.audit.timeline(tx, "acme", UUID(int=9))
    assert event.kind == "payment.submit.refused"
    assert event.data() == {
        "code": "payments.not_allowed",
        "detail": "Account …0417 is not in the mandate.",
        "facts": {"account": "…0417"},
    }


@pytest.mark.parametrize("limit", [1, 3, 4, 7, 100])
async def test_a_reader_that_remembers_its_seq_misses_nothing(world: World, limit: int) -> None:
    told = await world.tell(10)
    await world.tell(3, "other")
    await world.seal_all()
    read: list[tuple[int, Event]] = []
    while some := await world.sealed(len(read), limit):
        assert len(some) <= limit
        read.extend(some)
    assert [seq for seq, _ in read] == list(range(1, 11))
    assert [event.event_id for _, event in read] == [event.event_id for event in told]
    async with world.database.transaction() as tx:
        assert await world.audit.sealed_sizes(tx) == {"acme": 10, "other": 3}
        assert await world.store.tenants(tx) == ["acme", "other"]


async def test_nothing_is_readable_before_it_is_sealed(world: World) -> None:
    await world.tell(2)
    assert await world.sealed() == []
    async with world.database.transaction() as tx:
        assert await world.audit.sealed_sizes(tx) == {}


async def test_telling_nothing_is_nothing(world: World) -> None:
    async with world.database.transaction() as tx:
        await world.audit.append_many(tx, [])


@pytest.mark.engine
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET kind = 'other'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "UPDATE audit_batches SET count = 2",
        "DELETE FROM audit_batches",
        "INSERT INTO audit_events (tenant, event_id, kind, subject_kind, subject_id, actor, at, "
        "body, xid) VALUES ('acme', gen_random_uuid(), 'k', '', gen_random_uuid(), 'a', now(), "
        "'', '3')",
    ],
)
async def test_the_application_may_not_change_what_was_told(
    told_world: World, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with told_world.database.transaction() as tx:
            await pg(tx).execute(statement)


@pytest.mark.engine
@pytest.mark.parametrize("table", ["audit_events", "audit_batches"])
@pytest.mark.parametrize("change", ["UPDATE {} SET tenant = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_even_the_owner_is_stopped_by_the_trigger(
    told_world: World, table: str, change: str
) -> None:
    owner = await asyncpg.connect(told_world.url)
    try:
        with pytest.raises(asyncpg.RestrictViolationError):
            await owner.execute(change.format(table))
    finally:
        await owner.close()


@pytest.mark.engine
async def test_a_batch_must_follow_the_last_one(pg_world: World) -> None:
    await pg_world.tell(1)
    await pg_world.seal_all()
    async with pg_world.database.transaction() as tx:
        batch = await pg_world.store.last_batch(tx, "acme")
    assert batch is not None
    for changes in ({"batch_no": 3}, {"batch_no": 2, "first_seq": 3}, {"batch_no": 2}):
        forked = msgspec.structs.replace(batch, **changes)
        with pytest.raises(asyncpg.RestrictViolationError):
            async with pg_world.database.transaction() as tx:
                await pg_world.store.save_batch(tx, forked)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("query", "types", "arguments"),
    [
        ("read_sealed", "(text, bigint, bigint)", "('acme', 0, 500)"),
        ("timeline", "(text, uuid)", "('acme', gen_random_uuid())"),
        ("next_events", "(text, xid8, uuid, bigint)", "('acme', '0', gen_random_uuid(), 1024)"),
        ("pending", "", ""),
        ("tenants", "", ""),
        ("sealed_sizes", "", ""),
        ("last_batch", "(text)", "('acme')"),
        ("batch_of", "(text, xid8, uuid)", "('acme', '0', gen_random_uuid())"),
        ("batches_after", "(text, bigint, bigint)", "('acme', 0, 5)"),
    ],
)
async def test_a_plan_made_on_empty_tables_still_probes_by_key(
    sealed_log: SealedLog, query: str, types: str, arguments: str
) -> None:
    sql = load("caiwutong.audit")[query].rstrip(";")
    for table in ("audit_events", "audit_batches"):
        # Nothing may look at the empty tables before we do: once analysed, they are known to be
        # empty, and a scan of nothing is the right plan.
        await as_superuser(sealed_log.url, f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await as_superuser(sealed_log.url, "TRUNCATE audit_events, audit_batches")
    connection = await asyncpg.connect(sealed_log.url)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE asked {types} AS {sql}")
        plan = await connection.fetch(f"EXPLAIN EXECUTE asked {arguments}")
    finally:
        await connection.close()
    scans = [row[0] for row in plan if " on audit_" in row[0]]
    assert scans
    assert all("Index" in scan for scan in scans), scans


def _stored() -> Event:
    return Event(
        tenant="acme", event_id=UUID(int=1), kind="payment.created", subject_kind="payment",
        subject_id=UUID(int=2), actor="key:erp", at=NOON, body=b"{}", recorded_at=NOON, xid=5,
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "acmf"}, {"event_id": UUID(int=3)}, {"kind": "payment.rejected"},
        {"subject_kind": "payee"}, {"subject_id": UUID(int=3)}, {"actor": "key:other"},
        {"at": NOON + timedelta(microseconds=1)}, {"body": b"[]"},
        {"recorded_at": NOON - timedelta(microseconds=1)}, {"xid": 6},
        {"kind": "payment.createdp", "subject_kind": "ayment"},
    ],
    ids=lambda change: "+".join(change),
)  # fmt: skip
def test_the_leaf_covers_every_column(change: dict[str, object]) -> None:
    event = _stored()
    assert leaf_hash(msgspec.structs.replace(event, **change)) != leaf_hash(event)
    assert set(Event.__struct_fields__) == {
        "tenant", "event_id", "kind", "subject_kind", "subject_id", "actor", "at", "body",
        "recorded_at", "xid",
    }  # fmt: skip


def test_an_event_not_read_back_has_no_final_bytes() -> None:
    with pytest.raises(ValueError, match="read back"):
        event_bytes(msgspec.structs.replace(_stored(), recorded_at=None))


def test_equal_values_have_equal_canonical_json() -> None:
    assert canonical_json({"b": 1, "a": "财"}) == canonical_json({"a": "财", "b": 1})
    assert canonical_json({"b": 1, "a": "财"}) == '{"a":"财","b":1}'.encode()
