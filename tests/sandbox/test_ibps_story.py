"""The life of a payment over IBPS, over real sockets: 101 → 102 → 601 → 603, and its ways out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.sandbox.conftest import stage, until

from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps import profile


async def test_a_payment_is_confirmed_netted_settled_and_credited(folder: Path) -> None:
    async with stage(folder) as s:
        payee = s.payee()
        before = s.sandbox.network.books[payee.bank_code].account(payee.account)
        reference = await s.pay(123_45, payee)
        assert isinstance(s.last, m.CreditAnswer)
        assert (s.last.status, s.last.amount_fen) == ("PR10", 123_45)
        assert s.last.original == s.hub.original(reference)

        s.clock.advance(2)
        await until(lambda: s.hub.pushed(m.NettingNotice, reference))
        notice = s.hub.pushed(m.NettingNotice, reference)[0]
        assert notice.status == "PR03" and notice.net_fen == -123_45
        assert (await s.hub.enquire(reference)).status == "PR03"
        after = s.sandbox.network.books[payee.bank_code].account(payee.account)
        assert before and after and after.balance_fen == before.balance_fen + 123_45

        s.clock.advance(600)
        await until(lambda: s.hub.pushed(m.ClearingNotice, reference))
        assert (await s.hub.enquire(reference)).status == "PR04"
        assert s.hub.bad == []


async def test_the_same_message_again_gets_the_first_answer_and_pays_once(folder: Path) -> None:
    async with stage(folder) as s:
        reference = s.hub.reference()
        raw = s.hub.encode(s.hub.transfer(s.payer, s.payee(), 50_00), reference)
        answers = [(await s.hub.post(raw))[0].message for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert isinstance(answers[0], m.CreditAnswer)
        facts = await s.hub.admin("GET", "books/executions")
        assert [f["debits"] for f in facts["executions"]] == [1]
        book = s.sandbox.network.books[s.payer.bank_code].account(s.payer.account)
        assert book and book.balance_fen == s.payer.opening_fen - 50_00


async def test_the_same_id_with_other_content_is_discarded(folder: Path) -> None:
    async with stage(folder) as s:
        reference = await s.pay(50_00)
        other = await s.hub.say(s.hub.transfer(s.payer, s.payee(), 51_00), reference)
        assert isinstance(other, m.Discard) and other.result == profile.DUPLICATE


async def test_bad_payees_and_limits_are_refused_with_their_code(folder: Path) -> None:
    async with stage(folder) as s:
        for condition, code in (("frozen", "RJ11"), ("closed", "RJ11"), ("wrong_name", "RJ02")):
            reference = await s.pay(10_00, s.payee(condition))
            assert isinstance(s.last, m.CreditAnswer)
            assert (s.last.status, s.last.reason) == ("PR09", code)
            assert (await s.hub.enquire(reference)).reason == code
        await s.pay(1_000_000_01)
        assert isinstance(s.last, m.ProcessingConfirm)
        assert (s.last.status, s.last.reason) == ("PR09", "RJ04")
        book = s.sandbox.network.books[s.payer.bank_code].account(s.payer.account)
        assert book and book.balance_fen == s.payer.opening_fen


async def test_a_message_of_another_business_date_is_never_accepted(folder: Path) -> None:
    async with stage(folder) as s:
        reference = s.hub.reference()
        transfer = s.hub.transfer(s.payer, s.payee(), 10_00)
        raw = s.hub.encode(transfer, reference, at=s.clock.now() - timedelta(days=1))
        answer = (await s.hub.post(raw))[0].message
        assert isinstance(answer, m.Discard) and answer.result == profile.WRONG_DATE
        assert (await s.hub.enquire(reference)).result == profile.UNKNOWN_ORIGINAL


async def test_a_payment_can_be_revoked_before_netting_and_not_after(folder: Path) -> None:
    async with stage(folder) as s:
        first = await s.pay(10_00)
        answer = await s.hub.say(m.Revocation(s.hub.original(first)))
        assert isinstance(answer, m.RevocationAnswer) and answer.status == "PR08"
        assert (await s.hub.enquire(first)).status == "PR08"
        book = s.sandbox.network.books[s.payer.bank_code].account(s.payer.account)
        assert book and book.balance_fen == s.payer.opening_fen

        second = await s.pay(10_00)
        await s.hub.admin("POST", "net")
        answer = await s.hub.say(m.Revocation(s.hub.original(second)))
        assert isinstance(answer, m.RevocationAnswer) and answer.status == "PR09"
        assert (await s.hub.enquire(second)).status == "PR03"


async def test_a_return_asked_for_comes_back_as_a_new_credit(folder: Path) -> None:
    async with stage(folder) as s:
        reference = await s.pay(77_00)
        request = m.ReturnRequest(s.hub.original(reference), 77_00, "付错了")
        early = await s.hub.say(request)
        assert isinstance(early, m.ReturnAnswer) and early.status == "PR09"
        await s.hub.admin("POST", "net")
        agreed = await s.hub.say(request)
        assert isinstance(agreed, m.ReturnAnswer) and agreed.status == "PR10"
        s.clock.advance(2)
        await until(lambda: s.hub.pushed(m.CreditTransfer, reference))
        back = s.hub.pushed(m.CreditTransfer, reference)[0]
        assert (back.type_code, back.amount_fen) == ("A105", 77_00)
        book = s.sandbox.network.books[s.payer.bank_code]
        account = book.account(s.payer.account)
        assert account and account.balance_fen == s.payer.opening_fen
        kinds = [line.kind for line in book.lines(s.payer.account, 0, 10)]
        assert kinds == ["opening", "payment", "return"]
        again = await s.hub.say(request)
        assert isinstance(again, m.ReturnAnswer) and again.status == "PR09"


async def test_balance_and_statement_are_told_from_the_books(folder: Path) -> None:
    async with stage(folder) as s:
        reference = await s.pay(5_00)
        balance = await s.hub.say(m.BalanceEnquiry(s.payer.account, s.payer.bank_code))
        assert isinstance(balance, m.BalanceAnswer)
        assert balance.balance_fen == s.payer.opening_fen - 5_00
        assert balance.available_fen == balance.balance_fen + s.payer.overdraft_fen
        page = await s.hub.say(m.DetailEnquiry(s.payer.account, s.payer.bank_code, limit=1))
        assert isinstance(page, m.DetailAnswer) and page.more
        rest = await s.hub.say(m.DetailEnquiry(s.payer.account, s.payer.bank_code, page.cursor))
        assert isinstance(rest, m.DetailAnswer) and not rest.more
        line = rest.lines[0]
        assert (line.kind, line.reference, line.amount_fen) == ("payment", reference, -5_00)
        assert line.balance_after_fen == balance.balance_fen
        stranger = await s.hub.say(m.BalanceEnquiry(s.payee().account, s.payer.bank_code))
        assert isinstance(stranger, m.BalanceAnswer)
        assert stranger.result == profile.UNKNOWN_ACCOUNT


async def test_a_forged_signature_is_discarded_and_nothing_is_done(folder: Path) -> None:
    async with stage(folder) as s:
        reference = s.hub.reference()
        raw = s.hub.encode(s.hub.transfer(s.payer, s.payee(), 10_00), reference)
        answer = (await s.hub.post(raw.replace(b">10.00<", b">90.00<")))[0].message
        assert isinstance(answer, m.Discard) and answer.result == profile.BAD_SIGNATURE
        assert (await s.hub.enquire(reference)).result == profile.UNKNOWN_ORIGINAL
