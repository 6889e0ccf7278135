"""Messages → the contract's words: reports, balances, statement lines.

Translates, never decides. ``SUC0000`` is ACCEPTED, FIN+S is SETTLED, FIN+{F,R,D,C} REJECTED, FIN+B
RETURNED; everything else, every error of the bank and every code unknown to us is IN_DOUBT.
Pure. Raises BadMessage where a field cannot mean what it should. Read next: ``connector.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from caiwutong.rails.bank_direct.contract import NAME
from caiwutong.rails.bank_direct.fields import day_of, fen, instant
from caiwutong.rails.bank_direct.styles.cmb import profile
from caiwutong.rails.bank_direct.styles.cmb.account_messages import (
    Balance,
    BalancesAnswer,
    StatementAnswer,
    StatementEntry,
)
from caiwutong.rails.bank_direct.styles.cmb.codec import Answer, Notification, reference_of
from caiwutong.rails.bank_direct.styles.cmb.messages import (
    AccountChange,
    BatchDetailAnswer,
    BatchPayAnswer,
    PayAnswer,
    PaymentCameBack,
    PaymentFinished,
    PaymentRecord,
    PayOutcome,
    PayQueryAnswer,
)
from caiwutong.rails.bank_direct.words import bad, doubt
from caiwutong.rails.contract import (
    NOT_FOUND,
    BankBalance,
    RailReport,
    ReportKind,
    StatementLine,
)

OTHER_REFERENCE = "other_reference"
"""Report code: the bank answered about other payments than the one asked for."""
SEVERAL_RECORDS = "several_records"
"""Report code: the bank knows one reference more than once. A person must look."""

# ---- payments


def reports_of_pay(answer: Answer) -> list[RailReport]:
    """What the bank's immediate answer to a payment says: one report."""
    reference = reference_of(answer.request_id)
    if isinstance(answer.body, PayAnswer):
        for outcome in answer.body.outcomes[:1]:
            return [_of_outcome(outcome, reference, answer)]
    kind = ReportKind.ACCEPTED if answer.accepted else ReportKind.IN_DOUBT
    return [_report(kind, reference, answer.result_code, answer, words=answer.result_message)]


def reports_of_batch(answer: Answer, references: Sequence[str]) -> list[RailReport]:
    """What the bank's immediate answer to a batch says: it speaks of the batch only, so each
    payment of it is received, or in doubt until it is asked for by itself."""
    outcome = answer.body.outcomes[:1] if isinstance(answer.body, BatchPayAnswer) else ()
    code, words, good = answer.result_code, answer.result_message, answer.accepted
    for each in outcome:
        meaning = profile.meaning_of(each.state, each.flag)
        failed = each.error_code not in ("", profile.CMB_CLOUD.accepted_code)
        good = meaning.kind is ReportKind.ACCEPTED and not failed
        code = each.error_code if failed else f"batch/{_code(each.state, each.flag)}"
        words = " ".join(filter(None, (each.error_text, each.hint))) or meaning.zh
    kind = ReportKind.ACCEPTED if good else ReportKind.IN_DOUBT
    return [_report(kind, each, code, answer, words=words) for each in references]


def reports_of_lines(answer: Answer) -> list[RailReport]:
    """How each payment of a batch stands (BB1QRYBD)."""
    lines = answer.body.lines if isinstance(answer.body, BatchDetailAnswer) else ()
    found: list[RailReport] = []
    for line in lines:
        meaning = profile.meaning_of(line.state, line.flag)
        found.append(
            RailReport(
                kind=meaning.kind,
                rail=NAME,
                reference=line.reference,
                code=_code(line.state, line.flag),
                at=answer.signed_at,
                words=line.error_text or meaning.zh,
                amount_fen=fen(line.amount),
                message_id=answer.response_id,
                bank_reference=line.bank_reference,
            )
        )
    return found


def report_of_query(answer: Answer, reference: str) -> RailReport:
    """What the bank's answer to a query says of this reference."""
    if not isinstance(answer.body, PayQueryAnswer):
        return doubt(reference, answer.result_code, answer.signed_at, answer.result_message)
    records = [each for each in answer.body.records if each.reference == reference]
    if len(records) == 1:
        return _of_record(records[0], answer.signed_at, answer.response_id)
    if records:
        return doubt(reference, SEVERAL_RECORDS, answer.signed_at)
    code = OTHER_REFERENCE if answer.body.records else NOT_FOUND
    return doubt(reference, code, answer.signed_at)


def reports_of_answer(answer: Answer) -> list[RailReport]:
    """Every report in an answer, whichever function it belongs to."""
    if answer.function == profile.PAY:
        return reports_of_pay(answer)
    if isinstance(answer.body, PayQueryAnswer):
        return [
            _of_record(each, answer.signed_at, answer.response_id) for each in answer.body.records
        ]
    return []


def reports_of_notice(notice: Notification) -> list[RailReport]:
    """Every report in a notice. A change of an account is no report: the statement brings it."""
    match notice.event:
        case PaymentFinished(record=record):
            return [_of_record(record, notice.signed_at, notice.number)]
        case PaymentCameBack(payment=payment):
            return [
                RailReport(
                    kind=ReportKind.RETURNED,
                    rail=NAME,
                    reference=payment.reference,
                    code="FIN/B",
                    at=notice.signed_at,
                    words=payment.reason or profile.RESULT_FLAGS["B"].zh,
                    amount_fen=fen(payment.amount),
                    message_id=notice.number,
                    bank_reference=payment.bank_reference,
                )
            ]
        case AccountChange():
            return []


def _of_outcome(outcome: PayOutcome, reference: str, answer: Answer) -> RailReport:
    words = " ".join(each for each in (outcome.error_text, outcome.hint) if each)
    failed = outcome.error_code not in ("", profile.CMB_CLOUD.accepted_code)
    if failed and outcome.state != profile.FINISHED:
        # An error beside an unfinished state: only the query can tell whether it was taken.
        return _report(ReportKind.IN_DOUBT, reference, outcome.error_code, answer, words=words)
    meaning = profile.meaning_of(outcome.state, outcome.flag)
    return _report(
        meaning.kind,
        reference,
        _code(outcome.state, outcome.flag),
        answer,
        words=words or meaning.zh,
        bank_reference=outcome.bank_reference,
    )


def _of_record(record: PaymentRecord, at: datetime, message_id: str) -> RailReport:
    meaning = profile.meaning_of(record.state, record.flag)
    return RailReport(
        kind=meaning.kind,
        rail=NAME,
        reference=record.reference,
        code=_code(record.state, record.flag),
        at=at,
        words=record.reason or meaning.zh,
        amount_fen=fen(record.amount),
        message_id=message_id,
        bank_reference=record.bank_reference,
    )


def _report(
    kind: ReportKind,
    reference: str,
    code: str,
    answer: Answer,
    *,
    words: str = "",
    bank_reference: str = "",
) -> RailReport:
    return RailReport(
        kind=kind,
        rail=NAME,
        reference=reference,
        code=code,
        at=answer.signed_at,
        words=words,
        message_id=answer.response_id,
        bank_reference=bank_reference,
    )


def _code(state: str, flag: str) -> str:
    return f"{state}/{flag}" if state == profile.FINISHED else state


# ---- accounts


def balances_of(answer: Answer) -> list[BankBalance]:
    """The balances in an answer; an account the bank reports an error for is left out."""
    rows: Sequence[Balance] = ()
    if isinstance(answer.body, BalancesAnswer):
        rows = answer.body.balances
    good = ("", profile.CMB_CLOUD.accepted_code)
    return [
        BankBalance(row.account, fen(row.online), fen(row.available), answer.signed_at)
        for row in rows
        if row.error_code in good and row.currency == profile.CMB_CLOUD.currency_code
    ]


def lines_of(answer: StatementAnswer, account: str) -> tuple[StatementLine, ...]:
    """The lines of a page, in the bank's order."""
    return tuple(_line(entry, account) for entry in answer.entries)


def _line(entry: StatementEntry, account: str) -> StatementLine:
    amount = fen(entry.amount)
    if entry.side not in ("C", "D") or (entry.side == "C" and amount < 0):
        raise bad("statement_side", f"Line {entry.line_id} has side {entry.side[:4]!r}.")
    signed = amount if entry.side == "C" else -abs(amount)
    return StatementLine(
        account=account,
        line_id=entry.line_id,
        booked_at=instant(entry.day + (entry.time or "000000")),
        value_date=day_of(entry.value_day or entry.day),
        amount_fen=signed,
        balance_after_fen=fen(entry.balance_after),
        kind=_kind(entry, signed),
        reference=entry.reference,
        counterparty_name=entry.counterparty_name,
        counterparty_account=entry.counterparty_account,
        words=entry.summary or entry.remark,
    )


def _kind(entry: StatementEntry, signed: int) -> str:
    known = profile.LINE_KINDS.get(entry.kind)
    if known is not None:
        return known
    if entry.reference:
        # Money in under our own reference is our payment come back (退票).
        return "payment" if signed < 0 else "return"
    return "incoming" if signed > 0 and not entry.reversal.strip("N") else "other"
