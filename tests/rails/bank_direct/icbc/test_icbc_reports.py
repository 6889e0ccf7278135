"""What the bank's words mean: only the documented ends are ends; all else is doubt."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rails.bank_direct.icbc.test_icbc_codec import ENTRY, OUTCOME, pub

from caiwutong.rails.bank_direct.styles.icbc import messages as m
from caiwutong.rails.bank_direct.styles.icbc import profile, reports
from caiwutong.rails.bank_direct.styles.icbc.codec import Document
from caiwutong.rails.contract import NOT_FOUND, BadMessage, ReportKind

ENDS = {
    "6": ReportKind.REJECTED,
    "7": ReportKind.SETTLED,
    "8": ReportKind.REJECTED,
    "11": ReportKind.REJECTED,
    "99": ReportKind.RETURNED,
}


def answer(*outcomes: m.Outcome, code: str = "0") -> Document:
    body = m.PayQueryAnswer(outcomes=outcomes) if code == "0" else m.Refusal()
    return Document(pub("QPAYENT", code), body)


def said(**changes: str) -> tuple[ReportKind, str]:
    outcome = msgspec.structs.replace(OUTCOME, **changes)
    report = reports.report_of(answer(outcome), OUTCOME.reference)
    assert report.reference == OUTCOME.reference
    return report.kind, report.code


@pytest.mark.parametrize("result", profile.RESULTS)
def test_a_documented_result_means_what_the_table_says(result: str):
    kind, code = said(result=result)
    assert kind is profile.RESULTS[result].kind
    assert (kind in ENDS.values()) == (result in ENDS) and kind is ENDS.get(result, kind)
    assert code == f"Result/{result}"


@given(st.text("0123456789ABEFX", max_size=4).filter(lambda text: text not in profile.RESULTS))
def test_a_result_nobody_told_us_about_is_doubt(result: str):
    assert said(result=result)[0] is ReportKind.IN_DOUBT


@pytest.mark.parametrize("result", ["6", "7", "8", "", "99"])
def test_an_error_beside_a_result_is_doubt_whatever_the_result(result: str):
    assert said(result=result, code="B0116") == (ReportKind.IN_DOUBT, "B0116")


def test_only_the_banks_own_word_that_it_has_no_such_instruction_is_not_found():
    assert said(result="", code=profile.NO_SUCH) == (ReportKind.IN_DOUBT, NOT_FOUND)
    missing = reports.report_of(answer(), "R9")
    assert (missing.kind, missing.code) == (ReportKind.IN_DOUBT, reports.OTHER_REFERENCE)
    twice = reports.report_of(answer(OUTCOME, OUTCOME), OUTCOME.reference)
    assert (twice.kind, twice.code) == (ReportKind.IN_DOUBT, reports.SEVERAL_RECORDS)
    refused = reports.report_of(answer(code="B0001"), "R9")
    assert (refused.kind, refused.code) == (ReportKind.IN_DOUBT, "package/B0001")


def test_a_package_refused_as_a_whole_leaves_every_payment_of_it_in_doubt():
    document = Document(pub("PAYENT", "B0017"), m.Refusal())
    found = reports.reports_of_pay(document, ["R1", "R2"])
    assert [(r.reference, r.kind, r.code) for r in found] == [
        ("R1", ReportKind.IN_DOUBT, "package/B0017"),
        ("R2", ReportKind.IN_DOUBT, "package/B0017"),
    ]


def test_a_line_is_read_from_the_account_holders_side():
    out, back, unknown = (
        ENTRY,
        msgspec.structs.replace(ENTRY, side="2", kind="RTN"),
        msgspec.structs.replace(ENTRY, side="2", kind="???"),
    )
    body = m.StatementAnswer(account="A", entries=(out, back, unknown))
    lines = reports.lines_of(body)
    assert [(x.amount_fen, x.kind) for x in lines] == [
        (-123_456, "payment"),
        (123_456, "return"),
        (123_456, "return"),
    ]
    assert lines[0].booked_at.isoformat() == "2026-11-24T04:00:00+00:00"
    with pytest.raises(BadMessage):
        reports.lines_of(
            m.StatementAnswer(
                account="A", entries=(msgspec.structs.replace(ENTRY, day="20260230"),)
            )
        )


def test_an_account_the_bank_refuses_is_left_out_of_the_balances():
    good = m.Balance(account="A", currency="001", balance="-7", usable="3", code="0")
    bad = m.Balance(account="B", currency="001", code="EB0002")
    dollars = m.Balance(account="C", currency="014", balance="1", usable="1", code="0")
    body = m.BalancesAnswer(balances=(good, bad, dollars))
    [found] = reports.balances_of(Document(pub("QACCBAL", "0"), body))
    assert (found.account, found.balance_fen, found.available_fen) == ("A", -7, 3)
