"""What each BEPS message is taken to mean for our payments, and what it is not taken to mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from caiwutong.rails.beps import messages as b
from caiwutong.rails.beps.reports import reporter_for, reports_of
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.contract import NOT_FOUND, Concerning, RailReport, ReportKind
from support.beps_words import BATCH_ORIGINAL, CREDIT, ORIGINAL, QUESTION, RETURN, SAMPLE
from support.ibps_words import AT, CENTRE, SPONSOR

K = ReportKind
REFERENCE = ORIGINAL.transaction_id
CONTENTS = {BATCH_ORIGINAL.message_id: (REFERENCE, "20261123ZZZZZZZZZZZZ")}
STRANGER = "102290012345"


def read(message: Any, contents: dict[str, tuple[str, ...]] | None = None) -> list[RailReport]:
    header = m.Header("ccms.900.001.01", "20261123D1", CENTRE, SPONSOR, AT)
    reporter = reporter_for(SPONSOR)
    return reports_of(
        m.Frame(header, message), reporter, CONTENTS if contents is None else contents
    )


def told(message: Any) -> list[tuple[ReportKind, str, str]]:
    return [(each.kind, each.reference, each.code) for each in read(message)]


def test_a_batch_answer_gives_each_payment_its_own_word() -> None:
    assert told(SAMPLE["ccms.900.001.01"]) == [
        (K.ACCEPTED, REFERENCE, "PR10"),
        (K.REJECTED, "20261123ZZZZZZZZZZZZ", "RJ01"),
    ]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("PR00", K.ACCEPTED), ("PR02", K.ACCEPTED), ("PR03", K.NETTED), ("PR04", K.SETTLED),
        ("PR05", K.ACCEPTED), ("PR08", K.REVOKED), ("PR09", K.REJECTED), ("PR10", K.ACCEPTED),
        ("PR77", K.IN_DOUBT),
    ],
)  # fmt: skip
def test_a_status_means_the_same_in_an_answer_and_in_an_enquiry(
    status: str, kind: ReportKind
) -> None:
    outcome = b.BatchConfirm(
        BATCH_ORIGINAL, "CB1I0000", "PR00", outcomes=(b.Outcome(REFERENCE, status),)
    )
    found = b.StatusAnswer(QUESTION, SPONSOR, (b.Found(REFERENCE, "CB1I0000", status),))
    for message in (outcome, found):
        (report,) = read(message)
        assert (report.kind, report.reference, report.code) == (kind, REFERENCE, status)
        assert report.message_id == "20261123D1"


def test_only_a_confirmed_payment_says_when_there_will_be_news() -> None:
    outcomes = tuple(b.Outcome(f"X{n}", f"PR{n:02d}") for n in range(11))
    reports = read(b.BatchConfirm(BATCH_ORIGINAL, "CB1I0000", "PR00", outcomes=outcomes))
    waiting = [report for report in reports if report.next_word_at is not None]
    assert [report.code for report in waiting] == ["PR10"]
    assert waiting[0].next_word_at and timedelta(0) < waiting[0].next_word_at - AT <= timedelta(
        minutes=32
    )


def test_a_word_on_the_batch_as_a_whole_is_never_a_no_to_its_payments() -> None:
    refused = b.BatchConfirm(BATCH_ORIGINAL, "CB1I0000", "PR09", "RJ91")
    discarded = m.Discard(BATCH_ORIGINAL, "CB1O0400", "RJ35")
    failed = m.Discard(BATCH_ORIGINAL, "CB1S0500")
    for message in (refused, discarded, failed):
        assert [each.kind for each in read(message)] == [K.IN_DOUBT] * 2
    known = m.Discard(BATCH_ORIGINAL, "CB1O0409")
    arrived = m.Acknowledgement(BATCH_ORIGINAL)
    for message in (known, arrived):
        assert [each.kind for each in read(message)] == [K.ACCEPTED] * 2
        assert {each.reference for each in read(message)} == set(CONTENTS["20261123BATCH0000001"])


def test_of_a_message_nobody_remembers_only_its_own_id_is_spoken() -> None:
    """A message of one payment has that payment's reference as its id."""
    (report,) = read(m.Acknowledgement(BATCH_ORIGINAL), {})
    assert report.reference == BATCH_ORIGINAL.message_id


def test_an_unknown_payment_is_doubt_and_a_failing_system_too() -> None:
    answer = b.StatusAnswer(
        QUESTION, SPONSOR, (b.Found("X1", "CB1O0404"), b.Found("X2", "CB1S0500"))
    )
    assert told(answer) == [(K.IN_DOUBT, "X1", NOT_FOUND), (K.IN_DOUBT, "X2", "CB1S0500")]


def test_a_netting_notice_speaks_of_our_payments_by_their_transaction() -> None:
    (report,) = read(SAMPLE["saps.601.001.01"])
    assert (report.kind, report.reference, report.amount_fen) == (K.NETTED, REFERENCE, 1234_56)


def test_only_a_credit_of_type_a105_returns_money_of_ours() -> None:
    (report,) = read(b.CustomerCredits.of([CREDIT, RETURN]))
    assert (report.kind, report.reference, report.amount_fen) == (K.RETURNED, REFERENCE, 99_00)


def test_a_real_time_answer_carries_amount_and_reject_code() -> None:
    (report,) = read(SAMPLE["beps.124.001.01"])
    assert (report.kind, report.code, report.amount_fen) == (K.REJECTED, "RJ02", 1234_56)


def test_a_refused_revocation_speaks_of_the_revocation_alone() -> None:
    (report,) = read(SAMPLE["ccms.308.001.01"])
    assert (report.kind, report.concerning) == (K.REJECTED, Concerning.REVOCATION)
    (granted,) = read(m.RevocationAnswer(QUESTION, ORIGINAL, "PR08"))
    assert (granted.kind, granted.concerning) == (K.REVOKED, Concerning.PAYMENT)


def test_words_about_other_participants_payments_say_nothing_here() -> None:
    theirs = msgspec.structs.replace(ORIGINAL, sender=STRANGER)
    other = msgspec.structs.replace(BATCH_ORIGINAL, sender=STRANGER)
    credit = msgspec.structs.replace(RETURN, original=theirs)
    for message in (
        b.BatchConfirm(other, "CB1I0000", "PR10", outcomes=(b.Outcome(REFERENCE, "PR03"),)),
        b.StatusAnswer(QUESTION, STRANGER, (b.Found(REFERENCE, "CB1I0000", "PR03"),)),
        b.RealTimeAnswer(theirs, "PR10", 1),
        b.CustomerCredits.of([credit]),
        m.Discard(other, "CB1O0409"),
        m.FreeText("您好"),
        m.Probe(),
    ):
        assert read(message) == []
