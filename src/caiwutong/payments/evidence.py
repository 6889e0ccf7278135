"""Evidence: what the banks' statements say about our payments.

A payment that completed is in our books already; its debit line is only matched to it. The bank's
re-credit of a payment that came to nothing pairs with that debit, and neither needs an entry: our
hold was released. A return (退汇) is handed to settlement, which knows whether the rail has told it
before. Money that comes in under a reference of our own group is booked against the payer's
payables, where the payment left it. Everything else under a reference goes to suspense, in sight.

A debit line is no irrevocable word (on IBPS it stands before netting), so it changes no state; a
payment in doubt is asked about at once. ``judge`` is pure; ``Evidence`` carries it out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from caiwutong.bank_accounts.model import BankAccount
from caiwutong.bank_accounts.rules import BlindIndex, account_index
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.ids import derived
from caiwutong.ledger.model import Transfer
from caiwutong.payments.model import AttemptRow, PaymentRow, Task, Work
from caiwutong.payments.settlement import Settlement
from caiwutong.payments.states import AT_THE_RAIL, State
from caiwutong.payments.store import PaymentStore
from caiwutong.rails.contract import RailReport, ReportKind
from caiwutong.statements.model import Explained, LineRow, Match
from caiwutong.statements.service import Statements

STATEMENT = "statement"
"""Report code of our own: the statement shows it."""

_MATCH_AT_ONCE = 500


class Accounts(Protocol):
    """Finds our bank accounts."""

    async def find_many(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> Mapping[UUID, BankAccount]: ...


class Case(msgspec.Struct, frozen=True):
    """All that is known about one line when it is judged."""

    line: LineRow
    account: BankAccount
    payment: PaymentRow | None
    under: Sequence[LineRow]
    """All lines of the account under the same reference, this one too, as they stand now."""
    payee_is_us: bool = False
    """The payment's payee is the account of this line."""
    settled: bool = True
    """A return has been handed to settlement."""


class Evidence:
    """Matches statement lines to payments."""

    def __init__(
        self,
        *,
        database: Database,
        store: PaymentStore,
        statements: Statements,
        settlement: Settlement,
        accounts: Accounts,
        seal: BlindIndex,
        rails: Iterable[str],
        clock: Clock,
    ) -> None:
        self._database = database
        self._store = store
        self._statements = statements
        self._settlement = settlement
        self._accounts = accounts
        self._seal = seal
        self._rails = tuple(rails)
        self._clock = clock

    async def run_once(self, tenant: str, limit: int = _MATCH_AT_ONCE) -> int:
        """Look at up to ``limit`` lines that are due; how many were looked at."""
        told = await self._tell_returns(tenant, limit)
        async with self._database.transaction() as tx:
            lines = await self._statements.unmatched(tx, tenant, limit)
            if lines:
                await self._match(tx, tenant, lines, told)
        return len(lines)

    async def _tell_returns(self, tenant: str, limit: int) -> set[tuple[UUID, str]]:
        """Hand the returns among the due lines to settlement, in a transaction of its own: it
        takes the ledger's locks its own way. Which lines were told."""
        async with self._database.transaction() as tx:
            due = await self._statements.unmatched(tx, tenant, limit)
            lines = [line for line in due if line.kind == "return" and line.amount_fen > 0]
            attempts = await self._attempts(tx, tenant, {line.reference for line in lines})
        reports = [
            RailReport(
                ReportKind.RETURNED,
                attempts[line.reference].rail,
                line.reference,
                STATEMENT,
                line.booked_at,
                line.words,
                amount_fen=line.amount_fen,
                message_id=line.line_id,
            )
            for line in lines
            if line.reference in attempts
        ]
        await self._settlement.apply_many(tenant, reports)
        return {(line.bank_account_id, line.line_id) for line in lines}

    async def _match(
        self,
        tx: Tx,
        tenant: str,
        lines: Sequence[LineRow],
        told: Collection[tuple[UUID, str]],
    ) -> None:
        now = self._clock.now()
        attempts = await self._attempts(tx, tenant, {line.reference for line in lines})
        payments = await self._store.lock(
            tx, tenant, {attempt.payment_id for attempt in attempts.values()}
        )
        accounts = await self._accounts.find_many(
            tx, tenant, {line.bank_account_id for line in lines}
        )
        under = await self._statements.under(
            tx, tenant, {(line.bank_account_id, line.reference) for line in lines}
        )
        matches = await self._let_go(tx, tenant, payments)
        ask: dict[UUID, Work] = {}
        for line in lines:
            if (line.bank_account_id, line.line_id) in matches:
                continue  # Let go, or paired with a line that was looked at before it.
            attempt = attempts.get(line.reference)
            payment = None if attempt is None else payments[attempt.payment_id]
            account = accounts[line.bank_account_id]
            case = Case(
                line,
                account,
                payment,
                [_now(row, matches) for row in under[(line.bank_account_id, line.reference)]],
                payment is not None
                and payment.payee_index == account_index(self._seal, account.account),
                (line.bank_account_id, line.line_id) in told,
            )
            for match in judge(case, now):
                matches[(match.line.bank_account_id, match.line.line_id)] = match
            if payment is not None and line.tries == 0 and payment.state is State.IN_DOUBT:
                ask[payment.payment_id] = Work(payment.payment_id, Task.ENQUIRE, now)
        await self._statements.match_many(tx, tenant, list(matches.values()))
        await self._store.put_work(tx, tenant, [ask[i] for i in sorted(ask)])

    async def _let_go(
        self, tx: Tx, tenant: str, payments: Mapping[UUID, PaymentRow]
    ) -> dict[tuple[UUID, str], Match]:
        """A payment that went another way: what was taken for an earlier attempt does not stand
        for its transfer any more. Those lines stay open until the bank gives the money back."""
        again = {i: row for i, row in payments.items() if row.attempts > 1}
        if not again:
            return {}
        attempts = await self._store.attempts_of(tx, tenant, list(again))
        under = await self._statements.under(
            tx,
            tenant,
            {
                (again[payment_id].bank_account_id, attempt.reference)
                for payment_id, tries in attempts.items()
                for attempt in tries
                if attempt.reference != again[payment_id].reference
            },
        )
        posts = {derived(payment_id, "post"): payment_id for payment_id in again}
        return {
            (line.bank_account_id, line.line_id): Match(
                line=line,
                explained_by=Explained.PAYMENT,
                payment_id=posts[line.transfer_id],
                again=True,
            )
            for lines in under.values()
            for line in lines
            if line.open and line.transfer_id is not None and line.transfer_id in posts
        }

    async def _attempts(
        self, tx: Tx, tenant: str, references: Collection[str]
    ) -> dict[str, AttemptRow]:
        found: dict[str, AttemptRow] = {}
        for rail in self._rails if references else ():
            found |= await self._store.attempts_by_reference(tx, tenant, rail, references)
        return found


def judge(case: Case, now: datetime) -> list[Match]:
    """What explains this line: one match, or two where it pairs with another line."""
    line, payment = case.line, case.payment
    if payment is None:
        return [_suspense(case, "no payment of ours has this reference")]
    own = payment.bank_account_id == line.bank_account_id
    if own and line.amount_fen < 0:
        return [_debit(case, payment)]
    if own and line.kind == "return":
        return _return(case, payment)
    if own:
        return _taken_back(case, payment)
    if line.kind == "incoming":
        return [_incoming(case, payment, now)]
    return [_suspense(case, "a reference of ours on an account that is no part of the payment")]


def _debit(case: Case, payment: PaymentRow) -> Match:
    """The bank has taken the money of a payment. Open until the payment completes, or until the
    bank gives it back."""
    line = case.line
    if line.amount_fen != -payment.amount_fen:
        return _suspense(case, f"the payment is for {payment.amount_fen} fen")
    # A later attempt's post is not what an earlier attempt's debit stands for.
    latest = line.reference == payment.reference
    post = derived(payment.payment_id, "post")
    if latest and _stands(case, post):
        return _suspense(case, "the bank has taken this payment before")
    done = latest and payment.completed_at is not None
    return Match(
        line=line,
        explained_by=Explained.PAYMENT,
        payment_id=payment.payment_id,
        transfer_id=post if latest else None,
        again=not done,
    )


def _return(case: Case, payment: PaymentRow) -> list[Match]:
    """退汇: booked by settlement, once; otherwise the money of a payment that came to nothing."""
    line = case.line
    back = derived(payment.payment_id, "return")
    # Of another attempt's return settlement has made no entry: it pairs with that one's debit.
    latest = line.reference == payment.reference
    told = latest and payment.returned_at is not None and line.amount_fen == payment.amount_fen
    if told and not _stands(case, back):
        return [
            Match(
                line=line,
                explained_by=Explained.RETURN,
                payment_id=payment.payment_id,
                transfer_id=back,
            )
        ]
    if not case.settled:
        return [Match(line=line, explained_by=line.explained_by, again=True)]
    return _taken_back(case, payment)


def _taken_back(case: Case, payment: PaymentRow) -> list[Match]:
    """The bank gives back what it took: both lines explain each other, and our books, whose hold
    is or will be released, need no entry."""
    line = case.line
    for debit in case.under:
        completed = payment.completed_at is not None and line.reference == payment.reference
        if (
            debit.open
            and debit.amount_fen == -line.amount_fen
            and debit.position < line.position
            and not completed
        ):
            return [
                Match(
                    line=row,
                    explained_by=Explained.CORRECTION,
                    payment_id=payment.payment_id,
                )
                for row in (debit, line)
            ]
    return [_suspense(case, "it takes back what no open debit of ours stands for")]


def _incoming(case: Case, payment: PaymentRow, now: datetime) -> Match:
    """The other end of a payment inside the group: what the payer's payables owe is paid here."""
    line = case.line
    inflow = derived(payment.payment_id, "inflow")
    if (
        not case.payee_is_us
        or line.amount_fen != payment.amount_fen
        or payment.state not in AT_THE_RAIL | {State.COMPLETED, State.AWAITING_BANK_PAGE}
        or _stands(case, inflow)
    ):
        return _suspense(case, "our reference, but not our payment to this account")
    return Match(
        line=line,
        explained_by=Explained.INTERNAL,
        payment_id=payment.payment_id,
        transfer_id=inflow,
        book=Transfer(
            transfer_id=inflow,
            debit=case.account.ledger_account_id,
            credit=payment.counter_account_id,
            amount_fen=payment.amount_fen,
            currency=payment.currency,
            at=now,
            kind="internal_inflow",
            subject=payment.payment_id,
            forced=True,
        ),
    )


def _suspense(case: Case, why: str) -> Match:
    payment_id = None if case.payment is None else case.payment.payment_id
    return Match(line=case.line, explained_by=Explained.SUSPENSE, payment_id=payment_id, why=why)


def _stands(case: Case, transfer_id: UUID) -> bool:
    """Whether another line stands for this transfer already."""
    return any(
        row.transfer_id == transfer_id and row.line_id != case.line.line_id for row in case.under
    )


def _now(row: LineRow, matches: Mapping[tuple[UUID, str], Match]) -> LineRow:
    """The line as it stands after what this run has decided so far."""
    match = matches.get((row.bank_account_id, row.line_id))
    if match is None:
        return row
    return msgspec.structs.replace(
        row,
        explained_by=match.explained_by,
        payment_id=match.payment_id,
        transfer_id=match.transfer_id,
        due_at=row.due_at if match.again else None,
    )
