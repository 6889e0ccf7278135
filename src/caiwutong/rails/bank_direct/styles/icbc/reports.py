"""Documents → the contract's words: reports, balances, statement lines.

Translates, never decides. ``RetCode`` 0 and ``iRetCode`` 0 mean taken in; only ``Result`` says how
a payment stands (``profile.RESULTS``). Everything else, every error code and every code unknown to
us, is IN_DOUBT. Pure. Raises BadMessage where a field cannot mean what it should.
Read next: ``connector.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from caiwutong.rails.bank_direct.contract import NAME
from caiwutong.rails.bank_direct.fields import day_of, instant, whole_fen
from caiwutong.rails.bank_direct.styles.icbc import messages as m
from caiwutong.rails.bank_direct.styles.icbc import profile
from caiwutong.rails.bank_direct.styles.icbc.codec import Document
from caiwutong.rails.bank_direct.words import bad, doubt
from caiwutong.rails.contract import (
    NOT_FOUND,
    BankBalance,
    RailReport,
    ReportKind,
    StatementLine,
)

OTHER_REFERENCE = "other_reference"
"""Report code: the bank's answer does not speak of the payment asked for."""
REFUSED = "package/"
"""Begins the report code where the bank refused a message as a whole; its RetCode follows."""
SEVERAL_RECORDS = "several_records"
"""Report code: the bank knows one reference more than once. A person must look."""


def reports_of_pay(document: Document, references: Sequence[str]) -> list[RailReport]:
    """What the bank's immediate answer to a package says: one report for each reference, in the
    order of the package."""
    if isinstance(document.body, m.Refusal):
        # A package is refused as a whole, but what came of an earlier sending of it is unsaid.
        at, pub = document.at, document.pub
        return [doubt(each, f"{REFUSED}{pub.code}", at, pub.text) for each in references]
    return [report_of(document, each) for each in references]


def report_of(document: Document, reference: str) -> RailReport:
    """What an answer says of this reference."""
    if isinstance(document.body, m.Refusal):
        code = f"{REFUSED}{document.pub.code}"
        return doubt(reference, code, document.at, document.pub.text)
    found = [each for each in _outcomes(document) if each.reference == reference]
    if len(found) == 1:
        return _of_outcome(found[0], document)
    code = SEVERAL_RECORDS if found else OTHER_REFERENCE
    return doubt(reference, code, document.at)


def reports_of_notice(document: Document) -> list[RailReport]:
    """Every report in a notice."""
    if not isinstance(document.body, m.Notice):
        raise bad("unknown_notice", "What was posted is no notice of a payment.")
    return [_of_outcome(each, document) for each in document.body.outcomes]


def returned_of(document: Document) -> list[RailReport]:
    """A RETURNED report for each payment in a list of returned ones; others are left out."""
    reports = [_of_outcome(each, document) for each in _outcomes(document)]
    return [each for each in reports if each.kind is ReportKind.RETURNED]


def balances_of(document: Document) -> list[BankBalance]:
    """The balances in an answer; an account the bank reports an error for is left out."""
    rows = document.body.balances if isinstance(document.body, m.BalancesAnswer) else ()
    return [
        BankBalance(row.account, whole_fen(row.balance), whole_fen(row.usable), document.at)
        for row in rows
        if row.code == profile.DONE and row.currency == profile.ICBC_CMS.currency
    ]


def lines_of(body: m.StatementAnswer) -> tuple[StatementLine, ...]:
    """The lines of a page, in the bank's order."""
    return tuple(_line(entry, body.account) for entry in body.entries)


def _outcomes(document: Document) -> Sequence[m.Outcome]:
    match document.body:
        case (
            m.PayAnswer(outcomes=found)
            | m.PayQueryAnswer(outcomes=found)
            | m.ReturnsAnswer(outcomes=found)
            | m.Notice(outcomes=found)
        ):
            return found
        case _:
            return ()


def _of_outcome(outcome: m.Outcome, document: Document) -> RailReport:
    meaning = profile.meaning_of(outcome.result)
    kind, code, words = meaning.kind, f"Result/{outcome.result}", outcome.text or meaning.zh
    if outcome.code == profile.NO_SUCH:
        kind, code, words = ReportKind.IN_DOUBT, NOT_FOUND, outcome.text
    elif outcome.code != profile.DONE:
        # An error beside a result: only a question without one can tell how the payment stands.
        kind, code, words = ReportKind.IN_DOUBT, outcome.code, outcome.text
    return RailReport(
        kind=kind,
        rail=NAME,
        reference=outcome.reference,
        code=code,
        at=document.at,
        words=words,
        amount_fen=whole_fen(outcome.amount) if outcome.amount else None,
        message_id=document.pub.package,
        bank_reference=outcome.bank_reference,
    )


def _line(entry: m.Entry, account: str) -> StatementLine:
    amount = whole_fen(entry.amount)
    signed = amount if entry.side == "2" else -amount
    return StatementLine(
        account=account,
        line_id=entry.line_id,
        booked_at=instant(entry.day + entry.time),
        value_date=day_of(entry.day),
        amount_fen=signed,
        balance_after_fen=whole_fen(entry.balance_after),
        kind=_kind(entry, signed),
        reference=entry.reference,
        counterparty_name=entry.counterparty_name,
        counterparty_account=entry.counterparty_account,
        words=entry.summary,
    )


def _kind(entry: m.Entry, signed: int) -> str:
    known = profile.LINE_KINDS.get(entry.kind)
    if known is not None:
        return known
    if entry.reference:
        # Money in under our own reference is our payment come back (退汇).
        return "payment" if signed < 0 else "return"
    return "incoming" if signed > 0 else "other"
