"""Refused requests in the audit log, without letting a flood fill the disk.

The first refusal of a kind (tenant, code) in a minute is recorded as it is; the ones after it in
that minute are counted and recorded as one. Each is counted in the metrics.
"""

from __future__ import annotations

import asyncio
import logging

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
        task = asyncio.ensure_future(self._record(kind, actor, what, refusal))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Write down what was counted, now."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for kind in list(self._more):
            await self._write_counted(kind)

    async def _record(self, kind: _Kind, actor: str, what: str, refusal: Refusal) -> None:
        await self._write(kind, actor, refusal, {"request": what})
        await asyncio.sleep(self._window_s)
        await self._write_counted(kind)

    async def _write_counted(self, kind: _Kind) -> None:
        more = self._more.pop(kind, 0)
        if more:
            refusal = Refusal(kind[1], f"{more} more requests were refused for the same reason.")
            await self._write(kind, "api", refusal, {"count": more})

    async def _write(
        self, kind: _Kind, actor: str, refusal: Refusal, facts: dict[str, object]
    ) -> None:
        try:
            await self._audit.record_refusal(kind[0], ACT, refusal, actor=actor, facts=facts)
        except CaiwutongError as error:
            log.warning("a refusal (%s) could not be recorded: %s", kind[1], error)
