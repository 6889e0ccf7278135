"""Who the enterprise is: groups, legal entities, member units, and the people who sign."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from caiwutong.api.http import PROBLEMS, TAKES, Body, IfMatch, Who, actor, decode, reply, version_in
from caiwutong.api.paging import Cursor, Limit, Page, Paging
from caiwutong.api.problems import BadRequest
from caiwutong.api.routes.payments import Signature, Signing, signing_of, take_signature
from caiwutong.api.services import Services
from caiwutong.identity.model import (
    EnterpriseGroup,
    KeyAlgorithm,
    LegalEntity,
    MemberUnit,
    Person,
    PersonState,
)

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class NewGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An enterprise group (企业集团)."""

    code: _Text
    name: _Text


class NewLegalEntity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A legal entity (法人主体) of a group."""

    group_id: UUID
    code: _Text
    name: _Text
    uscc: _Text
    """统一社会信用代码, 18 characters with its check character."""


class NewMemberUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member unit (成员单位) of a legal entity."""

    legal_entity_id: UUID
    code: _Text
    name: _Text


class Rename(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another name. Codes and numbers never change: books refer to them."""

    name: _Text


class NewPerson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Someone who will sign. The private key never comes here."""

    name: _Text
    role: _Text
    algorithm: KeyAlgorithm
    public_key: _Text
    """Base64: 65 bytes 04||x||y for SM2, 32 bytes for Ed25519."""


class PersonChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may change of a person; null leaves it."""

    role: _Text | None = None
    state: PersonState | None = None


class PersonView(msgspec.Struct, frozen=True):
    """A person (人员) who can sign."""

    person_id: UUID
    name: str
    role: str
    algorithm: KeyAlgorithm
    public_key: str
    """Base64."""
    state: PersonState
    version: int
    created_at: datetime


def organisation_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/enterprises, /v1/legal-entities and /v1/member-units."""
    identity = house.identity

    @post("/v1/enterprises", opt={TAKES: NewGroup, PROBLEMS: (409,)})
    async def create_enterprise(body: Body, caller: Who) -> Response[EnterpriseGroup]:
        """Add an enterprise group."""
        new = decode(NewGroup, body)
        async with house.database.transaction() as tx:
            made = await identity.create_group(
                tx, caller.tenant, new.code, new.name, actor=actor(caller)
            )
        return reply(made, status=201, version=1, location=f"/v1/enterprises/{made.group_id}")

    @get("/v1/enterprises")
    async def find_enterprises(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[EnterpriseGroup]]:
        """Enterprise groups in order of creation."""
        after = paging.id_after(caller.tenant, "groups", cursor)
        async with house.database.transaction() as tx:
            found = await identity.page(tx, caller.tenant, EnterpriseGroup, after, limit + 1)
        return reply(paging.page(caller.tenant, "groups", limit, found, lambda g: str(g.group_id)))

    @get("/v1/enterprises/{group_id:uuid}")
    async def read_enterprise(group_id: FromPath[UUID], caller: Who) -> Response[EnterpriseGroup]:
        """One enterprise group."""
        async with house.database.transaction() as tx:
            found = await identity.group(tx, caller.tenant, group_id)
        return reply(found, version=found.version)

    @patch("/v1/enterprises/{group_id:uuid}", opt={TAKES: Rename, PROBLEMS: (412, 428)})
    async def rename_enterprise(
        group_id: FromPath[UUID], body: Body, caller: Who, if_match: IfMatch = None
    ) -> Response[EnterpriseGroup]:
        """Give an enterprise group another name."""
        change, version = decode(Rename, body), version_in(if_match)
        async with house.database.transaction() as tx:
            done = await identity.rename(
                tx,
                caller.tenant,
                EnterpriseGroup,
                group_id,
                version,
                change.name,
                actor=actor(caller),
            )
        return reply(done, version=done.version)

    return [
        create_enterprise, find_enterprises, read_enterprise, rename_enterprise,
        *_legal_entities(house, paging), *_member_units(house, paging),
    ]  # fmt: skip


def _legal_entities(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    identity = house.identity

    @post("/v1/legal-entities", opt={TAKES: NewLegalEntity, PROBLEMS: (404, 409)})
    async def create_legal_entity(body: Body, caller: Who) -> Response[LegalEntity]:
        """Add a legal entity to a group; its 统一社会信用代码 is checked."""
        new = decode(NewLegalEntity, body)
        async with house.database.transaction() as tx:
            made = await identity.create_legal_entity(
                tx, caller.tenant, new.group_id, new.code, new.name, new.uscc, actor=actor(caller)
            )
        where = f"/v1/legal-entities/{made.legal_entity_id}"
        return reply(made, status=201, version=1, location=where)

    @get("/v1/legal-entities")
    async def find_legal_entities(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[LegalEntity]]:
        """Legal entities in order of creation."""
        after = paging.id_after(caller.tenant, "entities", cursor)
        async with house.database.transaction() as tx:
            found = await identity.page(tx, caller.tenant, LegalEntity, after, limit + 1)
        page = paging.page(
            caller.tenant, "entities", limit, found, lambda e: str(e.legal_entity_id)
        )
        return reply(page)

    @get("/v1/legal-entities/{legal_entity_id:uuid}")
    async def read_legal_entity(
        legal_entity_id: FromPath[UUID], caller: Who
    ) -> Response[LegalEntity]:
        """One legal entity."""
        async with house.database.transaction() as tx:
            found = await identity.legal_entity(tx, caller.tenant, legal_entity_id)
        return reply(found, version=found.version)

    @patch("/v1/legal-entities/{legal_entity_id:uuid}", opt={TAKES: Rename, PROBLEMS: (412, 428)})
    async def rename_legal_entity(
        legal_entity_id: FromPath[UUID], body: Body, caller: Who, if_match: IfMatch = None
    ) -> Response[LegalEntity]:
        """Give a legal entity another name."""
        change, version = decode(Rename, body), version_in(if_match)
        async with house.database.transaction() as tx:
            done = await identity.rename(
                tx,
                caller.tenant,
                LegalEntity,
                legal_entity_id,
                version,
                change.name,
                actor=actor(caller),
            )
        return reply(done, version=done.version)

    return [create_legal_entity, find_legal_entities, read_legal_entity, rename_legal_entity]


def _member_units(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    identity = house.identity

    @post("/v1/member-units", opt={TAKES: NewMemberUnit, PROBLEMS: (404, 409)})
    async def create_member_unit(body: Body, caller: Who) -> Response[MemberUnit]:
        """Add a member unit to a legal entity."""
        new = decode(NewMemberUnit, body)
        async with house.database.transaction() as tx:
            made = await identity.create_member_unit(
                tx, caller.tenant, new.legal_entity_id, new.code, new.name, actor=actor(caller)
            )
        where = f"/v1/member-units/{made.member_unit_id}"
        return reply(made, status=201, version=1, location=where)

    @get("/v1/member-units")
    async def find_member_units(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[MemberUnit]]:
        """Member units in order of creation."""
        after = paging.id_after(caller.tenant, "units", cursor)
        async with house.database.transaction() as tx:
            found = await identity.page(tx, caller.tenant, MemberUnit, after, limit + 1)
        page = paging.page(caller.tenant, "units", limit, found, lambda u: str(u.member_unit_id))
        return reply(page)

    @get("/v1/member-units/{member_unit_id:uuid}")
    async def read_member_unit(member_unit_id: FromPath[UUID], caller: Who) -> Response[MemberUnit]:
        """One member unit."""
        async with house.database.transaction() as tx:
            found = await identity.member_unit(tx, caller.tenant, member_unit_id)
        return reply(found, version=found.version)

    @patch("/v1/member-units/{member_unit_id:uuid}", opt={TAKES: Rename, PROBLEMS: (412, 428)})
    async def rename_member_unit(
        member_unit_id: FromPath[UUID], body: Body, caller: Who, if_match: IfMatch = None
    ) -> Response[MemberUnit]:
        """Give a member unit another name."""
        change, version = decode(Rename, body), version_in(if_match)
        async with house.database.transaction() as tx:
            done = await identity.rename(
                tx,
                caller.tenant,
                MemberUnit,
                member_unit_id,
                version,
                change.name,
                actor=actor(caller),
            )
        return reply(done, version=done.version)

    return [create_member_unit, find_member_units, read_member_unit, rename_member_unit]


def people_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/people."""
    identity = house.identity

    @post("/v1/people", opt={TAKES: NewPerson, PROBLEMS: (409,)})
    async def create_person(body: Body, caller: Who) -> Response[PersonView]:
        """Propose someone who shall sign, by a public key of their own. Two people here sign for
        it first; a tenant's first two people need nobody."""
        new = decode(NewPerson, body)
        try:
            key = base64.b64decode(new.public_key, validate=True)
        except (binascii.Error, ValueError):
            raise BadRequest(
                "request.not_valid", "public_key is not base64.", "Send its raw bytes in base64."
            ) from None
        async with house.database.transaction() as tx:
            made = await house.approvals.propose_person(
                tx,
                caller.tenant,
                new.name,
                new.role,
                new.algorithm,
                key,
                caller.api_key_id,
                house.clock.now(),
                actor=actor(caller),
            )
        where = f"/v1/people/{made.person_id}"
        return reply(_person(made), status=201, version=1, location=where)

    @get("/v1/people")
    async def find_people(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[PersonView]]:
        """People in order of creation."""
        after = paging.id_after(caller.tenant, "people", cursor)
        async with house.database.transaction() as tx:
            found = await identity.page(tx, caller.tenant, Person, after, limit + 1)
        page = paging.page(caller.tenant, "people", limit, found, lambda p: str(p.person_id))
        return reply(Page([_person(p) for p in page.items], page.next))

    @get("/v1/people/{person_id:uuid}")
    async def read_person(person_id: FromPath[UUID], caller: Who) -> Response[PersonView]:
        """One person."""
        async with house.database.transaction() as tx:
            found = await identity.person(tx, caller.tenant, person_id)
        return reply(_person(found), version=found.version)

    @patch("/v1/people/{person_id:uuid}", opt={TAKES: PersonChange, PROBLEMS: (412, 428)})
    async def change_person(
        person_id: FromPath[UUID], body: Body, caller: Who, if_match: IfMatch = None
    ) -> Response[PersonView]:
        """Another role, or someone who left and may not sign any more."""
        change, version = decode(PersonChange, body), version_in(if_match)
        async with house.database.transaction() as tx:
            done = await identity.change_person(
                tx,
                caller.tenant,
                person_id,
                version,
                role=change.role,
                state=change.state,
                actor=actor(caller),
            )
        return reply(_person(done), version=done.version)

    @get("/v1/people/{person_id:uuid}/signatures")
    async def read_person_signing(person_id: FromPath[UUID], caller: Who) -> Response[Signing]:
        """Who signed for a proposed person, how many are missing, and the exact bytes to sign."""
        async with house.database.transaction() as tx:
            found = await identity.person(tx, caller.tenant, person_id)
        subject = house.approvals.subject_of_person(found)
        return reply(await signing_of(house, caller, subject))

    @post(
        "/v1/people/{person_id:uuid}/signatures",
        status_code=200,
        opt={TAKES: Signature, PROBLEMS: (409, 412)},
    )
    async def sign_person(person_id: FromPath[UUID], body: Body, caller: Who) -> Response[Signing]:
        """Hand in a signature for a proposed person. With the second one they may sign too."""
        given = decode(Signature, body)
        async with house.database.transaction() as tx:
            found = await identity.person(tx, caller.tenant, person_id)
        subject = house.approvals.subject_of_person(found)
        return reply(await take_signature(house, caller, subject, given))

    return [
        create_person, find_people, read_person, change_person, read_person_signing, sign_person,
    ]  # fmt: skip


def _person(p: Person) -> PersonView:
    key = base64.b64encode(p.public_key).decode()
    return PersonView(
        p.person_id, p.name, p.role, p.algorithm, key, p.state, p.version, p.created_at
    )
