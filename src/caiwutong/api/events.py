"""GET /v1/events: the sealed log as server-sent events (WHATWG HTML, 9.2).

``id`` is the sealed sequence, so a browser that reconnects with ``Last-Event-ID`` misses nothing.
One reader follows the log for all viewers of this process; a viewer costs a place in the log and
no query, unless it comes from further back than the reader remembers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from itertools import islice

import msgspec

from caiwutong.api.asgi import Receive, Send
from caiwutong.db.database import Database
from caiwutong.erp.feed import Feed, FeedEvent, wanted
from caiwutong.kernel.errors import CaiwutongError, Unavailable
from caiwutong.telemetry import Metrics

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
REMEMBERED = 5000
_PAGE = 500
_HELLO = b"retry: 2000\n\n"
_BEAT = b": still here\n\n"

_encode = msgspec.json.Encoder().encode


class Line(msgspec.Struct, frozen=True):
    """An event ready for the wire."""

    seq: int
    kind: str
    wire: bytes


def line_of(event: FeedEvent) -> Line:
    """Encoded once, however many look on."""
    return Line(event.seq, event.kind, b"id: %d\ndata: %s\n\n" % (event.seq, _encode(event)))


class Tail:
    """The end of one tenant's log, as the reader has seen it."""

    def __init__(self, head: int, remembered: int) -> None:
        self.head = head
        self.viewers = 0
        self.lines: deque[Line] = deque(maxlen=remembered)
        self.news = asyncio.Event()

    def extend(self, lines: Sequence[Line]) -> None:
        """What was sealed since; wakes everyone who waits."""
        self.lines.extend(lines)
        self.head = lines[-1].seq
        self.news.set()
        self.news = asyncio.Event()

    def after(self, seq: int) -> list[Line] | None:
        """The lines after this sequence, or None when it is further back than remembered."""
        if not self.lines or self.lines[0].seq > seq + 1:
            return None
        return list(islice(self.lines, seq + 1 - self.lines[0].seq, None))


class EventHub:
    """All viewers of this process, and the one reader they share."""

    def __init__(
        self,
        database: Database,
        feed: Feed,
        metrics: Metrics,
        *,
        poll_s: float = 0.2,
        remembered: int = REMEMBERED,
        most_viewers: int = 4096,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._database = database
        self._feed = feed
        self._metrics = metrics
        self._poll_s = poll_s
        self._remembered = remembered
        self._most_viewers = most_viewers
        self._heartbeat_s = heartbeat_s
        self._tails: dict[str, Tail] = {}
        self._viewers = 0
        self._reader: asyncio.Task[None] | None = None
        self._pages = asyncio.Semaphore(4)
        self._opening = asyncio.Lock()
        self._closed = False

    async def stream(
        self, tenant: str, last_id: str, kinds: Sequence[str]
    ) -> AsyncGenerator[bytes]:
        """The bytes of one viewer's stream, without end. Raises ``Unavailable`` when there are
        too many viewers or the log cannot be read."""
        async with self._looking(tenant) as tail:
            known = _place(last_id, tail.head)
            place = tail.head if known is None else known
            yield _HELLO
            if known is None:
                yield b'event: resync\nid: %d\ndata: {"head": %d}\n\n' % (place, place)
            while not self._closed:
                if place < tail.head:
                    lines = tail.after(place)
                    if lines is None:
                        lines = await self._read_back(tenant, place)
                    place = lines[-1].seq
                    chunk = b"".join(each.wire for each in lines if wanted(kinds, each.kind))
                    # An id alone moves the browser's Last-Event-ID past what was filtered out.
                    yield chunk if wanted(kinds, lines[-1].kind) else chunk + b"id: %d\n\n" % place
                    continue
                try:
                    await asyncio.wait_for(tail.news.wait(), self._heartbeat_s)
                except TimeoutError:
                    yield _BEAT

    async def close(self) -> None:
        """End every stream: browsers come back by themselves."""
        self._closed = True
        for tail in self._tails.values():
            tail.news.set()
        await self._stop_reader()

    @contextlib.asynccontextmanager
    async def _looking(self, tenant: str) -> AsyncGenerator[Tail]:
        if self._viewers >= self._most_viewers:
            raise Unavailable(
                "events.too_many_viewers",
                f"{self._viewers} event streams are open already.",
                "Close some, or read the events through a webhook.",
            )
        self._viewers += 1
        self._metrics.viewers.set(self._viewers)
        tail: Tail | None = None
        try:
            tail = await self._tail(tenant)
            tail.viewers += 1
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._follow())
            yield tail
        finally:
            self._viewers -= 1
            self._metrics.viewers.set(self._viewers)
            if tail is not None:
                tail.viewers -= 1
                if not tail.viewers and self._tails.get(tenant) is tail:
                    del self._tails[tenant]
            if not self._viewers:
                await self._stop_reader()

    async def _tail(self, tenant: str) -> Tail:
        async with self._opening:
            tail = self._tails.get(tenant)
            if tail is None:
                async with self._database.transaction() as tx:
                    head = (await self._feed.heads(tx)).get(tenant, 0)
                tail = self._tails[tenant] = Tail(head, self._remembered)
            return tail

    async def _read_back(self, tenant: str, place: int) -> list[Line]:
        async with self._pages, self._database.transaction() as tx:
            events = await self._feed.read(tx, tenant, place, _PAGE)
        if not events:
            raise Unavailable(
                "events.unreadable", "The event log cannot be read now.", "Connect again."
            )
        return [line_of(event) for event in events]

    async def _follow(self) -> None:
        while True:
            try:
                await self._look()
            except CaiwutongError as error:
                log.warning("event streams wait: %s", error)
            await asyncio.sleep(self._poll_s)

    async def _look(self) -> None:
        async with self._database.transaction() as tx:
            heads = await self._feed.heads(tx)
        for tenant, tail in list(self._tails.items()):
            while tail.head < heads.get(tenant, 0):
                async with self._database.transaction() as tx:
                    events = await self._feed.read(tx, tenant, tail.head, _PAGE)
                if not events:
                    break
                tail.extend([line_of(event) for event in events])

    async def _stop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


async def send_stream(receive: Receive, send: Send, chunks: AsyncGenerator[bytes]) -> None:
    """Carry a stream until the viewer hangs up or it ends. Errors before the first byte are
    raised; later ones end the stream, and the browser comes back with its last id."""
    first = await anext(chunks)
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": first, "more_body": True})

    async def carry() -> None:
        try:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except CaiwutongError as error:
            log.warning("an event stream ended: %s", error)

    carrying = asyncio.ensure_future(carry())
    leaving = asyncio.ensure_future(_hung_up(receive))
    try:
        await asyncio.wait({carrying, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (carrying, leaving):
            task.cancel()
        await asyncio.gather(carrying, leaving, return_exceptions=True)
        await chunks.aclose()
    with contextlib.suppress(OSError):
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _place(last_id: str, head: int) -> int | None:
    """Where a viewer goes on: after its last id, or at the head when it brings none. None: its id
    is not one of ours (another database, a later one), so it must read everything anew."""
    if not last_id:
        return head
    if last_id.isascii() and last_id.isdigit() and len(last_id) < 19 and int(last_id) <= head:
        return int(last_id)
    return None
