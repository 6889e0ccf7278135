"""What every request passes: how large it may be, who sends it, where it goes, what is counted.

In order: the addresses that need no caller (health, metrics, the API's description, the networks'
callbacks), then the caller's proof over the exact bytes, then the lean handlers, then the rest.
Every error becomes a problem here, and every refusal is recorded.
"""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import parse_qs

from prometheus_client import Counter, Histogram

from caiwutong.api.asgi import (
    App,
    HungUp,
    Message,
    Receive,
    Scope,
    Send,
    TooLarge,
    read_body,
    replayed,
)
from caiwutong.api.callbacks import MOST_BYTES, RailDoor, callback_of
from caiwutong.api.events import EventHub, send_stream
from caiwutong.api.payments import PATH as PAYMENTS
from caiwutong.api.payments import (
    IntakeRefused,
    PaymentDoor,
    receipt_words,
    recorded_by_intake,
)
from caiwutong.api.plain import PlainDoor
from caiwutong.api.problems import (
    BadRequest,
    Failed,
    NotOffered,
    Problem,
    answer_problem,
    bytes_of,
    problem_of,
    unexpected,
    wire_headers,
)
from caiwutong.api.refusals import RefusalLog
from caiwutong.erp.webhooks.rules import check_kinds
from caiwutong.identity.authentication import Authenticator
from caiwutong.identity.http_signatures import RequestFacts
from caiwutong.identity.model import Caller
from caiwutong.kernel.clock import monotonic
from caiwutong.kernel.errors import Broken, CaiwutongError, Refusal, Unauthorised
from caiwutong.payments.model import Answer, Receipt
from caiwutong.telemetry import Metrics

log = logging.getLogger(__name__)

Fields = dict[bytes, str]

EVENTS = "/v1/events"
IMPORTS = "/v1/imports"
CALLER = "caiwutong.caller"
"""Where in the scope the proved caller stands."""

BODY_BYTES = 1 << 20
IMPORT_BYTES = 64 << 20
BANK_FILE_BYTES = 16 << 20
_TARGET_BYTES = 8192
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_KEYED = frozenset({PAYMENTS, PAYMENTS + "/batch"})
"""Addresses that bind the idempotency key for ever: there it is the nonce."""


class Teller:
    """Says what an error is to the caller, and notes it where it belongs."""

    def __init__(self, refusals: RefusalLog, groups: frozenset[str]) -> None:
        self._refusals = refusals
        self._groups = groups

    def problem(self, scope: Scope, error: Exception) -> Problem:
        """The answer for an error. Refused writes and refused callers are recorded."""
        path = scope["path"]
        if not isinstance(error, CaiwutongError):
            log.error("%s %s failed", scope["method"], path, exc_info=error)
            return unexpected(path)
        if isinstance(error, Broken):
            log.error("%s %s: %s", scope["method"], path, error, exc_info=error)
        caller: Caller | None = scope.get(CALLER)
        write = scope["method"] not in _READS
        worth = write or isinstance(error, Unauthorised | TooLarge)
        if error.status < 500 and worth and not recorded_by_intake(error):
            self._refusals.note(
                caller.tenant if caller else None,
                f"api-key:{caller.name}" if caller else "stranger",
                f"{scope['method'][:16]} {self.group(path)}",
                error,
            )
        return problem_of(error, path[:_TARGET_BYTES])

    def group(self, path: str) -> str:
        """``/v1/payments/…`` as ``/v1/payments``; addresses nobody offers as ``other``."""
        if path in self._groups:
            return path
        group = "/".join(path.split("/", 3)[:3])
        return group if group in self._groups else "other"


class Gate:
    """The outermost ASGI application."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        teller: Teller,
        refusals: RefusalLog,
        metrics: Metrics,
        plain: PlainDoor,
        rails: RailDoor,
        payments: PaymentDoor,
        events: EventHub,
        rest: App,
    ) -> None:
        self._authenticator = authenticator
        self._teller = teller
        self._refusals = refusals
        self._metrics = metrics
        self._plain = plain
        self._rails = rails
        self._payments = payments
        self._events = events
        self._rest = rest
        self._counters: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def close(self) -> None:
        """End the streams and write down what was only counted."""
        await self._events.close()
        await self._refusals.close()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = monotonic()
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), _NOSNIFF]
            await send(message)

        try:
            await self._route(scope, receive, counted)
        except HungUp:
            return
        except Exception as error:
            problem = self._teller.problem(scope, error)
            if status:
                log.exception("an answer broke off")
                raise
            await answer_problem(counted, problem, error)
        self._count(scope["path"], status, started)

    def begin(self, scope: Scope, body: bytes) -> asyncio.Future[Answer | Exception] | None:
        """Take a single order in at once; None when its caller cannot be proved without reading
        or writing something. Raises what ``words`` turns into an answer."""
        fields = _fields(scope)
        caller = self._authenticator.at_once(_facts(scope, fields, body))
        if caller is None:
            return None
        scope[CALLER] = caller
        _check_json(fields, body)
        return self._payments.begin(fields.get(b"idempotency-key", ""), body, caller)

    def words(
        self, scope: Scope, got: Answer | Exception, started: float
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and body for what became of an order that ``begin`` took, or refused by
        raising; counted and recorded as every answer is."""
        if isinstance(got, Receipt):
            status, (headers, body) = 202, receipt_words(got)
        else:
            error = IntakeRefused(got) if isinstance(got, Refusal) else got
            problem = self._teller.problem(scope, error)
            status, body = problem.status, bytes_of(problem)
            headers = wire_headers(problem, error)
        headers.append(_NOSNIFF)
        self._count(scope["path"], status, started)
        return status, headers, body

    def _count(self, path: str, status: int, started: float) -> None:
        route = self._teller.group(path)
        known = self._counters.get((route, status))
        if known is None:
            known = self._counters[route, status] = (
                self._metrics.requests.labels(route, str(status)),
                self._metrics.request_seconds.labels(route),
            )
        known[0].inc()
        if path != EVENTS:
            known[1].observe(monotonic() - started)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        _check_target(scope)
        fields = _fields(scope)
        if path == PAYMENTS and method == "POST":
            body = await read_body(receive, BODY_BYTES, fields.get(b"content-length", ""))
            caller = await self._known(scope, fields, body)
            _check_json(fields, body)
            key = fields.get(b"idempotency-key", "")
            await self._payments(key, scope["query_string"], body, caller, send)
        elif self._plain.has(path):
            await self._plain(path, method, send)
        elif (callback := callback_of(path)) is not None:
            _only(method, "POST")
            declared = fields.get(b"content-length", "")
            await self._rails(callback, await read_body(receive, MOST_BYTES, declared), send)
        else:
            await self._inside(scope, fields, receive, send)

    async def _inside(self, scope: Scope, fields: Fields, receive: Receive, send: Send) -> None:
        """What is for known callers and not in a hurry."""
        path, method = scope["path"], scope["method"]
        limit = _upload_bytes(path) if method == "POST" else 0
        upload, limit = limit > 0, limit or BODY_BYTES
        body = await read_body(receive, limit, fields.get(b"content-length", ""))
        caller = await self._known(scope, fields, body)
        if body and not upload:
            _check_json(fields, body)
        if path == EVENTS:
            _only(method, "GET")
            await self._watch(scope, fields, caller, receive, send)
        else:
            await self._rest(scope, replayed(body, receive), send)

    async def _known(self, scope: Scope, fields: Fields, body: bytes) -> Caller:
        """The caller, proved over the exact bytes."""
        caller = await self._authenticator.authenticate(_facts(scope, fields, body))
        scope[CALLER] = caller
        return caller

    async def _watch(
        self, scope: Scope, fields: Fields, caller: Caller, receive: Receive, send: Send
    ) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=64)
        kinds = [kind for text in query.get("kinds", ()) for kind in text.split(",")]
        check_kinds(kinds)
        last = fields.get(b"last-event-id") or query.get("last_event_id", [""])[0]
        await send_stream(receive, send, self._events.stream(caller.tenant, last, kinds))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


_NOSNIFF = (b"x-content-type-options", b"nosniff")


def _fields(scope: Scope) -> Fields:
    """The headers that mean something here. One that stands twice is refused: whoever is between
    us and the caller might read the other."""
    fields: Fields = {}
    for name, value in scope["headers"]:
        if name in _WANTED:
            if name in fields:
                raise BadRequest(
                    "request.repeated_header",
                    f"The header {name.decode('latin-1')} stands twice.",
                    "Send it once.",
                )
            fields[name] = str(value, "latin-1")
    return fields


def _facts(scope: Scope, fields: Fields, body: bytes) -> RequestFacts:
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    client = scope.get("client")
    forwarded = b"forwarded" in fields or b"x-forwarded-for" in fields
    return RequestFacts(
        method=scope["method"],
        path=raw_path.partition(b"?")[0].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        body=body,
        content_digest=fields.get(b"content-digest", ""),
        signature_input=fields.get(b"signature-input", ""),
        signature=fields.get(b"signature", ""),
        idempotency_key=fields.get(b"idempotency-key"),
        authorization=fields.get(b"authorization", ""),
        loopback=client is not None and client[0] in _LOOPBACK and not forwarded,
        key_is_nonce=scope["path"] in _KEYED,
    )


_WANTED = frozenset(
    {
        b"authorization",
        b"content-digest",
        b"content-length",
        b"content-type",
        b"forwarded",
        b"idempotency-key",
        b"last-event-id",
        b"signature",
        b"signature-input",
        b"x-forwarded-for",
    }
)


def _check_target(scope: Scope) -> None:
    query: bytes = scope["query_string"]
    if "\x00" in scope["path"] or b"%00" in query:
        raise BadRequest(
            "request.bad_address", "The address holds a NUL character.", "Leave it out."
        )
    if len(scope["path"]) + len(query) > _TARGET_BYTES:
        raise BadRequest(
            "request.bad_address", "The address is too long.", "Narrow the question in fewer words."
        )


def _upload_bytes(path: str) -> int:
    """How large a person's file may be at this address; 0 where JSON is read."""
    if path == IMPORTS:
        return IMPORT_BYTES
    banks = path.startswith("/v1/bank-files/") and path.endswith("/results")
    statements = path.startswith("/v1/bank-accounts/") and path.endswith("/statement-files")
    return BANK_FILE_BYTES if banks or statements else 0


def _check_json(fields: Fields, body: bytes) -> None:
    kind = fields.get(b"content-type", "")
    if kind != "application/json" and kind.partition(";")[0].strip().lower() != "application/json":
        raise Failed(
            415,
            "request.not_json",
            f"The content type {kind[:60]!r} is not read here.",
            "Send JSON with Content-Type: application/json.",
        )
    if b"\\u0000" in body:
        raise BadRequest(
            "request.not_valid", "A text holds a NUL character.", "Remove the character U+0000."
        )


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise NotOffered(method, [allowed])
