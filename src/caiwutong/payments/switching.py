"""Switching (换渠道): leaving an attempt that is in doubt, which two people together may decide.

Silence alone never opens another way out: the first attempt may have paid. Where a network can no
longer accept the message and still cannot say what became of it, two different people may sign for
the risk, bound to this payment, this attempt and its reference. Then another channel is tried under
the same hold; the rail of the first is asked on, and should it say yes after all, people are
alarmed and nothing is posted twice. Read next: ``failover``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.approvals.model import NewRequest, Subject
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import CHINA, Clock
from caiwutong.kernel.errors import Conflict, NotFound, Refusal, Refused
from caiwutong.kernel.ids import Ids
from caiwutong.payments import failover, rules
from caiwutong.payments.events import happened
from caiwutong.payments.model import SWITCH, SWITCHED, AttemptRow, PaymentRow, Task
from caiwutong.payments.ports import Accounts, Consent, Log
from caiwutong.payments.routes import Router, Wanted
from caiwutong.payments.states import Event, follow
from caiwutong.payments.store import PaymentStore

SIGNERS = 2
"""So many different people decide it; whoever asks for it is not one of them."""


class Switching:
    """Takes the wish to leave an attempt, and carries out what people decided."""

    def __init__(
        self,
        *,
        database: Database,
        store: PaymentStore,
        accounts: Accounts,
        consent: Consent,
        router: Router,
        log: Log,
        clock: Clock,
        ids: Ids,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._store = store
        self._accounts = accounts
        self._consent = consent
        self._router = router
        self._log = log
        self._clock = clock
        self._ids = ids
        self._wake = wake

    async def ask(
        self,
        tenant: str,
        payment_id: UUID,
        reason: str,
        maker: UUID,
        actor: str,
        *,
        dry_run: bool = False,
    ) -> Subject:
        """Ask two people to sign for leaving the payment's open attempt; what they sign. Asking
        again changes nothing. Raises Conflict where it may not be left (yet), NotFound."""
        async with self._database.transaction() as tx:
            row, attempt = await self._checked(tx, tenant, payment_id)
            await self._another_way(tx, tenant, row)
            subject = subject_of(row, attempt)
            if dry_run:
                return subject
            now = self._clock.now()
            await self._consent.request_many(tx, tenant, [NewRequest(subject, SIGNERS, maker)], now)
            facts = self._facts(row, attempt) | {"reason": reason}
            await self._tell(tx, tenant, "payment.switch_requested", row, actor, facts)
        return subject

    async def subject(self, tenant: str, payment_id: UUID) -> Subject:
        """What people sign to leave the payment's newest attempt, whether or not it may be left
        now. Raises NotFound."""
        async with self._database.transaction() as tx:
            row = await self._store.get(tx, tenant, payment_id)
            attempts = (await self._store.attempts_of(tx, tenant, [payment_id]))[payment_id]
        if row is None or not attempts:
            raise _nothing(payment_id)
        return subject_of(row, attempts[-1])

    async def decided(self, tx: Tx, tenant: str, subject: Subject) -> None:
        """Two people signed: leave the attempt, and let the payment go another way. Called inside
        the transaction of the last signature; raises Conflict when the rail spoke meanwhile."""
        payment_id = await self._store.payment_of(tx, tenant, subject.id)
        if payment_id is None:
            raise _nothing(subject.id)
        row, attempt = await self._checked(tx, tenant, payment_id)
        if subject_of(row, attempt) != subject:
            raise Conflict(
                "payment.other_attempt",
                "The signatures are bound to another attempt than the one that is open.",
                "Look at the payment's timeline, and sign for the attempt that is in doubt.",
            )
        step = follow(row.state, Event.SWITCH)
        assert step is not None
        signers = await self._consent.signers(tx, tenant, SWITCH, subject.id)
        names = ", ".join(name for _, name in signers)
        now = self._clock.now()
        left = msgspec.structs.replace(attempt, outcome=SWITCHED, code=SWITCHED, closed_at=now)
        await self._store.close_attempts(tx, tenant, [left])
        row.state, row.state_at, row.version = step.to, now, row.version + 1
        row.reason_code, row.reason = SWITCHED, f"Left in doubt by {names}."
        await self._store.save(tx, tenant, [row])
        await self._store.put_work(tx, tenant, [rules.work_of(row, Task.DISPATCH, now)])
        facts = self._facts(row, attempt) | {
            "signed_by": [{"person_id": person, "name": name} for person, name in signers]
        }
        await self._tell(tx, tenant, "payment.switched", row, f"people:{names}", facts)
        tx.after_commit(self._wake)

    async def _checked(
        self, tx: Tx, tenant: str, payment_id: UUID
    ) -> tuple[PaymentRow, AttemptRow]:
        row = (await self._store.lock(tx, tenant, [payment_id])).get(payment_id)
        attempts = (await self._store.attempts_of(tx, tenant, [payment_id]))[payment_id]
        if row is None or not attempts:
            raise _nothing(payment_id)
        attempt = attempts[-1]
        if attempt.outcome or follow(row.state, Event.SWITCH) is None:
            raise Conflict(
                "payment.not_in_doubt",
                f"Payment {payment_id} is {row.state.value}; its channel is not left.",
                "Only an attempt that is in doubt may be left. What the rail works on, or has "
                "answered, goes its way.",
            )
        self._check_time(attempt, self._clock.now())
        return row, attempt

    @staticmethod
    def _check_time(attempt: AttemptRow, now: datetime) -> None:
        if now <= attempt.valid_until:
            at = attempt.valid_until.astimezone(CHINA)
            raise Conflict(
                "payment.still_valid",
                f"The network may still accept {attempt.reference} until {at:%Y-%m-%d %H:%M:%S} "
                "in China.",
                "Wait until then; the rail is asked meanwhile. Two ways at once could pay twice.",
            )

    async def _another_way(self, tx: Tx, tenant: str, row: PaymentRow) -> None:
        attempts = (await self._store.attempts_of(tx, tenant, [row.payment_id]))[row.payment_id]
        accounts = await self._accounts.find_many(tx, tenant, [row.bank_account_id])
        account = accounts.get(row.bank_account_id)
        unfit = rules.account_unfit(account, row.bank_account_id, row.currency)
        if account is None or unfit is not None:
            raise (
                Refused(unfit.code, unfit.detail, unfit.cure) if unfit else _nothing(row.payment_id)
            )
        wanted = Wanted(row, account, failover.tried(attempts))
        (way,) = await self._router.decide_many(tx, tenant, [wanted], self._clock.now())
        if len(attempts) >= failover.MOST_ATTEMPTS or isinstance(way, Refusal):
            words = way.detail if isinstance(way, Refusal) else "It was tried often enough."
            raise Conflict(
                "payment.no_other_channel",
                f"There is no other channel to take. {words}",
                "Ask the rail, or its operator, what became of the payment.",
            )

    @staticmethod
    def _facts(row: PaymentRow, attempt: AttemptRow) -> dict[str, Any]:
        return {
            "state": row.state.value,
            "attempt": attempt.number,
            "attempt_id": str(attempt.attempt_id),
            "rail": attempt.rail,
            "reference": attempt.reference,
            "digest": switch_digest(row, attempt).hex(),
        }

    async def _tell(
        self, tx: Tx, tenant: str, kind: str, row: PaymentRow, actor: str, facts: dict[str, Any]
    ) -> None:
        event = happened(
            self._ids,
            tenant,
            kind,
            row.payment_id,
            actor=actor,
            at=self._clock.now(),
            body=facts,
        )
        await self._log.append_many(tx, [event])


def switch_digest(row: PaymentRow, attempt: AttemptRow) -> bytes:
    """The 32 bytes people sign for: SHA-256 over the order's digest, the payment, the attempt, and
    what its rail calls it."""
    name = f"{attempt.rail}/{attempt.reference}".encode()
    parts = b"caiwutong-switch-v1", row.digest, row.payment_id.bytes, attempt.attempt_id.bytes, name
    return hashlib.sha256(b"".join(parts)).digest()


def subject_of(row: PaymentRow, attempt: AttemptRow) -> Subject:
    """What people sign to leave this attempt."""
    return Subject(SWITCH, attempt.attempt_id, switch_digest(row, attempt))


def _nothing(thing: UUID) -> NotFound:
    return NotFound(
        "payment.no_attempt",
        f"Payment {thing} has not left the house.",
        "Cancel it instead.",
    )
