"""Dispatch: a due payment gets its route and its attempt, is committed, and only then sent.

Write the attempt down before sending: after a crash we ask the rail, and never pay twice. What
comes back at once is handed to settlement; what does not come back is asked for by recovery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from caiwutong.audit.model import Event as LogEvent
from caiwutong.audit.model import canonical_json
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Refusal, Refused
from caiwutong.kernel.ids import Ids, reference
from caiwutong.ledger.model import Keep, Operation, Void
from caiwutong.ledger.service import Ledger
from caiwutong.payments import rules
from caiwutong.payments.events import happened
from caiwutong.payments.intake import open_payee
from caiwutong.payments.model import DISPATCH_LEASE, AttemptRow, PaymentRow, Task, Work
from caiwutong.payments.ports import (
    Accounts,
    CatalogOf,
    Log,
    NoPages,
    OwnAccount,
    Pages,
    Rails,
    Seal,
    shipped_catalog,
)
from caiwutong.payments.settlement import Applied, silence
from caiwutong.payments.states import Event, State, Step, follow
from caiwutong.payments.store import PaymentStore
from caiwutong.rails.contract import (
    SILENCE,
    AccountAtBank,
    Attempt,
    BadMessage,
    NotSent,
    Rail,
    RailMessage,
    RailReport,
    ReportKind,
    SentInDoubt,
)
from caiwutong.routing.rules import Route, choose

Settle = Callable[[str, Sequence[RailReport]], Awaitable[Sequence[Applied]]]
"""Hands reports to settlement; returns when they are durable."""


Offload = Callable[..., Awaitable[Any]]
"""Runs signing away from the event loop: a thread, or in the simulator the loop itself."""


class Courier:
    """Carries attempts to their rails and brings back what was said at once. Shared by dispatch,
    which sends first, and recovery, which may send the very same message again."""

    def __init__(
        self,
        rails: Rails,
        settle: Settle,
        clock: Clock,
        *,
        at_once: int = 64,
        offload: Offload = asyncio.to_thread,
    ) -> None:
        self._rails = rails
        self._settle = settle
        self._clock = clock
        self._slots = asyncio.Semaphore(at_once)
        self._offload = offload

    async def carry(self, tenant: str, attempts: Sequence[Attempt], *, again: bool = False) -> None:
        """Send the attempts, batched as each rail wants, and settle the immediate answers.

        ``again`` when the same messages may have been sent before: then a message that cannot be
        written is no reason to call the payment rejected.
        """
        by_rail: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            by_rail.setdefault(attempt.rail, []).append(attempt)
        sends: list[Awaitable[None]] = []
        for name, group in by_rail.items():
            rail = self._rails[name]
            messages, unfit = await self._offload(_encode, rail, group)
            sends += [self._send(tenant, rail, message) for message in messages]
            if unfit and not again:
                sends.append(self._settle_all(tenant, unfit))
        await asyncio.gather(*sends)

    async def _settle_all(self, tenant: str, reports: list[RailReport]) -> None:
        await self._settle(tenant, reports)

    async def _send(self, tenant: str, rail: Rail, message: RailMessage) -> None:
        async with self._slots:
            reports = await self._answer(rail, message)
        if reports:
            await self._settle(tenant, reports)

    async def _answer(self, rail: Rail, message: RailMessage) -> list[RailReport]:
        try:
            return rail.decode(await rail.send(message))
        except NotSent:
            # Certainly not delivered. The enquiry that is due soon finds the reference unknown and
            # sends the same message again.
            return []
        except SentInDoubt as error:
            words = error.detail
        except BadMessage as error:
            # An answer we cannot trust is no answer.
            words = f"unreadable answer: {error.code}"
        now = self._clock.now()
        return [silence(rail.name, ref, SILENCE, now, words) for ref in message.references]


def _encode(rail: Rail, attempts: list[Attempt]) -> tuple[list[RailMessage], list[RailReport]]:
    """The messages, and a definite *no* for each attempt the rail cannot put into words: it never
    left the house."""
    try:
        return rail.encode_many(attempts), []
    except Refused:
        messages: list[RailMessage] = []
        unfit: list[RailReport] = []
    for attempt in attempts:
        try:
            messages += rail.encode_many([attempt])
        except Refused as error:
            unfit.append(
                RailReport(
                    ReportKind.REJECTED,
                    rail.name,
                    attempt.reference,
                    error.code,
                    attempt.created_at,
                    error.detail,
                )
            )
    return messages, unfit


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
        courier: Courier,
        catalog: CatalogOf = shipped_catalog,
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
        self._courier = courier
        self._catalog = catalog
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

    async def _write_down(self, tx: Tx, tenant: str, work: Sequence[Work]) -> list[Attempt]:
        now = self._clock.now()
        rows = await self._store.lock(tx, tenant, [w.payment_id for w in work])
        accounts = await self._accounts.find_many(
            tx, tenant, {row.bank_account_id for row in rows.values()}
        )
        earlier = await self._store.attempts_of(tx, tenant, list(rows))
        batch = _Batch(now)
        for row in rows.values():
            if follow(row.state, Event.DISPATCH) is None:
                continue
            account = accounts[row.bank_account_id]
            route = self._route(tenant, row, account, earlier[row.payment_id], now)
            if isinstance(route, Refusal):
                batch.refuse(row, route)
            else:
                batch.send(row, account, route, len(earlier[row.payment_id]))
        await self._check_holds(tx, tenant, batch)
        attempts = await self._write(tx, tenant, batch)
        await self._store.drop_work(tx, tenant, {(w.payment_id, Task.DISPATCH) for w in work})
        return attempts

    def _route(
        self,
        tenant: str,
        row: PaymentRow,
        account: OwnAccount,
        earlier: list[AttemptRow],
        now: datetime,
    ) -> Route | Refusal:
        if any(a.outcome not in ("rejected", "revoked") for a in earlier):
            # The database would refuse it too: an attempt that is not over by a definite no may
            # still move the money.
            return Refusal(
                "payment.attempt_open",
                f"An earlier attempt {earlier[-1].reference} is not over.",
                "Ask the rail what became of it.",
            )
        catalog = self._catalog(tenant)
        return choose(account.access_modes, self._rails, row.amount_fen, now, catalog, row.channel)

    async def _check_holds(self, tx: Tx, tenant: str, batch: _Batch) -> None:
        """Take the expiry off each hold; an order whose hold ran out is cancelled, not sent."""
        keeps: list[Operation] = [
            Keep(hold_id=out.row.payment_id, at=batch.now) for out in batch.out
        ]
        outcomes = await self._ledger.apply_many(tx, tenant, keeps)
        standing: list[_Out] = []
        for out, outcome in zip(batch.out, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                batch.end(out.row, Event.EXPIRE, outcome)
            else:
                standing.append(out)
        batch.out = standing
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
        kept: list[AttemptRow] = []
        events: list[LogEvent] = []
        for out, attempt in made:
            row = out.row
            kept.append(
                AttemptRow(
                    attempt_id=attempt.attempt_id,
                    payment_id=row.payment_id,
                    number=out.number,
                    rail=attempt.rail,
                    reference=attempt.reference,
                    route=canonical_json(out.route),
                    created_at=batch.now,
                    valid_until=attempt.valid_until,
                )
            )
            on_page = attempt.attempt_id in carried
            row.state = State.AWAITING_BANK_PAGE if on_page else State.SUBMITTED
            row.state_at = batch.now
            row.rail, row.reference, row.attempts = attempt.rail, attempt.reference, out.number
            row.reason_code = row.reason = ""
            events.append(
                self._event(
                    tenant,
                    f"payment.{row.state}",
                    row,
                    {
                        "state": row.state.value,
                        "rail": row.rail,
                        "reference": row.reference,
                        "attempt": out.number,
                    },
                )
            )
        for row, refusal in batch.ended:
            kind = f"payment.{row.state}"
            body = {"state": row.state.value, "code": refusal.code, "detail": refusal.detail}
            events.append(self._event(tenant, kind, row, body))
        changed = [out.row for out in batch.out] + [row for row, _ in batch.ended]
        for row in changed:
            row.version += 1
        await self._store.save(tx, tenant, changed)
        await self._store.insert_attempts(tx, tenant, kept)
        # What a person carries is neither sent nor asked about: the bank's files will tell.
        attempts = [attempt for _, attempt in made if attempt.attempt_id not in carried]
        due = rules.next_ask(batch.now, 0)
        await self._store.put_work(
            tx, tenant, [Work(a.payment_id, Task.ENQUIRE, due) for a in attempts]
        )
        await self._log.append_many(tx, events)
        return attempts

    def _attempt(self, tenant: str, out: _Out, now: datetime) -> Attempt:
        attempt_id = self._ids.new()
        name = out.route.rail
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

    __slots__ = ("account", "number", "route", "row")

    def __init__(self, row: PaymentRow, account: OwnAccount, route: Route, number: int) -> None:
        self.row = row
        self.account = account
        self.route = route
        self.number = number


class _Batch:
    """What a round of dispatch decides before it writes."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.out: list[_Out] = []
        self.ended: list[tuple[PaymentRow, Refusal]] = []

    def send(
        self, row: PaymentRow, account: OwnAccount, route: Route, attempts_before: int
    ) -> None:
        self.out.append(_Out(row, account, route, attempts_before + 1))

    def refuse(self, row: PaymentRow, refusal: Refusal) -> None:
        self.end(row, Event.REFUSE, refusal)

    def end(self, row: PaymentRow, event: Event, refusal: Refusal) -> None:
        step: Step | None = follow(row.state, event)
        assert step is not None
        row.state, row.state_at = step.to, self.now
        row.reason_code, row.reason = refusal.code, refusal.detail
        self.ended.append((row, refusal))


def build_attempt(
    tenant: str,
    row: PaymentRow,
    account: OwnAccount,
    seal: Seal,
    *,
    attempt_id: UUID,
    rail: str,
    ref: str,
    created_at: datetime,
    valid_until: datetime,
) -> Attempt:
    """The attempt as rails understand it. Built again from the same rows, it is the same."""
    payee = open_payee(seal, row)
    return Attempt(
        tenant=tenant,
        payment_id=row.payment_id,
        attempt_id=attempt_id,
        rail=rail,
        reference=ref,
        payer=AccountAtBank(account.name, account.account, account.bank_code, account.bank_name),
        payee=AccountAtBank(payee.name, payee.account, payee.bank_code, payee.bank_name),
        amount_fen=row.amount_fen,
        currency=row.currency,
        direction=row.direction,
        priority=row.priority,
        purpose=row.purpose,
        remark=row.remark,
        created_at=created_at,
        valid_until=valid_until,
    )
