"""Bank accounts and payees in PostgreSQL, and the port both stores keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from caiwutong.bank_accounts.model import BankAccountRow, PayeeRow
from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, pg
from caiwutong.db.queries import load as load_queries

_sql = load_queries(__package__ or "")


class BankAccountStore(Protocol):
    """Rows of bank accounts and payees: one for PostgreSQL, one in memory, one contract suite."""

    async def by_id(self, tx: Tx, tenant: str, ids: Sequence[UUID]) -> list[BankAccountRow]: ...

    async def by_index(
        self, tx: Tx, tenant: str, indexes: Sequence[bytes]
    ) -> list[BankAccountRow]: ...

    async def page(
        self, tx: Tx, tenant: str, after: UUID, unit: UUID | None, rail: str | None, limit: int
    ) -> list[BankAccountRow]:
        """In id order, after an id."""
        ...

    async def insert(self, tx: Tx, tenant: str, row: BankAccountRow) -> bool:
        """False when the number stands already at this bank."""
        ...

    async def update(self, tx: Tx, tenant: str, row: BankAccountRow, version: int) -> bool:
        """False when the stored version is another one."""
        ...

    async def payees(self, tx: Tx, tenant: str, ids: Sequence[UUID]) -> list[PayeeRow]:
        """The newest version of each."""
        ...

    async def payees_by_index(self, tx: Tx, tenant: str, index: bytes) -> list[PayeeRow]: ...

    async def payees_page(self, tx: Tx, tenant: str, after: UUID, limit: int) -> list[PayeeRow]: ...

    async def payee_versions(self, tx: Tx, tenant: str, payee_id: UUID) -> list[PayeeRow]: ...

    async def insert_payee(self, tx: Tx, tenant: str, row: PayeeRow) -> bool:
        """False when this version stands already."""
        ...


class PostgresBankAccountStore:
    """One statement a call."""

    async def by_id(self, tx: Tx, tenant: str, ids: Sequence[UUID]) -> list[BankAccountRow]:
        rows = await pg(tx).fetch(_sql["bank_accounts_by_id"], tenant, list(ids))
        return [_account(row) for row in rows]

    async def by_index(self, tx: Tx, tenant: str, indexes: Sequence[bytes]) -> list[BankAccountRow]:
        rows = await pg(tx).fetch(_sql["bank_accounts_by_index"], tenant, list(indexes))
        return [_account(row) for row in rows]

    async def page(
        self, tx: Tx, tenant: str, after: UUID, unit: UUID | None, rail: str | None, limit: int
    ) -> list[BankAccountRow]:
        rows = await pg(tx).fetch(_sql["bank_accounts_page"], tenant, after, unit, rail, limit)
        return [_account(row) for row in rows]

    async def insert(self, tx: Tx, tenant: str, row: BankAccountRow) -> bool:
        values = [getattr(row, name) for name in row.__struct_fields__]
        return await pg(tx).execute(_sql["insert_bank_account"], tenant, *values) == 1

    async def update(self, tx: Tx, tenant: str, row: BankAccountRow, version: int) -> bool:
        touched = await pg(tx).execute(
            _sql["update_bank_account"], tenant, row.bank_account_id, version, row.name,
            row.bank_name, row.nature, row.access_modes, row.state, row.outward,
            row.overdraft_fen,
        )  # fmt: skip
        return touched == 1

    async def payees(self, tx: Tx, tenant: str, ids: Sequence[UUID]) -> list[PayeeRow]:
        return [PayeeRow(*r) for r in await pg(tx).fetch(_sql["payees_by_id"], tenant, list(ids))]

    async def payees_by_index(self, tx: Tx, tenant: str, index: bytes) -> list[PayeeRow]:
        return [PayeeRow(*r) for r in await pg(tx).fetch(_sql["payees_by_index"], tenant, index)]

    async def payees_page(self, tx: Tx, tenant: str, after: UUID, limit: int) -> list[PayeeRow]:
        rows = await pg(tx).fetch(_sql["payees_page"], tenant, after, limit)
        return [PayeeRow(*r) for r in rows]

    async def payee_versions(self, tx: Tx, tenant: str, payee_id: UUID) -> list[PayeeRow]:
        rows = await pg(tx).fetch(_sql["payee_versions"], tenant, payee_id)
        return [PayeeRow(*r) for r in rows]

    async def insert_payee(self, tx: Tx, tenant: str, row: PayeeRow) -> bool:
        values = [getattr(row, name) for name in row.__struct_fields__]
        return await pg(tx).execute(_sql["insert_payee"], tenant, *values) == 1


def _account(row: Row) -> BankAccountRow:
    fields = dict(row)
    fields["access_modes"] = tuple(fields["access_modes"])
    return BankAccountRow(**fields)
