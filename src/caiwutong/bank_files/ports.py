"""What bank files need from their neighbours, as they use them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from caiwutong.approvals.model import SignatureRow, SigningRequest, Subject
from caiwutong.audit.model import Event
from caiwutong.bank_accounts.model import BankAccount
from caiwutong.db.database import Tx
from caiwutong.payments.settlement import Applied
from caiwutong.rails.bank_file.codec import ResultRow
from caiwutong.rails.bank_file.template import BankTemplate, Templates
from caiwutong.rails.contract import RailReport, StatementPage
from caiwutong.statements.model import LineRow, Taken


class Log(Protocol):
    """The append-only event log."""

    async def append_many(self, tx: Tx, events: Sequence[Event]) -> None: ...


class Seal(Protocol):
    """Field encryption, from the vault."""

    def seal(self, record_class: str, plaintext: bytes, context: bytes) -> bytes: ...
    def open(self, record_class: str, sealed: bytes, context: bytes) -> bytes: ...


class Formats(Protocol):
    """How banks' files look: ``rails.bank_file.connector.BankFileRail``."""

    @property
    def templates(self) -> Templates: ...

    def read_result(
        self, raw: bytes, templates: Sequence[BankTemplate]
    ) -> tuple[BankTemplate, list[ResultRow]]:
        """Raises BadMessage. Off the event loop: a workbook takes a moment."""
        ...


class Settle(Protocol):
    """The part of settlement that works inside an open transaction."""

    async def apply_in(
        self, tx: Tx, tenant: str, reports: Sequence[RailReport]
    ) -> list[Applied]: ...


class Consent(Protocol):
    """People's signatures, from ``approvals``."""

    async def request(
        self,
        tx: Tx,
        tenant: str,
        subject: Subject,
        needed: int,
        maker: UUID,
        now: datetime,
    ) -> None: ...

    async def withdraw(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID, now: datetime
    ) -> None: ...

    async def signing(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> SigningRequest | None: ...

    async def signatures(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> list[SignatureRow]: ...


class Accounts(Protocol):
    """Our bank accounts."""

    async def find_many(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> Mapping[UUID, BankAccount]: ...

    async def get(self, tx: Tx, tenant: str, bank_account_id: UUID) -> BankAccount:
        """Raises NotFound."""
        ...


class Statements(Protocol):
    """The part of statements that a file feeds."""

    async def take_page(
        self,
        tx: Tx,
        tenant: str,
        account: BankAccount,
        page: StatementPage,
        *,
        rail: str,
        fence: int | None = None,
    ) -> Taken: ...

    async def under(
        self, tx: Tx, tenant: str, places: Collection[tuple[UUID, str]]
    ) -> dict[tuple[UUID, str], list[LineRow]]: ...

    async def newest(
        self, tx: Tx, tenant: str, bank_account_id: UUID
    ) -> tuple[datetime, int] | None:
        """When the newest line was booked, and the balance after it; None before the first."""
        ...

    async def known(
        self, tx: Tx, tenant: str, account: BankAccount, line_ids: Collection[str]
    ) -> set[str]:
        """Which of these lines are here already."""
        ...
