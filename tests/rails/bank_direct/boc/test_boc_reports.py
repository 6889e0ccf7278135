"""What the bank's statuses mean, as a table."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc import profile
from caiwutong.rails.bank_direct.styles.boc.codec import Document
from caiwutong.rails.bank_direct.styles.boc.reports import (
    NOT_ANSWERED,
    OTHER_PAYMENT,
    SEVERAL_RECORDS,
    balances_of,
    lines_of,
    report_of_status,
    reports_of_notice,
    reports_of_pay,
)
from caiwutong.rails.contract import NOT_FOUND, BadMessage, ReportKind
from rails.bank_direct.boc.test_boc_codec import ENTRY, OK, WORDS, head
from support.boc_bank import STAMP, attempt, error, status_of

K = ReportKind
PAYMENT = attempt("R1")


def document(body: m.Word) -> Document:
    return Document(head(body), body)


def told(code: str) -> Document:
    return document(m.StatusAnswer(status=OK, payments=(status_of(PAYMENT, code),), at=STAMP))


@pytest.mark.parametrize(
    ("code", "asked", "just_sent"),
    [
        ("B001", K.SETTLED, K.ACCEPTED),
        ("B002", K.ACCEPTED, K.ACCEPTED),
        ("B054", K.ACCEPTED, K.ACCEPTED),
        ("B059", K.ACCEPTED, K.ACCEPTED),
        ("B061", K.REJECTED, K.REJECTED),
        ("B062", K.RETURNED, K.ACCEPTED),
        ("B064", K.IN_DOUBT, K.IN_DOUBT),
        ("B072", K.REJECTED, K.IN_DOUBT),
        ("B999", K.IN_DOUBT, K.IN_DOUBT),
        ("", K.IN_DOUBT, K.IN_DOUBT),
    ],
)
def test_a_status_means_this_when_asked_and_never_paid_when_just_sent(
    code: str, asked: ReportKind, just_sent: ReportKind
) -> None:
    assert report_of_status(told(code), PAYMENT).kind is asked
    answer = m.PayAnswer(
        status=OK, orders=(m.OrderStatus(status=m.Status(code=code), reference="R1"),), at=STAMP
    )
    [report] = reports_of_pay(document(answer), ["R1"])
    assert (report.kind, report.reference) == (just_sent, "R1")


def test_a_reference_the_bank_does_not_know_is_doubt() -> None:
    report = report_of_status(told(profile.UNKNOWN), PAYMENT)
    assert (report.kind, report.code) == (K.IN_DOUBT, NOT_FOUND)


def test_another_amount_or_account_under_our_reference_is_doubt_and_never_paid() -> None:
    for other in (
        replace(status_of(PAYMENT, "B001"), amount="99.99"),
        replace(status_of(PAYMENT, "B001"), payee_account="1"),
        replace(status_of(PAYMENT, "B001"), payer_account="1"),
    ):
        answer = m.StatusAnswer(status=OK, payments=(other,), at=STAMP)
        report = report_of_status(document(answer), PAYMENT)
        assert (report.kind, report.code) == (K.IN_DOUBT, OTHER_PAYMENT)


def test_a_payment_the_answer_is_silent_about_or_names_twice_is_doubt() -> None:
    none = m.StatusAnswer(status=OK, at=STAMP)
    twice = m.StatusAnswer(status=OK, payments=(status_of(PAYMENT, "B001"),) * 2, at=STAMP)
    assert report_of_status(document(none), PAYMENT).code == NOT_ANSWERED
    assert report_of_status(document(twice), PAYMENT).code == SEVERAL_RECORDS
    [silent] = reports_of_pay(document(m.PayAnswer(status=OK, at=STAMP)), ["R1"])
    assert (silent.kind, silent.code) == (K.IN_DOUBT, NOT_ANSWERED)


def test_a_batch_answers_for_each_payment_by_itself() -> None:
    def one(reference: str, code: str) -> m.OrderStatus:
        return m.OrderStatus(status=m.Status(code=code), reference=reference)

    answer = m.PayAnswer(status=OK, orders=(one("R2", "B061"), one("R1", "B059")), at=STAMP)
    reports = reports_of_pay(document(answer), ["R1", "R2", "R3"])
    assert [(r.reference, r.kind) for r in reports] == [
        ("R1", K.ACCEPTED),
        ("R2", K.REJECTED),
        ("R3", K.IN_DOUBT),
    ]


def test_a_request_the_bank_refused_as_a_whole_leaves_every_payment_in_doubt() -> None:
    refused = m.PayAnswer(status=m.Status(code="B888", words="系统忙"), at=STAMP)
    for body in (refused, error("B888", "系统忙")):
        reports = reports_of_pay(document(body), ["R1", "R2"])
        assert [(r.kind, r.code) for r in reports] == [(K.IN_DOUBT, "B888")] * 2
        assert reports[0].words == "系统忙"
    assert report_of_status(document(error("B888")), PAYMENT).kind is K.IN_DOUBT


def test_a_notice_tells_an_end_or_a_return() -> None:
    both = (status_of(PAYMENT, "B001"), status_of(attempt("R2", 5), "B062"))
    reports = reports_of_notice(document(m.StatusNotice(payments=both, at=STAMP)))
    assert [(r.reference, r.kind, r.amount_fen) for r in reports] == [
        ("R1", K.SETTLED, 100_00),
        ("R2", K.RETURNED, 5),
    ]
    with pytest.raises(BadMessage):
        reports_of_notice(told("B001"))


def test_a_line_out_is_negative_and_its_kind_falls_back_to_its_side() -> None:
    def line(**changes: str) -> tuple[int, str]:
        entries = (replace(ENTRY, **changes),)
        body = m.StatementAnswer(status=OK, entries=entries, at=STAMP)
        [found] = lines_of(body, "10390001200001")
        return found.amount_fen, found.kind

    assert line() == (-100_00, "payment")
    assert line(direction="2", kind="TH") == (100_00, "return")
    assert line(direction="2", kind="??") == (100_00, "return")
    assert line(direction="2", kind="", reference="") == (100_00, "incoming")
    assert line(kind="", reference="") == (-100_00, "other")


def test_a_balance_the_bank_does_not_answer_for_is_left_out() -> None:
    body = WORDS["b2e0005-rs"]
    assert isinstance(body, m.BalancesAnswer)
    [balance] = balances_of(body, ["10390001200001"])
    assert (balance.balance_fen, balance.available_fen) == (12_00, 10_00)
    assert balances_of(body, ["1"]) == []
