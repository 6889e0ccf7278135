"""Planted bugs: each is a small change of the engine, put in from outside. The simulator must
notice every one of them by a promise of its own; the stores run without their guards meanwhile.

A mutant that is not caught means that the simulator has gone blind, and fails the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.approvals.model import Ask, PolicyStep
from caiwutong.approvals.service import Approvals
from caiwutong.db.database import Tx
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.ids import derived
from caiwutong.ledger.model import Operation, Outcome, Post, Transfer
from caiwutong.ledger.rules import apply
from caiwutong.ledger.service import Ledger
from caiwutong.payments import courier, rules, settlement
from caiwutong.payments.courier import Courier
from caiwutong.payments.dispatch import Dispatch
from caiwutong.payments.failover import kept_route
from caiwutong.payments.intake import Intake
from caiwutong.payments.model import Answer, PaymentRow, Submission, Task
from caiwutong.payments.settlement import Applied, Settlement
from caiwutong.payments.states import TERMINAL, Effect, Event, State, Step, follow
from caiwutong.rails.contract import (
    SILENCE,
    Attempt,
    Concerning,
    Rail,
    RailMessage,
    RailReport,
    ReportKind,
    SentInDoubt,
)
from caiwutong.simulation.house import Parts
from caiwutong.simulation.run import run_seed

SEEDS_AT_MOST = 25
"""A mutant not caught within so many seeds counts as not caught."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """The engine with one bug in it."""

    parts: Parts
    breaks: str
    """The promise by which it must be found: another one, or a crash, does not count."""

    def planted(self) -> Parts:
        """The parts, over stores that have no guards of their own."""
        return replace(self.parts, trusting=True)


class Caught(msgspec.Struct, frozen=True):
    """How a mutant was found out, or not."""

    name: str
    caught: bool
    seed: int | None = None
    by: str = ""
    """The promise it breaks."""


# Settling the same report twice has effect.


def _follow_twice(state: State, event: Event) -> Step | None:
    if state is State.COMPLETED and event in (Event.NETTED, Event.SETTLED):
        return Step(state, (Effect.POST,))
    return follow(state, event)


def _post_twice(row: PaymentRow, now: datetime) -> Post | Transfer:
    transfer_id = derived(row.payment_id, f"post {now}")
    if row.completed_at is None:
        return Post(
            hold_id=row.payment_id, transfer_id=transfer_id, counter=row.counter_account_id,
            at=now, kind="payment", subject=row.payment_id,
        )  # fmt: skip
    return Transfer(
        transfer_id=transfer_id, debit=row.counter_account_id, credit=row.ledger_account_id,
        amount_fen=row.amount_fen, at=now, kind="payment", subject=row.payment_id, forced=True,
    )  # fmt: skip


# Silence is answered with another attempt under a new reference.


class _BlindResend(Courier):
    async def carry(self, tenant: str, attempts: Sequence[Attempt], *, again: bool = False) -> None:
        for attempt in attempts:
            rail = self._rails[attempt.rail]
            try:
                messages = rail.encode_many([attempt])
            except Exception:
                await super().carry(tenant, [attempt], again=again)
                continue
            await self._once_more(tenant, rail, attempt, messages[0])

    async def _once_more(
        self, tenant: str, rail: Rail, attempt: Attempt, message: RailMessage
    ) -> None:
        try:
            reports = rail.decode(await rail.send(message))
        except SentInDoubt:
            other = msgspec.structs.replace(attempt, reference=attempt.reference[:-1] + "x")
            await super().carry(tenant, [other])
        except Exception:
            return
        else:
            await self._settle(tenant, reports)


# Silence, or not knowing, taken for a no.


def _silence_is_no(
    rail: str, reference: str, code: str, at: datetime, words: str = ""
) -> RailReport:
    kind = ReportKind.REJECTED if code == SILENCE else ReportKind.IN_DOUBT
    return RailReport(kind, rail, reference, code, at, words)


def _unknown_is_no(attempt: Attempt, asked_at: datetime) -> rules.Unknown:
    return rules.Unknown.NEVER_HAPPENED


# The ledger reads a balance in one transaction and writes it in another.


class _StaleLedger(Ledger):
    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.read: dict[UUID, tuple[int, int]] = {}

    async def apply_many(
        self, tx: Tx, tenant: str, operations: Sequence[Operation]
    ) -> list[Outcome]:
        book = await self._store.load(tx, tenant, operations)
        for account_id, (posted, held) in self.read.items():
            if account_id in book.accounts:
                book.accounts[account_id].posted = posted
                book.accounts[account_id].held = held
        outcomes = apply(book, operations)
        await self._store.save(tx, tenant, book)
        return outcomes


class _ReadThenWrite(Intake):
    async def submit_many(
        self, tenant: str, submissions: Sequence[Submission], *, dry_run: bool = False
    ) -> list[Answer]:
        ledger = self._ledger
        assert isinstance(ledger, _StaleLedger)
        read: dict[UUID, tuple[int, int]] = {}
        async with self._database.transaction() as tx:
            ids = {s.order.bank_account_id for s in submissions}
            for account in (await self._accounts.find_many(tx, tenant, ids)).values():
                now = self._clock.now()
                balance = await ledger.balance(tx, tenant, account.ledger_account_id, now=now)
                read[balance.account_id] = balance.posted_fen, balance.held_fen
        ledger.read = read
        try:
            return await super().submit_many(tenant, submissions, dry_run=dry_run)
        finally:
            ledger.read = {}


# The attempt is sent before the transaction that writes it down has committed.


class _SendFirst(Dispatch):
    async def run_once(self, tenant: str, limit: int = 200) -> int:
        async with self._database.transaction() as tx:
            now = self._clock.now()
            lease = rules.next_ask(now, 0)
            work = await self._store.claim_work(tx, tenant, Task.DISPATCH, now, limit, lease)
        if not work:
            return 0
        async with self._database.transaction() as tx:
            attempts = await self._write_down(tx, tenant, work)
            sending = asyncio.ensure_future(self._courier.carry(tenant, attempts))
            await asyncio.sleep(0.1)
        await sending
        return len(work)


# A late report moves a payment out of its end.


def _no_end(state: State, event: Event) -> Step | None:
    if state in TERMINAL and event is not Event.RETURNED:
        return follow(State.CLEARING, event)
    return follow(state, event)


# A key answers for any content.


class _KeyOnly(Intake):
    async def _answer_known(self, tx: Tx, tenant: str, cases: list[Any]) -> list[tuple[Any, Any]]:
        known = await self._store.known_keys(tx, tenant, [case.key for case in cases])
        for case in cases:
            if case.key in known:
                case.digest = known[case.key].digest
        return await super()._answer_known(tx, tenant, cases)


# Whoever has a mandate may pay anything.


class _AnyMandate(Approvals):
    async def decide_many(
        self, tx: Tx, tenant: str, asks: Sequence[Ask], now: datetime
    ) -> list[UUID | Refusal]:
        decided = await super().decide_many(tx, tenant, asks, now)
        of_key = {m.terms.api_key_id: m.mandate_id for m in await self.mandates(tx, tenant)}
        return [
            of_key.get(ask.api_key_id, outcome) if isinstance(outcome, Refusal) else outcome
            for ask, outcome in zip(asks, decided, strict=True)
        ]


# One signature does where two people are needed.


class _OneIsEnough(Approvals):
    async def policy_steps(
        self, tx: Tx, tenant: str, kind: str = "payment"
    ) -> Sequence[PolicyStep]:
        return [PolicyStep(0, 1)]


# The rail is asked once a year; a return is noted and not booked; a rejection keeps the hold.


def _ask_next_year(now: datetime, tries: int, news_at: datetime | None = None) -> datetime:
    return now + timedelta(days=365)


def _without(effect: Effect) -> Callable[[State, Event], Step | None]:
    def follow_without(state: State, event: Event) -> Step | None:
        step = follow(state, event)
        if step is None:
            return None
        return msgspec.structs.replace(step, effects=tuple(e for e in step.effects if e != effect))

    return follow_without


# Silence is taken for a channel's no where another channel is left.


class _SwitchesInDoubt(Settlement):
    async def apply_in(self, tx: Tx, tenant: str, reports: Sequence[RailReport]) -> list[Applied]:
        attempts = await self._attempts(tx, tenant, reports)

        def misread(report: RailReport) -> RailReport:
            attempt = attempts.get((report.rail, report.reference))
            if attempt is None or report.code != SILENCE or not kept_route(attempt).alternatives:
                return report
            return msgspec.structs.replace(report, kind=ReportKind.REJECTED, code="RJ91")

        return await super().apply_in(tx, tenant, [misread(each) for each in reports])


# Asking for revocation is taken for getting it, though the payment is netted.


def _revoked_anyway(report: RailReport) -> RailReport:
    if report.concerning is not Concerning.REVOCATION:
        return report
    return msgspec.structs.replace(
        report, kind=ReportKind.REVOKED, concerning=Concerning.PAYMENT, code="PR08"
    )


class _RevokesNetted(Settlement):
    async def apply_in(self, tx: Tx, tenant: str, reports: Sequence[RailReport]) -> list[Applied]:
        return await super().apply_in(tx, tenant, [_revoked_anyway(each) for each in reports])


MUTANTS: dict[str, Mutant] = {
    "double_settle": Mutant(
        Parts(patches=((settlement, "follow", _follow_twice), (settlement, "_post", _post_twice))),
        "settled_once",
    ),
    "blind_resend": Mutant(Parts(courier=_BlindResend), "paid_once"),
    "timeout_is_failed": Mutant(
        Parts(patches=((courier, "silence", _silence_is_no),)), "the_end_is_the_banks"
    ),
    "unknown_is_failed": Mutant(
        Parts(patches=((rules, "judge_unknown", _unknown_is_no),)), "the_end_is_the_banks"
    ),
    "read_modify_write_balance": Mutant(
        Parts(intake=_ReadThenWrite, ledger=_StaleLedger), "balance_is_its_entries"
    ),
    "send_before_commit": Mutant(Parts(dispatch=_SendFirst), "paid_once"),
    "late_report_overwrites_terminal": Mutant(
        Parts(patches=((settlement, "follow", _no_end),)), "an_end_is_an_end"
    ),
    "key_without_content": Mutant(Parts(intake=_KeyOnly), "a_key_is_bound_to_content"),
    "mandate_not_checked": Mutant(Parts(approvals=_AnyMandate), "nobody_alone"),
    "one_signature_for_two": Mutant(Parts(approvals=_OneIsEnough), "nobody_alone"),
    "gives_up_early": Mutant(
        Parts(patches=((rules, "CERTAINTY", timedelta(minutes=-10)),)), "the_end_is_the_banks"
    ),
    "never_asks_again": Mutant(
        Parts(patches=((rules, "next_ask", _ask_next_year),)), "every_payment_ends"
    ),
    "return_not_booked": Mutant(
        Parts(patches=((settlement, "follow", _without(Effect.TAKE_BACK)),)), "returns_are_booked"
    ),
    "rejection_keeps_the_hold": Mutant(
        Parts(patches=((settlement, "follow", _without(Effect.RELEASE)),)), "held_while_alive"
    ),
    "switch_while_in_doubt": Mutant(Parts(settlement=_SwitchesInDoubt), "paid_once"),
    "netted_payment_revoked": Mutant(Parts(settlement=_RevokesNetted), "the_end_is_the_banks"),
}
"""Each planted bug by name."""


def hunt(name: str, first: int = 1, seeds: int | None = None) -> Caught:
    """Run a mutant until the promise it breaks is seen broken."""
    mutant = MUTANTS[name]
    for seed in range(first, first + (seeds or SEEDS_AT_MOST)):
        if any(v.name == mutant.breaks for v in run_seed(seed, mutant.planted()).violations):
            return Caught(name, True, seed, mutant.breaks)
    return Caught(name, False, None, mutant.breaks)
