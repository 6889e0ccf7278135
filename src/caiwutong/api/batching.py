"""Gathers the payment requests of a moment into batches: one is a batch of one.

While a batch is being written the next one grows, so load makes batches larger instead of waits
longer. Promises: the queue is bounded, and a request that breaks a batch fails alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from caiwutong.kernel.errors import InDoubt, Unavailable
from caiwutong.kernel.gathering import Gatherer
from caiwutong.kernel.order import Priority
from caiwutong.payments.model import Answer, Submission
from caiwutong.payments.pressure import Pressure
from caiwutong.telemetry import Metrics

log = logging.getLogger(__name__)

SubmitMany = Callable[[str, Sequence[Submission]], Awaitable[list[Answer]]]


class Batcher:
    """One queue per tenant, at most ``in_flight`` batches of a tenant being written."""

    def __init__(
        self,
        submit_many: SubmitMany,
        metrics: Metrics,
        *,
        largest: int = 512,
        in_flight: int = 2,
        longest_queue: int = 8192,
        pressure: Pressure | None = None,
    ) -> None:
        """``pressure``: turns orders away while too much is due behind the queue."""
        self._pressure = pressure
        self._submit_many = submit_many
        self._metrics = metrics
        self._largest = largest
        self._in_flight = in_flight
        self._longest_queue = longest_queue
        self._queues: dict[str, Gatherer[Submission, Answer | Exception]] = {}
        metrics.intake_waiting.set_function(lambda: sum(map(len, self._queues.values())))

    async def submit(self, tenant: str, submission: Submission) -> Answer:
        """The answer for this submission, durable if it is a receipt. Raises ``Unavailable``
        (queue full, database away) and ``InDoubt`` (broke while committing)."""
        got = await self.begin(tenant, submission)
        if isinstance(got, Exception):
            raise got
        return got

    def begin(self, tenant: str, submission: Submission) -> asyncio.Future[Answer | Exception]:
        """The same without waiting; what ``submit`` raises is the future's result. Raises
        ``Unavailable`` when the queue is full or too much is due."""
        if self._pressure is not None:
            urgent = submission.order.priority is Priority.URGENT
            self._pressure.check(tenant, urgent=urgent)
        queue = self._queues.get(tenant)
        if queue is None:
            queue = self._queues[tenant] = self._queue_of(tenant)
        if len(queue) >= self._longest_queue:
            raise Unavailable(
                "payments.busy",
                f"{len(queue)} payment requests are waiting already.",
                "Nothing was done; send it again with the same idempotency key in a moment.",
            )
        return queue.begin(submission)

    def _queue_of(self, tenant: str) -> Gatherer[Submission, Answer | Exception]:
        async def write(batch: Sequence[Submission]) -> Sequence[Answer | Exception]:
            self._metrics.intake_batch.observe(len(batch))
            return await self._write(tenant, batch)

        return Gatherer(
            write, most=self._largest, in_flight=self._in_flight, waiting=self._longest_queue
        )

    async def _write(
        self, tenant: str, batch: Sequence[Submission]
    ) -> Sequence[Answer | Exception]:
        try:
            return await self._submit_many(tenant, batch)
        except (Unavailable, InDoubt) as error:
            return [error] * len(batch)
        except Exception as error:
            if len(batch) == 1:
                return [error]
            # One of them broke the batch. Nothing was kept: each goes alone, and it fails alone.
            log.exception("a batch of %d broke; its requests go one by one", len(batch))
            return [(await self._write(tenant, [each]))[0] for each in batch]
