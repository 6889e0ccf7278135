"""The words of identity.

A *tenant* (租户) is one enterprise's closed world. In it: an enterprise group (企业集团), its legal
entities (法人主体), their member units (成员单位), and the accounting entities (核算主体) that keep
books for a unit. A *person* (人员) signs with a key of their own; an *API key* is a service account
(服务账号) of a machine caller.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec


class Tenant(msgspec.Struct, frozen=True):
    """One closed world. ``tenant`` is its short name, 2 to 32 of ``a-z0-9_-``."""

    tenant: str
    name: str
    demo: bool
    created_at: datetime


class EnterpriseGroup(msgspec.Struct, frozen=True):
    """企业集团: what the legal entities belong to."""

    group_id: UUID
    code: str
    name: str
    version: int
    created_at: datetime


class LegalEntity(msgspec.Struct, frozen=True):
    """法人主体: a company with its 统一社会信用代码."""

    legal_entity_id: UUID
    group_id: UUID
    code: str
    """Short name used in ledger codes, unique per tenant: ``le01``."""
    name: str
    uscc: str
    """统一社会信用代码 (GB 32100), 18 characters, checked."""
    version: int
    created_at: datetime


class MemberUnit(msgspec.Struct, frozen=True):
    """成员单位: a subsidiary or branch that holds bank accounts, inside one legal entity."""

    member_unit_id: UUID
    legal_entity_id: UUID
    code: str
    """Short name used in ledger codes, unique per tenant: ``u07``."""
    name: str
    version: int
    created_at: datetime


class AccountingEntity(msgspec.Struct, frozen=True):
    """核算主体: the set of books a member unit is accounted in."""

    accounting_entity_id: UUID
    member_unit_id: UUID
    code: str
    name: str
    version: int
    created_at: datetime


class KeyAlgorithm(StrEnum):
    """How a person signs."""

    SM2 = "sm2"
    """SM2 with SM3 (GM/T 0003.2), default identity; public key 04||x||y, 65 bytes."""
    ED25519 = "ed25519"
    """RFC 8032; public key 32 bytes."""


class PersonState(StrEnum):
    """proposed → active → left; left is the end. Only who is active may sign."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    LEFT = "left"


class Person(msgspec.Struct, frozen=True):
    """人员: someone who can sign. Only the public key is known here."""

    person_id: UUID
    name: str
    role: str
    """A label for people's eyes (出纳, 财务总监); rights come from policies, not from it."""
    algorithm: KeyAlgorithm
    public_key: bytes
    state: PersonState
    version: int
    created_at: datetime


class ApiKeyState(StrEnum):
    ACTIVE = "active"
    REVOKED = "revoked"


class ApiKey(msgspec.Struct, frozen=True):
    """A service account (服务账号): who a machine caller is. What it may pay without people is in
    its mandates."""

    api_key_id: UUID
    tenant: str
    name: str
    state: ApiKeyState
    version: int
    created_at: datetime
    bearer: bool = False
    """Whether it has a bearer secret too (accepted on loopback only)."""

    @property
    def key_id(self) -> str:
        """How a request names it: ``<tenant>.<32 hex digits>``."""
        return f"{self.tenant}.{self.api_key_id.hex}"


class ApiKeySecrets(msgspec.Struct, frozen=True):
    """What a new API key's owner is told, once: nobody can read it again."""

    api_key: ApiKey
    secret: str
    """The HMAC secret, 43 characters of unpadded base64url: 32 random bytes."""
    bearer: str = ""
    """The whole bearer token, where one was asked for; accepted on loopback only."""

    def __repr__(self) -> str:
        return f"ApiKeySecrets({self.api_key.key_id})"


class Caller(msgspec.Struct, frozen=True):
    """Who is calling, once proved."""

    tenant: str
    api_key_id: UUID
    name: str


class ApiKeyRow(msgspec.Struct, frozen=True):
    """An API key as it is kept: the HMAC secret sealed, the bearer secret only as a hash."""

    api_key_id: UUID
    name: str
    state: str
    sealed_secret: bytes
    bearer_hash: bytes | None
    version: int
    created_at: datetime
    ended_at: datetime | None

    def __repr__(self) -> str:
        return f"ApiKeyRow({self.api_key_id}, {self.state})"


Record = EnterpriseGroup | LegalEntity | MemberUnit | AccountingEntity | Person | ApiKeyRow
"""What stores keep by id and version."""
