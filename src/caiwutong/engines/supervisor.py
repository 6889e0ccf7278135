"""Keeps child processes alive, and ends them with the house.

Owns their order; knows nothing of PostgreSQL or NATS. It promises:

- ``start`` returns when each child answers its own ready probe, or says why it does not.
- A child that ends is started again.
- ``stop`` ends children in reverse order of their start, each the way it likes to be ended.
- A child has no life of its own, not even after ``kill -9`` of this process.

Read next: ``child.py`` for the life of one child; ``instance.py`` for the engines together.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from caiwutong.engines.child import Child, Health, ProcessSpec, State, trim

__all__ = ["Health", "ProcessSpec", "State", "Supervisor", "until_told_to_stop"]

HOUSEKEEPING_S = 60.0


class Supervisor:
    """Some children, started one after the other and stopped in reverse.

    ``log_dir`` receives ``<name>.log`` for each. ``keep_open`` is a file descriptor the guardians
    hold until their child is gone (the instance lock). ``on_health`` hears every change of state.
    """

    def __init__(
        self,
        log_dir: Path,
        *,
        keep_open: int | None = None,
        on_health: Callable[[Health], None] | None = None,
    ) -> None:
        self._log_dir = log_dir
        self._keep_open = keep_open
        self._on_health = on_health
        self._children: list[Child] = []
        self._housekeeping: asyncio.Task[None] | None = None

    async def start(self, *specs: ProcessSpec) -> None:
        """Start each and wait until it is ready, in this order; more may be added later.

        Raises ``Unavailable`` (``engines.not_started``) with the end of the child's log; those
        started before stay, until ``stop``.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._housekeeping is None:
            self._housekeeping = asyncio.create_task(self._trim_logs())
        for spec in specs:
            child = Child(
                spec, self._log_dir / f"{spec.name}.log", self._keep_open, self._on_health
            )
            self._children.append(child)
            await child.start()

    async def stop(self) -> None:
        """End every child, the youngest first. Safe to call twice."""
        while self._children:
            await self._children[-1].stop()
            self._children.pop()
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            self._housekeeping = None

    def health(self) -> list[Health]:
        """Every child as it stands now, in order of start."""
        return [child.health for child in self._children]

    async def _trim_logs(self) -> None:
        while True:
            for child in self._children:
                trim(child.log_path)
            await asyncio.sleep(HOUSEKEEPING_S)


async def until_told_to_stop() -> str:
    """Wait for SIGINT (Ctrl-C) or SIGTERM; returns the name of the one that came."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    def hear(name: str) -> None:
        if not told.done():
            told.set_result(name)

    both = (signal.SIGINT, signal.SIGTERM)
    for number in both:
        loop.add_signal_handler(number, hear, number.name)
    try:
        return await told
    finally:
        for number in both:
            loop.remove_signal_handler(number)
