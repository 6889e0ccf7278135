"""What each HVPS message says about our payments and about the system, and what it does not say."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from caiwutong.rails.catalog import Catalog, shipped
from caiwutong.rails.catalog.model import Maintenance
from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.notices import notices_of
from caiwutong.rails.contract import NOT_FOUND, Concerning, NoticeKind, ReportKind
from caiwutong.rails.hvps import messages as h
from caiwutong.rails.hvps import profile
from caiwutong.rails.hvps.reports import reporter_for, reports_of
from support.hvps_words import AT, CENTRE, ORIGINAL, PAYEE, PAYER, SAMPLE, SPONSOR

K = ReportKind
PAYMENT, REVOCATION, RETURN = (
    Concerning.PAYMENT,
    Concerning.REVOCATION,
    Concerning.RETURN_REQUEST,
)


def said(message: Any) -> list[tuple[ReportKind, str, Concerning]]:
    header = m.Header("-", "20261123ANSWER", CENTRE, SPONSOR, AT, direction="D")
    reports = reports_of(m.Frame(header, message), reporter_for(SPONSOR))
    assert all(report.rail == "hvps" for report in reports)
    assert all(report.reference == ORIGINAL.message_id for report in reports)
    return [(report.kind, report.code, report.concerning) for report in reports]


def confirm(status: str, reason: str = "") -> m.ProcessingConfirm:
    return m.ProcessingConfirm(ORIGINAL, codes.DONE, status, reason)


def answer(result: str, status: str = "", reason: str = "") -> m.EnquiryAnswer:
    return m.EnquiryAnswer("Q1", ORIGINAL, result, status, reason)


TABLE: list[tuple[Any, ReportKind, str, Concerning]] = [
    (m.Acknowledgement(ORIGINAL), K.ACCEPTED, codes.DONE, PAYMENT),
    (confirm("PR06"), K.ACCEPTED, "PR06", PAYMENT),
    (confirm("PR02"), K.ACCEPTED, "PR02", PAYMENT),
    (confirm("PR04"), K.SETTLED, "PR04", PAYMENT),
    (confirm("PR03"), K.IN_DOUBT, "PR03", PAYMENT),
    (confirm("PR05"), K.ACCEPTED, "PR05", PAYMENT),
    (confirm("PR08"), K.REVOKED, "PR08", PAYMENT),
    (confirm("PR09", "RJ99"), K.REJECTED, "RJ99", PAYMENT),
    (confirm("PR77"), K.IN_DOUBT, "PR77", PAYMENT),
    (answer(codes.DONE, "PR04"), K.SETTLED, "PR04", PAYMENT),
    (answer(codes.DONE, "PR06"), K.ACCEPTED, "PR06", PAYMENT),
    (answer(codes.UNKNOWN_ORIGINAL), K.IN_DOUBT, NOT_FOUND, PAYMENT),
    (answer(codes.SYSTEM_ERROR, "PR09"), K.IN_DOUBT, codes.SYSTEM_ERROR, PAYMENT),
    (m.RevocationAnswer("Q1", ORIGINAL, "PR08"), K.REVOKED, "PR08", PAYMENT),
    (m.RevocationAnswer("Q1", ORIGINAL, "PR09", "RJ90"), K.REJECTED, "RJ90", REVOCATION),
    (m.ReturnAnswer("Q1", ORIGINAL, "PR10"), K.ACCEPTED, "PR10", RETURN),
    (m.ReturnAnswer("Q1", ORIGINAL, "PR09", "RJ90"), K.REJECTED, "RJ90", RETURN),
    (m.Discard(ORIGINAL, codes.DUPLICATE, "RJ90"), K.ACCEPTED, codes.DUPLICATE, PAYMENT),
    (m.Discard(ORIGINAL, codes.CLOSED, "RJ90"), K.REJECTED, "RJ90", PAYMENT),
    (m.Discard(ORIGINAL, codes.BAD_SIGNATURE), K.IN_DOUBT, codes.BAD_SIGNATURE, PAYMENT),
    (SAMPLE["saps.603.001.01"], K.SETTLED, "PR04", PAYMENT),
    (
        h.CreditTransfer(1, PAYEE, PAYER, type_code="A105", original=ORIGINAL),
        K.RETURNED,
        "A105",
        PAYMENT,
    ),
]


@pytest.mark.parametrize(("message", "kind", "code", "concerning"), TABLE)
def test_each_message_says_this(
    message: Any, kind: ReportKind, code: str, concerning: Concerning
) -> None:
    assert said(message) == [(kind, code, concerning)]


@pytest.mark.parametrize(
    "message",
    [
        h.CreditTransfer(1, PAYEE, PAYER),
        h.CreditTransfer(1, PAYEE, PAYER, type_code="A105"),
        SAMPLE["hvps.112.001.01"],
        SAMPLE["ccms.303.001.01"],
        SAMPLE["ccms.315.001.01"],
        SAMPLE["ccms.801.001.01"],
        SAMPLE["ccms.991.001.01"],
        m.Acknowledgement(m.Original("20261123ABCDEFGHIJKL", "102290012345", "hvps.111.001.01")),
        m.Acknowledgement(m.Original("20261123ABCDEFGHIJKL", SPONSOR, "ibps.309.001.01")),
    ],
)
def test_what_concerns_no_payment_of_ours_says_nothing(message: Any) -> None:
    assert said(message) == []


def test_announcements_become_notices() -> None:
    header = m.Header("-", "20261123N", CENTRE, SPONSOR, AT, direction="D")
    until = AT + timedelta(hours=3)
    (limit,) = notices_of(m.Frame(header, m.LimitChange("BEPS", 500_00, AT, until, words="临时")))
    assert (limit.kind, limit.rail, limit.limit_fen) == (NoticeKind.LIMIT, "beps", 500_00)
    assert (limit.effective_from, limit.effective_until) == (AT, until)
    day = date(2026, 11, 24)
    change = m.SystemDay("HVPS", date(2026, 11, 23), day, "50", AT, holiday=True)
    (announced,) = notices_of(m.Frame(header, change))
    assert (announced.kind, announced.day, announced.working_day) == (
        NoticeKind.SYSTEM_DAY,
        day,
        False,
    )
    (outage,) = notices_of(m.Frame(header, m.Outage("HVPS", AT, None, "停运")))
    assert (outage.kind, outage.effective_until, outage.words) == (NoticeKind.OUTAGE, None, "停运")
    assert outage.message_id == "20261123N" and outage.at == AT
    assert notices_of(m.Frame(header, m.Outage("ABCD", AT))) == []
    assert notices_of(m.Frame(header, m.Enquiry(ORIGINAL))) == []


def china(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC) - timedelta(hours=8)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at", "end"),
    [
        (china(2026, 11, 23, 9, 0), china(2026, 11, 23, 18, 0)),
        (china(2026, 11, 23, 17, 14, 59), china(2026, 11, 23, 18, 0)),
        # Closed from 17:15 to 20:30; what is made then may be held for the next day.
        (china(2026, 11, 23, 17, 15), china(2026, 11, 24, 18, 0)),
        (china(2026, 11, 23, 20, 30), china(2026, 11, 24, 18, 0)),
        # Friday evening books on Monday, unless the weekend is worked in exchange.
        (china(2026, 11, 27, 21, 0), china(2026, 11, 30, 18, 0)),
        (china(2026, 1, 3, 21, 0), china(2026, 1, 4, 18, 0)),
        (china(2026, 1, 4, 12, 0), china(2026, 1, 4, 18, 0)),
        (china(2026, 1, 1, 12, 0), china(2026, 1, 4, 18, 0)),
    ],
)
def test_a_message_is_valid_to_the_end_of_its_business_day_and_a_grace(
    at: datetime, end: datetime
) -> None:
    assert profile.valid_until(at, shipped()) == end


def test_without_an_opening_in_sight_silence_is_not_taken_for_a_no() -> None:
    at = china(2026, 11, 23, 9, 0)
    for_ever = Maintenance(rail="hvps", valid_from=at, source="a test")
    assert profile.valid_until(at, shipped().with_facts([for_ever])) > at + timedelta(days=15)
    assert profile.valid_until(at, Catalog([])) > at + timedelta(days=15)


def test_an_outage_announced_meanwhile_does_not_shorten_the_day() -> None:
    at = china(2026, 11, 23, 9, 0)
    outage = Maintenance(
        rail="hvps",
        valid_from=at + timedelta(hours=1),
        valid_until=at + timedelta(hours=2),
        source="a test",
    )
    assert profile.valid_until(at, shipped().with_facts([outage])) == china(2026, 11, 23, 18, 0)
