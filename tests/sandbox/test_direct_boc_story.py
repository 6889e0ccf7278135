"""The life of payments at the token-session bank: sessions that end at bad moments."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from caiwutong.rails.bank_direct.styles.boc import codec, envelope, profile
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc.connector import BocConnector
from caiwutong.rails.bank_direct.styles.boc.reports import OTHER_PAYMENT
from caiwutong.rails.contract import NOT_FOUND, AccountAtBank, NotSent, ReportKind, SentInDoubt
from caiwutong.sandbox.direct_boc import SESSION_S, BocBank
from caiwutong.sandbox.faults import FaultKind
from support.direct_desk import DirectDesk, changed, direct_desk

K = ReportKind


def connector(desk: DirectDesk) -> BocConnector:
    found = desk.rail.connector(desk.rail.connection_of(desk.payer))
    assert isinstance(found, BocConnector)
    return found


async def test_a_session_that_ends_between_payment_and_question_is_opened_again(
    folder: Path,
) -> None:
    async with direct_desk(folder, "boc") as desk:
        one = desk.attempt()
        [taken] = await desk.pay(one)
        assert (taken.kind, taken.code) == (K.ACCEPTED, profile.SUBMITTED)
        await desk.work(SESSION_S + 1)
        assert (await desk.end_of(one)).kind is K.SETTLED
        assert desk.debits(one) == [one.amount_fen]


async def test_a_session_that_ends_before_a_payment_whose_answer_is_lost_pays_once(
    folder: Path,
) -> None:
    """The token is refused, we sign in, the payment goes once more, and that answer is lost: from
    there on we only ask."""
    async with direct_desk(folder, "boc") as desk:
        await desk.pay(desk.attempt())
        assert desk.bank.end_sessions() == 1
        one = desk.attempt(42_00)
        desk.trouble(FaultKind.LOST_REPLY)
        with pytest.raises(SentInDoubt):
            await desk.pay(one)
        assert desk.bank.register.get(one.reference) is not None
        end = await desk.end_of(one)
        assert (end.kind, end.amount_fen) == (K.SETTLED, 42_00)
        assert desk.debits(one) == [42_00]


async def test_a_payment_that_was_lost_on_the_way_is_unknown_and_goes_again_in_another_session(
    folder: Path,
) -> None:
    async with direct_desk(folder, "boc") as desk:
        one = desk.attempt()
        [message] = desk.rail.encode_many([one])
        desk.trouble(FaultKind.LOST_REQUEST)
        with pytest.raises(SentInDoubt):
            await desk.rail.send(message)
        assert (await desk.ask(one)).code == NOT_FOUND
        desk.bank.end_sessions()
        [report] = desk.rail.decode(await desk.rail.send(message))
        assert report.kind is K.ACCEPTED
        assert (await desk.end_of(one)).kind is K.SETTLED
        assert desk.debits(one) == [one.amount_fen]


async def test_a_batch_with_bad_payees_ends_each_payment_by_itself(folder: Path) -> None:
    async with direct_desk(folder, "boc") as desk:
        good = [desk.attempt(100 + n) for n in range(3)]
        closed = desk.attempt(7_00, desk.payee("closed"))
        wrong = desk.attempt(8_00, desk.payee("wrong_name"))
        batch = [good[0], closed, good[1], wrong, good[2]]
        assert len(desk.rail.encode_many(batch)) == 1
        assert {each.kind for each in await desk.pay(*batch)} == {K.ACCEPTED}
        ends = [await desk.end_of(each) for each in batch]
        assert [each.kind for each in ends] == [
            K.SETTLED,
            K.REJECTED,
            K.SETTLED,
            K.REJECTED,
            K.SETTLED,
        ]
        assert "RJ11" in ends[1].words and "RJ02" in ends[3].words
        assert [desk.debits(each) for each in good] == [[100], [101], [102]]


async def test_a_payment_within_the_bank_is_received_and_not_paid_at_first(folder: Path) -> None:
    async with direct_desk(folder, "boc") as desk:
        one = desk.attempt(5_00, desk.payee(inside=True))
        [taken] = await desk.pay(one)
        assert taken.kind is K.ACCEPTED
        assert (await desk.end_of(one)).kind is K.SETTLED
        assert desk.balance_fen() == desk.opening_fen - 5_00, "within the bank it is free"


async def test_an_order_of_long_ago_is_not_taken_and_one_taken_then_still_answers(
    folder: Path,
) -> None:
    async with direct_desk(folder, "boc") as desk:
        known, late = desk.attempt(), desk.attempt()
        await desk.pay(known)
        await desk.work(2 * 3_600)
        reports = await desk.pay(known, late)
        assert [(each.kind, each.code) for each in reports] == [
            (K.ACCEPTED, profile.OK),
            (K.IN_DOUBT, profile.STALE),
        ]
        assert (await desk.ask(late)).code == NOT_FOUND
        assert desk.clock.now() > late.valid_until, "so the unknown reference is a definite no"
        assert (desk.debits(known), desk.debits(late)) == ([known.amount_fen], [])


async def test_our_reference_with_another_content_is_never_taken_for_ours(folder: Path) -> None:
    async with direct_desk(folder, "boc") as desk:
        one = desk.attempt(10_00)
        await desk.pay(one)
        other = changed(one, amount_fen=99_00)
        [report] = await desk.pay(other)
        assert (report.kind, report.code) == (K.IN_DOUBT, profile.OTHER_CONTENT)
        await desk.end_of(one)
        asked = await desk.ask(other)
        assert (asked.kind, asked.code) == (K.IN_DOUBT, OTHER_PAYMENT)
        assert desk.debits(one) == [10_00]


async def test_the_bank_tells_the_end_and_the_return_of_a_payment(folder: Path) -> None:
    async with direct_desk(folder, "boc") as desk:
        one = desk.attempt(3_00)
        await desk.pay(one)
        await desk.end_of(one)
        await desk.stage.hub.admin("POST", "returns", {"reference": one.reference})
        await desk.work()
        for _ in range(100):
            if len(desk.stage.hub.notices) >= 2:
                break
            await desk.work(0.1)
        name = desk.rail.connection_of(desk.payer)
        told = [
            report
            for path, body in desk.stage.hub.notices
            if path.endswith(name)
            for report in desk.rail.decode(desk.rail.tag(name, body))
        ]
        assert [(each.kind, each.reference) for each in told] == [
            (K.SETTLED, one.reference),
            (K.RETURNED, one.reference),
        ]
        assert (await desk.ask(one)).kind is K.RETURNED


async def test_who_does_not_know_the_password_gets_no_session(folder: Path) -> None:
    async with direct_desk(folder, "boc") as desk:
        object.__setattr__(desk.bank, "link", desk.bank.link.__class__("N", "", "", "", "other"))
        one = desk.attempt()
        with pytest.raises(NotSent, match="Sign-in was refused"):
            await desk.pay(one)
        assert desk.bank.register.get(one.reference) is None


async def test_a_session_with_too_many_answers_under_way_takes_nothing_more(folder: Path) -> None:
    async with direct_desk(folder, "boc") as desk:
        bank, keys = desk.bank, connector(desk)._link.keys
        assert isinstance(bank, BocBank)
        await desk.ask(desk.attempt())
        token = next(iter(bank._sessions))
        desk.trouble(FaultKind.SLOW, delay_s=30)

        def say() -> m.Word:
            [message] = connector(desk).encode_many([desk.attempt()])
            document = connector(desk)._link.kept(message.body)
            reply = bank.handle(envelope.sealed(document, keys.signer, token=token))
            return codec.decode(envelope.opened(reply.body, keys.verifier)).body

        answers = [say() for _ in range(profile.BOC_B2E.session_requests + 1)]
        assert all(isinstance(each, m.PayAnswer) for each in answers[:-1])
        assert isinstance(answers[-1], m.ErrorAnswer)
        assert answers[-1].status.code == profile.SESSION_FULL
        desk.clock.advance(31)
        assert isinstance(say(), m.PayAnswer)


async def test_a_rare_name_is_paid_and_comes_back_whole_in_utf_8(folder: Path) -> None:
    async with direct_desk(folder, "boc") as desk:
        known = desk.payee()
        desk.stage.sandbox.network.books[known.bank_code].open_account(
            "6222999000000001", "𠮷野家（䶮）有限公司", at=desk.clock.now()
        )
        rare = AccountAtBank(
            "𠮷野家（䶮）有限公司", "6222999000000001", known.bank_code, known.bank_name
        )
        one = desk.attempt(5_00, rare)
        await desk.pay(one)
        assert (await desk.end_of(one)).kind is K.SETTLED
        page = await desk.rail.statement(desk.payer, "")
        assert rare.name in [line.counterparty_name for line in page.lines]


async def test_statement_pages_go_on_where_they_stopped_also_on_later_days(folder: Path) -> None:
    async with direct_desk(folder, "boc") as desk:
        seen: list[int] = []
        cursor = ""
        for day in range(3):
            batch = [desk.attempt(1_00 + day) for _ in range(20 + 45 * day)]
            await desk.pay(*batch)
            for each in batch:
                assert (await desk.end_of(each)).kind is K.SETTLED
            more = True
            while more:
                page = await desk.rail.statement(desk.payer, cursor)
                seen += [line.amount_fen for line in page.lines if line.kind == "payment"]
                cursor, more = page.cursor, page.more
            assert seen.count(-100 - day) == len(batch)
            await desk.work(timedelta(days=1).total_seconds())
        assert len(seen) == 20 + 65 + 110
