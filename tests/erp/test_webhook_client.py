"""The socket of webhooks against a real server: no redirects, no inner addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from caiwutong.erp.webhooks.client import WebhookClient
from caiwutong.erp.webhooks.rules import AddressPolicy

DEMO = AddressPolicy(loopback=True)


@pytest.fixture
async def server() -> AsyncIterator[str]:
    seen = web.AppKey("seen", list)

    async def take(request: web.Request) -> web.Response:
        request.app[seen].append(await request.read())
        return web.Response(status=204)

    async def away(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/take"})

    async def busy(request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "60"})

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    app = web.Application()
    app[seen] = []
    app.add_routes([web.post(f"/{f.__name__}", f) for f in (take, away, busy, slow)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[WebhookClient]:
    client = WebhookClient(timeout_s=0.5)
    yield client
    await client.close()


async def test_what_an_endpoint_answers_is_told(server: str, client: WebhookClient):
    assert (await client.post(server + "/take", {}, b"{}", DEMO)).taken
    busy = await client.post(server + "/busy", {}, b"{}", DEMO)
    assert (busy.status, busy.retry_after and busy.retry_after.seconds) == (429, 60)


async def test_a_redirect_is_an_answer_and_not_followed(server: str, client: WebhookClient):
    assert (await client.post(server + "/away", {}, b"{}", DEMO)).status == 302


async def test_silence_ends(server: str, client: WebhookClient):
    answer = await client.post(server + "/slow", {}, b"{}", DEMO)
    assert (answer.status, answer.error) == (None, "no answer in time")


async def test_loopback_is_closed_to_those_who_are_no_demo(server: str, client: WebhookClient):
    answer = await client.post(server + "/take", {}, b"{}", AddressPolicy())
    assert answer.status is None
    assert "network" in answer.error


async def test_a_name_is_judged_by_where_it_leads(server: str, client: WebhookClient):
    port = server.rpartition(":")[2]
    inner = await client.post(f"https://localhost:{port}/take", {}, b"{}", AddressPolicy())
    assert inner.status is None
    assert "no address that may be called" in inner.error
    named = await client.post(f"http://localhost:{port}/take", {}, b"{}", DEMO)
    assert named.taken
