"""Webhooks: addresses that are told what happens, in order, signed; and replay."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from caiwutong.api.http import PROBLEMS, TAKES, Body, IfMatch, Who, decode, reply, tell, version_in
from caiwutong.api.paging import Cursor, Limit, Page, Paging
from caiwutong.api.services import Services
from caiwutong.erp.webhooks.model import Delivery, Webhook, WebhookState
from caiwutong.erp.webhooks.service import Change

_Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
_Kind = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Kinds = Annotated[list[_Kind], msgspec.Meta(max_length=64)]
_Words = Annotated[str, msgspec.Meta(max_length=200)]


class NewWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address to be told of events."""

    url: _Url
    kinds: _Kinds = []
    """Exact kinds or prefixes like ``payment.*``; empty: all."""
    description: _Words = ""


class WebhookChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may change; null leaves it."""

    url: _Url | None = None
    kinds: _Kinds | None = None
    description: _Words | None = None
    state: Literal["active", "paused"] | None = None


class NewWebhookView(msgspec.Struct, frozen=True):
    """A webhook with the secret its deliveries are signed with, shown this once."""

    webhook: Webhook
    secret: str


class NewSecret(msgspec.Struct, frozen=True):
    """A new secret, shown this once. The one before signs beside it for a day."""

    secret: str


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to begin again."""

    after_seq: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    """Everything after this sequence is delivered again; 0 is everything."""


def webhook_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/webhooks."""
    webhooks = house.webhooks

    @post("/v1/webhooks", opt={TAKES: NewWebhook})
    async def create_webhook(body: Body, caller: Who) -> Response[NewWebhookView]:
        """Add an address. It gets what is sealed from now on; replay gives it the past."""
        new = decode(NewWebhook, body)
        async with house.database.transaction() as tx:
            made, secret = await webhooks.create(
                tx, caller.tenant, new.url, new.kinds, new.description
            )
            await tell(
                house.audit, tx, caller, "webhook.created", "webhook", made.webhook_id,
                url=made.url, kinds=list(made.kinds),
            )  # fmt: skip
        where = f"/v1/webhooks/{made.webhook_id}"
        return reply(NewWebhookView(made, secret), status=201, version=1, location=where)

    @get("/v1/webhooks")
    async def find_webhooks(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[Webhook]]:
        """Webhooks in order of creation, each with where it stands."""
        after = paging.id_after(caller.tenant, "webhooks", cursor)
        async with house.database.transaction() as tx:
            found = await webhooks.page(tx, caller.tenant, after, limit + 1)
        page = paging.page(caller.tenant, "webhooks", limit, found, lambda w: str(w.webhook_id))
        return reply(page)

    @get("/v1/webhooks/{webhook_id:uuid}")
    async def read_webhook(webhook_id: FromPath[UUID], caller: Who) -> Response[Webhook]:
        """One webhook and where it stands."""
        async with house.database.transaction() as tx:
            found = await webhooks.get(tx, caller.tenant, webhook_id)
        return reply(found, version=found.version)

    @patch("/v1/webhooks/{webhook_id:uuid}", opt={TAKES: WebhookChange, PROBLEMS: (412, 428)})
    async def change_webhook(
        webhook_id: FromPath[UUID], body: Body, caller: Who, if_match: IfMatch = None
    ) -> Response[Webhook]:
        """Change a webhook. Setting it active goes on where it stopped."""
        asked, version = decode(WebhookChange, body), version_in(if_match)
        change = Change(
            url=asked.url,
            kinds=None if asked.kinds is None else tuple(asked.kinds),
            description=asked.description,
            state=None if asked.state is None else WebhookState(asked.state),
        )
        async with house.database.transaction() as tx:
            done = await webhooks.change(tx, caller.tenant, webhook_id, change, version=version)
            await tell(
                house.audit, tx, caller, "webhook.changed", "webhook", webhook_id,
                url=done.url, kinds=list(done.kinds), state=done.state.value,
            )  # fmt: skip
        return reply(done, version=done.version)

    @delete("/v1/webhooks/{webhook_id:uuid}", status_code=204, opt={PROBLEMS: (412, 428)})
    async def remove_webhook(
        webhook_id: FromPath[UUID], caller: Who, if_match: IfMatch = None
    ) -> None:
        """Remove a webhook: nothing more is delivered to it."""
        version = version_in(if_match)
        async with house.database.transaction() as tx:
            await webhooks.remove(tx, caller.tenant, webhook_id, version=version)
            await tell(house.audit, tx, caller, "webhook.removed", "webhook", webhook_id)

    @post("/v1/webhooks/{webhook_id:uuid}/replay", status_code=200, opt={TAKES: Replay})
    async def replay(webhook_id: FromPath[UUID], body: Body, caller: Who) -> Response[Webhook]:
        """Deliver everything after a sequence again, in order, under the same ids."""
        asked = decode(Replay, body)
        async with house.database.transaction() as tx:
            done = await webhooks.replay(tx, caller.tenant, webhook_id, asked.after_seq)
            await tell(
                house.audit, tx, caller, "webhook.replayed", "webhook", webhook_id,
                after_seq=asked.after_seq,
            )  # fmt: skip
        return reply(done, version=done.version)

    @post("/v1/webhooks/{webhook_id:uuid}/secret", status_code=200)
    async def rotate_secret(webhook_id: FromPath[UUID], caller: Who) -> Response[NewSecret]:
        """A new secret. For a day both sign, so that the receiver can change over."""
        async with house.database.transaction() as tx:
            secret = await webhooks.rotate(tx, caller.tenant, webhook_id)
            await tell(house.audit, tx, caller, "webhook.secret_rotated", "webhook", webhook_id)
        return reply(NewSecret(secret))

    @get("/v1/webhooks/{webhook_id:uuid}/deliveries")
    async def find_deliveries(
        webhook_id: FromPath[UUID], caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[Delivery]]:
        """What became of events at this address, newest first."""
        name = f"deliveries/{webhook_id}"
        place = paging.place(caller.tenant, name, cursor)
        before = None if place is None else int(place)
        async with house.database.transaction() as tx:
            found = await webhooks.deliveries(tx, caller.tenant, webhook_id, before, limit + 1)
        return reply(paging.page(caller.tenant, name, limit, found, lambda d: str(d.seq)))

    return [
        create_webhook, find_webhooks, read_webhook, change_webhook, remove_webhook, replay,
        rotate_secret, find_deliveries,
    ]  # fmt: skip
