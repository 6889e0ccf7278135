"""A house whose account is at the sandbox's sponsor, reached over BEPS: whole payments, with the
engine on one side and the sandbox's own books on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from tests.sandbox.conftest import Stage, stage, until

from caiwutong.db.memory import MemoryDatabase
from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.order import Party
from caiwutong.payments.model import Receipt
from caiwutong.payments.states import State
from caiwutong.rails.beps.connector import BepsConnection, BepsRail
from caiwutong.rails.contract import Attempt, RailMessage, RailReport
from caiwutong.rails.ibps.connector import IbpsConnection, IbpsRail
from caiwutong.sandbox.client import SandboxClient
from caiwutong.sandbox.faults import FaultKind, Rule
from caiwutong.sandbox.judge import PaymentFact, judge
from caiwutong.sandbox.setup import CALLBACK_BEPS
from caiwutong.sandbox.world import Payee
from support.payment_house import House

S = State

FIRST_FEN = 100_000_00
ROUND_S = 1800


class CountingRail(BepsRail):
    """The BEPS rail, counting what it sends."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sent: list[RailMessage] = []
        self.asked = 0

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        self.asked += len(attempts)
        return await super().enquire(attempts)

    async def send(self, message: RailMessage) -> bytes:
        self.sent.append(message)
        return await super().send(message)


class Story:
    """A house whose account is at the sandbox's sponsor, reached over BEPS alone."""

    def __init__(self, s: Stage, house: House, rail: CountingRail) -> None:
        self.s, self.house, self.rail = s, house, rail
        self.read = 0
        self.payments: list[UUID] = []
        self.fens: dict[UUID, int] = {}
        self.payees: dict[UUID, str] = {}

    def payee(self, condition: str = "ok", *, credits_at: str = "round") -> Payee:
        return next(
            each
            for each in self.s.world.payees
            if each.condition == condition
            and self.s.world.bank(each.bank_code).beps_credit == credits_at
        )

    async def order(self, payee: Payee, fen: int = 12_34, **more: Any) -> UUID:
        answer = await self.house.submit(
            f"k{len(self.payments)}",
            fen,
            payee=Party(payee.name, payee.account, payee.bank_code, payee.bank_name),
            **more,
        )
        assert isinstance(answer, Receipt), answer
        self.payments.append(answer.payment_id)
        self.fens[answer.payment_id] = fen
        self.payees[answer.payment_id] = payee.account
        return answer.payment_id

    async def send(self) -> None:
        await self.house.dispatch.run_once(self.house.tenant)

    async def state(self, payment: UUID) -> State:
        return await self.house.state(payment)

    async def states(self) -> list[State]:
        return [await self.house.state(payment) for payment in self.payments]

    async def ask(self, seconds: float = 60) -> None:
        """Time passes, and whatever is due is asked about."""
        self.s.clock.advance(seconds)
        await self.house.recovery.run_once(self.house.tenant)

    async def listen(self) -> None:
        """Take what the centre has pushed."""
        await asyncio.sleep(0.1)
        await until(lambda: self.s.sandbox.pushes.waiting() == 0, 30)
        pushed = [body for path, body in self.s.hub.posts if path == CALLBACK_BEPS]
        for body in pushed[self.read :]:
            await self.house.settlement.apply_many(self.house.tenant, self.rail.decode(body))
        self.read = len(pushed)

    async def round(self) -> None:
        """The next netting round comes, and we hear of it."""
        self.s.clock.advance(ROUND_S)
        at = self.s.sandbox.beps_centre.next_round
        await until(lambda: self.s.sandbox.beps_centre.next_round > at, 30)
        await self.listen()

    async def agree(self) -> None:
        """Every payment of ours is in the banks' books as we have it, and ours add up."""
        facts: list[PaymentFact] = []
        async with self.house.database.transaction() as tx:
            attempts = await self.house.store.attempts_of(tx, self.house.tenant, self.payments)
        for payment in self.payments:
            view = await self.house.view(payment)
            facts.append(
                PaymentFact(
                    payment_id=str(payment),
                    references=tuple(each.reference for each in attempts[payment]),
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
        await self.house.proved()


@asynccontextmanager
async def story(
    folder: Path, *rules: Rule, at: datetime | None = None, ibps: bool = False
) -> AsyncIterator[Story]:
    """``ibps``: the account may also be paid from over IBPS."""
    clock = ManualClock(at) if at is not None else None
    async with stage(folder, *rules, clock=clock) as s:
        connection = msgspec.convert(s.hub.connections["beps"], BepsConnection)
        rail = CountingRail(connection, s.clock, Ids(s.clock, SystemRandomness()))
        rails: dict[str, Any] = {"beps": rail}
        if ibps:
            other = msgspec.convert(s.hub.connections["ibps"], IbpsConnection)
            rails["ibps"] = IbpsRail(other, s.clock, Ids(s.clock, SystemRandomness()))
        own = s.payer
        house = House(
            MemoryDatabase(), s.clock, memory=True, rails=rails,
            own={
                "name": own.name, "account": own.account, "bank_code": own.bank_code,
                "bank_name": own.bank_name, "access_modes": tuple(rails),
                "opening_balance_fen": FIRST_FEN,
            },
        )  # fmt: skip
        try:
            yield Story(s, await house.open(), rail)
        finally:
            for each in rails.values():
                await each.close()


def lost(kind: FaultKind, **more: Any) -> Rule:
    return Rule(kind=kind, channel="beps", **more)
