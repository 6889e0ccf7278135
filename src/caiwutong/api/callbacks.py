"""What the clearing networks and banks send us by themselves: ``POST /v1/rails/{rail}/messages``,
and ``POST /callbacks/{rail}/{connection}`` for a rail of many connections.

No API key: the message's own signature says who sent it, and the rail's ``decode`` refuses what is
not well signed by someone it knows. The bytes are taken as they are; nobody parses them before
their signature is checked.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from caiwutong.api.asgi import Send, answer
from caiwutong.api.services import Services
from caiwutong.kernel.errors import NotFound
from caiwutong.rails.contract import Notice

PREFIX = "/v1/rails/"
SUFFIX = "/messages"
CONNECTIONS = "/callbacks/"
MOST_BYTES = 1_000_000
"""CNAPS2 bodies are below 1,000,000 bytes (DOMAIN.md, section 2)."""


@runtime_checkable
class Acknowledging(Protocol):
    """A rail whose network waits for a word that its message arrived."""

    def acknowledge(self, raw: bytes) -> bytes: ...


@runtime_checkable
class Connected(Protocol):
    """A rail of many connections, whose bytes need their connection's name beside them."""

    def tag(self, connection: str, raw: bytes) -> bytes: ...


class CallbackAddress(NamedTuple):
    """Where a message came to."""

    rail: str
    connection: str = ""
    """Empty at the address that all connections of a rail share."""


@runtime_checkable
class Announcing(Protocol):
    """A rail whose network announces limits, system days and outages to everybody."""

    def notices(self, raw: bytes) -> list[Notice]: ...


class RailDoor:
    """Takes messages in."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, to: CallbackAddress, raw: bytes, send: Send) -> None:
        """Decode, settle, then acknowledge. A network that gets no acknowledgement sends the
        message again, and a report that comes twice changes nothing."""
        rail = self._services.rails.get(to.rail)
        if rail is None:
            raise NotFound("rail.not_found", f"There is no rail {to.rail[:40]!r} here.", "")
        if to.connection:
            if not isinstance(rail, Connected):
                raise NotFound("rail.no_connections", f"{to.rail} has no connections by name.", "")
            raw = rail.tag(to.connection, raw)
        house = self._services
        # The installation's connections belong to one tenant: so does what comes over them.
        tenant = house.settings.tenant
        if isinstance(rail, Announcing):
            await house.catalogs.hear(tenant, rail.notices(raw))
        reports = rail.decode(raw)
        if reports:
            await house.payments.settle(tenant, reports)
        reply = rail.acknowledge(raw) if isinstance(rail, Acknowledging) else b""
        kind = (b"content-type", b"application/octet-stream")
        await answer(send, 200, reply, (kind,))


def callback_of(path: str) -> CallbackAddress | None:
    """The rail and connection a callback address names, or None for another address."""
    if path.startswith(PREFIX) and path.endswith(SUFFIX):
        name = path[len(PREFIX) : -len(SUFFIX)]
        return CallbackAddress(name) if name and "/" not in name else None
    if path.startswith(CONNECTIONS):
        parts = path[len(CONNECTIONS) :].split("/")
        return CallbackAddress(*parts) if len(parts) == 2 and all(parts) else None
    return None
