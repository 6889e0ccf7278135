"""What the engine needs from its neighbours, as it uses them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from caiwutong.approvals.model import Ask, NewRequest, PolicyStep, Taken
from caiwutong.audit.model import Event
from caiwutong.db.database import Tx
from caiwutong.kernel.errors import Refusal
from caiwutong.payments.model import Answer, AttemptRow, Submission
from caiwutong.rails.catalog import Catalog, shipped
from caiwutong.rails.contract import Attempt, Rail


class TakesOrders(Protocol):
    """Intake, in this process or in another (``remote``)."""

    async def submit_many(
        self, tenant: str, submissions: Sequence[Submission], *, dry_run: bool = False
    ) -> list[Answer]: ...


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


class Consent(Protocol):
    """Promise 5, from ``approvals``: standing mandates of service accounts, and people's
    signatures where no mandate covers an order."""

    async def decide_many(
        self, tx: Tx, tenant: str, asks: Sequence[Ask], now: datetime
    ) -> list[UUID | Refusal]:
        """In order: the mandate that covers it, its daily limit taken; or why none does."""
        ...

    async def give_back_many(self, tx: Tx, tenant: str, taken: Sequence[Taken]) -> None: ...

    async def policy_steps(
        self, tx: Tx, tenant: str, kind: str = "payment"
    ) -> Sequence[PolicyStep]:
        """From which amount on how many different people must sign."""
        ...

    async def request_many(
        self, tx: Tx, tenant: str, requests: Sequence[NewRequest], now: datetime
    ) -> None: ...

    async def withdraw(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID, now: datetime
    ) -> None: ...

    async def signers(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> Sequence[tuple[UUID, str]]:
        """Who signed: person and name."""
        ...


class Seal(Protocol):
    """Field encryption and blind indexes, from the vault."""

    def seal(self, record_class: str, plaintext: bytes, context: bytes) -> bytes: ...
    def open(self, record_class: str, sealed: bytes, context: bytes) -> bytes: ...
    def blind_index(self, kind: str, normalised: str) -> bytes: ...


class Pages(Protocol):
    """Payments that a person carries into a bank's page, from ``bank_files``. Called inside the
    engine's transactions, after the payments are locked."""

    async def take_many(
        self, tx: Tx, tenant: str, attempts: Sequence[tuple[UUID, Attempt]]
    ) -> Collection[UUID]:
        """Put those of these (bank account, attempt) that a person carries into the open file of
        their account; the attempt ids of what is in a file now. What does not fit the bank's
        template is left out, and is refused when its message is written."""
        ...

    async def ended_many(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        """These attempts are over."""
        ...


class NoPages:
    """A house without bank files."""

    async def take_many(
        self, tx: Tx, tenant: str, attempts: Sequence[tuple[UUID, Attempt]]
    ) -> Collection[UUID]:
        return ()

    async def ended_many(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        pass


Rails = Mapping[str, Rail]
"""The connected rails by name."""

CatalogOf = Callable[[str], Catalog]
"""The dated facts as they are known to a tenant at this moment; cheap, never waits."""


def shipped_catalog(tenant: str) -> Catalog:
    """The facts that came with the software: what a house without recorded facts goes by."""
    return shipped()
