"""A proof of one event that needs no access to us: the event, its path to a root, the signed root.

Whoever holds the vault's public key checks it with ``is_good``: the event was in the log of this
tenant, at this place, when the head was signed. An auditor keeps it beside the payment's receipt.
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
    width = merkle.HASH_BYTES
    leaves = [batch.leaves[at : at + width] for at in range(0, len(batch.leaves), width)]
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
