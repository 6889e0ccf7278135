"""The dated catalog over HTTP: what holds at a moment, the facts behind it, and how they change."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from caiwutong.api.http import PROBLEMS, TAKES, Body, DryRun, Who, actor, decode, reply
from caiwutong.api.paging import Cursor, Limit, Page, Paging, instant
from caiwutong.api.routes.payments import Signature, Signing, signing_of, take_signature
from caiwutong.api.services import Services
from caiwutong.approvals.model import Subject
from caiwutong.rails.catalog.changes import MOST_FACTS, MOST_WORDS, SUBJECT, Change, ChangeState
from caiwutong.rails.catalog.model import Fact
from caiwutong.rails.catalog.views import CatalogView, look

_At = Annotated[
    datetime | None,
    QueryParameter(name="at", required=False, description="The moment asked about; default: now."),
]
_KnownAt = Annotated[
    datetime | None,
    QueryParameter(
        name="known_at", required=False, description="Leave out what was recorded later."
    ),
]
_Bank = Annotated[
    str,
    QueryParameter(
        name="bank", required=False, pattern="^[0-9]{0,12}$",
        description="The first digits of a 联行号, for what is recorded of one bank.",
    ),
]  # fmt: skip
_Rail = Annotated[
    str,
    QueryParameter(
        name="rail", required=False, pattern="^[a-z0-9_]{0,32}$",
        description="Only facts of this rail or channel.",
    ),
]  # fmt: skip


class NewFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Facts that are recorded together or not at all."""

    facts: Annotated[list[Fact], msgspec.Meta(min_length=1, max_length=MOST_FACTS)]
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_WORDS)]
    """Why: for the log, and for the person who signs."""


class CatalogChange(msgspec.Struct, frozen=True):
    """A change of the catalog, and where it stands."""

    change_id: UUID
    state: ChangeState
    needed: int
    """How many other people must sign before it counts."""
    because: tuple[str, ...]
    """Why they must: what would pass then that does not pass now."""
    reason: str
    actor: str
    message: str
    """The network's message it comes from; empty for people."""
    proposed_at: datetime
    digest: str
    facts: tuple[Fact, ...]


class FactPage(msgspec.Struct, frozen=True):
    """A page of facts of every kind; ``kind`` tells which."""

    items: list[Fact]
    next: str | None
    """Hand it back as ``cursor`` to go on; null at the end."""


def catalog_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/catalog."""
    return [*_reading(house, paging), *_changing(house), *_signing(house)]


def _reading(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    catalogs = house.catalogs

    @get("/v1/catalog")
    async def read_catalog(
        caller: Who, at: _At = None, known_at: _KnownAt = None, bank: _Bank = ""
    ) -> Response[CatalogView]:
        """Every rail at a moment: open or not, until when, limit, cut-off, netting, outages; and
        the working day, with a note where the year's holidays are not known."""
        now = house.clock.now()
        moment = instant(at, "at") or now
        known = instant(known_at, "known_at")
        catalog = catalogs.current(caller.tenant)
        if known is not None:
            catalog = catalog.known_at(known)
        return reply(look(catalog, moment, known or now, bank))

    @get("/v1/catalog/facts")
    async def find_catalog_facts(
        caller: Who, rail: _Rail = "", limit: Limit = 100, cursor: Cursor = None
    ) -> Response[FactPage]:
        """The facts that stand, shipped ones first, then in the order of recording."""
        place = paging.place(caller.tenant, "catalog", cursor)
        start = int(place) if place else 0
        standing = catalogs.current(caller.tenant).standing
        wanted = [
            (number, fact)
            for number, fact in enumerate(standing, 1)
            if number > start and (not rail or fact.rail == rail)
        ]
        page = paging.page(
            caller.tenant, "catalog", limit, wanted[: limit + 1], lambda each: str(each[0])
        )
        return reply(FactPage([fact for _, fact in page.items], page.next))

    @get("/v1/catalog/changes")
    async def find_catalog_changes(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[CatalogChange]]:
        """Changes of the catalog, newest first."""
        before = paging.id_after(caller.tenant, "catalog_changes", cursor)
        async with house.database.transaction() as tx:
            found = await catalogs.changes(tx, caller.tenant, before, limit + 1)
        page = paging.page(
            caller.tenant, "catalog_changes", limit, found, lambda c: str(c.change_id)
        )
        return reply(Page([_view(change) for change in page.items], page.next))

    return [read_catalog, find_catalog_facts, find_catalog_changes]


def _changing(house: Services) -> list[HTTPRouteHandler]:
    catalogs = house.catalogs

    @post("/v1/catalog/facts", status_code=200, opt={TAKES: NewFacts, PROBLEMS: (409,)})
    async def record_catalog_facts(
        body: Body, caller: Who, dry_run: DryRun = False
    ) -> Response[CatalogChange]:
        """Record facts. They count at their time; a change by which more would pass than before
        (a higher limit, longer hours, an outage called off) waits for another person's signature.
        """
        new = decode(NewFacts, body)
        change = await catalogs.propose(
            caller.tenant,
            new.facts,
            reason=new.reason,
            maker=caller.api_key_id,
            actor=actor(caller),
            dry_run=dry_run,
        )
        if dry_run:
            return reply(_view(change))
        where = f"/v1/catalog/changes/{change.change_id}"
        return reply(_view(change), location=where)

    @get("/v1/catalog/changes/{change_id:uuid}")
    async def read_catalog_change(
        change_id: FromPath[UUID], caller: Who
    ) -> Response[CatalogChange]:
        """One change and where it stands."""
        return reply(_view(await _change(house, caller, change_id)))

    @delete("/v1/catalog/changes/{change_id:uuid}", status_code=200)
    async def withdraw_catalog_change(
        change_id: FromPath[UUID], caller: Who
    ) -> Response[CatalogChange]:
        """Take back a change that waits for signatures."""
        async with house.database.transaction() as tx:
            done = await catalogs.withdraw(tx, caller.tenant, change_id, actor(caller))
        return reply(_view(done))

    return [record_catalog_facts, read_catalog_change, withdraw_catalog_change]


def _signing(house: Services) -> list[HTTPRouteHandler]:
    @get("/v1/catalog/changes/{change_id:uuid}/signatures")
    async def read_catalog_signing(change_id: FromPath[UUID], caller: Who) -> Response[Signing]:
        """Who signed, how many are missing, and the exact bytes to sign."""
        change = await _change(house, caller, change_id)
        return reply(await signing_of(house, caller, _subject(change)))

    @post(
        "/v1/catalog/changes/{change_id:uuid}/signatures",
        status_code=200,
        opt={TAKES: Signature, PROBLEMS: (409, 412)},
    )
    async def sign_catalog_change(
        change_id: FromPath[UUID], body: Body, caller: Who
    ) -> Response[Signing]:
        """Hand in another person's signature; with it the facts count."""
        given = decode(Signature, body)
        change = await _change(house, caller, change_id)
        return reply(await take_signature(house, caller, _subject(change), given))

    return [read_catalog_signing, sign_catalog_change]


async def _change(house: Services, caller: Who, change_id: UUID) -> Change:
    async with house.database.transaction() as tx:
        return await house.catalogs.change(tx, caller.tenant, change_id)


def _subject(change: Change) -> Subject:
    return Subject(SUBJECT, change.change_id, change.digest)


def _view(change: Change) -> CatalogChange:
    return CatalogChange(
        change.change_id, change.state, change.needed, change.because, change.reason,
        change.actor, change.message_key, change.proposed_at, change.digest.hex(), change.facts,
    )  # fmt: skip
