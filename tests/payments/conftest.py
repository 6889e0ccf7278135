"""Every story of a payment runs twice: on PostgreSQL and on its memory twin."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import ManualClock
from support.payment_house import House


@pytest.fixture(params=["memory", "postgres"])
async def house(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[House]:
    if request.param == "memory":
        made = House(MemoryDatabase(), clock, memory=True)
        yield await made.open()
        await made.proved()
    else:
        database = await PostgresDatabase.connect(request.getfixturevalue("shared_database_url"))
        made = House(database, clock, memory=False)
        yield await made.open()
        await made.proved()
        await database.close()
