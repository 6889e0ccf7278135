"""docs/audit.md tells an outsider how to verify: do it by its letter, without our code."""

from __future__ import annotations

import json
import struct
from base64 import b64decode

import gmssl_pyx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .conftest import World


def framed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def tree(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return bytes(gmssl_pyx.sm3_hash(b"\x01" + tree(leaves[:k]) + tree(leaves[k:])))


async def test_the_newest_head_can_be_recomputed_from_the_documented_bytes(world: World) -> None:
    await world.tell(7)
    await world.seal_all()
    leaves: list[bytes] = []
    for _, event in await world.sealed():
        assert event.recorded_at is not None
        record = (
            b"\x01"
            + framed(event.tenant.encode())
            + event.event_id.bytes
            + struct.pack(">Q", event.xid)
            + framed(event.kind.encode())
            + framed(event.subject_kind.encode())
            + event.subject_id.bytes
            + framed(event.actor.encode())
            + b"".join(
                struct.pack(">q", int(at.timestamp()) * 1_000_000 + at.microsecond)
                for at in (event.at, event.recorded_at)
            )
            + framed(event.body)
        )
        leaves.append(bytes(gmssl_pyx.sm3_hash(b"\x00" + record)))
    text = world.heads.path.read_text(encoding="utf-8").splitlines()[-1]
    line = json.loads(text)
    head = line["head"]
    signed = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
    key = Ed25519PublicKey.from_public_bytes(world.vault.head_public_key)
    key.verify(bytes.fromhex(line["signature"]), signed)
    assert list(head) == ["version", "tenant", "batch_no", "size", "root", "at", "marks"]
    assert head["size"] == len(leaves)
    assert head["root"] == tree(leaves).hex()
    assert b64decode(head["marks"]) == b"".join(leaf[:4] for leaf in leaves[4:])
