"""Builds the one ASGI application of the house.

``create_app(services)`` is all that the command line needs; ``services`` is what ``wiring`` made.
Read next: ``gate`` (what every request passes), then ``routes/``.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, Request, Response
from litestar.di import Provide
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    SerializationException,
    ValidationException,
)
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig

from caiwutong.api.batching import Batcher
from caiwutong.api.callbacks import RailDoor
from caiwutong.api.events import EventHub
from caiwutong.api.gate import Gate, Teller
from caiwutong.api.http import caller_of
from caiwutong.api.openapi import describe
from caiwutong.api.paging import Paging
from caiwutong.api.payments import PATH as PAYMENTS
from caiwutong.api.payments import PaymentDoor, malformed, not_valid
from caiwutong.api.plain import PlainDoor
from caiwutong.api.problems import Failed, NotOffered, bytes_of, headers_of, no_route
from caiwutong.api.refusals import RefusalLog
from caiwutong.api.routes.access import api_key_routes, mandate_routes
from caiwutong.api.routes.accounts import bank_account_routes, payee_routes
from caiwutong.api.routes.ledger import ledger_routes
from caiwutong.api.routes.organisation import organisation_routes, people_routes
from caiwutong.api.routes.payments import payment_routes
from caiwutong.api.routes.webhooks import webhook_routes
from caiwutong.api.services import Services

_ROUTES = (
    payment_routes,
    ledger_routes,
    organisation_routes,
    people_routes,
    bank_account_routes,
    payee_routes,
    api_key_routes,
    mandate_routes,
    webhook_routes,
)


def create_app(house: Services) -> Gate:
    """The ASGI application. It owns no connection: whoever opened ``house`` closes it."""
    paging = Paging(house.vault)
    handlers = [handler for routes in _ROUTES for handler in routes(house, paging)]
    document_of_all = msgspec.json.encode(describe(_litestar(handlers), handlers, _version()))
    groups = frozenset(
        "/".join(path.split("/", 3)[:3]) for path in msgspec.json.decode(document_of_all)["paths"]
    )
    refusals = RefusalLog(house.audit, house.metrics)
    teller = Teller(refusals, groups | {"/openapi.json"})

    async def submit_many(tenant: str, submissions: Any) -> Any:
        return await house.payments.intake.submit_many(tenant, submissions)

    return Gate(
        authenticator=house.authenticator,
        teller=teller,
        refusals=refusals,
        metrics=house.metrics,
        plain=PlainDoor(house.database, house.metrics, document_of_all),
        rails=RailDoor(house),
        payments=PaymentDoor(house.payments.intake, Batcher(submit_many, house.metrics)),
        events=EventHub(house.database, house.feed, house.metrics),
        rest=_litestar(handlers, teller),
    )


def _litestar(handlers: list[HTTPRouteHandler], teller: Teller | None = None) -> Any:
    def worded(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        ours = _ours(request, error)
        assert teller is not None
        problem = teller.problem(request.scope, ours)  # type: ignore[arg-type]
        headers = headers_of(problem, ours)
        kind = headers.pop("content-type")
        return Response(
            bytes_of(problem), status_code=problem.status, headers=headers, media_type=kind
        )

    return Litestar(
        handlers,
        dependencies={"caller": Provide(caller_of, sync_to_thread=False)},
        exception_handlers={Exception: worded} if teller else {},
        openapi_config=OpenAPIConfig(title="Caiwutong", version=_version(), path="/-"),
        request_max_body_size=None,
        logging_config=None,
    )


def _ours(request: Request[Any, Any, Any], error: Exception) -> Exception:
    """Litestar's own errors as ours."""
    if isinstance(error, NotFoundException):
        return no_route(request.url.path)
    if isinstance(error, MethodNotAllowedException):
        allowed = {m.strip() for m in (error.headers or {}).get("Allow", "").split(",") if m}
        if request.url.path == PAYMENTS:
            allowed.add("POST")
        return NotOffered(request.method, allowed)
    if isinstance(error, ValidationException):
        return not_valid(_words(error))
    if isinstance(error, SerializationException):
        return malformed(error)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return Failed(error.status_code, "request.not_valid", error.detail[:300])
    return error


def _words(error: ValidationException) -> str:
    extra: Any = error.extra
    if not isinstance(extra, list):
        return error.detail
    parts: list[str] = []
    for each in extra:  # pyright: ignore[reportUnknownVariableType]
        parts.append(f"{each.get('key', '')}: {each.get('message', '')}")  # pyright: ignore
    return "; ".join(parts)


def _version() -> str:
    return version("caiwutong")
