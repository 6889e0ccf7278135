"""The memory stores of the house, seen by the watch: what a transaction changes is noted, and
judged when it commits.

``trusting`` stores have no guards of their own. Mutants run over them, so that what catches a
mutant is a promise that the simulator checks itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.approvals.memory import MemoryApprovalStore
from caiwutong.approvals.model import Mandate, SignatureRow
from caiwutong.approvals.rules import Day, DayKey
from caiwutong.audit.heads import MemoryHeads
from caiwutong.audit.memory import MemoryAuditStore
from caiwutong.audit.model import Event
from caiwutong.bank_accounts.memory import MemoryBankAccountStore
from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.identity.memory import MemoryIdentityStore
from caiwutong.kernel.clock import Clock
from caiwutong.ledger.memory import MemoryLedgerStore
from caiwutong.ledger.model import Account
from caiwutong.ledger.rules import AccountState, Book, EntryRow, HoldRow, TransferRow
from caiwutong.payments.memory import MemoryPaymentStore
from caiwutong.payments.model import SWITCH, AttemptRow, PaymentRow, Task, Work
from caiwutong.statements.memory import MemoryStatementStore
from caiwutong.statements.model import CursorRow, LineRow

TENANT = "sim"


@dataclass(slots=True)
class Pending:
    """What the open transaction changed so far."""

    payments: list[tuple[PaymentRow | None, PaymentRow]] = field(
        default_factory=list[tuple[PaymentRow | None, PaymentRow]]
    )
    entries: list[EntryRow] = field(default_factory=list[EntryRow])
    transfers: list[TransferRow] = field(default_factory=list[TransferRow])
    holds: list[HoldRow] = field(default_factory=list[HoldRow])
    accounts: dict[UUID, AccountState] = field(default_factory=dict[UUID, AccountState])
    events: list[Event] = field(default_factory=list[Event])
    work: list[Work] = field(default_factory=list[Work])
    lines: list[LineRow] = field(default_factory=list[LineRow])

    def clear(self) -> None:
        for each in (self.payments, self.entries, self.transfers, self.holds, self.events):
            each.clear()
        for each in (self.accounts, self.work, self.lines):
            each.clear()


class WatchedPayments(MemoryPaymentStore):
    """Payments, each change noted."""

    def __init__(
        self, pending: Pending, trusting: bool, may_leave: Callable[[str, UUID], bool]
    ) -> None:
        super().__init__(may_leave)
        self._pending = pending
        self._trusting = trusting

    async def insert(
        self,
        tx: Tx,
        tenant: str,
        rows: Sequence[PaymentRow],
        keys: Sequence[bytes],
        work: Sequence[Work] = (),
    ) -> None:
        await super().insert(tx, tenant, rows, keys, work)
        kept = [self._payments[tenant, row.payment_id] for row in rows]
        self._pending.payments.extend((None, row) for row in kept)

    async def save(self, tx: Tx, tenant: str, rows: Iterable[PaymentRow]) -> None:
        rows = list(rows)
        before = [self._payments[tenant, row.payment_id] for row in rows]
        if self._trusting:
            for row in rows:
                key = tenant, row.payment_id
                mem(tx).put(self._payments, key, msgspec.structs.replace(row))
        else:
            await super().save(tx, tenant, rows)
        after = [self._payments[tenant, row.payment_id] for row in rows]
        self._pending.payments.extend(zip(before, after, strict=True))

    async def insert_attempts(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        if self._trusting:
            for attempt in attempts:
                earlier = self._attempts.get((tenant, attempt.payment_id), [])
                place = attempt.payment_id, len(earlier)
                mem(tx).put(self._references, (tenant, attempt.rail, attempt.reference), place)
                mem(tx).put(self._attempts, (tenant, attempt.payment_id), [*earlier, attempt])
        else:
            await super().insert_attempts(tx, tenant, attempts)

    async def put_work(self, tx: Tx, tenant: str, work: Sequence[Work]) -> None:
        await super().put_work(tx, tenant, work)
        self._pending.work.extend(work)

    def rows(self) -> dict[UUID, PaymentRow]:
        return {payment_id: row for (_, payment_id), row in self._payments.items()}

    def row(self, payment_id: UUID) -> PaymentRow | None:
        return self._payments.get((TENANT, payment_id))

    def attempts(self, payment_id: UUID) -> list[AttemptRow]:
        return self._attempts.get((TENANT, payment_id), [])

    def earliest(self, task: Task) -> datetime | None:
        """When the next work of this kind is due."""
        queue = self._work.get((TENANT, task), {})
        return min((w.due_at for w in queue.values()), default=None)


class WatchedLedger(MemoryLedgerStore):
    """The ledger's rows, each change noted."""

    def __init__(self, pending: Pending) -> None:
        super().__init__()
        self._pending = pending

    async def save(self, tx: Tx, tenant: str, book: Book) -> None:
        await super().save(tx, tenant, book)
        self._pending.entries.extend(book.new_entries)
        self._pending.transfers.extend(book.new_transfers)
        self._pending.holds.extend(book.new_holds.values())
        self._pending.holds.extend(book.changed_holds.values())
        self._pending.accounts.update(book.changed_accounts)

    def accounts_of(self) -> dict[UUID, Account]:
        return {account_id: account for (_, account_id), account in self._accounts.items()}

    def state_of(self, account_id: UUID) -> AccountState:
        return self._states[TENANT, account_id]

    def hold_of(self, payment_id: UUID) -> HoldRow | None:
        return self._holds.get((TENANT, payment_id))

    def all_holds(self) -> list[HoldRow]:
        return list(self._holds.values())

    def earliest_expiry(self) -> datetime | None:
        return min(self._expiring.values(), default=None)


class WatchedApprovals(MemoryApprovalStore):
    """Mandates and signatures, readable at any moment."""

    def __init__(self, trusting: bool) -> None:
        super().__init__()
        self._trusting = trusting

    async def save_days(self, tx: Tx, tenant: str, days: dict[DayKey, Day]) -> None:
        if self._trusting:
            for key, day in days.items():
                mem(tx).put(self._days, (tenant, key), (day.limit_fen, day.used_fen))
        else:
            await super().save_days(tx, tenant, days)

    def mandate_of(self, mandate_id: UUID) -> Mandate | None:
        return self._mandates.get((TENANT, mandate_id))

    def signed(self, kind: str, subject_id: UUID) -> tuple[SignatureRow, ...]:
        return self._signatures.get((TENANT, (kind, subject_id)), ())


class WatchedAudit(MemoryAuditStore):
    """The log, each event noted."""

    def __init__(self, pending: Pending, clock: Clock) -> None:
        super().__init__(clock)
        self._pending = pending

    async def append_many(self, tx: Tx, events: Sequence[Event]) -> None:
        await super().append_many(tx, events)
        self._pending.events.extend(events)


class WatchedStatements(MemoryStatementStore):
    """Statement lines, each change noted."""

    def __init__(self, pending: Pending) -> None:
        super().__init__()
        self._pending = pending

    async def insert_lines(self, tx: Tx, tenant: str, rows: Sequence[LineRow]) -> None:
        await super().insert_lines(tx, tenant, rows)
        self._pending.lines.extend(rows)

    async def update_lines(self, tx: Tx, tenant: str, rows: Sequence[LineRow]) -> None:
        await super().update_lines(tx, tenant, rows)
        self._pending.lines.extend(rows)

    def cursor_of(self, bank_account_id: UUID) -> CursorRow | None:
        return self._cursors.get((TENANT, bank_account_id))

    def lines_of(self, bank_account_id: UUID) -> list[LineRow]:
        return list(self._lines.get((TENANT, bank_account_id), {}).values())

    def earliest_look(self) -> datetime | None:
        """When the next line wants to be looked at."""
        due = self._due.get(TENANT, {}).values()
        return min((row.due_at for row in due if row.due_at is not None), default=None)


class Stores:
    """Every table of the house, shared by its processes."""

    def __init__(self, clock: Clock, *, trusting: bool) -> None:
        self.pending = Pending()
        self.approvals = WatchedApprovals(trusting)
        self.payments = WatchedPayments(
            self.pending,
            trusting,
            lambda tenant, attempt: self.approvals.decided_by(tenant, SWITCH, attempt) >= 2,
        )
        self.ledger = WatchedLedger(self.pending)
        self.audit = WatchedAudit(self.pending, clock)
        self.accounts = MemoryBankAccountStore()
        self.identity = MemoryIdentityStore()
        self.statements = WatchedStatements(self.pending)
        self.heads = MemoryHeads()
