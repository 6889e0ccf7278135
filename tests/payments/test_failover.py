"""Another channel: by itself after a definite no of the channel's kind, in doubt by two people's
decision; and never two payments of the hub's making."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from caiwutong.approvals.model import Decided, Waiting
from caiwutong.bank_accounts.model import AccountState, BankAccountChange
from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import ManualClock
from caiwutong.kernel.errors import CaiwutongError, Conflict, NotFound
from caiwutong.payments.model import Receipt
from caiwutong.payments.rejects import REJECTS, Whose, whose
from caiwutong.payments.states import State
from caiwutong.rails.contract import ReportKind
from support.payment_house import LOST, OPENING, House

ACCEPTED, NETTED, SETTLED = ReportKind.ACCEPTED, ReportKind.NETTED, ReportKind.SETTLED
REJECTED, REVOKED, RETURNED = ReportKind.REJECTED, ReportKind.REVOKED, ReportKind.RETURNED
IN_DOUBT = ReportKind.IN_DOUBT
HELD = (OPENING, 100_00, OPENING - 100_00)
PAID = (OPENING - 100_00, 0, OPENING - 100_00)
FREE = (OPENING, 0, OPENING)
SILENT = (IN_DOUBT, "silence")


@pytest.fixture(params=["memory", "postgres"])
async def house(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[House]:
    """An account with two channels: IBPS first, its bank's direct interface second."""
    modes = ("ibps", "bank_direct")
    if request.param == "memory":
        made = House(MemoryDatabase(), clock, memory=True, modes=modes)
        yield await made.open()
        await made.proved()
    else:
        database = await PostgresDatabase.connect(request.getfixturevalue("shared_database_url"))
        made = House(database, clock, memory=False, modes=modes)
        yield await made.open()
        await made.proved()
        await database.close()


class TestADefiniteNo:
    """of the channel's own kind: the payment goes on, under the same hold."""

    async def test_the_next_channel_completes_it_and_the_money_moves_once(
        self, house: House
    ) -> None:
        payment = await house.pay()
        await house.say(REJECTED, payment, "RJ04", words="金额超限")
        assert (await house.state(payment), await house.money()) == (State.VALIDATED, HELD)
        await house.dispatch.run_once(house.tenant)
        view = await house.view(payment)
        assert (view.state, view.rail) == (State.CLEARING, "bank_direct")
        assert await house.money() == HELD
        await house.say(SETTLED, payment, "FIN/S")
        assert (await house.state(payment), await house.money()) == (State.COMPLETED, PAID)
        assert (len(house.rail.sent), len(house.other.sent)) == (1, 1)
        assert [(a.number, a.rail, a.outcome, a.code) for a in await house.attempts(payment)] == [
            (1, "ibps", "rejected", "RJ04"),
            (2, "bank_direct", "completed", "FIN/S"),
        ]
        assert await house.kinds(payment) == [
            "payment.created",
            "payment.submitted",
            "payment.clearing",
            "payment.rerouted",
            "payment.submitted",
            "payment.clearing",
            "payment.completed",
        ]

    @pytest.mark.parametrize("code", [r.code for r in REJECTS.values() if r.whose is Whose.PAYMENT])
    async def test_the_payments_own_fault_ends_it(self, house: House, code: str) -> None:
        payment = await house.pay()
        await house.say(REJECTED, payment, code)
        await house.dispatch.run_once(house.tenant)
        assert (await house.state(payment), await house.money()) == (State.REJECTED, FREE)
        assert house.other.sent == []

    async def test_a_no_in_words_is_read_where_the_bank_has_one_code_for_all(
        self, house: House
    ) -> None:
        payment = await house.pay()
        await house.say(REJECTED, payment, "RJ95", words="收款行拒绝：账号户名不符")
        assert await house.state(payment) is State.REJECTED

    async def test_the_last_channels_no_is_the_payments_end(self, house: House) -> None:
        payment = await house.pay()
        await house.say(REJECTED, payment, "RJ91")
        await house.dispatch.run_once(house.tenant)
        await house.say(REJECTED, payment, "FIN/F")
        view = await house.view(payment)
        assert (view.state, view.reason_code) == (State.REJECTED, "FIN/F")
        assert await house.money() == FREE
        assert await house.dispatch.run_once(house.tenant) == 0

    async def test_a_channel_asked_for_by_name_has_no_substitute(self, house: House) -> None:
        payment = await house.pay(channel="ibps")
        await house.say(REJECTED, payment, "RJ04")
        assert (await house.state(payment), await house.money()) == (State.REJECTED, FREE)

    async def test_what_never_arrived_goes_another_way(self, house: House) -> None:
        house.rail.on_send = LOST
        payment = await house.pay()
        await house.settle_down(hours=2.5)
        first, second = await house.attempts(payment)
        assert (first.outcome, first.code) == ("rejected", "never_received")
        assert (second.rail, await house.state(payment)) == ("bank_direct", State.CLEARING)
        assert await house.money() == HELD

    async def test_it_may_be_cancelled_between_two_channels(self, house: House) -> None:
        payment = await house.pay()
        await house.say(REJECTED, payment, "RJ04")
        await house.requests.cancel(house.tenant, payment, "person:Chen")
        await house.dispatch.run_once(house.tenant)
        assert (await house.state(payment), await house.money()) == (State.CANCELLED, FREE)
        assert house.other.sent == []

    async def test_the_hold_does_not_end_however_long_it_waits_for_the_next(
        self, house: House
    ) -> None:
        payment = await house.pay()
        await house.say(REJECTED, payment, "RJ04")
        house.clock.advance(30 * 86400)
        await house.requests.expire_due(house.tenant)
        assert (await house.state(payment), await house.money()) == (State.VALIDATED, HELD)

    async def test_revoked_is_the_end_and_no_reason_for_another_channel(self, house: House) -> None:
        payment = await house.pay()
        await house.say(REVOKED, payment)
        assert (await house.state(payment), await house.money()) == (State.REVERSED, FREE)

    async def test_a_payment_that_is_refused_at_the_door_leaves_no_second_one(
        self, house: House
    ) -> None:
        payment = await house.pay()
        reference = (await house.view(payment)).reference
        no = house.rail.report(REJECTED, reference, "RJ04")
        await house.settlement.apply_many(house.tenant, [no, no])
        await house.dispatch.run_once(house.tenant)
        await house.settlement.apply_many(house.tenant, [no])
        assert len(await house.attempts(payment)) == 2
        assert (await house.view(payment)).rail == "bank_direct"


class TestALateYes:
    """The rail says yes to what it had refused: nothing is posted twice, and people are alarmed."""

    async def test_before_the_next_is_sent_it_stops_it(self, house: House) -> None:
        payment = await house.pay()
        reference = (await house.view(payment)).reference
        await house.say(REJECTED, payment, "RJ04")
        yes = house.rail.report(NETTED, reference, "PR03")
        await house.settlement.apply_many(house.tenant, [yes])
        await house.dispatch.run_once(house.tenant)
        view = await house.view(payment)
        assert (view.state, view.reference) == (State.COMPLETED, reference)
        assert "refused it before" in view.alarm
        assert house.other.sent == []
        assert await house.money() == PAID

    async def test_while_the_next_is_open_it_alarms(self, house: House) -> None:
        payment = await house.pay()
        reference = (await house.view(payment)).reference
        await house.say(REJECTED, payment, "RJ04")
        await house.dispatch.run_once(house.tenant)
        yes = house.rail.report(NETTED, reference, "PR03")
        await house.settlement.apply_many(house.tenant, [yes, yes])
        await house.settlement.apply_many(house.tenant, [yes])
        view = await house.view(payment)
        assert view.state is State.CLEARING
        assert "executed after all" in view.alarm
        assert await house.money() == HELD
        assert (await house.kinds(payment)).count("payment.contradicted") == 1
        first, _ = await house.attempts(payment)
        assert (first.outcome, first.later, first.later_code) == ("rejected", "netted", "PR03")

    async def test_both_executed_are_posted_once(self, house: House) -> None:
        payment = await house.pay()
        reference = (await house.view(payment)).reference
        await house.say(REJECTED, payment, "RJ04")
        await house.dispatch.run_once(house.tenant)
        await house.settlement.apply_many(house.tenant, [house.rail.report(NETTED, reference)])
        await house.say(SETTLED, payment, "FIN/S")
        assert (await house.state(payment), await house.money()) == (State.COMPLETED, PAID)
        assert (await house.view(payment)).alarm

    async def test_when_the_next_is_refused_the_first_has_paid_it(self, house: House) -> None:
        payment = await house.pay()
        reference = (await house.view(payment)).reference
        await house.say(REJECTED, payment, "RJ04")
        await house.dispatch.run_once(house.tenant)
        await house.settlement.apply_many(house.tenant, [house.rail.report(NETTED, reference)])
        await house.say(REJECTED, payment, "FIN/F")
        view = await house.view(payment)
        assert (view.state, view.reference, view.reason_code) == (
            State.COMPLETED,
            reference,
            "payment.late_yes",
        )
        assert await house.money() == PAID


class TestSilence:
    """is asked about, and opens no other way by itself."""

    async def test_silence_never_switches(self, house: House) -> None:
        house.rail.on_send = LOST
        house.rail.on_enquiry = SILENT
        payment = await house.pay()
        await house.settle_down(hours=12)
        assert await house.state(payment) is State.IN_DOUBT
        assert len(await house.attempts(payment)) == 1
        assert house.other.sent == []

    async def test_two_people_may_leave_it_once_the_network_takes_it_no_more(
        self, house: House
    ) -> None:
        payment = await _silent(house)
        await house.switching.ask(house.tenant, payment, "urgent", house.key_id, "api-key:erp")
        assert isinstance(await house.sign_switch(payment, 0), Waiting)
        assert await house.state(payment) is State.IN_DOUBT
        assert isinstance(await house.sign_switch(payment, 1), Decided)
        assert (await house.state(payment), await house.money()) == (State.VALIDATED, HELD)
        await house.dispatch.run_once(house.tenant)
        assert (await house.view(payment)).rail == "bank_direct"
        await house.say(SETTLED, payment, "FIN/S")
        assert (await house.state(payment), await house.money()) == (State.COMPLETED, PAID)

    async def test_the_decision_names_both_in_the_log(self, house: House) -> None:
        payment = await _switched(house)
        steps = (await house.views.timeline(house.tenant, payment)).steps
        step = next(s for s in steps if s.kind == "payment.switched")
        assert step.actor == "people:张敏, 王强"
        assert [each["name"] for each in step.facts["signed_by"]] == ["张敏", "王强"]
        assert step.facts["reference"] == house.rail.sent[0]

    async def test_then_a_late_yes_alarms_and_posts_nothing_twice(self, house: House) -> None:
        payment = await _switched(house)
        await house.dispatch.run_once(house.tenant)
        yes = house.rail.report(NETTED, house.rail.sent[0], "PR03")
        await house.settlement.apply_many(house.tenant, [yes])
        assert "executed after all" in (await house.view(payment)).alarm
        await house.say(SETTLED, payment, "FIN/S")
        await house.settlement.apply_many(house.tenant, [yes])
        assert (await house.state(payment), await house.money()) == (State.COMPLETED, PAID)
        assert (await house.kinds(payment)).count("payment.contradicted") == 1

    async def test_the_left_attempt_is_asked_about_until_it_answers(self, house: House) -> None:
        payment = await _switched(house)
        await house.dispatch.run_once(house.tenant)
        await house.say(SETTLED, payment, "FIN/S")
        asked = len(house.rail.asked)
        await house.settle_down(hours=1)
        assert len(house.rail.asked) > asked
        house.rail.on_enquiry = (SETTLED, "PR04")
        await house.settle_down(hours=1)
        assert "executed after all" in (await house.view(payment)).alarm
        asked = len(house.rail.asked)
        await house.settle_down(hours=1)
        assert len(house.rail.asked) == asked

    async def test_a_yes_before_the_next_is_sent_completes_it_without_alarm(
        self, house: House
    ) -> None:
        payment = await _switched(house)
        yes = house.rail.report(NETTED, house.rail.sent[0], "PR03")
        await house.settlement.apply_many(house.tenant, [yes])
        await house.dispatch.run_once(house.tenant)
        view = await house.view(payment)
        assert (view.state, view.alarm) == (State.COMPLETED, "")
        assert (house.other.sent, await house.money()) == ([], PAID)

    async def test_it_does_not_end_as_unpaid_while_the_left_one_may_have_paid(
        self, house: House
    ) -> None:
        payment = await _switched(house)
        with pytest.raises(Conflict, match="may have paid"):
            await house.requests.cancel(house.tenant, payment, "person:Chen")
        await house.dispatch.run_once(house.tenant)
        await house.say(REJECTED, payment, "RJ02")
        view = await house.view(payment)
        assert (view.state, view.reference) == (State.IN_DOUBT, house.rail.sent[0])
        assert await house.money() == HELD

    @pytest.mark.parametrize(
        ("word", "end", "money"),
        [(REJECTED, State.REJECTED, FREE), (NETTED, State.COMPLETED, PAID)],
    )
    async def test_then_the_left_ones_word_is_its_end(
        self, house: House, word: ReportKind, end: State, money: tuple[int, int, int]
    ) -> None:
        payment = await _switched(house)
        await house.dispatch.run_once(house.tenant)
        await house.say(REJECTED, payment, "RJ02")
        await house.say(word, payment, "RJ91" if word is REJECTED else "PR03")
        assert (await house.state(payment), await house.money()) == (end, money)


class TestWhoMayLeaveAnAttempt:
    async def test_nobody_while_the_network_may_still_take_it(self, house: House) -> None:
        house.rail.on_send, house.rail.on_enquiry = LOST, SILENT
        payment = await house.pay()
        with pytest.raises(Conflict) as refused:
            await house.switching.ask(house.tenant, payment, "", house.key_id, "api-key:erp")
        assert refused.value.code == "payment.still_valid"

    async def test_nobody_when_the_rail_works_on_it(self, house: House) -> None:
        payment = await house.pay()
        house.clock.advance(86400)
        with pytest.raises(Conflict) as refused:
            await house.switching.ask(house.tenant, payment, "", house.key_id, "api-key:erp")
        assert refused.value.code == "payment.not_in_doubt"

    async def test_nobody_when_the_rail_spoke_before_the_last_signature(self, house: House) -> None:
        payment = await _silent(house)
        await house.switching.ask(house.tenant, payment, "", house.key_id, "api-key:erp")
        await house.sign_switch(payment, 0)
        await house.say(NETTED, payment)
        with pytest.raises(Conflict):
            await house.sign_switch(payment, 1)
        assert await house.state(payment) is State.COMPLETED
        assert house.other.sent == []

    async def test_not_one_person_twice(self, house: House) -> None:
        payment = await _silent(house)
        await house.switching.ask(house.tenant, payment, "", house.key_id, "api-key:erp")
        await house.sign_switch(payment, 0)
        assert isinstance(await house.sign_switch(payment, 0), Waiting)
        assert await house.state(payment) is State.IN_DOUBT

    async def test_not_who_asked_for_it(self, house: House) -> None:
        payment = await _silent(house)
        await house.switching.ask(house.tenant, payment, "", house.people[0][0], "person:张敏")
        with pytest.raises(CaiwutongError) as refused:
            await house.sign_switch(payment, 0)
        assert refused.value.code == "approvals.maker_may_not_sign"

    async def test_nobody_where_there_is_no_other_channel(self, house: House) -> None:
        payment = await _silent(house, channel="ibps")
        with pytest.raises(Conflict) as refused:
            await house.switching.ask(house.tenant, payment, "", house.key_id, "api-key:erp")
        assert refused.value.code == "payment.no_other_channel"

    async def test_nobody_what_never_left(self, house: House) -> None:
        answer = await house.submit()
        assert isinstance(answer, Receipt)
        with pytest.raises(NotFound):
            await house.switching.ask(house.tenant, answer.payment_id, "", house.key_id, "x")


class TestWhatChangedSinceValidation:
    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"state": AccountState.STOPPED}, "bank_account.not_active"),
            ({"outward": False}, "bank_account.no_outward"),
        ],
    )
    async def test_a_stopped_account_pays_nothing(
        self, house: House, change: dict[str, object], code: str
    ) -> None:
        answer = await house.submit()
        assert isinstance(answer, Receipt)
        await _change(house, change)
        await house.dispatch.run_once(house.tenant)
        view = await house.view(answer.payment_id)
        assert (view.state, view.reason_code) == (State.REJECTED, code)
        assert "…" in view.reason
        assert house.rail.sent == [] and await house.money() == FREE


class TestTheQuestions:
    async def test_their_pauses_grow_though_the_state_flips(self, house: House) -> None:
        payment = await house.pay()
        seen: set[State] = set()
        for _ in range(360):
            even = len(house.rail.asked) % 2 == 0
            house.rail.on_enquiry = SILENT if even else (ACCEPTED, "PR00")
            house.clock.advance(20)
            await house.recovery.run_once(house.tenant)
            seen.add(await house.state(payment))
        assert seen == {State.CLEARING, State.IN_DOUBT}
        # In two hours: after 20 s, 40 s … and then every 10 minutes; never every 20 s.
        assert 10 < len(house.rail.asked) < 18


def test_every_reject_code_says_whose_fault_it_is_and_what_helps() -> None:
    assert all(row.words and row.cure.endswith(".") for row in REJECTS.values())
    assert whose("RJ02") is Whose.PAYMENT
    assert whose("RJ04") is Whose.CHANNEL
    assert whose("something new") is Whose.CHANNEL


async def _silent(house: House, **order: str) -> UUID:
    house.rail.on_send, house.rail.on_enquiry = LOST, SILENT
    payment = await house.pay(**order)
    await house.settle_down(hours=2.1)
    assert await house.state(payment) is State.IN_DOUBT
    return payment


async def _switched(house: House) -> UUID:
    payment = await _silent(house)
    await house.switching.ask(house.tenant, payment, "urgent", house.key_id, "api-key:erp")
    await house.sign_switch(payment, 0)
    await house.sign_switch(payment, 1)
    return payment


async def _change(house: House, change: dict[str, Any]) -> None:
    async with house.database.transaction() as tx:
        account = house.account
        await house.accounts.update(
            tx, house.tenant, account.bank_account_id, account.version, BankAccountChange(**change)
        )
