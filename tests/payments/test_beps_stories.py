"""Whole payments over BEPS: the engine on one side, the sandbox with its own books on the other.

Business time is in the test's hand: 2026-11-23 is a Monday, ten o'clock in China when it begins; a
netting round closes every half hour.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.sandbox.conftest import until

from caiwutong.kernel.order import Priority
from caiwutong.payments.states import State
from caiwutong.rails.contract import NoticeKind
from caiwutong.sandbox.faults import FaultKind, Rule
from caiwutong.sandbox.setup import CALLBACK_BEPS
from caiwutong.sandbox.world import Payee
from support.beps_story import FIRST_FEN, ROUND_S, lost, story

S = State


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sandbox"


async def test_a_batch_with_partial_rejects_gives_each_payment_its_own_end(folder: Path) -> None:
    async with story(folder) as t:
        for condition in ("ok", "frozen", "ok", "wrong_name", "closed"):
            await t.order(t.payee(condition))
        await t.send()
        assert [len(message.references) for message in t.rail.sent] == [5]
        C, R = S.CLEARING, S.REJECTED  # noqa: N806
        assert await t.states() == [C, R, C, R, R]
        assert (await t.house.view(t.payments[3])).reason_code == "RJ02"
        await t.round()
        assert await t.states() == [S.COMPLETED, R, S.COMPLETED, R, R]
        posted, held, _ = await t.house.money()
        assert (posted, held) == (FIRST_FEN - 2 * 12_34, 0)
        await t.agree()


async def test_a_lost_answer_to_a_batch_is_asked_about_and_nothing_is_paid_twice(
    folder: Path,
) -> None:
    async with story(folder, lost(FaultKind.LOST_REPLY)) as t:
        for condition in ("ok", "frozen", "ok"):
            await t.order(t.payee(condition))
        await t.send()
        assert await t.states() == [S.IN_DOUBT] * 3
        await t.ask()
        assert await t.states() == [S.CLEARING, S.REJECTED, S.CLEARING]
        assert len(t.rail.sent) == 1, "after a silence we ask and do not send"
        await t.round()
        assert await t.states() == [S.COMPLETED, S.REJECTED, S.COMPLETED]
        await t.agree()


async def test_a_lost_batch_goes_again_in_other_company_and_each_payment_is_paid_once(
    folder: Path,
) -> None:
    async with story(folder, lost(FaultKind.LATE, delay_s=120)) as t:
        for _ in range(3):
            await t.order(t.payee())
        await t.send()
        assert await t.states() == [S.IN_DOUBT] * 3
        await t.s.hub.admin("PUT", "faults", {"profile": "none"})
        # One of them is asked about by a person, unknown to the centre, and sent again alone.
        await t.house.requests.enquire(t.house.tenant, t.payments[1])
        assert [len(message.references) for message in t.rail.sent] == [3, 1]
        assert await t.states() == [S.IN_DOUBT, S.CLEARING, S.IN_DOUBT]
        # Now the first copy of the batch arrives after all.
        t.s.clock.advance(121)
        await t.listen()
        assert await t.states() == [S.CLEARING] * 3
        await t.round()
        assert await t.states() == [S.COMPLETED] * 3
        await t.agree()


async def test_an_answer_with_a_wrong_signature_is_no_answer(folder: Path) -> None:
    async with story(folder, lost(FaultKind.WRONG_SIGNATURE)) as t:
        await t.order(t.payee())
        await t.order(t.payee("frozen"))
        await t.send()
        assert await t.states() == [S.IN_DOUBT] * 2
        await t.ask()
        assert await t.states() == [S.CLEARING, S.REJECTED]
        await t.round()
        await t.agree()


async def test_a_payment_is_revoked_before_its_round_and_not_after(folder: Path) -> None:
    async with story(folder) as t:
        early, late, there = [
            await t.order(t.payee(credits_at=when)) for when in ("round", "round", "acceptance")
        ]
        await t.send()
        await t.house.requests.revoke(t.house.tenant, early, "person:张敏")
        assert await t.state(early) is S.REVERSED
        # Where the payee's bank credits at acceptance the money is with the payee already.
        await t.house.requests.revoke(t.house.tenant, there, "person:张敏")
        assert await t.state(there) is S.CLEARING
        t.s.clock.advance(ROUND_S)
        await until(lambda: t.s.sandbox.network.centre.counts().get("PR03") == 2, 30)
        # Netted, and we have not heard of it yet: the revocation is refused and changes nothing.
        await t.house.requests.revoke(t.house.tenant, late, "person:张敏")
        assert await t.state(late) is S.CLEARING
        assert "payment.revocation_rejected" in await t.house.kinds(late)
        await t.listen()
        assert await t.states() == [S.REVERSED, S.COMPLETED, S.COMPLETED]
        posted, held, _ = await t.house.money()
        assert (posted, held) == (FIRST_FEN - 2 * 12_34, 0)
        await t.agree()


async def test_netted_completes_a_payment_and_settlement_is_told_later(folder: Path) -> None:
    async with story(folder) as t:
        one = await t.order(t.payee())
        await t.send()
        await t.round()
        view = await t.house.view(one)
        assert view.state is S.COMPLETED and view.settled_at is None
        await t.s.hub.admin("POST", "clear")
        await t.listen()
        assert (await t.house.view(one)).settled_at is not None
        assert "payment.settled" in await t.house.kinds(one)
        await t.agree()


async def test_the_payee_is_credited_at_acceptance_or_when_the_round_closes(folder: Path) -> None:
    async with story(folder) as t:
        banks = t.s.sandbox.network.books
        at_once, waits = t.payee(credits_at="acceptance"), t.payee()

        def credited(payee: Payee) -> int:
            account = banks[payee.bank_code].account(payee.account)
            assert account is not None
            return account.balance_fen - payee.opening_fen

        await t.order(at_once, 1_00)
        await t.order(waits, 2_00)
        await t.send()
        assert (credited(at_once), credited(waits)) == (1_00, 0)
        assert await t.states() == [S.CLEARING] * 2, "credited is not netted"
        await t.round()
        assert (credited(at_once), credited(waits)) == (1_00, 2_00)
        await t.agree()


async def test_a_return_comes_a_day_later_as_a_credit_of_its_own(folder: Path) -> None:
    async with story(folder) as t:
        one, other = await t.order(t.payee(), 55_00), await t.order(t.payee(), 44_00)
        await t.send()
        await t.round()
        t.s.clock.advance(timedelta(days=1).total_seconds())
        for payment in (one, other):
            reference = (await t.house.view(payment)).reference
            await t.s.hub.admin("POST", "returns", {"reference": reference})
        await t.round()
        view = await t.house.view(one)
        assert view.state is S.COMPLETED and view.returned_at is not None
        assert (await t.house.money())[0] == FIRST_FEN
        assert "payment.returned" in await t.house.kinds(other)
        await t.agree()


async def test_a_return_we_ask_for_comes_back_too(folder: Path) -> None:
    async with story(folder) as t:
        one = await t.order(t.payee(), 55_00)
        await t.send()
        await t.round()
        await t.house.requests.request_return(t.house.tenant, one, "重复付款", "person:张敏")
        await t.round()
        assert (await t.house.view(one)).returned_at is not None
        await t.agree()


async def test_a_short_quota_refuses_what_would_pass_it_until_it_is_settled(folder: Path) -> None:
    async with story(folder) as t:
        await t.s.hub.admin("PUT", "beps/quota", {"quota_fen": 250_00})
        for _ in range(3):
            await t.order(t.payee(), 100_00)
        await t.send()
        assert sorted(await t.states()) == [S.CLEARING, S.CLEARING, S.REJECTED]
        (refused,) = [p for p in t.payments if await t.state(p) is S.REJECTED]
        assert (await t.house.view(refused)).reason_code == "RJ94"
        await t.round()
        await t.s.hub.admin("POST", "clear")
        await t.order(t.payee(), 100_00)
        await t.send()
        assert await t.state(t.payments[-1]) is S.CLEARING
        await t.round()
        await t.agree()


async def test_the_saturday_maintenance_is_announced_refuses_and_ends(folder: Path) -> None:
    friday = datetime(2026, 12, 11, 15, 50, tzinfo=UTC)  # ten to midnight in China
    async with story(folder, at=friday) as t:
        waiting = await t.order(t.payee())
        await t.send()
        await t.listen()
        bodies = [body for path, body in t.s.hub.posts if path == CALLBACK_BEPS]
        (notice,) = [each for body in bodies for each in t.rail.notices(body)]
        assert (notice.kind, notice.rail) == (NoticeKind.OUTAGE, "beps")
        assert notice.effective_from == friday + timedelta(minutes=10)
        assert notice.effective_until == friday + timedelta(hours=8, minutes=10)
        t.s.clock.advance(timedelta(hours=8, minutes=9).total_seconds())  # 07:59
        refused = await t.order(t.payee())
        await t.send()
        assert await t.state(refused) is S.REJECTED
        assert (await t.house.view(refused)).reason_code == "RJ91"
        await t.listen()
        assert await t.state(waiting) is S.CLEARING, "no round closes while it is out of service"
        t.s.clock.advance(60)  # 08:00
        taken = await t.order(t.payee())
        await t.send()
        assert await t.state(taken) is S.CLEARING
        await t.round()
        assert await t.state(waiting) is S.COMPLETED
        await t.round()
        assert await t.state(taken) is S.COMPLETED
        await t.agree()


async def test_an_outage_announced_while_payments_wait_puts_their_netting_off(
    folder: Path,
) -> None:
    async with story(folder) as t:
        one = await t.order(t.payee())
        await t.send()
        until_noon = (t.s.clock.now() + timedelta(hours=2)).isoformat()
        await t.s.hub.admin("POST", "beps/outage", {"until": until_noon})
        for _ in range(3):  # 10:30, 11:00, 11:30
            t.s.clock.advance(ROUND_S)
            await t.listen()
            assert await t.state(one) is S.CLEARING
        t.s.clock.advance(ROUND_S)
        await until(lambda: t.s.sandbox.network.centre.counts().get("PR03") == 1, 30)
        await t.listen()
        assert await t.state(one) is S.COMPLETED
        await t.agree()


async def test_a_silent_bank_leaves_its_payments_open_and_the_end_of_day_refuses_them(
    folder: Path,
) -> None:
    async with story(folder, Rule(kind=FaultKind.SILENT, channel="beps")) as t:
        for _ in range(2):
            await t.order(t.payee())
        await t.send()
        assert await t.states() == [S.CLEARING] * 2
        await t.round()
        assert await t.states() == [S.CLEARING] * 2
        t.s.clock.advance(timedelta(hours=14).total_seconds())
        await t.listen()
        assert await t.states() == [S.REJECTED] * 2
        assert (await t.house.view(t.payments[0])).reason_code == "RJ99"
        await t.agree()


async def test_an_urgent_payment_travels_alone_and_is_answered_by_the_payees_bank(
    folder: Path,
) -> None:
    async with story(folder) as t:
        good = await t.order(t.payee(), priority=Priority.URGENT)
        bad = await t.order(t.payee("frozen"), priority=Priority.URGENT)
        await t.order(t.payee())
        await t.order(t.payee())
        await t.send()
        kinds = sorted((message.kind, len(message.references)) for message in t.rail.sent)
        assert kinds == [("beps.121.001.01", 2), ("beps.123.001.01", 1), ("beps.123.001.01", 1)]
        assert (await t.state(good), await t.state(bad)) == (S.CLEARING, S.REJECTED)
        await t.round()
        assert await t.state(good) is S.COMPLETED
        await t.agree()


async def test_one_order_that_cannot_travel_is_refused_and_the_others_stay_one_batch(
    folder: Path,
) -> None:
    async with story(folder) as t:
        for number in range(7):
            payee = t.payee()
            if number == 4:
                payee = msgspec.structs.replace(payee, name="名|字")
            await t.order(payee)
        await t.send()
        assert [await t.state(p) for p in t.payments].count(S.REJECTED) == 1
        assert sum(len(message.references) for message in t.rail.sent) == 6
        assert len(t.rail.sent) <= 4
        await t.round()
        assert (await t.states()).count(S.COMPLETED) == 6
        await t.agree()


async def test_five_hundred_outcomes_of_one_message_are_settled_in_one_transaction(
    folder: Path,
) -> None:
    async with story(folder) as t:
        good, bad = t.payee(), t.payee("closed")
        for number in range(500):
            await t.order(bad if number % 10 == 0 else good, 1_00)
        opened = 0
        transaction = t.house.database.transaction

        def counted() -> Any:
            nonlocal opened
            opened += 1
            return transaction()

        await t.house.dispatch.run_once(t.house.tenant, limit=500)
        assert [len(message.references) for message in t.rail.sent] == [500]
        t.s.clock.advance(ROUND_S)
        await until(lambda: t.s.sandbox.network.centre.counts().get("PR03") == 450, 30)
        t.house.database.transaction = counted  # type: ignore[method-assign]
        await t.listen()
        t.house.database.transaction = transaction  # type: ignore[method-assign]
        assert opened == 1
        assert (await t.states()).count(S.COMPLETED) == 450
        await t.agree()


async def test_a_confirmed_payment_is_asked_about_once_before_its_round_and_again_after(
    folder: Path,
) -> None:
    async with story(folder, lost(FaultKind.LOST_NOTICE)) as t:
        one = await t.order(t.payee())
        await t.send()
        for _ in range(27):
            await t.ask(60)
        assert t.rail.asked == 1, "until the round there is nothing new to hear"
        await t.round()
        assert await t.state(one) is S.CLEARING, "the notice was lost"
        for _ in range(5):
            await t.ask(60)
        assert await t.state(one) is S.COMPLETED and t.rail.asked == 2
        await t.agree()


async def test_what_the_quota_refuses_goes_over_ibps_with_the_same_hold_and_is_paid_once(
    folder: Path,
) -> None:
    async with story(folder, ibps=True) as t:
        await t.s.hub.admin("PUT", "beps/quota", {"quota_fen": 150_00})
        for _ in range(2):
            await t.order(t.payee(), 100_00)
        bad = await t.order(t.payee("closed"), 1_00)
        await t.send()
        await t.send()  # What came back with a no goes out again over the next channel.
        assert sorted([(await t.house.view(p)).rail for p in t.payments[:2]]) == ["beps", "ibps"]
        assert await t.state(bad) is S.REJECTED
        assert (await t.house.money())[1] == 200_00, "held once each"
        await t.s.hub.admin("POST", "net")
        await t.ask()
        await t.ask()
        await t.listen()
        assert await t.states() == [S.COMPLETED, S.COMPLETED, S.REJECTED]
        assert (await t.house.money())[:2] == (FIRST_FEN - 200_00, 0)
        await t.agree()
