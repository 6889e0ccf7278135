"""The few ASGI words (spec 2.4) that the lean handlers share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from caiwutong.kernel.errors import Refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")


class TooLarge(Refused):
    """The body is larger than this route takes."""

    status = 413


class HungUp(Exception):
    """The client left before its request was complete."""


async def read_body(receive: Receive, limit: int, declared: str = "") -> bytes:
    """The whole body. Raises ``TooLarge`` as soon as it is known to be longer than ``limit``;
    ``declared`` is its Content-Length."""
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        whole: bytes = message.get("body", b"")
        if len(whole) > limit:
            raise _too_large(limit)
        return whole
    return await _read_on(message, receive, limit)


async def _read_on(message: Message, receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise HungUp
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that hands out a body that was read already, then what follows."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def answer(
    send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (JSON,)
) -> None:
    """Send a whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        "request.too_large",
        f"The body is larger than {limit:,} bytes.",
        "Send less at once: split the batch, or import a file.",
    )
