"""Two worlds for the audit log, PostgreSQL and memory: what holds in one holds in the other."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from caiwutong.audit.heads import HeadsFile
from caiwutong.audit.memory import MemoryAuditStore
from caiwutong.audit.model import Event
from caiwutong.audit.seal import Sealer
from caiwutong.audit.service import Audit
from caiwutong.audit.store import AuditStore, PostgresAuditStore
from caiwutong.audit.verify import AuditReport, verify
from caiwutong.db.database import Database
from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.ids import Ids
from caiwutong.vault import Vault
from conftest import migrated
from support.engines import EngineSession

NOON = datetime(2026, 11, 23, 4, 0, 0, 123456, tzinfo=UTC)
RANDOM = SystemRandomness()


class World:
    """An audit log with its sealer, its keys and its witness file."""

    def __init__(
        self,
        database: Database,
        store: AuditStore,
        folder: Path,
        url: str,
        vault: Vault | None = None,
    ) -> None:
        self.clock = ManualClock(NOON)
        self.database = database
        self.store = store
        self.url = url
        self.vault = vault or Vault.in_memory(RANDOM)
        self.heads = HeadsFile(folder)
        self.sealer = self.new_sealer()
        self.audit = Audit(store, database, Ids(self.clock, RANDOM), self.clock, self.sealer.wake)

    def new_sealer(self, batch_events: int = 4) -> Sealer:
        """Another sealer on the same log, as another process would have."""
        return Sealer(
            self.database,
            self.store,
            self.vault,
            HeadsFile(self.heads.path.parent),
            self.clock,
            batch_events=batch_events,
            every_s=0.01,
            idle_s=0.01,
        )

    def event(self, number: int = 0, tenant: str = "acme") -> Event:
        return self.audit.event(
            tenant,
            "payment.created",
            actor="key:erp",
            subject_kind="payment",
            subject_id=uuid.UUID(int=number + 1),
            body={"number": number, "payee": "上海某某有限公司"},
        )

    async def tell(self, count: int, tenant: str = "acme") -> list[Event]:
        """Events, each in a transaction of its own."""
        events = [self.event(number, tenant) for number in range(count)]
        for event in events:
            async with self.database.transaction() as tx:
                await self.audit.append_many(tx, [event])
        return events

    async def seal_all(self) -> int:
        total = 0
        while count := await self.sealer.run_once():
            total += count
        return total

    async def sealed(self, after: int = 0, limit: int = 1000) -> list[tuple[int, Event]]:
        async with self.database.transaction() as tx:
            return await self.audit.read_sealed(tx, "acme", after, limit)

    async def until_sealed(
        self, count: int, *, within_s: float, by: Sequence[asyncio.Task[None]]
    ) -> None:
        """Wait until so many are sealed ``by`` these running sealers; raises what ended them."""
        async with asyncio.timeout(within_s):
            while len(await self.sealed()) < count:
                for task in by:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.01)

    async def verify(self) -> AuditReport:
        return await verify(self.database, self.heads.path, self.vault.head_public_key, self.store)

    async def as_superuser(self, *statements: str) -> None:
        """What an intruder with a superuser's rights does: triggers off, change."""
        await as_superuser(self.url, *statements)


async def as_superuser(url: str, *statements: str) -> None:
    connection: Any = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def pg_world(database_url: str, tmp_path: Path) -> AsyncGenerator[World]:
    database = await PostgresDatabase.connect(database_url, max_size=6)
    yield World(database, PostgresAuditStore(), tmp_path / "witness", database_url)
    await database.close()


@pytest.fixture
async def memory_world(tmp_path: Path) -> World:
    return World(MemoryDatabase(), MemoryAuditStore(ManualClock(NOON)), tmp_path / "witness", "")


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.engine)])
def world(request: pytest.FixtureRequest) -> World:
    return request.getfixturevalue("pg_world" if request.param == "postgres" else "memory_world")


class SealedLog:
    """A log that was told and sealed once, and can be put back after each tampering: ten events of
    acme in batches of 4, 4 and 2, other's three, one of acme not sealed."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.vault = Vault.in_memory(RANDOM)
        self.events: list[Event] = []

    async def tell(self) -> None:
        database = await PostgresDatabase.connect(self.url)
        world = World(database, PostgresAuditStore(), self.folder, self.url, self.vault)
        self.events = await world.tell(10)
        await world.tell(3, "other")
        await world.seal_all()
        await world.tell(1)
        await database.close()
        self._heads = world.heads.path.read_bytes()
        await as_superuser(
            self.url,
            "CREATE TABLE true_events AS SELECT * FROM audit_events",
            "CREATE TABLE true_batches AS SELECT * FROM audit_batches",
        )

    async def put_back(self) -> None:
        await as_superuser(
            self.url,
            "TRUNCATE audit_events, audit_batches",
            "INSERT INTO audit_events SELECT * FROM true_events",
            "INSERT INTO audit_batches SELECT * FROM true_batches",
        )
        (self.folder / "heads.jsonl").write_bytes(self._heads)


@pytest.fixture(scope="module")
def sealed_log(
    engines: EngineSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SealedLog]:
    with engines.database(migrated, "sealed") as url:
        log = SealedLog(url, tmp_path_factory.mktemp("witness"))
        asyncio.run(log.tell())
        yield log


@pytest.fixture
async def told_world(sealed_log: SealedLog) -> AsyncGenerator[World]:
    """The sealed log, whole again, for one test to tamper with."""
    await sealed_log.put_back()
    database = await PostgresDatabase.connect(sealed_log.url)
    yield World(database, PostgresAuditStore(), sealed_log.folder, sealed_log.url, sealed_log.vault)
    await database.close()


@pytest.fixture
def told(sealed_log: SealedLog) -> list[Event]:
    """The ten sealed events of acme."""
    return sealed_log.events
