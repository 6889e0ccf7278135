"""Where each consumer of the sealed log stands: one number per tenant and consumer.

A consumer's cursor moves in the transaction of what the consumer did, so an event has its effect
exactly once however often it is delivered. The publisher has a cursor too; losing it costs nothing
but publishing again.
"""

from __future__ import annotations

from typing import Protocol

from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.db.postgres import pg
from caiwutong.db.queries import load as load_queries

_sql = load_queries(__package__ or "", "cursors.sql")

PUBLISHER = "publisher"


class Cursors(Protocol):
    """The rows of ``outbox_cursors``: one store for PostgreSQL, one in memory."""

    async def lock(self, tx: Tx, tenant: str, consumer: str) -> int:
        """The consumer's place, locked until the transaction ends; 0 before its first event."""
        ...

    async def move(self, tx: Tx, tenant: str, consumer: str, seq: int) -> None: ...

    async def publish(self, tx: Tx, tenant: str, seq: int) -> None:
        """The publisher has come to here; never back."""
        ...

    async def rewind(self, tx: Tx) -> None:
        """The publisher goes back to the slowest consumer of each tenant."""
        ...

    async def all(self, tx: Tx, consumer: str) -> dict[str, int]:
        """The consumer's place in every tenant it has seen."""
        ...


class PostgresCursors:
    """Cursors in PostgreSQL."""

    async def lock(self, tx: Tx, tenant: str, consumer: str) -> int:
        return int(await pg(tx).value(_sql["lock"], tenant, consumer))

    async def move(self, tx: Tx, tenant: str, consumer: str, seq: int) -> None:
        await pg(tx).execute(_sql["move"], tenant, consumer, seq)

    async def publish(self, tx: Tx, tenant: str, seq: int) -> None:
        await pg(tx).execute(_sql["publish"], tenant, PUBLISHER, seq)

    async def rewind(self, tx: Tx) -> None:
        await pg(tx).execute(_sql["rewind"], PUBLISHER)

    async def all(self, tx: Tx, consumer: str) -> dict[str, int]:
        return {row["tenant"]: row["seq"] for row in await pg(tx).fetch(_sql["all"], consumer)}


class MemoryCursors:
    """Cursors in memory: the twin."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], int] = {}

    async def lock(self, tx: Tx, tenant: str, consumer: str) -> int:
        if (tenant, consumer) not in self._places:
            mem(tx).put(self._places, (tenant, consumer), 0)
        return self._places[tenant, consumer]

    async def move(self, tx: Tx, tenant: str, consumer: str, seq: int) -> None:
        if self._places.get((tenant, consumer), seq) < seq:
            mem(tx).put(self._places, (tenant, consumer), seq)

    async def publish(self, tx: Tx, tenant: str, seq: int) -> None:
        place = max(seq, self._places.get((tenant, PUBLISHER), 0))
        mem(tx).put(self._places, (tenant, PUBLISHER), place)

    async def rewind(self, tx: Tx) -> None:
        for (tenant, consumer), seq in list(self._places.items()):
            if consumer == PUBLISHER:
                others = [s for (t, c), s in self._places.items() if t == tenant and c != consumer]
                mem(tx).put(self._places, (tenant, consumer), min([seq, *others]))

    async def all(self, tx: Tx, consumer: str) -> dict[str, int]:
        return {t: seq for (t, c), seq in self._places.items() if c == consumer}
