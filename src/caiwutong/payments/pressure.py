"""Back-pressure (限流): when more is due than gets out, new orders are told to come later.

Promises: an order that is turned away changed nothing and keeps its key; the question costs no
database in the caller's way (what is due is looked at in the background, and counted no further
than the bound); urgent orders, which overtake the backlog anyway, are taken until it is twice as
long. The queue of requests in memory has a bound of its own: see ``api/batching``.
"""

from __future__ import annotations

import asyncio
import logging

from caiwutong.db.database import Database
from caiwutong.kernel.clock import Clock, monotonic
from caiwutong.kernel.errors import CaiwutongError, Unavailable
from caiwutong.payments.model import Task
from caiwutong.payments.store import PaymentStore

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
_LONGEST_WAIT_S = 60
_URGENT_TIMES = 2


class Pressure:
    """Knows how much is due for each tenant, a moment ago."""

    def __init__(
        self, database: Database, store: PaymentStore, clock: Clock, *, longest_backlog: int
    ) -> None:
        """``longest_backlog``: with so many due payments waiting, no more are taken in."""
        self._database = database
        self._store = store
        self._clock = clock
        self._bound = longest_backlog
        self._due: dict[str, int] = {}
        self._looked_at: dict[str, float] = {}
        self._looks: dict[str, asyncio.Task[None]] = {}

    def check(self, tenant: str, *, urgent: bool = False) -> None:
        """Let an order pass, or raise Unavailable with when to come again."""
        at = self._looked_at.get(tenant)
        if (at is None or monotonic() - at >= LOOK_EVERY_S) and tenant not in self._looks:
            self._looks[tenant] = asyncio.ensure_future(self._look_and_go_on(tenant))
        due = self._due.get(tenant, 0)
        bound = self._bound * _URGENT_TIMES if urgent else self._bound
        if due >= bound:
            wait = min(_LONGEST_WAIT_S, 5 + 30 * (due - bound) // max(bound, 1))
            raise Unavailable(
                "payments.backlog",
                f"{due} payments are due and not yet sent.",
                f"Nothing was done; send it again with the same idempotency key in {wait} s.",
                retry_after_s=wait,
            )

    async def look(self, tenant: str) -> int:
        """Count what is due now; no further than is needed to turn everybody away."""
        async with self._database.transaction() as tx:
            now = self._clock.now()
            most = self._bound * _URGENT_TIMES
            due = await self._store.due_up_to(tx, tenant, Task.DISPATCH, now, most)
        self._due[tenant], self._looked_at[tenant] = due, monotonic()
        return due

    async def _look_and_go_on(self, tenant: str) -> None:
        try:
            await self.look(tenant)
        except CaiwutongError as error:
            # Not knowing is no reason to turn orders away: the database will say so itself.
            self._looked_at[tenant] = monotonic()
            log.warning("what is due could not be counted: %s", error)
        finally:
            del self._looks[tenant]
