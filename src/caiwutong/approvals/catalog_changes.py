"""How a change of the dated catalog asks people: the port that ``rails.catalog`` leaves open.

The catalog stands below approvals and knows nothing of signatures; the wiring puts this between.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from caiwutong.approvals.model import OnDecided, Subject
from caiwutong.approvals.service import Approvals
from caiwutong.db.database import Tx
from caiwutong.rails.catalog.changes import SUBJECT, Change
from caiwutong.rails.catalog.service import Catalogs


class CatalogSignatures:
    """``Signatures`` of the catalog, over approvals."""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    async def ask(self, tx: Tx, tenant: str, change: Change, needed: int, now: datetime) -> None:
        subject = Subject(SUBJECT, change.change_id, change.digest)
        await self._approvals.request(tx, tenant, subject, needed, change.maker, now)

    async def withdraw(self, tx: Tx, tenant: str, change_id: UUID, now: datetime) -> None:
        await self._approvals.withdraw(tx, tenant, SUBJECT, change_id, now)

    async def withdrawn(self, tx: Tx, tenant: str, change_id: UUID) -> bool:
        asked = await self._approvals.signing(tx, tenant, SUBJECT, change_id)
        return asked is not None and asked.state == "void"


def record_signed(catalogs: Catalogs) -> OnDecided:
    """What approvals call when a change is signed: its facts count from then on."""

    async def on_decided(tx: Tx, tenant: str, subject: Subject) -> None:
        await catalogs.confirmed(tx, tenant, UUID(bytes=subject.id.bytes), subject.digest)

    return on_decided
