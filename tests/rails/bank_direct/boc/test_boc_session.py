"""The token rule: a refused token never loses a payment, and a lost answer never doubles one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.contract import Tools
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.styles.boc import codec, profile
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc.connector import BocConnector
from caiwutong.rails.contract import (
    SILENCE,
    BadMessage,
    NotSent,
    RailMessage,
    ReportKind,
    SentInDoubt,
)
from support.boc_bank import NOON, STRANGER, Cut, ScriptedBank, attempt, error

K = ReportKind


@pytest.fixture
async def bank() -> AsyncIterator[ScriptedBank]:
    started = await ScriptedBank().start()
    yield started
    await started.stop()


@pytest.fixture
async def connector(bank: ScriptedBank) -> AsyncIterator[BocConnector]:
    opened = BocConnector(bank.connection(), tools())
    yield opened
    await opened.close()


def tools() -> Tools:
    return Tools(ManualClock(NOON), SystemRandomness(), least_real_timeout_s=0.2)


def order(connector: BocConnector, *references: str) -> RailMessage:
    [message] = connector.encode_many([attempt(each) for each in references])
    return message


async def test_the_first_payment_signs_in_and_the_next_ones_share_the_session(
    bank: ScriptedBank, connector: BocConnector
) -> None:
    for reference in ("R1", "R2"):
        [report] = connector.decode(await connector.send(order(connector, reference)))
        assert (report.kind, report.reference) == (K.ACCEPTED, reference)
    assert bank.sign_ins == 1


async def test_many_at_once_sign_in_once(bank: ScriptedBank, connector: BocConnector) -> None:
    await asyncio.gather(*(connector.send(order(connector, f"R{n}")) for n in range(8)))
    assert bank.sign_ins == 1 and len(bank.orders) == 8


async def test_a_payment_under_a_refused_token_goes_once_more_in_a_new_session(
    bank: ScriptedBank, connector: BocConnector
) -> None:
    await connector.send(order(connector, "R1"))
    bank.live.clear()
    [report] = connector.decode(await connector.send(order(connector, "R2")))
    assert report.kind is K.ACCEPTED
    assert bank.sign_ins == 2
    assert bank.ordered() == ["R1", "R2"]


async def test_a_token_refused_again_and_again_leaves_the_payment_certainly_unsent(
    bank: ScriptedBank, connector: BocConnector
) -> None:
    await connector.send(order(connector, "R1"))

    async def never(document: codec.Document) -> Word:
        return error(profile.SESSION_OVER)

    bank.script = never
    with pytest.raises(NotSent, match="did not look into"):
        await connector.send(order(connector, "R2"))
    assert len(bank.orders) == 1 + 4, "once under each of four tokens, and then no more"


async def test_where_only_the_newest_token_lives_two_processes_still_pay_each_payment_once(
    bank: ScriptedBank,
) -> None:
    bank.one_session = True
    both = [BocConnector(bank.connection(session_requests=1), tools()) for _ in range(2)]
    unsent: list[str] = []

    async def pay(number: int) -> None:
        connector = both[number % 2]
        try:
            [report] = connector.decode(await connector.send(order(connector, f"R{number}")))
        except NotSent:
            unsent.append(f"R{number}")
        else:
            assert report.kind is K.ACCEPTED

    await asyncio.gather(*(pay(number) for number in range(24)))
    for each in both:
        await each.close()
    assert sorted(bank.ordered() + unsent) == sorted(f"R{number}" for number in range(24))
    assert len(unsent) < 12, "most of them find a session of their own"


async def test_a_lost_answer_is_doubt_and_the_payment_is_not_sent_again(
    bank: ScriptedBank, connector: BocConnector
) -> None:
    async def cut(document: codec.Document) -> Word:
        raise Cut

    bank.script = cut
    with pytest.raises(SentInDoubt):
        await connector.send(order(connector, "R1"))
    assert len(bank.orders) == 1


async def test_a_token_that_expires_and_a_lost_answer_after_it_are_doubt_with_one_order(
    bank: ScriptedBank, connector: BocConnector
) -> None:
    await connector.send(order(connector, "R1"))
    bank.live.clear()

    async def cut(document: codec.Document) -> Word:
        raise Cut

    bank.script = cut
    with pytest.raises(SentInDoubt):
        await connector.send(order(connector, "R2"))
    assert bank.ordered() == ["R1", "R2"]
    bank.script = bank.ordinary
    [report] = await connector.enquire([attempt("R2")])
    assert report.kind is K.SETTLED


@pytest.mark.parametrize("lie", ["other_token", "other_message", "stranger"])
async def test_a_refusal_of_the_token_that_is_not_the_banks_for_this_message_sends_nothing_again(
    bank: ScriptedBank, connector: BocConnector, lie: str
) -> None:
    """Such an answer says nothing about our order: it is read like any other, as doubt."""

    async def refuse(document: codec.Document) -> Word:
        if lie == "stranger":
            bank.signer = STRANGER.signer
        else:
            bank.answered_head = {"token": "old"} if lie == "other_token" else {"message_id": "M9"}
        return error(profile.SESSION_OVER)

    await connector.send(order(connector, "R1"))
    bank.script = refuse
    raw = await connector.send(order(connector, "R2"))
    assert len(bank.orders) == 2
    if lie == "other_token":
        [report] = connector.decode(raw)
        assert (report.kind, report.code) == (K.IN_DOUBT, profile.SESSION_OVER)
    else:
        with pytest.raises(BadMessage):
            connector.decode(raw)


async def test_a_full_session_leaves_the_payment_certainly_unsent(
    bank: ScriptedBank, connector: BocConnector
) -> None:
    async def full(document: codec.Document) -> Word:
        return error(profile.SESSION_FULL)

    bank.script = full
    with pytest.raises(NotSent):
        await connector.send(order(connector, "R1"))
    [report] = await connector.enquire([attempt("R1")])
    assert (report.kind, report.code) == (K.IN_DOUBT, SILENCE)


async def test_without_a_session_nothing_was_sent(
    bank: ScriptedBank, connector: BocConnector
) -> None:
    bank.refuse_sign_in = True
    with pytest.raises(NotSent, match="B903"):
        await connector.send(order(connector, "R1"))
    [report] = await connector.enquire([attempt("R1")])
    assert report.kind is K.IN_DOUBT and bank.orders == []


async def test_no_more_requests_are_under_way_than_the_session_allows(bank: ScriptedBank) -> None:
    async def slow(document: codec.Document) -> Word:
        await asyncio.sleep(0.02)
        return await bank.ordinary(document)

    bank.script = slow
    connector = BocConnector(bank.connection(session_requests=3), tools())
    await asyncio.gather(*(connector.send(order(connector, f"R{n}")) for n in range(9)))
    await connector.close()
    assert bank.most_at_once == 3
    for wrong in ({"session_requests": 0}, {"batch_payments": 0}, {"batch_payments": 51}):
        with pytest.raises(Refused):
            BocConnector(bank.connection(**wrong), tools())


async def test_a_batch_is_one_message_and_enquiries_are_bundled(
    bank: ScriptedBank, connector: BocConnector
) -> None:
    attempts = [attempt(f"R{n}") for n in range(120)]
    messages = connector.encode_many(attempts)
    assert [len(each.references) for each in messages] == [50, 50, 20]
    assert tuple(r for each in messages for r in each.references) == tuple(
        each.reference for each in attempts
    )
    reports = await connector.enquire(attempts)
    assert [each.reference for each in reports] == [each.reference for each in attempts]
    assert len(bank.asked) == 3


async def test_the_password_never_travels(bank: ScriptedBank, connector: BocConnector) -> None:
    await connector.send(order(connector, "R1"))
    assert "correct horse" not in repr(bank.connection())
    assert bank.sent and not any(b"correct horse" in each for each in bank.sent)


def test_what_does_not_fit_is_refused_with_what_helps(bank: ScriptedBank) -> None:
    connector = BocConnector(bank.connection(), tools())
    long_name = replace(attempt("R1").payee, name="甲" * 101)
    for bad in (attempt("R" * 21), attempt("R1", payee=long_name), attempt("R-1")):
        with pytest.raises(Refused) as refusal:
            connector.encode_many([bad])
        assert refusal.value.code == "bank_direct.does_not_fit"


async def test_revoking_is_unsupported_and_tells_how_the_payment_stands(
    bank: ScriptedBank, connector: BocConnector
) -> None:
    standing, refused = await connector.revoke(attempt("R1"))
    assert standing.kind is K.SETTLED
    assert (refused.kind, refused.code) == (K.REJECTED, "unsupported")
    [asked] = await connector.request_return(attempt("R1"), "错付")
    assert (asked.kind, asked.code) == (K.REJECTED, "unsupported")


def test_an_unclear_answer_of_the_profile_is_never_a_failure() -> None:
    for code, meaning in profile.STATES.items():
        assert meaning.kind is not K.REJECTED or code in (profile.FAILED, profile.STALE)
    assert isinstance(error("B1"), m.ErrorAnswer)
