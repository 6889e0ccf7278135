"""The catalog's rows in memory: the twin of ``store.PostgresCatalogStore``, guards included."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.rails.catalog.changes import Change, ChangeState
from caiwutong.rails.catalog.model import Fact


class MemoryCatalogStore:
    """Dicts by tenant. Who signed is known to approvals: here the service is trusted with it."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._changes: dict[tuple[str, UUID], Change] = {}
        self._facts: dict[tuple[str, int], tuple[Fact, ...]] = {}

    async def lock(self, tx: Tx, tenant: str) -> int:
        if tenant not in self._versions:
            mem(tx).put(self._versions, tenant, 0)
        return self._versions[tenant]

    async def versions(self, tx: Tx) -> dict[str, int]:
        return dict(self._versions)

    async def facts_after(self, tx: Tx, tenant: str, version: int, until: int) -> list[Fact]:
        return [
            fact
            for number in range(version + 1, until + 1)
            for fact in self._facts.get((tenant, number), ())
        ]

    async def insert_change(self, tx: Tx, tenant: str, change: Change) -> None:
        key = (tenant, change.change_id)
        if key in self._changes:
            raise AssertionError(f"change {change.change_id} is written already")
        mem(tx).put(self._changes, key, change)

    async def apply(
        self, tx: Tx, tenant: str, change: Change, facts: Sequence[Fact], version: int,
        now: datetime,
    ) -> None:  # fmt: skip
        key = (tenant, change.change_id)
        if key not in self._changes or version != self._versions[tenant] + 1:
            raise AssertionError(f"version {version} of an unknown or late change")
        mem(tx).put(self._versions, tenant, version)
        mem(tx).put(self._facts, (tenant, version), tuple(facts))
        applied = msgspec.structs.replace(
            self._changes[key], state=ChangeState.APPLIED, facts=tuple(facts)
        )
        mem(tx).put(self._changes, key, applied)

    async def known_messages(self, tx: Tx, tenant: str, keys: Collection[str]) -> set[str]:
        known = {c.message_key for (owner, _), c in self._changes.items() if owner == tenant}
        return known & (set(keys) - {""})

    async def change(self, tx: Tx, tenant: str, change_id: UUID) -> Change | None:
        return self._changes.get((tenant, change_id))

    async def changes(self, tx: Tx, tenant: str, before: UUID, limit: int) -> list[Change]:
        own = [c for (owner, i), c in self._changes.items() if owner == tenant and i < before]
        return sorted(own, key=lambda c: c.change_id, reverse=True)[:limit]
