"""What an import needs from its neighbours, as it uses them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from caiwutong.audit.model import Event
from caiwutong.db.database import Tx
from caiwutong.imports.model import Directory
from caiwutong.kernel.errors import CaiwutongError, Refusal
from caiwutong.payments.model import Answer, PaymentRow, Submission
from caiwutong.payments.store import Filter


class Intake(Protocol):
    """Takes payments in: ``payments.intake``."""

    async def submit_many(
        self, tenant: str, submissions: Sequence[Submission], *, dry_run: bool = False
    ) -> list[Answer]: ...


class Payments(Protocol):
    """Payments as they are kept: the part of ``payments.store`` that reads."""

    async def get(self, tx: Tx, tenant: str, payment_id: UUID) -> PaymentRow | None: ...

    async def page(
        self, tx: Tx, tenant: str, narrow: Filter, before: UUID, limit: int
    ) -> list[PaymentRow]: ...


class Directories(Protocol):
    """Loads an enterprise's own accounts and units."""

    async def load(self, tenant: str) -> Directory: ...


class Funds(Protocol):
    """Knows what stands at our disposal."""

    async def available(
        self, tenant: str, bank_account_ids: Collection[UUID]
    ) -> Mapping[UUID, int]:
        """Fen available now on each account, the authorised overdraft included."""
        ...


class Seal(Protocol):
    """Field encryption and blind indexes, from the vault."""

    def seal(self, record_class: str, plaintext: bytes, context: bytes) -> bytes: ...
    def open(self, record_class: str, sealed: bytes, context: bytes) -> bytes: ...
    def blind_index(self, kind: str, normalised: str) -> bytes: ...


class Log(Protocol):
    """The audit log."""

    def event(
        self,
        tenant: str,
        kind: str,
        *,
        actor: str,
        subject_kind: str = "",
        subject_id: UUID = ...,
        body: Any = None,
        at: datetime | None = None,
    ) -> Event: ...

    async def append_many(self, tx: Tx, events: Sequence[Event]) -> None: ...

    async def record_refusal(
        self,
        tenant: str,
        act: str,
        refusal: CaiwutongError | Refusal,
        *,
        actor: str,
        subject_kind: str = "",
        subject_id: UUID = ...,
        facts: dict[str, Any] | None = None,
    ) -> Event: ...
