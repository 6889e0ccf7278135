"""Fetches statements and balances: for every active account that a connected rail reaches, page
after page, until the bank has no more.

Each account has one cursor with a lease and a fence, so several readers share the work and none
writes after it lost its turn. A page is fetched outside any transaction and taken in one. The
account that waited longest comes first; one that fails waits longer each time and holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

import msgspec

from caiwutong.bank_accounts.model import AccountState, BankAccount
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import CaiwutongError
from caiwutong.rails.contract import AccountAtBank, BankBalance, Rail
from caiwutong.statements import rules
from caiwutong.statements.model import CursorRow
from caiwutong.statements.service import Statements
from caiwutong.statements.store import StatementStore

LEASE = timedelta(minutes=5)
"""Business time for one turn; every page taken renews it."""

PAGES_A_TURN = 50
"""Then the account stands at the end of the queue, however much there is."""

_LEASE_REAL_S = 20.0
_MARK_EVERY = timedelta(days=2)


class Reachable(Protocol):
    """Our bank accounts by rail, from ``bank_accounts``."""

    async def all_for_rail(self, tx: Tx, tenant: str, rail: str) -> list[BankAccount]: ...


class Reader:
    """Reads the banks' word about our accounts."""

    def __init__(
        self,
        *,
        database: Database,
        store: StatementStore,
        statements: Statements,
        accounts: Reachable,
        rails: Mapping[str, Rail],
        clock: Clock,
        every: timedelta = rules.READ_EVERY,
        at_once: int = 8,
    ) -> None:
        self._database = database
        self._store = store
        self._statements = statements
        self._accounts = accounts
        self._rails = rails
        self._clock = clock
        self._every = every
        self._slots = asyncio.Semaphore(at_once)

    async def run_once(self, tenant: str, limit: int = 64) -> int:
        """Read up to ``limit`` accounts that are due; how many were read."""
        async with self._database.transaction() as tx:
            now = self._clock.now()
            accounts = await self._reachable(tx, tenant)
            await self._store.put_cursors(
                tx, tenant, [(i, rail) for i, (_, rail) in accounts.items()], now
            )
            turns = await self._store.claim_cursors(
                tx, tenant, tuple(self._rails), tuple(accounts), now, limit, self._lease(now)
            )
        mine = [(accounts[turn.bank_account_id][0], turn) for turn in turns]
        if mine:
            ends = await asyncio.gather(
                *(self._read(tenant, account, turn) for account, turn in mine),
                self._read_balances(tenant, mine),
                return_exceptions=True,
            )
            for end in ends:
                if end is not None:
                    raise end  # A fault of ours; every turn has come to its end first.
        return len(mine)

    async def next_due(self, tenant: str) -> datetime | None:
        """When the next account is due, by business time; None when none is read."""
        async with self._database.transaction() as tx:
            return await self._store.next_read(tx, tenant)

    def _lease(self, now: datetime) -> datetime:
        """Five minutes, and where business time runs fast at least twenty real seconds."""
        return now + rules.at_least(LEASE, _LEASE_REAL_S, self._clock)

    async def _reachable(self, tx: Tx, tenant: str) -> dict[UUID, tuple[BankAccount, str]]:
        found: dict[UUID, tuple[BankAccount, str]] = {}
        for rail in self._rails:
            for account in await self._accounts.all_for_rail(tx, tenant, rail):
                chosen = rules.rail_for(account.access_modes, tuple(self._rails))
                if account.state is AccountState.ACTIVE and chosen is not None:
                    found[account.bank_account_id] = (account, chosen)
        return found

    async def _read(self, tenant: str, account: BankAccount, turn: CursorRow) -> None:
        """One account's turn. Trouble with the bank or the database ends the turn, not the run."""
        async with self._slots:
            try:
                more = await self._read_pages(tenant, account, turn)
            except CaiwutongError as error:
                await self._end_turn(tenant, account, turn, trouble=error.code)
                return
            await self._end_turn(tenant, account, turn, more=more)

    async def _read_pages(self, tenant: str, account: BankAccount, turn: CursorRow) -> bool:
        """Whether there is more after this turn."""
        rail, cursor = self._rails[turn.rail], turn.cursor
        for _ in range(PAGES_A_TURN):
            page = await rail.statement(_at_bank(account), cursor)
            async with self._database.transaction() as tx:
                taken = await self._statements.take_page(
                    tx, tenant, account, page, rail=turn.rail, fence=turn.fence
                )
                await self._renew(tx, tenant, turn)
            cursor = page.cursor
            if taken.lost or not page.more:
                return False
        return True

    async def _renew(self, tx: Tx, tenant: str, turn: CursorRow) -> None:
        cursor = await self._store.lock_cursor(tx, tenant, turn.bank_account_id)
        if cursor is not None and cursor.fence == turn.fence:
            lease = self._lease(self._clock.now())
            await self._store.save_cursor(
                tx, tenant, msgspec.structs.replace(cursor, next_at=lease)
            )

    async def _end_turn(
        self,
        tenant: str,
        account: BankAccount,
        turn: CursorRow,
        *,
        more: bool = False,
        trouble: str = "",
    ) -> None:
        try:
            async with self._database.transaction() as tx:
                cursor = await self._store.lock_cursor(tx, tenant, turn.bank_account_id)
                if cursor is None or cursor.fence != turn.fence:
                    return
                now = self._clock.now()
                failures = cursor.failures + 1 if trouble else 0
                every = rules.at_least(self._every, rules.READ_EVERY_REAL_S, self._clock)
                next_at = now if more else rules.next_read(now, failures, every)
                after = msgspec.structs.replace(
                    cursor, next_at=next_at, failures=failures, trouble=trouble
                )
                await self._store.save_cursor(tx, tenant, after)
                marked = cursor.matched_to
                if not more and (marked is None or now - marked > _MARK_EVERY):
                    await self._statements.advance_mark(tx, tenant, account)
        except CaiwutongError:
            return  # The lease ends by itself, and the account is due again.

    async def _read_balances(
        self, tenant: str, mine: Sequence[tuple[BankAccount, CursorRow]]
    ) -> None:
        """The banks' balances of the accounts of this run, one question per rail. Without them the
        lines still say what stands there, so trouble here is left to the next run."""
        by_rail: dict[str, list[BankAccount]] = {}
        for account, turn in mine:
            by_rail.setdefault(turn.rail, []).append(account)
        for name, group in by_rail.items():
            try:
                said = await self._rails[name].balances([_at_bank(a) for a in group])
                async with self._database.transaction() as tx:
                    await self._statements.take_balances(
                        tx, tenant, _by_account(group, said), rail=name
                    )
            except CaiwutongError:
                continue


def _at_bank(account: BankAccount) -> AccountAtBank:
    return AccountAtBank(account.name, account.account, account.bank_code, account.bank_name)


def _by_account(
    group: Sequence[BankAccount], said: Sequence[BankBalance]
) -> dict[UUID, BankBalance]:
    """The banks' words under our ids. Numbers that two banks share are left out: an answer does
    not name its bank."""
    owners: dict[str, list[UUID]] = {}
    for account in group:
        owners.setdefault(account.account, []).append(account.bank_account_id)
    return {
        owners[word.account][0]: word for word in said if len(owners.get(word.account, ())) == 1
    }
