"""An outside PostgreSQL and an outside NATS replace the embedded ones, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import asyncpg
import pytest

from caiwutong.db.migrate import migrate
from caiwutong.engines import NatsEngine, PostgresEngine
from caiwutong.engines.home import erase
from caiwutong.kernel.errors import Refused
from support.engines import BackgroundLoop, data_folder_for_tests
from support.processes import working_on
from support.running import House

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PASSWORD = "not-a-superuser"


@dataclass
class Outside:
    """A PostgreSQL 16 on TCP and a NATS, run by the test and not by the house."""

    postgres: PostgresEngine
    nats: NatsEngine
    loop: BackgroundLoop

    def database_for_a_plain_role(self, name: str) -> str:
        """An empty database owned by a role that may create roles and nothing more; its URL."""
        return self.loop.run(self._make(name))

    async def _make(self, name: str) -> str:
        owner = await asyncpg.connect(self.postgres.url_of("postgres", tcp=True))
        try:
            await owner.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
            await owner.execute(f"CREATE DATABASE {name} OWNER {name}")
        finally:
            await owner.close()
        port = self.postgres.cluster.port
        return f"postgresql://{name}:{quote(PASSWORD)}@127.0.0.1:{port}/{name}"

    def as_owner(self, *statements: str) -> None:
        """What the cluster's owner does: make ``caiwutong_app`` where it is missing, and more."""

        async def act() -> None:
            owner = await asyncpg.connect(self.postgres.url_of("postgres", tcp=True))
            try:
                known = "SELECT 1 FROM pg_roles WHERE rolname = 'caiwutong_app'"
                if not await owner.fetchval(known):
                    await owner.execute("CREATE ROLE caiwutong_app NOLOGIN")
                for statement in statements:
                    await owner.execute(statement)
            finally:
                await owner.close()

        self.loop.run(act())

    def is_superuser(self, url: str) -> bool:
        async def ask() -> bool:
            connection = await asyncpg.connect(url)
            try:
                return await connection.fetchval("SHOW is_superuser") == "on"
            finally:
                await connection.close()

        return self.loop.run(ask())


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    folder = data_folder_for_tests()
    loop = BackgroundLoop()
    postgres = PostgresEngine(folder / "truth", version=16, tcp=True)
    nats = NatsEngine(folder / "transport")
    try:
        loop.run(postgres.start())
        loop.run(nats.start())
        yield Outside(postgres, nats, loop)
    finally:
        loop.run(nats.stop())
        loop.run(postgres.stop())
        loop.close()
        for each in (folder / "truth", folder / "transport", folder):
            erase(each)


def _a_small_month_agrees(house: House) -> None:
    house.start()
    house.set_clock(scale=10)
    ids = set(house.caller(hmac=True).pay_many(house.orders(60, seed=16)).values())
    house.wait_until_ended(ids, 60)
    imported = _import_today(house, 40)
    house.wait_until_ended(imported, 60)
    assert house.assert_it_holds()["payments"] == 100


def _import_today(house: House, rows: int) -> list[str]:
    told = house.tell("import", str(house.month_file(rows, seed=5)))
    assert told["import"]["applied"] == rows, told
    return [p["id"] for p in house.caller().every("/v1/payments")]


@pytest.mark.parametrize("who", ["plain", "superuser"])
def test_the_same_month_on_an_outside_postgresql_16_and_nats(outside: Outside, who: str) -> None:
    superuser = who == "superuser"
    url = (
        outside.postgres.url_of("caiwutong", tcp=True)
        if superuser
        else outside.database_for_a_plain_role("treasury")
    )
    assert outside.is_superuser(url) is superuser
    house = House(
        faults="mild",
        environment={"CAIWUTONG_DATABASE_URL": url, "CAIWUTONG_NATS_URL": outside.nats.url},
    )
    try:
        _a_small_month_agrees(house)
        commands = " ".join(working_on(house.folder).values())
        assert "postgres -D" not in commands and "nats-server" not in commands
        assert house.stop() == 0, house.said()
    finally:
        house.erase()


def test_a_role_made_by_somebody_else_is_used_as_it_is(outside: Outside) -> None:
    """A second installation on the same cluster: its role was granted ``caiwutong_app``, and may
    not grant it."""
    url = outside.database_for_a_plain_role("second")

    outside.as_owner("GRANT caiwutong_app TO second", "ALTER ROLE second NOCREATEROLE")

    assert migrate(url)


def test_a_role_that_may_too_little_is_told_what_it_needs(outside: Outside) -> None:
    url = outside.database_for_a_plain_role("third")
    outside.as_owner()
    with pytest.raises(Refused) as refused:
        migrate(url)
    assert refused.value.code == "db.not_permitted"
    assert "GRANT caiwutong_app" in refused.value.cure
