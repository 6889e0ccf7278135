"""Which way a payment takes: by what the catalog says of the moment, told with every candidate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import ManualClock
from caiwutong.kernel.order import Priority
from caiwutong.payments.model import Receipt
from caiwutong.payments.states import State
from caiwutong.rails.catalog.model import Maintenance
from caiwutong.rails.contract import ReportKind
from support.payment_house import OPENING, House

SUNDAY_NOON = datetime(2026, 11, 8, 4, 0, tzinfo=UTC)
"""In China. HVPS opens in the evening before a working day, at 20:30."""
SPRING_FESTIVAL = datetime(2026, 2, 14, 10, 0, tzinfo=UTC)
"""18:00 in China on the last working day before nine days off."""


@pytest.fixture(params=["memory", "postgres"])
async def house(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[House]:
    modes = ("hvps", "ibps", "bank_direct")
    if request.param == "memory":
        yield House(MemoryDatabase(), clock, memory=True, modes=modes, routed=True)
    else:
        database = await PostgresDatabase.connect(request.getfixturevalue("shared_database_url"))
        yield House(database, clock, memory=False, modes=modes, routed=True)
        await database.close()


async def _opened(house: House, at: datetime) -> House:
    house.clock.set(at)
    return await house.open()


class TestWaiting:
    """for a channel to open, in words, under a hold that does not end."""

    async def test_it_says_what_it_waits_for_and_goes_when_that_opens(self, house: House) -> None:
        await _opened(house, SUNDAY_NOON)
        payment = await house.pay(channel="hvps")
        view = await house.view(payment)
        assert (view.state, view.reason) == (State.VALIDATED, "waits for HVPS to open at 20:30")
        route = await house.views.route(house.tenant, payment)
        assert route.waits == view.reason
        assert route.waits_until == datetime(2026, 11, 8, 12, 30, tzinfo=UTC)
        assert [each["rail"] for each in route.waits_because] == ["hvps", "ibps", "bank_direct"]
        await house.settle_down(hours=8.4)
        assert house.hvps.sent == []
        await house.settle_down(hours=0.2)
        assert await house.state(payment) is State.CLEARING
        assert len(set(house.hvps.sent)) == 1
        assert (await house.kinds(payment)).count("payment.waiting") == 1

    async def test_nine_days_off_do_not_end_its_hold(self, house: House) -> None:
        await _opened(house, SPRING_FESTIVAL)
        payment = await house.pay(channel="hvps")
        assert "2026-02-23 20:30" in (await house.view(payment)).reason
        house.clock.set(datetime(2026, 2, 23, 12, 0, tzinfo=UTC))
        await house.requests.expire_due(house.tenant)
        await house.dispatch.run_once(house.tenant)
        assert await house.money() == (OPENING, 100_00, OPENING - 100_00)
        house.clock.advance(31 * 60)
        await house.dispatch.run_once(house.tenant)
        assert await house.state(payment) is State.CLEARING

    async def test_it_may_be_cancelled_while_it_waits(self, house: House) -> None:
        await _opened(house, SUNDAY_NOON)
        payment = await house.pay(channel="hvps")
        await house.requests.cancel(house.tenant, payment, "person:Chen")
        await house.settle_down(hours=9)
        assert (await house.state(payment), house.hvps.sent) == (State.CANCELLED, [])
        assert await house.money() == (OPENING, 0, OPENING)

    async def test_what_was_refused_at_night_waits_for_the_channel_of_the_day(
        self, house: House
    ) -> None:
        house.modes = ("hvps", "ibps")
        await _opened(house, SUNDAY_NOON)
        payment = await house.pay()
        assert (await house.view(payment)).rail == "ibps"
        await house.say(ReportKind.REJECTED, payment, "RJ95")
        await house.dispatch.run_once(house.tenant)
        view = await house.view(payment)
        assert (view.state, view.reason) == (State.VALIDATED, "waits for HVPS to open at 20:30")
        assert (await house.money())[1] == 100_00


class TestAnOutage:
    async def test_announced_mid_queue_sends_what_waits_another_way(self, house: House) -> None:
        await _opened(house, SUNDAY_NOON)
        first = await house.pay("k1")
        rail = (await house.view(first)).rail
        second = await house.submit("k2")
        assert isinstance(second, Receipt)
        now = house.clock.now()
        stop = Maintenance(
            rail=rail, valid_from=now, valid_until=now + timedelta(hours=2), source="ccms.809"
        )
        house.catalog = house.catalog.with_facts([stop])
        await house.dispatch.run_once(house.tenant)
        view = await house.view(second.payment_id)
        assert view.state is State.CLEARING
        assert view.rail != rail
        way = (await house.views.route(house.tenant, second.payment_id)).ways[0]
        dropped = {e["rail"]: e.get("dropped") for e in way.explanation["considered"]}
        assert dropped[rail]["code"] == "outage"

    async def test_of_the_only_channel_is_waited_for(self, house: House) -> None:
        house.modes = ("ibps",)
        await _opened(house, SUNDAY_NOON)
        now = house.clock.now()
        stop = Maintenance(
            rail="ibps", valid_from=now, valid_until=now + timedelta(hours=2), source="IBPS 909"
        )
        house.catalog = house.catalog.with_facts([stop])
        payment = await house.pay()
        assert (await house.view(payment)).reason == "waits for IBPS to open at 14:00"
        await house.settle_down(hours=2.1)
        assert await house.state(payment) is State.CLEARING


class TestTheExplanation:
    async def test_every_candidate_is_told_with_its_score_or_why_not(self, house: House) -> None:
        await _opened(house, SUNDAY_NOON)
        payment = await house.pay(priority=Priority.URGENT)
        (way,) = (await house.views.route(house.tenant, payment)).ways
        told = {each["rail"]: each for each in way.explanation["considered"]}
        assert set(told) == {"hvps", "ibps", "bank_direct"}
        assert told["hvps"]["dropped"]["code"] == "closed"
        assert told[way.mode]["score"]["success"] > 0.9
        assert way.explanation["profile"] == "urgent"
        assert way.mode in way.explanation["words"]["en"]
        assert set(way.alternatives) == {"hvps", "ibps", "bank_direct"} - {way.mode}

    async def test_each_attempt_keeps_its_own(self, house: House) -> None:
        await _opened(house, SUNDAY_NOON)
        payment = await house.pay()
        await house.say(ReportKind.REJECTED, payment, "RJ94")
        await house.dispatch.run_once(house.tenant)
        first, second = (await house.views.route(house.tenant, payment)).ways
        assert (first.outcome, first.fault) == ("rejected", "channel")
        told = {e["rail"]: e.get("dropped") for e in second.explanation["considered"]}
        assert told[first.mode]["code"] == "tried"
