"""The ledger's rows in PostgreSQL, and the port both stores keep.

A batch is *load* (lock accounts, then holds, in id order), decide (``rules``), *save*. The locks
last to the end of the transaction, so a balance is never written from a stale read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from struct import Struct
from typing import Protocol
from uuid import UUID

from caiwutong.db.copying import Moments, Words, head, text, uuid_or_null
from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, columns, pg
from caiwutong.db.queries import load as load_queries
from caiwutong.kernel.errors import Broken
from caiwutong.ledger.model import (
    Account,
    Balance,
    HoldState,
    NormalSide,
    Operation,
    Post,
    Void,
)
from caiwutong.ledger.rules import (
    AccountState,
    Book,
    EntryRow,
    HoldRow,
    TransferRow,
    touched,
)

_sql = load_queries(__package__ or "")

_TRANSFER = (
    "tenant", "transfer_id", "debit", "credit", "amount_fen", "at", "period", "subject",
    "hold_id", "kind", "currency",
)  # fmt: skip
_ENTRY = (
    "tenant", "account_id", "at", "seq", "cause", "amount_fen", "held_fen", "posted_after",
    "held_after", "currency",
)  # fmt: skip
_HOLD = (
    "tenant", "hold_id", "account_id", "amount_fen", "state", "opened_at", "expires_at",
    "posted_fen", "transfer_id", "closed_at",
)  # fmt: skip
_transfer_figures = Struct(">i16s i16s i16s iq iq ii".replace(" ", ""))
_entry_figures = Struct(">i16s iq iq i16s iq iq iq iq".replace(" ", ""))


class LedgerStore(Protocol):
    """Rows of the ledger: one for PostgreSQL, one in memory, one contract suite for both."""

    async def load(self, tx: Tx, tenant: str, operations: Sequence[Operation]) -> Book:
        """The book these operations need, locked until the transaction ends."""
        ...

    async def save(self, tx: Tx, tenant: str, book: Book) -> None:
        """Write what the rules left behind."""
        ...

    async def open_accounts(
        self, tx: Tx, tenant: str, accounts: Sequence[Account], at: datetime
    ) -> None: ...

    async def set_overdraft(
        self, tx: Tx, tenant: str, account_id: UUID, overdraft_fen: int
    ) -> bool:
        """False when more than this is used already."""
        ...

    async def account(
        self, tx: Tx, tenant: str, *, account_id: UUID | None = None, code: str = ""
    ) -> Account | None: ...

    async def accounts(self, tx: Tx, tenant: str, after: str, limit: int) -> list[Account]: ...

    async def balance(
        self, tx: Tx, tenant: str, account_id: UUID, as_of: datetime | None, now: datetime
    ) -> Balance | None: ...

    async def entries(
        self, tx: Tx, tenant: str, account_id: UUID, before: tuple[datetime, int], limit: int
    ) -> list[EntryRow]: ...

    async def transfer(self, tx: Tx, tenant: str, transfer_id: UUID) -> TransferRow | None: ...

    async def transfers(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, TransferRow]: ...

    async def hold(self, tx: Tx, tenant: str, hold_id: UUID) -> HoldRow | None: ...

    async def expiring(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[UUID]: ...

    async def trial_balance(self, tx: Tx, tenant: str) -> list[tuple[str, int, int, int]]:
        """Per currency: sum of balances, sum of entries, accounts off their entries."""
        ...

    async def close_period(
        self, tx: Tx, tenant: str, period: int, at: datetime, by: str
    ) -> None: ...


class PostgresLedgerStore:
    """The ledger in PostgreSQL: set-based statements over arrays, three reads and up to five
    writes a batch, whatever its length."""

    async def load(self, tx: Tx, tenant: str, operations: Sequence[Operation]) -> Book:
        t = pg(tx)
        account_ids, hold_ids, transfer_ids = touched(operations)
        # A hold that is only kept or opened needs no account found for it: dispatch, which keeps
        # hundreds at once, stands in nobody's way.
        ending = {op.hold_id for op in operations if isinstance(op, Post | Void)}
        accounts: dict[UUID, AccountState] = {}
        if account_ids or ending:
            for row in await t.fetch(
                _sql["lock_accounts"], tenant, list(account_ids), list(ending)
            ):
                accounts[row["account_id"]] = _account_state(row)
        holds: dict[UUID, HoldRow] = {}
        if hold_ids:
            for row in await t.fetch(_sql["lock_holds"], tenant, list(hold_ids)):
                holds[row["hold_id"]] = _hold(row)
        transfers: dict[UUID, TransferRow] = {}
        periods: frozenset[int] = frozenset()
        if transfer_ids:
            for row in await t.fetch(_sql["known_transfers"], tenant, list(transfer_ids)):
                transfers[row["transfer_id"]] = TransferRow(*row)
            periods = frozenset(
                row["period"] for row in await t.fetch(_sql["closed_periods"], tenant)
            )
        return Book(accounts, holds, transfers, periods)

    async def save(self, tx: Tx, tenant: str, book: Book) -> None:
        t = pg(tx)
        if book.new_transfers:
            await t.copy("ledger_transfers", _TRANSFER, _packed_transfers(tenant, book))
        if book.new_entries:
            await t.copy("ledger_entries", _ENTRY, _packed_entries(tenant, book))
        await self._save_holds(tx, tenant, book)
        if book.changed_accounts:
            changed = [book.changed_accounts[i] for i in sorted(book.changed_accounts)]
            written = await t.execute(
                _sql["update_accounts"],
                tenant,
                *columns(
                    [
                        (
                            a.account_id, a.posted, a.held, a.beyond_fen, a.seq, a.seq_loaded,
                            a.last_at,
                        )
                        for a in changed
                    ],
                    7,
                ),
            )  # fmt: skip
            if written != len(changed):
                raise Broken(
                    "ledger.stale_balance",
                    f"{len(changed) - written} account rows changed under our lock.",
                    "Nothing was written; report this with the log of this minute.",
                )

    async def _save_holds(self, tx: Tx, tenant: str, book: Book) -> None:
        if book.new_holds:
            rows = [
                (
                    tenant, h.hold_id, h.account_id, h.amount_fen, h.state.value, h.opened_at,
                    h.expires_at, h.posted_fen, h.transfer_id, h.closed_at,
                )
                for h in book.new_holds.values()
            ]  # fmt: skip
            await pg(tx).copy_records("ledger_holds", _HOLD, rows)
        if book.changed_holds:
            rows = [
                (
                    h.hold_id, h.state.value, h.expires_at, h.posted_fen, h.transfer_id,
                    h.closed_at,
                )
                for _, h in sorted(book.changed_holds.items())
            ]  # fmt: skip
            await pg(tx).execute(_sql["update_holds"], tenant, *columns(rows, 6))

    async def open_accounts(
        self, tx: Tx, tenant: str, accounts: Sequence[Account], at: datetime
    ) -> None:
        for a in accounts:
            await pg(tx).execute(
                _sql["insert_account"], tenant, a.account_id, a.code, a.name,
                int(a.normal_side), a.currency, a.overdraft_fen, at,
            )  # fmt: skip

    async def set_overdraft(
        self, tx: Tx, tenant: str, account_id: UUID, overdraft_fen: int
    ) -> bool:
        sql = _sql["set_overdraft"]
        return await pg(tx).execute(sql, tenant, account_id, overdraft_fen) == 1

    async def account(
        self, tx: Tx, tenant: str, *, account_id: UUID | None = None, code: str = ""
    ) -> Account | None:
        row = await pg(tx).fetch_one(_sql["account"], tenant, account_id, code)
        return None if row is None else _account(row)

    async def accounts(self, tx: Tx, tenant: str, after: str, limit: int) -> list[Account]:
        return [_account(r) for r in await pg(tx).fetch(_sql["accounts"], tenant, after, limit)]

    async def balance(
        self, tx: Tx, tenant: str, account_id: UUID, as_of: datetime | None, now: datetime
    ) -> Balance | None:
        row = await pg(tx).fetch_one(_sql["balance_now"], tenant, account_id)
        if row is None:
            return None
        currency, posted, held, seq = row
        if as_of is not None:
            then = await pg(tx).fetch_one(_sql["balance_as_of"], tenant, account_id, as_of)
            currency, posted, held, seq = then or (currency, 0, 0, 0)
        return Balance(account_id, currency, posted, held, posted - held, as_of or now, seq)

    async def entries(
        self, tx: Tx, tenant: str, account_id: UUID, before: tuple[datetime, int], limit: int
    ) -> list[EntryRow]:
        rows = await pg(tx).fetch(_sql["entries"], tenant, account_id, *before, limit)
        return [EntryRow(*row) for row in rows]

    async def transfer(self, tx: Tx, tenant: str, transfer_id: UUID) -> TransferRow | None:
        row = await pg(tx).fetch_one(_sql["known_transfers"], tenant, [transfer_id])
        return None if row is None else TransferRow(*row)

    async def transfers(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, TransferRow]:
        rows = await pg(tx).fetch(_sql["known_transfers"], tenant, list(ids))
        return {row["transfer_id"]: TransferRow(*row) for row in rows}

    async def hold(self, tx: Tx, tenant: str, hold_id: UUID) -> HoldRow | None:
        row = await pg(tx).fetch_one(_sql["lock_holds"], tenant, [hold_id])
        return None if row is None else _hold(row)

    async def expiring(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[UUID]:
        rows = await pg(tx).fetch(_sql["expiring"], tenant, now, limit)
        return [row["hold_id"] for row in rows]

    async def trial_balance(self, tx: Tx, tenant: str) -> list[tuple[str, int, int, int]]:
        rows = await pg(tx).fetch(_sql["trial_balance"], tenant)
        return [(r[0], int(r[1]), int(r[2]), int(r[3])) for r in rows]

    async def close_period(self, tx: Tx, tenant: str, period: int, at: datetime, by: str) -> None:
        await pg(tx).execute(_sql["close_period"], tenant, period, at, by)


def _packed_transfers(tenant: str, book: Book) -> Iterator[bytes]:
    """The new transfers for COPY, columns as in ``_TRANSFER``."""
    start, pack, moment = head(len(_TRANSFER)) + text(tenant), _transfer_figures.pack, Moments()
    words = Words()
    for r in book.new_transfers:
        figures = pack(
            16, r.transfer_id.bytes, 16, r.debit.bytes, 16, r.credit.bytes, 8, r.amount_fen,
            8, moment(r.at), 4, r.period,
        )  # fmt: skip
        subject, hold = uuid_or_null(r.subject), uuid_or_null(r.hold_id)
        yield start + figures + subject + hold + words[r.kind] + words[r.currency]


def _packed_entries(tenant: str, book: Book) -> Iterator[bytes]:
    """The new entries for COPY, columns as in ``_ENTRY``."""
    start, pack, moment = head(len(_ENTRY)) + text(tenant), _entry_figures.pack, Moments()
    words = Words()
    for e in book.new_entries:
        figures = pack(
            16, e.account_id.bytes, 8, moment(e.at), 8, e.seq, 16, e.cause.bytes,
            8, e.amount_fen, 8, e.held_fen, 8, e.posted_after, 8, e.held_after,
        )  # fmt: skip
        yield start + figures + words[e.currency]


def _account_state(row: Row) -> AccountState:
    return AccountState(*row, seq_loaded=row["seq"])


def _hold(row: Row) -> HoldRow:
    hold_id, account_id, amount, state, *rest = row
    return HoldRow(hold_id, account_id, amount, HoldState(state), *rest)


def _account(row: Row) -> Account:
    account_id, code, name, side, currency, overdraft = row
    return Account(account_id, code, name, NormalSide(side), currency, overdraft)
