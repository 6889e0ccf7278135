"""Settlement: what the rail said, and what follows for the payment, the ledger and the log.

Reports come in any order, twice, late, or about payments that ended long ago. Each is looked up in
the one table of ``states``; what is not in the table changes nothing. All of a batch happens in one
transaction: payments locked in id order, then the ledger's accounts.

A no is weighed by ``failover`` first: the payment may go on over another channel under the same
hold. A word about an attempt that is closed moves nothing while another attempt is open: a late yes
alarms people, and the hold is posted once.
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
from caiwutong.payments import failover, rules
from caiwutong.payments.events import happened
from caiwutong.payments.failover import Next
from caiwutong.payments.history import History
from caiwutong.payments.model import SWITCHED, AttemptRow, PaymentRow, Task, Work
from caiwutong.payments.ports import Log, NoPages, Pages
from caiwutong.payments.states import (
    AT_THE_RAIL,
    FROM_REPORT,
    TERMINAL,
    Effect,
    Event,
    State,
    Step,
    follow,
)
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
    State.VALIDATED: "payment.rerouted",
}
_YES = (Event.NETTED, Event.SETTLED, Event.RETURNED)
_NO = (Event.REJECTED, Event.REVOKED)


LATE_YES = "payment.late_yes"
"""Reason code of a payment that an attempt taken for over has paid."""


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
    history: History = field(default_factory=History)
    closed: list[AttemptRow] = field(default_factory=list[AttemptRow])
    later: dict[UUID, AttemptRow] = field(default_factory=dict[UUID, AttemptRow])
    ledger: list[Operation] = field(default_factory=list[Operation])
    events: list[LogEvent] = field(default_factory=list[LogEvent])
    work: dict[tuple[UUID, Task], Work] = field(default_factory=dict[tuple[UUID, Task], Work])
    done: set[tuple[UUID, Task]] = field(default_factory=set[tuple[UUID, Task]])

    def put(self, work: Work) -> None:
        self.work[work.payment_id, work.task] = work
        self.done.discard((work.payment_id, work.task))

    def drop(self, payment_id: UUID, task: Task) -> None:
        self.work.pop((payment_id, task), None)
        self.done.add((payment_id, task))


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
        batch.history = await self._history(tx, tenant, reports, rows, attempts)
        applied = [self._apply(batch, rows, report) for report in reports]
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

    async def _history(
        self,
        tx: Tx,
        tenant: str,
        reports: Sequence[RailReport],
        rows: dict[UUID, PaymentRow],
        named: dict[tuple[str, str], AttemptRow],
    ) -> History:
        """The attempts that are spoken of; and all of a payment that has more than one."""
        several = [row.payment_id for row in rows.values() if row.attempts > 1]
        whole = await self._store.attempts_of(tx, tenant, several) if several else {}
        return History(named.values(), *whole.values())

    def _apply(self, batch: _Batch, rows: dict[UUID, PaymentRow], report: RailReport) -> Applied:
        attempt = batch.history.named(report.rail, report.reference)
        if attempt is None:
            return Applied(None, None, False)
        row = rows[attempt.payment_id]
        if report.concerning is not Concerning.PAYMENT:
            self._note(batch, row, f"payment.{report.concerning}_{report.kind}", report)
            return Applied(row.payment_id, row.state, False)
        if report.amount_fen is not None and report.amount_fen != row.amount_fen:
            return self._alarm(batch, row, report, "It speaks of another amount.")
        event = FROM_REPORT[report.kind]
        present = (row.rail, row.reference) == (attempt.rail, attempt.reference)
        if not present or row.state is State.VALIDATED:
            return self._about_another(batch, row, attempt, report, event)
        if event in _NO and row.state not in TERMINAL:
            return self._after_a_no(batch, row, attempt, report, event)
        step = follow(row.state, event)
        if step is None:
            if event is Event.SETTLED and row.settled_at is None and row.state is State.COMPLETED:
                self._settled_later(batch, row, report)
            return Applied(row.payment_id, row.state, False)
        return self._take(batch, row, attempt, report, event, step)

    def _after_a_no(
        self, batch: _Batch, row: PaymentRow, attempt: AttemptRow, report: RailReport, event: Event
    ) -> Applied:
        """The present attempt is over by a definite no; the payment may not be."""
        attempts = batch.history.of(row.payment_id)
        match failover.after_a_no(attempts, report):
            case Next.END:
                follows = event
            case Next.REROUTE:
                follows = Event.REROUTE
            case Next.COMPLETE:
                follows = Event.NETTED
                self._back_to(row, failover.executed(attempts))
            case Next.FALL_BACK:
                follows = Event.FALL_BACK
                others = [a for a in attempts if a.attempt_id != attempt.attempt_id]
                self._back_to(row, failover.in_doubt(others)[-1])
        step = follow(row.state, follows)
        if step is None:
            return Applied(row.payment_id, row.state, False)
        applied = self._take(batch, row, attempt, report, event, step)
        if follows is Event.NETTED:
            row.reason_code, row.reason = LATE_YES, row.alarm
        return applied

    @staticmethod
    def _back_to(row: PaymentRow, attempt: AttemptRow | None) -> None:
        assert attempt is not None
        row.rail, row.reference = attempt.rail, attempt.reference

    def _take(
        self,
        batch: _Batch,
        row: PaymentRow,
        attempt: AttemptRow,
        report: RailReport,
        event: Event,
        step: Step,
    ) -> Applied:
        if Effect.ALARM in step.effects:
            if (
                event in _YES
                and attempt.outcome
                and failover.told(report.kind) > failover.told(attempt.later)
            ):
                self._keep_later(batch, row, attempt, report)
            return self._alarm(batch, row, report, "The rail said otherwise before.")
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
        if step.to is not before or event in _NO:
            row.state, row.state_at = step.to, batch.now
            row.reason_code, row.reason = report.code, report.words
            self._note(batch, row, _KIND_IN_LOG[step.to], report)
        if Effect.TAKE_BACK in step.effects:
            batch.ledger.append(_take_back(row, batch.now))
            row.returned_at = batch.now
            self._note(batch, row, "payment.returned", report)
        self._close(batch, row, attempt, report, event)
        self._put_work(batch, row, before, step)
        changed = step.to is not before or event in _NO or Effect.TAKE_BACK in step.effects
        if changed:
            batch.changed[row.payment_id] = row
        return Applied(row.payment_id, row.state, changed)

    def _close(
        self,
        batch: _Batch,
        row: PaymentRow,
        attempt: AttemptRow,
        report: RailReport,
        event: Event,
    ) -> None:
        """The attempt is over; one that people left learns how it ended."""
        if event not in _ENDS_ATTEMPT:
            return
        if not attempt.outcome:
            closed = msgspec.structs.replace(
                attempt, outcome=_ENDS_ATTEMPT[event], code=report.code, closed_at=batch.now
            )
            batch.history.put(closed)
            batch.closed.append(closed)
        elif attempt.outcome == SWITCHED and not attempt.later:
            self._keep_later(batch, row, attempt, report)

    def _keep_later(
        self, batch: _Batch, row: PaymentRow, attempt: AttemptRow, report: RailReport
    ) -> None:
        """What a rail says of a closed attempt stays with it; then it is asked no more."""
        told = msgspec.structs.replace(
            attempt, later=report.kind.value, later_code=report.code, later_at=batch.now
        )
        batch.history.put(told)
        batch.later[told.attempt_id] = told
        self._stop_asking(batch, row)

    def _put_work(self, batch: _Batch, row: PaymentRow, before: State, step: Step) -> None:
        if Effect.SEND in step.effects:
            batch.put(rules.work_of(row, Task.DISPATCH, batch.now))
            if not failover.in_doubt(batch.history.of(row.payment_id)):
                batch.drop(row.payment_id, Task.ENQUIRE)
        elif (
            Effect.ASK_LATER in step.effects
            and before not in AT_THE_RAIL
            and row.rail not in CARRIED_BY_PEOPLE
        ):
            # Only where no question is pending: what flips between clearing and in doubt is asked
            # about at the pace it has reached.
            batch.put(rules.work_of(row, Task.ENQUIRE, rules.next_ask(batch.now, 0)))
        if step.to in TERMINAL:
            if before is State.VALIDATED:
                batch.drop(row.payment_id, Task.DISPATCH)
            self._stop_asking(batch, row)

    @staticmethod
    def _stop_asking(batch: _Batch, row: PaymentRow) -> None:
        """An ended payment is asked about no more, unless an attempt that people left is in
        doubt."""
        ended = row.state in TERMINAL
        if ended and not failover.in_doubt(batch.history.of(row.payment_id)):
            batch.drop(row.payment_id, Task.ENQUIRE)

    def _about_another(
        self, batch: _Batch, row: PaymentRow, attempt: AttemptRow, report: RailReport, event: Event
    ) -> Applied:
        """A word about an attempt that is closed, while the payment went on without it. A no is
        what was taken for true, or ends a doubt that people left; a yes is news."""
        unchanged = Applied(row.payment_id, row.state, False)
        if event in _NO and attempt.outcome == SWITCHED and not attempt.later:
            self._keep_later(batch, row, attempt, report)
            self._note(batch, row, "payment.late_no", report)
            return unchanged
        if event not in _YES or failover.told(report.kind) <= failover.told(attempt.later):
            return unchanged
        if event is Event.RETURNED:
            # What was paid by it came back: it stands for nothing any more.
            self._keep_later(batch, row, attempt, report)
            self._note(batch, row, "payment.late_return", report)
            return unchanged
        contradicts = attempt.outcome != SWITCHED or bool(attempt.later)
        self._keep_later(batch, row, attempt, report)
        step = follow(row.state, Event.LATE_YES)
        assert step is not None
        if Effect.POST not in step.effects:
            which = f"Attempt {attempt.number} over {attempt.rail} was executed after all"
            return self._alarm(batch, row, report, f"{which}; another attempt was made meanwhile.")
        if contradicts:
            self._alarm(batch, row, report, "The rail had refused it before.")
        self._back_to(row, attempt)
        return self._take(batch, row, attempt, report, event, step)

    def _alarm(self, batch: _Batch, row: PaymentRow, report: RailReport, words: str) -> Applied:
        """The rail contradicts itself or what we did on its word: people must look."""
        alarm = f"{report.rail} {report.reference}: {report.kind} {report.code}. {words}"
        if row.alarm != alarm:
            self._note(batch, row, "payment.contradicted", report, alarm=words)
            row.alarm = alarm
            batch.changed[row.payment_id] = row
        return Applied(row.payment_id, row.state, False)

    def _settled_later(self, batch: _Batch, row: PaymentRow, report: RailReport) -> None:
        """已清算 after 已轧差: the payment was complete already; its settlement moment is kept."""
        row.settled_at = batch.now
        batch.changed[row.payment_id] = row
        self._note(batch, row, "payment.settled", report)

    def _note(
        self, batch: _Batch, row: PaymentRow, kind: str, report: RailReport, **more: str
    ) -> None:
        body: dict[str, Any] = more | {
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
        for row in batch.changed.values():
            row.version += 1
        # Attempts first: the database asks them before it lets a payment end as unpaid. A late yes
        # comes after such an end, and is written after it.
        late_yes = {a.attempt_id for a in batch.later.values() if a.later in failover.YES}
        late_no = [a for a in batch.later.values() if a.attempt_id not in late_yes]
        await self._store.close_attempts(tx, batch.tenant, batch.closed)
        await self._pages.ended_many(tx, batch.tenant, batch.closed)
        await self._store.note_later(tx, batch.tenant, late_no)
        await self._store.save(tx, batch.tenant, batch.changed.values())
        await self._store.note_later(
            tx, batch.tenant, [batch.later[attempt_id] for attempt_id in sorted(late_yes)]
        )
        await self._store.put_work(tx, batch.tenant, list(batch.work.values()))
        await self._store.drop_work(tx, batch.tenant, batch.done)
        await self._log.append_many(tx, batch.events)
        await self._post(tx, batch)

    async def _post(self, tx: Tx, batch: _Batch) -> None:
        """The ledger comes last: its accounts are locked for a moment only, and intake, which needs
        the same ones, never waits for a worker that stands back."""
        outcomes = await self._ledger.apply_many(tx, batch.tenant, batch.ledger)
        for operation, outcome in zip(batch.ledger, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                raise Broken(
                    "payment.ledger_refused",
                    f"The ledger refused what the rail decided: {outcome.code}. {outcome.detail}",
                    f"Nothing was written; look at {operation!r}.",
                )


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
