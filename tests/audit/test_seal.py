"""The sealer: every committed event once, in one order, in one tree, witnessed outside."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from caiwutong.audit.heads import Head, HeadsFile, MemoryHeads, SignedHead, read_heads
from caiwutong.audit.model import leaf_hash
from caiwutong.crypto import merkle
from caiwutong.db.postgres import pg
from caiwutong.kernel.errors import Broken, Conflict

from .conftest import World


async def batches(world: World, tenant: str = "acme") -> list[tuple[int, int, int]]:
    async with world.database.transaction() as tx:
        found = await world.store.batches_after(tx, tenant, 0, 1000)
    return [(each.batch_no, each.first_seq, each.count) for each in found]


async def test_batches_follow_each_other_and_hold_the_tree(world: World) -> None:
    await world.tell(6)
    await world.seal_all()
    await world.tell(3)
    await world.seal_all()
    assert await batches(world) == [(1, 1, 4), (2, 5, 2), (3, 7, 3)]
    events = [event for _, event in await world.sealed()]
    async with world.database.transaction() as tx:
        last = await world.store.last_batch(tx, "acme")
    assert last is not None
    assert last.root == merkle.root([leaf_hash(event) for event in events])
    assert last.size == len(events) == 9


async def test_heads_are_exported_in_order_and_signed(world: World) -> None:
    await world.tell(6)
    await world.tell(1, "other")
    await world.seal_all()
    lines = list(read_heads(world.heads.path))
    assert [(line.decoded().tenant, line.decoded().size) for line in lines] == [
        ("acme", 4),
        ("other", 1),
        ("acme", 6),
    ]
    assert all(line.is_signed_by(world.vault.head_public_key) for line in lines)
    assert world.heads.path.stat().st_mode & 0o777 == 0o600


async def test_there_is_nothing_to_do_when_all_is_sealed(world: World) -> None:
    assert await world.sealer.run_once() == 0
    await world.tell(2)
    assert await world.sealer.run_once() == 2
    assert await world.sealer.run_once() == 0


async def test_a_running_sealer_seals_soon_after_the_commit(world: World) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(world.sealer.run(stop))
    await world.tell(5)
    await world.until_sealed(5, within_s=5, by=[running])
    stop.set()
    async with asyncio.timeout(5):
        await running


async def test_a_sleeping_sealer_is_woken_by_a_commit_in_its_process(memory_world: World) -> None:
    world, stop = memory_world, asyncio.Event()
    world.sealer._idle_s = 3600  # pyright: ignore[reportPrivateUsage]
    running = asyncio.create_task(world.sealer.run(stop))
    await asyncio.sleep(0.05)
    await world.tell(1)
    await world.until_sealed(1, within_s=5, by=[running])
    stop.set()
    await running


@pytest.mark.engine
async def test_a_transaction_that_commits_late_is_not_skipped(pg_world: World) -> None:
    early, late = pg_world.event(1), pg_world.event(2)
    async with pg_world.database.transaction() as slow:
        await pg_world.audit.append_many(slow, [early])
        async with pg_world.database.transaction() as quick:
            await pg_world.audit.append_many(quick, [late])
        # The later one is committed, the earlier one still open: neither may be sealed.
        assert await pg_world.sealer.run_once() == 0
    assert await pg_world.sealer.run_once() == 2
    assert [event.event_id for _, event in await pg_world.sealed()] == [
        early.event_id,
        late.event_id,
    ]


@pytest.mark.engine
async def test_two_sealers_at_once_grow_one_tree(pg_world: World) -> None:
    sealers = [pg_world.new_sealer(3) for _ in range(3)]
    stop = asyncio.Event()
    running = [asyncio.create_task(sealer.run(stop)) for sealer in sealers]
    writers = [pg_world.tell(15) for _ in range(3)]
    await asyncio.gather(*writers)
    await pg_world.until_sealed(45, within_s=30, by=running)
    stop.set()
    await asyncio.gather(*running)
    report = await pg_world.verify()
    assert (report.findings, report.events, report.unsealed, report.unexported) == ([], 45, 0, 0)


async def test_what_a_crash_kept_from_export_is_exported_next_time(world: World) -> None:
    await world.tell(4)
    await world.seal_all()
    kept = world.heads.path.read_bytes()
    await world.tell(5)
    await world.seal_all()
    world.heads.path.write_bytes(kept + b'{"head":{"version":1,"ten')  # torn by the crash
    again = world.new_sealer()
    await again.run_once()
    assert [line.decoded().batch_no for line in read_heads(world.heads.path)] == [1, 2, 3]
    assert (await world.verify()).ok


async def test_a_database_put_back_to_an_earlier_moment_is_not_sealed_on(
    memory_world: World,
) -> None:
    world = memory_world
    await world.tell(6)
    await world.seal_all()
    world.store.batches["acme"].pop()  # type: ignore[attr-defined]
    for sealer in (world.sealer, world.new_sealer()):
        with pytest.raises(Broken) as broken:
            await sealer.run_once()
        assert broken.value.code == "audit.history_differs"


async def test_a_vanished_log_is_not_begun_anew(memory_world: World) -> None:
    world = memory_world
    await world.tell(2)
    await world.seal_all()
    world.store.batches.clear()  # type: ignore[attr-defined]
    with pytest.raises(Broken) as broken:
        await world.sealer.run_once()
    assert broken.value.code == "audit.history_differs"


@pytest.mark.engine
async def test_a_dump_restored_into_a_younger_server_is_noticed(pg_world: World) -> None:
    await pg_world.tell(1)
    await pg_world.seal_all()
    await pg_world.as_superuser("UPDATE audit_batches SET last_xid = '99999999999'")
    with pytest.raises(Broken) as broken:
        await pg_world.new_sealer().run_once()
    assert broken.value.code == "audit.transaction_numbers_went_back"


@pytest.mark.engine
async def test_the_sealer_waits_out_an_absent_database(pg_world: World) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(pg_world.sealer.run(stop))
    async with pg_world.database.transaction() as tx:
        mine = await pg(tx).value("SELECT pg_backend_pid()")
        await pg_world.as_superuser(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE application_name = 'caiwutong' AND pid <> {mine}"
        )
    await asyncio.sleep(0.1)
    await pg_world.tell(2)
    await pg_world.until_sealed(2, within_s=30, by=[running])
    stop.set()
    await running


def _head(number: int, tenant: str = "acme") -> SignedHead:
    head = Head(version=1, tenant=tenant, batch_no=number, size=number, root="", at="", marks="")
    return SignedHead.of(head.encoded(), b"signature")


@pytest.fixture(params=["file", "memory"])
def heads_out(request: pytest.FixtureRequest, tmp_path: Path) -> HeadsFile | MemoryHeads:
    return HeadsFile(tmp_path) if request.param == "file" else MemoryHeads()


async def test_heads_are_kept_in_order_without_gap_or_repetition(
    heads_out: HeadsFile | MemoryHeads,
) -> None:
    await heads_out.append([_head(1), _head(2), _head(1, "other")])
    await heads_out.append([_head(2), _head(3)])
    with pytest.raises(Conflict) as gap:
        await heads_out.append([_head(4), _head(6)])
    assert gap.value.code == "audit.head_gap"
    last = await heads_out.last("acme")
    assert last is not None
    assert last.batch_no == 3
    assert await heads_out.last("nobody") is None
    assert await heads_out.tenants() == ["acme", "other"]


async def test_two_writers_of_one_file_see_each_other(tmp_path: Path) -> None:
    one, two = HeadsFile(tmp_path), HeadsFile(tmp_path)
    await one.append([_head(1)])
    await two.append([_head(1), _head(2)])
    await one.append([_head(2), _head(3)])
    assert [line.decoded().batch_no for line in read_heads(one.path)] == [1, 2, 3]


def test_a_head_is_read_in_its_canonical_form_only() -> None:
    line = _head(1)
    spaced = msgspec.json.format(bytes(line.head), indent=1)
    other = bytes(line.head).replace(b'"version":1', b'"version":2')
    for data in (spaced, other, b"{}", b"not json"):
        with pytest.raises(Broken) as broken:
            SignedHead(msgspec.Raw(data), "").decoded()
        assert broken.value.code == "audit.bad_head"
