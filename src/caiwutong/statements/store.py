"""The rows of statements in PostgreSQL, and the port both stores keep."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, columns, pg
from caiwutong.db.queries import load as load_queries
from caiwutong.statements.model import BalanceRow, CursorRow, Explained, LineRow

_sql = load_queries(__package__ or "")

_LINE = (
    "tenant", "bank_account_id", "line_id", "position", "booked_at", "value_date", "amount_fen",
    "balance_after_fen", "gap_fen", "kind", "reference", "counterparty_sealed",
    "counterparty_index", "counterparty_last4", "words", "rail", "read_at", "explained_by",
    "payment_id", "transfer_id", "moved_by", "corrects", "due_at", "tries",
)  # fmt: skip

CORRECTABLE = frozenset({Explained.FEE, Explained.INTEREST, Explained.SUSPENSE})
"""What our books took by themselves: the only lines a correction (冲正) without a payment of ours
can take back."""


class StatementStore(Protocol):
    """Rows of statements: one for PostgreSQL, one in memory, one contract suite for both."""

    async def put_cursors(
        self, tx: Tx, tenant: str, rails: Sequence[tuple[UUID, str]], now: datetime
    ) -> None:
        """Begin to read these accounts over these rails; those begun already stay as they are."""
        ...

    async def claim_cursors(
        self,
        tx: Tx,
        tenant: str,
        rails: Collection[str],
        accounts: Collection[UUID],
        now: datetime,
        limit: int,
        lease: datetime,
    ) -> list[CursorRow]: ...

    async def lock_cursor(self, tx: Tx, tenant: str, account: UUID) -> CursorRow | None: ...

    async def cursors(
        self, tx: Tx, tenant: str, accounts: Collection[UUID]
    ) -> dict[UUID, CursorRow]: ...

    async def save_cursor(self, tx: Tx, tenant: str, row: CursorRow) -> None:
        """Write a locked row; a lost fence changes nothing."""
        ...

    async def next_read(self, tx: Tx, tenant: str) -> datetime | None: ...

    async def known_lines(
        self, tx: Tx, tenant: str, account: UUID, line_ids: Collection[str]
    ) -> dict[str, tuple[int, int]]:
        """Those kept already, with amount and balance after."""
        ...

    async def insert_lines(self, tx: Tx, tenant: str, rows: Sequence[LineRow]) -> None: ...

    async def update_lines(self, tx: Tx, tenant: str, rows: Sequence[LineRow]) -> None:
        """Write explanations. A closed line refuses, unless it leaves suspense."""
        ...

    async def only_one(self, tx: Tx, tenant: str) -> bool:
        """Whether this transaction is the one that matches lines of this tenant now."""
        ...

    async def due_lines(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[LineRow]: ...

    async def by_references(
        self, tx: Tx, tenant: str, places: Collection[tuple[UUID, str]]
    ) -> list[LineRow]:
        """All lines with these (account, reference), in the bank's order."""
        ...

    async def line(self, tx: Tx, tenant: str, account: UUID, line_id: str) -> LineRow | None:
        """One line, locked."""
        ...

    async def correctable(
        self, tx: Tx, tenant: str, account: UUID, amount_fen: int
    ) -> LineRow | None: ...

    async def matched(
        self, tx: Tx, tenant: str, account: UUID, transfers: Collection[UUID]
    ) -> set[UUID]:
        """Those of these transfers that a line of the account stands for."""
        ...

    async def open_lines(self, tx: Tx, tenant: str, account: UUID) -> list[LineRow]: ...

    async def suspense_lines(self, tx: Tx, tenant: str, account: UUID) -> list[LineRow]: ...

    async def gaps_fen(self, tx: Tx, tenant: str, account: UUID) -> int: ...

    async def page(
        self, tx: Tx, tenant: str, account: UUID, before: int, limit: int
    ) -> list[LineRow]: ...

    async def fee_lines(
        self,
        tx: Tx,
        tenant: str,
        start: datetime,
        end: datetime,
        after: tuple[UUID, int],
        limit: int,
    ) -> list[LineRow]:
        """Fees booked from ``start`` to before ``end`` that the bank has not taken back, by
        (account, position) after ``after``."""
        ...

    async def fees_under(
        self, tx: Tx, tenant: str, places: Collection[tuple[UUID, str]]
    ) -> list[LineRow]:
        """All fees with these (account, reference) that the bank has not taken back."""
        ...

    async def append_balances(self, tx: Tx, tenant: str, rows: Sequence[BalanceRow]) -> None: ...

    async def latest_balances(
        self, tx: Tx, tenant: str, accounts: Collection[UUID]
    ) -> dict[UUID, BalanceRow]: ...


class PostgresStatementStore:
    """Statements in PostgreSQL: set-based statements over arrays."""

    async def put_cursors(
        self, tx: Tx, tenant: str, rails: Sequence[tuple[UUID, str]], now: datetime
    ) -> None:
        if rails:
            await pg(tx).execute(_sql["put_cursors"], tenant, *columns(rails, 2), now)

    async def claim_cursors(
        self,
        tx: Tx,
        tenant: str,
        rails: Collection[str],
        accounts: Collection[UUID],
        now: datetime,
        limit: int,
        lease: datetime,
    ) -> list[CursorRow]:
        rows = await pg(tx).fetch(
            _sql["claim_cursors"], tenant, list(rails), now, limit, lease, list(accounts)
        )
        return [_cursor(row) for row in rows]

    async def lock_cursor(self, tx: Tx, tenant: str, account: UUID) -> CursorRow | None:
        row = await pg(tx).fetch_one(_sql["lock_cursor"], tenant, account)
        return None if row is None else _cursor(row)

    async def cursors(
        self, tx: Tx, tenant: str, accounts: Collection[UUID]
    ) -> dict[UUID, CursorRow]:
        rows = await pg(tx).fetch(_sql["cursors"], tenant, list(accounts))
        return {row["bank_account_id"]: _cursor(row) for row in rows}

    async def save_cursor(self, tx: Tx, tenant: str, row: CursorRow) -> None:
        await pg(tx).execute(
            _sql["save_cursor"], tenant, row.bank_account_id, row.fence, row.cursor, row.read_at,
            row.next_at, row.failures, row.trouble, row.lines, row.last_balance_fen,
            row.last_booked_at, row.opened_fen, row.matched_to,
        )  # fmt: skip

    async def next_read(self, tx: Tx, tenant: str) -> datetime | None:
        return await pg(tx).value(_sql["next_read"], tenant)

    async def known_lines(
        self, tx: Tx, tenant: str, account: UUID, line_ids: Collection[str]
    ) -> dict[str, tuple[int, int]]:
        rows = await pg(tx).fetch(_sql["known_lines"], tenant, account, list(line_ids))
        return {row[0]: (row[1], row[2]) for row in rows}

    async def insert_lines(self, tx: Tx, tenant: str, rows: Sequence[LineRow]) -> None:
        values = [
            (
                tenant, r.bank_account_id, r.line_id, r.position, r.booked_at, r.value_date,
                r.amount_fen, r.balance_after_fen, r.gap_fen, r.kind, r.reference,
                r.counterparty_sealed, r.counterparty_index, r.counterparty_last4, r.words,
                r.rail, r.read_at, r.explained_by.value, r.payment_id, r.transfer_id,
                r.moved_by, r.corrects, r.due_at, r.tries,
            )
            for r in rows
        ]  # fmt: skip
        if values:
            await pg(tx).copy_records("statement_lines", _LINE, values)

    async def update_lines(self, tx: Tx, tenant: str, rows: Sequence[LineRow]) -> None:
        values = [
            (
                r.bank_account_id, r.line_id, r.explained_by.value, r.payment_id, r.transfer_id,
                r.moved_by, r.due_at, r.tries,
            )
            for r in rows
        ]  # fmt: skip
        # First those that give a transfer up, so that another line may take it in the same call.
        for part in ([v for v in values if v[4] is None], [v for v in values if v[4] is not None]):
            if part:
                await pg(tx).execute(_sql["update_lines"], tenant, *columns(part, 8))

    async def only_one(self, tx: Tx, tenant: str) -> bool:
        return await pg(tx).value(_sql["only_one"], tenant)

    async def due_lines(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[LineRow]:
        return _lines(await pg(tx).fetch(_sql["due_lines"], tenant, now, limit))

    async def by_references(
        self, tx: Tx, tenant: str, places: Collection[tuple[UUID, str]]
    ) -> list[LineRow]:
        values = columns(sorted(places), 2)
        return _lines(await pg(tx).fetch(_sql["by_references"], tenant, *values))

    async def line(self, tx: Tx, tenant: str, account: UUID, line_id: str) -> LineRow | None:
        row = await pg(tx).fetch_one(_sql["line"], tenant, account, line_id)
        return None if row is None else _line(row)

    async def correctable(
        self, tx: Tx, tenant: str, account: UUID, amount_fen: int
    ) -> LineRow | None:
        row = await pg(tx).fetch_one(_sql["correctable"], tenant, account, amount_fen)
        return None if row is None else _line(row)

    async def matched(
        self, tx: Tx, tenant: str, account: UUID, transfers: Collection[UUID]
    ) -> set[UUID]:
        rows = await pg(tx).fetch(_sql["matched"], tenant, account, list(transfers))
        return {row[0] for row in rows}

    async def open_lines(self, tx: Tx, tenant: str, account: UUID) -> list[LineRow]:
        return _lines(await pg(tx).fetch(_sql["open_lines"], tenant, account))

    async def suspense_lines(self, tx: Tx, tenant: str, account: UUID) -> list[LineRow]:
        return _lines(await pg(tx).fetch(_sql["suspense_lines"], tenant, account))

    async def gaps_fen(self, tx: Tx, tenant: str, account: UUID) -> int:
        return await pg(tx).value(_sql["gaps"], tenant, account)

    async def page(
        self, tx: Tx, tenant: str, account: UUID, before: int, limit: int
    ) -> list[LineRow]:
        return _lines(await pg(tx).fetch(_sql["page"], tenant, account, before, limit))

    async def fee_lines(
        self,
        tx: Tx,
        tenant: str,
        start: datetime,
        end: datetime,
        after: tuple[UUID, int],
        limit: int,
    ) -> list[LineRow]:
        return _lines(
            await pg(tx).fetch(_sql["fee_lines"], tenant, start, end, after[0], after[1], limit)
        )

    async def fees_under(
        self, tx: Tx, tenant: str, places: Collection[tuple[UUID, str]]
    ) -> list[LineRow]:
        values = columns(sorted(places), 2)
        return _lines(await pg(tx).fetch(_sql["fees_under"], tenant, *values))

    async def append_balances(self, tx: Tx, tenant: str, rows: Sequence[BalanceRow]) -> None:
        values = [
            (r.bank_account_id, r.at, r.balance_fen, r.available_fen, r.source, r.read_at)
            for r in rows
        ]
        if values:
            await pg(tx).execute(_sql["append_balances"], tenant, *columns(values, 6))

    async def latest_balances(
        self, tx: Tx, tenant: str, accounts: Collection[UUID]
    ) -> dict[UUID, BalanceRow]:
        rows = await pg(tx).fetch(_sql["latest_balances"], tenant, list(accounts))
        return {row[0]: BalanceRow(*row) for row in rows}


def _cursor(row: Row) -> CursorRow:
    return CursorRow(**dict(row.items()))


def _line(row: Row) -> LineRow:
    fields: dict[str, Any] = dict(row.items())
    fields["explained_by"] = Explained(fields["explained_by"])
    return LineRow(**fields)


def _lines(rows: Sequence[Row]) -> list[LineRow]:
    return [_line(row) for row in rows]
