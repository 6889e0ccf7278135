"""The sending of webhooks: claim endpoints that have news, deliver in order, record the standing.

One event is one POST. A round delivers up to a page to each claimed endpoint and stops at the first
failure; nothing overtakes. A crash in the middle delivers the round again under the same
``webhook-id``: receivers see every event at least once, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol

from caiwutong.db.database import Database, Tx
from caiwutong.erp.feed import FeedEvent, wanted
from caiwutong.erp.webhooks.model import Claim, Delivery, Standing, WebhookState
from caiwutong.erp.webhooks.rules import (
    AddressPolicy,
    Answer,
    body_of,
    signature,
    stand_after,
)
from caiwutong.erp.webhooks.service import Webhooks
from caiwutong.kernel.clock import Clock, Randomness, monotonic
from caiwutong.kernel.errors import CaiwutongError

log = logging.getLogger(__name__)

PAGE = 100
LEASE_REAL_S = 60.0

OnDisabled = Callable[[Tx, Claim, Standing], Awaitable[None]]
"""Told inside the transaction that disables an endpoint, so that it becomes an event."""


class Poster(Protocol):
    """Carries one POST to the outside."""

    async def post(
        self, url: str, headers: dict[str, str], body: bytes, policy: AddressPolicy
    ) -> Answer: ...


async def _nobody(tx: Tx, claim: Claim, standing: Standing) -> None:
    return None


class Deliverer:
    """Delivers what endpoints are due. Several may run at once on one database."""

    def __init__(
        self,
        database: Database,
        webhooks: Webhooks,
        client: Poster,
        clock: Clock,
        randomness: Randomness,
        *,
        at_once: int = 16,
        on_disabled: OnDisabled = _nobody,
    ) -> None:
        self._database = database
        self._webhooks = webhooks
        self._client = client
        self._clock = clock
        self._randomness = randomness
        self._at_once = at_once
        self._on_disabled = on_disabled
        self._news = asyncio.Event()

    async def hear(self, tx: Tx, tenant: str, events: Sequence[FeedEvent]) -> None:
        """The handler of the consumer ``webhooks``: there is news for this tenant."""
        if events:
            await self._webhooks.store.tell(tx, tenant, events[-1].seq, self._clock.now())
            tx.after_commit(self._news.set)

    async def run(self, poll_s: float = 0.5) -> None:
        """Deliver until cancelled: at once when told in this process, else within ``poll_s``."""
        while True:
            self._news.clear()
            try:
                busy = await self.round()
            except CaiwutongError as error:
                log.warning("webhooks wait: %s", error)
                busy = 0
            if not busy:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), poll_s)

    async def round(self) -> int:
        """One round over the endpoints that are due; how many there were."""
        now = self._clock.now()
        lease = timedelta(seconds=LEASE_REAL_S / max(self._clock.real_seconds(1.0), 1e-9))
        async with self._database.transaction() as tx:
            claims = await self._webhooks.store.claim(tx, now, now + lease, self._at_once)
        await asyncio.gather(*(self._deliver(claim) for claim in claims))
        return len(claims)

    async def _deliver(self, claim: Claim) -> None:
        webhook = claim.webhook
        async with self._database.transaction() as tx:
            events = await self._webhooks.feed.read(tx, claim.tenant, webhook.delivered_seq, PAGE)
        started = monotonic()
        seq, last = webhook.delivered_seq, None
        done: list[Delivery] = []
        for event in events:
            if wanted(webhook.kinds, event.kind):
                if monotonic() - started > LEASE_REAL_S / 3:
                    break
                last = await self._post(claim, event)
                done.append(self._note(event, last))
                if not last.taken:
                    break
            seq = event.seq
        await self._settle(claim, seq, last, done)

    async def _post(self, claim: Claim, event: FeedEvent) -> Answer:
        now = self._clock.now()
        stamp = int(now.timestamp())
        body = body_of(event)
        message_id = f"evt_{event.id}"
        headers = {
            "content-type": "application/json",
            "user-agent": "Caiwutong-Webhooks/1",
            "webhook-id": message_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": signature(
                self._webhooks.valid_secrets(claim, now), message_id, stamp, body
            ),
        }
        policy = self._webhooks.policy(claim.demo)
        return await self._client.post(claim.webhook.url, headers, body, policy)

    def _note(self, event: FeedEvent, answer: Answer) -> Delivery:
        now = self._clock.now()
        return Delivery(
            event.seq, event.id, event.kind, answer.taken, 1, answer.status, answer.error, now, now
        )

    async def _settle(
        self, claim: Claim, seq: int, last: Answer | None, done: Sequence[Delivery]
    ) -> None:
        now = self._clock.now()
        chance = int.from_bytes(self._randomness.bytes(4)) / 2**32
        standing = stand_after(claim.webhook, seq, last, now, self._webhooks.patience, chance)
        async with self._database.transaction() as tx:
            store = self._webhooks.store
            await store.log(tx, claim.tenant, claim.webhook.webhook_id, done)
            kept = await store.settle(tx, claim, standing, now)
            if kept and standing.state is WebhookState.DISABLED:
                await self._on_disabled(tx, claim, standing)
