"""What a database and a transaction are, for services that do not care which one they run on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Tx(Protocol):
    """One transaction, handed down from the stage that opened it."""

    def after_commit(self, act: Callable[[], None]) -> None:
        """Do this once the transaction is durable (wake a worker); never if it rolls back."""
        ...


class Database(Protocol):
    """Opens transactions.

    Leaving the block commits. Raises ``Unavailable`` when nothing was done, ``InDoubt`` when the
    connection broke while committing: the caller asks by its idempotency key.
    """

    def transaction(self) -> AbstractAsyncContextManager[Tx]: ...
