"""The ledger's rows in memory: the twin of ``store.PostgresLedgerStore``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.ledger.model import Account, Balance, HoldState, Operation
from caiwutong.ledger.rules import (
    AccountState,
    Book,
    EntryRow,
    HoldRow,
    TransferRow,
    touched,
)

Key = tuple[str, UUID]


class MemoryLedgerStore:
    """Dicts keyed by (tenant, id); entries as one list per account, in time order."""

    def __init__(self) -> None:
        self._accounts: dict[Key, Account] = {}
        self._codes: dict[tuple[str, str], UUID] = {}
        self._states: dict[Key, AccountState] = {}
        self._holds: dict[Key, HoldRow] = {}
        self._expiring: dict[Key, datetime] = {}
        self._transfers: dict[Key, TransferRow] = {}
        self._entries: dict[Key, list[EntryRow]] = {}
        self._periods: dict[tuple[str, int], datetime] = {}

    async def load(self, tx: Tx, tenant: str, operations: Sequence[Operation]) -> Book:
        account_ids, hold_ids, transfer_ids = touched(operations)
        holds = {h: row for h in hold_ids if (row := self._holds.get((tenant, h)))}
        account_ids |= {row.account_id for row in holds.values()}
        return Book(
            {
                i: msgspec.structs.replace(state, seq_loaded=state.seq)
                for i in sorted(account_ids)
                if (state := self._states.get((tenant, i)))
            },
            holds,
            {i: row for i in transfer_ids if (row := self._transfers.get((tenant, i)))},
            frozenset(period for owner, period in self._periods if owner == tenant),
        )

    async def save(self, tx: Tx, tenant: str, book: Book) -> None:
        t = mem(tx)
        for account_id, state in book.changed_accounts.items():
            t.put(self._states, (tenant, account_id), state)
        for entry in book.new_entries:
            t.append(self._entries[(tenant, entry.account_id)], entry)
        for transfer in book.new_transfers:
            t.put(self._transfers, (tenant, transfer.transfer_id), transfer)
        for hold in (*book.new_holds.values(), *book.changed_holds.values()):
            key = (tenant, hold.hold_id)
            t.put(self._holds, key, hold)
            if hold.expires_at is not None and hold.state is HoldState.HELD:
                t.put(self._expiring, key, hold.expires_at)
            elif key in self._expiring:
                t.remove(self._expiring, key)

    async def open_accounts(
        self, tx: Tx, tenant: str, accounts: Sequence[Account], at: datetime
    ) -> None:
        t = mem(tx)
        for a in accounts:
            if (tenant, a.account_id) in self._accounts or (tenant, a.code) in self._codes:
                continue
            t.put(self._accounts, (tenant, a.account_id), a)
            t.put(self._codes, (tenant, a.code), a.account_id)
            t.put(self._entries, (tenant, a.account_id), [])
            t.put(
                self._states,
                (tenant, a.account_id),
                AccountState(
                    a.account_id, a.code, int(a.normal_side), a.currency, a.overdraft_fen,
                    0, 0, 0, 0, None,
                ),
            )  # fmt: skip

    async def set_overdraft(
        self, tx: Tx, tenant: str, account_id: UUID, overdraft_fen: int
    ) -> bool:
        key = (tenant, account_id)
        state = self._states[key]
        if state.available < -(overdraft_fen + state.beyond_fen):
            return False
        beyond_fen = min(state.beyond_fen, max(0, -state.available - overdraft_fen))
        account = msgspec.structs.replace(self._accounts[key], overdraft_fen=overdraft_fen)
        mem(tx).put(self._accounts, key, account)
        after = msgspec.structs.replace(state, overdraft_fen=overdraft_fen, beyond_fen=beyond_fen)
        mem(tx).put(self._states, key, after)
        return True

    async def account(
        self, tx: Tx, tenant: str, *, account_id: UUID | None = None, code: str = ""
    ) -> Account | None:
        found = account_id or self._codes.get((tenant, code))
        return None if found is None else self._accounts.get((tenant, found))

    async def accounts(self, tx: Tx, tenant: str, after: str, limit: int) -> list[Account]:
        own = sorted(
            (a for (owner, _), a in self._accounts.items() if owner == tenant and a.code > after),
            key=lambda a: a.code,
        )
        return own[:limit]

    async def balance(
        self, tx: Tx, tenant: str, account_id: UUID, as_of: datetime | None, now: datetime
    ) -> Balance | None:
        state = self._states.get((tenant, account_id))
        if state is None:
            return None
        posted, held, seq = state.posted, state.held, state.seq
        if as_of is not None:
            entries = self._entries[(tenant, account_id)]
            found = bisect_right(entries, as_of, key=lambda e: e.at)
            last = entries[found - 1] if found else None
            posted, held, seq = (
                (last.posted_after, last.held_after, last.seq) if last else (0, 0, 0)
            )
        return Balance(account_id, state.currency, posted, held, posted - held, as_of or now, seq)

    async def entries(
        self, tx: Tx, tenant: str, account_id: UUID, before: tuple[datetime, int], limit: int
    ) -> list[EntryRow]:
        rows = self._entries.get((tenant, account_id), [])
        return [e for e in reversed(rows) if (e.at, e.seq) < before][:limit]

    async def transfer(self, tx: Tx, tenant: str, transfer_id: UUID) -> TransferRow | None:
        return self._transfers.get((tenant, transfer_id))

    async def transfers(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, TransferRow]:
        return {i: row for i in ids if (row := self._transfers.get((tenant, i)))}

    async def hold(self, tx: Tx, tenant: str, hold_id: UUID) -> HoldRow | None:
        return self._holds.get((tenant, hold_id))

    async def expiring(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[UUID]:
        due = [
            (at, hold_id)
            for (owner, hold_id), at in self._expiring.items()
            if owner == tenant and at <= now
        ]
        return [hold_id for _, hold_id in sorted(due)[:limit]]

    async def trial_balance(self, tx: Tx, tenant: str) -> list[tuple[str, int, int, int]]:
        sums: dict[str, list[int]] = {}
        for (owner, account_id), state in self._states.items():
            if owner != tenant:
                continue
            total = sums.setdefault(state.currency, [0, 0, 0])
            entries = self._entries[(tenant, account_id)]
            posted = state.side * sum(e.amount_fen for e in entries)
            held = sum(e.held_fen for e in entries)
            total[0] += state.side * state.posted
            total[1] += state.side * posted
            total[2] += (posted, held) != (state.posted, state.held)
        return [(c, *figures) for c, figures in sorted(sums.items())]  # type: ignore[misc]

    async def close_period(self, tx: Tx, tenant: str, period: int, at: datetime, by: str) -> None:
        if (tenant, period) not in self._periods:
            mem(tx).put(self._periods, (tenant, period), at)
