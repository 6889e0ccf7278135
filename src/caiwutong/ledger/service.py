"""What the ledger does, for everyone above it: operations in batches, balances, the proof of sums.

All calls run inside the caller's transaction and never commit. Outcomes are values in the order of
the operations; a refusal inside a batch stops nobody else (unless linked).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.kernel.errors import NotFound, Refused
from caiwutong.kernel.money import yuan
from caiwutong.ledger.model import (
    Account,
    Balance,
    Done,
    Operation,
    Outcome,
    Post,
    Reserve,
    Transfer,
    Void,
)
from caiwutong.ledger.rules import EntryRow, HoldRow, TransferRow, apply
from caiwutong.ledger.store import LedgerStore


class TrialBalance(msgspec.Struct, frozen=True):
    """The proof that no fen was made or lost, for one currency (试算平衡)."""

    currency: str
    balances_fen: int
    """All balances, debit-positive: zero."""
    entries_fen: int
    """All entries: zero."""
    accounts_off: int
    """Accounts whose balance is not what their entries say: none."""

    @property
    def holds(self) -> bool:
        return self.balances_fen == 0 and self.entries_fen == 0 and self.accounts_off == 0


class Ledger:
    """Double entry with holds over one store."""

    def __init__(self, store: LedgerStore) -> None:
        self._store = store

    async def apply_many(
        self, tx: Tx, tenant: str, operations: Sequence[Operation]
    ) -> list[Outcome]:
        """Any mix of operations, in order, in one locked batch."""
        if not operations:
            return []
        book = await self._store.load(tx, tenant, operations)
        outcomes = apply(book, operations)
        await self._store.save(tx, tenant, book)
        return outcomes

    async def reserve_many(
        self, tx: Tx, tenant: str, operations: Sequence[Reserve]
    ) -> list[Outcome]:
        """Take holds: amounts leave *available*."""
        return await self.apply_many(tx, tenant, operations)

    async def post_many(self, tx: Tx, tenant: str, operations: Sequence[Post]) -> list[Outcome]:
        """Turn holds, whole or in part, into transfers."""
        return await self.apply_many(tx, tenant, operations)

    async def void_many(self, tx: Tx, tenant: str, operations: Sequence[Void]) -> list[Outcome]:
        """Release holds."""
        return await self.apply_many(tx, tenant, operations)

    async def transfer_many(
        self, tx: Tx, tenant: str, operations: Sequence[Transfer]
    ) -> list[Outcome]:
        """Move amounts at once, without a hold."""
        return await self.apply_many(tx, tenant, operations)

    async def correct(
        self, tx: Tx, tenant: str, transfer_id: UUID, correction_id: UUID, at: datetime
    ) -> Outcome:
        """冲正: a new transfer that puts both accounts back; the old one stays as it was."""
        wrong = await self._store.transfer(tx, tenant, transfer_id)
        if wrong is None:
            raise NotFound(
                "ledger.no_such_transfer",
                f"There is no transfer {transfer_id}.",
                "Read the account's entries; their cause is the transfer.",
            )
        back = Transfer(
            transfer_id=correction_id,
            debit=wrong.credit,
            credit=wrong.debit,
            amount_fen=wrong.amount_fen,
            currency=wrong.currency,
            at=at,
            kind="correction",
            subject=transfer_id,
        )
        return (await self.apply_many(tx, tenant, [back]))[0]

    async def expiring(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[UUID]:
        """Holds whose time has come by business time, oldest first; they still stand."""
        return await self._store.expiring(tx, tenant, now, limit)

    async def expire_due(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[UUID]:
        """End holds whose time has come by business time; the ids of those ended."""
        due = await self._store.expiring(tx, tenant, now, limit)
        voids = [Void(hold_id=hold, at=now, expired=True) for hold in due]
        outcomes = await self.apply_many(tx, tenant, voids)
        return [h for h, o in zip(due, outcomes, strict=True) if isinstance(o, Done)]

    async def open_accounts(
        self, tx: Tx, tenant: str, accounts: Sequence[Account], at: datetime
    ) -> None:
        """Create accounts; those that exist already are left as they are."""
        await self._store.open_accounts(tx, tenant, accounts, at)

    async def change_overdraft(
        self, tx: Tx, tenant: str, account_id: UUID, overdraft_fen: int
    ) -> Account:
        """Another authorised overdraft (法人透支) from now on. Raises NotFound; Refused when more
        than this is used already."""
        account = await self.account(tx, tenant, account_id=account_id)
        if not await self._store.set_overdraft(tx, tenant, account_id, overdraft_fen):
            raise Refused(
                "ledger.overdraft_in_use",
                f"Account {account.code} uses more than an overdraft of {yuan(overdraft_fen)}.",
                "Bring the balance up first, or end the holds on the account.",
            )
        return msgspec.structs.replace(account, overdraft_fen=overdraft_fen)

    async def account(
        self, tx: Tx, tenant: str, *, account_id: UUID | None = None, code: str = ""
    ) -> Account:
        found = await self._store.account(tx, tenant, account_id=account_id, code=code)
        if found is None:
            raise _no_account(code or str(account_id))
        return found

    async def accounts(
        self, tx: Tx, tenant: str, after: str = "", limit: int = 200
    ) -> list[Account]:
        """A page of accounts by code, after ``after``."""
        return await self._store.accounts(tx, tenant, after, limit)

    async def balance(
        self,
        tx: Tx,
        tenant: str,
        account_id: UUID,
        *,
        now: datetime,
        as_of: datetime | None = None,
    ) -> Balance:
        """Posted, held and available: now, or as of any business time by one index probe."""
        found = await self._store.balance(tx, tenant, account_id, as_of, now)
        if found is None:
            raise _no_account(str(account_id))
        return found

    async def entries(
        self, tx: Tx, tenant: str, account_id: UUID, before: tuple[datetime, int], limit: int
    ) -> list[EntryRow]:
        """An account's entries, newest first, before (time, seq)."""
        return await self._store.entries(tx, tenant, account_id, before, limit)

    async def hold(self, tx: Tx, tenant: str, hold_id: UUID) -> HoldRow | None:
        return await self._store.hold(tx, tenant, hold_id)

    async def transfer(self, tx: Tx, tenant: str, transfer_id: UUID) -> TransferRow | None:
        return await self._store.transfer(tx, tenant, transfer_id)

    async def transfers(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, TransferRow]:
        """Those of these transfers that stand."""
        return await self._store.transfers(tx, tenant, ids)

    async def trial_balance(self, tx: Tx, tenant: str) -> list[TrialBalance]:
        """One proof per currency."""
        return [TrialBalance(*row) for row in await self._store.trial_balance(tx, tenant)]

    async def close_period(self, tx: Tx, tenant: str, period: int, at: datetime, by: str) -> None:
        """Nothing is booked into this accounting period any more."""
        await self._store.close_period(tx, tenant, period, at, by)


def _no_account(name: str) -> NotFound:
    return NotFound(
        "ledger.no_such_account",
        f"There is no ledger account {name}.",
        "List the accounts and name one of them.",
    )
