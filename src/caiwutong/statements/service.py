"""What statements do for everyone above them: pages taken in, lines explained, drift measured.

``take_page`` (see ``taking``) books what needs no payment. Lines under a reference wait for
``payments/evidence.py``, which comes back through ``match_many``; a person takes what is left out
of suspense by ``explain_later``. All calls run inside the caller's transaction and never commit.
Locks: the cursor, then the ledger; or lines, then the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.audit.model import Event
from caiwutong.bank_accounts.model import BankAccount
from caiwutong.db.database import Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Conflict, NotFound, Refusal, Refused
from caiwutong.kernel.ids import Ids, derived
from caiwutong.kernel.masking import mask_words
from caiwutong.ledger.model import Transfer
from caiwutong.ledger.service import Ledger
from caiwutong.rails.contract import BankBalance, StatementPage
from caiwutong.statements import rules
from caiwutong.statements.drift import Drifts
from caiwutong.statements.model import (
    BalanceRow,
    Drift,
    Explained,
    LineRow,
    LineView,
    Match,
    Taken,
)
from caiwutong.statements.ports import Accounts, Log, Seal
from caiwutong.statements.store import StatementStore
from caiwutong.statements.taking import Taking
from caiwutong.statements.telling import book_many, facts, happened, open_other_side

NEWEST = 1 << 62
"""Above every position: where a newest-first page begins."""


_FIRST = UUID(int=0)


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
        self._taking = Taking(
            store, accounts=accounts, ledger=ledger, log=log, seal=seal, clock=clock, ids=ids
        )

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
        reader has claimed the account. Raises Refused for another rail than it was begun with."""
        return await self._taking.take_page(tx, tenant, account, page, rail=rail, fence=fence)

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

    async def known(
        self, tx: Tx, tenant: str, account: BankAccount, line_ids: Collection[str]
    ) -> set[str]:
        """Which of these lines, named as the bank names them, are here already."""
        kept = {rules.kept_id(line_id, account.account): line_id for line_id in line_ids}
        found = await self._store.known_lines(tx, tenant, account.bank_account_id, set(kept))
        return {kept[line_id] for line_id in found}

    async def newest(
        self, tx: Tx, tenant: str, bank_account_id: UUID
    ) -> tuple[datetime, int] | None:
        """When the newest line of an account was booked, and the balance after it; None before the
        first."""
        cursor = await self._store.lock_cursor(tx, tenant, bank_account_id)
        if cursor is None or cursor.last_booked_at is None or cursor.last_balance_fen is None:
            return None
        return cursor.last_booked_at, cursor.last_balance_fen

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

    # Fees: what the banks took, for whoever audits it.

    async def fees(
        self,
        tx: Tx,
        tenant: str,
        start: datetime,
        end: datetime,
        *,
        after: tuple[UUID, int] | None = None,
        limit: int = 500,
    ) -> list[LineRow]:
        """Fee lines booked from ``start`` to before ``end`` that the bank has not taken back, by
        (account, position) after ``after``."""
        return await self._store.fee_lines(tx, tenant, start, end, after or (_FIRST, 0), limit)

    async def fees_under(
        self, tx: Tx, tenant: str, places: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], list[LineRow]]:
        """All fees under these (bank account, reference) that the bank has not taken back,
        whenever they were booked, in the bank's order."""
        found: dict[tuple[UUID, str], list[LineRow]] = {}
        for line in await self._store.fees_under(tx, tenant, places):
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
                    due_at=rules.next_look(now, line.tries, self._clock) if match.again else None,
                    tries=line.tries + 1,
                )
            )
            if match.explained_by is not line.explained_by:
                events.append(self._matched(tenant, match, now))
        await book_many(self._ledger, tx, tenant, entries)
        await self._store.update_lines(tx, tenant, rows)
        await self._log.append_many(tx, events)

    def _matched(self, tenant: str, match: Match, now: datetime) -> Event:
        suspense = match.explained_by is Explained.SUSPENSE
        body = facts(match.line) | {"explained_by": match.explained_by.value}
        body["bank_account_id"] = str(match.line.bank_account_id)
        if match.why:
            body["why"] = match.why
        kind = "statement.suspense" if suspense else "statement.explained"
        subject = match.payment_id or match.line.bank_account_id
        about = "payment" if match.payment_id else "bank_account"
        return happened(
            self._ids,
            tenant,
            kind,
            subject,
            body,
            now,
            subject_kind=about,
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
        body = facts(line) | {
            "explained_by": after.explained_by.value, "to": str(to), "reason": reason,
        }  # fmt: skip
        event = happened(
            self._ids,
            tenant,
            "statement.suspense_explained",
            bank_account_id,
            body,
            now,
            actor=actor,
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
        other = open_other_side(self._seal, tenant, row)
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


def _is_news(known: BalanceRow | None, said: BankBalance) -> bool:
    if known is None:
        return True
    same = (known.balance_fen, known.available_fen) == (said.balance_fen, said.available_fen)
    return not same or said.at - known.at >= rules.LATEST_RETRY
