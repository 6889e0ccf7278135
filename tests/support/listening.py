"""Someone outside who listens: a webhook receiver, and a reader of server-sent events."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import msgspec

from caiwutong.engines.home import free_port


class Received(msgspec.Struct, frozen=True):
    """One delivery that was taken."""

    id: str
    timestamp: str
    signature: str
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return msgspec.json.decode(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """Standard Webhooks: HMAC-SHA256 over ``id.timestamp.body`` with the decoded secret."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.timestamp}.".encode() + self.body
        mark = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return f"v1,{mark}" in self.signature.split(" ")


class Receiver:
    """A small server that takes deliveries, or answers 500 while it is out of order."""

    def __init__(self) -> None:
        self.taken: list[Received] = []
        self.turned_away = 0
        self.out_of_order = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(receiver._take(self.headers, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", free_port(20_080)), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def _take(self, headers: Any, body: bytes) -> int:
        if self.out_of_order:
            self.turned_away += 1
            return 500
        self.taken.append(
            Received(
                headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"],
                body,
            )
        )  # fmt: skip
        return 204

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def sequence(self) -> list[int]:
        """The sequence numbers taken, in order of arrival."""
        return [each.event["seq"] for each in self.taken]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def read_events(
    port: int, bearer: str, *, after: int, count: int = 0, until: int = 0, kinds: str = "",
    within_s: float = 30,
) -> list[dict[str, Any]]:  # fmt: skip
    """Connect with ``Last-Event-ID: after`` and read ``count`` events, or up to the sequence
    ``until``; then hang up. Each event has its SSE ``id``, and ``seq`` and ``kind`` of its data."""
    found: list[dict[str, Any]] = []
    for place, data in _lines(port, bearer, after, kinds, within_s):
        if data is not None:
            assert data["seq"] == place, "the id is the sequence"
            found.append(data)
        if (count and len(found) >= count) or (until and place >= until):
            return found
    raise AssertionError(f"the stream ended after {len(found)} events")


def _lines(
    port: int, bearer: str, after: int, kinds: str, within_s: float
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within_s)
    try:
        headers = {"Authorization": f"Bearer {bearer}", "Last-Event-ID": str(after)}
        connection.request(
            "GET", "/v1/events" + (f"?kinds={kinds}" if kinds else ""), headers=headers
        )
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        end, place, data = time.monotonic() + within_s, after, None
        while time.monotonic() < end:
            line = answer.readline()
            if not line:
                return
            if line.startswith(b"id: "):
                place = int(line[4:])
            elif line.startswith(b"data: "):
                data = msgspec.json.decode(line[6:])
            elif line == b"\n":
                yield place, data
                data = None
    finally:
        connection.close()
