"""Chooses the channel of a payment among those its account can use, and says why.

Candidates are the access modes of the paying account; hard filters drop those that cannot carry the
payment; the first that is left wins, in the order the account lists them. Every decision keeps its
explanation: what was considered and why each was dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.money import yuan
from caiwutong.rails.catalog import Catalog, within


class Considered(msgspec.Struct, frozen=True):
    """One candidate, and why it was dropped (empty: it could carry the payment)."""

    rail: str
    dropped: str = ""


class Route(msgspec.Struct, frozen=True):
    """The channel chosen, with its explanation."""

    rail: str
    considered: tuple[Considered, ...]


def choose(
    access_modes: Sequence[str],
    connected: Collection[str],
    amount_fen: int,
    at: datetime,
    catalog: Catalog,
    asked_for: str = "",
) -> Route | Refusal:
    """The route of a payment at a moment, by the facts known, or why no channel can carry it."""
    considered = tuple(
        Considered(rail, _why_not(rail, connected, amount_fen, at, catalog, asked_for))
        for rail in access_modes
    )
    for candidate in considered:
        if not candidate.dropped:
            return Route(candidate.rail, considered)
    reasons = "; ".join(f"{c.rail}: {c.dropped}" for c in considered) or "the account has none"
    return Refusal(
        "routing.no_channel",
        f"No channel of this account can carry {yuan(amount_fen)} CNY ({reasons}).",
        "Pay from another account, or have a channel opened for this one. "
        "Amounts are never split to get under a limit.",
    )


def _why_not(
    rail: str,
    connected: Collection[str],
    amount_fen: int,
    at: datetime,
    catalog: Catalog,
    asked_for: str,
) -> str:
    if asked_for and rail != asked_for:
        return f"{asked_for} was asked for"
    if rail not in connected:
        return "not connected here"
    limit = catalog.limit_on(rail, at)
    if limit is None:
        return f"no limit known for {china_date(at)}"
    if not within(limit, amount_fen):
        return f"limit {yuan(limit.per_payment_fen or 0)} CNY a payment"
    return ""
