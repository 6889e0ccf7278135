"""Recovery: when the rail is silent, we ask; we never pay again.

An enquiry is due a while after every attempt, with growing pauses, until the rail says how it
ended; also about attempts that people left while they were in doubt, for as long as their rails
have not spoken of them, whatever became of the payment. A rail that does not know the reference has
not said *no*: the message may still be on its way. See ``rules.judge_unknown`` for when it becomes
one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import NotFound
from caiwutong.payments import failover, rules
from caiwutong.payments.courier import Courier, Settle, build_attempt
from caiwutong.payments.model import AttemptRow, PaymentRow, Task, Work
from caiwutong.payments.ports import Accounts, OwnAccount, Rails, Seal
from caiwutong.payments.states import AT_THE_RAIL
from caiwutong.payments.store import PaymentStore
from caiwutong.rails.contract import (
    NOT_FOUND,
    SILENCE,
    Attempt,
    BadMessage,
    RailReport,
    ReportKind,
)

_LEASE = timedelta(minutes=2)
NEVER_RECEIVED = "never_received"
"""Report code of our own: the network can no longer accept the message and does not know it."""


class Recovery:
    """Asks the rails what became of payments."""

    def __init__(
        self,
        *,
        database: Database,
        store: PaymentStore,
        accounts: Accounts,
        seal: Seal,
        rails: Rails,
        courier: Courier,
        settle: Settle,
        clock: Clock,
    ) -> None:
        self._database = database
        self._store = store
        self._accounts = accounts
        self._seal = seal
        self._rails = rails
        self._courier = courier
        self._settle = settle
        self._clock = clock

    async def run_once(self, tenant: str, limit: int = 200) -> int:
        """Ask about up to ``limit`` payments whose enquiry is due; how many were asked about."""
        async with self._database.transaction() as tx:
            now = self._clock.now()
            work = await self._store.claim_work(tx, tenant, Task.ENQUIRE, now, limit, now + _LEASE)
        if not work:
            return 0
        async with self._database.transaction() as tx:
            attempts = await self._open_attempts(tx, tenant, [w.payment_id for w in work])
        news_at = await self._ask(tenant, attempts)
        async with self._database.transaction() as tx:
            now = self._clock.now()
            await self._store.finish_work(
                tx,
                tenant,
                [
                    Work(
                        w.payment_id,
                        w.task,
                        rules.next_ask(now, w.tries, news_at.get(w.payment_id)),
                        w.tries,
                        w.fence,
                    )
                    for w in work
                ],
            )
        return len(work)

    async def ask_now(self, tenant: str, payment: PaymentRow) -> None:
        """Ask about one payment at once, because a person wants to know."""
        async with self._database.transaction() as tx:
            attempts = await self._open_attempts(tx, tenant, [payment.payment_id])
        await self._ask(tenant, attempts)

    async def attempt_of(self, tx: Tx, tenant: str, row: PaymentRow) -> Attempt:
        """The payment's present attempt, as rails see it. Raises NotFound before dispatch."""
        attempts = (await self._store.attempts_of(tx, tenant, [row.payment_id]))[row.payment_id]
        if not attempts:
            raise NotFound(
                "payment.no_attempt",
                f"Payment {row.payment_id} has not left the house.",
                "Cancel it instead.",
            )
        accounts = await self._accounts.find_many(tx, tenant, [row.bank_account_id])
        return self._as_sent(tenant, row, attempts[-1], accounts)

    async def _open_attempts(self, tx: Tx, tenant: str, ids: Sequence[UUID]) -> list[Attempt]:
        rows = await self._store.lock(tx, tenant, ids)
        kept = await self._store.attempts_of(tx, tenant, list(rows))
        asked = {
            payment_id: [
                a for a in attempts if not a.outcome and rows[payment_id].state in AT_THE_RAIL
            ]
            + failover.in_doubt(attempts)
            for payment_id, attempts in kept.items()
        }
        accounts = await self._accounts.find_many(
            tx, tenant, {rows[i].bank_account_id for i, attempts in asked.items() if attempts}
        )
        return [
            self._as_sent(tenant, rows[payment_id], attempt, accounts)
            for payment_id, attempts in asked.items()
            for attempt in attempts
        ]

    def _as_sent(
        self,
        tenant: str,
        row: PaymentRow,
        attempt: AttemptRow,
        accounts: Mapping[UUID, OwnAccount],
    ) -> Attempt:
        return build_attempt(
            tenant,
            row,
            accounts[row.bank_account_id],
            self._seal,
            attempt_id=attempt.attempt_id,
            rail=attempt.rail,
            ref=attempt.reference,
            created_at=attempt.created_at,
            valid_until=attempt.valid_until,
            flag=failover.kept_route(attempt).flag,
        )

    async def _ask(self, tenant: str, attempts: Sequence[Attempt]) -> dict[UUID, datetime]:
        """Ask about these; when the rails will have news by themselves, where they say so."""
        by_rail: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            by_rail.setdefault(attempt.rail, []).append(attempt)
        asks: list[Awaitable[dict[UUID, datetime]]] = [
            self._ask_rail(tenant, name, group) for name, group in by_rail.items()
        ]
        told = await asyncio.gather(*asks)
        # Where a second attempt is in doubt, nothing is put off.
        count = Counter(attempt.payment_id for attempt in attempts)
        return {
            payment_id: at
            for each in told
            for payment_id, at in each.items()
            if count[payment_id] == 1
        }

    async def _ask_rail(
        self, tenant: str, name: str, attempts: list[Attempt]
    ) -> dict[UUID, datetime]:
        asked_at = self._clock.now()
        try:
            reports = await self._rails[name].enquire(attempts)
        except BadMessage as error:
            reports = [
                RailReport(ReportKind.IN_DOUBT, name, a.reference, SILENCE, asked_at, error.detail)
                for a in attempts
            ]
        by_reference = {attempt.reference: attempt for attempt in attempts}
        lost: list[Attempt] = []
        words: list[RailReport] = []
        for report in reports:
            attempt = by_reference.get(report.reference)
            if attempt is None or report.code != NOT_FOUND:
                words.append(report)
                continue
            judgement = rules.judge_unknown(attempt, asked_at)
            if judgement is rules.Unknown.NEVER_HAPPENED:
                words.append(_never_received(report, asked_at))
            else:
                words.append(report)
                if judgement is rules.Unknown.SEND_AGAIN:
                    lost.append(attempt)
        await self._settle(tenant, words)
        await self._courier.carry(tenant, lost, again=True)
        return {
            by_reference[report.reference].payment_id: report.next_word_at
            for report in words
            if report.kind is ReportKind.ACCEPTED
            and report.next_word_at is not None
            and report.reference in by_reference
        }


def _never_received(report: RailReport, asked_at: datetime) -> RailReport:
    return msgspec.structs.replace(
        report,
        kind=ReportKind.REJECTED,
        code=NEVER_RECEIVED,
        at=asked_at,
        words="The network does not know the message and can no longer accept it.",
    )
