"""The payments of a world, drawn by seed, and the candidates each may travel by.

What stands here is what a hub is told when an order arrives. The luck of each payment (whether a
given probability of failure strikes it) is drawn with it and kept in ``truth``: every policy meets
the same luck, so that policies differ by what they choose.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from caiwutong.benchmarks.worlds.model import World
from caiwutong.kernel.business_days import default_calendar
from caiwutong.kernel.clock import CHINA
from caiwutong.routing.model import Candidate

SMALLEST_FEN = 1_00
LARGEST_FEN = 5_000_000_000_00


class Payment(NamedTuple):
    """One order."""

    number: int
    at: float
    """Unix seconds."""
    amount_fen: int
    entity: int
    payee_bank: str
    payee_kind: str
    urgent: bool


def payments(world: World, seed: int) -> list[Payment]:
    """All orders in the order of their arrival."""
    rng = random.Random(f"traffic:{seed}")
    traffic = world.traffic
    singles = round(traffic.payments * (1 - traffic.batch_share))
    times = _Times(world, rng)
    drawn: list[tuple[float, int]] = [(times.draw(), -1) for _ in range(singles)]
    left = traffic.payments - singles
    while left > 0:
        size = min(left, rng.randint(*traffic.batch_sizes))
        at, entity = times.draw(), rng.randrange(world.entities)
        drawn += [(at, entity)] * size
        left -= size
    drawn.sort()
    banks, kinds, weights = _payees(world)
    places = rng.choices(range(len(banks)), weights, k=len(drawn))
    middle = math.log(traffic.median_fen)
    found: list[Payment] = []
    for number, ((at, entity), place) in enumerate(zip(drawn, places, strict=True)):
        amount = round(math.exp(rng.gauss(middle, traffic.sigma)))
        found.append(
            Payment(
                number,
                at,
                min(max(amount, SMALLEST_FEN), LARGEST_FEN),
                rng.randrange(world.entities) if entity < 0 else entity,
                banks[place],
                kinds[place],
                rng.random() < traffic.urgent_share,
            )
        )
    return found


def _payees(world: World) -> tuple[list[str], list[str], list[float]]:
    banks: list[str] = []
    kinds: list[str] = []
    weights: list[float] = []
    for payees in world.payees:
        falling = [1.0 / (1 + place) for place in range(len(payees.banks))]
        for bank, weight in zip(payees.banks, falling, strict=True):
            banks.append(bank)
            kinds.append(payees.kind)
            weights.append(payees.share * weight / sum(falling))
    return banks, kinds, weights


class _Times:
    """Draws moments: busy days and hours more often."""

    def __init__(self, world: World, rng: random.Random) -> None:
        traffic = world.traffic
        self._rng = rng
        calendar = default_calendar()
        self._days = [world.from_day + timedelta(days=n) for n in range(world.days)]
        self._weights: list[float] = []
        for day in self._days:
            weight = 1.0 if calendar.is_working(day) else traffic.off_share
            self._weights.append(weight * (traffic.month_end_factor if month_end(day) else 1.0))
        rest = max(0.0, 1.0 - traffic.peak_share - traffic.off_share)
        spans = [(_minutes(a), _minutes(b)) for a, b in traffic.peaks]
        wide = sum(b - a for a, b in spans) or 1
        self._spans = [(a, b) for a, b in spans] + [(8 * 60, 20 * 60), (0, 8 * 60), (20 * 60, 1440)]
        self._shares = [traffic.peak_share * (b - a) / wide for a, b in spans]
        self._shares += [rest, traffic.off_share * 2 / 3, traffic.off_share / 3]

    def draw(self) -> float:
        (day,) = self._rng.choices(self._days, self._weights)
        ((start, end),) = self._rng.choices(self._spans, self._shares)
        minutes = self._rng.uniform(start, end)
        return datetime(day.year, day.month, day.day, tzinfo=CHINA).timestamp() + 60 * minutes


def month_end(day: date) -> bool:
    """Whether it is one of the last three days of its month."""
    return (day + timedelta(days=3)).month != day.month


def _minutes(text: str) -> float:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes or 0)


class Ways:
    """The candidates of each entity: its own accounts on their modes."""

    def __init__(self, world: World, seed: int) -> None:
        rng = random.Random(f"accounts:{seed}")
        seats = [own for own in world.own_banks for _ in range(own.accounts)]
        # Dealt like cards, so that an entity's accounts stand at different banks where they can.
        order = list(range(world.entities))
        rng.shuffle(order)
        self._accounts: list[list[Candidate]] = [[] for _ in range(world.entities)]
        for number, own in enumerate(seats):
            self._accounts[order[number % world.entities]] += [
                Candidate(
                    account_id=UUID(int=number + 1), rail=rail, flag=flag, bank=own.bank
                )
                for rail, _, flag in (mode.partition("/") for mode in own.modes)
            ]  # fmt: skip
        self._of: dict[tuple[int, str], Sequence[Candidate]] = {}

    def of(self, entity: int, payee_bank: str) -> Sequence[Candidate]:
        """What may carry a payment of this entity to that bank; the same object each time."""
        found = self._of.get((entity, payee_bank))
        if found is None:
            found = self._of[(entity, payee_bank)] = tuple(
                way
                for way in self._accounts[entity]
                if way.clearing != "book" or way.bank == payee_bank
            )
        return found
