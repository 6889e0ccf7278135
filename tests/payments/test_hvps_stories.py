"""Whole payments over HVPS: the engine on one side, the sandbox with its own books on the other.

Business time is in the test's hand: 2026-11-23 is a Monday, ten o'clock in China when it begins.
HVPS is open until 17:15, its clearing window ends at 17:30.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.sandbox.hvps_house import FIRST_FEN, LARGE, MONDAY, S, china, lost, story, the_attempt

from caiwutong.kernel.order import Priority
from caiwutong.rails.contract import NoticeKind
from caiwutong.sandbox.faults import FaultKind
from caiwutong.sandbox.setup import CALLBACK_HVPS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sandbox"


async def test_a_large_payment_is_settled_at_once_and_that_is_final(folder: Path) -> None:
    async with story(folder) as t:
        before = t.s.sandbox.network.accounts.of(t.s.world.sponsor).balance_fen
        one = await t.pay(50_000_000_00)
        assert await t.state(one) is S.COMPLETED
        assert (await t.house.view(one)).settled_at is not None
        after = t.s.sandbox.network.accounts.of(t.s.world.sponsor).balance_fen
        assert before - after == 50_000_000_00
        await t.agree()


# The hours.


async def test_at_17_14_59_it_is_settled(folder: Path) -> None:
    async with story(folder, at=china(MONDAY, 17, 14, 59)) as t:
        assert await t.state(await t.pay()) is S.COMPLETED
        await t.agree()


async def test_at_17_15_01_the_centre_refuses_and_the_money_is_free_again(folder: Path) -> None:
    async with story(folder, at=china(MONDAY, 17, 15, 1)) as t:
        late = await t.pay()
        assert (await t.state(late), await t.reason(late)) == (S.REJECTED, "RJ91")
        assert (await t.house.money())[1] == 0
        await t.agree()


async def test_at_17_15_01_routing_waits_for_the_evenings_opening(folder: Path) -> None:
    async with story(folder, at=china(MONDAY, 17, 15, 1), routed=True) as t:
        late = await t.pay()
        assert (t.rail.sent, await t.state(late)) == ([], S.VALIDATED)
        await t.at(china(MONDAY, 20, 30, 1))
        await t.dispatch()
        assert await t.state(late) is S.COMPLETED
        await t.agree()


async def test_a_centre_that_holds_what_comes_early_settles_it_at_the_opening(
    folder: Path,
) -> None:
    async with story(folder, at=china(MONDAY, 17, 15, 1)) as t:
        await t.hvps("PUT", "/policy", outside_hours="hold")
        one = await t.pay()
        assert await t.state(one) is S.CLEARING
        await t.at(china(MONDAY, 17, 31))
        assert await t.state(one) is S.CLEARING, "it belongs to the next business day"
        await t.at(china(MONDAY, 20, 30))
        assert await t.state(one) is S.COMPLETED
        await t.agree()


async def test_sent_at_17_14_59_and_arriving_at_17_15_01_it_is_a_definite_no(folder: Path) -> None:
    late = lost(FaultKind.LATE, delay_s=2)
    async with story(folder, late, at=china(MONDAY, 17, 14, 59)) as t:
        one = await t.pay()
        assert await t.state(one) is S.IN_DOUBT
        await t.at(china(MONDAY, 17, 15, 1))
        assert (await t.state(one), await t.reason(one)) == (S.REJECTED, "RJ99")
        assert (await t.house.money())[1] == 0, "the money is free again"
        await t.agree()


async def test_a_sunday_worked_in_exchange_is_a_business_day(folder: Path) -> None:
    async with story(folder, at=china(4, 10, month=1)) as t:
        assert await t.state(await t.pay()) is S.COMPLETED
        assert (await t.hvps())["business_day"] == "2026-01-04"
        await t.agree()


async def test_an_ordinary_sunday_is_none_and_its_evening_books_on_monday(folder: Path) -> None:
    async with story(folder, at=china(22, 10)) as t:
        assert not (await t.hvps())["open"]
        await t.at(china(22, 20, 30))
        now = await t.hvps()
        assert (now["open"], now["business_day"]) == (True, "2026-11-23")
        assert await t.state(await t.pay()) is S.COMPLETED
        await t.agree()


async def test_exactly_a_million_may_go_over_ibps_and_a_fen_more_goes_over_hvps(
    folder: Path,
) -> None:
    async with story(folder, modes=("ibps", "hvps")) as t:
        exact = await t.pay(1_000_000_00)
        more = await t.pay(1_000_000_01)
        assert (await t.house.view(exact)).rail == "ibps"
        assert (await t.house.view(more)).rail == "hvps"
        assert await t.state(more) is S.COMPLETED
        assert len(t.rail.sent) == 1


# The queue.


async def test_short_of_funds_it_waits_and_is_settled_when_money_comes_in(folder: Path) -> None:
    async with story(folder) as t:
        await t.short(1_000_000_00)
        one = await t.pay(5_000_000_00)
        assert await t.state(one) is S.CLEARING
        assert await t.queue() == [5_000_000]
        await t.ask()
        assert await t.state(one) is S.CLEARING, "waiting is not an end"
        await t.hvps("POST", "/fund", amount_fen=4_000_000_00)
        await t.listen()
        assert await t.state(one) is S.COMPLETED
        assert await t.queue() == []
        # The inflow itself was told as an hvps.112, which says nothing about our payments.
        pushed = b"".join(body for path, body in t.s.hub.posts if path == CALLBACK_HVPS)
        assert b"hvps.112.001.01" in pushed
        await t.agree()


async def test_the_urgent_go_first_and_nothing_is_overtaken(folder: Path) -> None:
    async with story(folder) as t:
        await t.short()
        await t.pay(3_000_000_00)
        await t.pay(1_500_000_00)
        await t.pay(2_000_000_00, priority=Priority.URGENT)
        assert await t.queue() == [2_000_000, 3_000_000, 1_500_000]
        await t.short(4_000_000_00)  # enough for the urgent one and, later, for the last
        await t.listen()
        assert await t.queue() == [3_000_000, 1_500_000]
        assert await t.states() == [S.CLEARING, S.CLEARING, S.COMPLETED]
        await t.hvps("PUT", "/funds")
        await t.listen()
        assert await t.states() == [S.COMPLETED] * 3
        await t.agree()


async def test_a_payment_is_revoked_out_of_the_queue_and_not_after_settlement(
    folder: Path,
) -> None:
    async with story(folder) as t:
        settled = await t.pay()
        await t.short()
        waiting = await t.pay(3_000_000_00)
        await t.house.requests.revoke(t.house.tenant, waiting, "person:张敏")
        assert await t.state(waiting) is S.REVERSED
        assert await t.queue() == []
        (answer,) = await t.rail.revoke(await the_attempt(t, settled))
        assert answer.code == "RJ90", "what is settled is never taken back"
        await t.listen()
        assert await t.states() == [S.COMPLETED, S.REVERSED]
        _, held, _ = await t.house.money()
        assert held == 0
        await t.agree()


async def test_what_is_left_in_the_queue_at_the_end_of_the_day_is_refused(folder: Path) -> None:
    async with story(folder, at=china(MONDAY, 17, 10)) as t:
        await t.short()
        one = await t.pay()
        await t.at(china(MONDAY, 17, 29, 59))
        assert await t.state(one) is S.CLEARING, "in the clearing window funds may still come"
        await t.at(china(MONDAY, 17, 30))
        assert (await t.state(one), await t.reason(one)) == (S.REJECTED, "RJ99")
        await t.agree()


async def test_in_the_clearing_window_money_that_comes_in_still_settles_the_queue(
    folder: Path,
) -> None:
    async with story(folder, at=china(MONDAY, 17, 10)) as t:
        await t.short()
        one = await t.pay()
        await t.at(china(MONDAY, 17, 20))
        await t.hvps("POST", "/fund", amount_fen=LARGE)
        await t.listen()
        assert await t.state(one) is S.COMPLETED
        await t.agree()


async def test_an_outage_announced_while_payments_wait_freezes_the_queue(folder: Path) -> None:
    async with story(folder) as t:
        await t.short()
        one = await t.pay()
        noon = china(MONDAY, 12)
        await t.hvps("POST", "/outage", until=noon.isoformat(), words="主机切换")
        await t.listen()
        (notice,) = [each for each in t.notices if each.kind is NoticeKind.OUTAGE]
        assert (notice.rail, notice.effective_until, notice.words) == ("hvps", noon, "主机切换")
        await t.hvps("PUT", "/funds")  # funds are there again, but nothing is settled now
        await t.at(china(MONDAY, 11, 59))
        assert await t.state(one) is S.CLEARING
        await t.at(noon)
        assert await t.state(one) is S.COMPLETED
        await t.agree()


async def test_an_outage_over_the_end_of_the_day_ends_in_a_definite_no(folder: Path) -> None:
    async with story(folder) as t:
        await t.short()
        one = await t.pay()
        await t.hvps("POST", "/outage", until=china(24, 9).isoformat())
        await t.at(china(24, 9))
        assert (await t.state(one), await t.reason(one)) == (S.REJECTED, "RJ99")
        await t.agree()


# What goes wrong on the line.


@pytest.mark.parametrize("kind", [FaultKind.LOST_REPLY, FaultKind.WRONG_SIGNATURE])
async def test_an_answer_lost_or_spoilt_is_doubt_and_asking_ends_it(
    folder: Path, kind: FaultKind
) -> None:
    async with story(folder, lost(kind), lost(FaultKind.LOST_NOTICE)) as t:
        one = await t.pay()
        assert await t.state(one) is S.IN_DOUBT
        await t.ask()
        assert await t.state(one) is S.COMPLETED
        assert len(t.rail.sent) == 1, "after a silence we ask and do not send"
        await t.agree()


async def test_notices_twice_late_and_out_of_order_change_nothing(folder: Path) -> None:
    faults = lost(FaultKind.DUPLICATE), lost(FaultKind.OUT_OF_ORDER)
    async with story(folder, *faults) as t:
        await t.short()
        one = await t.pay()
        assert await t.state(one) is S.CLEARING
        await t.hvps("PUT", "/funds")
        await t.listen()
        assert await t.state(one) is S.COMPLETED
        t.s.clock.advance(61)  # now the centre's earlier word arrives: it waits (PR06)
        await t.listen()
        assert await t.state(one) is S.COMPLETED
        await t.agree()


async def test_a_silent_centre_is_asked_and_speaks_when_it_is_healed(folder: Path) -> None:
    async with story(folder, lost(FaultKind.SILENT)) as t:
        one = await t.pay()
        await t.ask()
        assert await t.state(one) is S.CLEARING
        await t.s.hub.admin("POST", "heal", {})
        await t.listen()
        assert await t.state(one) is S.COMPLETED
        await t.agree()


async def test_a_lost_900_is_made_good_by_the_days_list(folder: Path) -> None:
    async with story(folder) as t:
        await t.short()
        one = await t.pay()
        # Taken with a 204, and then lost: the centre believes that it was heard.
        t.s.hub.refusing = lambda body: 204 if b"CmonConf" in body else 0
        await t.hvps("PUT", "/funds")
        await t.listen()
        assert await t.state(one) is S.CLEARING, "nobody has told us"
        t.s.hub.refusing = lambda body: 0
        await t.at(china(MONDAY, 17, 30))
        assert await t.state(one) is S.COMPLETED
        pushed = b"".join(body for path, body in t.s.hub.posts if path == CALLBACK_HVPS)
        assert b"saps.603.001.01" in pushed
        await t.agree()


async def test_a_definite_no_of_the_centre_frees_the_money(folder: Path) -> None:
    async with story(folder, lost(FaultKind.REJECT, code="RJ04")) as t:
        one = await t.pay()
        assert (await t.state(one), await t.reason(one)) == (S.REJECTED, "RJ04")
        assert (await t.house.money())[1] == 0
        await t.agree()


# Money that comes back.


@pytest.mark.parametrize("condition", ["frozen", "closed", "wrong_name"])
async def test_what_the_payees_bank_cannot_credit_comes_back_as_a_new_payment(
    folder: Path, condition: str
) -> None:
    async with story(folder) as t:
        one = await t.pay(condition=condition)
        assert await t.state(one) is S.COMPLETED, "settled between the banks is final"
        t.s.clock.advance(61)
        await t.listen()
        view = await t.house.view(one)
        assert view.state is S.COMPLETED and view.returned_at is not None
        assert (await t.house.money())[0] == min(FIRST_FEN, t.s.payer.opening_fen)
        await t.agree()


async def test_a_return_we_ask_for_comes_back_too(folder: Path) -> None:
    async with story(folder) as t:
        one = await t.pay()
        await t.house.requests.request_return(t.house.tenant, one, "重复付款", "person:张敏")
        await t.listen()
        assert (await t.house.view(one)).returned_at is not None
        await t.agree()


async def test_a_return_outside_hours_waits_for_the_next_opening(folder: Path) -> None:
    async with story(folder, at=china(MONDAY, 17, 14)) as t:
        one = await t.pay()
        await t.at(china(MONDAY, 18))
        await t.house.requests.request_return(t.house.tenant, one, "重复付款", "person:张敏")
        await t.listen()
        assert (await t.house.view(one)).returned_at is None
        await t.at(china(MONDAY, 20, 30, 1))
        assert (await t.house.view(one)).returned_at is not None
        await t.agree()


# What is announced to everybody.


async def test_business_days_and_limits_are_announced(folder: Path) -> None:
    async with story(folder, at=china(22, 12)) as t:
        await t.hvps("POST", "/day", day="2026-11-24", working=False, words="临时放假")
        await t.hvps("POST", "/limit", system="beps", amount_fen=500_000_00)
        await t.at(china(22, 20, 30))
        kinds = [(each.kind, each.rail, each.day, each.working_day) for each in t.notices]
        day = datetime(2026, 11, 23).date()
        assert (NoticeKind.SYSTEM_DAY, "hvps", day + timedelta(days=1), False) in kinds
        assert (NoticeKind.SYSTEM_DAY, "hvps", day, True) in kinds
        (limit,) = [each for each in t.notices if each.kind is NoticeKind.LIMIT]
        assert (limit.rail, limit.limit_fen) == ("beps", 500_000_00)
        await t.at(china(MONDAY, 20, 30))
        assert not (await t.hvps())["open"], "the centre holds to what it announced"


async def test_money_that_comes_in_over_hvps_drains_the_queue_of_what_waits(folder: Path) -> None:
    async with story(folder) as t:
        await t.short()
        one = await t.pay()
        told = await t.s.hub.admin(
            "POST", "incoming", {"payee_account": t.s.payer.account, "amount_fen": LARGE}
        )
        assert told["status"] == "executed", "above the limit of IBPS it comes gross and at once"
        await t.listen()
        assert await t.state(one) is S.COMPLETED
        page = await t.rail.statement((await the_attempt(t, one)).payer, "")
        assert [line.kind for line in page.lines] == ["opening", "payment", "incoming"]
        await t.agree()
