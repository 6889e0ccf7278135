"""What identity does: tenants, the organisation, people, API keys. All calls run inside the
caller's transaction and never commit.

Unknown ids and other tenants' ids are answered alike: NotFound. An update names the version it
read.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import Protocol, TypeVar
from uuid import UUID

import msgspec

from caiwutong.audit.model import NO_SUBJECT
from caiwutong.audit.service import Audit
from caiwutong.db.database import Tx
from caiwutong.identity import rules
from caiwutong.identity.model import (
    AccountingEntity,
    ApiKey,
    ApiKeyRow,
    ApiKeySecrets,
    ApiKeyState,
    EnterpriseGroup,
    KeyAlgorithm,
    LegalEntity,
    MemberUnit,
    Person,
    PersonState,
    Record,
    Tenant,
)
from caiwutong.identity.signatures import check_public_key
from caiwutong.identity.store import IdentityStore, id_of
from caiwutong.identity.telling import SYSTEM, Teller
from caiwutong.kernel.clock import Clock, Randomness
from caiwutong.kernel.errors import Conflict, NotFound, Refused
from caiwutong.kernel.ids import Ids

FOUNDERS = 2
"""As many as it takes to sign for everyone after them."""

_FIRST = UUID(int=0)
R = TypeVar("R", bound=Record)

_WORDS: dict[type[Record], tuple[str, str]] = {
    EnterpriseGroup: ("identity.no_such_group", "enterprise group"),
    LegalEntity: ("identity.no_such_legal_entity", "legal entity"),
    MemberUnit: ("identity.no_such_member_unit", "member unit"),
    AccountingEntity: ("identity.no_such_accounting_entity", "accounting entity"),
    Person: ("identity.no_such_person", "person"),
    ApiKeyRow: ("identity.no_such_api_key", "API key"),
}

_KINDS: dict[type[Record], str] = {
    EnterpriseGroup: "group",
    LegalEntity: "legal_entity",
    MemberUnit: "member_unit",
    AccountingEntity: "accounting_entity",
    Person: "person",
    ApiKeyRow: "api_key",
}
_NOT_TOLD = frozenset({"sealed_secret", "bearer_hash", "public_key", "created_at"})


class SecretWrap(Protocol):
    """The part of the vault that guards API secrets."""

    def wrap_secret(self, key_name: str, secret: bytes) -> bytes: ...

    def unwrap_secret(self, key_name: str, wrapped: bytes) -> bytes: ...


class Identity:
    """Tenants, organisation, people and API keys over one store."""

    def __init__(
        self,
        store: IdentityStore,
        *,
        vault: SecretWrap,
        ids: Ids,
        clock: Clock,
        randomness: Randomness,
        audit: Audit | None = None,
    ) -> None:
        self._store = store
        self._log = Teller(audit)
        self._vault = vault
        self._ids = ids
        self._clock = clock
        self._randomness = randomness

    # --- tenants --------------------------------------------------------------------------

    async def create_tenant(
        self, tx: Tx, tenant: str, name: str, *, demo: bool = False, actor: str = SYSTEM
    ) -> Tenant:
        """A new, empty tenant. Raises Refused, or Conflict when the name is taken."""
        rules.check_tenant(tenant)
        rules.check_name(name)
        made = Tenant(tenant, name, demo, self._clock.now())
        if not await self._store.insert_tenant(tx, made):
            raise Conflict(
                "identity.tenant_exists",
                f"There is a tenant {tenant} already.",
                "Use it, or choose another short name.",
            )
        await self._log.tell(
            tx, tenant, "tenant.created", NO_SUBJECT, actor, {"name": name, "demo": demo}
        )
        return made

    async def tenant(self, tx: Tx, tenant: str) -> Tenant:
        """One tenant. Raises NotFound."""
        found = await self._store.tenant(tx, tenant)
        if found is None:
            raise NotFound(
                "identity.no_such_tenant",
                f"There is no tenant {tenant[:32]!r}.",
                "Make one with caiwutong init.",
            )
        return found

    async def tenants(self, tx: Tx) -> list[Tenant]:
        """All tenants, by name: for the house's own workers, never for a caller."""
        return await self._store.tenants(tx)

    # --- organisation ---------------------------------------------------------------------

    async def create_group(
        self, tx: Tx, tenant: str, code: str, name: str, *, actor: str = SYSTEM
    ) -> EnterpriseGroup:
        """企业集团. Raises Refused, NotFound for the tenant, Conflict when the code is taken."""
        _check(code, name)
        await self.tenant(tx, tenant)
        row = EnterpriseGroup(self._ids.new(), code, name, 1, self._clock.now())
        return await self._add(tx, tenant, row, f"code {code}", actor)

    async def create_legal_entity(
        self,
        tx: Tx,
        tenant: str,
        group_id: UUID,
        code: str,
        name: str,
        uscc: str,
        *,
        actor: str = SYSTEM,
    ) -> LegalEntity:
        """法人主体 of a group, its 统一社会信用代码 checked."""
        _check(code, name)
        number = rules.check_uscc(uscc)
        await self.group(tx, tenant, group_id)
        row = LegalEntity(self._ids.new(), group_id, code, name, number, 1, self._clock.now())
        return await self._add(tx, tenant, row, f"code {code} or {number}", actor)

    async def create_member_unit(
        self,
        tx: Tx,
        tenant: str,
        legal_entity_id: UUID,
        code: str,
        name: str,
        *,
        actor: str = SYSTEM,
    ) -> MemberUnit:
        """成员单位 of a legal entity."""
        _check(code, name)
        await self.legal_entity(tx, tenant, legal_entity_id)
        row = MemberUnit(self._ids.new(), legal_entity_id, code, name, 1, self._clock.now())
        return await self._add(tx, tenant, row, f"code {code}", actor)

    async def create_accounting_entity(
        self,
        tx: Tx,
        tenant: str,
        member_unit_id: UUID,
        code: str,
        name: str,
        *,
        actor: str = SYSTEM,
    ) -> AccountingEntity:
        """核算主体 of a member unit."""
        _check(code, name)
        await self.member_unit(tx, tenant, member_unit_id)
        row = AccountingEntity(self._ids.new(), member_unit_id, code, name, 1, self._clock.now())
        return await self._add(tx, tenant, row, f"code {code}", actor)

    async def group(self, tx: Tx, tenant: str, group_id: UUID) -> EnterpriseGroup:
        return await self._find(tx, tenant, EnterpriseGroup, group_id)

    async def legal_entity(self, tx: Tx, tenant: str, legal_entity_id: UUID) -> LegalEntity:
        return await self._find(tx, tenant, LegalEntity, legal_entity_id)

    async def member_unit(self, tx: Tx, tenant: str, member_unit_id: UUID) -> MemberUnit:
        return await self._find(tx, tenant, MemberUnit, member_unit_id)

    async def accounting_entity(self, tx: Tx, tenant: str, entity_id: UUID) -> AccountingEntity:
        return await self._find(tx, tenant, AccountingEntity, entity_id)

    async def page(
        self, tx: Tx, tenant: str, kind: type[R], after: UUID | None = None, limit: int = 100
    ) -> list[R]:
        """A page of one kind of record (``MemberUnit``, ``Person`` …) in the order of creation.
        For API keys use ``api_keys``."""
        return await self._store.page(tx, tenant, kind, after or _FIRST, limit)

    async def rename(
        self,
        tx: Tx,
        tenant: str,
        kind: type[R],
        record_id: UUID,
        version: int,
        name: str,
        *,
        actor: str = SYSTEM,
    ) -> R:
        """Another name for a record; codes and numbers never change, books refer to them."""
        rules.check_name(name)
        before = await self._find(tx, tenant, kind, record_id)
        return await self._change(tx, tenant, before, version, actor, name=name)

    # --- people ---------------------------------------------------------------------------

    async def create_person(
        self,
        tx: Tx,
        tenant: str,
        name: str,
        role: str,
        algorithm: KeyAlgorithm,
        public_key: bytes,
        *,
        actor: str = SYSTEM,
    ) -> Person:
        """人员 who may sign from now on, known by a public key that no other person has. The
        private key stays with them.

        For the operator of the machine itself: whoever calls over a network proposes instead. A
        lost key is a new person: what the old key signed stays theirs.
        """
        return await self._add_person(
            tx, tenant, name, role, algorithm, public_key, PersonState.ACTIVE, actor
        )

    async def propose_person(
        self,
        tx: Tx,
        tenant: str,
        name: str,
        role: str,
        algorithm: KeyAlgorithm,
        public_key: bytes,
        *,
        actor: str = SYSTEM,
    ) -> Person:
        """Someone who may sign once two people here have signed for it; until then *proposed*.

        The first two people ever of a tenant are its founders and active at once, since nobody is
        there to sign for them. Use it through ``approvals.propose_person``, which asks the others.
        """
        founder = await self._store.count_people(tx, tenant) < FOUNDERS
        state = PersonState.ACTIVE if founder else PersonState.PROPOSED
        return await self._add_person(tx, tenant, name, role, algorithm, public_key, state, actor)

    async def activate_person(self, tx: Tx, tenant: str, person_id: UUID, digest: bytes) -> Person:
        """Enough people signed for exactly this person: they may sign from now on. Called by
        ``approvals``. Raises Conflict when they are not what was signed."""
        before = await self.person(tx, tenant, person_id)
        if rules.person_digest(before) != digest or before.state is not PersonState.PROPOSED:
            raise Conflict(
                "identity.person_changed",
                f"{before.name} is not as people signed, or not proposed any more.",
                "Look at the person again, and propose them anew.",
            )
        return await self._change(
            tx, tenant, before, before.version, SYSTEM, state=PersonState.ACTIVE
        )

    async def _add_person(
        self,
        tx: Tx,
        tenant: str,
        name: str,
        role: str,
        algorithm: KeyAlgorithm,
        public_key: bytes,
        state: PersonState,
        actor: str,
    ) -> Person:
        rules.check_name(name)
        rules.check_name(role)
        check_public_key(algorithm, public_key)
        await self.tenant(tx, tenant)
        now = self._clock.now()
        row = Person(self._ids.new(), name, role, algorithm, public_key, state, 1, now)
        return await self._add(tx, tenant, row, "public key", actor)

    async def person(self, tx: Tx, tenant: str, person_id: UUID) -> Person:
        return await self._find(tx, tenant, Person, person_id)

    async def change_person(
        self,
        tx: Tx,
        tenant: str,
        person_id: UUID,
        version: int,
        *,
        role: str | None = None,
        state: PersonState | None = None,
        actor: str = SYSTEM,
    ) -> Person:
        """Another role label, or someone who left and may not sign any more. Nobody becomes
        active here: that takes two people's signatures."""
        before = await self.person(tx, tenant, person_id)
        if state not in (None, before.state, PersonState.LEFT):
            raise Refused(
                "identity.person_needs_signatures",
                f"{before.name} is {before.state} and does not become {state} by a request alone.",
                "Propose the person with a new key; two people here sign for it.",
            )
        if role is not None:
            rules.check_name(role)
        return await self._change(
            tx,
            tenant,
            before,
            version,
            actor,
            role=role or before.role,
            state=state or before.state,
        )

    # --- API keys -------------------------------------------------------------------------

    async def create_api_key(
        self, tx: Tx, tenant: str, name: str, *, bearer: bool = False, actor: str = SYSTEM
    ) -> ApiKeySecrets:
        """A service account and its secrets, shown this once. It may pay nothing without people
        until it has a mandate."""
        rules.check_name(name)
        await self.tenant(tx, tenant)
        api_key_id, secret = self._ids.new(), self._randomness.bytes(32)
        key_id = f"{tenant}.{api_key_id.hex}"
        token = f"{key_id}.{_text(self._randomness.bytes(32))}" if bearer else ""
        row = ApiKeyRow(
            api_key_id,
            name,
            ApiKeyState.ACTIVE,
            self._vault.wrap_secret(key_id, secret),
            hashlib.sha256(token.encode()).digest() if bearer else None,
            1,
            self._clock.now(),
            None,
        )
        await self._add(tx, tenant, row, f"name {name}", actor)
        return ApiKeySecrets(_api_key(tenant, row), _text(secret), token)

    async def api_key(self, tx: Tx, tenant: str, api_key_id: UUID) -> ApiKey:
        return _api_key(tenant, await self._find(tx, tenant, ApiKeyRow, api_key_id))

    async def api_keys(
        self, tx: Tx, tenant: str, after: UUID | None = None, limit: int = 100
    ) -> list[ApiKey]:
        """A page of API keys in the order of creation; never a secret."""
        rows = await self._store.page(tx, tenant, ApiKeyRow, after or _FIRST, limit)
        return [_api_key(tenant, row) for row in rows]

    async def revoke_api_key(
        self, tx: Tx, tenant: str, api_key_id: UUID, version: int, *, actor: str = SYSTEM
    ) -> ApiKey:
        """End a key for good. Works everywhere within five seconds."""
        before = await self._find(tx, tenant, ApiKeyRow, api_key_id)
        if before.state == ApiKeyState.REVOKED:
            return _api_key(tenant, before)
        after = await self._change(
            tx,
            tenant,
            before,
            version,
            actor,
            state=ApiKeyState.REVOKED,
            ended_at=self._clock.now(),
        )
        return _api_key(tenant, after)

    # --- shared ---------------------------------------------------------------------------

    async def _add(self, tx: Tx, tenant: str, record: R, what: str, actor: str) -> R:
        if not await self._store.insert(tx, tenant, record):
            raise Conflict(
                "identity.taken",
                f"There is another {_WORDS[type(record)][1]} with this {what}.",
                "Use the existing one, or choose another.",
            )
        kind = f"{_KINDS[type(record)]}.created"
        await self._log.tell(tx, tenant, kind, id_of(record), actor, _public(record))
        return record

    async def _find(self, tx: Tx, tenant: str, kind: type[R], record_id: UUID) -> R:
        found = await self._store.find(tx, tenant, kind, record_id)
        if found is None:
            code, words = _WORDS[kind]
            raise NotFound(code, f"There is no {words} {record_id}.", "List them and name one.")
        return found

    async def _change(
        self, tx: Tx, tenant: str, before: R, version: int, actor: str, **changes: object
    ) -> R:
        after = msgspec.structs.replace(before, version=version + 1, **changes)
        if before.version != version or not await self._store.update(tx, tenant, after, version):
            raise Conflict(
                "identity.changed",
                f"The {_WORDS[type(before)][1]} changed since version {version} was read.",
                "Read it again, look at what changed, and send the change with the new version.",
            )
        kind = f"{_KINDS[type(before)]}.changed"
        await self._log.tell(tx, tenant, kind, id_of(before), actor, changes)
        return after


def _check(code: str, name: str) -> None:
    rules.check_code(code)
    rules.check_name(name)


def _text(secret: bytes) -> str:
    return urlsafe_b64encode(secret).rstrip(b"=").decode()


def _api_key(tenant: str, row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        row.api_key_id,
        tenant,
        row.name,
        ApiKeyState(row.state),
        row.version,
        row.created_at,
        row.bearer_hash is not None,
    )


def _public(record: Record) -> dict[str, object]:
    """What the log is told of a new record: no secret, and of a public key its SHA-256."""
    told = {n: getattr(record, n) for n in record.__struct_fields__ if n not in _NOT_TOLD}
    if isinstance(record, Person):
        told["public_key_sha256"] = hashlib.sha256(record.public_key).hexdigest()
    return told
