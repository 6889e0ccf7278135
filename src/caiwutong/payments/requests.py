"""Requests about a payment: sign, cancel, revoke before netting, ask for a return, correct.

Three different things: 撤销 takes a payment back before it is netted and is the rail's to grant;
申请退回 asks the payee's bank for settled money; 冲正 is a new entry in our own books.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from caiwutong.approvals.model import Taken
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock, china_date
from caiwutong.kernel.errors import Conflict, NotFound, Refusal
from caiwutong.kernel.ids import Ids, derived
from caiwutong.ledger.model import Void
from caiwutong.ledger.service import Ledger
from caiwutong.payments import failover, rules
from caiwutong.payments.courier import Settle
from caiwutong.payments.events import happened
from caiwutong.payments.intake import SUBJECT
from caiwutong.payments.model import PaymentRow, Task
from caiwutong.payments.ports import Consent, Log, Rails
from caiwutong.payments.recovery import Recovery
from caiwutong.payments.states import AT_THE_RAIL, Event, State, follow, sources
from caiwutong.payments.store import PaymentStore


class Requests:
    """What people and callers may ask of a payment that exists."""

    def __init__(
        self,
        *,
        database: Database,
        store: PaymentStore,
        ledger: Ledger,
        consent: Consent,
        log: Log,
        rails: Rails,
        recovery: Recovery,
        settle: Settle,
        clock: Clock,
        ids: Ids,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._store = store
        self._ledger = ledger
        self._consent = consent
        self._log = log
        self._rails = rails
        self._recovery = recovery
        self._settle = settle
        self._clock = clock
        self._ids = ids
        self._wake = wake

    async def authorise(
        self, tx: Tx, tenant: str, payment_id: UUID, digest: bytes, by: str
    ) -> None:
        """Enough different people signed these very bytes: let the payment go. Called inside the
        transaction of the last signature."""
        row = await self._locked(tx, tenant, payment_id)
        if row.digest != digest:
            raise Conflict(
                "payment.other_content",
                "The signatures are bound to other content than the payment holds.",
                "Sign again.",
            )
        row.authorised_by = by
        now = self._move(row, Event.AUTHORISE)
        due = rules.due_at(row.execute_on, now)
        await self._store.put_work(tx, tenant, [rules.work_of(row, Task.DISPATCH, due)])
        await self._keep(tx, tenant, row, "payment.validated", by, {"authorised_by": by})
        tx.after_commit(self._wake)

    async def cancel(
        self, tenant: str, payment_id: UUID, actor: str, *, dry_run: bool = False
    ) -> PaymentRow:
        """作废: the payment never leaves the house and its hold is given back."""
        async with self._database.transaction() as tx:
            # The signing request is locked before the payment, as the last signature does it.
            if not dry_run:
                await self._consent.withdraw(tx, tenant, SUBJECT, payment_id, self._clock.now())
            row = await self._locked(tx, tenant, payment_id)
            if row.state is State.CANCELLED:
                return row
            await self._check_left(tx, tenant, row)
            now = self._move(row, Event.CANCEL)
            if dry_run:
                return row
            await self._release(tx, tenant, row, now)
            await self._give_back(tx, tenant, row)
            await self._store.drop_work(tx, tenant, {(payment_id, Task.DISPATCH)})
            await self._keep(tx, tenant, row, "payment.cancelled", actor, {})
            return row

    async def expire_due(self, tenant: str, limit: int = 200) -> int:
        """Cancel payments whose hold ran out before they left the house; how many."""
        async with self._database.transaction() as tx:
            now = self._clock.now()
            due = await self._ledger.expiring(tx, tenant, now, limit)
            for payment_id in due:
                await self._consent.withdraw(tx, tenant, SUBJECT, payment_id, now)
            rows = await self._store.lock(tx, tenant, due) if due else {}
            ended = [row for row in rows.values() if follow(row.state, Event.EXPIRE)]
            for row in ended:
                self._move(row, Event.EXPIRE)
                row.reason_code = "payment.hold_expired"
                row.reason = "Nobody released the order in time; its hold was given back."
                await self._release(tx, tenant, row, now, expired=True)
                await self._keep(tx, tenant, row, "payment.cancelled", "worker:expiry", {})
            await self._store.drop_work(
                tx, tenant, {(row.payment_id, Task.DISPATCH) for row in ended}
            )
            return len(ended)

    async def enquire(self, tenant: str, payment_id: UUID) -> PaymentRow:
        """Ask the rail now what became of the payment; the row as it is afterwards."""
        row = await self._read(tenant, payment_id)
        self._at_the_rail(row, "ask about")
        await self._recovery.ask_now(tenant, row)
        return await self._read(tenant, payment_id)

    async def revoke(self, tenant: str, payment_id: UUID, actor: str) -> PaymentRow:
        """撤销: ask the rail to take the payment back before netting. Granted or not is the rail's
        word; the row as it is afterwards."""
        async with self._database.transaction() as tx:
            row = await self._locked(tx, tenant, payment_id)
            self._at_the_rail(row, "revoke")
            attempt = await self._recovery.attempt_of(tx, tenant, row)
            await self._note(tx, tenant, row, "payment.revocation_requested", actor, {})
        reports = await self._rails[attempt.rail].revoke(attempt)
        await self._settle(tenant, reports)
        return await self._read(tenant, payment_id)

    async def request_return(
        self, tenant: str, payment_id: UUID, reason: str, actor: str
    ) -> PaymentRow:
        """申请退回: ask the payee's bank for settled money. It comes back, if it does, as a return
        (退汇) of its own."""
        async with self._database.transaction() as tx:
            row = await self._locked(tx, tenant, payment_id)
            if row.state is not State.COMPLETED or row.returned_at is not None:
                raise Conflict(
                    "payment.not_returnable",
                    f"Payment {payment_id} is {row.state.value}"
                    f"{' and returned already' if row.returned_at else ''}.",
                    "A return is asked for after completion; before netting, revoke instead.",
                )
            attempt = await self._recovery.attempt_of(tx, tenant, row)
            await self._note(tx, tenant, row, "payment.return_requested", actor, {"reason": reason})
        reports = await self._rails[attempt.rail].request_return(attempt, reason)
        await self._settle(tenant, reports)
        return await self._read(tenant, payment_id)

    async def correct(self, tenant: str, payment_id: UUID, reason: str, actor: str) -> UUID:
        """冲正: put the accounts back with a new entry, because our book and the bank's disagree;
        the payment's end stays what it was. The id of the correcting transfer."""
        async with self._database.transaction() as tx:
            row = await self._locked(tx, tenant, payment_id)
            if row.state is not State.COMPLETED or row.returned_at is not None:
                raise Conflict(
                    "payment.nothing_to_correct",
                    f"Payment {payment_id} is {row.state.value}: its entry does not stand.",
                    "Only a completed payment that was not returned has an entry to correct.",
                )
            correction = derived(payment_id, "correction")
            outcome = await self._ledger.correct(
                tx, tenant, derived(payment_id, "post"), correction, self._clock.now()
            )
            if isinstance(outcome, Refusal):
                outcome.raise_()
            await self._note(
                tx,
                tenant,
                row,
                "payment.corrected",
                actor,
                {"reason": reason, "transfer_id": str(correction), "amount_fen": row.amount_fen},
            )
            return correction

    async def _check_left(self, tx: Tx, tenant: str, row: PaymentRow) -> None:
        """A payment whose attempt people left in doubt cannot be called unpaid."""
        if not row.attempts:
            return
        attempts = (await self._store.attempts_of(tx, tenant, [row.payment_id]))[row.payment_id]
        left = failover.in_doubt(attempts)
        if left:
            raise Conflict(
                "payment.may_be_paid",
                f"Attempt {left[-1].number} over {left[-1].rail} is still in doubt: it may have "
                "paid.",
                "Wait for its rail's word; until then the money stays held.",
            )

    async def _locked(self, tx: Tx, tenant: str, payment_id: UUID) -> PaymentRow:
        row = (await self._store.lock(tx, tenant, [payment_id])).get(payment_id)
        return row or _missing(payment_id)

    async def _read(self, tenant: str, payment_id: UUID) -> PaymentRow:
        async with self._database.transaction() as tx:
            row = await self._store.get(tx, tenant, payment_id)
        return row or _missing(payment_id)

    def _move(self, row: PaymentRow, event: Event) -> datetime:
        step = follow(row.state, event)
        if step is None:
            possible = ", ".join(state.value for state in sources(event))
            raise Conflict(
                "payment.wrong_state",
                f"Payment {row.payment_id} is {row.state.value}; it cannot {event.value} now.",
                f"Possible while it is {possible}.",
            )
        now = self._clock.now()
        row.state, row.state_at = step.to, now
        return now

    def _at_the_rail(self, row: PaymentRow, act: str) -> None:
        if row.state not in AT_THE_RAIL:
            raise Conflict(
                "payment.not_at_the_rail",
                f"Payment {row.payment_id} is {row.state.value}: there is nothing to {act}.",
                "Before it leaves, cancel it; after completion, ask for a return.",
            )

    async def _release(
        self, tx: Tx, tenant: str, row: PaymentRow, now: datetime, *, expired: bool = False
    ) -> None:
        void = Void(hold_id=row.payment_id, at=now, expired=expired)
        for outcome in await self._ledger.void_many(tx, tenant, [void]):
            if isinstance(outcome, Refusal):
                outcome.raise_()

    async def _give_back(self, tx: Tx, tenant: str, row: PaymentRow) -> None:
        """A cancelled order frees what it took of its mandate's day."""
        by, _, mandate = row.authorised_by.partition(":")
        if by == "mandate":
            taken = Taken(UUID(mandate), china_date(row.created_at), row.amount_fen)
            await self._consent.give_back_many(tx, tenant, [taken])

    async def _keep(
        self,
        tx: Tx,
        tenant: str,
        row: PaymentRow,
        kind: str,
        actor: str,
        facts: dict[str, Any],
    ) -> None:
        row.version += 1
        await self._store.save(tx, tenant, [row])
        await self._note(tx, tenant, row, kind, actor, facts)

    async def _note(
        self,
        tx: Tx,
        tenant: str,
        row: PaymentRow,
        kind: str,
        actor: str,
        facts: dict[str, Any],
    ) -> None:
        event = happened(
            self._ids,
            tenant,
            kind,
            row.payment_id,
            actor=actor,
            at=self._clock.now(),
            body={"state": row.state.value, **facts},
        )
        await self._log.append_many(tx, [event])


def _missing(payment_id: UUID) -> Any:
    raise NotFound(
        "payment.not_found",
        f"There is no payment {payment_id}.",
        "Search by your own number, the amount, or the last four digits of the payee.",
    )
