"""The API as a server: listens, ends in good time with streams open, and describes itself well."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import httpx
import msgspec
import pytest

from caiwutong.api.server import serve_api
from caiwutong.engines.home import free_port
from support.wired import House, open_house

pytestmark = pytest.mark.engine


async def answers(url: str) -> bool:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"{url}/healthz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


async def test_it_ends_when_told_even_while_somebody_watches(database_url: str, tmp_path: Path):
    house = await open_house(database_url, tmp_path)
    house.services.settings = msgspec.structs.replace(house.services.settings, port=free_port(0))
    url, stop = house.services.settings.url, asyncio.Event()
    serving = asyncio.ensure_future(serve_api(house.services, stop))
    async with asyncio.timeout(20):
        while not await answers(url):  # noqa: ASYNC110  a server has no event for us
            await asyncio.sleep(0.05)
    async with (
        aiohttp.ClientSession(headers=house.bearer) as session,
        session.get(f"{url}/v1/events") as stream,
    ):
        assert await stream.content.readline() == b"retry: 2000\n"
        stop.set()
        async with asyncio.timeout(4):
            await serving
    assert not await answers(url)
    await house.services.database.close()


async def test_the_description_is_made_for_readers(client: httpx.AsyncClient, house: House):
    document = (await client.get("/openapi.json")).json()
    operations = [op for path in document["paths"].values() for op in path.values()]
    names = [op["operationId"] for op in operations]
    assert len(names) == len(set(names)) > 55
    assert all(op["summary"] and op["tags"] for op in operations)
    assert not [name for name in document["components"]["schemas"] if "." in name]
    orders = document["components"]["schemas"]["PaymentOrder"]
    assert orders["additionalProperties"] is False
    sample = {**orders["examples"][0], "bank_account_id": str(house.accounts[0])}
    answer = await client.post(
        "/v1/payments?dry_run=true", json=sample, headers={"idempotency-key": "doc-1"}
    )
    assert answer.status_code == 200, answer.text
