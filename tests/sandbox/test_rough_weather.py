"""A hub that keeps the rules comes through rough weather in full agreement with the books.

The hub here is forty lines: it asks after every silence, sends the same message again where the
network does not know it, and never anything else. One that breaks the rules is caught by the judge.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest
from tests.sandbox.conftest import Stage, stage

from caiwutong.kernel.clock import SystemRandomness
from caiwutong.kernel.ids import Ids
from caiwutong.rails.contract import (
    NOT_FOUND,
    AccountAtBank,
    Attempt,
    BadMessage,
    NotSent,
    RailMessage,
    ReportKind,
    SentInDoubt,
)
from caiwutong.rails.hvps.connector import HvpsConnection, HvpsRail
from caiwutong.rails.ibps.connector import IbpsConnection, IbpsRail
from caiwutong.sandbox.client import SandboxClient
from caiwutong.sandbox.faults import PROFILES, FaultKind, Rule
from caiwutong.sandbox.judge import PAID_TWICE, Judgement, PaymentFact
from caiwutong.sandbox.setup import CALLBACK_HVPS, CALLBACK_IBPS

PAYMENTS = 120
WEATHER = (
    *PROFILES["rough"],
    Rule(kind=FaultKind.RETURN, probability=0.05, delay_s=600),
)
_ENDS = {
    ReportKind.NETTED: "completed",
    ReportKind.SETTLED: "completed",
    ReportKind.REJECTED: "rejected",
    ReportKind.REVOKED: "reversed",
}


_CHANNELS: dict[str, Any] = {
    "ibps": (IbpsConnection, IbpsRail, CALLBACK_IBPS),
    "hvps": (HvpsConnection, HvpsRail, CALLBACK_HVPS),
}


class ObedientHub:
    """Sends, asks, and believes only definite words."""

    def __init__(self, s: Stage, channel: str = "ibps", *, resend_blindly: bool = False) -> None:
        self._stage = s
        self._channel = channel
        connection, rail, self._address = _CHANNELS[channel]
        self._rail = rail(
            msgspec.convert(s.hub.connections[channel], connection),
            s.clock,
            Ids(s.clock, SystemRandomness()),
        )
        self._resend_blindly = resend_blindly
        self._references: dict[UUID, list[str]] = {}
        self.states: dict[str, str] = {}
        self.attempts: dict[UUID, list[Attempt]] = {}
        self.returned: set[str] = set()

    def order(self, number: int) -> None:
        s = self._stage
        payers = [a for a in s.world.accounts if self._channel in a.access_modes]
        self._attempt(uuid5(UUID(int=7), str(number)), payers[number % 37], number)

    def _attempt(self, payment: UUID, payer, number: int) -> Attempt:
        payee = self._stage.world.payees[number % 300]
        tries = self.attempts.setdefault(payment, [])
        at = self._stage.clock.now()
        one = Attempt(
            tenant="t",
            payment_id=payment,
            attempt_id=payment,
            rail=self._channel,
            reference=f"{at:%Y%m%d}{number:08d}{len(tries):04d}",
            payer=AccountAtBank(payer.name, payer.account, payer.bank_code),
            payee=AccountAtBank(payee.name, payee.account, payee.bank_code),
            amount_fen=100_00 + number,
            created_at=at,
            valid_until=self._rail.valid_until(at),
        )
        tries.append(one)
        return one

    async def send(self, one: Attempt) -> None:
        message: RailMessage = self._rail.encode_many([one])[0]
        try:
            self._hear(await self._rail.send(message))
        except (NotSent, SentInDoubt, BadMessage):
            if self._resend_blindly and len(self.attempts[one.payment_id]) == 1:
                payer = next(
                    a for a in self._stage.world.accounts if a.account == one.payer.account
                )
                number = one.amount_fen - 100_00
                await self.send(self._attempt(one.payment_id, payer, number))

    def _hear(self, raw: bytes) -> None:
        for report in self._rail.decode(raw):
            if report.kind is ReportKind.RETURNED:
                self.returned.add(report.reference)
            elif end := _ENDS.get(report.kind):
                self.states[report.reference] = end

    async def settle(self) -> None:
        """Ask until every attempt has ended and every return to come has come."""
        calm = self._stage.clock.now() + timedelta(seconds=5_000)
        for _ in range(200):
            for path, body in self._stage.hub.posts:
                if path == self._address:
                    self._hear(body)
            self._stage.hub.posts.clear()
            everything = [one for tries in self.attempts.values() for one in tries]
            waiting = [one for one in everything if one.reference not in self.states]
            for report in await self._rail.enquire(waiting):
                if end := _ENDS.get(report.kind):
                    self.states[report.reference] = end
                elif report.code == NOT_FOUND:
                    await self.send(next(o for o in waiting if o.reference == report.reference))
            quiet = not waiting and not self._stage.sandbox.pushes.waiting()
            if quiet and self._stage.clock.now() > calm:
                break
            self._stage.clock.advance(100)
            await asyncio.sleep(0.05)
        await self._rail.close()

    def facts(self) -> list[PaymentFact]:
        found: list[PaymentFact] = []
        for payment, tries in self.attempts.items():
            references = tuple(one.reference for one in tries)
            states = {self.states.get(reference, "in_doubt") for reference in references}
            state = "completed" if "completed" in states else states.pop()
            found.append(
                PaymentFact(
                    str(payment),
                    references,
                    tries[0].amount_fen,
                    state,
                    tries[0].payer.account,
                    tries[0].payee.account,
                    bool(self.returned & set(references)),
                )
            )
        return found


async def passing(s: Stage) -> None:
    """Time passes while someone waits for an answer: five hundred times as fast as ours."""
    while True:
        s.clock.advance(5)
        await asyncio.sleep(0.01)


async def run(s: Stage, hub: ObedientHub) -> Judgement:
    time = asyncio.create_task(passing(s))
    for number in range(PAYMENTS):
        hub.order(number)
    first = [tries[0] for tries in hub.attempts.values()]
    for start in range(0, PAYMENTS, 20):
        await asyncio.gather(*(hub.send(one) for one in first[start : start + 20]))
    await hub.settle()
    time.cancel()
    return await asyncio.to_thread(SandboxClient.at(s.hub.folder).reconcile, hub.facts())


@pytest.mark.parametrize("channel", _CHANNELS)
async def test_a_hub_that_keeps_the_rules_agrees_with_the_books(folder: Path, channel: str) -> None:
    async with stage(folder, *WEATHER, seed=11) as s:
        hub = ObedientHub(s, channel)
        verdict = await run(s, hub)
        assert verdict.clean, (verdict.disagreements, verdict.unknown_to_hub)
        assert (verdict.payments, verdict.open, verdict.double_paid) == (PAYMENTS, 0, 0)
        struck = s.sandbox.network.faults.struck
        assert len(struck) >= 8 and "return" in struck, struck
        assert any(fact.returned for fact in hub.facts())
        assert {book.sum_fen() for book in s.sandbox.network.books.values()} == {0}


async def test_a_hub_that_sends_again_after_a_silence_is_caught(folder: Path) -> None:
    async with stage(folder, *WEATHER, seed=11) as s:
        verdict = await run(s, ObedientHub(s, resend_blindly=True))
        assert verdict.double_paid > 0
        assert verdict.disagreements[0].reason == PAID_TWICE
