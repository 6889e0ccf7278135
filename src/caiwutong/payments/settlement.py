"""Settlement: what the rail said, and what follows for the payment, the ledger and the log.

Reports come in any order, twice, late, or about payments that ended long ago. Each is looked up in
the one table of ``states``; what is not in the table changes nothing. All of a batch happens in one
transaction: payments locked in id order, then the ledger's accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.audit.model import Event as LogEvent
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Broken, Refusal
from caiwutong.kernel.ids import Ids, derived
from caiwutong.ledger.model import Operation, Post, Transfer, Void
from caiwutong.ledger.service import Ledger
from caiwutong.payments import rules
from caiwutong.payments.events import happened
from caiwutong.payments.model import AttemptRow, PaymentRow, Task, Work
from caiwutong.payments.ports import Log, NoPages, Pages
from caiwutong.payments.states import FROM_REPORT, TERMINAL, Effect, Event, State, Step, follow
from caiwutong.payments.store import PaymentStore
from caiwutong.rails.contract import CARRIED_BY_PEOPLE, Concerning, RailReport, ReportKind

_ENDS_ATTEMPT = {
    Event.NETTED: "completed",
    Event.SETTLED: "completed",
    Event.RETURNED: "completed",
    Event.REJECTED: "rejected",
    Event.REVOKED: "revoked",
}
_KIND_IN_LOG = {
    State.CLEARING: "payment.clearing",
    State.COMPLETED: "payment.completed",
    State.REJECTED: "payment.rejected",
    State.REVERSED: "payment.reversed",
    State.IN_DOUBT: "payment.in_doubt",
}


class Applied(msgspec.Struct, frozen=True):
    """What one report did."""

    payment_id: UUID | None
    """None: we never sent this reference."""
    state: State | None
    changed: bool


@dataclass(slots=True)
class _Batch:
    """What a batch of reports leaves to be written."""

    now: datetime
    tenant: str
    changed: dict[UUID, PaymentRow] = field(default_factory=dict[UUID, PaymentRow])
    closed: list[AttemptRow] = field(default_factory=list[AttemptRow])
    ledger: list[Operation] = field(default_factory=list[Operation])
    events: list[LogEvent] = field(default_factory=list[LogEvent])
    ask: dict[UUID, Work] = field(default_factory=dict[UUID, Work])
    over: set[UUID] = field(default_factory=set[UUID])


class Settlement:
    """Applies the rail's word."""

    def __init__(
        self,
        *,
        database: Database,
        store: PaymentStore,
        ledger: Ledger,
        log: Log,
        clock: Clock,
        ids: Ids,
        pages: Pages | None = None,
    ) -> None:
        self._database = database
        self._store = store
        self._ledger = ledger
        self._log = log
        self._clock = clock
        self._ids = ids
        self._pages = pages or NoPages()

    async def apply_many(self, tenant: str, reports: Sequence[RailReport]) -> list[Applied]:
        """What each report did, in order; durable when this returns."""
        if not reports:
            return []
        async with self._database.transaction() as tx:
            return await self.apply_in(tx, tenant, reports)

    async def apply_in(self, tx: Tx, tenant: str, reports: Sequence[RailReport]) -> list[Applied]:
        """The same inside a transaction that is open already."""
        attempts = await self._attempts(tx, tenant, reports)
        rows = await self._store.lock(tx, tenant, {a.payment_id for a in attempts.values()})
        # Read the attempts again under the payments' locks: another batch may have closed them.
        attempts = await self._attempts(tx, tenant, reports)
        batch = _Batch(self._clock.now(), tenant)
        applied = [self._apply(batch, rows, attempts, report) for report in reports]
        await self._write(tx, batch)
        return applied

    async def _attempts(
        self, tx: Tx, tenant: str, reports: Sequence[RailReport]
    ) -> dict[tuple[str, str], AttemptRow]:
        by_rail: dict[str, set[str]] = {}
        for report in reports:
            by_rail.setdefault(report.rail, set()).add(report.reference)
        found: dict[tuple[str, str], AttemptRow] = {}
        for rail, references in sorted(by_rail.items()):
            rows = await self._store.attempts_by_reference(tx, tenant, rail, references)
            found |= {(rail, reference): row for reference, row in rows.items()}
        return found

    def _apply(
        self,
        batch: _Batch,
        rows: dict[UUID, PaymentRow],
        attempts: dict[tuple[str, str], AttemptRow],
        report: RailReport,
    ) -> Applied:
        attempt = attempts.get((report.rail, report.reference))
        if attempt is None:
            return Applied(None, None, False)
        row = rows[attempt.payment_id]
        if report.concerning is not Concerning.PAYMENT:
            self._note(batch, row, f"payment.{report.concerning}_{report.kind}", report)
            return Applied(row.payment_id, row.state, False)
        if report.amount_fen is not None and report.amount_fen != row.amount_fen:
            self._note(batch, row, "payment.contradicted", report)
            return Applied(row.payment_id, row.state, False)
        event = FROM_REPORT[report.kind]
        step = follow(row.state, event)
        if row.reference != attempt.reference:
            # The word about an earlier attempt that was closed by a definite no. Only a *yes* to
            # it is news, and bad news.
            step = _about_an_old_attempt(row.state, event)
        if step is None:
            if event is Event.SETTLED and row.settled_at is None and row.state is State.COMPLETED:
                self._settled_later(batch, row, report)
            return Applied(row.payment_id, row.state, False)
        return self._take(batch, row, attempt, attempts, report, event, step)

    def _take(
        self,
        batch: _Batch,
        row: PaymentRow,
        attempt: AttemptRow,
        attempts: dict[tuple[str, str], AttemptRow],
        report: RailReport,
        event: Event,
        step: Step,
    ) -> Applied:
        if Effect.ALARM in step.effects:
            self._note(batch, row, "payment.contradicted", report)
            return Applied(row.payment_id, row.state, False)
        if event is Event.RETURNED and row.returned_at is not None:
            return Applied(row.payment_id, row.state, False)
        before = row.state
        if Effect.POST in step.effects:
            batch.ledger.append(_post(row, batch.now))
            row.completed_at = batch.now
        if Effect.RELEASE in step.effects:
            batch.ledger.append(Void(hold_id=row.payment_id, at=batch.now))
        if event is Event.SETTLED:
            row.settled_at = batch.now
        if step.to is not before:
            row.state, row.state_at = step.to, batch.now
            row.reason_code, row.reason = report.code, report.words
            self._note(batch, row, _KIND_IN_LOG[step.to], report)
        if Effect.TAKE_BACK in step.effects:
            batch.ledger.append(_take_back(row, batch.now))
            row.returned_at = batch.now
            self._note(batch, row, "payment.returned", report)
        asked = Effect.ASK_LATER in step.effects and attempt.rail not in CARRIED_BY_PEOPLE
        if asked and step.to is not before:
            due = rules.next_ask(batch.now, 0)
            batch.ask[row.payment_id] = Work(row.payment_id, Task.ENQUIRE, due)
        if event in _ENDS_ATTEMPT and not attempt.outcome:
            closed = msgspec.structs.replace(
                attempt, outcome=_ENDS_ATTEMPT[event], code=report.code, closed_at=batch.now
            )
            attempts[(attempt.rail, attempt.reference)] = closed
            batch.closed.append(closed)
        if step.to in TERMINAL:
            batch.over.add(row.payment_id)
            batch.ask.pop(row.payment_id, None)
        changed = step.to is not before or Effect.TAKE_BACK in step.effects
        if changed:
            batch.changed[row.payment_id] = row
        return Applied(row.payment_id, row.state, changed)

    def _settled_later(self, batch: _Batch, row: PaymentRow, report: RailReport) -> None:
        """已清算 after 已轧差: the payment was complete already; its settlement moment is kept."""
        row.settled_at = batch.now
        batch.changed[row.payment_id] = row
        self._note(batch, row, "payment.settled", report)

    def _note(self, batch: _Batch, row: PaymentRow, kind: str, report: RailReport) -> None:
        body: dict[str, Any] = {
            "state": row.state.value,
            "rail": report.rail,
            "reference": report.reference,
            "code": report.code,
            "words": report.words,
            "rail_time": report.at.isoformat(),
            "message_id": report.message_id,
        }
        if report.bank_reference:
            body["bank_reference"] = report.bank_reference
        batch.events.append(
            happened(
                self._ids,
                batch.tenant,
                kind,
                row.payment_id,
                actor=f"rail:{report.rail}",
                at=batch.now,
                body=body,
            )
        )

    async def _write(self, tx: Tx, batch: _Batch) -> None:
        outcomes = await self._ledger.apply_many(tx, batch.tenant, batch.ledger)
        for operation, outcome in zip(batch.ledger, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                raise Broken(
                    "payment.ledger_refused",
                    f"The ledger refused what the rail decided: {outcome.code}. {outcome.detail}",
                    f"Nothing was written; look at {operation!r}.",
                )
        for row in batch.changed.values():
            row.version += 1
        await self._store.save(tx, batch.tenant, batch.changed.values())
        await self._store.close_attempts(tx, batch.tenant, batch.closed)
        await self._pages.ended_many(tx, batch.tenant, batch.closed)
        await self._store.put_work(tx, batch.tenant, list(batch.ask.values()))
        await self._store.drop_work(
            tx, batch.tenant, {(payment_id, Task.ENQUIRE) for payment_id in batch.over}
        )
        await self._log.append_many(tx, batch.events)


def _about_an_old_attempt(state: State, event: Event) -> Step | None:
    yes = event in (Event.NETTED, Event.SETTLED, Event.RETURNED)
    return Step(state, (Effect.ALARM,)) if yes else None


def _post(row: PaymentRow, now: datetime) -> Post:
    return Post(
        hold_id=row.payment_id,
        transfer_id=derived(row.payment_id, "post"),
        counter=row.counter_account_id,
        at=now,
        kind="payment",
        subject=row.payment_id,
    )


def _take_back(row: PaymentRow, now: datetime) -> Transfer:
    """退汇: the money is back; a new inflow, linked to the payment, never an undone one."""
    return Transfer(
        transfer_id=derived(row.payment_id, "return"),
        debit=row.ledger_account_id,
        credit=row.counter_account_id,
        amount_fen=row.amount_fen,
        currency=row.currency,
        at=now,
        kind="return",
        subject=row.payment_id,
        # The bank has put it there already: recording it is not ours to refuse.
        forced=True,
    )


def silence(rail: str, reference: str, code: str, at: datetime, words: str = "") -> RailReport:
    """The report that stands for no answer."""
    return RailReport(ReportKind.IN_DOUBT, rail, reference, code, at, words)
