"""The rows of statements in memory: the twin of ``store.PostgresStatementStore``, with the same
guards."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.kernel.errors import Broken
from caiwutong.statements.model import BalanceRow, CursorRow, Explained, LineRow
from caiwutong.statements.store import CORRECTABLE

Key = tuple[str, UUID]


class MemoryStatementStore:
    """Lines in one dict per account, in the bank's order."""

    def __init__(self) -> None:
        self._cursors: dict[Key, CursorRow] = {}
        self._lines: dict[Key, dict[str, LineRow]] = {}
        self._transfers: dict[tuple[str, UUID, UUID], str] = {}
        """Which line of an account a transfer stands for."""
        self._corrected: dict[tuple[str, UUID, str], str] = {}
        self._due: dict[str, dict[tuple[UUID, str], LineRow]] = {}
        self._balances: dict[tuple[str, UUID, datetime, str], BalanceRow] = {}

    async def put_cursors(
        self, tx: Tx, tenant: str, rails: Sequence[tuple[UUID, str]], now: datetime
    ) -> None:
        for account, rail in rails:
            if (tenant, account) not in self._cursors:
                row = CursorRow(bank_account_id=account, rail=rail, next_at=now)
                mem(tx).put(self._cursors, (tenant, account), row)

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
        due = sorted(
            (
                row
                for (owner, account), row in self._cursors.items()
                if owner == tenant
                and account in accounts
                and row.rail in rails
                and row.next_at <= now
            ),
            key=lambda row: (row.next_at, row.bank_account_id),
        )
        claimed = [
            msgspec.structs.replace(row, next_at=lease, fence=row.fence + 1) for row in due[:limit]
        ]
        for row in claimed:
            mem(tx).put(self._cursors, (tenant, row.bank_account_id), row)
        return claimed

    async def lock_cursor(self, tx: Tx, tenant: str, account: UUID) -> CursorRow | None:
        return self._cursors.get((tenant, account))

    async def cursors(
        self, tx: Tx, tenant: str, accounts: Collection[UUID]
    ) -> dict[UUID, CursorRow]:
        return {i: row for i in accounts if (row := self._cursors.get((tenant, i)))}

    async def save_cursor(self, tx: Tx, tenant: str, row: CursorRow) -> None:
        before = self._cursors.get((tenant, row.bank_account_id))
        if before is not None and before.fence == row.fence:
            mem(tx).put(self._cursors, (tenant, row.bank_account_id), row)

    async def next_read(self, tx: Tx, tenant: str) -> datetime | None:
        mine = (row.next_at for (owner, _), row in self._cursors.items() if owner == tenant)
        return min(mine, default=None)

    async def known_lines(
        self, tx: Tx, tenant: str, account: UUID, line_ids: Collection[str]
    ) -> dict[str, tuple[int, int]]:
        own = self._own(tenant, account)
        return {i: (row.amount_fen, row.balance_after_fen) for i in line_ids if (row := own.get(i))}

    async def insert_lines(self, tx: Tx, tenant: str, rows: Sequence[LineRow]) -> None:
        for row in rows:
            own = self._own(tenant, row.bank_account_id)
            if row.line_id in own:
                raise Broken("statements.line_twice", f"Line {row.line_id} is here already.")
            self._write(tx, tenant, None, row)

    async def update_lines(self, tx: Tx, tenant: str, rows: Sequence[LineRow]) -> None:
        # First those that give a transfer up, so that another line may take it in the same call.
        for row in sorted(rows, key=lambda row: row.transfer_id is not None):
            before = self._own(tenant, row.bank_account_id)[row.line_id]
            moves = (
                before.explained_by is Explained.SUSPENSE
                and before.moved_by is None
                and row.moved_by is not None
                and row.transfer_id == before.transfer_id
            )
            if before.due_at is None and not moves:
                raise Broken("statements.explained", f"Line {row.line_id} is explained already.")
            self._write(tx, tenant, before, row)

    def _write(self, tx: Tx, tenant: str, before: LineRow | None, row: LineRow) -> None:
        t, account, line_id = mem(tx), row.bank_account_id, row.line_id
        if row.explained_by is Explained.NOTHING and row.due_at is None:
            raise Broken("statements.nothing_open", f"Line {line_id} would be forgotten.")
        if before is not None and before.transfer_id not in (None, row.transfer_id):
            t.remove(self._transfers, (tenant, account, before.transfer_id))
        if row.transfer_id is not None:
            transfer = (tenant, account, row.transfer_id)
            if self._transfers.get(transfer, line_id) != line_id:
                raise Broken("statements.explained_twice", f"Two lines stand for {transfer[2]}.")
            t.put(self._transfers, transfer, line_id)
        if row.corrects:
            corrected = (tenant, account, row.corrects)
            if self._corrected.get(corrected, line_id) != line_id:
                raise Broken("statements.corrected_twice", f"{row.corrects} is corrected twice.")
            t.put(self._corrected, corrected, line_id)
        due = self._due.setdefault(tenant, {})
        if row.due_at is not None:
            t.put(due, (account, line_id), row)
        elif (account, line_id) in due:
            t.remove(due, (account, line_id))
        t.put(self._own(tenant, account), line_id, row)

    async def only_one(self, tx: Tx, tenant: str) -> bool:
        return True

    async def due_lines(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[LineRow]:
        due = [
            (row.due_at, row.bank_account_id, row.position, row)
            for row in self._due.get(tenant, {}).values()
            if row.due_at is not None and row.due_at <= now
        ]
        return [entry[3] for entry in sorted(due, key=lambda entry: entry[:3])[:limit]]

    async def by_references(
        self, tx: Tx, tenant: str, places: Collection[tuple[UUID, str]]
    ) -> list[LineRow]:
        return [
            row
            for account in sorted({account for account, _ in places})
            for row in self._own(tenant, account).values()
            if row.reference and (account, row.reference) in places
        ]

    async def line(self, tx: Tx, tenant: str, account: UUID, line_id: str) -> LineRow | None:
        return self._own(tenant, account).get(line_id)

    async def correctable(
        self, tx: Tx, tenant: str, account: UUID, amount_fen: int
    ) -> LineRow | None:
        own = self._own(tenant, account)
        fit = [
            row
            for row in own.values()
            if row.amount_fen == amount_fen
            and row.explained_by in CORRECTABLE
            and row.moved_by is None
            and (tenant, account, row.line_id) not in self._corrected
        ]
        return max(fit, key=lambda row: row.position, default=None)

    async def matched(
        self, tx: Tx, tenant: str, account: UUID, transfers: Collection[UUID]
    ) -> set[UUID]:
        return {i for i in transfers if (tenant, account, i) in self._transfers}

    async def open_lines(self, tx: Tx, tenant: str, account: UUID) -> list[LineRow]:
        due = self._due.get(tenant, {}).values()
        mine = [row for row in due if row.bank_account_id == account]
        return sorted(mine, key=lambda row: row.position)

    async def suspense_lines(self, tx: Tx, tenant: str, account: UUID) -> list[LineRow]:
        own = self._own(tenant, account)
        return [
            row
            for row in own.values()
            if row.explained_by is Explained.SUSPENSE
            and row.moved_by is None
            and (tenant, account, row.line_id) not in self._corrected
        ]

    async def gaps_fen(self, tx: Tx, tenant: str, account: UUID) -> int:
        own = self._own(tenant, account).values()
        return sum(row.gap_fen for row in own if row.explained_by is not Explained.OPENING)

    async def page(
        self, tx: Tx, tenant: str, account: UUID, before: int, limit: int
    ) -> list[LineRow]:
        rows = [row for row in self._own(tenant, account).values() if row.position < before]
        return rows[::-1][:limit]

    async def fee_lines(
        self,
        tx: Tx,
        tenant: str,
        start: datetime,
        end: datetime,
        after: tuple[UUID, int],
        limit: int,
    ) -> list[LineRow]:
        found = [
            row
            for row in self._standing_fees(tenant)
            if start <= row.booked_at < end and (row.bank_account_id, row.position) > after
        ]
        return sorted(found, key=lambda row: (row.bank_account_id, row.position))[:limit]

    async def fees_under(
        self, tx: Tx, tenant: str, places: Collection[tuple[UUID, str]]
    ) -> list[LineRow]:
        found = [
            row
            for row in self._standing_fees(tenant)
            if row.reference and (row.bank_account_id, row.reference) in places
        ]
        return sorted(found, key=lambda row: (row.bank_account_id, row.position))

    def _standing_fees(self, tenant: str) -> list[LineRow]:
        """Fees that the bank has not taken back."""
        own = [
            row
            for (owner, _), lines in self._lines.items()
            if owner == tenant
            for row in lines.values()
        ]
        gone = {(row.bank_account_id, row.corrects) for row in own if row.corrects}
        return [
            row
            for row in own
            if row.explained_by is Explained.FEE and (row.bank_account_id, row.line_id) not in gone
        ]

    async def append_balances(self, tx: Tx, tenant: str, rows: Sequence[BalanceRow]) -> None:
        for row in rows:
            key = (tenant, row.bank_account_id, row.at, row.source)
            if key not in self._balances:
                mem(tx).put(self._balances, key, row)

    async def latest_balances(
        self, tx: Tx, tenant: str, accounts: Collection[UUID]
    ) -> dict[UUID, BalanceRow]:
        found: dict[UUID, BalanceRow] = {}
        for (owner, account, at, _), row in self._balances.items():
            latest = found.get(account)
            if owner == tenant and account in accounts and (latest is None or latest.at <= at):
                found[account] = row
        return found

    def _own(self, tenant: str, account: UUID) -> dict[str, LineRow]:
        return self._lines.setdefault((tenant, account), {})
