"""The world file: every number of a simulated month, and nothing that is drawn by chance.

What is drawn (each bank's own factor, outages, the payments) follows from the file and a seed.
Shares and probabilities are 0 to 1, money is fen, times are China's. A policy never sees this
value; what is public of it (hours, limits, tariffs, announced outages) reaches it as a catalog.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from caiwutong.kernel.errors import Refused

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every part of the file is: closed, so that a misspelt field is found."""


class Traffic(Part, frozen=True):
    """Which payments come, and when."""

    payments: Annotated[int, msgspec.Meta(ge=1, le=5_000_000)]
    urgent_share: Share = 0.10
    batch_share: Share = 0.05
    batch_sizes: tuple[int, int] = (50, 500)
    median_fen: Positive = 8_000_00
    sigma: Positive = 1.9
    peaks: tuple[tuple[str, str], ...] = (("09:30", "11:30"), ("14:00", "16:30"))
    peak_share: Share = 0.75
    off_share: Share = 0.05
    """Share of payments that come at night (20:00–08:00), and weight of a day off beside a working
    day."""
    month_end_factor: Positive = 4.0
    """How much more comes on the last three days of a month."""
    internal: bool = False
    """Payees are the group's own units, at our own banks."""


class Payees(Part, frozen=True):
    """One kind of bank where payees are."""

    kind: str
    banks: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """As ``routing.banks.payee_bank`` names them."""
    share: Share
    """Of the traffic; split between its banks by a falling weight 1, 1/2, 1/3 …"""


class OwnBank(Part, frozen=True):
    """A bank where the group has accounts."""

    bank: str
    accounts: Count
    modes: tuple[str, ...]
    """``bank_direct/book``, ``bank_direct/hvps``, ``ibps``, ``bank_file``, ``third_party`` …"""
    discount_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0


class Arrival(Part, frozen=True):
    """Log-normal seconds until the payee has the money."""

    median_s: Positive
    sigma: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Freeze(Part, frozen=True):
    """Payments above an amount are held up for days."""

    above_fen: Count
    probability: Share
    days: tuple[float, float] = (1.0, 3.0)


class Clearing(Part, frozen=True):
    """One clearing channel: how often it fails, how long it takes. A kind of payee bank that is
    not named has the numbers of ``""``."""

    name: str
    failure: dict[str, Share]
    arrival: dict[str, Arrival]
    bank_sigma: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Spread (of the logarithm) of each payee bank's own factor on the failure."""
    drift_sigma: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """How far that factor moves from week to week."""
    strain_hours: tuple[int, ...] = ()
    strain_factor: Positive = 1.0
    strain_month_end: Positive = 1.0
    """Factor on the failure in the hours of strain: on ordinary days, on the last three days."""
    round_minutes: Count = 0
    """Netted every so many minutes, credited then; 0: at once."""
    at_acceptance_share: Share = 0.0
    """Share of payee banks that credit when they accept, before the round."""
    limit_fen: Count | None = None
    fee_fen: Count | None = None
    """A flat fee; None: the tariff with each bank's discount."""
    working_hours: bool = False
    """Open in the hours of HVPS only."""
    freeze: Freeze | None = None


class Outages(Part, frozen=True):
    """Outages of a channel at one bank, by chance."""

    per_pair_month: Annotated[float, msgspec.Meta(ge=0)] = 1.2
    minutes: tuple[float, float] = (20.0, 240.0)
    announced_share: Share = 0.5
    ahead_hours: Positive = 24.0
    silent_share: Share = 0.1
    """Of the tries during an outage nobody announced, so many get no answer; the rest a no."""


class Maintenance(Part, frozen=True):
    """A stop of a whole channel, announced ahead."""

    clearing: str
    start: datetime
    end: datetime
    announced: datetime


class Silence(Part, frozen=True):
    """A bank that acknowledges and then says nothing more, on these channels."""

    bank: str
    clearings: tuple[str, ...]
    start: datetime
    hours: Positive = 6.0
    executed: Share = 0.3
    """Of what it swallowed, so much turns out to have been executed."""


class Doubt(Part, frozen=True):
    """Submissions whose answer is lost."""

    share: Share = 0.004
    executed: Share = 0.7
    resolved_minutes: tuple[float, float] = (5.0, 40.0)


class Scoring(Part, frozen=True):
    """What a month is judged by: loss = Σ weight × measure / unit. Public: it is the objective."""

    failure: Positive = 4.0
    arrival: Positive = 2.0
    fee: Positive = 1.0
    freeze: Positive = 3.0
    urgent_arrival: Positive = 6.0
    """Weight of arrival for urgent payments."""
    failure_unit: Positive = 0.01
    arrival_unit: Positive = 1.0
    """Decades of seconds: log10(1 + seconds)."""
    fee_unit_fen: Positive = 500.0
    freeze_unit: Positive = 0.01


class World(Part, frozen=True):
    """A month of a group's payments."""

    name: str
    from_day: date
    days: Annotated[int, msgspec.Meta(ge=1, le=366)]
    entities: Annotated[int, msgspec.Meta(ge=1)]
    """Legal entities: each pays from its own accounts only."""
    traffic: Traffic
    payees: Annotated[tuple[Payees, ...], msgspec.Meta(min_length=1)]
    own_banks: Annotated[tuple[OwnBank, ...], msgspec.Meta(min_length=1)]
    clearings: Annotated[tuple[Clearing, ...], msgspec.Meta(min_length=1)]
    outages: Outages = Outages()
    maintenance: tuple[Maintenance, ...] = ()
    silences: tuple[Silence, ...] = ()
    doubt: Doubt = Doubt()
    data_faults: Share = 0.006
    """Wrong names and closed accounts: fail everywhere, reported apart."""
    scoring: Scoring = Scoring()


def read_world(path: Path) -> World:
    """The world in a file. Raises Refused when it is not one, with the field that is wrong."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Refused(
            "bench.world_unreadable", f"{path} cannot be read: {error.strerror}.", "Name a file."
        ) from error
    return parse_world(raw)


def parse_world(raw: bytes) -> World:
    """The world in this JSON."""
    try:
        world = msgspec.json.decode(raw, type=World)
    except msgspec.DecodeError as error:
        raise Refused(
            "bench.world_malformed",
            f"This is not a world of routing: {error}.",
            "See docs/routing.md for the shape, or start from the shipped file.",
        ) from error
    wrong = _wrong(world)
    if wrong:
        raise Refused("bench.world_value", wrong, "Mend the file; see docs/routing.md.")
    return world


def _wrong(world: World) -> str:
    names = [clearing.name for clearing in world.clearings]
    if len(set(names)) < len(names):
        return "Two clearings have the same name."
    kinds = {payees.kind for payees in world.payees}
    for clearing in world.clearings:
        for label, table in (("failure", clearing.failure), ("arrival", clearing.arrival)):
            lacking = "" not in table and sorted(kinds - set(table))
            if lacking:
                return f"Clearing {clearing.name} has no {label} for {lacking[0]} banks."
    for own in world.own_banks:
        for mode in own.modes:
            if mode.rpartition("/")[2] not in names:
                return (
                    f"Mode {mode} of bank {own.bank} travels through a clearing nobody describes."
                )
    banks = [bank for payees in world.payees for bank in payees.banks]
    if len(set(banks)) < len(banks):
        return "A payee bank is named twice."
    lost = [own.bank for own in world.own_banks if own.bank not in banks]
    if lost:
        return f"Own bank {lost[0]} is not among the payees' banks."
    if sum(own.accounts for own in world.own_banks) < world.entities:
        return f"{world.entities} entities need at least as many accounts."
    low, high = world.traffic.batch_sizes
    if not 1 <= low <= high:
        return f"Batch sizes {low} to {high} are not a range."
    if world.outages.minutes[0] > world.outages.minutes[1]:
        return "The shortest outage is longer than the longest."
    return ""
