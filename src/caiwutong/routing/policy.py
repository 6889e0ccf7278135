"""Routing rules as data: what each profile weighs, what is excluded, how far one may explore.

A policy is a JSON value (``read_policy``), so it can be replayed over recorded traffic, shadowed
and put beside another before it decides anything. The weights say how many units of loss one
*unit* of each measure costs; the units make the four comparable and are part of the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.routing.model import Profile


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Loss of one unit of each measure. Every weight is above zero: a candidate that is worse in
    something and better in nothing can then never be picked."""

    failure: float = 4.0
    arrival: float = 2.0
    fee: float = 1.0
    freeze: float = 3.0


class Units(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as one unit."""

    failure: float = 0.01
    """Probability: one payment in a hundred."""
    arrival: float = 1.0
    """Decades of seconds: ten times later is one unit, from two seconds as from two hours."""
    fee_fen: float = 500.0
    """Five yuan, the lowest step of the corporate tariff (发改价格〔2014〕268号)."""
    freeze: float = 0.01


class Exploration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a way that is little known gets a chance (探索), and where it never does."""

    share: float = 0.05
    """At most this share of the payments that may be used for it."""
    up_to_fen: int = 50_000_00
    """Never with a larger payment, never with an urgent one, never with a second try."""
    optimism: float = 1.5
    """How many standard deviations the unknown is given the benefit of."""
    most_risk: float = 0.03
    """Never a way that is expected to fail so much more often than the surest one."""
    most_extra_failures: float = 5.0
    """Guard rail (护栏): exploring stops while its tries failed so many more times than expected,
    counted with the beliefs' own decay."""


_WEIGHTS = {
    Profile.URGENT: Weights(arrival=6.0),
    Profile.NORMAL: Weights(),
    Profile.CHEAPEST: Weights(arrival=0.5, fee=8.0),
}


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules of routing (路由规则)."""

    name: str = "house"
    weights: Mapping[Profile, Weights] = msgspec.field(default_factory=lambda: dict(_WEIGHTS))
    units: Units = Units()
    excluded: tuple[str, ...] = ()
    """Rails, modes or ``mode@bank`` never to be used: ``bank_file``, ``bank_direct/ibps@308``."""
    exploration: Exploration = Exploration()
    large_fen: int = 200_000_00
    """From here on what is unknown counts against a way: the freeze risk is taken at its mean plus
    ``caution`` standard deviations."""
    caution: float = 1.0
    breaker: float = 0.5
    """A way is left out while it is at least this probable that it is down (熔断)."""


HOUSE = Policy()


def read_policy(path: Path) -> Policy:
    """The policy in a JSON file; fields left out have the house's values."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise Refused(
            "routing.policy_unreadable", f"{path} cannot be read: {error.strerror}.", "Name a file."
        ) from error
    return parse_policy(raw)


def parse_policy(raw: bytes) -> Policy:
    """The policy in this JSON. Raises Refused with what is wrong."""
    try:
        policy = msgspec.json.decode(raw, type=Policy)
    except msgspec.DecodeError as error:
        raise Refused(
            "routing.policy_malformed",
            f"This is not a routing policy: {error}.",
            "See docs/routing.md for the fields and their meaning.",
        ) from error
    wrong = _wrong(policy)
    if wrong:
        raise Refused("routing.policy_value", wrong, "See docs/routing.md for what is allowed.")
    missing = {p: w for p, w in HOUSE.weights.items() if p not in policy.weights}
    return msgspec.structs.replace(policy, weights=dict(policy.weights) | missing)


def _wrong(policy: Policy) -> str:
    for profile, weights in policy.weights.items():
        for name, value in msgspec.structs.asdict(weights).items():
            if not 0 < value < 1e6:
                return f"Weight {name} of {profile} is {value}; it must be above 0 and below 1e6."
    for name, value in msgspec.structs.asdict(policy.units).items():
        if not 0 < value < 1e9:
            return f"Unit {name} is {value}; it must be above 0."
    if not 0 <= policy.exploration.share <= 0.1:
        return f"Exploration share {policy.exploration.share} is outside 0 to 0.1."
    if policy.exploration.optimism < 0 or policy.caution < 0:
        return "Optimism and caution may not be below 0."
    if not 0 < policy.breaker < 1:
        return f"Breaker {policy.breaker} is not a probability."
    return ""
