"""What happens to the banks' statements: pages taken in, lines explained, drift measured.

A page is one transaction: its new lines are stored in the bank's order, the chain of balances is
checked, the cursor moves, and what needs no payment is booked at once (opening, fees, interest,
the bank's corrections, suspense). Lines under a reference wait for ``payments/evidence.py``, which
comes back through ``match_many``. Locks: the cursor, then the ledger; or lines, then the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from caiwutong.audit.model import Event, canonical_json
from caiwutong.bank_accounts.model import BankAccount, EntityAccounts
from caiwutong.bank_accounts.rules import account_index
from caiwutong.db.database import Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Broken, Conflict, NotFound, Refusal, Refused
from caiwutong.kernel.ids import Ids, derived
from caiwutong.kernel.masking import mask_words
from caiwutong.ledger.model import Transfer
from caiwutong.ledger.service import Ledger
from caiwutong.rails.contract import BankBalance, StatementLine, StatementPage
from caiwutong.statements import rules
from caiwutong.statements.drift import Drifts
from caiwutong.statements.model import (
    BalanceRow,
    CursorRow,
    Drift,
    Explained,
    LineRow,
    LineView,
    Match,
    Taken,
)
from caiwutong.statements.store import CORRECTABLE, StatementStore

COUNTERPARTY = "statement_counterparty"
"""The vault's record class of the other side of a line."""

NEWEST = 1 << 62
"""Above every position: where a newest-first page begins."""

_ACTOR = "system:statements"


class Log(Protocol):
    """The append-only event log."""

    async def append_many(self, tx: Tx, events: Sequence[Event]) -> None: ...


class Seal(Protocol):
    """Field encryption and blind indexes, from the vault."""

    def seal(self, record_class: str, plaintext: bytes, context: bytes) -> bytes: ...
    def open(self, record_class: str, sealed: bytes, context: bytes) -> bytes: ...
    def blind_index(self, kind: str, normalised: str) -> bytes: ...


class Accounts(Protocol):
    """Our bank accounts and the books of their entities, from ``bank_accounts``."""

    async def find_many(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> Mapping[UUID, BankAccount]: ...

    async def entity_accounts(
        self, tx: Tx, tenant: str, legal_entity_id: UUID
    ) -> EntityAccounts: ...


class _Other(msgspec.Struct, frozen=True):
    """The other side of a line, as it is sealed."""

    name: str
    account: str


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


class Statements:
    """The banks' word about our accounts, over one store."""

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
        self._drifts = Drifts(store, ledger)
        self._books: dict[tuple[str, UUID], EntityAccounts] = {}

    # Taking pages.

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
        await self._book(tx, tenant, draft.ledger)
        await self._store.insert_lines(tx, tenant, draft.lines)
        done = msgspec.structs.replace(draft.cursor, cursor=page.cursor, read_at=draft.now)
        await self._store.save_cursor(tx, tenant, done)
        await self._log.append_many(tx, draft.events)
        return Taken(len(draft.lines), draft.breaks)

    async def take_balances(
        self, tx: Tx, tenant: str, balances: Mapping[UUID, BankBalance], *, rail: str
    ) -> None:
        """Keep what the bank says stands on these accounts; an unchanged word is not kept again
        within the hour."""
        now = self._clock.now()
        known = await self._store.latest_balances(tx, tenant, list(balances))
        await self._store.append_balances(
            tx,
            tenant,
            [
                BalanceRow(i, said.at, said.balance_fen, said.available_fen, rail, now)
                for i, said in sorted(balances.items())
                if _is_news(known.get(i), said)
            ],
        )

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
        other = _Other(line.counterparty_name, line.counterparty_account)
        named = bool(other.name or other.account)
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
            counterparty_sealed=self._seal.seal(
                COUNTERPARTY, canonical_json(other), _place(draft.tenant, own, line.line_id)
            )
            if named
            else b"",
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
        self, draft: _Draft, kind: str, line: StatementLine | None, facts: dict[str, Any]
    ) -> None:
        body = facts if line is None else _facts(line) | facts
        account = draft.account.bank_account_id
        draft.events.append(self._event(draft.tenant, kind, account, body, draft.now))

    # Matching: what payments knows about lines under a reference.

    async def unmatched(self, tx: Tx, tenant: str, limit: int) -> list[LineRow]:
        """Lines that are due to be looked at, oldest first, then in the bank's order. Empty while
        another worker matches this tenant's lines."""
        if not await self._store.only_one(tx, tenant):
            return []
        return await self._store.due_lines(tx, tenant, self._clock.now(), limit)

    async def under(
        self, tx: Tx, tenant: str, places: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], list[LineRow]]:
        """All lines under these (bank account, reference), in the bank's order."""
        found: dict[tuple[UUID, str], list[LineRow]] = {}
        for line in await self._store.by_references(tx, tenant, places):
            found.setdefault((line.bank_account_id, line.reference), []).append(line)
        return found

    async def match_many(self, tx: Tx, tenant: str, matches: Sequence[Match]) -> None:
        """Write what explains these lines, with their entries in one batch of the ledger. A line
        explained by suspense is booked there, forced."""
        if not matches:
            return
        now = self._clock.now()
        accounts = await self._accounts.find_many(
            tx, tenant, {match.line.bank_account_id for match in matches}
        )
        rows: list[LineRow] = []
        entries: list[Transfer] = []
        events: list[Event] = []
        for match in matches:
            line, transfer_id, book = match.line, match.transfer_id, match.book
            if match.explained_by is Explained.SUSPENSE:
                transfer_id = rules.line_transfer(line.bank_account_id, line.line_id)
                account = accounts[line.bank_account_id]
                book = rules.booking(
                    account, account.suspense_account_id, line.amount_fen,
                    transfer_id=transfer_id, kind="suspense", at=now, subject=match.payment_id,
                )  # fmt: skip
            if book is not None:
                entries.append(book)
            rows.append(
                msgspec.structs.replace(
                    line,
                    explained_by=match.explained_by,
                    payment_id=match.payment_id,
                    transfer_id=transfer_id,
                    due_at=match.again_at,
                    tries=line.tries + 1,
                )
            )
            if match.explained_by is not line.explained_by:
                events.append(self._matched(tenant, match, now))
        await self._book(tx, tenant, entries)
        await self._store.update_lines(tx, tenant, rows)
        await self._log.append_many(tx, events)

    def _matched(self, tenant: str, match: Match, now: datetime) -> Event:
        suspense = match.explained_by is Explained.SUSPENSE
        body = _facts(match.line) | {"explained_by": match.explained_by.value}
        body["bank_account_id"] = str(match.line.bank_account_id)
        if match.why:
            body["why"] = match.why
        kind = "statement.suspense" if suspense else "statement.explained"
        subject = match.payment_id or match.line.bank_account_id
        return self._event(
            tenant, kind, subject, body, now, "payment" if match.payment_id else "bank_account"
        )

    async def explain_later(
        self,
        tx: Tx,
        tenant: str,
        bank_account_id: UUID,
        line_id: str,
        to: UUID,
        *,
        actor: str,
        reason: str = "",
        explained_by: Explained | None = None,
    ) -> LineRow:
        """Move a line out of suspense (待查) to the ledger account a person names, by a new
        transfer; the bank's line and its first entry stay as they were. Raises NotFound, Conflict
        when it is not in suspense (any more), Refused when the ledger does not take it."""
        line = await self._store.line(tx, tenant, bank_account_id, line_id)
        if line is None:
            raise NotFound(
                "statements.no_such_line",
                f"There is no line {line_id[-12:]} on this account.",
                "List the account's lines and name one of them.",
            )
        waiting = await self._store.suspense_lines(tx, tenant, bank_account_id)
        account = (await self._accounts.find_many(tx, tenant, [bank_account_id]))[bank_account_id]
        if line_id not in {row.line_id for row in waiting}:
            raise Conflict(
                "statements.not_in_suspense",
                f"The line is explained by {line.explained_by.value or 'nothing yet'}.",
                "Only a line in suspense can be explained; read it again.",
            )
        if to in (account.ledger_account_id, account.suspense_account_id):
            raise Refused(
                "statements.same_place",
                "That ledger account is the bank account's own, or suspense itself.",
                "Name the account the money is for: a customer, a payable, an expense.",
            )
        now, incoming = self._clock.now(), line.amount_fen > 0
        moved_by = derived(bank_account_id, f"moved/{line_id}")
        suspense = account.suspense_account_id
        move = Transfer(
            transfer_id=moved_by,
            debit=suspense if incoming else to,
            credit=to if incoming else suspense,
            amount_fen=abs(line.amount_fen),
            currency=account.currency,
            at=now,
            kind="explained",
            subject=bank_account_id,
        )
        (outcome,) = await self._ledger.transfer_many(tx, tenant, [move])
        if isinstance(outcome, Refusal):
            outcome.raise_()
        after = msgspec.structs.replace(
            line,
            explained_by=explained_by or (Explained.INCOMING if incoming else Explained.PAYMENT),
            moved_by=moved_by,
        )
        await self._store.update_lines(tx, tenant, [after])
        body = _facts(line) | {
            "explained_by": after.explained_by.value, "to": str(to), "reason": reason,
        }  # fmt: skip
        event = self._event(
            tenant, "statement.suspense_explained", bank_account_id, body, now, actor=actor
        )
        await self._log.append_many(tx, [event])
        return after

    # Looking.

    async def drift(self, tx: Tx, tenant: str, bank_account_id: UUID) -> Drift:
        """Our book against the bank for one account. Raises NotFound."""
        found = await self._accounts.find_many(tx, tenant, [bank_account_id])
        if bank_account_id not in found:
            raise NotFound(
                "bank_accounts.not_found",
                f"There is no bank account {bank_account_id}.",
                "List the bank accounts and name one of them.",
            )
        return await self._drifts.measure(tx, tenant, found[bank_account_id], self._clock.now())

    async def lines(
        self, tx: Tx, tenant: str, bank_account_id: UUID, *, before: int = NEWEST, limit: int = 100
    ) -> list[LineView]:
        """A page of an account's lines, newest first, below a position."""
        rows = await self._store.page(tx, tenant, bank_account_id, before, limit)
        return [self._view(tenant, row) for row in rows]

    async def advance_mark(self, tx: Tx, tenant: str, account: BankAccount) -> None:
        """Let later drifts read less far back; worth it about once a day."""
        cursor = await self._store.lock_cursor(tx, tenant, account.bank_account_id)
        if cursor is not None:
            moved = await self._drifts.advance(tx, tenant, account, cursor, self._clock.now())
            await self._store.save_cursor(tx, tenant, moved)

    def _view(self, tenant: str, row: LineRow) -> LineView:
        other = _Other("", "")
        if row.counterparty_sealed:
            place = _place(tenant, row.bank_account_id, row.line_id)
            opened = self._seal.open(COUNTERPARTY, row.counterparty_sealed, place)
            other = msgspec.json.decode(opened, type=_Other)
        last4 = row.counterparty_last4
        return LineView(
            line_id=row.line_id, position=row.position, booked_at=row.booked_at,
            value_date=row.value_date, amount_fen=row.amount_fen,
            balance_after_fen=row.balance_after_fen, gap_fen=row.gap_fen, kind=row.kind,
            reference=row.reference, counterparty_name=other.name,
            counterparty_account=f"…{last4}" if last4 else "", words=mask_words(row.words),
            explained_by=row.explained_by, open=row.open, payment_id=row.payment_id,
            transfer_id=row.transfer_id, corrects=row.corrects, rail=row.rail,
            read_at=row.read_at,
        )  # fmt: skip

    # Helpers.

    async def _book(self, tx: Tx, tenant: str, entries: Sequence[Transfer]) -> None:
        outcomes = await self._ledger.transfer_many(tx, tenant, entries)
        for entry, outcome in zip(entries, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                raise Broken(
                    "statements.ledger_refused",
                    f"The ledger refused what the bank has booked: {outcome.code}. "
                    f"{outcome.detail}",
                    f"Nothing was written; look at {entry!r}.",
                )

    def _event(
        self,
        tenant: str,
        kind: str,
        subject: UUID,
        body: dict[str, Any],
        at: datetime,
        subject_kind: str = "bank_account",
        actor: str = _ACTOR,
    ) -> Event:
        return Event(
            tenant=tenant,
            event_id=self._ids.new(),
            kind=kind,
            subject_kind=subject_kind,
            subject_id=subject,
            actor=actor,
            at=at,
            body=canonical_json(body),
        )


def _facts(line: StatementLine | LineRow) -> dict[str, Any]:
    return {
        "line_id": line.line_id,
        "amount_fen": line.amount_fen,
        "balance_after_fen": line.balance_after_fen,
        "booked_at": line.booked_at.isoformat(),
        "kind": line.kind,
        "reference": line.reference,
    }


def _is_news(known: BalanceRow | None, said: BankBalance) -> bool:
    if known is None:
        return True
    same = (known.balance_fen, known.available_fen) == (said.balance_fen, said.available_fen)
    return not same or said.at - known.at >= rules.LATEST_RETRY


def _place(tenant: str, account: UUID, line_id: str) -> bytes:
    return f"{tenant}/{account}/{line_id}/counterparty".encode()
