"""What the house has learnt of each way, as a value: success, delay, freezes, and what is down.

The rate of failure is a product of factors, each shrunk towards one by a gamma prior (hierarchical
Bayes: 分层贝叶斯收缩):

    failure = prior × channel × bank kind × payee bank × hour × month end × amount band × own way

A factor with ``s`` failures seen where ``e`` were expected is ``(k + s) / (k + e)``: nothing seen
means one, and its relative variance ``1 / (k + s)`` says how little is known. The first three are
nested, each expects what stands above it; the others are crossed, and relative to the channel as a
whole. How far the members of a level differ is itself learnt (empirical Bayes): two shapes ``k``
foretell each outcome, and the better one gets the weight. Counts fade with a half-life, so what
changes is relearnt. Delay is the mean of log seconds, shrunk
from the catalog's expectation over the bank kind to the bank. Freezes are counted by channel and
amount, with a prior that expects almost all bands to be clean and a few to be bad.

*Down* is kept apart from *often failing*: for each (channel, payee bank) and each own way a
two-state chain carries the probability of an outage, raised by failures and silence, lowered by
successes, and drifting back to the long run's share by itself.

Feedback comes late: an accepted payment without an end is OVERDUE and counts half as a freeze until
its end is known; the later observation says ``was_overdue`` and takes that back.

Pure: ``learn`` returns new beliefs. Read next: ``learning.py``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

import msgspec

from caiwutong.kernel.clock import CHINA

BANDS_FEN = (10_000_00, 50_000_00, 100_000_00, 200_000_00, 500_000_00, 1_000_000_00)
"""Upper ends of the amount bands, inclusive; the tariff's steps and the networks' limits are
among them."""

HALF = 3
"""Bands from this one on (above 100,000 CNY) share what is known of freezes."""

DAY_S = 86_400.0

LEVELS = ("channel", "kind", "bank", "hour", "end", "band", "own")
NESTED, _BAND, _OWN = 3, 5, 6
"""The first levels are nested, each expects what stands above it; the others are crossed."""

_FAILURE = {"book": 0.001, "hvps": 0.004, "beps": 0.01, "ibps": 0.02, "bank_file": 0.02}
_FREEZE = dict.fromkeys(_FAILURE, 0.0002)


class Outcome(StrEnum):
    """How a try ended, as far as it says something about the way it went."""

    SUCCESS = "success"
    REJECTED = "rejected"
    """A definite no that is not the payee data's fault; also a doubt that ended in a no."""
    DATA_FAULT = "data_fault"
    """Wrong name, closed account: would fail everywhere, so the way itself worked."""
    OVERDUE = "overdue"
    """Accepted, and long past its time without an end. Provisional: an end follows."""
    FROZEN = "frozen"
    """Held up for days, or returned after it had arrived."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one try."""

    at: datetime
    """When it became known."""
    mode: str
    clearing: str
    bank: str
    payee_bank: str
    payee_kind: str = ""
    amount_fen: int
    outcome: Outcome
    sent_at: datetime
    arrival_s: float | None = None
    """Seconds from sending to the payee's account, where it arrived in the ordinary way."""
    was_overdue: bool = False
    """An OVERDUE observation of the same try went before."""
    explored: bool = False


class Priors(msgspec.Struct, frozen=True):
    """What is assumed before anything is seen (冷启动). Our own cautious guesses, no statistics:
    the first days replace them."""

    failure: Mapping[str, float] = msgspec.field(default_factory=lambda: dict(_FAILURE))
    """By clearing."""
    other_failure: float = 0.02
    freeze: Mapping[str, float] = msgspec.field(default_factory=lambda: dict(_FREEZE))
    other_freeze: float = 0.002
    """A channel that is no clearing system of the central bank's."""
    half_life_days: float = 10.0
    loose: tuple[float, ...] = (1.0, 1.0, 1.6, 4.0, 4.0, 4.0, 4.0)
    """Prior shape of each level in ``LEVELS`` where its members differ; for banks that of a spread
    of 0.7 in the logarithm: 1 / (e^0.49 - 1)."""
    tight: tuple[float, ...] = (1.0, 40.0, 60.0, 120.0, 120.0, 120.0, 120.0)
    """The same where they hardly do. Which of the two holds is learnt for each channel."""
    shape_freeze: float = 0.02
    delay_weight: float = 4.0
    """The catalog's expectation of the delay counts like so many payments."""
    outage_s: float = 7_200.0
    """How long an outage lasts on average."""
    outage_share: float = 0.003
    """Share of time a way is down."""
    down_fails: float = 0.95
    """Probability that a try fails while the way is down."""
    silent_when_up: float = 0.005
    silent_when_down: float = 0.4


class Cell(NamedTuple):
    """A pair of fading counts and when they were last touched (Unix seconds)."""

    s: float
    e: float
    at: float


EMPTY = Cell(0.0, 0.0, 0.0)


class Beliefs(msgspec.Struct, frozen=True):
    """All that is learnt. A value: ``learn`` gives a new one and leaves this as it is."""

    priors: Priors = Priors()
    cells: Mapping[tuple[str, ...], Cell] = msgspec.field(
        default_factory=dict[tuple[str, ...], Cell]
    )
    seen: int = 0


class Learnt(Protocol):
    """Anything that holds priors and cells: beliefs, or a lesson that is still being learnt."""

    @property
    def priors(self) -> Priors: ...
    @property
    def cells(self) -> Mapping[tuple[str, ...], Cell]: ...


class PayeeOutlook(NamedTuple):
    """What to expect of a channel towards one payee bank, at a moment."""

    failure: float
    relative_variance: float
    log_arrival: float | None
    """Mean of ln(1 + seconds); None: never seen, the catalog's expectation stands."""
    log_weight: float
    """How many payments stand behind it."""
    down: float


class BandOutlook(NamedTuple):
    """What to expect of a channel for one amount band: a factor on the failure, freezes."""

    factor: float
    relative_variance: float
    freeze: float
    freeze_sd: float


class OwnOutlook(NamedTuple):
    """What to expect of one of our own ways, whoever is paid."""

    factor: float
    relative_variance: float
    down: float


class Moment(NamedTuple):
    """The parts of a moment that matter to beliefs."""

    at: float
    hour: str
    end: str


def moment(at: datetime) -> Moment:
    """The hour in China, and whether the month is ending (from the 28th on)."""
    local = at.astimezone(CHINA)
    return Moment(at.timestamp(), str(local.hour), "end" if local.day >= 28 else "")


def band_of(amount_fen: int) -> int:
    """The amount band, 0 to 6."""
    return bisect_left(BANDS_FEN, amount_fen)


def fade(beliefs: Beliefs, seconds: float) -> float:
    """What is left of a count after so many seconds."""
    return 1.0 if seconds <= 0 else 0.5 ** (seconds / (beliefs.priors.half_life_days * DAY_S))


def channel_outlook(
    beliefs: Beliefs, clearing: str, now: Moment, trust: tuple[float, ...]
) -> tuple[float, float]:
    """Failure of a channel at this moment whoever is paid, and its relative variance. ``trust``:
    what ``trust_of`` says of the channel."""
    priors, cells = beliefs.priors, beliefs.cells
    days = -1.0 / (priors.half_life_days * DAY_S)
    failure, spread = priors.failure.get(clearing, priors.other_failure), 0.0
    for place, key in (
        (0, ("f", clearing)),
        (3, ("f", clearing, "hour", now.hour)),
        (4, ("f", clearing, "end", now.end)),
    ):
        factor, variance = _factor(cells.get(key), place, priors, trust, now.at, days)
        failure *= factor
        spread += variance
    return failure, spread


def payee_outlook(
    beliefs: Beliefs,
    clearing: str,
    payee_bank: str,
    kind: str,
    now: Moment,
    trust: tuple[float, ...],
    channel: tuple[float, float] | None = None,
) -> PayeeOutlook:
    """What the house believes about this channel towards this payee bank. ``channel``: its
    ``channel_outlook``, where it is known already."""
    priors, cells = beliefs.priors, beliefs.cells
    at = now.at
    days = -1.0 / (priors.half_life_days * DAY_S)
    failure, spread = channel or channel_outlook(beliefs, clearing, now, trust)
    for place, key in (
        (1, ("f", clearing, "kind", kind)),
        (2, ("f", clearing, "bank", payee_bank)),
    ):
        factor, variance = _factor(cells.get(key), place, priors, trust, at, days)
        failure *= factor
        spread += variance
    mean, weight = _log_arrival(beliefs, clearing, payee_bank, kind, at, days)
    gone = down(beliefs, ("d", clearing, payee_bank), at)
    return PayeeOutlook(min(failure, 0.9), spread, mean, weight, gone)


def band_outlook(
    beliefs: Beliefs, clearing: str, band: int, now: Moment, trust: tuple[float, ...]
) -> BandOutlook:
    """What the house believes about this channel for an amount band."""
    priors = beliefs.priors
    days = -1.0 / (priors.half_life_days * DAY_S)
    cell = beliefs.cells.get(("f", clearing, "band", str(band)))
    factor, variance = _factor(cell, _BAND, priors, trust, now.at, days)
    return BandOutlook(factor, variance, *_freeze(beliefs, clearing, band, now.at, days))


def own_outlook(
    beliefs: Beliefs,
    mode: str,
    clearing: str,
    bank: str,
    now: Moment,
    trust: tuple[float, ...],
) -> OwnOutlook:
    """What the house believes about its own mode at this bank of its."""
    priors = beliefs.priors
    days = -1.0 / (priors.half_life_days * DAY_S)
    cell = beliefs.cells.get(("f", mode, "own", bank))
    factor, variance = _factor(cell, _OWN, priors, trust, now.at, days)
    return OwnOutlook(factor, variance, down(beliefs, ("d", mode, "own", bank), now.at))


def trust_of(beliefs: Learnt, clearing: str) -> tuple[float, ...]:
    """How far each level of factors of a channel is trusted to be nearly one (0: its members
    differ widely, 1: hardly), and last the scale of the crossed ones: failures seen over those the
    nested factors expected, so that a scale that was wrong at first does not stick in them."""
    cells, shape = beliefs.cells, beliefs.priors.tight[-1]
    found = [1.0 / (1.0 + math.exp(-cells.get(("k", clearing, n), EMPTY).s)) for n in LEVELS]
    whole = cells.get(("t", clearing), EMPTY)
    return (*found, (shape + whole.s) / (shape + whole.e))


def _factor(
    cell: Cell | None, place: int, priors: Priors, trust: tuple[float, ...], at: float, days: float
) -> tuple[float, float]:
    """A factor and its relative variance: two shapes, weighed by how well each foretold so far."""
    loose, tight, weight = priors.loose[place], priors.tight[place], trust[place]
    if cell is None:
        return 1.0, weight / tight + (1.0 - weight) / loose
    left = 2.0 ** ((at - cell[2]) * days)
    s, e = cell[0] * left, cell[1] * left
    if place >= NESTED:
        e *= trust[-1]
    return (
        weight * (tight + s) / (tight + e) + (1.0 - weight) * (loose + s) / (loose + e),
        weight / (tight + s) + (1.0 - weight) / (loose + s),
    )


def down(beliefs: Beliefs, key: tuple[str, ...], at: float) -> float:
    """The probability that this way is down at this moment."""
    share = beliefs.priors.outage_share
    cell = beliefs.cells.get(key)
    if cell is None:
        return share
    return share + (cell.s - share) * math.exp(-max(0.0, at - cell.at) / beliefs.priors.outage_s)


def _log_arrival(
    beliefs: Beliefs, clearing: str, payee_bank: str, kind: str, at: float, days: float
) -> tuple[float | None, float]:
    cells, base = beliefs.cells, beliefs.priors.delay_weight
    whole = cells.get(("a", clearing, "kind", kind))
    if whole is None:
        return None, 0.0
    left = 2.0 ** ((at - whole.at) * days)
    mean, weight = whole.s / whole.e, whole.e * left
    own = cells.get(("a", clearing, "bank", payee_bank))
    if own is not None:
        left = 2.0 ** ((at - own.at) * days)
        mean = (base * mean + own.s * left) / (base + own.e * left)
    return mean, weight


def _freeze(
    beliefs: Beliefs, clearing: str, band: int, at: float, days: float
) -> tuple[float, float]:
    priors, cells = beliefs.priors, beliefs.cells
    rate = priors.freeze.get(clearing, priors.other_freeze)
    shape = priors.shape_freeze
    known, tries = shape, shape / rate
    for key in (
        ("z", clearing),
        ("z", clearing, "half", "high" if band >= HALF else "low"),
        ("z", clearing, "band", str(band)),
    ):
        cell = cells.get(key, EMPTY)
        left = 2.0 ** ((at - cell.at) * days)
        known, tries = shape + cell.s * left, shape / rate + cell.e * left
        rate = known / tries
    return min(rate, 0.95), math.sqrt(known) / tries
