"""Messages → the contract's words: reports, balances, statement lines.

Translates, never decides. The bank's yes to a payment is acceptance, whatever it says, within the
bank as well as to another: only 4005 says how it ended, and there only Stt counts. Pure; raises
BadMessage where a field cannot mean what it should.
"""

from __future__ import annotations

from collections.abc import Sequence

from caiwutong.rails.bank_direct.contract import NAME
from caiwutong.rails.bank_direct.fields import day_of, fen, instant
from caiwutong.rails.bank_direct.styles.pab import messages as m
from caiwutong.rails.bank_direct.styles.pab import profile
from caiwutong.rails.bank_direct.styles.pab.codec import Frame
from caiwutong.rails.bank_direct.styles.pab.voucher import reference_of, voucher_of
from caiwutong.rails.bank_direct.words import bad, doubt
from caiwutong.rails.contract import (
    NOT_FOUND,
    Attempt,
    BadMessage,
    BankBalance,
    RailReport,
    ReportKind,
    StatementLine,
)

OTHER_PAYMENT = "other_payment"
"""Report code: under our voucher the bank has another amount or account. A person must look."""


# ---- payments


def reports_of_pay(frame: Frame, references: Sequence[str]) -> list[RailReport]:
    """What the immediate answer says of each payment that was sent, in order."""
    head, body = frame.head, frame.body
    if head.function not in (profile.PAY, profile.BATCH):
        raise bad("other_answer", "The answer is not one to a payment.")
    if head.code == profile.DUPLICATE:
        # What has this number lives, and only we write our numbers: it is this payment, or a batch
        # of exactly these. Should it be another's after all, the question that follows finds other
        # accounts in it.
        return [_accepted(frame, each) for each in references]
    if body is None:
        return [doubt(each, head.code, head.at, head.words) for each in references]
    if isinstance(body, m.PayAnswer):
        if [reference_of(body.voucher)] != list(references):
            raise bad("other_answer", "The answer belongs to another payment.")
        meaning = profile.meaning_of(body.state) if body.state else None
        words = meaning.zh if meaning else head.words
        code = f"STT/{body.state}" if body.state else head.code
        return [_accepted(frame, references[0], code, words, body.bank_reference)]
    return [_accepted(frame, each) for each in references]


def report_of_status(frame: Frame, attempt: Attempt) -> RailReport:
    """What the answer to a question says of this attempt."""
    head, body = frame.head, frame.body
    if head.code == profile.NO_RECORD:
        return doubt(attempt.reference, NOT_FOUND, head.at, head.words)
    if body is None:
        return doubt(attempt.reference, head.code, head.at, head.words)
    if not isinstance(body, m.StatusAnswer) or body.voucher != voucher_of(attempt.reference):
        raise bad("other_answer", "The answer is not one to this question.")
    if not _is(body, attempt):
        words = "The bank has another amount or account under this voucher number."
        return doubt(attempt.reference, OTHER_PAYMENT, head.at, words)
    return _of_status(body, frame, attempt.reference)


def _accepted(
    frame: Frame, reference: str, code: str = "", words: str = "", bank_reference: str = ""
) -> RailReport:
    return RailReport(
        kind=ReportKind.ACCEPTED,
        rail=NAME,
        reference=reference,
        code=code or frame.head.code,
        at=frame.head.at,
        words=words or frame.head.words,
        message_id=frame.head.message_id,
        bank_reference=bank_reference,
    )


def _is(body: m.StatusAnswer, attempt: Attempt) -> bool:
    """Whether what the bank tells is the payment we mean."""
    return (
        fen(body.amount) == attempt.amount_fen
        and body.payer_account == attempt.payer.account
        and body.payee_account == attempt.payee.account
    )


def _of_status(body: m.StatusAnswer, frame: Frame, reference: str) -> RailReport:
    meaning = profile.meaning_of(body.state)
    kind, code = meaning.kind, f"STT/{body.state}"
    if body.returned == "1":
        paid = body.state == profile.DONE
        kind = ReportKind.RETURNED if paid else ReportKind.IN_DOUBT
        code = f"{code}/BACK"
    return RailReport(
        kind=kind,
        rail=NAME,
        reference=reference,
        code=code,
        at=frame.head.at,
        words=body.reason or body.result.partition(":")[2] or meaning.zh,
        amount_fen=fen(body.amount),
        message_id=frame.head.message_id,
        bank_reference=body.bank_reference,
    )


# ---- accounts


def balance_of(frame: Frame, account: str) -> BankBalance | None:
    """The balance in an answer, or None where the bank does not answer for the account."""
    body = frame.body
    if body is None:
        return None
    if not isinstance(body, m.BalanceAnswer) or body.account != account:
        raise bad("other_answer", "The answer is not one to this question.")
    if body.currency != profile.PAB_DIRECT.currency:
        return None
    return BankBalance(account, fen(body.booked), fen(body.available), frame.head.at)


def lines_of(body: m.StatementAnswer, account: str) -> tuple[StatementLine, ...]:
    """The lines of a page, in the bank's order."""
    return tuple(_line(entry, account) for entry in body.entries)


def _line(entry: m.Entry, account: str) -> StatementLine:
    amount = fen(entry.amount)
    out = entry.side == profile.OUT
    signed = -amount if out else amount
    other = (entry.payee_name, entry.payee_account) if out else ("", "")
    if not out:
        other = (entry.payer_name, entry.payer_account)
    reference = _reference(entry.own_number)
    return StatementLine(
        account=account,
        line_id=entry.line_id,
        booked_at=instant(entry.day + entry.time),
        value_date=day_of(entry.day),
        amount_fen=signed,
        balance_after_fen=fen(entry.balance_after),
        kind=_kind(entry, signed, reference),
        reference=reference,
        counterparty_name=other[0],
        counterparty_account=other[1],
        words=entry.words,
    )


def _reference(own_number: str) -> str:
    """Our reference, where the line bears one of our vouchers: payers elsewhere write what they
    like there."""
    try:
        return reference_of(own_number) if own_number else ""
    except BadMessage:
        return ""


def _kind(entry: m.Entry, signed: int, reference: str) -> str:
    known = profile.LINE_KINDS.get(entry.kind)
    if known is not None:
        return known
    if reference:
        # Money in under our own voucher is our payment come back (退票).
        return "payment" if signed < 0 else "return"
    return "incoming" if signed > 0 else "other"
