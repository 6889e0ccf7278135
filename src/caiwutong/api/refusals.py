"""Refused requests in the audit log, without letting a flood fill the disk.

The first refusal of a kind (tenant, code) in a minute is recorded as it is; the ones after it in
that minute are counted and recorded as one. Each is counted in the metrics.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from caiwutong.audit.model import HOUSE
from caiwutong.audit.service import Audit
from caiwutong.kernel.errors import CaiwutongError, Refusal
from caiwutong.telemetry import Metrics

log = logging.getLogger(__name__)

WINDOW_S = 60.0
_MOST_KINDS = 2000
ACT = "api.request"

_Kind = tuple[str, str]


class RefusalLog:
    """Notes refusals of requests; ``close`` writes down what was only counted so far."""

    def __init__(self, audit: Audit, metrics: Metrics, window_s: float = WINDOW_S) -> None:
        self._audit = audit
        self._metrics = metrics
        self._window_s = window_s
        self._more: dict[_Kind, int] = {}
        self._timers: dict[_Kind, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def note(
        self, tenant: str | None, actor: str, what: str, error: CaiwutongError | Refusal
    ) -> None:
        """``what``: the method and address asked for; ``tenant`` None: a stranger."""
        self._metrics.refusals.labels(error.code).inc()
        kind = (tenant or HOUSE, error.code)
        if kind in self._more:
            self._more[kind] += 1
            return
        if len(self._more) >= _MOST_KINDS:
            return
        self._more[kind] = 0
        refusal = error if isinstance(error, Refusal) else error.as_refusal()
        self._begin(self._write(kind, actor, refusal, {"request": what}))
        loop = asyncio.get_running_loop()
        self._timers[kind] = loop.call_later(self._window_s, self._end_window, kind)

    async def close(self) -> None:
        """Write down what was noted and counted, now."""
        for kind in list(self._timers):
            self._end_window(kind)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _end_window(self, kind: _Kind) -> None:
        self._timers.pop(kind).cancel()
        more = self._more.pop(kind)
        if more:
            refusal = Refusal(kind[1], f"{more} more requests were refused for the same reason.")
            self._begin(self._write(kind, "api", refusal, {"count": more}))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(
        self, kind: _Kind, actor: str, refusal: Refusal, facts: dict[str, object]
    ) -> None:
        try:
            await self._audit.record_refusal(kind[0], ACT, refusal, actor=actor, facts=facts)
        except CaiwutongError as error:
            log.warning("a refusal (%s) could not be recorded: %s", kind[1], error)
