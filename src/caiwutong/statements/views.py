"""What people and callers see of statements: an account's lines page by page, and the drift of
every account. Read only, account numbers masked."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

import msgspec

from caiwutong.bank_accounts.model import AccountState, BankAccount
from caiwutong.db.database import Database, Tx
from caiwutong.statements.model import Drift, LineView
from caiwutong.statements.service import NEWEST, Statements

PAGE = 500
"""The most lines or accounts in one answer."""


class LinesPage(msgspec.Struct, frozen=True):
    """Lines of one account, newest first."""

    bank_account_id: UUID
    lines: tuple[LineView, ...]
    next_before: int | None
    """Hand it back as ``before`` for the older ones; None when these were the last."""


class DriftsPage(msgspec.Struct, frozen=True):
    """The drift of accounts in the order of their creation."""

    drifts: tuple[Drift, ...]
    settled: int
    """How many of them agree with their bank."""
    next_after: UUID | None


class Pages(Protocol):
    """Our bank accounts in pages, from ``bank_accounts``."""

    async def get(self, tx: Tx, tenant: str, bank_account_id: UUID) -> BankAccount: ...

    async def page(
        self, tx: Tx, tenant: str, *, after: UUID | None = None, limit: int = 100
    ) -> list[BankAccount]: ...


class StatementViews:
    """Each call opens its own transaction."""

    def __init__(self, *, database: Database, statements: Statements, accounts: Pages) -> None:
        self._database = database
        self._statements = statements
        self._accounts = accounts

    async def lines(
        self, tenant: str, bank_account_id: UUID, *, before: int | None = None, limit: int = 100
    ) -> LinesPage:
        """A page of lines below a position. Raises NotFound for an account that is not ours."""
        size = max(1, min(limit, PAGE))
        async with self._database.transaction() as tx:
            await self._accounts.get(tx, tenant, bank_account_id)
            found = await self._statements.lines(
                tx, tenant, bank_account_id, before=before or NEWEST, limit=size
            )
        older = found[-1].position if len(found) == size and found[-1].position > 1 else None
        return LinesPage(bank_account_id, tuple(found), older)

    async def drift(self, tenant: str, bank_account_id: UUID) -> Drift:
        """Our book against the bank for one account. Raises NotFound."""
        async with self._database.transaction() as tx:
            return await self._statements.drift(tx, tenant, bank_account_id)

    async def drifts(
        self, tenant: str, *, after: UUID | None = None, limit: int = 100
    ) -> DriftsPage:
        """The drift of every account that is not closed."""
        size = max(1, min(limit, PAGE))
        async with self._database.transaction() as tx:
            accounts = await self._accounts.page(tx, tenant, after=after, limit=size)
            drifts = [
                await self._statements.drift(tx, tenant, account.bank_account_id)
                for account in accounts
                if account.state is not AccountState.CLOSED
            ]
        following = accounts[-1].bank_account_id if len(accounts) == size else None
        return DriftsPage(tuple(drifts), sum(drift.settled for drift in drifts), following)
