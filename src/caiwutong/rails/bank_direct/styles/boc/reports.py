"""Messages → the contract's words: reports, balances, statement lines.

Translates, never decides. The status of an order just sent is *received* at best, whatever it says
of success; only the answer to a question, or a notice, can say *paid*. Codes we do not know, and
answers about another payment than the one meant, are doubt. Pure; raises BadMessage where a field
cannot mean what it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from caiwutong.rails.bank_direct.contract import NAME
from caiwutong.rails.bank_direct.fields import day_of, fen, instant
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc import profile
from caiwutong.rails.bank_direct.styles.boc.codec import Document
from caiwutong.rails.bank_direct.words import bad, doubt
from caiwutong.rails.contract import (
    NOT_FOUND,
    Attempt,
    BankBalance,
    RailReport,
    ReportKind,
    StatementLine,
)

NOT_ANSWERED = "not_answered"
"""Report code: the bank's answer does not speak of this payment."""
OTHER_PAYMENT = "other_payment"
"""Report code: under our reference the bank has another amount or account. A person must look."""
SEVERAL_RECORDS = "several_records"
"""Report code: the bank knows one reference more than once. A person must look."""

_JUST_SENT = {
    profile.OK: ReportKind.ACCEPTED,
    profile.CAME_BACK: ReportKind.ACCEPTED,
    profile.STALE: ReportKind.IN_DOUBT,
}
"""Where the status of an order just sent means less than the answer to a question."""

# ---- payments


def reports_of_pay(document: Document, references: Sequence[str]) -> list[RailReport]:
    """What the immediate answer says of each order that was sent, in order."""
    body = document.body
    if isinstance(body, m.ErrorAnswer) or (
        isinstance(body, m.PayAnswer) and body.status.code != profile.OK
    ):
        at = instant(body.at)
        words = body.status.words
        return [doubt(each, body.status.code, at, words) for each in references]
    if not isinstance(body, m.PayAnswer):
        raise bad("other_answer", "The answer is not one to a payment.")
    return [_of_order(body, each, document.head.message_id) for each in references]


def _of_order(body: m.PayAnswer, reference: str, message_id: str) -> RailReport:
    at = instant(body.at)
    found = [each for each in body.orders if each.reference == reference]
    if len(found) != 1:
        return doubt(reference, SEVERAL_RECORDS if found else NOT_ANSWERED, at)
    meaning = profile.meaning_of(found[0].status.code)
    # B001 here says that the order was taken; whether it was paid is asked for (b2e0007). And an
    # order that came too late says nothing of an earlier copy of it.
    kind = _JUST_SENT.get(found[0].status.code, meaning.kind)
    return RailReport(
        kind=kind,
        rail=NAME,
        reference=reference,
        code=found[0].status.code,
        at=at,
        words=found[0].status.words or meaning.zh,
        message_id=message_id,
        bank_reference=found[0].bank_reference,
    )


def report_of_status(document: Document, attempt: Attempt) -> RailReport:
    """What the answer to a question says of this attempt."""
    body = document.body
    if isinstance(body, m.ErrorAnswer) or not isinstance(body, m.StatusAnswer):
        return _not_told(document, attempt.reference)
    at = instant(body.at)
    if body.status.code != profile.OK:
        return doubt(attempt.reference, body.status.code, at, body.status.words)
    found = [each for each in body.payments if each.reference == attempt.reference]
    if len(found) != 1:
        return doubt(attempt.reference, SEVERAL_RECORDS if found else NOT_ANSWERED, at)
    status = found[0]
    if status.status.code == profile.UNKNOWN:
        return doubt(attempt.reference, NOT_FOUND, at, status.status.words)
    if not _is(status, attempt):
        words = "The bank has another amount or account under this reference."
        return doubt(attempt.reference, OTHER_PAYMENT, at, words)
    return _of_payment(status, at, document.head.message_id)


def reports_of_notice(document: Document) -> list[RailReport]:
    """Every report in a notice."""
    body = document.body
    if not isinstance(body, m.StatusNotice):
        raise bad("unknown_notice", "The message is not a notice of this style.")
    at, message_id = instant(body.at), document.head.message_id
    return [_of_payment(each, at, message_id) for each in body.payments]


def _not_told(document: Document, reference: str) -> RailReport:
    body = document.body
    if not isinstance(body, m.ErrorAnswer):
        raise bad("other_answer", "The answer is not one to this question.")
    return doubt(reference, body.status.code, instant(body.at), body.status.words)


def _is(status: m.PaymentStatus, attempt: Attempt) -> bool:
    """Whether what the bank tells is the payment we mean; what it leaves out is not held against
    it."""
    return (
        (not status.amount or fen(status.amount) == attempt.amount_fen)
        and status.payer_account in ("", attempt.payer.account)
        and status.payee_account in ("", attempt.payee.account)
    )


def _of_payment(status: m.PaymentStatus, at: datetime, message_id: str) -> RailReport:
    meaning = profile.meaning_of(status.status.code)
    return RailReport(
        kind=meaning.kind,
        rail=NAME,
        reference=status.reference,
        code=status.status.code,
        at=at,
        words=status.status.words or meaning.zh,
        amount_fen=fen(status.amount) if status.amount else None,
        message_id=message_id,
        bank_reference=status.bank_reference,
    )


# ---- accounts


def balances_of(body: m.BalancesAnswer, asked: Sequence[str]) -> list[BankBalance]:
    """The balances of the accounts asked for; one the bank does not answer for is left out."""
    return [
        BankBalance(
            row.account.account,
            fen(row.balance.booked),
            fen(row.balance.available),
            instant(body.at),
        )
        for row in body.balances
        if row.status.code == profile.OK
        and row.balance is not None
        and row.account.account in asked
        and row.account.currency in ("", profile.BOC_B2E.currency)
    ]


def lines_of(body: m.StatementAnswer, account: str) -> tuple[StatementLine, ...]:
    """The lines of a page, in the bank's order."""
    return tuple(_line(entry, account) for entry in body.entries)


def _line(entry: m.Entry, account: str) -> StatementLine:
    amount = fen(entry.amount)
    signed = -amount if entry.direction == profile.OUT else amount
    return StatementLine(
        account=account,
        line_id=entry.line_id,
        booked_at=instant(entry.day + entry.time),
        value_date=day_of(entry.value_day or entry.day),
        amount_fen=signed,
        balance_after_fen=fen(entry.balance_after),
        kind=_kind(entry, signed),
        reference=entry.reference,
        counterparty_name=entry.counterparty.name,
        counterparty_account=entry.counterparty.account,
        words=entry.words,
    )


def _kind(entry: m.Entry, signed: int) -> str:
    known = profile.LINE_KINDS.get(entry.kind)
    if known is not None:
        return known
    if entry.reference:
        # Money in under our own reference is our payment come back (退汇).
        return "payment" if signed < 0 else "return"
    return "incoming" if signed > 0 else "other"
