"""How the engine tells the log what happened to a payment."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from caiwutong.audit.model import Event, canonical_json
from caiwutong.kernel.ids import Ids


def happened(
    ids: Ids,
    tenant: str,
    kind: str,
    payment_id: UUID,
    *,
    actor: str,
    at: datetime,
    body: dict[str, Any],
    subject_kind: str = "payment",
) -> Event:
    """One event of a payment's timeline. ``body`` never holds a whole account number."""
    return Event(
        tenant=tenant,
        event_id=ids.new(),
        kind=kind,
        subject_kind=subject_kind,
        subject_id=payment_id,
        actor=actor,
        at=at,
        body=canonical_json(body),
    )
