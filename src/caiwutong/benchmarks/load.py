"""Load over HTTP: ``wrk`` where this machine has it, else a generator of our own.

Both send requests that were signed beforehand. ``wrk`` runs for a time and cuts off what is under
way at its end; our own also sends an exact number and waits for every answer.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httptools
import msgspec

from caiwutong.benchmarks.results import Latency, latency_of
from caiwutong.kernel.errors import Broken

THREADS = 2
_SCRIPT = Path(__file__).with_name("wrk.lua")


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    generator: str
    answers: int
    """Complete answers of any status."""
    refused: int
    """Answers of status 400 and above."""
    broken: int
    """Connections that failed, and answers that came too late."""
    seconds: float
    latency: Latency
    cut_off: int
    """Requests whose answer nobody waited for, at most."""

    @property
    def accepted(self) -> int:
        return self.answers - self.refused


class _WrkSaid(msgspec.Struct, frozen=True):
    answers: int
    seconds: float
    mean_ms: float
    p50_ms: float
    p99_ms: float
    refused: int
    broken: int


def has_wrk() -> bool:
    """Whether the usual load generator is on this machine."""
    return shutil.which("wrk") is not None


def write_requests(path: Path, requests: Iterator[bytes], count: int) -> None:
    """``count`` requests, shared out among the threads of ``wrk``: ``path.1``, ``path.2``."""
    for thread in range(1, THREADS + 1):
        with path.with_name(f"{path.name}.{thread}").open("wb") as file:
            for _ in range(-(-count // THREADS)):
                request = next(requests)
                file.write(b"%06d" % len(request) + request)


async def run_wrk(url: str, path: Path, connections: int, seconds: float) -> Load:
    """Send what ``write_requests`` wrote, over so many connections, for so long."""
    wrk = shutil.which("wrk")
    assert wrk is not None
    process = await asyncio.create_subprocess_exec(
        wrk, f"-t{THREADS}", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout=10s",
        "--latency", f"-s{_SCRIPT}", url, "--", str(path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    _, found, result = out.decode(errors="replace").partition("\nRESULT ")
    if not found:
        raise Broken("bench.wrk", f"wrk said: {out[-500:]!r}", "Read its words.")
    said = msgspec.json.decode(result.strip(), type=_WrkSaid)
    return Load(
        generator="wrk",
        answers=said.answers,
        refused=said.refused,
        broken=said.broken,
        seconds=said.seconds,
        latency=Latency(said.mean_ms, said.p50_ms, said.p99_ms),
        cut_off=connections,
    )


async def run_own(
    host: str,
    port: int,
    requests: Iterator[bytes],
    connections: int,
    *,
    seconds: float = float("inf"),
    count: int = 2**62,
) -> Load:
    """Send for so long, or so many, and wait for every answer."""
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    source = _Source(requests, start + seconds, count)
    talks = [_Talk(source) for _ in range(connections)]
    for talk in talks:
        await loop.create_connection(talk.itself, host, port)
    for talk in talks:
        talk.begin()
    await asyncio.gather(*(talk.over for talk in talks))
    took = [each for talk in talks for each in talk.took]
    return Load(
        generator="own (asyncio, httptools)",
        answers=len(took),
        refused=sum(talk.refused for talk in talks),
        broken=sum(talk.broken for talk in talks),
        seconds=time.perf_counter() - start,
        latency=latency_of(took) or Latency(0, 0, 0),
        cut_off=0,
    )


class _Source:
    """Hands out requests until time or number is up."""

    def __init__(self, requests: Iterator[bytes], until: float, count: int) -> None:
        self._requests, self._until, self._left = requests, until, count

    def next(self) -> bytes | None:
        if self._left <= 0 or time.perf_counter() >= self._until:
            return None
        self._left -= 1
        return next(self._requests)


class _Talk(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._sent_at = 0.0
        self._waiting = False
        self.took: list[float] = []
        self.refused = self.broken = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def itself(self) -> _Talk:
        """For asyncio, which wants a factory."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def begin(self) -> None:
        """Send the first request."""
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._waiting = False
        self.took.append(time.perf_counter() - self._sent_at)
        self.refused += self._parser.get_status_code() >= 400
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.broken += self._waiting
        if not self.over.done():
            self.over.set_result(None)

    def _send(self) -> None:
        assert self._transport is not None
        request = self._source.next()
        if request is None:
            self._transport.close()
            return
        self._waiting, self._sent_at = True, time.perf_counter()
        self._transport.write(request)
