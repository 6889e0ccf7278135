"""The feed: sealed audit events as other systems see them, in one gap-free order per tenant.

The audit log is also the outbox. What is sealed has a sequence number that never changes and has
no gaps, so a reader needs one number to know everything it has seen. Readers: the publisher to the
broker (``worker/outbox``), webhooks, and server-sent events. Nobody outside sees unsealed events.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx


class FeedEvent(msgspec.Struct, frozen=True):
    """One sealed event as it leaves the house."""

    seq: int
    """Its place in the tenant's sealed log: 1, 2, 3 … without gaps."""
    id: str
    """The event's own id, the same however often it is delivered."""
    kind: str
    """What happened: ``payment.completed``, ``webhook.disabled`` …"""
    subject_kind: str
    """What sort of thing it happened to: ``payment``, ``webhook`` …; may be empty."""
    subject: str
    """Its id; empty where the event is about nothing we know."""
    actor: str
    """Who did it: an API key, a person, a worker."""
    at: datetime
    """Business time of the fact."""
    recorded_at: datetime
    """When the server wrote it down."""
    data: Any
    """The facts of this kind of event, JSON; account numbers are masked."""


class Feed(Protocol):
    """Reads sealed events in order."""

    async def read(self, tx: Tx, tenant: str, after_seq: int, limit: int) -> Sequence[FeedEvent]:
        """Up to ``limit`` events after this sequence, in order, without gaps."""
        ...

    async def heads(self, tx: Tx) -> dict[str, int]:
        """The last sealed sequence of every tenant that has one."""
        ...


class SealedEvent(Protocol):
    """What the feed needs of an event of the audit log."""

    @property
    def event_id(self) -> UUID: ...
    @property
    def kind(self) -> str: ...
    @property
    def subject_kind(self) -> str: ...
    @property
    def subject_id(self) -> UUID: ...
    @property
    def actor(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def body(self) -> bytes: ...
    @property
    def recorded_at(self) -> datetime | None: ...


class SealedLog(Protocol):
    """The audit log's own reading side."""

    async def read_sealed(
        self, tx: Tx, tenant: str, after_seq: int, limit: int
    ) -> Sequence[tuple[int, SealedEvent]]: ...

    async def sealed_sizes(self, tx: Tx) -> dict[str, int]: ...


class AuditFeed:
    """The feed of the audit log."""

    def __init__(self, log: SealedLog) -> None:
        self._log = log

    async def read(self, tx: Tx, tenant: str, after_seq: int, limit: int) -> list[FeedEvent]:
        sealed = await self._log.read_sealed(tx, tenant, after_seq, limit)
        return [_as_fed(seq, event) for seq, event in sealed]

    async def heads(self, tx: Tx) -> dict[str, int]:
        return await self._log.sealed_sizes(tx)


def _as_fed(seq: int, event: SealedEvent) -> FeedEvent:
    return FeedEvent(
        seq=seq,
        id=str(event.event_id),
        kind=event.kind,
        subject_kind=event.subject_kind,
        subject=str(event.subject_id) if event.subject_id.int else "",
        actor=event.actor,
        at=event.at,
        recorded_at=event.recorded_at or event.at,
        data=msgspec.json.decode(event.body) if event.body else {},
    )


def wanted(kinds: Sequence[str], kind: str) -> bool:
    """Whether a filter takes this kind. Patterns are exact kinds or prefixes ``payment.*``; an
    empty filter takes all."""
    if not kinds:
        return True
    return any(
        kind == pattern or (pattern.endswith("*") and kind.startswith(pattern[:-1]))
        for pattern in kinds
    )
