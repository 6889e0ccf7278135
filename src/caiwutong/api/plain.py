"""The addresses that need no caller and no money: is it alive, is it ready, what it counts, and
what this API is.
"""

from __future__ import annotations

import msgspec

from caiwutong.api.asgi import JSON, Send, answer
from caiwutong.api.problems import NotOffered
from caiwutong.db.database import Database
from caiwutong.kernel.errors import CaiwutongError, Unavailable
from caiwutong.telemetry import CONTENT_TYPE, Metrics

OPENAPI = "/openapi.json"


class Health(msgspec.Struct, frozen=True):
    """How this process is."""

    status: str


class PlainDoor:
    """GET /healthz, /readyz, /metrics, /openapi.json."""

    def __init__(self, database: Database, metrics: Metrics, openapi: bytes) -> None:
        self._database = database
        self._metrics = metrics
        self._openapi = openapi
        self._doors = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": self._count,
            OPENAPI: self._describe,
        }

    def has(self, path: str) -> bool:
        """Whether this address is one of ours."""
        return path in self._doors

    async def __call__(self, path: str, method: str, send: Send) -> None:
        if method not in {"GET", "HEAD"}:
            raise NotOffered(method, ["GET", "HEAD"])
        await self._doors[path](send)

    async def _alive(self, send: Send) -> None:
        await answer(send, 200, msgspec.json.encode(Health("alive")))

    async def _ready(self, send: Send) -> None:
        try:
            async with self._database.transaction():
                pass
        except CaiwutongError as error:
            raise Unavailable(
                "server.not_ready",
                "The database does not answer.",
                "Send requests again when /readyz answers 200.",
            ) from error
        await answer(send, 200, msgspec.json.encode(Health("ready")))

    async def _count(self, send: Send) -> None:
        kind = (b"content-type", CONTENT_TYPE.encode())
        await answer(send, 200, self._metrics.render(), (kind,))

    async def _describe(self, send: Send) -> None:
        await answer(send, 200, self._openapi, (JSON, (b"cache-control", b"max-age=60")))
