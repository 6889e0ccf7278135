"""An event of the audit log, the batch it is sealed in, and the bytes both are hashed as.

The bytes of an event cover every column of its row: an edit of any of them breaks its leaf hash.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.crypto import merkle

NO_SUBJECT = UUID(int=0)
"""The subject of an event that is about nothing we know, e.g. a request from a stranger."""

HOUSE = "house"
"""The tenant of events that belong to no tenant we know."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FORMAT = b"\x01"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened: who did what to which subject, and when.

    ``kind``: dotted, past tense, e.g. ``payment.created``; ``actor``: a person, an API key or
    ``system:worker``; ``at``: business time; ``body``: canonical JSON (see ``canonical_json``)
    without secrets or whole account numbers. ``recorded_at`` (the server's time) and ``xid`` (the
    writing transaction) are given by the database and only filled in events read back.
    """

    tenant: str
    event_id: UUID
    kind: str
    subject_kind: str
    subject_id: UUID
    actor: str
    at: datetime
    body: bytes
    recorded_at: datetime | None = None
    xid: int = 0

    def data(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Events ``first_seq`` to ``first_seq + count - 1`` of a tenant's log, sealed together.

    ``leaves``: 32 bytes an event; ``frontier`` and ``root``: the tree after this batch;
    ``head``: the canonical bytes that ``signature`` signs.
    """

    tenant: str
    batch_no: int
    first_seq: int
    count: int
    event_ids: list[UUID]
    event_xids: list[int]
    last_xid: int
    last_event_id: UUID
    leaves: bytes
    frontier: bytes
    root: bytes
    head: bytes
    signature: bytes
    sealed_at: datetime

    @property
    def size(self) -> int:
        """How many events the tree holds after this batch."""
        return self.first_seq + self.count - 1


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes. UTF-8."""
    return msgspec.json.encode(value, order="sorted")


def event_bytes(event: Event) -> bytes:
    """Every column of the event, each framed by its length or of a fixed size."""
    if event.recorded_at is None:
        raise ValueError("only an event read back from the log has its final bytes")
    tenant, kind = event.tenant.encode(), event.kind.encode()
    subject_kind, actor = event.subject_kind.encode(), event.actor.encode()
    return b"".join(
        (
            _FORMAT,
            len(tenant).to_bytes(4), tenant,
            event.event_id.bytes,
            event.xid.to_bytes(8),
            len(kind).to_bytes(4), kind,
            len(subject_kind).to_bytes(4), subject_kind,
            event.subject_id.bytes,
            len(actor).to_bytes(4), actor,
            microseconds(event.at).to_bytes(8, signed=True),
            microseconds(event.recorded_at).to_bytes(8, signed=True),
            len(event.body).to_bytes(4), event.body,
        )
    )  # fmt: skip


def leaf_hash(event: Event) -> bytes:
    """The event's leaf in the tree: 32 bytes."""
    return merkle.leaf_hash(event_bytes(event))


def microseconds(at: datetime) -> int:
    """Microseconds since 1970 UTC, exactly: what PostgreSQL keeps of an instant."""
    return (at - _EPOCH) // _MICROSECOND
