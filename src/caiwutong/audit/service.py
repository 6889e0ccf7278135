"""What other contexts call: tell what happened, tell what was refused, read it back.

``append_many`` runs in the caller's transaction: the event is there exactly if the act is. A
refused act has no transaction of its own to be told in, so ``record_refusal`` opens one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from caiwutong.audit.model import NO_SUBJECT, Event, canonical_json
from caiwutong.audit.proof import EventProof, GrowthProof, prove, prove_growth
from caiwutong.audit.store import AuditStore
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import CaiwutongError, Refusal
from caiwutong.kernel.ids import Ids


class Audit:
    """The audit log as the rest of the house sees it.

    ``wake`` is called after every commit that told something, e.g. ``Sealer.wake``.
    """

    def __init__(
        self,
        store: AuditStore,
        database: Database,
        ids: Ids,
        clock: Clock,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._database = database
        self._ids = ids
        self._clock = clock
        self._wake = wake

    def event(
        self,
        tenant: str,
        kind: str,
        *,
        actor: str,
        subject_kind: str = "",
        subject_id: UUID = NO_SUBJECT,
        body: Any = None,
        at: datetime | None = None,
    ) -> Event:
        """A new event with its own id; ``at`` is now unless told, ``body`` is made canonical."""
        return Event(
            tenant=tenant,
            event_id=self._ids.new(),
            kind=kind,
            subject_kind=subject_kind,
            subject_id=subject_id,
            actor=actor,
            at=at or self._clock.now(),
            body=canonical_json({} if body is None else body),
        )

    async def append_many(self, tx: Tx, events: Sequence[Event]) -> None:
        """Tell these events in the caller's transaction, one statement for all."""
        if not events:
            return
        await self._store.append_many(tx, events)
        if self._wake is not None:
            tx.after_commit(self._wake)

    async def record_refusal(
        self,
        tenant: str,
        act: str,
        refusal: CaiwutongError | Refusal,
        *,
        actor: str,
        subject_kind: str = "",
        subject_id: UUID = NO_SUBJECT,
        facts: dict[str, Any] | None = None,
    ) -> Event:
        """Tell that ``act`` was refused, as ``<act>.refused``, in a transaction of its own.

        ``facts``: masked values only. Use the tenant ``model.HOUSE`` for a stranger.
        """
        event = self.event(
            tenant,
            f"{act}.refused",
            actor=actor,
            subject_kind=subject_kind,
            subject_id=subject_id,
            body={"code": refusal.code, "detail": refusal.detail, "facts": facts or {}},
        )
        async with self._database.transaction() as tx:
            await self.append_many(tx, [event])
        return event

    async def timeline(self, tx: Tx, tenant: str, subject_id: UUID) -> list[Event]:
        """Everything told of this subject, in time order, sealed or not."""
        return await self._store.timeline(tx, tenant, subject_id)

    async def read_sealed(
        self, tx: Tx, tenant: str, after_seq: int, limit: int
    ) -> list[tuple[int, Event]]:
        """The sealed events after this seq, each with its own; the first event has seq 1.

        The sequence has no gaps and never changes: a reader that remembers the last seq it took
        misses nothing and sees nothing twice.
        """
        return await self._store.read_sealed(tx, tenant, after_seq, limit)

    async def sealed_sizes(self, tx: Tx) -> dict[str, int]:
        """The last sealed seq of every tenant: where its readers may read to."""
        return await self._store.sealed_sizes(tx)

    async def prove(self, tx: Tx, event: Event) -> EventProof:
        """A proof of this event for someone outside; see ``proof.is_good``."""
        return await prove(self._store, tx, event)

    async def prove_growth(self, tx: Tx, tenant: str, old_size: int) -> GrowthProof:
        """That the log of now begins with that of ``old_size`` events; see ``proof``."""
        return await prove_growth(self._store, tx, tenant, old_size)
