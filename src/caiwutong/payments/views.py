"""What people and callers see of payments: read only, masked, with the words of each state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from caiwutong.audit.model import Event
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.errors import NotFound
from caiwutong.kernel.order import Direction, PaymentOrder, Priority, References
from caiwutong.payments.intake import open_payee
from caiwutong.payments.model import DISPATCH_LEASE, WAITS, AttemptRow, PaymentRow, Task
from caiwutong.payments.ports import Seal
from caiwutong.payments.rejects import whose
from caiwutong.payments.states import AT_THE_RAIL, TERMINAL, WORDS, State
from caiwutong.payments.store import LAST_ID, Filter, PaymentStore


class AttemptView(msgspec.Struct, frozen=True):
    """One try on one rail, with why this rail."""

    number: int
    rail: str
    reference: str
    created_at: datetime
    outcome: str
    code: str
    closed_at: datetime | None
    route: msgspec.Raw
    later: str = ""
    """What the rail said of it after it was closed."""
    later_code: str = ""
    later_at: datetime | None = None


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as it stands, account numbers masked."""

    id: UUID
    state: State
    state_zh: str
    state_en: str
    final: bool
    direction: str
    bank_account_id: UUID
    amount_fen: int
    currency: str
    payee_name: str
    payee_account: str
    payee_bank_code: str
    payee_bank_name: str
    purpose: str
    remark: str
    references: References
    priority: str
    execute_on: date | None
    channel: str
    rail: str
    reference: str
    key: str
    authorised_by: str
    reason_code: str
    reason: str
    alarm: str
    """A rail contradicted itself about this payment: what people must look at; else empty."""
    created_at: datetime
    state_at: datetime
    completed_at: datetime | None
    settled_at: datetime | None
    returned_at: datetime | None
    import_id: UUID | None
    version: int
    digest: str
    """What a signature must be bound to, hex."""


class Step(msgspec.Struct, frozen=True):
    """One line of a payment's timeline."""

    kind: str
    at: datetime
    """When it took effect (business time)."""
    recorded_at: datetime | None
    """When the database wrote it."""
    actor: str
    facts: Any


class Timeline(msgspec.Struct, frozen=True):
    """Everything that happened to a payment, in order, and its attempts."""

    payment_id: UUID
    steps: tuple[Step, ...]
    attempts: tuple[AttemptView, ...]


class WayView(msgspec.Struct, frozen=True):
    """One way a payment took, and why that one."""

    number: int
    mode: str
    """The rail, and after a stroke the channel asked of the bank: ``bank_direct/hvps``."""
    reference: str
    created_at: datetime
    outcome: str
    code: str
    fault: str
    """Of a refused attempt, whose fault that was: ``payment`` (no channel cures it) or
    ``channel``."""
    later: str
    later_code: str
    alternatives: tuple[str, ...]
    """The modes that could have carried it as well, best first."""
    explanation: Any
    """Every candidate with its score or why it was dropped, and the choice in words."""


class RouteView(msgspec.Struct, frozen=True):
    """Which ways a payment took and why; and what it waits for, if it waits."""

    payment_id: UUID
    state: State
    ways: tuple[WayView, ...]
    waits: str
    """What it waits for, in words: ``waits for HVPS to open at 20:30``; else empty."""
    waits_until: datetime | None
    waits_because: Any
    """Every candidate with why it cannot carry the payment now."""


class Overview(msgspec.Struct, frozen=True):
    """How many payments stand in each state, and what waits for its time."""

    states: dict[str, int]
    fen: dict[str, int]
    backlog: dict[str, int]


class TimelineLog(Protocol):
    """Reads events about a subject; ``audit.service.Audit`` does."""

    async def timeline(self, tx: Tx, tenant: str, subject_id: UUID) -> list[Event]: ...


class Views:
    """Reads payments."""

    def __init__(
        self, *, database: Database, store: PaymentStore, log: TimelineLog, seal: Seal
    ) -> None:
        self._database = database
        self._store = store
        self._log = log
        self._seal = seal

    def view(self, row: PaymentRow) -> PaymentView:
        """A row as people see it."""
        payee = open_payee(self._seal, row)
        zh, en = WORDS[row.state]
        return PaymentView(
            id=row.payment_id,
            state=row.state,
            state_zh=zh,
            state_en=en,
            final=row.state in TERMINAL,
            direction=row.direction.value,
            bank_account_id=row.bank_account_id,
            amount_fen=row.amount_fen,
            currency=row.currency,
            payee_name=payee.name,
            payee_account=f"…{row.payee_last4}",
            payee_bank_code=payee.bank_code,
            payee_bank_name=payee.bank_name,
            purpose=row.purpose,
            remark=row.remark,
            references=row.refs,
            priority=row.priority.value,
            execute_on=row.execute_on,
            channel=row.channel,
            rail=row.rail,
            reference=row.reference,
            key=row.key,
            authorised_by=row.authorised_by,
            reason_code=row.reason_code,
            reason=row.reason,
            alarm=row.alarm,
            created_at=row.created_at,
            state_at=row.state_at,
            completed_at=row.completed_at,
            settled_at=row.settled_at,
            returned_at=row.returned_at,
            import_id=row.import_id,
            version=row.version,
            digest=row.digest.hex(),
        )

    async def get(self, tenant: str, payment_id: UUID) -> PaymentView:
        """One payment. Raises NotFound."""
        async with self._database.transaction() as tx:
            return self.view(await self._row(tx, tenant, payment_id))

    async def page(
        self, tenant: str, narrow: Filter, before: UUID = LAST_ID, limit: int = 100
    ) -> list[PaymentView]:
        """Newest first, before an id."""
        async with self._database.transaction() as tx:
            rows = await self._store.page(tx, tenant, narrow, before, limit)
        return [self.view(row) for row in rows]

    async def timeline(self, tenant: str, payment_id: UUID) -> Timeline:
        """Every step with its evidence. Raises NotFound."""
        async with self._database.transaction() as tx:
            await self._row(tx, tenant, payment_id)
            events = await self._log.timeline(tx, tenant, payment_id)
            attempts = await self._store.attempts_of(tx, tenant, [payment_id])
        return Timeline(
            payment_id,
            tuple(Step(e.kind, e.at, e.recorded_at, e.actor, e.data()) for e in events),
            tuple(_attempt(a) for a in attempts[payment_id]),
        )

    async def route(self, tenant: str, payment_id: UUID) -> RouteView:
        """Every way the payment took, with its explanation. Raises NotFound."""
        async with self._database.transaction() as tx:
            row = await self._row(tx, tenant, payment_id)
            attempts = (await self._store.attempts_of(tx, tenant, [payment_id]))[payment_id]
            waits: Any = {}
            if row.state is State.VALIDATED and row.reason_code == WAITS:
                events = await self._log.timeline(tx, tenant, payment_id)
                waits = next(e.data() for e in reversed(events) if e.kind == "payment.waiting")
        return RouteView(
            payment_id,
            row.state,
            tuple(_way(attempt) for attempt in attempts),
            waits.get("words", ""),
            msgspec.convert(waits.get("until"), datetime | None),
            waits.get("route"),
        )

    async def order(self, tenant: str, payment_id: UUID) -> PaymentOrder:
        """The order as it was given, in clear: its canonical bytes are what the digest, and so
        every signature, is bound to, unless a caller wrote a default out. Raises NotFound."""
        async with self._database.transaction() as tx:
            row = await self._row(tx, tenant, payment_id)
        plain = PaymentOrder(row.bank_account_id, open_payee(self._seal, row), row.amount_fen)
        kept: dict[str, Any] = {
            "currency": row.currency,
            "direction": Direction(row.direction),
            "purpose": row.purpose,
            "remark": row.remark,
            "priority": Priority(row.priority),
            "execute_on": row.execute_on,
            "channel": row.channel,
            "references": row.refs,
        }
        # What is as by default was not written down when the digest was made.
        given = {name: value for name, value in kept.items() if value != getattr(plain, name)}
        return msgspec.structs.replace(plain, **given)

    async def overview(self, tenant: str) -> Overview:
        """Counts for a dashboard, a bench, a demo."""
        async with self._database.transaction() as tx:
            states = await self._store.count_states(tx, tenant)
            backlog = await self._store.backlog(tx, tenant)
        return Overview(
            {state.value: n for state, (n, _) in states.items()},
            {state.value: fen for state, (_, fen) in states.items()},
            {task.value: backlog.get(task, (0, None))[0] for task in Task},
        )

    async def is_quiet(self, tenant: str, now: datetime, stragglers: int = 0) -> bool:
        """Nothing is due for dispatch within two leases, and no more than ``stragglers`` payments
        are at a rail. (What a worker has just claimed is due again when its lease ends.)"""
        async with self._database.transaction() as tx:
            due = await self._store.next_due(tx, tenant, Task.DISPATCH)
            if due is not None and due <= now + 2 * DISPATCH_LEASE:
                return False
            at_rail = Filter(states=tuple(AT_THE_RAIL))
            found = await self._store.page(tx, tenant, at_rail, LAST_ID, stragglers + 1)
            return len(found) <= stragglers

    async def everything(
        self, tenant: str, page: int = 2000
    ) -> AsyncIterator[tuple[PaymentRow, list[AttemptRow]]]:
        """All payments with their attempts, newest first, a page at a time: for proofs."""
        before = LAST_ID
        while True:
            async with self._database.transaction() as tx:
                rows = await self._store.page(tx, tenant, Filter(), before, page)
                attempts = await self._store.attempts_of(tx, tenant, [r.payment_id for r in rows])
            for row in rows:
                yield row, attempts[row.payment_id]
            if len(rows) < page:
                return
            before = rows[-1].payment_id

    async def _row(self, tx: Tx, tenant: str, payment_id: UUID) -> PaymentRow:
        row = await self._store.get(tx, tenant, payment_id)
        if row is None:
            raise no_such_payment(payment_id)
        return row


def _way(a: AttemptRow) -> WayView:
    kept: dict[str, Any] = msgspec.json.decode(a.route)
    return WayView(
        number=a.number,
        mode=kept.get("choice", a.rail),
        reference=a.reference,
        created_at=a.created_at,
        outcome=a.outcome,
        code=a.code,
        fault=whose(a.code).value if a.outcome == "rejected" else "",
        later=a.later,
        later_code=a.later_code,
        alternatives=tuple(kept.get("alternatives", ())),
        explanation=kept.get("explanation"),
    )


def _attempt(a: AttemptRow) -> AttemptView:
    return AttemptView(
        a.number, a.rail, a.reference, a.created_at, a.outcome, a.code, a.closed_at,
        msgspec.Raw(a.route), a.later, a.later_code, a.later_at,
    )  # fmt: skip


def no_such_payment(payment_id: UUID) -> NotFound:
    """What is said of a payment this tenant does not have."""
    return NotFound(
        "payment.not_found",
        f"There is no payment {payment_id}.",
        "Search by your own number, the amount, or the last four digits of the payee.",
    )
