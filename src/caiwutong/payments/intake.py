"""Intake: from well-formed orders to payments with a hold, in one transaction a batch.

Promises: a key answers with the same payment for ever, and only for the same content; the amount is
held before anyone answers; an order outside its caller's standing mandate waits for people. What is
refused is recorded, and changes nothing: its key stays free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.approvals.model import Ask, NewRequest, Subject
from caiwutong.approvals.rules import needed_people
from caiwutong.audit.model import Event
from caiwutong.bank_accounts.rules import account_index
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock, china_date, china_midnight
from caiwutong.kernel.errors import Conflict, Refusal
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.money import yuan
from caiwutong.kernel.order import Party
from caiwutong.ledger.model import Reserve
from caiwutong.ledger.service import Ledger
from caiwutong.payments import rules
from caiwutong.payments.events import happened
from caiwutong.payments.model import Answer, PaymentRow, Receipt, Submission, Task, Work
from caiwutong.payments.ports import (
    Accounts,
    CatalogOf,
    Consent,
    Log,
    OwnAccount,
    Seal,
    shipped_catalog,
)
from caiwutong.payments.states import State
from caiwutong.payments.store import PaymentStore
from caiwutong.routing.rules import choose

_party = msgspec.json.Encoder()

SUBJECT = "payment"
"""What people sign for, as ``approvals`` calls it."""

PAYEE_CLASS = "payee"
"""The vault's record class of payee fields."""


@dataclass(slots=True)
class _Case:
    """One submission on its way through the batch."""

    place: int
    submission: Submission
    payment_id: UUID
    key: bytes
    digest: bytes
    answer: Answer | None = None
    account: OwnAccount | None = None
    payee_index: bytes = b""
    authorised_by: str = ""
    needs: str = ""


class _DryRun(Exception):
    """Undoes a transaction whose answers are only wanted, not kept."""


class Intake:
    """Takes orders in.

    ``rails`` are the names of the connected rails, and ``connected_tenant`` is whose they are: an
    order of another tenant is refused, for nobody would send it. Empty: they are everybody's.
    """

    def __init__(
        self,
        *,
        database: Database,
        store: PaymentStore,
        ledger: Ledger,
        accounts: Accounts,
        consent: Consent,
        log: Log,
        seal: Seal,
        rails: Sequence[str],
        connected_tenant: str = "",
        catalog: CatalogOf = shipped_catalog,
        clock: Clock,
        ids: Ids,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._store = store
        self._ledger = ledger
        self._accounts = accounts
        self._consent = consent
        self._log = log
        self._seal = seal
        self._rails = frozenset(rails)
        self._connected_tenant = connected_tenant
        self._catalog = catalog
        self._clock = clock
        self._ids = ids
        self._wake = wake

    async def submit_many(
        self, tenant: str, submissions: Sequence[Submission], *, dry_run: bool = False
    ) -> list[Answer]:
        """One answer for each submission, in order: a receipt, or why not. With ``dry_run`` the
        same answers, and nothing is kept."""
        while True:
            cases = self._cases(submissions)
            try:
                async with self._database.transaction() as tx:
                    await self._decide(tx, tenant, cases)
                    if dry_run:
                        raise _DryRun
                    tx.after_commit(self._wake)
            except Conflict as conflict:
                # A key was bound by another connection between our look and our insert. The next
                # look sees it; keys are never unbound, so this ends.
                if conflict.code != "payment.key_raced":
                    raise
                continue
            except _DryRun:
                pass
            return [case.answer for case in cases if case.answer is not None]

    def _cases(self, submissions: Sequence[Submission]) -> list[_Case]:
        return [
            _Case(
                place,
                submission,
                self._ids.new(),
                rules.key_hash(submission.caller.bytes, submission.key),
                rules.order_digest(submission.order),
            )
            for place, submission in enumerate(submissions)
        ]

    async def _decide(self, tx: Tx, tenant: str, cases: list[_Case]) -> None:
        now = self._clock.now()
        repeats = await self._answer_known(tx, tenant, cases)
        await self._check(tx, tenant, cases, now)
        await self._hold(tx, tenant, cases, now)
        await self._authorise(tx, tenant, cases, now)
        await self._write(tx, tenant, cases, now)
        for case, first in repeats:
            case.answer = _again(case, first)

    async def _answer_known(
        self, tx: Tx, tenant: str, cases: list[_Case]
    ) -> list[tuple[_Case, _Case]]:
        """Answer keys that are bound already; give back the pairs that repeat inside the batch,
        to be answered once their first is."""
        known = await self._store.known_keys(tx, tenant, [case.key for case in cases])
        bound = [known[case.key].payment_id for case in cases if case.key in known]
        states = await self._store.states_of(tx, tenant, bound) if bound else {}
        first: dict[bytes, _Case] = {}
        repeats: list[tuple[_Case, _Case]] = []
        for case in cases:
            before = known.get(case.key)
            if before is not None:
                case.answer = (
                    Receipt(before.payment_id, states[before.payment_id][0], replayed=True)
                    if before.digest == case.digest
                    else _other_content(case.submission.key, before.payment_id)
                )
            elif case.key in first:
                case.answer = _PENDING
                repeats.append((case, first[case.key]))
            else:
                first[case.key] = case
        return repeats

    async def _check(self, tx: Tx, tenant: str, cases: list[_Case], now: datetime) -> None:
        """Form, own account, channel: whatever can be said before money is touched."""
        fresh = [case for case in cases if case.answer is None]
        for case in fresh:
            case.answer = rules.check_order(case.submission.order, case.submission.key, now)
        wanted = {c.submission.order.bank_account_id for c in fresh if c.answer is None}
        accounts = await self._accounts.find_many(tx, tenant, wanted)
        catalog = self._catalog(tenant)
        for case in fresh:
            if case.answer is not None:
                continue
            order = case.submission.order
            case.account = account = accounts.get(order.bank_account_id)
            refusal = rules.account_unfit(account, order.bank_account_id, order.currency)
            if refusal is not None or account is None:
                case.answer = refusal
                continue
            route = choose(
                account.access_modes,
                self._rails if self._connected_tenant in ("", tenant) else frozenset[str](),
                order.amount_fen,
                max(now, china_midnight(order.execute_on)) if order.execute_on else now,
                catalog,
                order.channel,
            )
            if isinstance(route, Refusal):
                case.answer = route

    async def _hold(self, tx: Tx, tenant: str, cases: list[_Case], now: datetime) -> None:
        fresh = [(c, c.account) for c in cases if c.answer is None and c.account is not None]
        outcomes = await self._ledger.reserve_many(
            tx,
            tenant,
            [
                Reserve(
                    hold_id=case.payment_id,
                    account=account.ledger_account_id,
                    amount_fen=case.submission.order.amount_fen,
                    currency=case.submission.order.currency,
                    at=now,
                    expires_at=rules.due_at(case.submission.order.execute_on, now)
                    + rules.HOLD_OUTLIVES,
                )
                for case, account in fresh
            ],
        )
        for (case, _), outcome in zip(fresh, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                case.answer = outcome

    async def _authorise(self, tx: Tx, tenant: str, cases: list[_Case], now: datetime) -> None:
        held = [case for case in cases if case.answer is None]
        if not held:
            return
        today = china_date(now)
        asks: list[Ask] = []
        for case in held:
            order = case.submission.order
            case.payee_index = account_index(self._seal, order.payee.account)
            asks.append(
                Ask(
                    case.submission.caller,
                    order.bank_account_id,
                    case.payee_index,
                    order.amount_fen,
                    today,
                )
            )
        decisions = await self._consent.decide_many(tx, tenant, asks, now)
        for case, decision in zip(held, decisions, strict=True):
            if isinstance(decision, Refusal):
                case.needs = decision.detail
            else:
                case.authorised_by = f"mandate:{decision}"

    async def _write(self, tx: Tx, tenant: str, cases: list[_Case], now: datetime) -> None:
        events: list[Event] = []
        rows: list[PaymentRow] = []
        keys: list[bytes] = []
        work: list[Work] = []
        for case in cases:
            if case.answer is None:
                row = self._row(case, now)
                rows.append(row)
                keys.append(case.key)
                events.append(_created(self._ids, tenant, case, row, now))
                if row.state is State.VALIDATED:
                    due = rules.due_at(row.execute_on, now)
                    work.append(rules.work_of(row, Task.DISPATCH, due))
                case.answer = Receipt(case.payment_id, row.state, needs=case.needs)
            elif isinstance(case.answer, Refusal) and case.answer is not _PENDING:
                events.append(_refused(self._ids, tenant, case, case.answer, now))
        await self._store.insert(tx, tenant, rows, keys, work)
        await self._ask_people(tx, tenant, rows, now)
        await self._log.append_many(tx, events)

    async def _ask_people(self, tx: Tx, tenant: str, rows: list[PaymentRow], now: datetime) -> None:
        waiting = [row for row in rows if row.state is State.AWAITING_SIGNATURES]
        if not waiting:
            return
        steps = await self._consent.policy_steps(tx, tenant)
        requests = [
            NewRequest(
                Subject(SUBJECT, row.payment_id, row.digest),
                needed_people(steps, row.amount_fen),
                row.caller,
            )
            for row in waiting
        ]
        await self._consent.request_many(tx, tenant, requests, now)

    def _row(self, case: _Case, now: datetime) -> PaymentRow:
        order, account = case.submission.order, case.account
        assert account is not None
        payee = order.payee
        state = State.VALIDATED if case.authorised_by else State.AWAITING_SIGNATURES
        return PaymentRow(
            payment_id=case.payment_id,
            direction=order.direction,
            bank_account_id=order.bank_account_id,
            ledger_account_id=account.ledger_account_id,
            counter_account_id=account.counter_account_id,
            amount_fen=order.amount_fen,
            currency=order.currency,
            priority=order.priority,
            execute_on=order.execute_on,
            channel=order.channel,
            payee_sealed=self._seal.seal(PAYEE_CLASS, _party.encode(payee), case.payment_id.bytes),
            payee_index=case.payee_index,
            payee_last4=payee.account[-4:],
            purpose=order.purpose,
            remark=order.remark,
            refs=order.references,
            caller=case.submission.caller,
            actor=case.submission.actor,
            key=case.submission.key,
            digest=case.digest,
            import_id=case.submission.import_id,
            created_at=now,
            state=state,
            state_at=now,
            authorised_by=case.authorised_by,
            reason_code="" if case.authorised_by else "payment.outside_mandate",
            reason=case.needs,
        )


_PENDING = Refusal("payment.pending", "Answered with the first of its key.")

_party_decoder = msgspec.json.Decoder(Party)


def open_payee(seal: Seal, row: PaymentRow) -> Party:
    """The payee of a kept payment, in clear."""
    return _party_decoder.decode(seal.open(PAYEE_CLASS, row.payee_sealed, row.payment_id.bytes))


def _other_content(key: str, payment_id: UUID) -> Refusal:
    return Refusal(
        "payment.key_reused",
        f"The idempotency key {key[:40]!r} belongs to payment {payment_id} with other content.",
        "Use a new key for a new payment; to repeat the old one, send exactly the same content.",
    )


def _again(case: _Case, first: _Case) -> Answer:
    """The answer for a key that came twice in one batch."""
    answer = first.answer
    if not isinstance(answer, Receipt):
        return answer or _PENDING
    if case.digest != first.digest:
        return _other_content(case.submission.key, answer.payment_id)
    return msgspec.structs.replace(answer, replayed=True)


def _created(ids: Ids, tenant: str, case: _Case, row: PaymentRow, now: datetime) -> Event:
    body: dict[str, Any] = {
        "states": [State.CREATED.value, row.state.value],
        "direction": row.direction.value,
        "bank_account_id": str(row.bank_account_id),
        "amount_fen": row.amount_fen,
        "currency": row.currency,
        "payee_last4": row.payee_last4,
        "digest": row.digest.hex(),
        "key": row.key,
        "authorised_by": row.authorised_by,
    }
    if case.needs:
        body["needs"] = case.needs
    if row.execute_on is not None:
        body["execute_on"] = row.execute_on.isoformat()
    return happened(
        ids, tenant, "payment.created", row.payment_id, actor=row.actor, at=now, body=body
    )


def _refused(ids: Ids, tenant: str, case: _Case, refusal: Refusal, now: datetime) -> Event:
    order = case.submission.order
    return happened(
        ids,
        tenant,
        "payment.refused",
        case.payment_id,
        subject_kind="submission",
        actor=case.submission.actor,
        at=now,
        body={
            "code": refusal.code,
            "detail": refusal.detail,
            "key": case.submission.key[:128],
            "amount": yuan(order.amount_fen),
            "payee_last4": order.payee.account[-4:],
        },
    )
