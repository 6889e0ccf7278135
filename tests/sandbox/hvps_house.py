"""A whole house, engine and books, whose account is at the sandbox's sponsor, reached over HVPS.

Business time is in the test's hand: 2026-11-23 is a Monday, ten o'clock in China when it begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from tests.sandbox.conftest import Stage, stage, until

from caiwutong.db.memory import MemoryDatabase
from caiwutong.kernel.clock import CHINA, ManualClock, SystemRandomness
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.order import Party
from caiwutong.payments.model import Receipt
from caiwutong.payments.states import State
from caiwutong.rails.contract import AccountAtBank, Attempt, Notice, RailMessage
from caiwutong.rails.hvps.connector import HvpsConnection, HvpsRail
from caiwutong.rails.ibps.connector import IbpsConnection, IbpsRail
from caiwutong.sandbox.client import SandboxClient
from caiwutong.sandbox.entries import RESERVE
from caiwutong.sandbox.faults import FaultKind, Rule
from caiwutong.sandbox.judge import PaymentFact, judge
from caiwutong.sandbox.setup import CALLBACK_HVPS
from caiwutong.sandbox.world import Payee
from support.payment_house import House

S = State
FIRST_FEN = 100_000_000_00
LARGE = 2_000_000_00
MONDAY = 23


def china(day: int, hour: int, minute: int = 0, second: int = 0, month: int = 11) -> datetime:
    year = 2026
    return datetime(year, month, day, hour, minute, second, tzinfo=CHINA).astimezone(UTC)


class CountingRail(HvpsRail):
    """The HVPS rail, counting what it sends."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sent: list[RailMessage] = []

    async def send(self, message: RailMessage) -> bytes:
        self.sent.append(message)
        return await super().send(message)


class Story:
    """A house whose account is at the sandbox's sponsor."""

    def __init__(self, s: Stage, house: House, rail: CountingRail) -> None:
        self.s, self.house, self.rail = s, house, rail
        self.read = 0
        self.payments: list[UUID] = []
        self.fens: dict[UUID, int] = {}
        self.payees: dict[UUID, str] = {}
        self.notices: list[Notice] = []

    def payee(self, condition: str = "ok") -> Payee:
        return next(each for each in self.s.world.payees if each.condition == condition)

    async def pay(self, fen: int = LARGE, condition: str = "ok", **more: Any) -> UUID:
        """Order, have two people sign, dispatch once."""
        payee = self.payee(condition)
        answer = await self.house.submit(
            f"k{len(self.payments)}",
            fen,
            payee=Party(payee.name, payee.account, payee.bank_code, payee.bank_name),
            **more,
        )
        assert isinstance(answer, Receipt), answer
        payment = answer.payment_id
        self.payments.append(payment)
        self.fens[payment], self.payees[payment] = fen, payee.account
        for signer in (1, 2):
            if await self.state(payment) is S.AWAITING_SIGNATURES:
                await self.house.sign(payment, signer)
        await self.dispatch()
        return payment

    async def dispatch(self) -> None:
        await self.house.dispatch.run_once(self.house.tenant)

    async def state(self, payment: UUID) -> State:
        return await self.house.state(payment)

    async def states(self) -> list[State]:
        return [await self.house.state(payment) for payment in self.payments]

    async def reason(self, payment: UUID) -> str:
        return (await self.house.view(payment)).reason_code

    async def ask(self, seconds: float = 60) -> None:
        """Time passes, and whatever is due is asked about."""
        self.s.clock.advance(seconds)
        await self.house.recovery.run_once(self.house.tenant)

    async def at(self, moment: datetime) -> None:
        """The clock reaches this moment, and we hear what the centre has to say."""
        self.s.clock.set(moment)
        await self.listen()

    async def listen(self) -> None:
        """Take what the centre has pushed."""
        await asyncio.sleep(0.15)
        await until(lambda: self.s.sandbox.pushes.waiting() == 0)
        pushed = [body for path, body in self.s.hub.posts if path == CALLBACK_HVPS]
        for body in pushed[self.read :]:
            self.notices += self.rail.notices(body)
            await self.house.settlement.apply_many(self.house.tenant, self.rail.decode(body))
        self.read = len(pushed)

    async def hvps(self, method: str = "GET", path: str = "", **body: Any) -> Any:
        return await self.s.hub.admin(method, f"hvps{path}", None if method == "GET" else body)

    async def short(self, usable_fen: int = 0) -> None:
        """The sponsor may use only so much of its settlement account."""
        await self.hvps("PUT", "/funds", usable_fen=usable_fen)

    async def queue(self) -> list[int]:
        """The amounts in the centre's queue, in yuan."""
        return [each["amount_fen"] // 100 for each in (await self.hvps())["queue"]]

    async def agree(self) -> None:
        """Every payment of ours is in the banks' books as we have it; the settlement accounts are
        what the banks have as reserves; ours add up."""
        facts: list[PaymentFact] = []
        for payment in self.payments:
            view = await self.house.view(payment)
            facts.append(
                PaymentFact(
                    payment_id=str(payment),
                    references=(view.reference,) if view.reference else (),
                    amount_fen=self.fens[payment],
                    state=view.state.value,
                    payer_account=self.s.payer.account,
                    payee_account=self.payees[payment],
                    returned=view.returned_at is not None,
                )
            )
        client = SandboxClient.at(self.s.hub.folder)
        executions = await asyncio.to_thread(lambda: list(client.executions()))
        verdict = judge(facts, executions)
        assert verdict.clean, verdict
        assert verdict.double_paid == 0
        network = self.s.sandbox.network
        for account in network.accounts.all():
            assert account.balance_fen == -network.books[account.bank].internal_fen(RESERVE)
        assert all(book.sum_fen() == 0 for book in network.books.values())
        await self.house.proved()


@asynccontextmanager
async def story(
    folder: Path,
    *rules: Rule,
    at: datetime | None = None,
    modes: tuple[str, ...] = ("hvps",),
    routed: bool = False,
) -> AsyncIterator[Story]:
    clock = ManualClock(at) if at is not None else None
    async with stage(folder, *rules, clock=clock) as s:
        ids = Ids(s.clock, SystemRandomness())
        connections = s.hub.connections
        rail = CountingRail(msgspec.convert(connections["hvps"], HvpsConnection), s.clock, ids)
        rails: dict[str, Any] = {"hvps": rail}
        if "ibps" in modes:
            rails["ibps"] = IbpsRail(
                msgspec.convert(connections["ibps"], IbpsConnection), s.clock, ids
            )
        own = s.payer
        house = House(
            MemoryDatabase(), s.clock, memory=True, rails=rails, routed=routed,
            own={
                "name": own.name, "account": own.account, "bank_code": own.bank_code,
                "bank_name": own.bank_name, "access_modes": modes,
                "opening_balance_fen": min(FIRST_FEN, own.opening_fen),
            },
        )  # fmt: skip
        t = Story(s, await house.open(), rail)
        try:
            yield t
        finally:
            for each in rails.values():
                await each.close()


def lost(kind: FaultKind, **more: Any) -> Rule:
    return Rule(kind=kind, channel="hvps", **more)


async def the_attempt(t: Story, payment: UUID) -> Any:
    """The attempt of a payment, as the rail asks about it."""
    view = await t.house.view(payment)
    own = t.s.payer
    return Attempt(
        tenant=t.house.tenant,
        payment_id=payment,
        attempt_id=payment,
        rail="hvps",
        reference=view.reference,
        payer=AccountAtBank(own.name, own.account, own.bank_code),
        payee=AccountAtBank("-", t.payees[payment], own.bank_code),
        amount_fen=t.fens[payment],
        created_at=t.s.clock.now(),
        valid_until=t.s.clock.now(),
    )
