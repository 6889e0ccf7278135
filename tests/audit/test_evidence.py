"""Evidence packs and the witness: what an auditor can check without us, and what they notice."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.conftest import NOON, RANDOM, World
from caiwutong.audit import stand_alone
from caiwutong.audit.evidence import Packed, pack_period, pack_subject
from caiwutong.audit.heads import SignedHead
from caiwutong.audit.proof import GrowthProof, prove_growth, shows_growth
from caiwutong.audit.verify import compare_with_witness
from caiwutong.audit.witness import Witness
from caiwutong.crypto.gm import sm3
from caiwutong.crypto.gm.sm2 import Sm2PrivateKey
from caiwutong.kernel.errors import Broken, NotFound
from caiwutong.vault import Vault


def verify(pack: Path, *options: str) -> tuple[int, str]:
    """What the program inside the pack says of it, run without this house."""
    with zipfile.ZipFile(pack) as archive:
        program = pack.with_suffix(".py")
        program.write_bytes(archive.read("verify.py"))
    told = subprocess.run(
        [sys.executable, "-I", str(program), str(pack), *options],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert not told.stderr, told.stderr
    return told.returncode, told.stdout


def rewritten(pack: Path, name: str, change: Any) -> Path:
    """The pack with one file changed."""
    other = pack.with_name("other.zip")
    with zipfile.ZipFile(pack) as old, zipfile.ZipFile(other, "w") as new:
        for each in old.namelist():
            data = old.read(each)
            new.writestr(each, change(data) if each == name else data)
    return other


async def days_of_work(world: World) -> None:
    """Three days, ten events each, in batches of four at most."""
    for _ in range(3):
        await world.tell(10)
        await world.seal_all()
        world.clock.set(world.clock.now() + timedelta(days=1))


async def period(world: World, folder: Path, first: int, end: int) -> Packed:
    day = timedelta(days=1)
    return await pack_period(
        world.database, world.store, "acme", world.vault.head_public_key,
        NOON + first * day, NOON + end * day, world.clock.now(), folder / "pack.zip",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "end", "events"), [(0, 3, 30), (0, 1, 10), (1, 2, 10), (1, 9, 20)]
)
async def test_a_period_proves_itself(
    world: World, tmp_path: Path, first: int, end: int, events: int
):
    await days_of_work(world)
    packed = await period(world, tmp_path, first, end)
    assert packed.events == events
    key = world.vault.head_public_key.hex()
    status, said = verify(tmp_path / "pack.zip", "--key", key, "--all", "--show")
    assert status == 0, said
    assert f"verified: {events} events" in said
    assert said.count('"kind": "payment.created"') == events


async def test_nothing_sealed_is_no_pack(world: World, tmp_path: Path):
    await days_of_work(world)
    with pytest.raises(NotFound) as told:
        await period(world, tmp_path, 7, 9)
    assert told.value.code == "audit.nothing_sealed"
    assert not [name for name in os.listdir(tmp_path) if ".zip" in name]


async def test_another_key_is_noticed(world: World, tmp_path: Path):
    await days_of_work(world)
    await period(world, tmp_path, 0, 3)
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    status, said = verify(tmp_path / "pack.zip", "--key", other)
    assert (status, "NOT verified: head 1 is not signed" in said) == (1, True)


def _drop_first_record(data: bytes) -> bytes:
    return data[4 + int.from_bytes(data[:4]) :]


def _drop_last_record(data: bytes) -> bytes:
    at = last = 0
    while at < len(data):
        last, at = at, at + 4 + int.from_bytes(data[at : at + 4])
    return data[:last]


def _edit_a_record(data: bytes) -> bytes:
    return data.replace(b'"number":3', b'"number":8', 1)


def _swap_two_records(data: bytes) -> bytes:
    first = 4 + int.from_bytes(data[:4])
    second = first + 4 + int.from_bytes(data[first : first + 4])
    return data[first:second] + data[:first] + data[second:]


_TAMPERED: dict[str, tuple[str, Any]] = {
    "an event edited": ("events.bin", _edit_a_record),
    "the first event gone": ("events.bin", _drop_first_record),
    "the last event gone": ("events.bin", _drop_last_record),
    "two events swapped": ("events.bin", _swap_two_records),
    "an event twice": ("events.bin", lambda data: data + data[: 4 + int.from_bytes(data[:4])]),
    "a head gone": ("heads.jsonl", lambda data: b"\n".join(data.splitlines()[:-1])),
    "a head in the middle gone": (
        "heads.jsonl",
        lambda data: b"\n".join(data.splitlines()[:2] + data.splitlines()[3:]),
    ),
    "a head rewritten": ("heads.jsonl", lambda data: data.replace(b'"size":4', b'"size":3', 1)),
    "no heads": ("heads.jsonl", lambda _: b""),
    "another beginning": (
        "manifest.json",
        lambda data: data.replace(b'"frontier_before": ""', b'"frontier_before": "00"'),
    ),
    "not JSON": ("manifest.json", lambda _: b"{"),
}


@pytest.mark.parametrize("what", _TAMPERED)
async def test_tampering_is_noticed(memory_world: World, tmp_path: Path, what: str):
    await days_of_work(memory_world)
    await period(memory_world, tmp_path, 0, 3)
    name, change = _TAMPERED[what]
    status, said = verify(rewritten(tmp_path / "pack.zip", name, change), "--all")
    assert status == 1, said
    assert said.startswith("NOT verified")


async def subject(world: World, folder: Path, objects: dict[str, Any]) -> Packed:
    event = world.event(2)
    return await pack_subject(
        world.database, world.store, "acme", world.vault.head_public_key, "payment",
        event.subject_id, world.clock.now(), folder / "pack.zip", objects,
    )  # fmt: skip


def signed_order(tamper: str = "") -> dict[str, Any]:
    """``signatures.json`` with one signature by Ed25519 and one by SM2."""
    order = '{"amount_fen":100}'
    digest = hashlib.sha256(order.encode()).digest()
    message = b"prefix" + digest
    ed, gm = Ed25519PrivateKey.generate(), Sm2PrivateKey.generate(RANDOM)
    rows = [
        ("ed25519", ed.public_key().public_bytes_raw(), ed.sign(message)),
        ("sm2", bytes.fromhex(gm.public.to_hex()), gm.sign(message)),
    ]
    if tamper == "order":
        order = order.replace("100", "900")
    if tamper in ("ed25519", "sm2"):
        rows = [
            (a, key, signature[:-1] + bytes([signature[-1] ^ 1]) if a == tamper else signature)
            for a, key, signature in rows
        ]
    return {
        "digest": digest.hex(),
        "order": order,
        "signatures": [
            {
                "person": a,
                "algorithm": a,
                "public_key": key.hex(),
                "signature": signature.hex(),
                "signed_bytes": message.hex(),
            }
            for a, key, signature in rows
        ],
    }


async def test_a_payment_proves_itself(world: World, tmp_path: Path):
    await days_of_work(world)
    packed = await subject(world, tmp_path, {"signatures.json": signed_order()})
    assert packed.events == 3
    status, said = verify(tmp_path / "pack.zip", "--key", packed.public_key)
    assert status == 0, said
    assert "3 events" in said and "2 people's signatures" in said


@pytest.mark.parametrize("tamper", ["order", "ed25519", "sm2"])
async def test_a_signature_that_does_not_hold_is_noticed(
    memory_world: World, tmp_path: Path, tamper: str
):
    await days_of_work(memory_world)
    await subject(memory_world, tmp_path, {"signatures.json": signed_order(tamper)})
    status, said = verify(tmp_path / "pack.zip")
    assert status == 1, said


async def test_an_event_of_another_payment_is_noticed(memory_world: World, tmp_path: Path):
    await days_of_work(memory_world)
    await subject(memory_world, tmp_path, {})
    changed = rewritten(
        tmp_path / "pack.zip", "events.bin", lambda data: data.replace(b'"number":2', b'"number":7')
    )
    assert verify(changed)[0] == 1


@given(st.binary(max_size=200))
@settings(max_examples=40, deadline=None)
def test_the_hash_without_openssl_is_the_same(data: bytes) -> None:
    assert stand_alone.sm3_by_hand(data) == sm3(data)


async def growth(world: World, size: int) -> GrowthProof:
    async with world.database.transaction() as tx:
        return await prove_growth(world.store, tx, "acme", size)


async def test_a_witness_keeps_heads_as_the_log_grows(world: World, tmp_path: Path):
    file = tmp_path / "kept.jsonl"
    for _ in range(4):
        await world.tell(7)
        await world.seal_all()
        witness = Witness(file, world.vault.head_public_key)  # Another run, another day.
        head = witness.keep(await growth(world, witness.size))
        assert head is not None and head.size == witness.size
    assert witness.size == 28
    assert witness.keep(await growth(world, 28)) is None
    assert len(file.read_bytes().splitlines()) == 4
    key = world.vault.head_public_key
    assert await compare_with_witness(world.database, file, key, world.store) is None


async def test_a_witness_asks_only_for_sizes_that_were_signed(world: World):
    await world.tell(5)
    await world.seal_all()
    with pytest.raises(NotFound) as told:
        await growth(world, 3)
    assert told.value.code == "audit.no_such_head"


async def test_a_rewritten_log_is_noticed_by_its_witness(tmp_path: Path, memory_world: World):
    await memory_world.tell(9)
    await memory_world.seal_all()
    file = tmp_path / "kept.jsonl"
    witness = Witness(file, memory_world.vault.head_public_key)
    witness.keep(await growth(memory_world, 0))
    # Somebody with database, heads file and even the signing key makes another past.
    other = World(
        memory_world.database, type(memory_world.store)(memory_world.clock), tmp_path / "other", "",
        memory_world.vault,
    )  # fmt: skip
    await other.tell(20)
    await other.seal_all()
    proof = msgspec.structs.replace(await growth(other, 0), old_size=9)
    with pytest.raises(Broken) as told:
        witness.keep(proof)
    assert told.value.code == "audit.history_rewritten"
    found = await compare_with_witness(
        other.database, file, memory_world.vault.head_public_key, other.store
    )
    assert found is not None and found.what == "history_rewritten"


async def test_a_shortened_log_is_noticed_by_its_witness(tmp_path: Path, memory_world: World):
    await memory_world.tell(9)
    await memory_world.seal_all()
    key = memory_world.vault.head_public_key
    witness = Witness(tmp_path / "kept.jsonl", key)
    witness.keep(await growth(memory_world, 0))
    memory_world.store.batches["acme"].pop()  # type: ignore[attr-defined]
    found = await compare_with_witness(
        memory_world.database, tmp_path / "kept.jsonl", key, memory_world.store
    )
    assert found is not None and found.what == "tail_missing"


async def test_a_witness_whose_file_was_touched_says_so(tmp_path: Path, memory_world: World):
    await memory_world.tell(3)
    await memory_world.seal_all()
    key, file = memory_world.vault.head_public_key, tmp_path / "kept.jsonl"
    Witness(file, key).keep(await growth(memory_world, 0))
    file.write_bytes(file.read_bytes().replace(b'"size":3', b'"size":2'))
    with pytest.raises(Broken) as told:
        Witness(file, key)
    assert told.value.code == "audit.witness_altered"
    found = await compare_with_witness(memory_world.database, file, key, memory_world.store)
    assert found is not None and found.what == "head_altered"


async def test_growth_under_another_key_shows_nothing(memory_world: World):
    await memory_world.tell(3)
    await memory_world.seal_all()
    proof = await growth(memory_world, 0)
    other = Vault.in_memory(RANDOM)
    assert shows_growth(proof, None, memory_world.vault.head_public_key)
    assert not shows_growth(proof, None, other.head_public_key)
    bad = msgspec.structs.replace(proof, head=SignedHead(proof.head.head, "zz"))
    assert not shows_growth(bad, None, memory_world.vault.head_public_key)
