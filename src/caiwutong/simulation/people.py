"""The callers: ERP systems and people who order, sign, cancel, revoke, and ask again and again.

They behave as the documentation tells them: after silence or doubt the same request with the same
key, until it is answered. Some misuse a key, sign wrongly, or change their mind at the worst
moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from caiwutong.approvals.model import Subject
from caiwutong.approvals.rules import needed_people
from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import (
    Broken,
    CaiwutongError,
    InDoubt,
    Refusal,
    Unavailable,
)
from caiwutong.kernel.order import PaymentOrder
from caiwutong.payments.intake import SUBJECT
from caiwutong.payments.model import Answer, Submission
from caiwutong.payments.rules import order_digest
from caiwutong.payments.states import TERMINAL, State
from caiwutong.rails.contract import BadMessage
from caiwutong.simulation.chance import Fault
from caiwutong.simulation.house import House
from caiwutong.simulation.processes import Process
from caiwutong.simulation.setting import GOOD_PAYEES, Setting, Signer
from caiwutong.simulation.stores import TENANT
from caiwutong.simulation.world import World

T = TypeVar("T")

_PATIENCE_S = 60.0


class Lost(Exception):
    """No answer: the process is down, died meanwhile, or takes too long."""


@dataclass(slots=True)
class Wish:
    """An order somebody wants paid, and what became of it."""

    mark: str
    """The key; the order carries it in its remark, so that the bank's books name it too."""
    order: PaymentOrder
    caller: UUID
    payer: str
    payment_id: UUID | None = None
    executed: int = 0
    """How often the bank moved the money."""


@dataclass(slots=True)
class People:
    """Everyone who calls the API processes."""

    world: World
    setting: Setting
    apis: list[Process]
    accepted: int = 0
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list[asyncio.Task[Any]])

    def order(self, group: int, at_s: float) -> None:
        """A caller comes at this moment with ``group`` orders."""
        wishes = [self._wish() for _ in range(group)]
        self._begin(self._caller, wishes, at_s)

    def revoke_a_mandate(self, wait: float) -> None:
        """Somebody takes a mandate away: what it covered before stays covered."""
        mandate_id = self.world.chance.people.choice(self.setting.mandates)

        async def act(house: House) -> None:
            async with house.database.transaction() as tx:
                await house.approvals.revoke_mandate(tx, TENANT, mandate_id, self.world.clock.now())

        self._later(wait, act)

    async def done(self) -> None:
        """Wait until nobody wants anything any more."""
        while self._tasks:
            tasks, self._tasks = self._tasks, []
            await asyncio.gather(*tasks)

    def _begin(self, act: Callable[..., Awaitable[None]], *args: Any) -> None:
        self._tasks.append(self.world.loop.spawn(self._guarded(act, *args)))

    async def _guarded(self, act: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await act(*args)
        except Exception as error:
            self.world.watch.unexpected("people", error)

    # Orders.

    def _wish(self) -> Wish:
        world, draw, setting = self.world, self.world.chance.people, self.setting
        mark = f"k{len(world.watch.wishes) + 1:04d}"
        account = setting.accounts[draw.choices(range(4), (40, 30, 20, 10))[0]]
        good = draw.random() < 0.93
        payee = draw.randrange(GOOD_PAYEES)
        if not good:
            payee = GOOD_PAYEES + draw.randrange(len(setting.payees) - GOOD_PAYEES)
        large = draw.random() < 0.15
        amount = draw.randrange(1, 1_500_000_00) if large else draw.randrange(1, 60_000_00)
        caller = draw.choices((*setting.api_keys, setting.signers[0].person_id), (60, 20, 8, 12))[0]
        day = None
        if draw.random() < 0.06:
            day = china_date(world.clock.now() + timedelta(days=draw.randrange(4)))
        order = PaymentOrder(
            bank_account_id=account.bank_account_id,
            payee=setting.payees[payee],
            amount_fen=amount,
            purpose="simulated",
            remark=mark,
            execute_on=day,
            channel=draw.choice(("ibps", "bank_direct", "hvps", "beps"))
            if draw.random() < 0.1
            else "",
        )
        wish = world.watch.wishes[mark] = Wish(mark, order, caller, account.number)
        return wish

    async def _caller(self, wishes: list[Wish], at_s: float) -> None:
        world, strikes = self.world, self.world.chance.strikes
        await asyncio.sleep(at_s - world.loop.time())
        batch = [self._submission(wish) for wish in wishes]
        if len(batch) > 1 and world.chance.people.random() < 0.1:
            batch.append(batch[0])
            wishes = [*wishes, wishes[0]]
        if strikes(Fault.CLIENT_SENDS_AGAIN, batch[0].key):
            self._begin(self._again, wishes, batch)
        answers = await self._submit(batch)
        for wish, answer in zip(wishes, answers, strict=True):
            self._hear(wish, answer)
        for wish in wishes:
            if wish.payment_id is not None and strikes(Fault.CLIENT_REUSES_KEY, wish.mark):
                await self._reuse(wish)

    def _submission(self, wish: Wish) -> Submission:
        return Submission(wish.mark, wish.order, wish.caller, "api-key:simulated")

    async def _submit(self, batch: Sequence[Submission]) -> list[Answer]:
        """The answers; the same batch again for as long as there is none."""
        return await self._insist(lambda house: house.intake.submit_many(TENANT, batch))

    async def _again(self, wishes: list[Wish], batch: list[Submission]) -> None:
        await asyncio.sleep(self.world.chance.people.choice((0.001, 0.01, 600.0)))
        known = {wish.mark for wish in wishes if wish.payment_id is not None}
        for wish, answer in zip(wishes, await self._submit(batch), strict=True):
            self._hear(wish, answer)
            if isinstance(answer, Refusal) and wish.mark in known:
                words = f"Accepted before, now {answer.code}."
                self.world.watch.violated("same_key_same_answer", words, wish.mark)

    def _hear(self, wish: Wish, answer: Answer) -> None:
        if isinstance(answer, Refusal):
            self.world.trace.tell("client", f"{wish.mark} refused {answer.code}")
            return
        self.world.trace.tell("client", f"{wish.mark} is {answer.payment_id}")
        first = wish.payment_id is None
        self.world.watch.answered(wish, answer.payment_id)
        if first:
            self.accepted += 1
            self._follow(wish, answer.state)

    async def _reuse(self, wish: Wish) -> None:
        other = msgspec.structs.replace(wish.order, amount_fen=wish.order.amount_fen + 1)
        submission = msgspec.structs.replace(self._submission(wish), order=other)
        (answer,) = await self._submit([submission])
        if not isinstance(answer, Refusal) or answer.code != "payment.key_reused":
            self.world.watch.violated(
                "a_key_is_bound_to_content", "Other content was not refused.", wish.mark
            )

    # What follows an accepted order.

    def _follow(self, wish: Wish, state: State) -> None:
        draw = self.world.chance.people
        payment_id = wish.payment_id
        assert payment_id is not None
        if state is State.AWAITING_SIGNATURES:
            self._begin(self._signing, wish)
        if draw.random() < 0.08:
            wait = draw.choice((0.01, 1.0, 3600.0)) * draw.random()
            self._later(wait, lambda h: h.requests.cancel(TENANT, payment_id, "person:owner"))
        if draw.random() < 0.08:
            wait = draw.choice((1.0, 60.0, 3600.0)) * draw.random()
            self._later(wait, lambda h: h.requests.revoke(TENANT, payment_id, "person:owner"))
        if draw.random() < 0.5:
            self._begin(self._watch_it, wish)
        if draw.random() < 0.05:
            self._later(draw.uniform(1, 600), lambda h: h.requests.enquire(TENANT, payment_id))
        if draw.random() < 0.08:
            self._later(
                draw.uniform(600, 4 * 3600),
                lambda h: h.requests.request_return(TENANT, payment_id, "wrong", "person:owner"),
            )

    async def _watch_it(self, wish: Wish) -> None:
        """Somebody looks after a payment; when it stays in doubt, people leave its channel
        together, or too few of them."""
        world, draw = self.world, self.world.chance.people
        assert wish.payment_id is not None
        for _ in range(8):
            await asyncio.sleep(draw.uniform(300, 3000))
            row = world.stores.payments.row(wish.payment_id)
            if row is None or row.state in TERMINAL:
                return
            if row.state in (State.IN_DOUBT, State.SUBMITTED):
                await self._leave(wish, 1 if draw.random() < 0.1 else 2)

    async def _leave(self, wish: Wish, willing: int) -> None:
        payment_id, asked = wish.payment_id, list[Subject]()
        assert payment_id is not None

        async def ask(house: House) -> None:
            asked.append(
                await house.switching.ask(TENANT, payment_id, "late", wish.caller, "person:owner")
            )

        await self._ask(ask)
        if asked:
            for signer in self.world.chance.people.sample(self.setting.signers[1:], willing):
                await self._give(signer, asked[-1], signer.sign(asked[-1]))

    def _later(self, wait: float, act: Callable[[House], Awaitable[Any]]) -> None:
        async def ask() -> None:
            await asyncio.sleep(wait)
            await self._ask(act)

        self._begin(ask)

    async def _signing(self, wish: Wish) -> None:
        """The people asked for sign, or too few of them, or the wrong way."""
        draw = self.world.chance.people
        assert wish.payment_id is not None
        subject = Subject(SUBJECT, wish.payment_id, order_digest(wish.order))
        needed = needed_people((), wish.order.amount_fen)
        fate = draw.random()
        willing = 0 if fate < 0.08 else needed - 1 if fate < 0.14 else needed
        signers = draw.sample(self.setting.signers[1:], willing)
        if wish.caller == self.setting.signers[0].person_id and draw.random() < 0.3:
            signers.insert(0, self.setting.signers[0])
        for signer in signers:
            wait = draw.choice((1.0, 60.0, 7200.0, 86400.0)) * draw.random()
            self._begin(self._sign, signer, subject, wait)

    async def _sign(self, signer: Signer, subject: Subject, wait: float) -> None:
        draw = self.world.chance.people
        await asyncio.sleep(wait)
        if draw.random() < 0.05:
            await self._give(signer, subject, bytes(64))
        if draw.random() < 0.05:
            other = Subject(subject.kind, subject.id, bytes(32))
            await self._give(signer, other, signer.sign(other))
        for _ in range(2 if draw.random() < 0.1 else 1):
            await self._give(signer, subject, signer.sign(subject))

    async def _give(self, signer: Signer, subject: Subject, signature: bytes) -> None:
        async def act(house: House) -> None:
            async with house.database.transaction() as tx:
                now = self.world.clock.now()
                await house.approvals.sign(tx, TENANT, subject, signer.person_id, signature, now)

        await self._ask(act)

    # Calling.

    async def _insist(self, act: Callable[[House], Awaitable[T]]) -> T:
        """The answer of some API process, however often it takes."""
        wait = 0.5
        while True:
            try:
                return await self._call(act)
            except (Lost, Unavailable, InDoubt) as error:
                self.world.trace.tell("client", f"again after {type(error).__name__}")
            await asyncio.sleep(wait * self.world.chance.delays.uniform(0.5, 1))
            wait = min(wait * 2, 60.0)

    async def _ask(self, act: Callable[[House], Awaitable[Any]]) -> None:
        """The same, but a refusal is an answer."""
        try:
            await self._insist(act)
        except Broken as error:
            self.world.watch.broken("api", error)
        except CaiwutongError as error:
            self.world.trace.tell("client", f"told {error.code}")

    async def _call(self, act: Callable[[House], Awaitable[T]]) -> T:
        up = [api for api in self.apis if api.alive]
        if not up:
            raise Lost
        process = up[self.world.chance.delays.randrange(len(up))]
        return await answer_of(process, act, _PATIENCE_S)


async def answer_of(process: Process, act: Callable[[House], Awaitable[T]], patience_s: float) -> T:
    """What a process answers. Raises Lost when it dies or takes longer."""

    async def serve() -> T:
        return await act(process.house)

    task = process.run(serve())
    done, _ = await asyncio.wait([task], timeout=patience_s)
    if not done or task.cancelled():
        raise Lost
    return task.result()


def deliver_to(world: World, apis: list[Process]) -> Callable[[str, bytes], Awaitable[bool]]:
    """How notices of the bank enter: decoded, settled, and only then confirmed."""

    async def deliver(channel: str, raw: bytes) -> bool:
        up = [api for api in apis if api.alive]
        if not up:
            return False
        process = up[world.chance.delays.randrange(len(up))]

        async def take(house: House) -> None:
            await house.settle(TENANT, house.rails[channel].decode(raw))

        try:
            await answer_of(process, take, _PATIENCE_S)
        except (Lost, Unavailable, InDoubt, BadMessage):
            return False
        except Broken as error:
            world.watch.broken(process.name, error)
            return False
        except Exception as error:
            world.watch.unexpected(process.name, error)
            return False
        return True

    return deliver
