"""The memory twin of PostgreSQL: serial transactions over plain dicts, with an undo log.

Memory stores change their tables only through ``put``, ``remove`` and ``append`` of the
transaction, so that leaving the block by an error restores everything. Two hooks let the simulator
lose the connection before or after a commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import TypeVar, cast

from caiwutong.db.database import Tx

K = TypeVar("K")
V = TypeVar("V")


class MemoryTx:
    """One transaction: changes are made at once and undone on rollback."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []
        self._afterwards: list[Callable[[], None]] = []

    def put(self, table: MutableMapping[K, V], key: K, value: V) -> None:
        if key in table:
            before = table[key]
            self._undo.append(lambda: table.__setitem__(key, before))
        else:
            self._undo.append(lambda: table.__delitem__(key))
        table[key] = value

    def remove(self, table: MutableMapping[K, V], key: K) -> None:
        before = table.pop(key)
        self._undo.append(lambda: table.__setitem__(key, before))

    def append(self, table: list[V], value: V) -> None:
        table.append(value)
        self._undo.append(table.pop)

    def after_commit(self, act: Callable[[], None]) -> None:
        self._afterwards.append(act)

    def roll_back(self) -> None:
        while self._undo:
            self._undo.pop()()

    def committed(self) -> None:
        for act in self._afterwards:
            act()


def mem(tx: Tx) -> MemoryTx:
    """The memory transaction behind ``tx``: for memory stores."""
    return cast(MemoryTx, tx)


class MemoryDatabase:
    """Transactions one after the other, as if every one locked everything."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[MemoryTx]:
        async with self._lock:
            tx = MemoryTx()
            try:
                await self.begin()
                yield tx
                await self.before_commit()
            except BaseException:
                tx.roll_back()
                raise
            await self.after_commit()
            tx.committed()

    async def begin(self) -> None:
        """A point where a simulator may interleave, crash, or lose the connection."""

    async def before_commit(self) -> None:
        """Raise here and nothing was done."""

    async def after_commit(self) -> None:
        """Raise here and it was done, though the caller does not learn it."""
