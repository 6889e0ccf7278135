"""Trying a policy before it decides everything: shadow (影子运行), and a guarded share (灰度).

In the *shadow* the other policy is asked about each payment and only what it would have chosen is
kept. In a *trial* it decides for a share of the payments, drawn by the payment's own key, so that a
payment stays on its side however often it is asked for. The guard compares how often first tries
fail on both sides and stops the trial by itself once the other side is significantly worse.
Pure: a trial is a value.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime
from math import sqrt

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.routing.beliefs import Beliefs
from caiwutong.routing.decide import Answer, Router
from caiwutong.routing.model import Ask, Candidate, Decision, Profile
from caiwutong.routing.policy import Policy


class Side(msgspec.Struct, frozen=True):
    """What came of one side's payments."""

    tries: int = 0
    failed: int = 0
    frozen: int = 0

    @property
    def bad(self) -> int:
        """Failures and freezes: what the guard watches."""
        return self.failed + self.frozen


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A policy on trial beside the house's."""

    policy: Policy
    share: float
    """Of the payments, 0 to 0.5."""
    up_to_fen: int = 200_000_00
    """Larger payments and urgent ones stay with the house."""
    sigmas: float = 3.0
    """How many standard errors worse it must be to be stopped; looked at after every payment, so
    higher than for one single look."""
    at_least: int = 50
    """Tries on trial before it can be judged."""
    house: Side = Side()
    other: Side = Side()
    stopped: str = ""
    """Why it was stopped; empty while it runs."""


def begin(policy: Policy, share: float) -> Trial:
    """A trial of this policy. Raises Refused for a share that is no trial any more."""
    if not 0.0 < share <= 0.5:
        raise Refused(
            "routing.trial_share",
            f"A trial takes a share above 0 and up to 0.5 of the payments, not {share}.",
            "To use a policy for everything, make it the house's.",
        )
    return Trial(policy=policy, share=share)


def on_trial(trial: Trial, ask: Ask) -> bool:
    """Whether the policy on trial decides about this payment."""
    if trial.stopped or ask.profile is Profile.URGENT or ask.amount_fen > trial.up_to_fen:
        return False
    return zlib.crc32(b"trial:" + ask.key.encode()) / 4_294_967_296.0 < trial.share


def seen(trial: Trial, *, other: bool, failed: bool, frozen: bool = False) -> Trial:
    """The trial after one more first try came to its end on this side."""
    before = trial.other if other else trial.house
    after = Side(before.tries + 1, before.failed + failed, before.frozen + frozen)
    trial = (
        msgspec.structs.replace(trial, other=after)
        if other
        else msgspec.structs.replace(trial, house=after)
    )
    if trial.stopped:
        return trial
    return msgspec.structs.replace(trial, stopped=_verdict(trial))


def _verdict(trial: Trial) -> str:
    ours, theirs = trial.house, trial.other
    if theirs.tries < trial.at_least or not ours.tries:
        return ""
    worse = theirs.bad / theirs.tries - ours.bad / ours.tries
    # Smoothed, so that a side without a failure so far is not taken to be without any.
    pooled = (ours.bad + theirs.bad + 1) / (ours.tries + theirs.tries + 2)
    error = sqrt(pooled * (1.0 - pooled) * (1.0 / ours.tries + 1.0 / theirs.tries))
    if worse <= trial.sigmas * error:
        return ""
    return (
        f"{theirs.bad} of {theirs.tries} first tries under {trial.policy.name} failed or froze, "
        f"beside {ours.bad} of {ours.tries}: {worse / error:.1f} standard errors worse"
    )


class Difference(msgspec.Struct, frozen=True):
    """A payment that another policy would send another way."""

    key: str
    ours: str
    theirs: str
    """Modes; empty where a policy would not send it now."""


def shadow(
    house: Router,
    other: Router,
    asks: Sequence[tuple[Ask, Sequence[Candidate]]],
    beliefs: Beliefs,
    now: datetime,
) -> tuple[list[Answer], list[Difference]]:
    """What the house decides, which is what counts, and where the other would differ."""
    ours = house.decide_many(asks, beliefs, now)
    theirs = other.decide_many(asks, beliefs, now)
    return ours, [
        Difference(ask.key, _mode(a), _mode(b))
        for (ask, _), a, b in zip(asks, ours, theirs, strict=True)
        if _way(a) != _way(b)
    ]


def _way(answer: Answer) -> str:
    return answer.chosen.key if isinstance(answer, Decision) else ""


def _mode(answer: Answer) -> str:
    return answer.chosen.mode if isinstance(answer, Decision) else ""
