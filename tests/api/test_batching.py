"""Gathering payment requests: batches grow with load, and one bad request falls alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import msgspec
import pytest

from caiwutong.api.batching import Batcher
from caiwutong.api.problems import headers_of, problem_of
from caiwutong.kernel.errors import Broken, InDoubt, Refusal, Unavailable
from caiwutong.kernel.order import Party, PaymentOrder, Priority
from caiwutong.payments.model import Answer, Receipt, Submission
from caiwutong.payments.pressure import Pressure
from caiwutong.payments.states import State
from caiwutong.telemetry import Metrics


def submission(n: int) -> Submission:
    order = PaymentOrder(UUID(int=1), Party("收款人", "6222000012340417"), n + 1)
    return Submission(f"k-{n}", order, UUID(int=2), "api-key:erp")


class Intake:
    """Answers with the number of the order; breaks when told."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.poison = ""
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def submit_many(self, tenant: str, batch: Sequence[Submission]) -> list[Answer]:
        self.batches.append([each.key for each in batch])
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if any(each.key == self.poison for each in batch):
            raise Broken("test.broken", "This one breaks the batch.")
        return [
            Refusal("money.too_large", "No.")
            if each.order.amount_fen == 13
            else Receipt(UUID(int=each.order.amount_fen), State.VALIDATED)
            for each in batch
        ]


async def test_a_lone_request_is_a_batch_of_one():
    intake = Intake()
    answer = await Batcher(intake.submit_many, Metrics()).submit("acme", submission(4))
    assert answer == Receipt(UUID(int=5), State.VALIDATED)
    assert intake.batches == [["k-4"]]


async def test_everyone_gets_their_own_answer():
    intake = Intake()
    batcher = Batcher(intake.submit_many, Metrics(), largest=50)
    answers = await asyncio.gather(*(batcher.submit("acme", submission(n)) for n in range(300)))
    for n, answer in enumerate(answers):
        refused = n == 12
        assert isinstance(answer, Refusal if refused else Receipt)
        assert refused or answer.payment_id == UUID(int=n + 1)  # type: ignore[union-attr]
    assert max(map(len, intake.batches)) == 50
    assert len(intake.batches) <= 8


async def test_requests_that_wait_become_the_next_batch():
    intake = Intake()
    intake.gate.clear()
    batcher = Batcher(intake.submit_many, Metrics(), in_flight=1)
    first = asyncio.ensure_future(batcher.submit("acme", submission(0)))
    await asyncio.sleep(0.01)
    rest = [asyncio.ensure_future(batcher.submit("acme", submission(n))) for n in range(1, 40)]
    await asyncio.sleep(0.01)
    assert len(intake.batches) == 1
    intake.gate.set()
    await asyncio.gather(first, *rest)
    assert [len(batch) for batch in intake.batches] == [1, 39]


async def test_a_request_that_breaks_its_batch_fails_alone():
    intake = Intake()
    intake.poison = "k-7"
    batcher = Batcher(intake.submit_many, Metrics())
    answers = await asyncio.gather(
        *(batcher.submit("acme", submission(n)) for n in range(10)), return_exceptions=True
    )
    assert [isinstance(a, Broken) for a in answers] == [n == 7 for n in range(10)]


@pytest.mark.parametrize("error", [Unavailable("db.unavailable", "x"), InDoubt("db.unknown", "x")])
async def test_a_silent_database_is_told_to_all_and_not_tried_again(error: Exception):
    intake = Intake()
    intake.error = error
    batcher = Batcher(intake.submit_many, Metrics())
    answers = await asyncio.gather(
        *(batcher.submit("acme", submission(n)) for n in range(5)), return_exceptions=True
    )
    assert answers == [error] * 5
    assert len(intake.batches) == 1


async def test_the_queue_has_an_end():
    intake = Intake()
    intake.gate.clear()
    metrics = Metrics()
    batcher = Batcher(intake.submit_many, metrics, largest=1, in_flight=1, longest_queue=3)
    waiting = []
    for n in range(4):
        waiting.append(asyncio.ensure_future(batcher.submit("acme", submission(n))))
        await asyncio.sleep(0.005)
    assert b"caiwutong_intake_waiting 3.0" in metrics.render()
    with pytest.raises(Unavailable) as full:
        await batcher.submit("acme", submission(9))
    assert full.value.code == "payments.busy"
    assert (await asyncio.wait_for(_other(batcher), 1)) is None
    intake.gate.set()
    await asyncio.gather(*waiting)


async def _other(batcher: Batcher) -> None:
    """Another tenant has a queue of its own."""
    task = asyncio.ensure_future(batcher.submit("other", submission(1)))
    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()


class FullHouse(Pressure):
    """Too much is due already."""

    def __init__(self) -> None:
        pass

    def check(self, tenant: str, *, urgent: bool = False) -> None:
        if not urgent:
            raise Unavailable("payments.backlog", "9 are due.", "Later.", retry_after_s=17)


async def test_while_too_much_is_due_orders_are_turned_away_before_they_queue():
    intake = Intake()
    batcher = Batcher(intake.submit_many, Metrics(), pressure=FullHouse())
    with pytest.raises(Unavailable) as refused:
        await batcher.submit("acme", submission(1))
    assert intake.batches == []
    problem = problem_of(refused.value, "/v1/payments")
    assert (problem.status, problem.code, problem.cure) == (503, "payments.backlog", "Later.")
    assert headers_of(problem, refused.value)["retry-after"] == "17"


async def test_an_urgent_order_passes_where_others_are_turned_away():
    batcher = Batcher(Intake().submit_many, Metrics(), pressure=FullHouse())
    normal = submission(1)
    urgent = msgspec.structs.replace(
        normal, order=msgspec.structs.replace(normal.order, priority=Priority.URGENT)
    )
    assert isinstance(await batcher.submit("acme", urgent), Receipt)
