"""Where each tenant's notebook is kept: one row in PostgreSQL, or its twin in memory."""

from __future__ import annotations

from typing import Protocol

from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.db.postgres import pg
from caiwutong.db.queries import load as load_queries

_sql = load_queries(__package__ or "", "store.sql")


class NotebookStore(Protocol):
    """The rows of ``routing_notebooks``."""

    async def lock(self, tx: Tx, tenant: str) -> bytes:
        """The tenant's notebook, locked until the transaction ends; empty before its first."""
        ...

    async def save(self, tx: Tx, tenant: str, seq: int, body: bytes) -> None: ...

    async def all(self, tx: Tx) -> dict[str, bytes]:
        """The notebook of every tenant that has one."""
        ...


class PostgresNotebooks:
    """Notebooks in PostgreSQL."""

    async def lock(self, tx: Tx, tenant: str) -> bytes:
        return bytes(await pg(tx).value(_sql["lock"], tenant))

    async def save(self, tx: Tx, tenant: str, seq: int, body: bytes) -> None:
        await pg(tx).execute(_sql["save"], tenant, seq, body)

    async def all(self, tx: Tx) -> dict[str, bytes]:
        return {row["tenant"]: bytes(row["body"]) for row in await pg(tx).fetch(_sql["all"])}


class MemoryNotebooks:
    """Notebooks in memory: the twin."""

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}

    async def lock(self, tx: Tx, tenant: str) -> bytes:
        return self._rows.get(tenant, b"")

    async def save(self, tx: Tx, tenant: str, seq: int, body: bytes) -> None:
        mem(tx).put(self._rows, tenant, body)

    async def all(self, tx: Tx) -> dict[str, bytes]:
        return {tenant: body for tenant, body in self._rows.items() if body}
