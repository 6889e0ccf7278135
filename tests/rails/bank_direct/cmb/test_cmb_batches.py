"""Batches of payments (BB1PAYBH): the bank's answer speaks of the batch, each payment is asked for
by itself, and *not found* is said only when no batch has it either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.rails.bank_direct.cmb.test_cmb_connector import CMB, attempt

from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.rails.bank_direct.contract import Tools
from caiwutong.rails.bank_direct.styles.cmb import messages
from caiwutong.rails.bank_direct.styles.cmb.connector import CmbConnector, batch_number
from caiwutong.rails.contract import NOT_FOUND, BadMessage, ReportKind
from support.cmb_bank import NOON, LocalBank

DAY = NOON.date()


@pytest.fixture
async def bank() -> AsyncIterator[LocalBank]:
    made = await LocalBank("N003261207", "308").start()
    yield made
    await made.stop()


@pytest.fixture
async def cmb(bank: LocalBank) -> AsyncIterator[CmbConnector]:
    made = open_connector(bank)
    yield made
    await made.close()


def open_connector(bank: LocalBank, payments: int = 3) -> CmbConnector:
    return CmbConnector(
        bank.connection(batch_payments=payments),
        Tools(ManualClock(NOON), SystemRandomness(), 0.3),
    )


async def test_payments_of_one_moment_travel_together_and_are_received_not_paid(cmb, bank):
    later = attempt(5, created_at=NOON + timedelta(seconds=1))
    attempts = [*(attempt(n) for n in range(4)), later]
    sent = cmb.encode_many(attempts)
    assert [(m.kind, len(m.references)) for m in sent] == [
        ("BB1PAYBH", 3),
        ("BB1PAYBH", 1),
        ("BB1PAYBH", 1),
    ]
    for message in sent:
        reports = cmb.decode(await cmb.send(message))
        assert [r.reference for r in reports] == list(message.references)
        assert {(r.kind, r.code) for r in reports} == {(ReportKind.ACCEPTED, "batch/OPR")}
    assert list(bank.batches) == [batch_number(m.references) for m in sent]
    assert cmb.encode_many(attempts)[0].message_id == sent[0].message_id


async def test_a_payment_that_only_its_batch_knows_is_found_there(cmb, bank):
    attempts = [attempt(n) for n in range(3)]
    [message] = cmb.encode_many(attempts)
    await cmb.send(message)
    lines = bank.batches[batch_number(message.references)]
    for at, (state, flag) in enumerate((("FIN", "S"), ("FIN", "F"), ("WRF", ""))):
        lines[at] = messages.msgspec.structs.replace(lines[at], state=state, flag=flag)
    found = await cmb.enquire([*attempts, attempt(9)])
    assert [(r.reference, r.kind, r.code) for r in found] == [
        (attempts[0].reference, ReportKind.SETTLED, "FIN/S"),
        (attempts[1].reference, ReportKind.REJECTED, "FIN/F"),
        (attempts[2].reference, ReportKind.IN_DOUBT, "WRF"),
        (attempt(9).reference, ReportKind.IN_DOUBT, NOT_FOUND),
    ]


async def test_not_found_is_not_said_while_the_batches_cannot_be_read(cmb, bank):
    bank.fault = "no lists"
    [report] = await cmb.enquire([attempt(1)])
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, "bank_direct.refused_query")


async def test_whoever_pays_one_by_one_now_still_finds_what_went_in_a_batch(cmb, bank):
    attempts = [attempt(1), attempt(2)]
    [message] = cmb.encode_many(attempts)
    await cmb.send(message)
    alone = open_connector(bank, payments=1)
    assert [r.kind for r in await alone.enquire(attempts)] == [ReportKind.ACCEPTED] * 2
    bank.fault = "no lists"
    assert [r.code for r in await alone.enquire([attempt(9)])] == [NOT_FOUND]
    await alone.close()


async def test_a_batch_refused_as_a_whole_leaves_every_payment_in_doubt(cmb, bank):
    bank.fault = "refuse batch"
    [message] = cmb.encode_many([attempt(1), attempt(2)])
    reports = cmb.decode(await cmb.send(message))
    assert {(r.kind, r.code) for r in reports} == {(ReportKind.IN_DOUBT, "batch/FIN/F")}
    bank.fault = "error"
    reports = cmb.decode(await cmb.send(message))
    assert {(r.kind, r.code) for r in reports} == {(ReportKind.IN_DOUBT, "CDC0099")}


async def test_an_answer_is_believed_for_the_payments_of_its_own_batch_only(cmb):
    [message] = cmb.encode_many([attempt(1), attempt(2)])
    raw = await cmb.send(message)
    other = raw.replace(attempt(2).reference.encode(), attempt(3).reference.encode())
    for torn in (other, b"?\xff\n" + raw.partition(b"\n")[2], b"?x"):
        with pytest.raises(BadMessage):
            cmb.decode(torn)


async def test_batches_and_their_payments_can_be_listed(cmb, bank):
    [message] = cmb.encode_many([attempt(1), attempt(2)])
    await cmb.send(message)
    [listed] = await cmb.batches(DAY, DAY)
    assert (listed.number, listed.state, listed.count) == (
        batch_number(message.references),
        "BNK",
        2,
    )
    inside = await cmb.batch(listed.number)
    assert [(r.reference, r.kind, r.amount_fen) for r in inside] == [
        (reference, ReportKind.ACCEPTED, 123_456) for reference in message.references
    ]
    bank.fault = "cut"
    for question in (cmb.batches(DAY, DAY), cmb.batch(listed.number)):
        with pytest.raises(Unavailable):
            await question


async def test_returns_of_all_accounts_are_read_by_day(bank):
    cmb = open_connector(bank, payments=1)
    for number in (1, 2):
        [message] = cmb.encode_many([attempt(number, CMB)])
        assert message.kind == "BB1PAYOP"
        await cmb.send(message)
    bank.settle(attempt(2).reference, "FIN", "B")
    [back] = await cmb.returned_by_day(DAY, DAY)
    assert (back.kind, back.reference) == (ReportKind.RETURNED, attempt(2).reference)
    await cmb.close()


@pytest.mark.parametrize("payments", [0, 1_001])
def test_a_batch_has_one_to_a_thousand_payments(payments: int):
    with pytest.raises(Refused):
        open_connector(LocalBank("N003261207", "308"), payments)
