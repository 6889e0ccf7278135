"""Proofs that need no access to us: of one event, and of the log's growth.

Whoever holds the vault's public key checks them. ``is_good``: the event was in the log of this
tenant, at this place, when the head was signed; an auditor keeps it beside the payment's receipt.
``shows_growth``: the log that stands now begins with the one whose head was kept earlier, so that
nothing of it was edited, dropped or put in between; a witness asks for it again and again.
"""

from __future__ import annotations

import msgspec

from caiwutong.audit.heads import SignedHead
from caiwutong.audit.model import Event, leaf_hash
from caiwutong.audit.store import AuditStore
from caiwutong.crypto import merkle
from caiwutong.db.database import Tx
from caiwutong.kernel.errors import Broken, NotFound


class EventProof(msgspec.Struct, frozen=True, kw_only=True):
    """An event, its seq, the hashes beside its path to the root (hex), and the signed head."""

    event: Event
    seq: int
    path: list[str]
    head: SignedHead


async def prove(store: AuditStore, tx: Tx, event: Event) -> EventProof:
    """The proof of an event read from the log, under the head of its own batch.

    Reads that batch and the one before it, however long the log is. Raises ``NotFound``
    ``audit.not_sealed_yet`` for an event of the last moment.
    """
    batch = await store.batch_of(tx, event.tenant, (event.xid, event.event_id))
    if batch is None or event.event_id not in batch.event_ids:
        raise NotFound(
            "audit.not_sealed_yet",
            f"Event {event.event_id} is not sealed yet.",
            "Ask again in a second.",
        )
    before = await store.batches_after(tx, event.tenant, batch.batch_no - 2, 1)
    frontier = before[0].frontier if batch.batch_no > 1 else b""
    leaves = split(batch.leaves)
    index = batch.first_seq - 1 + batch.event_ids.index(event.event_id)
    path = merkle.inclusion_proof_of_new(batch.first_seq - 1, frontier, leaves, index)
    return EventProof(
        event=event,
        seq=index + 1,
        path=[each.hex() for each in path],
        head=SignedHead.of(batch.head, batch.signature),
    )


def is_good(proof: EventProof, public_key: bytes) -> bool:
    """Whether the proof holds under the vault's ``head_public_key``. Bad bytes are just False."""
    try:
        head = proof.head.decoded()
        path = [bytes.fromhex(each) for each in proof.path]
        root = bytes.fromhex(head.root)
        leaf = leaf_hash(proof.event)
    except (Broken, ValueError, OverflowError):
        return False
    return (
        proof.head.is_signed_by(public_key)
        and head.tenant == proof.event.tenant
        and merkle.verify_inclusion(leaf, proof.seq - 1, head.size, path, root)
    )


class GrowthProof(msgspec.Struct, frozen=True, kw_only=True):
    """The newest head, and the hashes (hex) that lead to it from the tree of ``old_size``."""

    old_size: int
    path: list[str]
    head: SignedHead


async def prove_growth(store: AuditStore, tx: Tx, tenant: str, old_size: int) -> GrowthProof:
    """From the tree a head of ``old_size`` events stood for (0: the empty one) to the newest head.
    Reads the batches sealed since. Raises ``NotFound`` ``audit.no_such_head`` when no head was
    ever signed at this size, or none at all."""
    last = await store.last_batch(tx, tenant)
    before = await store.batch_at(tx, tenant, old_size) if old_size else None
    if last is None or (old_size and (before is None or before.size != old_size)):
        raise NotFound(
            "audit.no_such_head",
            f"No head of {tenant[:32]} was signed at {old_size} events.",
            "Ask with the size of a head you hold, or with 0.",
        )
    leaves: list[bytes] = []
    number = before.batch_no if before else 0
    while number < last.batch_no:
        for batch in await store.batches_after(tx, tenant, number, _AT_ONCE):
            if batch.batch_no <= last.batch_no:
                leaves += split(batch.leaves)
                number = batch.batch_no
    frontier = before.frontier if before else b""
    path = merkle.consistency_proof_of_new(old_size, frontier, leaves)
    return GrowthProof(
        old_size=old_size,
        path=[each.hex() for each in path],
        head=SignedHead.of(last.head, last.signature),
    )


def shows_growth(proof: GrowthProof, kept: SignedHead | None, public_key: bytes) -> bool:
    """Whether the newest head is signed, and its log begins with that of the head ``kept`` (None:
    the empty log). Bad bytes are just False."""
    try:
        new = proof.head.decoded()
        old = kept.decoded() if kept else None
        path = [bytes.fromhex(each) for each in proof.path]
        old_root = bytes.fromhex(old.root) if old else merkle.EMPTY_ROOT
        new_root = bytes.fromhex(new.root)
    except (Broken, ValueError):
        return False
    same_log = old is None or (old.tenant, old.size) == (new.tenant, proof.old_size)
    return (
        same_log
        and proof.old_size == (old.size if old else 0)
        and proof.head.is_signed_by(public_key)
        and merkle.verify_consistency(proof.old_size, old_root, new.size, new_root, path)
    )


_AT_ONCE = 64


def split(leaves: bytes) -> list[bytes]:
    """A batch's leaves, one by one."""
    width = merkle.HASH_BYTES
    return [leaves[at : at + width] for at in range(0, len(leaves), width)]
