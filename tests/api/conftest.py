"""The API in front of a wired house, called as a client calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from caiwutong.api.app import create_app
from caiwutong.api.gate import Gate
from support.wired import House, open_house

Caller = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    house = await open_house(database_url, tmp_path)
    yield house
    await house.services.database.close()


@pytest.fixture
async def app(house: House) -> AsyncIterator[Gate]:
    app = create_app(house.services)
    yield app
    await app.close()


@pytest.fixture
async def client(app: Gate, house: House) -> AsyncIterator[httpx.AsyncClient]:
    """A caller of tenant acme, on this machine, with a bearer token."""
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://hub", headers=house.bearer
    ) as client:
        yield client


@pytest.fixture
async def stranger(app: Gate) -> AsyncIterator[httpx.AsyncClient]:
    """Someone from outside without any proof."""
    transport = httpx.ASGITransport(app, client=("203.0.113.7", 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        yield client
