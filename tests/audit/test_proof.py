"""A proof of one event: good for everyone with the public key, worthless when touched."""

from __future__ import annotations

import msgspec
import pytest

from caiwutong.audit.proof import EventProof, is_good
from caiwutong.kernel.errors import NotFound
from caiwutong.vault import Vault

from .conftest import RANDOM, World


async def proofs(world: World) -> list[EventProof]:
    events = [event for _, event in await world.sealed()]
    async with world.database.transaction() as tx:
        return [await world.audit.prove(tx, event) for event in events]


async def test_every_sealed_event_can_be_proved_to_an_outsider(world: World) -> None:
    await world.tell(11)
    await world.seal_all()
    found = await proofs(world)
    assert [proof.seq for proof in found] == list(range(1, 12))
    for proof in found:
        carried = msgspec.json.decode(msgspec.json.encode(proof), type=EventProof)
        assert is_good(carried, world.vault.head_public_key)
        assert not is_good(carried, Vault.in_memory(RANDOM).head_public_key)


async def test_a_touched_proof_is_worthless(memory_world: World) -> None:
    world = memory_world
    await world.tell(6)
    await world.seal_all()
    proof = (await proofs(world))[4]
    replace = msgspec.structs.replace
    other = (await proofs(world))[0]
    assert is_good(proof, world.vault.head_public_key)
    for touched in (
        replace(proof, event=replace(proof.event, actor="key:other")),
        replace(proof, event=replace(proof.event, recorded_at=None)),
        replace(proof, event=other.event),
        replace(proof, seq=4),
        replace(proof, seq=0),
        replace(proof, path=proof.path[:-1]),
        replace(proof, path=[*proof.path[:-1], "zz"]),
        replace(proof, head=other.head),
        replace(proof, head=replace(proof.head, signature="00")),
        replace(proof, head=replace(proof.head, head=msgspec.Raw(b"{}"))),
    ):
        assert not is_good(touched, world.vault.head_public_key)


async def test_an_event_of_the_last_moment_cannot_be_proved_yet(world: World) -> None:
    await world.tell(1)
    async with world.database.transaction() as tx:
        (event,) = await world.audit.timeline(tx, "acme", world.event().subject_id)
        with pytest.raises(NotFound) as found:
            await world.audit.prove(tx, event)
    assert found.value.code == "audit.not_sealed_yet"
