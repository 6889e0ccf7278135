"""The enterprise's accounts and units as an import needs them, loaded once for a run, and what
stands on the accounts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from caiwutong.bank_accounts.model import AccountState, BankAccount
from caiwutong.db.database import Database, Tx
from caiwutong.identity.model import MemberUnit
from caiwutong.imports.model import AccountBook, Directory, OwnAccount
from caiwutong.kernel.clock import Clock
from caiwutong.ledger.model import Balance

_PAGE = 500


class Accounts(Protocol):
    """The part of ``bank_accounts`` that lists."""

    async def page(
        self,
        tx: Tx,
        tenant: str,
        *,
        after: UUID | None = None,
        member_unit_id: UUID | None = None,
        limit: int = 100,
    ) -> list[BankAccount]: ...

    async def find_many(
        self, tx: Tx, tenant: str, ids: Iterable[UUID]
    ) -> dict[UUID, BankAccount]: ...


class Books(Protocol):
    """The part of ``ledger`` that knows balances."""

    async def balance(self, tx: Tx, tenant: str, account_id: UUID, *, now: datetime) -> Balance: ...


class Units(Protocol):
    """The part of ``identity`` that knows member units."""

    async def member_unit(self, tx: Tx, tenant: str, member_unit_id: UUID) -> MemberUnit: ...


class HouseDirectories:
    """Directories from ``bank_accounts`` and ``identity``."""

    def __init__(self, database: Database, accounts: Accounts, units: Units) -> None:
        self._database = database
        self._accounts = accounts
        self._units = units

    async def load(self, tenant: str) -> Directory:
        """Every account of the tenant; those that cannot pay are marked, not hidden."""
        found: list[OwnAccount] = []
        units: dict[UUID, MemberUnit] = {}
        async with self._database.transaction() as tx:
            after: UUID | None = None
            while page := await self._accounts.page(tx, tenant, after=after, limit=_PAGE):
                after = page[-1].bank_account_id
                for account in page:
                    unit_id = account.member_unit_id
                    if unit_id not in units:
                        units[unit_id] = await self._units.member_unit(tx, tenant, unit_id)
                    found.append(_own(account, units[unit_id]))
        return AccountBook(found)


class HouseFunds:
    """What stands on the accounts, from ``bank_accounts`` and ``ledger``."""

    def __init__(self, database: Database, accounts: Accounts, ledger: Books, clock: Clock) -> None:
        self._database = database
        self._accounts = accounts
        self._ledger = ledger
        self._clock = clock

    async def available(
        self, tenant: str, bank_account_ids: Collection[UUID]
    ) -> Mapping[UUID, int]:
        """Fen available now on each account, the authorised overdraft included."""
        found: dict[UUID, int] = {}
        async with self._database.transaction() as tx:
            accounts = await self._accounts.find_many(tx, tenant, bank_account_ids)
            for account_id, account in accounts.items():
                balance = await self._ledger.balance(
                    tx, tenant, account.ledger_account_id, now=self._clock.now()
                )
                found[account_id] = balance.available_fen + account.overdraft_fen
        return found


def _own(account: BankAccount, unit: MemberUnit) -> OwnAccount:
    barred = ""
    if account.state is not AccountState.ACTIVE:
        barred = f"is {account.state.value}"
    elif not account.outward:
        barred = "may not make outward payments"
    return OwnAccount(
        account.bank_account_id, account.account, unit.code, unit.name, account.bank_name, barred
    )
