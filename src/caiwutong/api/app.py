"""Builds the one ASGI application of the house.

``create_app(services)`` is all that the command line needs; ``services`` is what ``wiring`` made.
Read next: ``gate`` (what every request passes), then ``routes/``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
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
from caiwutong.api.routes.audit import audit_routes
from caiwutong.api.routes.bank_files import bank_file_routes
from caiwutong.api.routes.catalog import catalog_routes
from caiwutong.api.routes.failover import failover_routes
from caiwutong.api.routes.fees import fee_routes
from caiwutong.api.routes.imports import import_routes
from caiwutong.api.routes.ledger import ledger_routes
from caiwutong.api.routes.organisation import organisation_routes, people_routes
from caiwutong.api.routes.payments import payment_routes
from caiwutong.api.routes.statements import statement_routes
from caiwutong.api.routes.webhooks import webhook_routes
from caiwutong.api.services import Services

_ROUTES = (
    payment_routes,
    failover_routes,
    ledger_routes,
    audit_routes,
    organisation_routes,
    people_routes,
    bank_account_routes,
    statement_routes,
    payee_routes,
    api_key_routes,
    mandate_routes,
    webhook_routes,
    import_routes,
    bank_file_routes,
    catalog_routes,
    fee_routes,
)

_LEAN_GROUPS = {
    "/v1/events",
    "/v1/rails",
    "/callbacks/bank_direct",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
}


def create_app(house: Services) -> Gate:
    """The ASGI application. It owns no connection: whoever opened ``house`` closes it."""
    paging = Paging(house.vault)
    handlers = [handler for routes in _ROUTES for handler in routes(house, paging)]
    refusals = RefusalLog(house.audit, house.metrics)
    groups = {"/".join(path.split("/", 3)[:3]) for h in handlers for path in h.paths}
    teller = Teller(refusals, frozenset(groups | _LEAN_GROUPS))
    rest = _litestar(handlers, teller)
    document = msgspec.json.encode(describe(rest, handlers, _version()))

    async def submit_many(tenant: str, submissions: Any) -> Any:
        return await house.payments.intake.submit_many(tenant, submissions)

    return Gate(
        authenticator=house.authenticator,
        teller=teller,
        refusals=refusals,
        metrics=house.metrics,
        plain=PlainDoor(house.database, house.metrics, document),
        rails=RailDoor(house),
        payments=PaymentDoor(
            house.payments.intake,
            Batcher(
                submit_many,
                house.metrics,
                longest_queue=house.settings.longest_queue,
                pressure=house.payments.pressure,
            ),
        ),
        events=EventHub(house.database, house.feed, house.metrics),
        rest=rest,
    )


def _litestar(handlers: list[HTTPRouteHandler], teller: Teller) -> Any:
    allowed = _methods_of(handlers)

    def worded(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        ours = _ours(request, error, allowed)
        problem = teller.problem(request.scope, ours)  # type: ignore[arg-type]
        headers = headers_of(problem, ours)
        kind = headers.pop("content-type")
        return Response(
            bytes_of(problem), status_code=problem.status, headers=headers, media_type=kind
        )

    return Litestar(
        handlers,
        dependencies={"caller": Provide(caller_of, sync_to_thread=False)},
        exception_handlers={Exception: worded},
        openapi_config=OpenAPIConfig(title="Caiwutong", version=_version(), path="/-"),
        request_max_body_size=None,
        logging_config=None,
    )


def _methods_of(handlers: list[HTTPRouteHandler]) -> Callable[[str], set[str]]:
    """Which methods are offered at an address."""
    offered: dict[str, set[str]] = {PAYMENTS: {"POST"}}
    for handler in handlers:
        for path in handler.paths:
            offered.setdefault(path, set()).update(handler.http_methods)
    patterns = [
        (re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path)), methods)
        for path, methods in offered.items()
    ]
    return lambda path: {m for known, ms in patterns if known.fullmatch(path) for m in ms}


def _ours(
    request: Request[Any, Any, Any], error: Exception, allowed: Callable[[str], set[str]]
) -> Exception:
    """Litestar's own errors as ours."""
    if isinstance(error, NotFoundException):
        return no_route(request.url.path)
    if isinstance(error, MethodNotAllowedException):
        return NotOffered(request.method, allowed(request.url.path))
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
