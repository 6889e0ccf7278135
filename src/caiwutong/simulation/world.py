"""Everything one run is made of, but the processes and people in it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from caiwutong.rails.catalog import shipped
from caiwutong.rails.catalog.model import Open
from caiwutong.simulation.bank import Bank, Channel
from caiwutong.simulation.chance import Chance
from caiwutong.simulation.house import Parts
from caiwutong.simulation.loop import FIRST_MORNING, SimClock, SimLoop
from caiwutong.simulation.network import Network
from caiwutong.simulation.stores import Stores
from caiwutong.simulation.trace import Trace
from caiwutong.simulation.watch import Watch
from caiwutong.vault.service import Vault


class Sleeper(Protocol):
    """A loop that sleeps until its work is due."""

    kind: str

    def work_due(self, at_s: float) -> None: ...


class World:
    """One seed's time, chance, bank, network, tables and watch."""

    def __init__(self, seed: int, parts: Parts) -> None:
        self.seed = seed
        self.parts = parts
        self.trace = Trace()
        self.chance = chance = Chance(seed, self.trace)
        self.loop = SimLoop(chance.loop)
        self.trace.now = self.loop.time
        start = FIRST_MORNING + timedelta(minutes=chance.people.randrange(5 * 24 * 60))
        self.clock = SimClock(self.loop, start)
        self.stores = Stores(self.clock, trusting=parts.trusting)
        self.watch = Watch(self.stores, self.clock, self.trace)
        self.network = Network(self.loop, self.clock, chance, self.trace)
        skew = timedelta(seconds=chance.bank.uniform(-30, 30))
        self.bank = Bank(
            self.loop, self.clock, chance, self.trace, self.network.notify, self.watch, skew
        )
        self.network.bank = self.bank
        self.vault = Vault.in_memory(chance)
        self.database_lock = asyncio.Lock()
        self.channels = _channels(chance)
        self.sleepers: list[Sleeper] = []
        self.our_accounts: dict[UUID, str] = {}
        """Our bank accounts: id → number."""
        self.watch.on_line = lambda: self.work_due("statements", self.loop.time())

    def work_due(self, kind: str, at_s: float) -> None:
        """Tell whoever sleeps until later that this work is due earlier."""
        for sleeper in self.sleepers:
            if sleeper.kind == kind:
                sleeper.work_due(at_s)


def _channels(chance: Chance) -> tuple[Channel, ...]:
    draw = chance.bank
    valid = draw.choice((240.0, 240.0, 1800.0, 3 * 3600.0))
    rounds = draw.choice((60.0, 300.0, 1800.0))
    catalog = shipped()

    def hvps_closed(at: datetime) -> bool:
        return not isinstance(catalog.open_at("hvps", at), Open)

    return (
        Channel("ibps", valid, rounds, 1, True, draw.random() < 0.5),
        Channel("hvps", valid, 0.0, 1, True, draw.random() < 0.5, closed=hvps_closed, queues=True),
        Channel("beps", 2 * valid, 1800.0, 20, True, draw.random() < 0.5, has_quota=True),
        Channel(
            "bank_direct",
            valid,
            0.0,
            draw.choice((1, 5, 20)),
            draw.random() < 0.5,
            draw.random() < 0.5,
            clerk_above_fen=1_000_000_00,
            needs_bank_code=False,
        ),
    )
