"""The words of approvals.

A *mandate* (常设授权) says what an API key may pay without further signatures; two different people
sign it. A *subject* is anything people sign for, known here only by kind, id and digest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx


class MandateState(StrEnum):
    """proposed → active (two people signed) → revoked; revoked is the end."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    REVOKED = "revoked"


class MandateTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a mandate allows. Its canonical bytes are what people sign; a field added later must
    have a default that its encoder leaves out."""

    api_key_id: UUID
    bank_account_ids: tuple[UUID, ...]
    """The accounts it may pay from. Empty is none, never all."""
    payees: Literal["any"] | tuple[bytes, ...]
    """Whom it may pay: anybody, or the accounts with these blind indexes."""
    per_payment_fen: int
    daily_fen: int
    """For one calendar day in China, over all its accounts together."""
    valid_from: datetime
    valid_until: datetime
    """The first moment at which it no longer holds."""


class Mandate(msgspec.Struct, frozen=True, kw_only=True):
    """常设授权: terms, and where it stands in its life."""

    mandate_id: UUID
    tenant: str
    terms: MandateTerms
    state: MandateState
    maker: UUID
    digest: bytes
    proposed_at: datetime
    revoked_at: datetime | None = None


class Ask(msgspec.Struct, frozen=True):
    """One order that holds its money and asks whether a mandate covers it."""

    api_key_id: UUID
    bank_account_id: UUID
    payee_index: bytes
    amount_fen: int
    day: date
    """The day in China whose limit it uses."""


class Taken(msgspec.Struct, frozen=True):
    """What an order took of a day's limit, to be given back when it is cancelled."""

    mandate_id: UUID
    day: date
    amount_fen: int


class Usage(msgspec.Struct, frozen=True):
    """How much of a day's limit is used."""

    mandate_id: UUID
    day: date
    used_fen: int
    limit_fen: int


class Subject(msgspec.Struct, frozen=True):
    """What people sign for: a payment, a payee, a mandate. The digest (32 bytes) stands for the
    whole content: any change of content is another digest."""

    kind: str
    id: UUID
    digest: bytes


class SigningRequest(msgspec.Struct, frozen=True):
    """A subject waiting for (or decided by) people, in one round of signing."""

    subject: Subject
    round: int
    needed: int
    maker: UUID
    """The person or API key that made it; never counts as a signer."""
    state: Literal["waiting", "decided", "void"]
    requested_at: datetime
    ended_at: datetime | None = None


class NewRequest(msgspec.Struct, frozen=True):
    """Ask for ``needed`` different people's signatures under a subject."""

    subject: Subject
    needed: int
    maker: UUID


class SignatureRow(msgspec.Struct, frozen=True):
    """A signature as it is kept, with the key as it was: it can be checked for ever."""

    kind: str
    subject_id: UUID
    round: int
    person_id: UUID
    digest: bytes
    algorithm: str
    public_key: bytes
    signature: bytes
    signed_at: datetime


class Waiting(msgspec.Struct, frozen=True):
    """Signed, and still this many different people are needed."""

    missing: int


class Decided(msgspec.Struct, frozen=True):
    """Enough people signed. ``again`` is true when it was decided before this call."""

    again: bool = False


class PolicyStep(msgspec.Struct, frozen=True):
    """From this amount on, so many different people."""

    from_fen: int
    needed: int


OnDecided = Callable[[Tx, str, Subject], Awaitable[None]]
"""``on_decided(tx, tenant, subject)``: called inside the signing transaction, exactly once."""
