"""The verifier: whatever a superuser does to sealed records shows, and the first bad one is named.

Each tampering is done on a real PostgreSQL with triggers off, then the report is read.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from caiwutong.audit.heads import read_heads
from caiwutong.audit.model import Event, leaf_hash
from caiwutong.audit.walk import Finding
from caiwutong.vault import Vault

from .conftest import RANDOM, World

pytestmark = pytest.mark.engine


async def first_bad(world: World) -> Finding:
    report = await world.verify()
    assert not report.ok
    assert report.first_bad is not None
    return report.first_bad


async def test_an_untouched_log_is_shown_to_be_whole(told_world: World) -> None:
    report = await told_world.verify()
    assert report.ok
    assert report.first_bad is None
    assert (report.tenants, report.events, report.batches, report.heads) == (2, 13, 4, 4)
    assert (report.unsealed, report.unexported) == (1, 0)


async def test_an_empty_log_is_whole(pg_world: World) -> None:
    assert (await pg_world.verify()).ok


@pytest.mark.parametrize(
    "edit",
    [
        "body = '{}'",
        "kind = 'payment.rejected'",
        "actor = 'key:someone'",
        "subject_kind = 'payee'",
        "subject_id = gen_random_uuid()",
        "at = at + interval '1 microsecond'",
        "recorded_at = recorded_at - interval '1 microsecond'",
    ],
)
async def test_an_edited_column_is_named_by_event(
    told_world: World, told: list[Event], edit: str
) -> None:
    target = told[5].event_id
    await told_world.as_superuser(f"UPDATE audit_events SET {edit} WHERE event_id = '{target}'")
    bad = await first_bad(told_world)
    assert (bad.what, bad.tenant, bad.seq, bad.event_id) == ("edited", "acme", 6, target)
    assert bad.batch_no == 2


async def test_the_first_of_two_edits_is_named(told_world: World, told: list[Event]) -> None:
    for place in (8, 2):
        await told_world.as_superuser(
            f"UPDATE audit_events SET actor = 'x' WHERE event_id = '{told[place].event_id}'"
        )
    assert (await first_bad(told_world)).seq == 3


async def test_an_edit_with_its_leaf_rewritten_is_still_named(
    told_world: World, told: list[Event]
) -> None:
    target = told[5].event_id
    await told_world.as_superuser(
        f"UPDATE audit_events SET body = '{{}}' WHERE event_id = '{target}'"
    )
    async with told_world.database.transaction() as tx:
        (forged,) = await told_world.audit.timeline(tx, "acme", told[5].subject_id)
        batch = (await told_world.store.batches_after(tx, "acme", 1, 1))[0]
    leaves = batch.leaves[:32] + leaf_hash(forged) + batch.leaves[64:]
    await told_world.as_superuser(
        f"UPDATE audit_batches SET leaves = '\\x{leaves.hex()}' "
        "WHERE tenant = 'acme' AND batch_no = 2"
    )
    bad = await first_bad(told_world)
    assert (bad.what, bad.seq, bad.event_id) == ("edited", 6, target)
    assert "rewritten to fit" in bad.detail


@pytest.mark.parametrize("place", [0, 4, 9])
async def test_a_deleted_event_is_named(told_world: World, told: list[Event], place: int) -> None:
    target = told[place].event_id
    await told_world.as_superuser(f"DELETE FROM audit_events WHERE event_id = '{target}'")
    bad = await first_bad(told_world)
    assert (bad.what, bad.seq, bad.event_id) == ("deleted", place + 1, target)


@pytest.mark.parametrize("place", [0, 4, 9])
async def test_an_inserted_event_is_named(told_world: World, told: list[Event], place: int) -> None:
    # The lowest id: within its transaction it stands before the sealed event.
    intruder = "00000000-0000-7000-8000-000000000000"
    await told_world.as_superuser(
        "INSERT INTO audit_events (tenant, event_id, xid, kind, subject_kind, subject_id, actor, "
        f"at, body) SELECT tenant, '{intruder}', xid, kind, subject_kind, subject_id, actor, at, "
        f"body FROM audit_events WHERE event_id = '{told[place].event_id}'"
    )
    bad = await first_bad(told_world)
    assert (bad.what, bad.seq, str(bad.event_id)) == ("inserted", place + 1, intruder)


async def test_a_copied_event_is_named(told_world: World, told: list[Event]) -> None:
    await told_world.as_superuser(
        "INSERT INTO audit_events (tenant, event_id, xid, kind, subject_kind, subject_id, actor, "
        "at, body) SELECT a.tenant, a.event_id, b.xid, a.kind, a.subject_kind, a.subject_id, "
        "a.actor, a.at, a.body FROM audit_events a, audit_events b "
        f"WHERE a.event_id = '{told[1].event_id}' AND b.event_id = '{told[6].event_id}'"
    )
    bad = await first_bad(told_world)
    assert (bad.what, bad.seq, bad.event_id) == ("inserted", 7, told[1].event_id)


async def test_events_that_changed_places_are_named(told_world: World, told: list[Event]) -> None:
    one, two = told[2].event_id, told[7].event_id
    await told_world.as_superuser(
        "UPDATE audit_events e SET xid = o.xid FROM audit_events o "
        f"WHERE (e.event_id, o.event_id) IN (('{one}', '{two}'), ('{two}', '{one}'))"
    )
    bad = await first_bad(told_world)
    assert (bad.what, bad.seq, bad.event_id) == ("reordered", 3, one)


async def test_a_transaction_number_altered_in_place_is_named(
    told_world: World, told: list[Event]
) -> None:
    target = told[0].event_id
    await told_world.as_superuser(f"UPDATE audit_events SET xid = '1' WHERE event_id = '{target}'")
    bad = await first_bad(told_world)
    assert (bad.what, bad.seq, bad.event_id) == ("edited", 1, target)
    assert "transaction number is 1" in bad.detail


async def test_a_tail_cut_off_in_both_tables_is_seen_from_the_exported_heads(
    told_world: World, told: list[Event]
) -> None:
    ids = ", ".join(f"'{event.event_id}'" for event in told[8:])
    await told_world.as_superuser(
        f"DELETE FROM audit_events WHERE event_id IN ({ids})",
        "DELETE FROM audit_batches WHERE tenant = 'acme' AND batch_no = 3",
    )
    bad = await first_bad(told_world)
    assert (bad.what, bad.batch_no, bad.seq) == ("tail_missing", 3, 9)


async def test_a_tenant_wiped_out_is_seen_from_the_exported_heads(told_world: World) -> None:
    await told_world.as_superuser(
        "DELETE FROM audit_events WHERE tenant = 'other'",
        "DELETE FROM audit_batches WHERE tenant = 'other'",
    )
    bad = await first_bad(told_world)
    assert (bad.what, bad.tenant, bad.seq) == ("tail_missing", "other", 1)


async def test_a_missing_batch_in_the_middle_is_named(told_world: World) -> None:
    await told_world.as_superuser(
        "DELETE FROM audit_batches WHERE tenant = 'acme' AND batch_no = 2"
    )
    bad = await first_bad(told_world)
    assert (bad.what, bad.batch_no, bad.seq) == ("batch_missing", 2, 5)


@pytest.mark.parametrize(
    "edit",
    [
        "leaves = decode(repeat('00', 128), 'hex')",
        "root = decode(repeat('00', 32), 'hex')",
        "frontier = decode(repeat('00', 32), 'hex')",
        "signature = decode(repeat('00', 64), 'hex')",
        "head = decode('7b7d', 'hex')",
        "sealed_at = sealed_at + interval '1 second'",
        "last_xid = '5'",
        "event_xids[2] = '5'",
        "first_seq = 1000",
        "count = 3, event_ids = event_ids[1:3], event_xids = event_xids[1:3], "
        "leaves = substr(leaves, 1, 96)",
        "head = (SELECT head FROM audit_batches WHERE tenant = 'acme' AND batch_no = 1), "
        "signature = (SELECT signature FROM audit_batches WHERE tenant = 'acme' AND batch_no = 1)",
    ],
)
async def test_an_altered_batch_is_named(told_world: World, edit: str) -> None:
    await told_world.as_superuser(
        f"UPDATE audit_batches SET {edit} WHERE tenant = 'acme' AND batch_no = 2"
    )
    bad = await first_bad(told_world)
    assert (bad.what, bad.batch_no) == ("batch_altered", 2)


async def test_a_batch_sealed_anew_without_the_vaults_key_is_named(
    told_world: World, told: list[Event]
) -> None:
    """The intruder edits an event, then seals the last batch again with a key of their own."""
    true_vault, told_world.vault = told_world.vault, Vault.in_memory(RANDOM)
    await told_world.as_superuser(
        "DELETE FROM audit_batches WHERE tenant = 'acme' AND batch_no = 3",
        f"UPDATE audit_events SET actor = 'x' WHERE event_id = '{told[9].event_id}'",
    )
    forged_folder = told_world.heads.path.parent / "forged"
    forger = told_world.new_sealer()
    forger._heads = type(told_world.heads)(forged_folder)  # pyright: ignore[reportPrivateUsage]
    assert await forger.run_once() > 0
    told_world.vault = true_vault
    bad = await first_bad(told_world)
    assert (bad.what, bad.batch_no, bad.seq) == ("batch_altered", 3, 9)
    assert "not signed by the vault's key" in bad.detail


def _rewrite(path: Path, number: int, line: bytes | None) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number : number + 1] = [] if line is None else [line]
    path.write_bytes(b"".join(lines))


async def test_an_exported_head_that_was_altered_is_named(told_world: World) -> None:
    line = next(read_heads(told_world.heads.path))
    forged = bytes(line.head).replace(b'"size":4', b'"size":5')
    assert forged != bytes(line.head)
    _rewrite(
        told_world.heads.path,
        0,
        msgspec.json.encode({"head": msgspec.Raw(forged), "signature": line.signature}) + b"\n",
    )
    bad = await first_bad(told_world)
    assert (bad.what, bad.tenant, bad.batch_no) == ("head_altered", "acme", 1)


@pytest.mark.parametrize("line", [b"not a head\n", b'{"head": {}, "signature": ""}\n'])
async def test_a_line_that_is_no_head_is_reported(told_world: World, line: bytes) -> None:
    _rewrite(told_world.heads.path, 1, line)
    assert (await first_bad(told_world)).what == "head_altered"


async def test_an_exported_head_that_is_gone_from_the_middle_is_named(told_world: World) -> None:
    batch_no = [line.decoded().batch_no for line in read_heads(told_world.heads.path)].index(2)
    _rewrite(told_world.heads.path, batch_no, None)
    bad = await first_bad(told_world)
    assert (bad.what, bad.batch_no, bad.seq) == ("head_missing", 2, 5)


async def test_a_witness_file_that_is_gone_is_reported(told_world: World) -> None:
    told_world.heads.path.unlink()
    bad = await first_bad(told_world)
    assert bad.what == "head_missing"
    assert "holds no head" in bad.detail


async def test_one_tenants_damage_does_not_hide_anothers_state(told_world: World) -> None:
    await told_world.as_superuser("UPDATE audit_events SET actor = 'x' WHERE tenant = 'acme'")
    report = await told_world.verify()
    assert [finding.tenant for finding in report.findings] == ["acme"]
    assert report.batches == 1
    assert report.events == 3
