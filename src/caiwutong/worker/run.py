"""The worker process: every background loop of the house, until told to stop."""

from __future__ import annotations

import asyncio

from caiwutong.wiring import Services
from caiwutong.worker.events import event_loops
from caiwutong.worker.loops import all_of
from caiwutong.worker.payments import payment_loops


async def run_worker(services: Services, stop: asyncio.Event) -> None:
    """Run all loops; they end when ``stop`` is set, each after the work it has in hand."""
    await all_of(*payment_loops(services, stop), *event_loops(services, stop))
