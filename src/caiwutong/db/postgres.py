"""PostgreSQL through asyncpg: a pool, transactions, and the translation of connection failures.

Every connection acts as the role ``caiwutong_app``, which may only insert into append-only tables.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg

from caiwutong.db.copying import sliced
from caiwutong.db.database import Tx
from caiwutong.kernel.errors import InDoubt, Unavailable

APP_ROLE = "caiwutong_app"

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
    OSError,
    TimeoutError,
)

Row = asyncpg.Record


class PostgresTx:
    """One open transaction on one connection. Queries are named ones from a store's ``.sql``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._afterwards: list[Callable[[], None]] = []

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        return await self._connection.fetch(sql, *args)

    async def fetch_one(self, sql: str, *args: object) -> Row | None:
        return await self._connection.fetchrow(sql, *args)

    async def value(self, sql: str, *args: object) -> Any:
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> int:
        """Run a statement; the number of rows it touched."""
        status = await self._connection.execute(sql, *args)
        tail = status.rsplit(" ", 1)[-1]
        return int(tail) if tail.isdigit() else 0

    async def copy(self, table: str, columns: Sequence[str], rows: Iterable[bytes]) -> None:
        """Insert rows already in binary COPY format (see ``copying``)."""
        await self._connection.copy_to_table(
            table, source=_slices(rows), columns=columns, format="binary"
        )

    async def copy_records(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]
    ) -> None:
        """Insert rows by COPY, each value encoded by the type of its column."""
        await self._connection.copy_records_to_table(table, columns=columns, records=rows)

    async def cursor(self, sql: str, *args: object) -> AsyncIterator[Row]:
        """Stream rows without holding them all."""
        async for row in self._connection.cursor(sql, *args, prefetch=1000):
            yield row

    def after_commit(self, act: Callable[[], None]) -> None:
        self._afterwards.append(act)

    def committed(self) -> None:
        for act in self._afterwards:
            act()


async def _slices(rows: Iterable[bytes]) -> AsyncIterator[bytes]:
    for each in sliced(rows):
        yield each


def pg(tx: Tx) -> PostgresTx:
    """The PostgreSQL transaction behind ``tx``: for stores, which know their own engine."""
    return cast(PostgresTx, tx)


class PostgresDatabase:
    """A pool of connections to one PostgreSQL (16 or newer)."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool: Any = pool

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        role: str | None = APP_ROLE,
        max_size: int = 10,
        name: str = "caiwutong",
        command_timeout_s: float = 30,
    ) -> PostgresDatabase:
        """Open the pool. ``role`` None keeps the login role: only migrations and verifiers do."""
        settings = {"application_name": name, "jit": "off", "timezone": "UTC"}
        if role is not None:
            settings["role"] = role
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=max_size,
                server_settings=settings,
                command_timeout=command_timeout_s,
                max_inactive_connection_lifetime=0,
                # Every query has a name: they all fit, and stay prepared as long as the connection.
                statement_cache_size=1000,
                max_cached_statement_lifetime=0,
            )
        except _LOST as error:
            raise _unavailable(error) from error
        return cls(pool)

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[PostgresTx]:
        try:
            connection: Any = await self._pool.acquire()
        except _LOST as error:
            raise _unavailable(error) from error
        try:
            transaction = connection.transaction()
            try:
                await transaction.start()
                tx = PostgresTx(connection)
                yield tx
            except BaseException as error:
                await _roll_back(transaction)
                if isinstance(error, _LOST):
                    raise _unavailable(error) from error
                raise
            try:
                await transaction.commit()
            except _LOST as error:
                raise InDoubt(
                    "db.commit_unknown",
                    "The connection to the database broke while committing.",
                    "Send the same request with the same idempotency key: it is answered once.",
                ) from error
        finally:
            await self._pool.release(connection)
        tx.committed()


async def _roll_back(transaction: Any) -> None:
    try:
        await transaction.rollback()
    except (*_LOST, asyncpg.PostgresError):
        return  # The connection is gone, and the transaction with it.


def _unavailable(error: BaseException) -> Unavailable:
    return Unavailable(
        "db.unavailable",
        f"The database does not answer ({type(error).__name__}).",
        "Nothing was done; send the same request again in a moment.",
    )


def columns(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Rows turned into columns for ``unnest``; ``width`` empty lists when there are no rows."""
    if not rows:
        return [[] for _ in range(width)]
    return [list(column) for column in zip(*rows, strict=True)]
