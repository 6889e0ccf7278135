"""Which way a due payment goes: the candidates of its account, put before ``routing``.

Owns how a route is kept beside an attempt, and what the candidates are: each access mode of the
paying account whose rail is connected, and for a bank's direct interface each clearing channel that
the bank can be asked to use. Promises: a channel that was tried is not tried again;
whatever is decided says why, candidate by candidate. Read next: ``dispatch``, which sends it there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from caiwutong.audit.model import canonical_json
from caiwutong.db.database import Tx
from caiwutong.kernel.clock import CHINA, china_date
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.order import Priority
from caiwutong.payments.intake import open_payee
from caiwutong.payments.model import PaymentRow
from caiwutong.payments.ports import CatalogOf, OwnAccount, Rails, Seal, shipped_catalog
from caiwutong.rails.catalog import Catalog
from caiwutong.routing.banks import payee_bank
from caiwutong.routing.beliefs import Beliefs
from caiwutong.routing.conditions import CatalogConditions
from caiwutong.routing.decide import Router as Decider
from caiwutong.routing.experience import told
from caiwutong.routing.explain import explained_later, explanation
from caiwutong.routing.model import Ask, Candidate, Decision, Later, Profile
from caiwutong.routing.policy import HOUSE, Policy
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
    told: dict[str, Any] | None = None
    """What experience learns from, once it is known how it ended; goes into the log."""

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


BeliefsOf = Callable[[str], Beliefs]
"""What a tenant's payments have taught so far; cheap, never waits."""

_OPENS_LATER = ("closed", "outage", "breaker")
"""Why a candidate is no use now and may be later."""

_KEPT_CANDIDATES = 4096


class BestWay:
    """Puts every candidate before ``routing`` under what the catalog and experience say."""

    def __init__(
        self,
        rails: Rails,
        seal: Seal,
        catalog: CatalogOf = shipped_catalog,
        beliefs: BeliefsOf = lambda tenant: Beliefs(),
        policy: Policy = HOUSE,
    ) -> None:
        self._rails = rails
        self._seal = seal
        self._catalog = catalog
        self._beliefs = beliefs
        self._policy = policy
        self._deciders: dict[str, tuple[Catalog, Decider]] = {}
        self._candidates: dict[tuple[Any, ...], tuple[Candidate, ...]] = {}

    async def decide_many(
        self, tx: Tx, tenant: str, wanted: Sequence[Wanted], now: datetime
    ) -> list[Chosen | Waits | Refusal]:
        if not wanted:
            return []
        asks = [(self._ask(each), self._candidates_of(each.account)) for each in wanted]
        answers = self._decider(tenant).decide_many(asks, self._beliefs(tenant), now)
        return [_way(answer, now) for answer in answers]

    def _decider(self, tenant: str) -> Decider:
        """Kept while the catalog is the same value: it remembers what the catalog answered."""
        catalog = self._catalog(tenant)
        kept = self._deciders.get(tenant)
        if kept is None or kept[0] is not catalog:
            kept = catalog, Decider(CatalogConditions(catalog), self._policy)
            self._deciders[tenant] = kept
        return kept[1]

    def _ask(self, wanted: Wanted) -> Ask:
        row = wanted.row
        bank = payee_bank(open_payee(self._seal, row).bank_code)
        account = wanted.account.bank_account_id.hex
        return Ask(
            key=str(row.payment_id),
            amount_fen=row.amount_fen,
            payee_bank=bank.bank,
            payee_kind=bank.kind,
            profile=Profile.URGENT if row.priority is Priority.URGENT else Profile.NORMAL,
            asked_for=row.channel,
            tried=tuple(f"{account}:{mode}" for mode in sorted(wanted.tried)),
        )

    def _candidates_of(self, account: OwnAccount) -> tuple[Candidate, ...]:
        key = account.bank_account_id, account.access_modes, account.bank_code
        found = self._candidates.get(key)
        if found is None:
            if len(self._candidates) >= _KEPT_CANDIDATES:
                self._candidates.clear()
            found = tuple(
                Candidate(
                    account_id=account.bank_account_id,
                    rail=mode,
                    flag=flag,
                    bank=payee_bank(account.bank_code).bank,
                    connected=mode in self._rails,
                )
                for mode in account.access_modes
                for flag in self._flags(mode, account)
            )
            self._candidates[key] = found
        return found

    def _flags(self, mode: str, account: OwnAccount) -> tuple[str, ...]:
        """The clearing channels the bank behind this rail can be asked to use; where it takes no
        such wish, the one way it has."""
        flags = getattr(self._rails.get(mode), "flags", None)
        asked: tuple[str, ...] = () if flags is None else tuple(flags(account.bank_code))
        return asked or ("",)


def _way(answer: Decision | Later | Refusal, now: datetime) -> Chosen | Waits | Refusal:
    if isinstance(answer, Refusal):
        return answer
    if isinstance(answer, Later):
        at = answer.at.astimezone(CHINA)
        day = "" if china_date(answer.at) == china_date(now) else f"{at:%Y-%m-%d} "
        words = f"waits for {answer.candidate.mode.upper()} to open at {day}{at:%H:%M}"
        words += " (provisional: weekdays only)" if answer.note else ""
        return Waits(answer.at, words, explained_later(answer))
    usable = sorted(
        (score.loss, candidate.mode)
        for candidate, score in zip(answer.candidates, answer.scores, strict=True)
        if score is not None and candidate is not answer.chosen
    )
    later = [
        candidate.mode
        for candidate, why in zip(answer.candidates, answer.dropped, strict=True)
        if why is not None and why.code in _OPENS_LATER
    ]
    others = (*(mode for _, mode in usable), *later)
    return Chosen(answer.rail, answer.flag, others, explanation(answer), told(answer))
