"""Every story of a bank file runs twice: on PostgreSQL and on its memory twin."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.bank_files.house import FileHouse

from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import ManualClock


@pytest.fixture(params=["memory", "postgres"])
async def house(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[FileHouse]:
    if request.param == "memory":
        made = FileHouse(MemoryDatabase(), clock, memory=True)
        yield await made.open()
        await made.proved()
    else:
        database = await PostgresDatabase.connect(request.getfixturevalue("shared_database_url"))
        made = FileHouse(database, clock, memory=False)
        yield await made.open()
        await made.proved()
        await database.close()
