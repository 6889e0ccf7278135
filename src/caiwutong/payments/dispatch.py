"""Dispatch: a due payment gets its route and its attempt, is committed, and only then sent.

Write the attempt down before sending: after a crash we ask the rail, and never pay twice. A payment
that comes back from a channel that refused it keeps its hold and gets another attempt; one that no
channel takes now waits for the next opening. What can change after validation is asked again: a
stopped account pays nothing. Read next: ``routes``, which chooses, and ``courier``, which carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from caiwutong.audit.model import Event as LogEvent
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.ids import Ids, reference
from caiwutong.ledger.model import Keep, Operation, Void
from caiwutong.ledger.service import Ledger
from caiwutong.payments import failover, rules
from caiwutong.payments.courier import Courier, build_attempt
from caiwutong.payments.events import happened
from caiwutong.payments.model import DISPATCH_LEASE, WAITS, AttemptRow, PaymentRow, Task, Work
from caiwutong.payments.ports import Accounts, Log, NoPages, OwnAccount, Pages, Rails, Seal
from caiwutong.payments.routes import Chosen, Router, Waits, Wanted
from caiwutong.payments.states import Event, State, Step, follow
from caiwutong.payments.store import PaymentStore
from caiwutong.payments.turns import Turns
from caiwutong.rails.contract import Attempt


class Dispatch:
    """Moves due payments out of the house."""

    def __init__(
        self,
        *,
        database: Database,
        store: PaymentStore,
        ledger: Ledger,
        accounts: Accounts,
        log: Log,
        seal: Seal,
        rails: Rails,
        router: Router,
        courier: Courier,
        pages: Pages | None = None,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._database = database
        self._store = store
        self._ledger = ledger
        self._accounts = accounts
        self._log = log
        self._seal = seal
        self._rails = rails
        self._router = router
        self._courier = courier
        self._pages = pages or NoPages()
        self._clock = clock
        self._ids = ids

    async def run_once(self, tenant: str, limit: int = 200) -> int:
        """Dispatch up to ``limit`` due payments; how many were taken up.

        Claiming is a transaction of its own, so that locks are always taken payment first, work
        after, and stages never deadlock. A worker that dies in between leaves a lease that ends.
        """
        async with self._database.transaction() as tx:
            now = self._clock.now()
            work = await self._store.claim_work(
                tx, tenant, Task.DISPATCH, now, limit, now + DISPATCH_LEASE
            )
        if not work:
            return 0
        async with self._database.transaction() as tx:
            attempts = await self._write_down(tx, tenant, work)
        await self._courier.carry(tenant, attempts)
        return len(work)

    async def run_fair(self, turns: Turns, limit: int = 200) -> int:
        """One round of the tenant whose turn it is; how many payments were taken up."""
        if len(turns.tenants) == 1:
            return await self.run_once(turns.tenants[0], limit)
        async with self._database.transaction() as tx:
            now = self._clock.now()
            due = {t: await self._store.next_due(tx, t, Task.DISPATCH) for t in turns.tenants}
        tenant = turns.next({t for t, at in due.items() if at is not None and at <= now})
        return 0 if tenant is None else await self.run_once(tenant, limit)

    async def _write_down(self, tx: Tx, tenant: str, work: Sequence[Work]) -> list[Attempt]:
        rows = await self._store.lock(tx, tenant, [w.payment_id for w in work])
        rows = {i: row for i, row in rows.items() if follow(row.state, Event.DISPATCH)}
        earlier = await self._store.attempts_of(tx, tenant, list(rows))
        batch = _Batch(self._clock.now())
        await self._route(tx, tenant, batch, list(rows.values()), earlier)
        await self._check_holds(tx, tenant, batch)
        attempts = await self._write(tx, tenant, batch)
        waiting = {row.payment_id for row, _ in batch.waiting}
        await self._store.drop_work(
            tx, tenant, {(w.payment_id, w.task) for w in work if w.payment_id not in waiting}
        )
        return attempts

    async def _route(
        self,
        tx: Tx,
        tenant: str,
        batch: _Batch,
        rows: Sequence[PaymentRow],
        earlier: dict[UUID, list[AttemptRow]],
    ) -> None:
        accounts = await self._accounts.find_many(tx, tenant, {r.bank_account_id for r in rows})
        wanted: list[Wanted] = []
        for row in rows:
            account = accounts.get(row.bank_account_id)
            unfit = rules.account_unfit(account, row.bank_account_id, row.currency)
            if account is None or unfit is not None:
                assert unfit is not None
                batch.nowhere(row, earlier[row.payment_id], unfit)
            else:
                wanted.append(Wanted(row, account, failover.tried(earlier[row.payment_id])))
        ways = await self._router.decide_many(tx, tenant, wanted, batch.now)
        for each, way in zip(wanted, ways, strict=True):
            attempts = earlier[each.row.payment_id]
            match way:
                case Chosen():
                    batch.out.append(_Out(each.row, each.account, way, len(attempts) + 1))
                case Waits():
                    batch.waiting.append((each.row, way))
                case Refusal():
                    batch.nowhere(each.row, attempts, way)

    async def _check_holds(self, tx: Tx, tenant: str, batch: _Batch) -> None:
        """Take the expiry off each hold, for what goes out and for what waits for a channel to
        open; an order whose hold ran out is cancelled, not sent."""
        kept = [out.row for out in batch.out] + [row for row, _ in batch.waiting]
        keeps: list[Operation] = [Keep(hold_id=row.payment_id, at=batch.now) for row in kept]
        outcomes = await self._ledger.apply_many(tx, tenant, keeps)
        for row, outcome in zip(kept, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                batch.end(row, Event.EXPIRE, outcome)
        over = {row.payment_id for row, _ in batch.ended}
        batch.out = [out for out in batch.out if out.row.payment_id not in over]
        batch.waiting = [each for each in batch.waiting if each[0].payment_id not in over]
        await self._ledger.apply_many(
            tx,
            tenant,
            [Void(hold_id=row.payment_id, at=batch.now, expired=True) for row, _ in batch.ended],
        )

    async def _write(self, tx: Tx, tenant: str, batch: _Batch) -> list[Attempt]:
        made = [(out, self._attempt(tenant, out, batch.now)) for out in batch.out]
        carried = await self._pages.take_many(
            tx, tenant, [(out.row.bank_account_id, attempt) for out, attempt in made]
        )
        events = [self._gone(tenant, o, a, a.attempt_id in carried) for o, a in made]
        for row, refusal in (*batch.ended, *batch.fallen_back):
            body = {"state": row.state.value, "code": refusal.code, "detail": refusal.detail}
            events.append(self._event(tenant, f"payment.{row.state}", row, body))
        waiting = [(row, way) for row, way in batch.waiting if row.reason != way.words]
        for row, way in waiting:
            row.reason_code, row.reason = WAITS, way.words
            body = {"state": row.state.value, "until": way.at, "words": way.words}
            events.append(
                self._event(tenant, "payment.waiting", row, body | {"route": way.explanation})
            )
        changed = [out.row for out in batch.out] + [row for row, _ in waiting]
        changed += [row for row, _ in (*batch.ended, *batch.fallen_back)]
        for row in changed:
            row.version += 1
        await self._store.save(tx, tenant, changed)
        await self._store.insert_attempts(tx, tenant, [_kept(out, a) for out, a in made])
        # What a person carries is neither sent nor asked about: the bank's files will tell.
        sent = [(out, a) for out, a in made if a.attempt_id not in carried]
        await self._put_work(tx, tenant, batch, [out.row for out, _ in sent])
        await self._log.append_many(tx, events)
        return [attempt for _, attempt in sent]

    async def _put_work(
        self, tx: Tx, tenant: str, batch: _Batch, sent: Sequence[PaymentRow]
    ) -> None:
        ask = [*sent, *(row for row, _ in batch.fallen_back)]
        due = rules.next_ask(batch.now, 0)
        work = [rules.work_of(row, Task.ENQUIRE, due) for row in ask]
        work += [rules.work_of(row, Task.DISPATCH, way.at) for row, way in batch.waiting]
        await self._store.put_work(tx, tenant, work)

    def _gone(self, tenant: str, out: _Out, attempt: Attempt, on_page: bool) -> LogEvent:
        """Moves the row on, and tells it."""
        row = out.row
        row.state = State.AWAITING_BANK_PAGE if on_page else State.SUBMITTED
        row.state_at = attempt.created_at
        row.rail, row.reference, row.attempts = attempt.rail, attempt.reference, out.number
        row.reason_code = row.reason = ""
        body: dict[str, Any] = {
            "state": row.state.value,
            "rail": row.rail,
            "reference": row.reference,
            "attempt": out.number,
        }
        if attempt.flag:
            body["flag"] = attempt.flag
        if out.way.told is not None:
            body["way"] = out.way.told
        return self._event(tenant, f"payment.{row.state}", row, body)

    def _attempt(self, tenant: str, out: _Out, now: datetime) -> Attempt:
        attempt_id = self._ids.new()
        name = out.way.rail
        return build_attempt(
            tenant,
            out.row,
            out.account,
            self._seal,
            attempt_id=attempt_id,
            rail=name,
            ref=reference(now, attempt_id),
            created_at=now,
            valid_until=self._rails[name].valid_until(now),
            flag=out.way.flag,
        )

    def _event(self, tenant: str, kind: str, row: PaymentRow, body: dict[str, Any]) -> LogEvent:
        return happened(
            self._ids,
            tenant,
            kind,
            row.payment_id,
            actor="worker:dispatch",
            at=self._clock.now(),
            body=body,
        )


class _Out:
    """A payment that goes out."""

    __slots__ = ("account", "number", "row", "way")

    def __init__(self, row: PaymentRow, account: OwnAccount, way: Chosen, number: int) -> None:
        self.row = row
        self.account = account
        self.way = way
        self.number = number


def _kept(out: _Out, attempt: Attempt) -> AttemptRow:
    return AttemptRow(
        attempt_id=attempt.attempt_id,
        payment_id=attempt.payment_id,
        number=out.number,
        rail=attempt.rail,
        reference=attempt.reference,
        route=out.way.kept(),
        created_at=attempt.created_at,
        valid_until=attempt.valid_until,
    )


class _Batch:
    """What a round of dispatch decides before it writes."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.out: list[_Out] = []
        self.waiting: list[tuple[PaymentRow, Waits]] = []
        self.ended: list[tuple[PaymentRow, Refusal]] = []
        self.fallen_back: list[tuple[PaymentRow, Refusal]] = []

    def nowhere(self, row: PaymentRow, earlier: Sequence[AttemptRow], refusal: Refusal) -> None:
        """No channel carries it. It ends with the last channel's own no, where there was one; and
        does not end while an attempt that people left may have paid it."""
        left = failover.in_doubt(earlier)
        if left:
            row.rail, row.reference = left[-1].rail, left[-1].reference
            self._move(row, Event.FALL_BACK, refusal)
            self.fallen_back.append((row, refusal))
        elif earlier and row.reason_code == earlier[-1].code:
            words = f"{row.reason} No other channel is left: {refusal.detail}"
            self.end(row, Event.REFUSE, Refusal(row.reason_code, words, refusal.cure))
        else:
            self.end(row, Event.REFUSE, refusal)

    def end(self, row: PaymentRow, event: Event, refusal: Refusal) -> None:
        self._move(row, event, refusal)
        self.ended.append((row, refusal))

    def _move(self, row: PaymentRow, event: Event, refusal: Refusal) -> None:
        step: Step | None = follow(row.state, event)
        assert step is not None
        row.state, row.state_at = step.to, self.now
        row.reason_code, row.reason = refusal.code, refusal.detail
