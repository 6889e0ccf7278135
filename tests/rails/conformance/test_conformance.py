"""What every connector keeps, whatever its wire format. One suite for all of them.

A connector joins by one line in ``subjects.py``. Where a channel cannot have a trait it says so,
with the reason, and the questions about it are skipped under that reason.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rails.conformance.subject import NAMES, Subject, Trait, Trouble
from tests.rails.conformance.subjects import SUBJECTS

from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.kernel.order import Direction
from caiwutong.rails.bank_direct.connector import BankDirectRail
from caiwutong.rails.contract import (
    NOT_FOUND,
    Attempt,
    BadMessage,
    NotSent,
    RailReport,
    ReportKind,
    SentInDoubt,
    StatementLine,
)

FINAL = frozenset({ReportKind.NETTED, ReportKind.SETTLED})
PAID_OR_WAITING = FINAL | {ReportKind.ACCEPTED, ReportKind.IN_DOUBT}


@pytest.fixture(params=SUBJECTS)
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    async with SUBJECTS[request.param](tmp_path / "world") as made:
        yield made


def needs(subject: Subject, *traits: Trait) -> None:
    """Skip, under the subject's own reason, what the channel cannot have."""
    for trait in traits:
        if trait in subject.lacks:
            pytest.skip(f"{trait}: {subject.lacks[trait]}")


# ---- paying


async def test_a_payment_is_accepted_executed_once_and_ends_by_the_banks_word(subject: Subject):
    one = subject.attempt()
    first = await subject.pay(one)
    assert {report.reference for report in first} <= {one.reference}
    assert {report.kind for report in first} <= PAID_OR_WAITING
    last = await subject.end_of(one)
    assert last.kind in FINAL
    assert last.amount_fen in (None, one.amount_fen)
    assert last.rail == subject.rail.name
    assert subject.debits(one.reference) == [one.amount_fen]


async def test_many_payments_sent_together_each_have_their_own_outcome(subject: Subject):
    good = [subject.attempt(100 + n) for n in range(5)]
    bad = subject.attempt(999, subject.payee(closed=True))
    together = [*good[:3], bad, *good[3:]]
    at_once = await subject.pay(*together)
    early = await subject.rail.enquire(together)
    assert [report.reference for report in early] == [each.reference for each in together]
    for report in (*at_once, *early):
        # Received is not paid: no end is told before the bank's own books have it.
        if report.kind in FINAL:
            assert report.reference != bad.reference and subject.debits(report.reference)
    ends = [await subject.end_of(each) for each in together]
    assert [end.kind in FINAL for end in ends] == [True, True, True, False, True, True]
    assert ends[3].kind is ReportKind.REJECTED
    for each in good:
        assert subject.debits(each.reference) == [each.amount_fen]
    assert subject.debits(bad.reference) == []


async def test_every_message_names_the_references_inside_and_none_is_left_out(subject: Subject):
    attempts = [subject.attempt(100 + n) for n in range(7)]
    messages = subject.rail.encode_many(attempts)
    named = Counter(ref for message in messages for ref in message.references)
    assert named == Counter(each.reference for each in attempts)


async def test_only_a_payment_in_cny_out_of_our_account_is_sent_as_one(subject: Subject):
    one = subject.attempt()
    for other in (
        msgspec.structs.replace(one, direction=Direction.PULL),
        msgspec.structs.replace(one, currency="USD"),
    ):
        with pytest.raises(Refused) as refused:
            subject.rail.encode_many([other])
        assert refused.value.cure


# ---- idempotent resubmission


async def test_the_same_message_again_is_the_same_payment(subject: Subject):
    one = subject.attempt()
    (message,) = subject.rail.encode_many([one])
    for _ in range(3):
        reports = subject.rail.decode(await subject.rail.send(message))
        assert {report.kind for report in reports} <= PAID_OR_WAITING
        await subject.work()
    assert (await subject.end_of(one)).kind in FINAL
    assert subject.debits(one.reference) == [one.amount_fen]


async def test_the_same_attempts_grouped_otherwise_are_the_same_payments(subject: Subject):
    attempts = [subject.attempt(100 + n) for n in range(4)]
    for group in (attempts, attempts[:1], attempts[1:3], list(reversed(attempts))):
        reports = await subject.pay(*group)
        assert {report.kind for report in reports} <= PAID_OR_WAITING
    for each in attempts:
        assert (await subject.end_of(each)).kind in FINAL
    for group in (attempts[2:], attempts):
        reports = await subject.pay(*group)
        assert {report.kind for report in reports} <= PAID_OR_WAITING, "it has been paid"
    for each in attempts:
        assert subject.debits(each.reference) == [each.amount_fen]


async def test_copies_that_race_each_other_are_one_payment_each(subject: Subject):
    attempts = [subject.attempt(100 + n) for n in range(8)]
    messages = subject.rail.encode_many(attempts)
    alone = [m for each in attempts for m in subject.rail.encode_many([each])]
    racing = [*messages, *alone, *messages]
    answers = await asyncio.gather(*(subject.rail.send(m) for m in racing), return_exceptions=True)
    for raw in answers:
        if isinstance(raw, BaseException):
            assert isinstance(raw, (SentInDoubt, NotSent))
            continue
        assert {report.kind for report in subject.rail.decode(raw)} <= PAID_OR_WAITING
    for each in attempts:
        assert (await subject.end_of(each)).kind in FINAL
        assert subject.debits(each.reference) == [each.amount_fen]


async def test_an_attempt_encoded_after_a_restart_is_the_same_payment(subject: Subject):
    one = subject.attempt()
    await subject.pay(one)
    await subject.end_of(one)
    await subject.pass_time(1)
    again = msgspec.json.decode(msgspec.json.encode(one), type=Attempt)
    reports = await subject.pay(again)
    assert {report.kind for report in reports} <= PAID_OR_WAITING
    assert subject.debits(one.reference) == [one.amount_fen]


# ---- doubt


async def test_a_reference_never_sent_is_doubt_and_not_failure(subject: Subject):
    sent, never = subject.attempt(), subject.attempt()
    await subject.pay(sent)
    about_never, about_sent = await subject.rail.enquire([never, sent])
    assert (about_never.kind, about_never.code) == (ReportKind.IN_DOUBT, NOT_FOUND)
    assert about_never.reference == never.reference
    assert about_sent.reference == sent.reference and about_sent.code != NOT_FOUND


async def test_after_a_lost_answer_the_question_finds_the_one_execution(subject: Subject):
    needs(subject, Trait.TROUBLE)
    one = subject.attempt()
    (message,) = subject.rail.encode_many([one])
    subject.trouble(Trouble.LOST_REPLY)
    with pytest.raises(SentInDoubt):
        await subject.rail.send(message)
    assert (await subject.end_of(one)).kind in FINAL
    await subject.rail.send(message)
    assert (await subject.end_of(one)).kind in FINAL
    assert subject.debits(one.reference) == [one.amount_fen]


async def test_after_a_lost_request_the_same_message_may_go_again(subject: Subject):
    needs(subject, Trait.TROUBLE)
    one = subject.attempt()
    (message,) = subject.rail.encode_many([one])
    subject.trouble(Trouble.LOST_REQUEST)
    with pytest.raises(SentInDoubt):
        await subject.rail.send(message)
    asked = await subject.ask(one)
    assert (asked.kind, asked.code) == (ReportKind.IN_DOUBT, NOT_FOUND)
    await subject.rail.send(message)
    assert (await subject.end_of(one)).kind in FINAL
    assert subject.debits(one.reference) == [one.amount_fen]


async def test_a_message_that_arrives_late_is_executed_once_although_it_was_sent_again(
    subject: Subject,
):
    needs(subject, Trait.TROUBLE)
    one = subject.attempt()
    (message,) = subject.rail.encode_many([one])
    subject.trouble(Trouble.LATE)
    with pytest.raises(SentInDoubt):
        await subject.rail.send(message)
    assert (await subject.ask(one)).kind is ReportKind.IN_DOUBT
    await subject.rail.send(message)
    await subject.pass_time(121)
    assert (await subject.end_of(one)).kind in FINAL
    assert subject.debits(one.reference) == [one.amount_fen]
    assert one.valid_until > one.created_at + timedelta(seconds=121)


async def test_nobody_there_is_doubt_for_payments_and_unavailable_for_the_rest(subject: Subject):
    needs(subject, Trait.TROUBLE)
    one, other = subject.attempt(), subject.attempt()
    await subject.pay(one)
    subject.trouble(Trouble.OUTAGE)
    (message,) = subject.rail.encode_many([other])
    with pytest.raises((SentInDoubt, NotSent)):
        await subject.rail.send(message)
    for report in await subject.rail.enquire([one, other]):
        assert report.kind is ReportKind.IN_DOUBT and report.code != NOT_FOUND
    if Trait.BALANCES not in subject.lacks:
        with pytest.raises(Unavailable):
            await subject.rail.balances([subject.payer])
    if Trait.STATEMENT not in subject.lacks:
        with pytest.raises(Unavailable):
            await subject.rail.statement(subject.payer, "")
    subject.trouble(None)
    assert (await subject.end_of(one)).kind in FINAL
    assert (await subject.ask(other)).code == NOT_FOUND


async def test_taking_back_and_asking_back_never_end_a_payment_by_themselves(subject: Subject):
    one = subject.attempt()
    await subject.pay(one)
    await subject.end_of(one)
    for reports in (
        await subject.rail.revoke(one),
        await subject.rail.request_return(one, "付错了"),
    ):
        about_payment = [r for r in reports if r.concerning.value == "payment"]
        assert {report.reference for report in reports} <= {one.reference}
        assert {report.kind for report in about_payment} <= PAID_OR_WAITING
    assert subject.debits(one.reference) == [one.amount_fen]


# ---- signature


async def test_an_answer_signed_by_somebody_else_is_not_believed(subject: Subject):
    needs(subject, Trait.TROUBLE, Trait.SIGNATURE)
    one = subject.attempt()
    (message,) = subject.rail.encode_many([one])
    subject.trouble(Trouble.WRONG_SIGNATURE)
    raw = await subject.rail.send(message)
    with pytest.raises(BadMessage):
        subject.rail.decode(raw)
    assert (await subject.end_of(one)).kind in FINAL


async def test_no_tampering_with_what_the_bank_said_changes_what_we_read(subject: Subject):
    needs(subject, Trait.SIGNATURE)
    chance, refused, tried = random.Random(7), 0, 0
    for raw in await said(subject):
        true = subject.rail.decode(raw)
        for at in sorted(chance.sample(range(len(raw)), min(len(raw), 60))):
            changed = raw[:at] + bytes([raw[at] ^ (1 << chance.randrange(7))]) + raw[at + 1 :]
            tried += 1
            try:
                assert subject.rail.decode(changed) == true
            except BadMessage:
                refused += 1
    assert refused > 0.8 * tried, "a signature covers nearly every byte"


async def test_a_message_of_ours_changed_on_the_way_is_not_executed_as_something_else(
    subject: Subject,
):
    needs(subject, Trait.SIGNATURE)
    chance, stopped = random.Random(11), 0
    for number in range(8):
        one = subject.attempt(7_000 + number)
        (message,) = subject.rail.encode_many([one])
        body = message.body
        at = chance.randrange(len(body) // 3, len(body) - 1)
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        try:
            await subject.rail.send(msgspec.structs.replace(message, body=changed))
        except (SentInDoubt, NotSent, BadMessage):
            stopped += 1
        for _ in range(3):
            await subject.work()
        assert subject.debits(one.reference) in ([], [one.amount_fen])
        stopped += subject.debits(one.reference) == []
    assert stopped, "a changed message is refused"


async def said(subject: Subject) -> list[bytes]:
    """What the bank says in the life of two payments: answers, and notices where it has them."""
    good, bad = subject.attempt(), subject.attempt(5_00, subject.payee(closed=True))
    raws = [await subject.rail.send(message) for message in subject.rail.encode_many([good, bad])]
    for each in (good, bad):
        await subject.end_of(each)
    if Trait.NOTICES not in subject.lacks:
        raws += (await subject.notices())[:4]
    return [raw for raw in raws if raw]


# ---- encoding


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_arrives_exactly_as_written_or_is_refused_before_sending(
    subject: Subject, name: str
):
    one = subject.attempt(3_21, subject.payee(name))
    try:
        messages = subject.rail.encode_many([one])
    except Refused as refused:
        assert NAMES[name] != "ordinary", "every bank takes this name"
        assert refused.cure and name not in refused.detail
        assert (await subject.ask(one)).code == NOT_FOUND
        return
    for message in messages:
        subject.rail.decode(await subject.rail.send(message))
    # The payee's bank compares the name with its own books: settled means it came through.
    assert (await subject.end_of(one)).kind in FINAL
    assert subject.named(one.reference) == name


async def test_what_no_message_can_carry_is_refused_and_takes_no_other_with_it(subject: Subject):
    for name in ("名\x00字", "名\n字", "名\ud800字"):
        torn = subject.attempt(1_00, msgspec.structs.replace(subject.payee(), name=name))
        with pytest.raises(Refused):
            subject.rail.encode_many([torn])
    good = subject.attempt(1_00)
    await subject.pay(good)
    assert (await subject.end_of(good)).kind in FINAL


# ---- notices


async def test_what_the_bank_tells_of_itself_agrees_with_what_it_answers(subject: Subject):
    needs(subject, Trait.NOTICES)
    good, bad = subject.attempt(), subject.attempt(5_00, subject.payee(closed=True))
    await subject.pay(good, bad)
    ends = {each.reference: (await subject.end_of(each)).kind for each in (good, bad)}
    told: dict[str, list[RailReport]] = {}
    for raw in await subject.notices():
        for report in subject.rail.decode(raw):
            told.setdefault(report.reference, []).append(report)
        assert isinstance(acknowledged(subject, raw), bytes)
    assert told[good.reference][-1].kind in FINAL
    for reference, reports in told.items():
        assert (reports[-1].kind in FINAL) == (ends[reference] in FINAL)


def acknowledged(subject: Subject, raw: bytes) -> bytes:
    answer = getattr(subject.rail, "acknowledge", None)
    return b"" if answer is None else answer(raw)


# ---- accounts


async def whole_statement(subject: Subject) -> list[StatementLine]:
    lines: list[StatementLine] = []
    cursor, more = "", True
    while more:
        page = await subject.rail.statement(subject.payer, cursor)
        lines += page.lines
        cursor, more = page.cursor, page.more
    assert (await subject.rail.statement(subject.payer, cursor)).lines == ()
    return lines


async def test_the_statement_agrees_with_what_was_paid(subject: Subject):
    needs(subject, Trait.STATEMENT)
    good = [subject.attempt(100 + n) for n in range(3)]
    bad = subject.attempt(9_99, subject.payee(closed=True))
    await subject.pay(*good, bad)
    for each in (*good, bad):
        await subject.end_of(each)
    lines = await whole_statement(subject)
    assert len({line.line_id for line in lines}) == len(lines)
    for each in good:
        paid = [x for x in lines if x.reference == each.reference and x.kind == "payment"]
        assert [line.amount_fen for line in paid] == [-each.amount_fen]
        assert paid[0].counterparty_account == each.payee.account
    assert sum(x.amount_fen for x in lines if x.reference == bad.reference) == 0
    for before, line in pairwise(lines):
        assert line.balance_after_fen == before.balance_after_fen + line.amount_fen
    assert all(line.booked_at.tzinfo is not None for line in lines)
    if Trait.BALANCES not in subject.lacks:
        (balance,) = await subject.rail.balances([subject.payer])
        assert balance.balance_fen == lines[-1].balance_after_fen
        assert balance.account == subject.payer.account


async def test_a_strange_cursor_is_refused_or_starts_nothing(subject: Subject):
    needs(subject, Trait.STATEMENT)
    with pytest.raises((Refused, Unavailable)):
        await subject.rail.statement(subject.payer, "no cursor of ours \x00")


async def test_money_that_comes_back_is_seen_and_stands_in_the_statement(subject: Subject):
    needs(subject, Trait.RETURNS)
    one = subject.attempt(6_66)
    await subject.pay(one)
    assert (await subject.end_of(one)).kind in FINAL
    await subject.give_back(one)
    seen = [await subject.ask(one)]
    if Trait.NOTICES not in subject.lacks:
        seen += [r for raw in await subject.notices() for r in subject.rail.decode(raw)]
    if Trait.RETURNED_PAYMENTS not in subject.lacks:
        assert isinstance(subject.rail, BankDirectRail)
        today = china_date(subject.clock.now())
        back = await subject.rail.returned_payments(subject.payer, today, today)
        assert [(r.kind, r.reference) for r in back] == [(ReportKind.RETURNED, one.reference)]
        assert back[0].amount_fen == one.amount_fen
        seen += back
    returned = [r for r in seen if r.kind is ReportKind.RETURNED and r.reference == one.reference]
    assert returned
    if Trait.STATEMENT not in subject.lacks:
        lines = [x for x in await whole_statement(subject) if x.reference == one.reference]
        assert [x.amount_fen for x in lines if x.kind in ("payment", "return")] == [-6_66, 6_66]


async def test_a_line_has_its_electronic_receipt(subject: Subject):
    needs(subject, Trait.RECEIPTS)
    assert isinstance(subject.rail, BankDirectRail)
    one = subject.attempt(8_88)
    await subject.pay(one)
    await subject.end_of(one)
    lines = [x for x in await whole_statement(subject) if x.reference == one.reference]
    gone = msgspec.structs.replace(lines[0], line_id="9999999")
    receipts = await subject.rail.receipts(subject.payer, [lines[0], gone])
    assert [each.line_id for each in receipts] == [lines[0].line_id]
    assert receipts[0].document.startswith(b"%PDF") and receipts[0].check_code
    assert receipts[0].account == subject.payer.account


# ---- fuzz


async def test_whatever_bytes_come_only_bad_message_escapes(subject: Subject):
    samples = await said(subject)

    @settings(
        max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        whole = data.draw(st.sampled_from([*samples, b"", b"@x\n"]))
        cut = data.draw(st.integers(0, len(whole)))
        skip = data.draw(st.integers(0, 9))
        raw = whole[:cut] + data.draw(st.binary(max_size=8)) + whole[cut + skip :]
        try:
            reports = subject.rail.decode(raw)
        except BadMessage:
            return
        assert all(report.rail == subject.rail.name for report in reports)

    fuzz()
