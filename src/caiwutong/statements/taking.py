"""A page of a statement becomes rows and entries, in one transaction.

New lines are stored in the bank's order, the chain of balances is checked, the cursor moves, and
what needs no payment is booked at once: opening, fees, interest, the bank's corrections, suspense.
Lines under a reference stay open. Locks: the account's cursor, then the ledger.
Read next: ``rules.says``, and ``service`` for what matches the open lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.audit.model import Event
from caiwutong.bank_accounts.model import BankAccount, EntityAccounts
from caiwutong.bank_accounts.rules import account_index
from caiwutong.db.database import Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.ids import Ids, derived
from caiwutong.ledger.model import Transfer
from caiwutong.ledger.service import Ledger
from caiwutong.rails.contract import StatementLine, StatementPage
from caiwutong.statements import rules
from caiwutong.statements.model import CursorRow, Explained, LineRow, Taken
from caiwutong.statements.ports import Accounts, Log, Seal
from caiwutong.statements.store import CORRECTABLE, StatementStore
from caiwutong.statements.telling import OtherSide, book_many, facts, happened, seal_other_side


@dataclass(slots=True)
class _Draft:
    """What taking a page leaves to be written."""

    tenant: str
    account: BankAccount
    books: EntityAccounts
    rail: str
    now: datetime
    cursor: CursorRow
    lines: list[LineRow] = field(default_factory=list[LineRow])
    ledger: list[Transfer] = field(default_factory=list[Transfer])
    events: list[Event] = field(default_factory=list[Event])
    breaks: int = 0


class Taking:
    """Takes pages in, over one store."""

    def __init__(
        self,
        store: StatementStore,
        *,
        accounts: Accounts,
        ledger: Ledger,
        log: Log,
        seal: Seal,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._ledger = ledger
        self._log = log
        self._seal = seal
        self._clock = clock
        self._ids = ids
        self._books: dict[tuple[str, UUID], EntityAccounts] = {}

    async def take_page(
        self,
        tx: Tx,
        tenant: str,
        account: BankAccount,
        page: StatementPage,
        *,
        rail: str,
        fence: int | None = None,
    ) -> Taken:
        """Store what is new in a page of the bank's, in its order, and book what explains itself.
        A line that is here already changes nothing. With ``fence``, nothing happens once another
        reader has claimed the account."""
        cursor = await self._cursor(tx, tenant, account, rail)
        if fence is not None and cursor.fence != fence:
            return Taken(0, 0, lost=True)
        if cursor.rail != rail:
            raise Refused(
                "statements.other_rail",
                f"Account {account.masked} is read over {cursor.rail}, not {rail}.",
                "Read it over the rail it was begun with: line numbers of two rails differ.",
            )
        books = await self._entity_books(tx, tenant, account.legal_entity_id)
        draft = _Draft(tenant, account, books, rail, self._clock.now(), cursor)
        lines = [rules.without_account(line, account.account) for line in page.lines]
        for line in await self._fresh(tx, draft, lines):
            await self._take(tx, draft, line)
        if draft.cursor.opened_fen is None and not page.more:
            await self._open(tx, draft, draft.cursor.last_balance_fen)
        await book_many(self._ledger, tx, tenant, draft.ledger)
        await self._store.insert_lines(tx, tenant, draft.lines)
        done = msgspec.structs.replace(draft.cursor, cursor=page.cursor, read_at=draft.now)
        await self._store.save_cursor(tx, tenant, done)
        await self._log.append_many(tx, draft.events)
        return Taken(len(draft.lines), draft.breaks)

    async def _cursor(self, tx: Tx, tenant: str, account: BankAccount, rail: str) -> CursorRow:
        own = account.bank_account_id
        found = await self._store.lock_cursor(tx, tenant, own)
        if found is None:
            await self._store.put_cursors(tx, tenant, [(own, rail)], self._clock.now())
            found = await self._store.lock_cursor(tx, tenant, own)
        assert found is not None
        return found

    async def _entity_books(self, tx: Tx, tenant: str, entity: UUID) -> EntityAccounts:
        key = (tenant, entity)
        if key not in self._books:
            books = await self._accounts.entity_accounts(tx, tenant, entity)
            tx.after_commit(lambda: self._books.__setitem__(key, books))
            return books
        return self._books[key]

    async def _fresh(
        self, tx: Tx, draft: _Draft, lines: Sequence[StatementLine]
    ) -> list[StatementLine]:
        """Those not here yet, each once. A known line with other figures is told to the log: the
        bank may not change what it has said."""
        own = draft.account.bank_account_id
        known = await self._store.known_lines(tx, draft.tenant, own, {i.line_id for i in lines})
        fresh: dict[str, StatementLine] = {}
        for line in lines:
            before = known.get(line.line_id)
            if before is None:
                fresh.setdefault(line.line_id, line)
            elif before != (line.amount_fen, line.balance_after_fen):
                self._tell(
                    draft,
                    "statement.line_changed",
                    line,
                    {"kept_amount_fen": before[0], "kept_balance_after_fen": before[1]},
                )
        return list(fresh.values())

    async def _take(self, tx: Tx, draft: _Draft, line: StatementLine) -> None:
        cursor = draft.cursor
        gap = rules.gap_fen(cursor.last_balance_fen, line)
        if gap:
            draft.breaks += 1
            self._tell(draft, "statement.chain_broken", line, {"gap_fen": gap})
        opening = False
        if cursor.opened_fen is None:
            opening = rules.is_history(line, draft.account.created_at)
            if not opening:
                opening = line.kind == "opening"
                before = cursor.last_balance_fen
                if opening:
                    before = line.balance_after_fen
                elif before is None:
                    before = line.balance_after_fen - line.amount_fen
                await self._open(tx, draft, before)
        row = self._row(draft, line, gap)
        if opening:
            row = msgspec.structs.replace(row, explained_by=Explained.OPENING, due_at=None)
        else:
            row = await self._explain(tx, draft, line, row)
        draft.lines.append(row)
        draft.cursor = msgspec.structs.replace(
            draft.cursor,
            lines=row.position,
            last_balance_fen=line.balance_after_fen,
            last_booked_at=line.booked_at,
        )

    async def _open(self, tx: Tx, draft: _Draft, bank_fen: int | None) -> None:
        """Compare what the bank says stood there as our books began with the opening entry (期初),
        and book the difference: the bank's word counts."""
        if bank_fen is None:
            return
        draft.cursor = msgspec.structs.replace(draft.cursor, opened_fen=bank_fen)
        account = draft.account
        missing = bank_fen - await self._opening_entry(tx, draft.tenant, account)
        if missing:
            draft.ledger.append(
                rules.booking(
                    account,
                    draft.books.opening,
                    missing,
                    transfer_id=derived(account.bank_account_id, "statement-opening"),
                    kind="opening",
                    at=draft.now,
                )
            )
        body = {"bank_fen": bank_fen, "corrected_by_fen": missing}
        self._tell(draft, "statement.opened", None, body)

    async def _opening_entry(self, tx: Tx, tenant: str, account: BankAccount) -> int:
        """The opening entry made with the account: its first entry, at its creation."""
        first = await self._ledger.entries(
            tx, tenant, account.ledger_account_id, (account.created_at, 2), 1
        )
        if not first:
            return 0
        transfer = await self._ledger.transfer(tx, tenant, first[0].cause)
        made = transfer is not None and transfer.kind == "opening"
        return first[0].amount_fen if made else 0

    def _row(self, draft: _Draft, line: StatementLine, gap: int) -> LineRow:
        own = draft.account.bank_account_id
        other = OtherSide(line.counterparty_name, line.counterparty_account)
        return LineRow(
            bank_account_id=own,
            line_id=line.line_id,
            position=draft.cursor.lines + 1,
            booked_at=line.booked_at,
            value_date=line.value_date,
            amount_fen=line.amount_fen,
            balance_after_fen=line.balance_after_fen,
            gap_fen=gap,
            kind=line.kind,
            reference=line.reference,
            counterparty_sealed=seal_other_side(self._seal, draft.tenant, own, line.line_id, other),
            counterparty_index=account_index(self._seal, other.account) if other.account else b"",
            counterparty_last4=other.account[-4:],
            words=line.words,
            rail=draft.rail,
            read_at=draft.now,
            due_at=draft.now,
        )

    async def _explain(self, tx: Tx, draft: _Draft, line: StatementLine, row: LineRow) -> LineRow:
        """The row with what the line says by itself, its entry added to the draft."""
        explained, corrects = rules.says(line), None
        if explained is None:
            return row
        if explained is Explained.CORRECTION:
            corrects = await self._correctable(tx, draft, -line.amount_fen)
            if corrects is None:
                explained = Explained.SUSPENSE
        closed = msgspec.structs.replace(
            row,
            explained_by=explained,
            due_at=None,
            corrects="" if corrects is None else corrects.line_id,
        )
        if line.amount_fen == 0:
            return closed
        transfer_id = rules.line_transfer(row.bank_account_id, row.line_id)
        source = explained if corrects is None else corrects.explained_by
        suspense = source is Explained.SUSPENSE
        draft.ledger.append(
            rules.booking(
                draft.account,
                draft.account.suspense_account_id if suspense else draft.books.fees,
                line.amount_fen,
                transfer_id=transfer_id,
                kind=explained.value,
                at=draft.now,
            )
        )
        kind = "statement.suspense" if explained is Explained.SUSPENSE else "statement.explained"
        self._tell(draft, kind, line, {"explained_by": explained.value})
        return msgspec.structs.replace(closed, transfer_id=transfer_id)

    async def _correctable(self, tx: Tx, draft: _Draft, amount_fen: int) -> LineRow | None:
        """The latest line of this amount that a correction (冲正) can take back: of this page, or
        kept before."""
        gone = {line.corrects for line in draft.lines}
        for line in reversed(draft.lines):
            fits = line.amount_fen == amount_fen and line.explained_by in CORRECTABLE
            if fits and line.line_id not in gone:
                return line
        kept = await self._store.correctable(
            tx, draft.tenant, draft.account.bank_account_id, amount_fen
        )
        return None if kept is None or kept.line_id in gone else kept

    def _tell(
        self, draft: _Draft, kind: str, line: StatementLine | None, more: dict[str, Any]
    ) -> None:
        body = more if line is None else facts(line) | more
        account = draft.account.bank_account_id
        draft.events.append(happened(self._ids, draft.tenant, kind, account, body, draft.now))
