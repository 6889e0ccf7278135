"""The words of routing: what is asked, what may carry it, and what was decided with its reasons.

A *candidate* (候选路径) is one of our own accounts on one of its access modes, for ``bank_direct``
with the clearing channel the bank is asked to use. ``decide`` (in ``decide.py``) drops candidates
that cannot carry the payment, keeps the Pareto front (帕累托前沿) of the rest over expected
arrival, probability of success, fee and freeze risk, and lets a profile pick on it. Everything
here is a value: the same ask, candidates, catalog, beliefs, policy and moment give the same
decision.

Read next: ``decide.py``, ``beliefs.py`` (what is learnt), ``policy.py`` (rules as data).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

NIL = UUID(int=0)

BOOK = "book"
"""The clearing of a transfer inside one bank (行内转账): no network is used."""


class Profile(StrEnum):
    """What matters most to the one who pays."""

    URGENT = "urgent"
    NORMAL = "normal"
    CHEAPEST = "cheapest"


class Words(msgspec.Struct, frozen=True):
    """One sentence in both languages of the house."""

    en: str
    zh: str


class Why(msgspec.Struct, frozen=True):
    """Why a candidate was dropped: a code for machines, words for people.

    Codes: ``asked_for``, ``tried``, ``not_connected``, ``permission``, ``compliance``,
    ``excluded``, ``not_this_bank``, ``limit``, ``funds``, ``closed``, ``outage``, ``breaker``,
    ``unknown``.
    """

    code: str
    en: str
    zh: str


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One of our own accounts on one access mode, with what is known of it at this moment."""

    account_id: UUID
    rail: str
    """The access mode: ``ibps``, ``hvps``, ``beps``, ``bank_direct``, ``bank_file`` …"""
    flag: str = ""
    """For ``bank_direct``, the channel asked of the bank: ``hvps``, ``beps``, ``ibps`` or
    ``book``; empty leaves it to the bank."""
    bank: str = ""
    """Our bank, as ``banks.payee_bank`` names it."""
    connected: bool = True
    """Whether this house has a connection for it."""
    barred: Why | None = None
    """Why this account may not pay this (permission or compliance), as others judged."""
    available_fen: int | None = None
    """What the account has; None: the money is held on it already, or there is no question."""
    own_limit_fen: int | None = None
    """The most this account may still pay this way: the bank's own single or daily limit."""

    @property
    def clearing(self) -> str:
        """The system the payment really travels through; what is learnt is kept by it."""
        return self.flag or self.rail

    @property
    def mode(self) -> str:
        """Rail and flag in one word: ``bank_direct/hvps``."""
        return f"{self.rail}/{self.flag}" if self.flag else self.rail

    @property
    def key(self) -> str:
        """What tells one candidate from another."""
        return f"{self.account_id.hex}:{self.mode}"


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A payment that needs a way."""

    key: str
    """The payment's id. It also draws the lot of exploration, so that a decision repeats."""
    amount_fen: int
    payee_bank: str = ""
    """The payee's bank, as ``banks.payee_bank`` names it; empty where it is not known."""
    payee_kind: str = ""
    """What kind of bank that is: ``state``, ``joint_stock``, ``city``, ``rural``; may be empty."""
    profile: Profile = Profile.NORMAL
    asked_for: str = ""
    """A rail or mode asked for by name; empty lets routing choose."""
    tried: tuple[str, ...] = ()
    """Keys of candidates that gave a definite no already."""
    refused: Why | None = None
    """The compliance verdict on the whole payment, where it is no."""
    execute_by: datetime | None = None
    """When the money must have left; None: no such moment."""


class FeeBand(msgspec.Struct, frozen=True):
    """Up to ``up_to_fen`` inclusive (None: without end): flat, plus a share, up to a cap; then the
    discount."""

    up_to_fen: int | None
    flat_fen: int = 0
    rate_ppm: int = 0
    cap_fen: int | None = None
    percent_off: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is publicly known of one mode at one of our banks towards one payee bank, at a moment
    and until ``until``: hours, limits, announced outages, fees, and what to expect of it before
    anything was learnt."""

    until: datetime | None = None
    """The first moment at which this may no longer hold; None: no change in sight."""
    closed: Why | None = None
    """Why it takes no payments now (``closed`` or ``outage``); None: it is open."""
    opens_at: datetime | None = None
    """When it opens again, if closed and known."""
    closes_at: datetime | None = None
    """When it stops taking payments, if open and known."""
    limit_fen: int | None = None
    """The most one payment may carry; None: no limit."""
    limit_inclusive: bool = True
    unknown: Why | None = None
    """A fact without which it must not be used is not known."""
    note: str = ""
    """Why the hours are provisional: a year whose holidays are not known. Empty: certain."""
    fees: tuple[FeeBand, ...] = ()
    typical_seconds: float = 60.0
    """The arrival one would expect before any was seen."""


class Conditions(Protocol):
    """The catalog as routing asks it."""

    def standing(self, mode: str, bank: str, payee_bank: str, at: datetime) -> Standing:
        """What holds for this mode at our ``bank`` towards ``payee_bank`` at this moment."""
        ...


class Score(msgspec.Struct, frozen=True, gc=False):
    """What is expected of one candidate for one payment."""

    arrival_s: float
    """Seconds until the payee has it: the middle of what is expected, waiting included."""
    success: float
    """Probability that the first try ends well."""
    fee_fen: int
    freeze: float
    """Probability that the money is held up for days or comes back (冻结, 退汇)."""
    loss: float
    """All of it weighed by the profile; less is better."""
    unsure: float = 0.0
    """One standard deviation of ``success``: how little is known yet."""


class Considered(msgspec.Struct, frozen=True, omit_defaults=True):
    """One candidate in an explanation."""

    key: str
    rail: str
    flag: str = ""
    bank: str = ""
    dropped: Why | None = None
    score: Score | None = None
    on_front: bool = False
    """Whether no other candidate is at least as good in everything and better in something."""


class Explanation(msgspec.Struct, frozen=True):
    """Why a payment goes the way it goes; what is stored beside its attempt."""

    rail: str
    flag: str
    key: str
    profile: str
    policy: str
    explored: bool
    runner_up: str
    """Key of the second best; empty when there is none."""
    words: Words
    considered: tuple[Considered, ...]
    provisional: str = ""
    """What the decision rests on without being certain: weekdays only, in a year whose holidays
    are not known. Empty: nothing."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The way chosen now. ``explain.explanation`` puts it into words."""

    ask: Ask
    chosen: Candidate
    score: Score
    runner_up: Candidate | None
    candidates: tuple[Candidate, ...]
    scores: tuple[Score | None, ...]
    """In the order of the candidates; None: dropped."""
    dropped: tuple[Why | None, ...]
    explored: bool = False
    send_before: datetime | None = None
    """When the chosen way closes."""
    policy: str = ""
    note: str = ""
    """Why its hours are provisional; empty: they are certain."""

    @property
    def rail(self) -> str:
        return self.chosen.rail

    @property
    def flag(self) -> str:
        return self.chosen.flag


class Later(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing can carry it now; this can, when it opens. Ask again then."""

    ask: Ask
    at: datetime
    candidate: Candidate
    candidates: tuple[Candidate, ...]
    dropped: tuple[Why | None, ...]
    words: Words
    note: str = ""
    """Why that opening is provisional; empty: it is certain."""
