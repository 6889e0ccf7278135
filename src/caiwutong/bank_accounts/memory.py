"""Bank accounts and payees in memory: the twin of ``store.PostgresBankAccountStore``."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from caiwutong.bank_accounts.model import BankAccountRow, PayeeRow
from caiwutong.db.database import Tx
from caiwutong.db.memory import mem

Key = tuple[str, UUID]


class MemoryBankAccountStore:
    """Dicts keyed by (tenant, id); a payee is the tuple of its versions."""

    def __init__(self) -> None:
        self._accounts: dict[Key, BankAccountRow] = {}
        self._numbers: dict[tuple[str, bytes, str], UUID] = {}
        self._payees: dict[Key, tuple[PayeeRow, ...]] = {}

    async def by_id(self, tx: Tx, tenant: str, ids: Sequence[UUID]) -> list[BankAccountRow]:
        return [row for i in dict.fromkeys(ids) if (row := self._accounts.get((tenant, i)))]

    async def by_index(self, tx: Tx, tenant: str, indexes: Sequence[bytes]) -> list[BankAccountRow]:
        wanted = set(indexes)
        return [row for row in self._own(tenant) if row.account_index in wanted]

    async def page(
        self, tx: Tx, tenant: str, after: UUID, unit: UUID | None, rail: str | None, limit: int
    ) -> list[BankAccountRow]:
        rows = [
            row
            for row in self._own(tenant)
            if row.bank_account_id > after
            and (unit is None or row.member_unit_id == unit)
            and (rail is None or rail in row.access_modes)
        ]
        return rows[:limit]

    async def insert(self, tx: Tx, tenant: str, row: BankAccountRow) -> bool:
        number = (tenant, row.account_index, row.bank_code)
        if number in self._numbers:
            return False
        mem(tx).put(self._numbers, number, row.bank_account_id)
        mem(tx).put(self._accounts, (tenant, row.bank_account_id), row)
        return True

    async def update(self, tx: Tx, tenant: str, row: BankAccountRow, version: int) -> bool:
        key = (tenant, row.bank_account_id)
        if key not in self._accounts or self._accounts[key].version != version:
            return False
        mem(tx).put(self._accounts, key, row)
        return True

    async def payees(self, tx: Tx, tenant: str, ids: Sequence[UUID]) -> list[PayeeRow]:
        return [v[-1] for i in dict.fromkeys(ids) if (v := self._payees.get((tenant, i)))]

    async def payees_by_index(self, tx: Tx, tenant: str, index: bytes) -> list[PayeeRow]:
        return [row for row in self._newest(tenant) if row.account_index == index]

    async def payees_page(self, tx: Tx, tenant: str, after: UUID, limit: int) -> list[PayeeRow]:
        return [row for row in self._newest(tenant) if row.payee_id > after][:limit]

    async def payee_versions(self, tx: Tx, tenant: str, payee_id: UUID) -> list[PayeeRow]:
        return list(self._payees.get((tenant, payee_id), ()))

    async def insert_payee(self, tx: Tx, tenant: str, row: PayeeRow) -> bool:
        before = self._payees.get((tenant, row.payee_id), ())
        if any(version.version == row.version for version in before):
            return False
        mem(tx).put(self._payees, (tenant, row.payee_id), (*before, row))
        return True

    def _own(self, tenant: str) -> list[BankAccountRow]:
        rows = [row for (owner, _), row in self._accounts.items() if owner == tenant]
        return sorted(rows, key=lambda row: row.bank_account_id)

    def _newest(self, tenant: str) -> list[PayeeRow]:
        rows = [versions[-1] for (owner, _), versions in self._payees.items() if owner == tenant]
        return sorted(rows, key=lambda row: row.payee_id)
