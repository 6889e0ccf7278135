"""The worker's event loops: publish the sealed log, tell webhooks, deliver to them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from caiwutong.db.database import Tx
from caiwutong.erp.webhooks.client import WebhookClient
from caiwutong.erp.webhooks.delivery import Deliverer, OnDisabled
from caiwutong.erp.webhooks.model import WEBHOOKS, Claim, Standing
from caiwutong.wiring import Services
from caiwutong.worker.cursors import PostgresCursors
from caiwutong.worker.inbox import Consumer
from caiwutong.worker.outbox import Publisher


def event_loops(services: Services, stop: asyncio.Event) -> list[Awaitable[None]]:
    """Every loop that carries events out of this installation."""
    s, cursors = services, PostgresCursors()
    publisher = Publisher(s.database, s.feed, cursors, s.urls.nats_url)
    client = WebhookClient()
    deliverer = Deliverer(
        s.database, s.webhooks, client, s.clock, s.randomness, on_disabled=_tell_disabled(s)
    )
    consumer = Consumer(WEBHOOKS, deliverer.hear, s.database, s.feed, cursors, s.urls.nats_url)
    return [
        _until(stop, publisher.run()),
        _until(stop, consumer.run()),
        _until(stop, _closing(client, deliverer.run())),
    ]


def _tell_disabled(services: Services) -> OnDisabled:
    async def tell(tx: Tx, claim: Claim, standing: Standing) -> None:
        event = services.audit.event(
            claim.tenant,
            "webhook.disabled",
            actor="system:worker",
            subject_kind="webhook",
            subject_id=claim.webhook.webhook_id,
            body={
                "url": claim.webhook.url,
                "delivered_seq": standing.delivered_seq,
                "failing_since": standing.failing_since,
                "last_status": standing.last_status,
                "last_error": standing.last_error,
            },
        )
        await services.audit.append_many(tx, [event])

    return tell


async def _closing(client: WebhookClient, work: Awaitable[None]) -> None:
    try:
        await work
    finally:
        await client.close()


async def _until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Do this until told to stop. What is cut off in the middle is done again at the next start."""
    doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
    finally:
        for task in (doing, stopping):
            task.cancel()
        await asyncio.gather(doing, stopping, return_exceptions=True)
