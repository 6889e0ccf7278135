"""The broker's part of the events: one JetStream stream that carries packs of sealed events.

PostgreSQL decides, JetStream carries: the stream may vanish at any time and is made again. A pack
is up to a hundred events of one tenant in order; its message id is the tenant and its first
and last sequence, so that a pack published twice within two minutes is stored once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from caiwutong.erp.feed import FeedEvent
from caiwutong.kernel.errors import Unavailable

log = logging.getLogger(__name__)

STREAM = "CAIWUTONG_EVENTS"
SUBJECTS = "events"
PACK = 100
_KEEP_BYTES = 1 << 30
_KEEP_S = 7 * 24 * 3600.0
_DUPLICATE_WINDOW_S = 120.0

BROKER_TROUBLE: tuple[type[Exception], ...] = (
    nats.errors.Error,
    nats.js.errors.Error,
    OSError,
    TimeoutError,
)


class Pack(msgspec.Struct, frozen=True):
    """Sealed events of one tenant, in order and without gaps."""

    tenant: str
    events: list[FeedEvent]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Pack).decode


def pack_of(tenant: str, events: Sequence[FeedEvent]) -> bytes:
    """The bytes of one message: msgpack."""
    return _encode(Pack(tenant, list(events)))


def open_pack(data: bytes) -> Pack | None:
    """The pack in a message; None for bytes that are not one."""
    with contextlib.suppress(msgspec.DecodeError):
        return _decode(data)
    return None


def subject_of(tenant: str) -> str:
    return f"{SUBJECTS}.{tenant}"


@contextlib.asynccontextmanager
async def connected(url: str, name: str) -> AsyncGenerator[tuple[Client, JetStreamContext]]:
    """One connection to the broker, closed at the end. Raises ``Unavailable``.

    The connection does not reconnect by itself: whoever lost it starts over and looks again at
    what the broker still has.
    """
    try:
        client = await nats.connect(
            url, name=name, allow_reconnect=False, connect_timeout=3, error_cb=_quiet
        )
    except BROKER_TROUBLE as error:
        raise unavailable(error) from error
    try:
        yield client, client.jetstream(timeout=5)
    finally:
        with contextlib.suppress(*BROKER_TROUBLE):
            await client.close()


async def ensure_stream(stream: JetStreamContext) -> tuple[bool, int]:
    """Make the stream if the broker does not have it; (made now, its last sequence)."""
    try:
        info = await stream.stream_info(STREAM)
    except nats.js.errors.NotFoundError:
        await stream.add_stream(
            StreamConfig(
                name=STREAM,
                description="Sealed events, packed; a copy of what PostgreSQL holds.",
                subjects=[f"{SUBJECTS}.*"],
                storage=StorageType.FILE,
                retention=RetentionPolicy.LIMITS,
                discard=DiscardPolicy.OLD,
                max_bytes=_KEEP_BYTES,
                max_age=_KEEP_S,
                duplicate_window=_DUPLICATE_WINDOW_S,
            )
        )
        return True, 0
    return False, info.state.last_seq


def unavailable(error: BaseException) -> Unavailable:
    """The broker's trouble in our words."""
    return Unavailable(
        "events.broker_unavailable",
        f"The event broker does not answer ({type(error).__name__}).",
        "Nothing is lost: events wait in the database and are published when it is back.",
    )


async def _quiet(error: Any) -> None:
    log.debug("broker: %s", error)
