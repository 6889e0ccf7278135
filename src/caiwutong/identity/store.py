"""Tenants, organisation, people and API keys in PostgreSQL, and the port both stores keep."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, pg
from caiwutong.db.queries import load as load_queries
from caiwutong.identity.model import (
    AccountingEntity,
    ApiKeyRow,
    EnterpriseGroup,
    KeyAlgorithm,
    LegalEntity,
    MemberUnit,
    Person,
    PersonState,
    Record,
    Tenant,
)

_sql = load_queries(__package__ or "")

R = TypeVar("R", bound=Record)

_NAMES: dict[type[Record], str] = {
    EnterpriseGroup: "enterprise_group",
    LegalEntity: "legal_entity",
    MemberUnit: "member_unit",
    AccountingEntity: "accounting_entity",
    Person: "person",
    ApiKeyRow: "api_key",
}
_CHANGEABLE: dict[type[Record], tuple[str, ...]] = {
    Person: ("name", "role", "state"),
    ApiKeyRow: ("name", "state", "ended_at"),
}


class IdentityStore(Protocol):
    """Rows of identity: one for PostgreSQL, one in memory, one contract suite for both."""

    async def insert_tenant(self, tx: Tx, tenant: Tenant) -> bool:
        """False when the name is taken."""
        ...

    async def tenant(self, tx: Tx, tenant: str) -> Tenant | None: ...

    async def tenants(self, tx: Tx) -> list[Tenant]: ...

    async def insert(self, tx: Tx, tenant: str, record: Record) -> bool:
        """False when its code, number, name or key is taken."""
        ...

    async def find(self, tx: Tx, tenant: str, kind: type[R], record_id: UUID) -> R | None: ...

    async def page(self, tx: Tx, tenant: str, kind: type[R], after: UUID, limit: int) -> list[R]:
        """In id order, after an id."""
        ...

    async def update(self, tx: Tx, tenant: str, record: Record, version: int) -> bool:
        """Keep what may change of this record; False when the stored version is another one."""
        ...

    async def count_people(self, tx: Tx, tenant: str) -> int:
        """How many people were ever added; nobody else counts or adds until the transaction
        ends."""
        ...

    async def remember_nonce(
        self, tx: Tx, tenant: str, api_key_id: UUID, nonce: str, expires_at: datetime
    ) -> bool:
        """False when it is remembered already."""
        ...

    async def forget_nonces(self, tx: Tx, tenant: str, before: datetime) -> int: ...


def id_of(record: Record) -> UUID:
    """The record's own id: its first field."""
    found: UUID = getattr(record, record.__struct_fields__[0])
    return found


class PostgresIdentityStore:
    """One statement a call; the kinds differ only in the names of their queries."""

    async def insert_tenant(self, tx: Tx, tenant: Tenant) -> bool:
        return await pg(tx).execute(_sql["insert_tenant"], *_values(tenant)) == 1

    async def tenant(self, tx: Tx, tenant: str) -> Tenant | None:
        row = await pg(tx).fetch_one(_sql["find_tenant"], tenant)
        return None if row is None else Tenant(*row)

    async def tenants(self, tx: Tx) -> list[Tenant]:
        return [Tenant(*row) for row in await pg(tx).fetch(_sql["tenants"])]

    async def insert(self, tx: Tx, tenant: str, record: Record) -> bool:
        sql = _sql[f"insert_{_NAMES[type(record)]}"]
        return await pg(tx).execute(sql, tenant, *_values(record)) == 1

    async def find(self, tx: Tx, tenant: str, kind: type[R], record_id: UUID) -> R | None:
        row = await pg(tx).fetch_one(_sql[f"find_{_NAMES[kind]}"], tenant, record_id)
        return None if row is None else _record(kind, row)

    async def page(self, tx: Tx, tenant: str, kind: type[R], after: UUID, limit: int) -> list[R]:
        rows = await pg(tx).fetch(_sql[f"page_{_NAMES[kind]}"], tenant, after, limit)
        return [_record(kind, row) for row in rows]

    async def update(self, tx: Tx, tenant: str, record: Record, version: int) -> bool:
        kind = type(record)
        values = [getattr(record, name) for name in _CHANGEABLE.get(kind, ("name",))]
        sql = _sql[f"update_{_NAMES[kind]}"]
        return await pg(tx).execute(sql, tenant, id_of(record), version, *values) == 1

    async def count_people(self, tx: Tx, tenant: str) -> int:
        await pg(tx).execute(_sql["lock_people"], tenant)
        return int(await pg(tx).value(_sql["count_people"], tenant))

    async def remember_nonce(
        self, tx: Tx, tenant: str, api_key_id: UUID, nonce: str, expires_at: datetime
    ) -> bool:
        sql = _sql["remember_nonce"]
        return await pg(tx).execute(sql, tenant, api_key_id, nonce, expires_at) == 1

    async def forget_nonces(self, tx: Tx, tenant: str, before: datetime) -> int:
        return await pg(tx).execute(_sql["forget_nonces"], tenant, before)


def _values(record: Tenant | Record) -> list[object]:
    return [getattr(record, name) for name in record.__struct_fields__]


def _record(kind: type[R], row: Row) -> R:
    fields = dict(row)
    if kind is Person:
        fields["algorithm"] = KeyAlgorithm(fields["algorithm"])
        fields["state"] = PersonState(fields["state"])
    return kind(**fields)
