"""From a payment to a receiver's door: sealed, published, told, delivered, by the real loops."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from caiwutong.kernel.order import Party, PaymentOrder
from caiwutong.payments.model import Submission
from caiwutong.worker.events import event_loops
from caiwutong.worker.loops import all_of
from support.engines import EngineSession
from support.wired import open_house

Got = list[tuple[dict[str, str], bytes]]


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[str, Got]]:
    got: Got = []

    async def take(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        return web.Response(status=204)

    app = web.Application()
    app.add_routes([web.post("/hook", take)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook", got
    await runner.cleanup()


@pytest.mark.engine
async def test_a_payment_reaches_a_webhook_signed(
    database_url: str, engines: EngineSession, tmp_path: Path, receiver: tuple[str, Got]
):
    house = await open_house(database_url, tmp_path, nats_url=engines.nats_url)
    s, (url, got) = house.services, receiver
    async with s.database.transaction() as tx:
        _, secret = await s.webhooks.create(tx, house.tenant, url, ["payment.*"])
    stop = asyncio.Event()
    loops = asyncio.ensure_future(all_of(*event_loops(s, stop), s.sealer.run(stop)))
    order = PaymentOrder(house.accounts[0], Party("收款人", "6222000012340417"), 500)
    submission = Submission("k-1", order, house.secrets.api_key.api_key_id, "api-key:erp")
    await s.payments.intake.submit_many(house.tenant, [submission])
    async with asyncio.timeout(20):
        while not got:  # noqa: ASYNC110  what we wait for comes over a socket
            await asyncio.sleep(0.05)
    stop.set()
    await loops
    await s.database.close()
    headers, raw = got[0]
    body = json.loads(raw)
    assert (body["type"], body["data"]["amount_fen"]) == ("payment.created", 500)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
    mark = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mark}"
    assert "6222000012340417" not in raw.decode()
