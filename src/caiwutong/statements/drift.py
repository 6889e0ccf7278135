"""Book against bank for one account, with every fen of the difference accounted for.

Reads only. Its several statements do not share one snapshot, so a figure that moved meanwhile shows
as residue: then it is measured again. Cost: the account's entries since ``matched_to``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from caiwutong.bank_accounts.model import BankAccount
from caiwutong.db.database import Tx
from caiwutong.ledger.rules import EntryRow
from caiwutong.ledger.service import Ledger
from caiwutong.statements.model import CursorRow, Drift, Explained, LineRow, OpenEntry, OpenLine
from caiwutong.statements.store import StatementStore

LISTED = 100
"""How many lines or entries of each sort a drift names; its sums count all."""

_PAGE = 1000
_LATEST = (datetime(9999, 1, 1, tzinfo=UTC), 1 << 62)
_SETTLED_AFTER = timedelta(days=1)
_MEASURES = 4


class Drifts:
    """Measures drift over one store and the ledger."""

    def __init__(self, store: StatementStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    async def measure(self, tx: Tx, tenant: str, account: BankAccount, now: datetime) -> Drift:
        """The account's drift now."""
        drift = await self._once(tx, tenant, account, now)
        for _ in range(_MEASURES - 1):
            if drift.residue_fen == 0:
                break
            drift = await self._once(tx, tenant, account, now)
        return drift

    async def advance(
        self, tx: Tx, tenant: str, account: BankAccount, cursor: CursorRow, now: datetime
    ) -> CursorRow:
        """The cursor with its mark moved up to the oldest entry that has no line yet, so that the
        next measure reads no further back. Entries of the last day stay in sight."""
        entries, _ = await self._entries(tx, tenant, account, cursor.matched_to)
        first = await self._book_first(tx, tenant, account, entries)
        mark = min([entry.at for entry in first] + [now - _SETTLED_AFTER])
        if cursor.opened_fen is None or (cursor.matched_to and mark <= cursor.matched_to):
            return cursor
        return msgspec.structs.replace(cursor, matched_to=mark)

    async def _once(self, tx: Tx, tenant: str, account: BankAccount, now: datetime) -> Drift:
        store, own = self._store, account.bank_account_id
        cursor = (await store.cursors(tx, tenant, [own])).get(own)
        mark = None if cursor is None else cursor.matched_to
        entries, book_fen = await self._entries(tx, tenant, account, mark)
        open_lines = await store.open_lines(tx, tenant, own)
        suspense = await store.suspense_lines(tx, tenant, own)
        said = (await store.latest_balances(tx, tenant, [own])).get(own)
        held = await self._ledger.balance(tx, tenant, account.ledger_account_id, now=now)
        drift = Drift(
            bank_account_id=own,
            at=now,
            book_fen=book_fen,
            held_fen=held.held_fen,
            bank_fen=said.balance_fen if said else None,
            bank_at=said.at if said else None,
            difference_fen=said.balance_fen - book_fen if said else None,
            unexplained_fen=said.balance_fen - book_fen if said else 0,
            suspense=_named(suspense),
            suspense_fen=_sum(suspense),
            read_at=cursor.read_at if cursor else None,
            trouble=cursor.trouble if cursor else "",
            said_fen=said.balance_fen if said else None,
            said_available_fen=said.available_fen if said else None,
            said_at=said.at if said else None,
        )
        if cursor is None or cursor.last_balance_fen is None or cursor.opened_fen is None:
            return drift
        unexplained = [line for line in open_lines if line.explained_by is Explained.NOTHING]
        bank_first = await self._bank_first(tx, tenant, open_lines)
        book_first = await self._book_first(tx, tenant, account, entries)
        gaps_fen = await store.gaps_fen(tx, tenant, own)
        difference = cursor.last_balance_fen - book_fen
        booked_fen = sum(entry.amount_fen for entry in book_first)
        accounted = _sum(unexplained) + _sum(bank_first) + gaps_fen - booked_fen
        return msgspec.structs.replace(
            drift,
            bank_fen=cursor.last_balance_fen,
            bank_at=cursor.last_booked_at,
            difference_fen=difference,
            unexplained=_named(unexplained),
            unexplained_fen=_sum(unexplained),
            bank_first=_named(bank_first),
            bank_first_fen=_sum(bank_first),
            book_first=tuple(book_first[:LISTED]),
            book_first_fen=booked_fen,
            gaps_fen=gaps_fen,
            residue_fen=difference - accounted,
        )

    async def _entries(
        self, tx: Tx, tenant: str, account: BankAccount, mark: datetime | None
    ) -> tuple[list[EntryRow], int]:
        """The entries that moved the account since the mark, and the balance after the last."""
        found: list[EntryRow] = []
        before = _LATEST
        book_fen: int | None = None
        while True:
            page = await self._ledger.entries(tx, tenant, account.ledger_account_id, before, _PAGE)
            if book_fen is None:
                book_fen = page[0].posted_after if page else 0
            found += [e for e in page if e.amount_fen and (mark is None or e.at >= mark)]
            if len(page) < _PAGE or (mark is not None and page[-1].at < mark):
                return found, book_fen
            before = (page[-1].at, page[-1].seq)

    async def _book_first(
        self, tx: Tx, tenant: str, account: BankAccount, entries: Iterable[EntryRow]
    ) -> list[OpenEntry]:
        """Entries that no line stands for, oldest first. The opening entry needs none."""
        by_cause = {entry.cause: entry for entry in entries}
        matched = await self._matched(tx, tenant, account.bank_account_id, by_cause)
        waiting = [cause for cause in by_cause if cause not in matched]
        rows = await self._ledger.transfers(tx, tenant, waiting) if waiting else {}
        found = [
            OpenEntry(cause, by_cause[cause].at, by_cause[cause].amount_fen, row.kind, row.subject)
            for cause, row in rows.items()
            if row.kind != "opening"
        ]
        return sorted(found, key=lambda entry: (entry.at, entry.transfer_id))

    async def _matched(
        self, tx: Tx, tenant: str, account: UUID, transfers: Collection[UUID]
    ) -> set[UUID]:
        return await self._store.matched(tx, tenant, account, transfers) if transfers else set()

    async def _bank_first(self, tx: Tx, tenant: str, lines: Iterable[LineRow]) -> list[LineRow]:
        """Lines that are explained, though the entry they stand for is not in our book yet."""
        waiting = [line for line in lines if line.explained_by is not Explained.NOTHING]
        ids = [line.transfer_id for line in waiting if line.transfer_id is not None]
        there = await self._ledger.transfers(tx, tenant, ids) if ids else {}
        return [line for line in waiting if line.transfer_id not in there]


def _named(lines: Iterable[LineRow]) -> tuple[OpenLine, ...]:
    return tuple(
        OpenLine(r.line_id, r.booked_at, r.amount_fen, r.kind, r.reference, r.payment_id)
        for r in list(lines)[:LISTED]
    )


def _sum(lines: Iterable[LineRow]) -> int:
    return sum(line.amount_fen for line in lines)
