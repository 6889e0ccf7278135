"""Which way a payment took and why; and leaving a channel in doubt, which takes two people."""

from __future__ import annotations

from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from caiwutong.api.http import PROBLEMS, TAKES, Body, DryRun, Who, actor, decode, reply
from caiwutong.api.paging import Paging
from caiwutong.api.routes.payments import Reason, Signature, Signing, signing_of, take_signature
from caiwutong.api.services import Services
from caiwutong.payments.views import RouteView


def failover_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers of routes and of switching channel."""
    views, switching = house.payments.views, house.payments.switching

    @get("/v1/payments/{payment_id:uuid}/route")
    async def read_route(payment_id: FromPath[UUID], caller: Who) -> Response[RouteView]:
        """Every way the payment took, with all candidates, their scores, and why each other one
        was dropped; and what it waits for, if it waits for a channel to open."""
        return reply(await views.route(caller.tenant, payment_id))

    @post(
        "/v1/payments/{payment_id:uuid}/switches",
        status_code=200,
        opt={TAKES: Reason, PROBLEMS: (409,)},
    )
    async def ask_to_switch(
        payment_id: FromPath[UUID], body: Body, caller: Who, dry_run: DryRun = False
    ) -> Response[Signing]:
        """换渠道: ask two people to sign for leaving a channel that cannot say what became of the
        payment. Only once the network can no longer accept it, and where another channel is left:
        the first may have paid."""
        why = decode(Reason, body)
        subject = await switching.ask(
            caller.tenant, payment_id, why.reason, caller.api_key_id, actor(caller), dry_run=dry_run
        )
        return reply(await signing_of(house, caller, subject))

    @get("/v1/payments/{payment_id:uuid}/switches")
    async def read_switch(payment_id: FromPath[UUID], caller: Who) -> Response[Signing]:
        """Who signed for leaving the payment's newest attempt, and the exact bytes to sign."""
        return reply(
            await signing_of(house, caller, await switching.subject(caller.tenant, payment_id))
        )

    @post(
        "/v1/payments/{payment_id:uuid}/switches/signatures",
        status_code=200,
        opt={TAKES: Signature, PROBLEMS: (409, 412)},
    )
    async def sign_switch(payment_id: FromPath[UUID], body: Body, caller: Who) -> Response[Signing]:
        """Hand in a person's signature. With the second one the payment goes another way."""
        given = decode(Signature, body)
        subject = await switching.subject(caller.tenant, payment_id)
        return reply(await take_signature(house, caller, subject, given))

    return [read_route, ask_to_switch, read_switch, sign_switch]
