"""The catalog of a small group, on both stores, with people who sign."""

from __future__ import annotations

import pytest

from caiwutong.approvals.catalog_changes import CatalogSignatures, record_signed
from caiwutong.approvals.model import Subject
from caiwutong.identity.model import Person
from caiwutong.rails.catalog.changes import SUBJECT, Change
from caiwutong.rails.catalog.memory import MemoryCatalogStore
from caiwutong.rails.catalog.service import Catalogs
from caiwutong.rails.catalog.store import CatalogStore, PostgresCatalogStore
from support.house import TENANT, House, house, memory_house, postgres_house

__all__ = ["house", "memory_house", "postgres_house"]


class Scene:
    """A house with its catalog; ``other`` is the catalog of another process."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.clock = house.clock
        memory = house.kind == "memory"
        self.store: CatalogStore = MemoryCatalogStore() if memory else PostgresCatalogStore()
        self.catalogs = self._catalogs()
        self.other = self._catalogs()
        house.approvals.bind(SUBJECT, record_signed(self.catalogs))

    def _catalogs(self) -> Catalogs:
        h = self.house
        return Catalogs(
            self.store, database=h.database, audit=h.audit, ids=h.ids, clock=h.clock,
            signatures=CatalogSignatures(h.approvals),
        )  # fmt: skip

    async def open(self) -> Scene:
        self.maker, self.checker, self.third = await self.house.hire("陈静", "刘洋", "赵敏")
        return self

    async def propose(self, *facts: object, reason: str = "按通知", **more: object) -> Change:
        return await self.catalogs.propose(
            TENANT, facts, reason=reason, maker=self.maker.person_id, actor="person:陈静", **more
        )  # type: ignore[arg-type]

    async def sign(self, change: Change, person: Person) -> object:
        return await self.house.sign(person, Subject(SUBJECT, change.change_id, change.digest))

    async def read(self, change: Change) -> Change:
        async with self.house.transaction() as tx:
            return await self.catalogs.change(tx, TENANT, change.change_id)

    @property
    def now(self):
        return self.catalogs.current(TENANT)


@pytest.fixture
async def scene(house: House) -> Scene:
    return await Scene(house).open()
