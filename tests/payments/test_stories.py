"""Whole payments, told from the order to the end, with a bank that misbehaves."""

from __future__ import annotations

import asyncio
from datetime import date
from uuid import uuid4

import pytest

from caiwutong.approvals.model import Decided, Waiting
from caiwutong.kernel.errors import CaiwutongError, Conflict, NotFound, Refusal
from caiwutong.kernel.order import Party
from caiwutong.ledger.model import Transfer
from caiwutong.payments.model import Receipt
from caiwutong.payments.states import State
from caiwutong.rails.contract import BadMessage, Concerning, ReportKind
from support.payment_house import LOST, OPENING, REFUSED_CONNECTION, House

ACCEPTED, NETTED, SETTLED = ReportKind.ACCEPTED, ReportKind.NETTED, ReportKind.SETTLED
REJECTED, REVOKED, RETURNED = ReportKind.REJECTED, ReportKind.REVOKED, ReportKind.RETURNED
IN_DOUBT = ReportKind.IN_DOUBT


async def test_from_order_to_completion(house: House) -> None:
    answer = await house.submit()
    assert isinstance(answer, Receipt) and answer.state is State.VALIDATED
    assert await house.money() == (OPENING, 100_00, OPENING - 100_00)
    await house.dispatch.run_once(house.tenant)
    assert await house.state(answer.payment_id) is State.CLEARING
    await house.say(NETTED, answer.payment_id, "PR03")
    await house.say(SETTLED, answer.payment_id, "PR04")
    view = await house.view(answer.payment_id)
    assert view.state is State.COMPLETED and view.final
    assert view.completed_at is not None and view.settled_at is not None
    assert await house.money() == (OPENING - 100_00, 0, OPENING - 100_00)
    assert await house.kinds(answer.payment_id) == [
        "payment.created",
        "payment.submitted",
        "payment.clearing",
        "payment.completed",
        "payment.settled",
    ]


async def test_a_definite_no_gives_the_hold_back(house: House) -> None:
    payment = await house.pay()
    await house.say(REJECTED, payment, "RJ02", words="户名不符")
    view = await house.view(payment)
    assert (view.state, view.reason_code) == (State.REJECTED, "RJ02")
    assert await house.money() == (OPENING, 0, OPENING)


class TestTheKey:
    """A key answers with the same payment for ever, and only for the same content."""

    async def test_the_same_content_gives_the_first_answer_again(self, house: House) -> None:
        first = await house.submit("order-7")
        again = await house.submit("order-7")
        assert isinstance(first, Receipt) and isinstance(again, Receipt)
        assert again.payment_id == first.payment_id and again.replayed
        assert (await house.money())[1] == 100_00

    async def test_even_a_year_later(self, house: House) -> None:
        first = await house.pay("order-7")
        await house.say(NETTED, first)
        house.clock.advance(366 * 86400)
        again = await house.submit("order-7")
        assert isinstance(again, Receipt) and again.payment_id == first

    async def test_other_content_is_refused_by_name(self, house: House) -> None:
        await house.submit("order-7")
        refused = await house.submit("order-7", 100_01)
        assert isinstance(refused, Refusal) and refused.code == "payment.key_reused"
        assert (await house.money())[1] == 100_00

    async def test_twice_inside_one_batch(self, house: House) -> None:
        same = house.submission("a", house.order())
        other = house.submission("a", house.order(7_00))
        first, second, third = await house.intake.submit_many(house.tenant, [same, same, other])
        assert isinstance(first, Receipt) and isinstance(second, Receipt)
        assert first.payment_id == second.payment_id and second.replayed
        assert isinstance(third, Refusal) and third.code == "payment.key_reused"

    async def test_raced_by_many_connections(self, house: House) -> None:
        answers = await asyncio.gather(*(house.submit("order-7") for _ in range(12)))
        assert all(isinstance(a, Receipt) for a in answers)
        assert len({a.payment_id for a in answers if isinstance(a, Receipt)}) == 1
        assert (await house.money())[1] == 100_00

    async def test_a_refused_order_leaves_its_key_free(self, house: House) -> None:
        refused = await house.submit("order-7", OPENING + 1)
        assert isinstance(refused, Refusal) and refused.code == "ledger.insufficient"
        assert isinstance(await house.submit("order-7", 1_00), Receipt)


class TestDoubt:
    """In doubt we ask; we never pay again."""

    async def test_an_unclear_reply_leaves_the_payment_in_doubt(self, house: House) -> None:
        house.rail.on_send = LOST
        payment = await house.pay()
        assert await house.state(payment) is State.IN_DOUBT
        assert (await house.money())[1] == 100_00

    async def test_an_unreadable_answer_is_no_answer(self, house: House) -> None:
        house.rail.on_send = BadMessage("xml.broken", "garbage", "")
        payment = await house.pay()
        assert await house.state(payment) is State.IN_DOUBT

    async def test_the_enquiry_finds_the_end(self, house: House) -> None:
        house.rail.on_send = LOST
        payment = await house.pay()
        house.rail.on_enquiry = (SETTLED, "PR04")
        house.clock.advance(30)
        assert await house.recovery.run_once(house.tenant) == 1
        assert await house.state(payment) is State.COMPLETED
        assert len(house.rail.sent) == 1

    async def test_an_unknown_reference_is_sent_again_as_it_was(self, house: House) -> None:
        house.rail.on_send = LOST
        payment = await house.pay()
        reference = (await house.view(payment)).reference
        house.rail.on_send = ACCEPTED
        house.clock.advance(30)
        await house.recovery.run_once(house.tenant)
        assert house.rail.sent == [reference, reference]
        assert await house.state(payment) is State.CLEARING

    async def test_unknown_is_not_rejected_while_it_may_arrive(self, house: House) -> None:
        house.rail.on_send = LOST
        payment = await house.pay()
        await house.settle_down(hours=1.9)
        assert await house.state(payment) is State.IN_DOUBT
        assert len(set(house.rail.sent)) == 1

    async def test_unknown_after_the_network_refuses_it_is_a_no(self, house: House) -> None:
        house.rail.on_send = LOST
        payment = await house.pay()
        await house.settle_down(hours=2.5)
        view = await house.view(payment)
        assert (view.state, view.reason_code) == (State.REJECTED, "never_received")
        assert await house.money() == (OPENING, 0, OPENING)

    async def test_silence_is_never_a_no_however_long(self, house: House) -> None:
        house.rail.on_send = LOST
        house.rail.on_enquiry = (IN_DOUBT, "silence")
        payment = await house.pay()
        await house.settle_down(hours=12)
        assert await house.state(payment) is State.IN_DOUBT
        assert len(house.rail.sent) == 1

    async def test_a_crash_between_commit_and_sending_is_recovered(self, house: House) -> None:
        house.rail.on_send = RuntimeError("the worker dies here")
        answer = await house.submit()
        assert isinstance(answer, Receipt)
        with pytest.raises(RuntimeError):
            await house.dispatch.run_once(house.tenant)
        assert await house.state(answer.payment_id) is State.SUBMITTED
        house.rail.on_send = ACCEPTED
        house.clock.advance(30)
        await house.dispatch.run_once(house.tenant)
        await house.recovery.run_once(house.tenant)
        assert await house.state(answer.payment_id) is State.CLEARING
        assert len(set(house.rail.sent)) == 1

    async def test_an_unreachable_rail_gets_the_same_message_later(self, house: House) -> None:
        house.rail.on_send = REFUSED_CONNECTION
        payment = await house.pay()
        assert await house.state(payment) is State.SUBMITTED
        house.rail.on_send = ACCEPTED
        house.clock.advance(30)
        await house.recovery.run_once(house.tenant)
        assert await house.state(payment) is State.CLEARING
        assert len(set(house.rail.sent)) == 1

    async def test_pauses_between_questions_grow(self, house: House) -> None:
        house.rail.on_send = LOST
        house.rail.on_enquiry = (IN_DOUBT, "silence")
        await house.pay()
        await house.settle_down(hours=1)
        assert 5 <= len(house.rail.asked) <= 15


class TestLateAndDouble:
    """Late, double and contradicting words change nothing that is over."""

    async def test_a_double_notice_posts_once(self, house: House) -> None:
        payment = await house.pay()
        reference = (await house.view(payment)).reference
        report = house.rail.report(NETTED, reference, "PR03")
        await house.settlement.apply_many(house.tenant, [report, report])
        await house.settlement.apply_many(house.tenant, [report])
        assert await house.money() == (OPENING - 100_00, 0, OPENING - 100_00)
        assert (await house.kinds(payment)).count("payment.completed") == 1

    async def test_the_end_may_come_before_the_acceptance(self, house: House) -> None:
        payment = await house.pay()
        await house.say(NETTED, payment)
        await house.say(ACCEPTED, payment)
        assert await house.state(payment) is State.COMPLETED

    @pytest.mark.parametrize("kind", [REJECTED, REVOKED])
    async def test_a_no_after_a_yes_raises_an_alarm(self, house: House, kind: ReportKind) -> None:
        payment = await house.pay()
        await house.say(NETTED, payment)
        await house.say(kind, payment)
        assert await house.state(payment) is State.COMPLETED
        assert (await house.kinds(payment))[-1] == "payment.contradicted"
        assert (await house.money())[0] == OPENING - 100_00

    async def test_a_yes_after_a_no_raises_an_alarm(self, house: House) -> None:
        payment = await house.pay()
        await house.say(REJECTED, payment)
        await house.say(NETTED, payment)
        assert await house.state(payment) is State.REJECTED
        assert (await house.kinds(payment))[-1] == "payment.contradicted"

    async def test_another_amount_is_not_believed(self, house: House) -> None:
        payment = await house.pay()
        await house.say(NETTED, payment, amount_fen=100_01)
        assert await house.state(payment) is State.CLEARING
        assert (await house.kinds(payment))[-1] == "payment.contradicted"

    async def test_a_word_about_a_stranger_changes_nothing(self, house: House) -> None:
        report = house.rail.report(NETTED, "20261102AAAAAAAAAAAA")
        (applied,) = await house.settlement.apply_many(house.tenant, [report])
        assert applied.payment_id is None and not applied.changed

    async def test_many_reports_at_once_post_once(self, house: House) -> None:
        payment = await house.pay()
        await asyncio.gather(*(house.say(NETTED, payment) for _ in range(10)))
        assert await house.money() == (OPENING - 100_00, 0, OPENING - 100_00)


class TestReturns:
    """退汇: a new inflow beside the payment, which stays completed."""

    async def test_a_return_is_a_linked_inflow(self, house: House) -> None:
        payment = await house.pay()
        await house.say(NETTED, payment)
        await house.say(RETURNED, payment, "A105")
        view = await house.view(payment)
        assert view.state is State.COMPLETED and view.returned_at is not None
        assert await house.money() == (OPENING, 0, OPENING)

    async def test_told_twice_it_is_booked_once(self, house: House) -> None:
        payment = await house.pay()
        await house.say(RETURNED, payment)
        await house.say(RETURNED, payment)
        assert await house.money() == (OPENING, 0, OPENING)
        assert (await house.kinds(payment)).count("payment.returned") == 1

    async def test_asking_for_a_return_moves_nothing_by_itself(self, house: House) -> None:
        payment = await house.pay()
        with pytest.raises(Conflict):
            await house.requests.request_return(house.tenant, payment, "wrong payee", "person:x")
        await house.say(NETTED, payment)
        await house.requests.request_return(house.tenant, payment, "wrong payee", "person:x")
        assert (await house.money())[0] == OPENING - 100_00
        assert "payment.return_requested" in await house.kinds(payment)


class TestTakingBack:
    """作废 before it leaves, 撤销 before it is netted, 冲正 in our own books."""

    async def test_cancel_before_dispatch(self, house: House) -> None:
        answer = await house.submit()
        assert isinstance(answer, Receipt)
        await house.requests.cancel(house.tenant, answer.payment_id, "person:x")
        await house.requests.cancel(house.tenant, answer.payment_id, "person:x")
        assert await house.dispatch.run_once(house.tenant) == 0
        assert await house.state(answer.payment_id) is State.CANCELLED
        assert await house.money() == (OPENING, 0, OPENING)

    async def test_cancelling_frees_the_mandates_day(self, house: House) -> None:
        answers = [await house.submit(f"a{n}", 1_000_00) for n in range(5)]
        assert all(isinstance(a, Receipt) and a.state is State.VALIDATED for a in answers)
        waits = await house.submit("b", 1_00)
        assert isinstance(waits, Receipt) and waits.state is State.AWAITING_SIGNATURES
        last = answers[-1]
        assert isinstance(last, Receipt)
        await house.requests.cancel(house.tenant, last.payment_id, "person:x")
        goes = await house.submit("c", 1_000_00)
        assert isinstance(goes, Receipt) and goes.state is State.VALIDATED

    async def test_cancel_is_too_late_once_sent(self, house: House) -> None:
        payment = await house.pay()
        with pytest.raises(Conflict) as refused:
            await house.requests.cancel(house.tenant, payment, "person:x")
        assert refused.value.code == "payment.wrong_state"

    async def test_cancel_races_dispatch_and_one_wins(self, house: House) -> None:
        answer = await house.submit()
        assert isinstance(answer, Receipt)
        await asyncio.gather(
            house.dispatch.run_once(house.tenant),
            house.requests.cancel(house.tenant, answer.payment_id, "person:x"),
            return_exceptions=True,
        )
        cancelled = await house.state(answer.payment_id) is State.CANCELLED
        assert cancelled == (not house.rail.sent)

    async def test_revoked_before_netting(self, house: House) -> None:
        payment = await house.pay()
        row = await house.requests.revoke(house.tenant, payment, "person:x")
        assert row.state is State.REVERSED
        assert await house.money() == (OPENING, 0, OPENING)

    async def test_a_refused_revocation_leaves_the_payment_alone(self, house: House) -> None:
        house.rail.on_revoke = REJECTED
        payment = await house.pay()
        row = await house.requests.revoke(house.tenant, payment, "person:x")
        assert row.state is State.CLEARING
        assert (await house.kinds(payment))[-1] == "payment.revocation_rejected"

    async def test_a_revocation_word_is_not_the_payments_word(self, house: House) -> None:
        payment = await house.pay()
        await house.say(REJECTED, payment, concerning=Concerning.REVOCATION)
        assert await house.state(payment) is State.CLEARING

    async def test_a_correction_restores_the_accounts_once(self, house: House) -> None:
        payment = await house.pay()
        await house.say(NETTED, payment)
        first = await house.requests.correct(house.tenant, payment, "booked by mistake", "person:x")
        again = await house.requests.correct(house.tenant, payment, "booked by mistake", "person:x")
        assert first == again
        assert await house.money() == (OPENING, 0, OPENING)
        assert await house.state(payment) is State.COMPLETED


class TestNobodyAlone:
    """Promise 5: outside its mandate an order waits for different people's signatures."""

    async def test_within_the_mandate_it_goes(self, house: House) -> None:
        answer = await house.submit("a", 1_000_00)
        assert isinstance(answer, Receipt) and answer.state is State.VALIDATED

    async def test_above_the_mandate_it_waits_and_holds(self, house: House) -> None:
        answer = await house.submit("a", 1_000_01)
        assert isinstance(answer, Receipt) and answer.state is State.AWAITING_SIGNATURES
        assert answer.needs
        assert await house.dispatch.run_once(house.tenant) == 0
        assert (await house.money())[1] == 1_000_01

    async def test_signed_it_goes_once(self, house: House) -> None:
        answer = await house.submit("a", 2_000_00)
        assert isinstance(answer, Receipt)
        assert isinstance(await house.sign(answer.payment_id, 0), Decided)
        assert await house.dispatch.run_once(house.tenant) == 1
        assert await house.dispatch.run_once(house.tenant) == 0
        view = await house.view(answer.payment_id)
        assert view.authorised_by.startswith("signatures:")

    async def test_a_large_one_needs_two_different_people(self, house: House) -> None:
        funds = Transfer(
            transfer_id=house.ids.new(),
            debit=house.account.ledger_account_id,
            credit=house.account.counter_account_id,
            amount_fen=100_000_00,
            at=house.clock.now(),
            kind="test",
        )
        async with house.database.transaction() as tx:
            await house.ledger.transfer_many(tx, house.tenant, [funds])
        answer = await house.submit("a", 60_000_00)
        assert isinstance(answer, Receipt)
        assert isinstance(await house.sign(answer.payment_id, 0), Waiting)
        assert isinstance(await house.sign(answer.payment_id, 0), Waiting)
        assert await house.dispatch.run_once(house.tenant) == 0
        assert isinstance(await house.sign(answer.payment_id, 1), Decided)
        assert await house.dispatch.run_once(house.tenant) == 1

    async def test_nobody_signs_and_the_hold_ends_by_itself(self, house: House) -> None:
        answer = await house.submit("a", 2_000_00)
        assert isinstance(answer, Receipt)
        house.clock.advance(7 * 86400 + 1)
        assert await house.requests.expire_due(house.tenant) == 1
        view = await house.view(answer.payment_id)
        assert (view.state, view.reason_code) == (State.CANCELLED, "payment.hold_expired")
        assert await house.money() == (OPENING, 0, OPENING)
        with pytest.raises(CaiwutongError):
            await house.sign(answer.payment_id, 0)


class TestDates:
    async def test_a_future_payment_holds_now_and_goes_on_its_day(self, house: House) -> None:
        answer = await house.submit(execute_on=date(2026, 11, 5))
        assert isinstance(answer, Receipt)
        assert (await house.money())[1] == 100_00
        assert await house.dispatch.run_once(house.tenant) == 0
        house.clock.advance(3 * 86400 - 9 * 3600 - 1)
        assert await house.dispatch.run_once(house.tenant) == 0
        house.clock.advance(1)
        assert await house.dispatch.run_once(house.tenant) == 1

    async def test_a_hold_that_ran_out_cancels_instead_of_sending(self, house: House) -> None:
        answer = await house.submit()
        assert isinstance(answer, Receipt)
        house.clock.advance(8 * 86400)
        await house.dispatch.run_once(house.tenant)
        view = await house.view(answer.payment_id)
        assert (view.state, view.reason_code) == (State.CANCELLED, "ledger.hold_expired")
        assert house.rail.sent == []
        assert await house.money() == (OPENING, 0, OPENING)


class TestRefusals:
    """Every refusal names what, which value, and what helps; is recorded; changes nothing."""

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"fen": 0}, "money.not_positive"),
            ({"fen": -1}, "money.not_positive"),
            ({"fen": 10**17}, "money.too_large"),
            ({"currency": "USD"}, "money.unknown_currency"),
            ({"payee": Party("", "622200010001")}, "payment.no_payee_name"),
            ({"payee": Party("甲", "62 22")}, "payment.bad_payee_account"),
            ({"payee": Party("甲", "622200010001", "123")}, "payment.bad_bank_code"),
            ({"payee": Party("甲\n乙", "622200010001")}, "payment.unprintable"),
            ({"remark": "长" * 141}, "payment.text_too_long"),
            ({"execute_on": date(2026, 11, 1)}, "payment.day_past"),
            ({"execute_on": date(2028, 1, 1)}, "payment.day_too_far"),
            ({"bank_account_id": uuid4()}, "bank_account.not_found"),
            ({"channel": "hvps"}, "routing.no_channel"),
            ({"fen": 1_000_000_01}, "routing.no_channel"),
            ({"fen": OPENING + 1}, "ledger.insufficient"),
        ],
    )
    async def test_refused(self, house: House, more: dict[str, object], code: str) -> None:
        answer = await house.submit("k", **more)  # type: ignore[arg-type]
        assert isinstance(answer, Refusal)
        assert answer.code == code
        assert answer.detail and answer.cure
        assert "622200010001" not in answer.detail
        assert await house.money() == (OPENING, 0, OPENING)

    async def test_one_bad_order_stops_nobody_else(self, house: House) -> None:
        good = house.submission("a", house.order())
        bad = house.submission("b", house.order(0))
        answers = await house.intake.submit_many(house.tenant, [bad, good])
        assert isinstance(answers[0], Refusal) and isinstance(answers[1], Receipt)

    async def test_a_dry_run_answers_and_keeps_nothing(self, house: House) -> None:
        submission = house.submission("a", house.order())
        (answer,) = await house.intake.submit_many(house.tenant, [submission], dry_run=True)
        assert isinstance(answer, Receipt)
        assert await house.money() == (OPENING, 0, OPENING)
        with pytest.raises(NotFound):
            await house.view(answer.payment_id)

    async def test_another_tenants_connections_are_not_ours(self, house: House) -> None:
        house.intake._connected_tenant = "someone-else"  # pyright: ignore[reportPrivateUsage]
        answer = await house.submit()
        assert isinstance(answer, Refusal) and answer.code == "routing.no_channel"
        assert "not connected" in answer.detail
