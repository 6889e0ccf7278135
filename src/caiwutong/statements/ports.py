"""What statements need from their neighbours, as they use them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from caiwutong.audit.model import Event
from caiwutong.bank_accounts.model import BankAccount, EntityAccounts
from caiwutong.db.database import Tx


class Log(Protocol):
    """The append-only event log."""

    async def append_many(self, tx: Tx, events: Sequence[Event]) -> None: ...


class Seal(Protocol):
    """Field encryption and blind indexes, from the vault."""

    def seal(self, record_class: str, plaintext: bytes, context: bytes) -> bytes: ...
    def open(self, record_class: str, sealed: bytes, context: bytes) -> bytes: ...
    def blind_index(self, kind: str, normalised: str) -> bytes: ...


class Accounts(Protocol):
    """Our bank accounts and the books of their entities, from ``bank_accounts``."""

    async def find_many(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> Mapping[UUID, BankAccount]: ...

    async def entity_accounts(
        self, tx: Tx, tenant: str, legal_entity_id: UUID
    ) -> EntityAccounts: ...
