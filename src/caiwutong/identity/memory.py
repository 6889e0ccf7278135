"""Identity in memory: the twin of ``store.PostgresIdentityStore``."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast
from uuid import UUID

from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.identity.model import (
    ApiKeyRow,
    LegalEntity,
    Person,
    Record,
    Tenant,
)
from caiwutong.identity.store import R, id_of

_UNIQUE: dict[type[Record], tuple[str, ...]] = {
    LegalEntity: ("code", "uscc"),
    Person: ("public_key",),
    ApiKeyRow: ("name",),
}


class MemoryIdentityStore:
    """Dicts keyed by kind, tenant and id; what must be unique in a dict of its own."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._records: dict[tuple[type[Record], str, UUID], Record] = {}
        self._taken: dict[tuple[type[Record], str, str, object], UUID] = {}
        self._nonces: dict[tuple[str, UUID, str], datetime] = {}

    async def insert_tenant(self, tx: Tx, tenant: Tenant) -> bool:
        if tenant.tenant in self._tenants:
            return False
        mem(tx).put(self._tenants, tenant.tenant, tenant)
        return True

    async def tenant(self, tx: Tx, tenant: str) -> Tenant | None:
        return self._tenants.get(tenant)

    async def tenants(self, tx: Tx) -> list[Tenant]:
        return [self._tenants[name] for name in sorted(self._tenants)]

    async def insert(self, tx: Tx, tenant: str, record: Record) -> bool:
        kind = type(record)
        keys = [
            (kind, tenant, name, getattr(record, name)) for name in _UNIQUE.get(kind, ("code",))
        ]
        if any(key in self._taken for key in keys):
            return False
        for key in keys:
            mem(tx).put(self._taken, key, id_of(record))
        mem(tx).put(self._records, (kind, tenant, id_of(record)), record)
        return True

    async def find(self, tx: Tx, tenant: str, kind: type[R], record_id: UUID) -> R | None:
        return cast(Any, self._records.get((kind, tenant, record_id)))

    async def page(self, tx: Tx, tenant: str, kind: type[R], after: UUID, limit: int) -> list[R]:
        ids = sorted(i for k, owner, i in self._records if (k, owner) == (kind, tenant))
        found = [self._records[(kind, tenant, i)] for i in ids if i > after]
        return cast(Any, found[:limit])

    async def update(self, tx: Tx, tenant: str, record: Record, version: int) -> bool:
        key = (type(record), tenant, id_of(record))
        before = self._records.get(key)
        if before is None or before.version != version:
            return False
        mem(tx).put(self._records, key, record)
        return True

    async def count_people(self, tx: Tx, tenant: str) -> int:
        return sum((kind, owner) == (Person, tenant) for kind, owner, _ in self._records)

    async def remember_nonce(
        self, tx: Tx, tenant: str, api_key_id: UUID, nonce: str, expires_at: datetime
    ) -> bool:
        key = (tenant, api_key_id, nonce)
        if key in self._nonces:
            return False
        mem(tx).put(self._nonces, key, expires_at)
        return True

    async def forget_nonces(self, tx: Tx, tenant: str, before: datetime) -> int:
        old = [k for k, at in self._nonces.items() if k[0] == tenant and at < before]
        for key in old:
            mem(tx).remove(self._nonces, key)
        return len(old)
