"""GET /v1/events: replay by id, resync, filters, heartbeats, and one reader for all viewers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import uvicorn

from caiwutong.api.app import create_app
from caiwutong.api.events import EventHub, send_stream
from caiwutong.db.memory import MemoryDatabase
from caiwutong.telemetry import Metrics
from support.feeds import ListFeed
from support.wired import House

TENANT = "acme"


class Viewer:
    """Reads a stream as a browser does."""

    def __init__(self, chunks: AsyncGenerator[bytes]) -> None:
        self._chunks = chunks
        self.seqs: list[int] = []
        self.last_id = ""
        self.resynced = False
        self.beats = 0
        self.task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for chunk in self._chunks:
            for block in chunk.decode().split("\n\n"):
                self._take(block)

    def _take(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        self.last_id = fields.get("id", self.last_id)
        self.beats += block.startswith(": ")
        if fields.get("event") == "resync":
            self.resynced = True
        elif "data" in fields:
            self.seqs.append(json.loads(fields["data"])["seq"])

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self._chunks.aclose()


async def until(true: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  what we wait for is another task's doing
            await asyncio.sleep(0.005)


@pytest.fixture
def feed() -> ListFeed:
    return ListFeed()


@pytest.fixture
async def hub(feed: ListFeed) -> AsyncIterator[EventHub]:
    hub = EventHub(
        MemoryDatabase(), feed, Metrics(), poll_s=0.01, remembered=100, heartbeat_s=0.05,
        most_viewers=1200,
    )  # fmt: skip
    yield hub
    await hub.close()


async def test_a_viewer_sees_what_happens_from_now_on(hub: EventHub, feed: ListFeed):
    feed.seal(TENANT, 10)
    viewer = Viewer(hub.stream(TENANT, "", ()))
    await asyncio.sleep(0.05)
    feed.seal(TENANT, 3)
    feed.seal("other", 5)
    await until(lambda: len(viewer.seqs) == 3)
    assert (viewer.seqs, viewer.last_id) == ([11, 12, 13], "13")
    await viewer.leave()


async def test_a_viewer_that_comes_back_misses_nothing(hub: EventHub, feed: ListFeed):
    feed.seal(TENANT, 1700)
    viewer = Viewer(hub.stream(TENANT, "3", ()))
    await until(lambda: len(viewer.seqs) == 1697)
    feed.seal(TENANT, 5)
    await until(lambda: len(viewer.seqs) == 1702)
    assert viewer.seqs == list(range(4, 1706))
    await viewer.leave()


@pytest.mark.parametrize("last_id", ["8", "-1", "x", "9" * 30, "１"])
async def test_an_id_that_is_not_ours_means_read_everything_anew(
    hub: EventHub, feed: ListFeed, last_id: str
):
    feed.seal(TENANT, 7)
    viewer = Viewer(hub.stream(TENANT, last_id, ()))
    await until(lambda: viewer.resynced)
    assert (viewer.seqs, viewer.last_id) == ([], "7")
    await viewer.leave()


async def test_a_filter_moves_the_id_past_what_it_drops(hub: EventHub, feed: ListFeed):
    feed.seal(TENANT, 1)
    viewer = Viewer(hub.stream(TENANT, "0", ("ledger.*",)))
    feed.seal(TENANT, 2, "ledger.corrected")
    feed.seal(TENANT, 4)
    await until(lambda: viewer.last_id == "7")
    assert viewer.seqs == [2, 3]
    await viewer.leave()


async def test_silence_is_filled_with_heartbeats(hub: EventHub):
    viewer = Viewer(hub.stream(TENANT, "", ()))
    await until(lambda: viewer.beats >= 2)
    assert viewer.seqs == []
    await viewer.leave()


async def test_a_thousand_viewers_share_one_reader(hub: EventHub, feed: ListFeed):
    feed.seal(TENANT, 1)
    viewers = [Viewer(hub.stream(TENANT, "", ())) for _ in range(1000)]
    await asyncio.sleep(0.2)
    before = feed.reads
    for _ in range(5):
        feed.seal(TENANT, 10)
        await asyncio.sleep(0.03)
    await until(lambda: all(len(v.seqs) == 50 for v in viewers), 10)
    assert feed.reads - before <= 10
    await asyncio.gather(*(v.leave() for v in viewers))


async def test_a_slow_viewer_is_served_from_the_log(hub: EventHub, feed: ListFeed):
    chunks = hub.stream(TENANT, "", ())
    assert await anext(chunks) == b"retry: 2000\n\n"
    other = Viewer(hub.stream(TENANT, "", ()))
    await asyncio.sleep(0.02)
    feed.seal(TENANT, 500)
    await until(lambda: len(other.seqs) == 500)
    slow = Viewer(chunks)
    await until(lambda: len(slow.seqs) == 500)
    assert slow.seqs == list(range(1, 501))
    await slow.leave()
    await other.leave()


async def test_a_viewer_that_hangs_up_is_let_go(hub: EventHub):
    sent: list[dict[str, Any]] = []
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    carrying = asyncio.ensure_future(send_stream(receive, send, hub.stream(TENANT, "", ())))
    await until(lambda: len(sent) >= 2)
    assert (b"x-accel-buffering", b"no") in sent[0]["headers"]
    gone.set()
    async with asyncio.timeout(2):
        await carrying


@pytest.mark.engine
async def test_events_over_a_real_socket(house: House):
    app = create_app(house.services)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, lifespan="off", log_config=None, ws="none"
    )  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.ensure_future(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with (
        aiohttp.ClientSession(headers=house.bearer) as session,
        session.get(f"{url}/v1/events?kinds=payment.*&last_event_id=0") as stream,
    ):
        assert stream.content_type == "text/event-stream"
        assert await stream.content.readline() == b"retry: 2000\n"
        headers = {"idempotency-key": "e-1"}
        paid = await session.post(f"{url}/v1/payments", json=house.order(), headers=headers)
        assert paid.status == 202
        await house.services.sealer.run_once()
        async with asyncio.timeout(10):
            while not (line := await stream.content.readline()).startswith(b"data: "):
                pass
        assert json.loads(line[6:])["kind"] == "payment.created"
    await app.close()
    server.should_exit = True
    await serving
