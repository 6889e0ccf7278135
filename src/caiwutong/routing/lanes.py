"""Lanes: candidates towards one payee bank, with what the catalog says of each while it holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import log1p

from caiwutong.routing.model import BOOK, Candidate, Conditions, FeeBand, Standing, Why
from caiwutong.routing.policy import Policy

_NOT_CONNECTED = Why("not_connected", "This house has no connection for it.", "本机构未接入。")
_EXCLUDED = Why("excluded", "The routing policy leaves it out.", "路由规则排除。")
_NOT_THIS_BANK = Why(
    "not_this_bank", "The payee's account is at another bank.", "收款账户不在本行。"
)
_FAR = datetime.max.replace(tzinfo=UTC)


class Row:
    """A candidate that may be used: what does not depend on the payment, looked up."""

    __slots__ = (
        "bank", "bounded", "candidate", "channel", "clearing", "closes_at", "fees", "index", "key",
        "limit_fen", "mode", "note", "own",
    )  # fmt: skip

    def __init__(
        self, index: int, candidate: Candidate, standing: Standing, fees: int, channel: int
    ) -> None:
        self.index = index
        self.candidate = candidate
        self.key = candidate.key
        self.mode = candidate.mode
        self.clearing = candidate.clearing
        self.bank = candidate.bank
        self.own = (candidate.mode, candidate.bank)
        self.bounded = candidate.own_limit_fen is not None or candidate.available_fen is not None
        self.fees = fees
        self.channel = channel
        self.closes_at = standing.closes_at
        self.note = standing.note
        self.limit_fen = -1 if standing.limit_fen is None else standing.limit_fen
        if standing.limit_fen is not None and not standing.limit_inclusive:
            self.limit_fen -= 1


class Lane:
    """Candidates towards one payee bank, while their standing holds."""

    __slots__ = ("candidates", "channels", "dropped", "fees", "rows", "until", "waiting")

    def __init__(
        self, candidates: Sequence[Candidate], payee: str, catalog: Conditions, policy: Policy,
        now: datetime,
    ) -> None:  # fmt: skip
        self.candidates = tuple(candidates)
        self.until = _FAR
        self.rows: list[Row] = []
        self.waiting: list[tuple[datetime, Row]] = []
        self.fees: list[tuple[FeeBand, ...]] = []
        self.channels: list[tuple[str, float]] = []
        """Clearing and what its arrival is expected to be (ln(1 + s)) before any was seen."""
        self.dropped: list[Why | None] = []
        for index, candidate in enumerate(candidates):
            why = _barred(candidate, payee, policy)
            if why is None:
                why = self._stand(index, candidate, payee, catalog, now)
            self.dropped.append(why)

    def _stand(
        self, index: int, candidate: Candidate, payee: str, catalog: Conditions, now: datetime
    ) -> Why | None:
        standing = catalog.standing(candidate.mode, candidate.bank, payee, now)
        if standing.until is not None:
            self.until = min(self.until, standing.until)
        if standing.unknown is not None:
            return standing.unknown
        if standing.fees not in self.fees:
            self.fees.append(standing.fees)
        channel = (candidate.clearing, log1p(standing.typical_seconds))
        if channel not in self.channels:
            self.channels.append(channel)
        row = Row(
            index, candidate, standing, self.fees.index(standing.fees), self.channels.index(channel)
        )
        if standing.closed is None:
            self.rows.append(row)
            return None
        if standing.opens_at is not None:
            self.waiting.append((standing.opens_at, row))
        return standing.closed


def _barred(candidate: Candidate, payee: str, policy: Policy) -> Why | None:
    if candidate.barred is not None:
        return candidate.barred
    if not candidate.connected:
        return _NOT_CONNECTED
    if candidate.clearing == BOOK and payee and candidate.bank != payee:
        return _NOT_THIS_BANK
    mode = candidate.mode
    if {
        candidate.rail,
        mode,
        f"{candidate.rail}@{candidate.bank}",
        f"{mode}@{candidate.bank}",
    } & set(policy.excluded):
        return _EXCLUDED
    return None
