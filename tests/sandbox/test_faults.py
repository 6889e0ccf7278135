"""Each fault, seen from outside: what the hub sees, and what the books say all the same."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from tests.sandbox.conftest import MORNING, Stage, stage, until

from caiwutong.kernel.errors import Refused
from caiwutong.rails.contract import BadMessage
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps import profile
from caiwutong.sandbox.faults import (
    PROFILES,
    FaultKind,
    Faults,
    Plan,
    Rule,
    chance,
    plan_named,
)

BROKEN = (aiohttp.ClientError, TimeoutError)


async def executions(s: Stage) -> list[tuple[str, str, int]]:
    facts = await s.hub.admin("GET", "books/executions")
    return [(f["reference"], f["status"], f["debits"]) for f in facts["executions"]]


async def broken(s: Stage) -> str:
    """Send one payment whose answer never comes; its reference."""
    reference = s.hub.reference()
    with pytest.raises(BROKEN):
        await s.hub.say(s.hub.transfer(s.payer, s.payee(), 10_00), reference)
    return reference


async def again(s: Stage, reference: str) -> m.Message:
    return await s.hub.say(s.hub.transfer(s.payer, s.payee(), 10_00), reference)


async def test_a_lost_request_is_never_executed_and_may_be_sent_again(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.LOST_REQUEST)) as s:
        reference = await broken(s)
        assert (await s.hub.enquire(reference)).result == profile.UNKNOWN_ORIGINAL
        assert await executions(s) == []
        assert isinstance(await again(s, reference), m.CreditAnswer)
        assert await executions(s) == [(reference, "pending", 1)]


async def test_a_lost_reply_hides_an_execution_that_an_enquiry_finds(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.LOST_REPLY)) as s:
        reference = await broken(s)
        assert (await s.hub.enquire(reference)).status == "PR10"
        assert isinstance(await again(s, reference), m.CreditAnswer)
        assert await executions(s) == [(reference, "pending", 1)]


async def test_a_late_message_is_executed_after_it_looked_lost(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.LATE, delay_s=300)) as s:
        reference = await broken(s)
        assert (await s.hub.enquire(reference)).result == profile.UNKNOWN_ORIGINAL
        s.clock.advance(301)
        await until(lambda: s.hub.pushed(m.CreditAnswer, reference))
        assert [status for _, status, _ in await executions(s)] != []
        assert await executions(s) in (
            [(reference, "pending", 1)],
            [(reference, "executed", 1)],
        )


async def test_a_late_message_is_refused_once_its_day_is_over(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.LATE, delay_s=300)) as s:
        reference = await broken(s)
        s.clock.advance(timedelta(days=1).total_seconds())
        await until(lambda: s.hub.pushed(m.Discard, reference))
        assert s.hub.pushed(m.Discard, reference)[0].reason == "RJ99"
        assert await executions(s) == []


async def test_a_slow_answer_comes_after_its_business_seconds(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.SLOW, delay_s=20)) as s:
        asked = asyncio.create_task(s.pay())
        await asyncio.sleep(0.2)
        assert not asked.done()
        s.clock.advance(20)
        await asyncio.wait_for(asked, 5)
        assert isinstance(s.last, m.CreditAnswer)


async def test_a_lost_notice_leaves_only_the_enquiry(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.LOST_NOTICE)) as s:
        reference = await s.pay()
        await s.hub.admin("POST", "net")
        await s.hub.admin("POST", "clear")
        assert (await s.hub.enquire(reference)).status == "PR04"
        await asyncio.sleep(0.2)
        assert s.hub.frames == []


async def test_a_duplicate_notice_comes_twice(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.DUPLICATE)) as s:
        reference = await s.pay()
        await s.hub.admin("POST", "net")
        await until(lambda: len(s.hub.pushed(m.NettingNotice, reference)) == 2)


async def test_out_of_order_tells_the_netting_before_the_yes(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.OUT_OF_ORDER)) as s:
        reference = await s.pay()
        assert isinstance(s.last, m.Acknowledgement)
        await s.hub.admin("POST", "net")
        await until(lambda: s.hub.pushed(m.CreditAnswer, reference))
        kinds = [type(frame.message) for frame in s.hub.frames]
        assert kinds == [m.NettingNotice, m.CreditAnswer]


async def test_a_wrong_signature_is_seen_by_the_hub_and_the_money_has_moved(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.WRONG_SIGNATURE)) as s:
        reference = s.hub.reference()
        with pytest.raises(BadMessage) as seen:
            await s.hub.say(s.hub.transfer(s.payer, s.payee(), 10_00), reference)
        assert seen.value.code == "cnaps.bad_signature"
        assert (await s.hub.enquire(reference)).status == "PR10"


@pytest.mark.parametrize("mode", ["reset", "503", "blackhole"])
async def test_an_outage_does_nothing_and_ends_when_healed(folder: Path, mode: str) -> None:
    async with stage(folder, Rule(kind=FaultKind.OUTAGE, mode=mode)) as s:
        reference = s.hub.reference()
        raw = s.hub.encode(s.hub.transfer(s.payer, s.payee(), 10_00), reference)
        with pytest.raises(BROKEN) as seen:
            await asyncio.wait_for(s.hub.post(raw), 1)
        if mode == "503":
            assert isinstance(seen.value, aiohttp.ClientResponseError) and seen.value.status == 503
        assert await executions(s) == []
        await s.hub.admin("POST", "heal", {"kinds": ["outage"]})
        assert isinstance(await again(s, reference), m.CreditAnswer)


async def test_an_outage_has_its_window_of_business_time(folder: Path) -> None:
    window = Rule(
        kind=FaultKind.OUTAGE,
        mode="503",
        since=MORNING + timedelta(minutes=5),
        until=MORNING + timedelta(minutes=10),
    )
    async with stage(folder, window) as s:
        await s.pay()
        s.clock.advance(300)
        await broken(s)
        s.clock.advance(300)
        await s.pay()
        assert isinstance(s.last, m.CreditAnswer)


async def test_a_silent_bank_answers_only_when_healed(folder: Path) -> None:
    async with stage(folder) as s:
        payee = s.payee()
        rule = {"kind": "silent", "bank": payee.bank_code}
        await s.hub.admin("POST", "faults/rules", rule)
        reference = await s.pay(10_00, payee)
        assert isinstance(s.last, m.Acknowledgement)
        s.clock.advance(3600)
        assert (await s.hub.enquire(reference)).status == "PR00"
        healed = await s.hub.admin("POST", "heal", {"bank": payee.bank_code})
        assert healed == {"rules_dropped": 1, "transfers_woken": 1}
        await until(lambda: s.hub.pushed(m.CreditAnswer, reference))
        assert s.hub.pushed(m.CreditAnswer, reference)[0].status == "PR10"


async def test_a_bank_silent_until_the_day_ends_has_refused(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.SILENT)) as s:
        reference = await s.pay()
        s.clock.advance(timedelta(days=1).total_seconds())
        await until(lambda: s.hub.pushed(m.CreditAnswer, reference))
        answer = s.hub.pushed(m.CreditAnswer, reference)[0]
        assert (answer.status, answer.reason) == ("PR09", "RJ99")
        assert await executions(s) == [(reference, "rejected", 0)]


async def test_a_slow_bank_answers_later_by_a_push(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.SLOW_BANK, delay_s=30)) as s:
        reference = await s.pay()
        assert isinstance(s.last, m.Acknowledgement)
        s.clock.advance(30)
        await until(lambda: s.hub.pushed(m.CreditAnswer, reference))


async def test_a_reject_carries_the_chosen_code(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.REJECT, code="RJ95")) as s:
        reference = await s.pay()
        assert isinstance(s.last, m.CreditAnswer) and s.last.reason == "RJ95"
        assert await executions(s) == [(reference, "rejected", 0)]


async def test_a_return_comes_some_time_after_netting(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.RETURN, delay_s=3600)) as s:
        reference = await s.pay()
        await s.hub.admin("POST", "net")
        assert await executions(s) == [(reference, "executed", 1)]
        s.clock.advance(3600)
        await asyncio.sleep(0.1)
        s.clock.advance(3)
        await until(lambda: s.hub.pushed(m.CreditTransfer, reference))
        assert await executions(s) == [(reference, "returned", 1)]


async def test_pushes_wait_for_a_hub_that_is_down_and_come_in_order(folder: Path) -> None:
    async with stage(folder) as s:
        s.sandbox.pushes.hub_url = "http://127.0.0.1:1"
        first = await s.pay()
        await s.hub.admin("POST", "net")
        await s.hub.admin("POST", "clear")
        await asyncio.sleep(0.3)
        assert s.hub.frames == []
        await s.hub.admin("PUT", "hub", {"url": s.hub.url})
        await until(lambda: s.hub.pushed(m.ClearingNotice, first))
        assert [type(f.message) for f in s.hub.frames] == [m.NettingNotice, m.ClearingNotice]
        health = await s.hub.admin("GET", "health")
        assert health["pushes_waiting"] == 0 and health["pushes_given_up"] == 0


async def test_a_hub_in_trouble_gets_its_pushes_when_it_is_well_again(folder: Path) -> None:
    async with stage(folder) as s:
        s.hub.refusing = lambda body: 503
        reference = await s.pay()
        await s.hub.admin("POST", "net")
        await asyncio.sleep(0.5)
        s.hub.refusing = lambda body: 0
        await until(lambda: s.hub.pushed(m.NettingNotice, reference))
        assert s.sandbox.pushes.given_up() == 0


async def test_one_push_the_hub_refuses_does_not_hold_back_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caiwutong.sandbox.pushes.REFUSED_TRIES", 2)
    async with stage(folder) as s:
        s.hub.refusing = lambda body: 400 if b"saps.601" in body else 0
        reference = await s.pay()
        s.sandbox.network.net()
        s.sandbox.network.clear()
        await until(lambda: s.hub.pushed(m.ClearingNotice, reference))
        assert s.hub.pushed(m.NettingNotice) == []
        assert s.sandbox.pushes.given_up() == 1


async def test_the_hand_on_the_sandbox_needs_its_token(folder: Path) -> None:
    async with stage(folder) as s, aiohttp.ClientSession() as http:
        base = s.hub.connections["ibps"]["url"]
        async with http.put(f"{base}/admin/faults", data=b'{"profile":"rough"}') as answer:
            assert answer.status == 401
        async with http.get(f"{base}/admin/health") as answer:
            assert answer.status == 200
        changed = await s.hub.admin("PUT", "faults", {"profile": "rough", "seed": 9})
        assert changed["plan"]["name"] == "rough" and changed["plan"]["seed"] == 9


# -- the dice


def test_a_fault_belongs_to_the_reference_and_not_to_the_order() -> None:
    references = [f"R{n}" for n in range(2_000)]
    plan = plan_named("rough", 7)

    def struck(order: list[str]) -> set[str]:
        faults = Faults(plan)
        return {r for r in order if faults.strike(FaultKind.LOST_REPLY, r, MORNING)}

    assert struck(references) == struck(references[::-1])
    assert 50 <= len(struck(references)) <= 160  # 5 % of 2,000
    other = Faults(plan_named("rough", 8))
    assert {r for r in references if other.strike(FaultKind.LOST_REPLY, r, MORNING)} != struck(
        references
    )


def test_a_lossy_fault_strikes_only_the_first_arrivals() -> None:
    faults = Faults(Plan(1, "t", (Rule(kind=FaultKind.LOST_REQUEST, times=2),)))
    struck = [faults.strike(FaultKind.LOST_REQUEST, "R", MORNING) is not None for _ in range(4)]
    assert struck == [True, True, False, False]


def test_chance_is_even_and_fixed() -> None:
    values = [chance(1, "x", str(n)) for n in range(4_000)]
    assert all(0 <= value < 1 for value in values)
    assert 0.47 < sum(values) / len(values) < 0.53
    assert chance(1, "x", "42") == chance(1, "x", "42") != chance(2, "x", "42")


def test_profiles_have_names_and_an_unknown_one_is_refused() -> None:
    assert set(PROFILES) == {"none", "mild", "demo", "rough"}
    with pytest.raises(Refused, match="unknown_faults"):
        plan_named("nonsense", 1)
