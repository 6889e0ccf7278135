"""What each word of the bank means for a payment, as a table; and the amounts of a statement."""

from __future__ import annotations

import pytest

from caiwutong.kernel.order import Priority
from caiwutong.rails.bank_direct.styles.cmb import codec, messages, profile, reports
from caiwutong.rails.bank_direct.styles.cmb.account_messages import (
    Balance,
    BalancesAnswer,
    StatementAnswer,
    StatementControl,
    StatementEntry,
)
from caiwutong.rails.contract import NOT_FOUND, BadMessage, ReportKind
from support.cmb_bank import NOON

REQUEST_ID = codec.pay_request_id(NOON, "R1")


def _answer(
    function: str, body: messages.Wire | None, code: str = "SUC0000", words: str = ""
) -> codec.Answer:
    return codec.Answer("U", function, REQUEST_ID, "rsp", code, words, NOON, body)


def _query(*records: messages.PaymentRecord) -> codec.Answer:
    return _answer(profile.PAY_QUERY, messages.PayQueryAnswer(records=records))


def _record(reference: str = "R1", state: str = "FIN", flag: str = "") -> messages.PaymentRecord:
    return messages.PaymentRecord(
        bank_reference="77",
        reference=reference,
        state=state,
        flag=flag,
        amount="1234567890123.45",
        payer_account="1",
    )


MEANINGS = [
    ("AUT", "", ReportKind.ACCEPTED),
    ("NTE", "", ReportKind.ACCEPTED),
    ("BNK", "", ReportKind.ACCEPTED),
    ("OPR", "", ReportKind.ACCEPTED),
    ("APW", "", ReportKind.ACCEPTED),
    ("NTE", "F", ReportKind.ACCEPTED),  # the flag means nothing before FIN
    ("WRF", "", ReportKind.IN_DOUBT),
    ("FIN", "S", ReportKind.SETTLED),
    ("FIN", "F", ReportKind.REJECTED),
    ("FIN", "R", ReportKind.REJECTED),
    ("FIN", "D", ReportKind.REJECTED),
    ("FIN", "C", ReportKind.REJECTED),
    ("FIN", "B", ReportKind.RETURNED),
    ("FIN", "U", ReportKind.IN_DOUBT),
    ("FIN", "", ReportKind.IN_DOUBT),
    ("FIN", "Z", ReportKind.IN_DOUBT),
    ("NEW", "S", ReportKind.IN_DOUBT),
    ("", "", ReportKind.IN_DOUBT),
]


@pytest.mark.parametrize(("state", "flag", "kind"), MEANINGS)
def test_what_the_banks_record_means(state: str, flag: str, kind: ReportKind):
    report = reports.report_of_query(_query(_record(state=state, flag=flag)), "R1")
    assert (report.kind, report.reference, report.amount_fen) == (kind, "R1", 123456789012345)
    assert report.words
    # The answer to the payment itself and the notice say the same thing.
    outcome = messages.PayOutcome(state=state, flag=flag)
    [now] = reports.reports_of_pay(_answer(profile.PAY, messages.PayAnswer(outcomes=(outcome,))))
    notice = codec.Notification(
        "U",
        profile.PAYMENT_RESULT,
        "1",
        NOON,
        messages.PaymentFinished(record=_record(state=state, flag=flag)),
    )
    [told] = reports.reports_of_notice(notice)
    assert now.kind is told.kind is kind


def test_received_without_a_state_is_accepted_and_nothing_more():
    [report] = reports.reports_of_pay(_answer(profile.PAY, messages.PayAnswer()))
    assert (report.kind, report.code) == (ReportKind.ACCEPTED, "SUC0000")


def test_any_error_of_the_bank_is_doubt_and_not_failure():
    [report] = reports.reports_of_pay(_answer(profile.PAY, None, "CDC0013", "业务参考号重复"))
    assert (report.kind, report.code, report.reference) == (ReportKind.IN_DOUBT, "CDC0013", "R1")
    assert report.words == "业务参考号重复"
    queried = reports.report_of_query(_answer(profile.PAY_QUERY, None, "CDC0099"), "R1")
    assert (queried.kind, queried.code) == (ReportKind.IN_DOUBT, "CDC0099")


def test_an_error_beside_an_unfinished_state_is_doubt():
    outcome = messages.PayOutcome(state="NTE", error_code="NCB1234", error_text="系统忙")
    [report] = reports.reports_of_pay(_answer(profile.PAY, messages.PayAnswer(outcomes=(outcome,))))
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, "NCB1234")


def test_an_unknown_reference_is_not_found_and_in_doubt():
    report = reports.report_of_query(_query(), "R1")
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, NOT_FOUND)


def test_records_of_other_references_prove_nothing():
    report = reports.report_of_query(_query(_record("R2", flag="S")), "R1")
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, reports.OTHER_REFERENCE)


def test_two_records_of_one_reference_are_for_a_person():
    report = reports.report_of_query(_query(_record(flag="S"), _record(flag="F")), "R1")
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, reports.SEVERAL_RECORDS)


def test_a_return_notice_is_a_return_with_the_banks_reason():
    came_back = messages.ReturnedPayment(reference="R1", amount="1.5", reason="账号户名不符")
    notice = codec.Notification(
        "U", profile.PAYMENT_RESULT, "1", NOON, messages.PaymentCameBack(payment=came_back)
    )
    [report] = reports.reports_of_notice(notice)
    assert (report.kind, report.code, report.amount_fen, report.words) == (
        ReportKind.RETURNED,
        "FIN/B",
        150,
        "账号户名不符",
    )


def test_a_change_of_an_account_is_no_report_of_a_payment():
    change = messages.AccountChange(
        account="1", day="20261124", amount="1.00", side="D", line_id="L1", reference="R1"
    )
    notice = codec.Notification("U", profile.ACCOUNT_CHANGED, "1", NOON, change)
    assert reports.reports_of_notice(notice) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1", 100),
        ("1.5", 150),
        ("-40.01", -4001),
        ("999999999999999.99", 99999999999999999),
    ],
)
def test_amounts_of_the_bank(text: str, expected: int):
    assert reports.fen(text) == expected


@pytest.mark.parametrize(
    "text", ["", "-", "1.", ".5", "1.234", "+1", "1e3", "1,000.00", "NaN", " 1", "１", "9" * 16]
)
def test_what_is_no_amount_is_refused(text: str):
    with pytest.raises(BadMessage):
        reports.fen(text)


def _entry(**changes: str) -> StatementEntry:
    fields = {
        "line_id": "C09468U00012KWZ",
        "day": "20261124",
        "time": "140337",
        "side": "D",
        "amount": "-40.01",
        "balance_after": "-2.00",
    }
    return StatementEntry(**(fields | changes))


def _line(**changes: str):
    page = StatementAnswer(control=(StatementControl(more="N"),), entries=(_entry(**changes),))
    [line] = reports.lines_of(page, "75590")
    return line


def test_money_out_is_negative_however_the_bank_writes_it():
    assert _line().amount_fen == _line(amount="40.01").amount_fen == -4001
    assert _line(side="C", amount="40.01").amount_fen == 4001
    assert _line().balance_after_fen == -200
    assert _line().booked_at.isoformat() == "2026-11-24T06:03:37+00:00"


@pytest.mark.parametrize(
    "changes", [{"side": "C"}, {"side": "X"}, {"side": "D", "day": "20261399"}]
)
def test_a_line_that_contradicts_itself_is_refused(changes: dict[str, str]):
    with pytest.raises(BadMessage):
        _line(**changes)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"reference": "R1"}, "payment"),
        ({"reference": "R1", "side": "C", "amount": "40.01"}, "return"),
        ({"side": "C", "amount": "40.01"}, "incoming"),
        ({"side": "C", "amount": "40.01", "reversal": "*"}, "other"),
        ({}, "other"),
        ({"kind": "BFEE"}, "fee"),
        ({"kind": "BINT", "side": "C", "amount": "0.3"}, "interest"),
        ({"kind": "BOPN", "side": "C", "amount": "0"}, "opening"),
    ],
)
def test_the_kind_of_a_line(changes: dict[str, str], kind: str):
    assert _line(**changes).kind == kind


def test_an_account_the_bank_refuses_is_left_out_of_the_balances():
    body = BalancesAnswer(
        balances=(
            Balance(account="1", online="10", available="9.5", error_code="SUC0000"),
            Balance(account="2", error_code="NCB0001"),
            Balance(account="3", online="1", available="1", currency="32"),
        )
    )
    [balance] = reports.balances_of(_answer(profile.BALANCES, body))
    assert (balance.account, balance.balance_fen, balance.available_fen) == ("1", 1000, 950)


@pytest.mark.parametrize(
    ("fen", "priority", "channel"),
    [
        (1, Priority.NORMAL, "I"),
        (1_000_000_00, Priority.URGENT, "R"),
        (1_000_000_01, Priority.URGENT, "Q"),
    ],
)
def test_the_channel_flag(fen: int, priority: Priority, channel: str):
    assert profile.channel_for(fen, priority) == channel
    assert channel in profile.CHANNELS
