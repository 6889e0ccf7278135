"""What the engine needs from its neighbours, as it uses them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

import msgspec

from caiwutong.audit.model import Event
from caiwutong.db.database import Tx
from caiwutong.kernel.errors import Refusal
from caiwutong.rails.contract import Rail


class Log(Protocol):
    """The append-only event log, which is also the outbox."""

    async def append_many(self, tx: Tx, events: Sequence[Event]) -> None: ...


class OwnAccount(Protocol):
    """A bank account of ours, as ``bank_accounts`` keeps it."""

    @property
    def bank_account_id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def bank_code(self) -> str: ...
    @property
    def bank_name(self) -> str: ...
    @property
    def access_modes(self) -> tuple[str, ...]: ...
    @property
    def currency(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def outward(self) -> bool: ...
    @property
    def ledger_account_id(self) -> UUID: ...
    @property
    def counter_account_id(self) -> UUID: ...


class Accounts(Protocol):
    """Finds our bank accounts."""

    async def find_many(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> Mapping[UUID, OwnAccount]: ...


class Ask(msgspec.Struct, frozen=True):
    """May this caller make this payment without a person's signature?"""

    api_key_id: UUID
    bank_account_id: UUID
    payee_index: bytes
    amount_fen: int
    day: date


class Mandates(Protocol):
    """The standing mandates of service accounts (promise 5)."""

    async def decide_many(
        self, tx: Tx, tenant: str, asks: Sequence[Ask], now: datetime
    ) -> list[UUID | Refusal]:
        """In order: the mandate that covers it, its daily limit taken; or why none does."""
        ...


class Signing(Protocol):
    """Where orders outside a mandate wait for people."""

    async def request(
        self,
        tx: Tx,
        tenant: str,
        payment_id: UUID,
        digest: bytes,
        amount_fen: int,
        maker: UUID,
        now: datetime,
    ) -> None: ...


class Seal(Protocol):
    """Field encryption and blind indexes, from the vault."""

    def seal(self, record_class: str, plaintext: bytes, context: bytes) -> bytes: ...
    def open(self, record_class: str, sealed: bytes, context: bytes) -> bytes: ...
    def blind_index(self, kind: str, normalised: str) -> bytes: ...


Rails = Mapping[str, Rail]
"""The connected rails by name."""
