"""Who may call and what it may pay: API keys, and the standing mandates people sign for them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from caiwutong.api.http import PROBLEMS, TAKES, Body, IfMatch, Who, actor, decode, reply, version_in
from caiwutong.api.paging import Cursor, Limit, Page, Paging, instant
from caiwutong.api.problems import BadRequest
from caiwutong.api.routes.payments import Signature, Signing, signing_of, take_signature
from caiwutong.api.services import Services
from caiwutong.approvals.model import Mandate, MandateState, MandateTerms
from caiwutong.db.database import Tx
from caiwutong.identity.model import ApiKey, ApiKeyState
from caiwutong.kernel.clock import china_date

_MOST_FEN = 2**62
_Fen = Annotated[int, msgspec.Meta(ge=1, le=_MOST_FEN)]
_Index = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class NewApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A service account for a machine caller."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
    bearer: bool = False
    """Also make a bearer token; it is accepted from this machine only."""


class ApiKeyView(msgspec.Struct, frozen=True):
    """A service account (服务账号); never with its secret."""

    api_key_id: UUID
    key_id: str
    """How a request names it (``keyid``)."""
    name: str
    state: ApiKeyState
    bearer: bool
    version: int
    created_at: datetime


class NewApiKeyView(msgspec.Struct, frozen=True):
    """A new service account with its secrets, shown this once: nobody can read them again."""

    api_key: ApiKeyView
    secret: str
    """The HMAC secret: unpadded base64url of 32 bytes."""
    bearer: str


class NewMandate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an API key shall be allowed to pay without further signatures."""

    api_key_id: UUID
    bank_account_ids: Annotated[list[UUID], msgspec.Meta(min_length=1, max_length=1000)]
    payees: Literal["any"] | Annotated[list[_Index], msgspec.Meta(min_length=1, max_length=10_000)]
    """Anybody, or the payees with these indexes (``index`` of a payee)."""
    per_payment_fen: _Fen
    daily_fen: _Fen
    valid_from: datetime
    valid_until: datetime


class MandateView(msgspec.Struct, frozen=True):
    """A standing mandate (常设授权). It works once two different people signed it."""

    mandate_id: UUID
    api_key_id: UUID
    bank_account_ids: tuple[UUID, ...]
    payees: Literal["any"] | list[str]
    per_payment_fen: int
    daily_fen: int
    used_today_fen: int
    valid_from: datetime
    valid_until: datetime
    state: MandateState
    proposed_at: datetime
    revoked_at: datetime | None


def api_key_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/api-keys."""
    identity = house.identity

    @post("/v1/api-keys", opt={TAKES: NewApiKey, PROBLEMS: (409,)})
    async def create_api_key(body: Body, caller: Who) -> Response[NewApiKeyView]:
        """Make a service account. Its secrets are in this answer and nowhere else."""
        new = decode(NewApiKey, body)
        async with house.database.transaction() as tx:
            made = await identity.create_api_key(
                tx, caller.tenant, new.name, bearer=new.bearer, actor=actor(caller)
            )
            key = made.api_key
        view = NewApiKeyView(_key(key), made.secret, made.bearer)
        where = f"/v1/api-keys/{key.api_key_id}"
        return reply(view, status=201, version=key.version, location=where)

    @get("/v1/api-keys")
    async def find_api_keys(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[ApiKeyView]]:
        """Service accounts in order of creation."""
        after = paging.id_after(caller.tenant, "api_keys", cursor)
        async with house.database.transaction() as tx:
            found = await identity.api_keys(tx, caller.tenant, after, limit + 1)
        page = paging.page(caller.tenant, "api_keys", limit, found, lambda k: str(k.api_key_id))
        return reply(Page([_key(k) for k in page.items], page.next))

    @get("/v1/api-keys/{api_key_id:uuid}")
    async def read_api_key(api_key_id: FromPath[UUID], caller: Who) -> Response[ApiKeyView]:
        """One service account."""
        async with house.database.transaction() as tx:
            found = await identity.api_key(tx, caller.tenant, api_key_id)
        return reply(_key(found), version=found.version)

    @delete("/v1/api-keys/{api_key_id:uuid}", status_code=200, opt={PROBLEMS: (412, 428)})
    async def revoke_api_key(
        api_key_id: FromPath[UUID], caller: Who, if_match: IfMatch = None
    ) -> Response[ApiKeyView]:
        """End a service account for good; everywhere within five seconds."""
        version = version_in(if_match)
        async with house.database.transaction() as tx:
            done = await identity.revoke_api_key(
                tx, caller.tenant, api_key_id, version, actor=actor(caller)
            )
            tx.after_commit(house.authenticator.forget)
        return reply(_key(done), version=done.version)

    return [create_api_key, find_api_keys, read_api_key, revoke_api_key]


def mandate_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/mandates."""
    approvals = house.approvals

    async def viewed(tx: Tx, caller: Who, mandate: Mandate) -> MandateView:
        today = china_date(house.clock.now())
        used = await approvals.usage(tx, caller.tenant, mandate.mandate_id, today)
        return _mandate(mandate, used.used_fen)

    @post("/v1/mandates", opt={TAKES: NewMandate, PROBLEMS: (404,)})
    async def propose_mandate(body: Body, caller: Who) -> Response[MandateView]:
        """Propose a mandate. It allows nothing until two different people signed it."""
        new = decode(NewMandate, body)
        terms = _terms(new)
        async with house.database.transaction() as tx:
            await house.identity.api_key(tx, caller.tenant, new.api_key_id)
            for account in new.bank_account_ids:
                await house.bank_accounts.get(tx, caller.tenant, account)
            made = await approvals.propose_mandate(
                tx,
                caller.tenant,
                house.ids.new(),
                terms,
                caller.api_key_id,
                house.clock.now(),
                actor=actor(caller),
            )
        where = f"/v1/mandates/{made.mandate_id}"
        return reply(_mandate(made, 0), status=201, location=where)

    @get("/v1/mandates")
    async def find_mandates(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[MandateView]]:
        """Mandates in order of proposal."""
        after = paging.id_after(caller.tenant, "mandates", cursor)
        async with house.database.transaction() as tx:
            found = await approvals.mandates(tx, caller.tenant, after, limit + 1)
            views = [await viewed(tx, caller, m) for m in found]
        page = paging.page(caller.tenant, "mandates", limit, views, lambda m: str(m.mandate_id))
        return reply(page)

    @get("/v1/mandates/{mandate_id:uuid}")
    async def read_mandate(mandate_id: FromPath[UUID], caller: Who) -> Response[MandateView]:
        """One mandate, and how much of today's limit is used."""
        async with house.database.transaction() as tx:
            found = await approvals.mandate(tx, caller.tenant, mandate_id)
            view = await viewed(tx, caller, found)
        return reply(view)

    @delete("/v1/mandates/{mandate_id:uuid}", status_code=200)
    async def revoke_mandate(mandate_id: FromPath[UUID], caller: Who) -> Response[MandateView]:
        """End a mandate at once. Less power needs nobody's signature."""
        async with house.database.transaction() as tx:
            done = await approvals.revoke_mandate(
                tx, caller.tenant, mandate_id, house.clock.now(), actor=actor(caller)
            )
            view = await viewed(tx, caller, done)
        return reply(view)

    @get("/v1/mandates/{mandate_id:uuid}/signatures")
    async def read_mandate_signing(mandate_id: FromPath[UUID], caller: Who) -> Response[Signing]:
        """Who signed, how many are missing, and the exact bytes to sign."""
        async with house.database.transaction() as tx:
            found = await approvals.mandate(tx, caller.tenant, mandate_id)
        return reply(await signing_of(house, caller, approvals.subject_of(found)))

    @post(
        "/v1/mandates/{mandate_id:uuid}/signatures",
        status_code=200,
        opt={TAKES: Signature, PROBLEMS: (409, 412)},
    )
    async def sign_mandate(
        mandate_id: FromPath[UUID], body: Body, caller: Who
    ) -> Response[Signing]:
        """Hand in a person's signature. With the second one the mandate works."""
        given = decode(Signature, body)
        async with house.database.transaction() as tx:
            found = await approvals.mandate(tx, caller.tenant, mandate_id)
        return reply(await take_signature(house, caller, approvals.subject_of(found), given))

    return [
        propose_mandate, find_mandates, read_mandate, revoke_mandate, read_mandate_signing,
        sign_mandate,
    ]  # fmt: skip


def _terms(new: NewMandate) -> MandateTerms:
    start = instant(new.valid_from, "valid_from")
    end = instant(new.valid_until, "valid_until")
    if start is None or end is None:
        raise BadRequest("request.bad_time", "A mandate needs both its times.", "")
    return MandateTerms(
        api_key_id=new.api_key_id,
        bank_account_ids=tuple(new.bank_account_ids),
        payees="any" if new.payees == "any" else tuple(bytes.fromhex(p) for p in new.payees),
        per_payment_fen=new.per_payment_fen,
        daily_fen=new.daily_fen,
        valid_from=start,
        valid_until=end,
    )


def _key(k: ApiKey) -> ApiKeyView:
    return ApiKeyView(k.api_key_id, k.key_id, k.name, k.state, k.bearer, k.version, k.created_at)


def _mandate(m: Mandate, used_fen: int) -> MandateView:
    t = m.terms
    payees = "any" if t.payees == "any" else [index.hex() for index in t.payees]
    return MandateView(
        m.mandate_id, t.api_key_id, t.bank_account_ids, payees, t.per_payment_fen, t.daily_fen,
        used_fen, t.valid_from, t.valid_until, m.state, m.proposed_at, m.revoked_at,
    )  # fmt: skip
