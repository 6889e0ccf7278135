"""The short way in for single orders: from the socket to the batch without a task in between.

uvicorn's protocol still parses, limits, keeps alive and closes; only a plain ``POST /v1/payments``
whose caller can be proved without reading anything is answered here, in one write. Whatever is not
so plain (a chunked or large body, ``Expect``, a query, a pipelined request, a key not yet known, a
nonce) takes the long way through ASGI, to the same gate and the same door.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from caiwutong.api.asgi import Scope
from caiwutong.api.gate import Gate
from caiwutong.api.payments import PATH
from caiwutong.kernel.clock import monotonic

_URL = PATH.encode()
_LARGEST = 1 << 14
"""Bytes of a body that come in a packet or a few."""


def protocol_of(gate: Gate) -> Any:
    """What uvicorn makes for each connection."""
    return partial(LeanProtocol, gate=gate)


class LeanProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a cycle of its own for plain orders."""

    def __init__(self, *args: Any, gate: Gate, **named: Any) -> None:
        super().__init__(*args, **named)
        self.gate = gate

    def on_headers_complete(self) -> None:
        if self.url == _URL and self._is_plain():
            self.cycle = cast(Any, _Order(self))
        else:
            super().on_headers_complete()

    def the_long_way(self, body: bytes) -> None:
        """Start over with a body that is here already."""
        super().on_headers_complete()
        self.on_body(body)
        self.on_message_complete()

    def _is_plain(self) -> bool:
        before, parser = cast(Any, self.cycle), cast(Any, self.parser)
        if before is not None and not before.response_complete:
            return False
        if self.expect_100_continue or self.flow.write_paused:
            return False
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1":
            return False
        declared = [value for name, value in self.headers if name in _LENGTHS]
        return len(declared) == 1 and declared[0].isdigit() and int(declared[0]) <= _LARGEST


_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})


class _Order:
    """One order from its headers to its answer, where uvicorn keeps its own cycle. It is its own
    ``message_event`` too: ``set`` is called when the body is complete, or the client gone."""

    __slots__ = (
        "_begun", "_gate", "_protocol", "_scope", "_started", "body", "disconnected", "keep_alive",
        "message_event", "more_body", "response_complete",
    )  # fmt: skip

    def __init__(self, protocol: LeanProtocol) -> None:
        self._protocol = protocol
        self._gate = protocol.gate
        scope = cast(Scope, protocol.scope)
        scope["method"], scope["path"], scope["raw_path"] = "POST", PATH, _URL
        scope["query_string"] = b""
        self._scope = scope
        self._started = monotonic()
        self._begun = False
        self.body = b""
        self.more_body = True
        self.disconnected = self.response_complete = False
        self.keep_alive = cast(Any, protocol.parser).should_keep_alive()
        self.message_event = self

    def set(self) -> None:
        """Begin, once the body is whole."""
        if self.more_body or self._begun or self.disconnected:
            return
        self._begun = True
        try:
            done = self._gate.begin(self._scope, self.body)
        except Exception as error:
            self._answer(error)
            return
        if done is None:
            self.response_complete = True
            self._protocol.the_long_way(self.body)
        else:
            done.add_done_callback(self._done)

    def _done(self, done: asyncio.Future[Any]) -> None:
        self._answer(done.exception() or done.result() if not done.cancelled() else _STOPPED)

    def _answer(self, got: Any) -> None:
        status, headers, body = self._gate.words(self._scope, got, self._started)
        self.response_complete = True
        if self.disconnected:
            return
        protocol = self._protocol
        parts = [STATUS_LINE[status]]
        for name, value in (*protocol.server_state.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"content-length: %d\r\n\r\n" % len(body), body)
        protocol.transport.write(b"".join(parts))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


_STOPPED = ConnectionAbortedError("the process stops")
