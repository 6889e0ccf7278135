"""What each IBPS message says about our payments, as a table; what it does not say, as well."""

from __future__ import annotations

from datetime import timedelta

import pytest

from caiwutong.rails.contract import NOT_FOUND, Concerning, ReportKind
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps import profile
from caiwutong.rails.ibps.reports import reports_of
from support.ibps_words import AT, CENTRE, ORIGINAL, PAYEE, PAYER, SPONSOR

OF_SOMEONE_ELSE = m.Original("20261123ABCDEFGHIJKL", "102290012345", "ibps.101.001.01")
OF_A_QUERY = m.Original("20261123ABCDEFGHIJKL", SPONSOR, "ibps.309.001.01")
REVOCATION, RETURN = Concerning.REVOCATION, Concerning.RETURN_REQUEST
PAYMENT = Concerning.PAYMENT
K = ReportKind


def said(message: m.Message) -> list[tuple[ReportKind, str, Concerning]]:
    header = m.Header("-", "20261123ANSWER", CENTRE, SPONSOR, AT, direction="D")
    reports = reports_of(m.Frame(header, message), SPONSOR)
    assert all(report.reference == ORIGINAL.message_id for report in reports)
    assert all(report.message_id == "20261123ANSWER" for report in reports)
    return [(report.kind, report.code, report.concerning) for report in reports]


def answer(result: str, status: str = "", reason: str = "") -> m.EnquiryAnswer:
    return m.EnquiryAnswer("Q1", ORIGINAL, result, status, reason)


TABLE: list[tuple[m.Message, ReportKind, str, Concerning]] = [
    (m.Acknowledgement(ORIGINAL), K.ACCEPTED, "CB1I0000", PAYMENT),
    (m.CreditAnswer(ORIGINAL, "PR10", 1), K.ACCEPTED, "PR10", PAYMENT),
    (m.CreditAnswer(ORIGINAL, "PR09", 1, reason="RJ02"), K.REJECTED, "RJ02", PAYMENT),
    (m.CreditAnswer(ORIGINAL, "PR09", 1), K.REJECTED, "PR09", PAYMENT),
    (m.CreditAnswer(ORIGINAL, "PR77", 1), K.IN_DOUBT, "PR77", PAYMENT),
    (m.CreditAnswer(ORIGINAL, "PR77", 1, reason="RJ02"), K.IN_DOUBT, "PR77", PAYMENT),
    (answer(profile.DONE, "PR00"), K.ACCEPTED, "PR00", PAYMENT),
    (answer(profile.DONE, "PR02"), K.ACCEPTED, "PR02", PAYMENT),
    (answer(profile.DONE, "PR03"), K.NETTED, "PR03", PAYMENT),
    (answer(profile.DONE, "PR04"), K.SETTLED, "PR04", PAYMENT),
    (answer(profile.DONE, "PR05"), K.ACCEPTED, "PR05", PAYMENT),
    (answer(profile.DONE, "PR08"), K.REVOKED, "PR08", PAYMENT),
    (answer(profile.DONE, "PR09", "RJ94"), K.REJECTED, "RJ94", PAYMENT),
    (answer(profile.DONE), K.IN_DOUBT, "", PAYMENT),
    (answer(profile.UNKNOWN_ORIGINAL), K.IN_DOUBT, NOT_FOUND, PAYMENT),
    (answer(profile.SYSTEM_ERROR), K.IN_DOUBT, profile.SYSTEM_ERROR, PAYMENT),
    (answer(profile.SYSTEM_ERROR, "PR09"), K.IN_DOUBT, profile.SYSTEM_ERROR, PAYMENT),
    (m.RevocationAnswer("Q1", ORIGINAL, "PR08"), K.REVOKED, "PR08", PAYMENT),
    (m.RevocationAnswer("Q1", ORIGINAL, "PR09", "RJ20"), K.REJECTED, "RJ20", REVOCATION),
    (m.RevocationAnswer("Q1", ORIGINAL, "PR06"), K.IN_DOUBT, "PR06", REVOCATION),
    (m.ReturnAnswer("Q1", ORIGINAL, "PR10"), K.ACCEPTED, "PR10", RETURN),
    (m.ReturnAnswer("Q1", ORIGINAL, "PR09", "RJ03"), K.REJECTED, "RJ03", RETURN),
    (m.ReturnAnswer("Q1", ORIGINAL, "PR04"), K.IN_DOUBT, "PR04", RETURN),
    (m.ProcessingConfirm(ORIGINAL, profile.DONE, "PR09", "RJ91"), K.REJECTED, "RJ91", PAYMENT),
    (m.ProcessingConfirm(ORIGINAL, profile.DONE, "PR02"), K.ACCEPTED, "PR02", PAYMENT),
    (m.Discard(ORIGINAL, profile.DUPLICATE, "RJ90"), K.ACCEPTED, profile.DUPLICATE, PAYMENT),
    (m.Discard(ORIGINAL, profile.BAD_FORMAT, "RJ91"), K.REJECTED, "RJ91", PAYMENT),
    (m.Discard(ORIGINAL, profile.WRONG_DATE), K.IN_DOUBT, profile.WRONG_DATE, PAYMENT),
    (m.Discard(ORIGINAL, profile.SYSTEM_ERROR, "RJ90"), K.IN_DOUBT, profile.SYSTEM_ERROR, PAYMENT),
    (
        m.CreditTransfer(1, PAYEE, PAYER, type_code="A105", original=ORIGINAL),
        K.RETURNED,
        "A105",
        PAYMENT,
    ),
]


@pytest.mark.parametrize(("message", "kind", "code", "concerning"), TABLE)
def test_a_message_says(
    message: m.Message, kind: ReportKind, code: str, concerning: Concerning
) -> None:
    assert said(message) == [(kind, code, concerning)]


def test_notices_speak_of_our_own_payments_only() -> None:
    payments = (
        m.NettedPayment(ORIGINAL.message_id, SPONSOR, -5_00, "ibps.101.001.01"),
        m.NettedPayment("20261123THEIRS", "102290012345", 9_00, "ibps.101.001.01"),
        m.NettedPayment("20261123PULL", SPONSOR, 1_00, "ibps.103.001.01"),
    )
    at, day = AT + timedelta(minutes=5), AT.date()
    netted = m.NettingNotice("R1", at, day, 4_00, payments)
    settled = m.ClearingNotice("R1", at, day, 4_00, payments)
    assert said(netted) == [(K.NETTED, "PR03", PAYMENT)]
    assert said(settled) == [(K.SETTLED, "PR04", PAYMENT)]
    header = m.Header("-", "N1", CENTRE, SPONSOR, AT)
    (report,) = reports_of(m.Frame(header, netted), SPONSOR)
    assert (report.at, report.amount_fen, report.words) == (at, 5_00, "已轧差")


@pytest.mark.parametrize(
    "message",
    [
        m.Acknowledgement(OF_A_QUERY),
        m.Discard(OF_A_QUERY, profile.BAD_FORMAT, "RJ91"),
        m.CreditAnswer(OF_SOMEONE_ELSE, "PR09", 1, reason="RJ01"),
        m.CreditTransfer(1, PAYEE, PAYER),
        m.CreditTransfer(1, PAYEE, PAYER, type_code="A105"),
        m.CreditTransfer(1, PAYEE, PAYER, type_code="A105", original=OF_SOMEONE_ELSE),
        m.Enquiry(ORIGINAL),
        m.Revocation(ORIGINAL),
        m.ReturnRequest(ORIGINAL, 1),
        m.BalanceEnquiry("1", SPONSOR),
        m.BalanceAnswer("Q1", "1", SPONSOR, profile.DONE),
        m.DetailEnquiry("1", SPONSOR),
        m.DetailAnswer("Q1", "1", SPONSOR, profile.DONE),
    ],
)
def test_a_message_about_other_things_says_nothing_of_our_payments(message: m.Message) -> None:
    assert said(message) == []


def test_a_report_carries_the_rails_own_time_words_and_numbers() -> None:
    header = m.Header("-", "A1", CENTRE, SPONSOR, AT)
    message = m.CreditAnswer(ORIGINAL, "PR10", 1234_56, bank_reference="B-77")
    (report,) = reports_of(m.Frame(header, message), SPONSOR)
    assert (report.at, report.amount_fen, report.bank_reference) == (AT, 1234_56, "B-77")
    assert report.words == "已确认"
    earlier = AT - timedelta(hours=1)
    found = m.EnquiryAnswer("Q1", ORIGINAL, profile.DONE, "PR03", changed_at=earlier)
    (report,) = reports_of(m.Frame(header, found), SPONSOR)
    assert report.at == earlier
