"""The description of the API (OpenAPI 3.1), made from the handlers and the msgspec types they read
and answer. What is written here by hand are the lean addresses, the words around, and examples.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler

from caiwutong.api.http import PROBLEMS, TAKES
from caiwutong.api.payments import Accepted
from caiwutong.api.plain import Health
from caiwutong.api.problems import PROBLEM, TITLES, Problem
from caiwutong.kernel.order import PaymentOrder

_REFS = "#/components/schemas/{name}"
_JSON = "application/json"
_BYTES = "application/octet-stream"
_NAMES = {
    "caiwutong.api.problems.Problem": "Problem",
    "caiwutong.imports.model.Problem": "RowProblem",
    "caiwutong.payments.states.State": "PaymentState",
    "caiwutong.imports.records.State": "ImportState",
}
"""Types that share a name: what each is called for readers."""

DESCRIPTION = """\
Payments of an enterprise over China's clearing networks. Amounts are integers in fen (分); times
are RFC 3339. Every error is a problem (RFC 9457) with a stable `code` and the `cure`.

Requests are signed with an API key (RFC 9421, `hmac-sha256`, over `@method`, `@path`, `@query`,
`content-digest` and, where sent, `idempotency-key`). A bearer token is accepted from the machine
itself only. What belongs to another tenant is answered as not found.
"""

_ORDER_EXAMPLE = {
    "bank_account_id": "0199f0a2-7c1e-7000-8000-5f1d2c3b4a59",
    "payee": {"name": "上海示例贸易有限公司", "account": "6222000012340417"},
    "amount_fen": 1234567,
    "purpose": "货款",
    "remark": "合同 HT-2026-018",
}
_PROBLEM_EXAMPLE = {
    "type": "urn:caiwutong:problem:ledger.insufficient",
    "title": "Refused",
    "status": 422,
    "detail": "Account …0417 has 12,000.00 CNY available; 15,000.00 CNY is needed.",
    "code": "ledger.insufficient",
    "cure": "Top the account up, or pay from another one.",
    "instance": "/v1/payments",
}


def describe(app: Litestar, handlers: Sequence[HTTPRouteHandler], version: str) -> dict[str, Any]:
    """The whole document."""
    parameters = app.openapi_schema.to_schema()["paths"]
    gives = {handler: _gives(handler) for handler in handlers}
    types: set[Any] = {Problem, PaymentOrder, Accepted, Health, *gives.values()}
    types |= {handler.opt[TAKES] for handler in handlers if TAKES in handler.opt}
    types -= {None, bytes}
    ordered = sorted(types, key=str)
    refs, components = _schemas(ordered)
    schema = dict(zip(ordered, refs, strict=True))
    components["PaymentOrder"]["examples"] = [_ORDER_EXAMPLE]
    components["Problem"]["examples"] = [_PROBLEM_EXAMPLE]
    paths: dict[str, dict[str, Any]] = {}
    for handler in handlers:
        path = _plain_path(next(iter(handler.paths)))
        for method in handler.http_methods:
            known = parameters[path][method.lower()].get("parameters", [])
            paths.setdefault(path, {})[method.lower()] = _operation(
                handler, path, known, gives[handler], schema
            )
    for path, operations in _lean(schema).items():
        paths.setdefault(path, {}).update(operations)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Caiwutong", "version": version, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"signature": []}, {"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Signature",
                    "description": "RFC 9421 with Signature-Input and Content-Digest.",
                },
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _schemas(types: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The schemas of these types and of everything inside them, each under a plain name."""
    text = msgspec.json.encode(msgspec.json.schema_components(types, ref_template=_REFS)).decode()
    for long, short in _NAMES.items():
        text = text.replace(f'/{long}"', f'/{short}"').replace(f'"{long}"', f'"{short}"')
    refs, components = msgspec.json.decode(text)
    return refs, components


def _operation(
    handler: HTTPRouteHandler,
    path: str,
    parameters: list[dict[str, Any]],
    gives: Any,
    schema: dict[Any, Any],
) -> dict[str, Any]:
    words = inspect.getdoc(handler.fn) or ""
    first = words.partition(". ")[0].replace("\n", " ").rstrip(".")
    takes = handler.opt.get(TAKES)
    problems = {400, 401, 503, *handler.opt.get(PROBLEMS, ())}
    if "{" in path:
        problems.add(404)
    if takes is not None:
        problems |= {413, 415, 422} if takes is not bytes else {413, 422}
    operation: dict[str, Any] = {
        "operationId": handler.fn.__name__,
        "summary": first,
        "description": words,
        "tags": [path.split("/")[2]],
        "parameters": [_parameter(p) for p in parameters],
        "responses": {
            str(handler.status_code): _success(gives, schema),
            **_problem_responses(problems),
        },
    }
    if takes is bytes:
        operation["requestBody"] = {"required": True, "content": {_BYTES: {}}}
    elif takes is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {_JSON: {"schema": schema[takes]}},
        }
    return operation


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    """What a reader needs of it. ``null`` is not something a query can say."""
    schema = dict(parameter["schema"])
    choices = [one for one in schema.pop("oneOf", ()) if one != {"type": "null"}]
    if len(choices) == 1:
        schema = {**choices[0], **schema}
    for bound in ("minimum", "maximum"):
        if bound in schema:
            schema[bound] = int(schema[bound])
    kept = {"name": parameter["name"], "in": parameter["in"], "schema": schema}
    if parameter.get("description"):
        kept["description"] = parameter["description"]
    kept["required"] = bool(parameter.get("required"))
    return kept


def _success(gives: Any, schema: dict[Any, Any]) -> dict[str, Any]:
    if gives is None:
        return {"description": "Done; there is nothing to say."}
    if gives is bytes:
        return {"description": "The file.", "content": {_BYTES: {}}}
    return {"description": "Done.", "content": {_JSON: {"schema": schema[gives]}}}


def _problem_responses(statuses: set[int]) -> dict[str, Any]:
    content = {PROBLEM: {"schema": {"$ref": _REFS.format(name="Problem")}}}
    told: dict[str, Any] = {
        str(status): {"description": TITLES[status], "content": content}
        for status in sorted(statuses)
    }
    told["default"] = {"description": "Any other problem.", "content": content}
    return told


def _gives(handler: HTTPRouteHandler) -> Any:
    """The type a handler answers with; None for an empty answer."""
    given = get_type_hints(handler.fn, include_extras=True)["return"]
    if given is type(None):
        return None
    if getattr(given, "__origin__", None) is Response:
        return get_args(given)[0]
    raise TypeError(f"{handler.fn.__name__} must be annotated to return Response[…]")


def _plain_path(path: str) -> str:
    return path.replace(":uuid}", "}")


def _lean(schema: dict[Any, Any]) -> dict[str, dict[str, Any]]:
    """The addresses that the gate answers itself."""
    order = {_JSON: {"schema": schema[PaymentOrder]}}
    accepted = {"content": {_JSON: {"schema": schema[Accepted]}}}
    created = {
        "description": "Taken in: durable, its money held. `Location` is the payment.",
        **accepted,
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
    pay = {
        "operationId": "pay",
        "summary": "Pay",
        "description": "Take one payment order in. The key makes it safe to send again: the same "
        "key and content give the first answer again, the same key with other content is refused.",
        "tags": ["payments"],
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": "Your own number of the payment; bound to its content for ever.",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 128,
                    "pattern": "^[A-Za-z0-9_.:/-]{1,128}$",
                },
                "example": "ERP-2026-000417",
            },
            {
                "name": "dry_run",
                "in": "query",
                "required": False,
                "description": "Answer as if it were done, and do nothing.",
                "schema": {"type": "boolean", "default": False},
            },
        ],
        "requestBody": {"required": True, "content": order},
        "responses": {
            "200": {"description": "What would be answered (dry run).", **accepted},
            "202": created,
            **_problem_responses({400, 401, 404, 409, 413, 415, 422, 428, 503, 504}),
        },
    }
    return {
        "/v1/payments": {"post": pay},
        "/v1/events": {"get": _events()},
        "/v1/rails/{rail}/messages": {"post": _callback("take_rail_message", "rail")},
        "/callbacks/{rail}/{connection}": {
            "post": _callback("take_connection_message", "rail", "connection")
        },
        "/healthz": {"get": _open("is_alive", "Whether the process is alive", schema[Health])},
        "/readyz": {"get": _open("is_ready", "Whether it can take requests", schema[Health])},
        "/metrics": {"get": _metrics()},
    }


def _events() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    return {
        "operationId": "watch_events",
        "summary": "Watch what happens",
        "description": "The sealed log as server-sent events, without end. `id` is the sealed "
        "sequence; a reconnect with `Last-Event-ID` misses nothing; `event: resync` says that the "
        "id is not known here and everything must be read anew.",
        "tags": ["events"],
        "parameters": [
            {
                "name": "kinds",
                "in": "query",
                "required": False,
                "description": "Kinds or prefixes (`payment.*`), separated by commas.",
                "schema": {"type": "string", "maxLength": 1000, "pattern": "^[a-z0-9_.,*-]*$"},
            },
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
            },
        ],
        "responses": {
            "200": {"description": "The stream.", "content": {"text/event-stream": text}},
            **_problem_responses({400, 401, 422, 503}),
        },
    }


def _callback(name: str, *path: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": "A network's or bank's own message",
        "description": "The raw bytes of a message of that rail. Its own signature says who sent "
        "it; no API key is asked for.",
        "tags": ["rails"],
        "security": [],
        "parameters": [
            {"name": part, "in": "path", "required": True, "schema": {"type": "string"}}
            for part in path
        ],
        "requestBody": {"required": True, "content": {_BYTES: {}}},
        "responses": {
            "200": {
                "description": "Taken in; the rail's acknowledgement.",
                "content": {_BYTES: {}},
            },
            **_problem_responses({404, 413, 422}),
        },
    }


def _open(name: str, summary: str, schema: Any) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["service"],
        "security": [],
        "responses": {
            "200": {"description": "Yes.", "content": {_JSON: {"schema": schema}}},
            **_problem_responses({503}),
        },
    }


def _metrics() -> dict[str, Any]:
    text = {"schema": {"type": "string"}}
    return {
        "operationId": "read_metrics",
        "summary": "Counters for Prometheus",
        "tags": ["service"],
        "security": [],
        "responses": {
            "200": {"description": "Prometheus text.", "content": {"text/plain": text}},
            **_problem_responses(set()),
        },
    }
