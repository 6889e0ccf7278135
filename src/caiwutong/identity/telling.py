"""How contexts that keep master data tell the audit log what changed, in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from caiwutong.audit.service import Audit
from caiwutong.db.database import Tx

SYSTEM = "system"
"""The actor of an act nobody asked for by name: seeding, set-up, the house itself."""


class Teller:
    """Tells the log; without a log (in a unit test) it tells nobody."""

    def __init__(self, audit: Audit | None) -> None:
        self._audit = audit

    async def tell(
        self,
        tx: Tx,
        tenant: str,
        kind: str,
        subject_id: UUID,
        actor: str,
        body: Mapping[str, object],
        *,
        subject_kind: str = "",
    ) -> None:
        """One event. The subject's kind is the part of ``kind`` before the dot, unless told.
        ``body`` holds no secret and no whole account number."""
        if self._audit is None:
            return
        event = self._audit.event(
            tenant,
            kind,
            actor=actor,
            subject_kind=subject_kind or kind.partition(".")[0],
            subject_id=subject_id,
            body=dict(body),
        )
        await self._audit.append_many(tx, [event])
