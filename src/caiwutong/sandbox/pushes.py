"""What the network tells the hub on its own: kept, delivered at least once, given up at a bound.

A push is written beside the centre's records in the same transaction as the fact it tells, like a
message in a queue (MQ) that survives a killed process. It is posted until the hub answers 2xx.
While the hub cannot be reached nothing is lost and nothing is overtaken. A push the hub refuses
(4xx), or fails at again and again (5xx), is laid aside at a bound, where people can count it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from typing import NamedTuple

import aiohttp

from caiwutong.sandbox.centre import Centre
from caiwutong.sandbox.commits import Commits

REFUSED_TRIES = 8
"""Answers 4xx to one message: about nine seconds."""
FAILED_TRIES = 150
"""Answers 5xx, which a hub without its database gives: about five minutes."""
UNREACHABLE_TRIES = 20_000
"""At two seconds each: about eleven hours of a hub that is down."""
GLUED_FRAMES = 50
GLUED_BYTES = 900_000
SIDE_BY_SIDE = 8
"""Messages that cannot be glued and are posted at the same time; their order is not kept."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pushes (
  push INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, body BLOB NOT NULL,
  glue INTEGER NOT NULL, given_up INTEGER NOT NULL DEFAULT 0)
"""
_log = logging.getLogger("caiwutong.sandbox")


class Push(NamedTuple):
    """One message on its way to the hub."""

    push: int
    path: str
    body: bytes
    glue: bool
    """Whether it may travel in one request with its neighbours, end to end."""


class Pushes:
    """Delivers in order within each path; paths do not wait for each other."""

    def __init__(self, centre: Centre, commits: Commits, hub_url: str) -> None:
        """``hub_url``: where the hub listens, like ``http://127.0.0.1:8700``; empty keeps all
        pushes until one is set."""
        self._centre = centre
        self._commits = commits
        self.hub_url = hub_url.rstrip("/")
        self.delivered = 0
        self._queues: dict[str, deque[Push]] = {}
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._wake: dict[str, asyncio.Event] = {}
        self._session: aiohttp.ClientSession | None = None
        centre.write(_SCHEMA)
        centre.commit()
        for row in centre.read("SELECT push, path, body, glue FROM pushes WHERE given_up = 0"):
            self._enqueue(Push(*row))

    def put(self, path: str, body: bytes, *, glue: bool = False) -> None:
        """Tell the hub, at this path. Durable with the next commit of the centre."""
        done = self._centre.write(
            "INSERT INTO pushes (path, body, glue) VALUES (?,?,?)", path, body, glue
        )
        self._enqueue(Push(int(done.lastrowid or 0), path, body, glue))

    def waiting(self) -> int:
        """How many pushes are not delivered yet."""
        return sum(len(queue) for queue in self._queues.values())

    def given_up(self) -> int:
        """How many pushes the hub would not take."""
        return int(self._centre.read("SELECT count(*) FROM pushes WHERE given_up = 1")[0][0])

    def _enqueue(self, push: Push) -> None:
        self._queues.setdefault(push.path, deque()).append(push)
        self._wake.setdefault(push.path, asyncio.Event()).set()
        if self._session is not None and push.path not in self._lanes:
            self._lanes[push.path] = asyncio.create_task(self._deliver(push.path))

    async def start(self) -> None:
        """Begin to deliver."""
        timeout = aiohttp.ClientTimeout(total=30)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        for path in self._queues:
            self._lanes[path] = asyncio.create_task(self._deliver(path))

    async def stop(self) -> None:
        """Stop delivering; what waits stays written."""
        for lane in self._lanes.values():
            lane.cancel()
        for lane in self._lanes.values():
            with contextlib.suppress(asyncio.CancelledError):
                await lane
        self._lanes.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _deliver(self, path: str) -> None:
        queue, wake = self._queues[path], self._wake[path]
        while True:
            wake.clear()
            while queue:
                await self._commits.durable()
                batch = _batch(queue)
                if batch[0].glue:
                    await self._post_glued(path, batch)
                else:
                    await asyncio.gather(*(self._post_until_taken(path, push) for push in batch))
                for push in batch:
                    queue.popleft()
                    self._done(push)
            await wake.wait()

    def _done(self, push: Push) -> None:
        self._centre.write("DELETE FROM pushes WHERE push = ? AND given_up = 0", push.push)
        self.delivered += 1

    async def _post_glued(self, path: str, batch: list[Push]) -> None:
        """Post them in one request. When that is refused they go message by message, so that one
        bad message does not hold back the others."""
        tries = failed = 0
        while True:
            status = await self._post(path, b"".join(push.body for push in batch))
            if 200 <= status < 300:
                return
            tries += 1
            failed += status >= 500
            if 300 <= status < 500 or failed >= FAILED_TRIES:
                for push in batch:
                    await self._post_until_taken(path, push)
                return
            await asyncio.sleep(_pause_s(tries))

    async def _post_until_taken(self, path: str, push: Push) -> None:
        """Post one message until the hub takes it, or give it up at the bound."""
        tries = refused = failed = 0
        while True:
            status = await self._post(path, push.body)
            if 200 <= status < 300:
                return
            tries += 1
            failed += status >= 500
            refused += 300 <= status < 500
            if refused >= REFUSED_TRIES or failed >= FAILED_TRIES or tries >= UNREACHABLE_TRIES:
                _log.warning("push %s to %s is given up (HTTP %s)", push.push, path, status)
                self._centre.write("UPDATE pushes SET given_up = 1 WHERE push = ?", push.push)
                return
            await asyncio.sleep(_pause_s(tries))

    async def _post(self, path: str, body: bytes) -> int:
        """The HTTP status, or 0 when the hub could not be reached or did not answer."""
        if self._session is None or not self.hub_url:
            return 0
        try:
            async with self._session.post(self.hub_url + path, data=body) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0


def _pause_s(tries: int) -> float:
    return min(2.0, 0.05 * 2 ** min(tries, 6))


def _batch(queue: deque[Push]) -> list[Push]:
    first = queue[0]
    if not first.glue:
        alone = itertools.takewhile(lambda push: not push.glue, queue)
        return list(itertools.islice(alone, SIDE_BY_SIDE))
    batch: list[Push] = []
    size = 0
    for push in queue:
        size += len(push.body)
        if not push.glue or len(batch) == GLUED_FRAMES or (batch and size > GLUED_BYTES):
            break
        batch.append(push)
    return batch
