"""Which way a due payment goes: the candidates of its account, put before ``routing``.

Owns how a route is kept beside an attempt. Promises: a channel that was tried is not tried again;
whatever is decided says why, candidate by candidate. Read next: ``dispatch``, which sends it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from caiwutong.audit.model import canonical_json
from caiwutong.db.database import Tx
from caiwutong.kernel.errors import Refusal
from caiwutong.payments.model import PaymentRow
from caiwutong.payments.ports import CatalogOf, OwnAccount, Rails, shipped_catalog
from caiwutong.rails.catalog import Catalog
from caiwutong.routing.rules import choose


class Wanted(msgspec.Struct, frozen=True):
    """A payment that needs a way, and what it was over already."""

    row: PaymentRow
    account: OwnAccount
    tried: frozenset[str] = frozenset()
    """Modes (``ibps``, ``bank_direct/hvps``) that said no to it."""


class Chosen(msgspec.Struct, frozen=True):
    """The way it goes."""

    rail: str
    flag: str
    """The channel asked of the bank, for ``bank_direct``; empty leaves it to the bank."""
    alternatives: tuple[str, ...]
    """Modes that could have carried it as well, best first; also those that open later."""
    explanation: Any

    @property
    def mode(self) -> str:
        return f"{self.rail}/{self.flag}" if self.flag else self.rail

    def kept(self) -> bytes:
        """As it is kept with the attempt; ``failover.KeptRoute`` reads it back."""
        return canonical_json(
            {
                "choice": self.mode,
                "alternatives": self.alternatives,
                "explanation": self.explanation,
            }
        )


class Waits(msgspec.Struct, frozen=True):
    """No channel takes it now; this is when to ask again, and why in words."""

    at: datetime
    words: str
    explanation: Any


class Router(Protocol):
    """Decides for many payments at once, in order."""

    async def decide_many(
        self, tx: Tx, tenant: str, wanted: Sequence[Wanted], now: datetime
    ) -> list[Chosen | Waits | Refusal]: ...


class FirstThatCan:
    """Takes the first access mode of the account that can carry the payment."""

    def __init__(self, rails: Rails, catalog: CatalogOf = shipped_catalog) -> None:
        self._rails = rails
        self._catalog = catalog

    async def decide_many(
        self, tx: Tx, tenant: str, wanted: Sequence[Wanted], now: datetime
    ) -> list[Chosen | Waits | Refusal]:
        catalog = self._catalog(tenant)
        return [self._decide(each, now, catalog) for each in wanted]

    def _decide(self, wanted: Wanted, now: datetime, catalog: Catalog) -> Chosen | Refusal:
        row = wanted.row
        modes = [m for m in wanted.account.access_modes if m not in wanted.tried]
        route = choose(modes, self._rails, row.amount_fen, now, catalog, row.channel)
        if isinstance(route, Refusal):
            return route
        others = [c.rail for c in route.considered if not c.dropped and c.rail != route.rail]
        return Chosen(route.rail, "", tuple(others), route)
