"""Intake in another process: the same answers over a socket, and the truth when it goes away."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from caiwutong.kernel.errors import Broken, CaiwutongError, InDoubt, Refusal, Unavailable
from caiwutong.kernel.order import Party, PaymentOrder
from caiwutong.payments.model import Answer, Receipt, Submission
from caiwutong.payments.ports import TakesOrders
from caiwutong.payments.remote import RemoteIntake, Streams, serve_intake
from caiwutong.payments.states import State


def submission(n: int) -> Submission:
    order = PaymentOrder(UUID(int=1), Party("收款人", "6222000012340417"), n + 1, remark="货款")
    return Submission(f"k-{n}", order, UUID(int=2), "api-key:erp")


class Intake:
    """Answers with the amount as number; waits, refuses and breaks when told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[Submission], bool]] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def submit_many(
        self, tenant: str, submissions: Sequence[Submission], *, dry_run: bool = False
    ) -> list[Answer]:
        self.asked.append((tenant, list(submissions), dry_run))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [
            Refusal("money.too_large", "No.", "Pay less.")
            if each.order.amount_fen % 13 == 0
            else Receipt(UUID(int=each.order.amount_fen), State.VALIDATED, needs="两人")
            for each in submissions
        ]


class Ends:
    """Both ends in one process; ``cut`` is what a ``kill -9`` of the child does to the socket."""

    def __init__(self, intake: TakesOrders) -> None:
        self._intake = intake
        self._children: list[tuple[asyncio.Task[None], asyncio.StreamWriter]] = []

    async def connect(self) -> Streams:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=theirs)
        task = asyncio.ensure_future(serve_intake(self._intake, reader, writer))
        self._children.append((task, writer))
        return await asyncio.open_connection(sock=ours)

    def cut(self) -> None:
        task, writer = self._children[-1]
        task.cancel()
        writer.transport.abort()

    @property
    def started(self) -> int:
        return len(self._children)

    @property
    def child(self) -> asyncio.Task[None]:
        return self._children[-1][0]


@asynccontextmanager
async def both(intake: Intake) -> AsyncIterator[tuple[RemoteIntake, Ends]]:
    ends = Ends(intake)
    remote = RemoteIntake(ends.connect)
    running = asyncio.ensure_future(remote.run())
    try:
        async with asyncio.timeout(10):
            await remote.ready()
        yield remote, ends
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_answers_come_back_in_the_order_of_the_submissions():
    intake = Intake()
    asked = [submission(n) for n in range(700)]
    async with both(intake) as (remote, _):
        answers = await remote.submit_many("acme", asked)
    assert answers == await intake.submit_many("acme", asked)
    assert intake.asked[0] == ("acme", asked, False), "every field travels"


async def test_a_rehearsal_stays_a_rehearsal():
    intake = Intake()
    async with both(intake) as (remote, _):
        await remote.submit_many("acme", [submission(1)], dry_run=True)
    assert intake.asked == [("acme", [submission(1)], True)]


async def test_batches_overtake_each_other():
    intake = Intake()
    async with both(intake) as (remote, _):
        intake.gate.clear()
        first = asyncio.ensure_future(remote.submit_many("acme", [submission(1)]))
        second = asyncio.ensure_future(remote.submit_many("acme", [submission(2)]))
        async with asyncio.timeout(10):
            while len(intake.asked) < 2:  # noqa: ASYNC110  the fake has no event for us
                await asyncio.sleep(0.01)
        intake.gate.set()
        assert await first == [Receipt(UUID(int=2), State.VALIDATED, needs="两人")]
        assert await second == [Receipt(UUID(int=3), State.VALIDATED, needs="两人")]


@pytest.mark.parametrize("kind", [Unavailable, InDoubt, Broken])
async def test_what_goes_wrong_there_goes_wrong_here(kind: type[CaiwutongError]):
    intake = Intake()
    intake.error = kind("test.wrong", "What happened.", "What helps.")
    async with both(intake) as (remote, _):
        with pytest.raises(kind) as told:
            await remote.submit_many("acme", [submission(1)])
    assert told.value.as_refusal() == Refusal("test.wrong", "What happened.", "What helps.")


async def test_an_error_nobody_foresaw_breaks_only_its_batch():
    intake = Intake()
    intake.error = ZeroDivisionError()
    async with both(intake) as (remote, _):
        with pytest.raises(Broken):
            await remote.submit_many("acme", [submission(1)])
        intake.error = None
        assert len(await remote.submit_many("acme", [submission(1)])) == 1


async def test_whoever_waits_when_the_child_dies_is_told_it_is_in_doubt_and_another_one_comes():
    intake = Intake()
    async with both(intake) as (remote, ends):
        intake.gate.clear()
        waiting = asyncio.ensure_future(remote.submit_many("acme", [submission(1)]))
        while not intake.asked:  # noqa: ASYNC110  the fake has no event for us
            await asyncio.sleep(0.01)
        ends.cut()
        with pytest.raises(InDoubt):
            await waiting
        with pytest.raises(Unavailable):
            await remote.submit_many("acme", [submission(1)])
        intake.gate.set()
        async with asyncio.timeout(10):
            while ends.started < 2:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
        assert len(await remote.submit_many("acme", [submission(1)])) == 1


async def test_a_batch_under_way_is_finished_when_the_parent_goes():
    intake = Intake()
    async with both(intake) as (remote, ends):
        intake.gate.clear()
        waiting = asyncio.ensure_future(remote.submit_many("acme", [submission(1)]))
        while not intake.asked:  # noqa: ASYNC110  the fake has no event for us
            await asyncio.sleep(0.01)
    with pytest.raises(InDoubt):
        await waiting
    assert not ends.child.done(), "it does not leave its transaction behind"
    intake.gate.set()
    async with asyncio.timeout(10):
        await ends.child
