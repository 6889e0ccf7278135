"""The dated catalog, as routing asks it: one ``Standing`` for each way, payee bank and moment.

Own side and payee's side are looked up separately and kept while they hold, so that a batch asks
the catalog a few dozen questions and not one for each candidate of each payment. A value of the
catalog never changes; when facts are recorded, make new conditions from the new value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from caiwutong.kernel.clock import china_date, china_midnight
from caiwutong.rails.catalog import Catalog, Closed, Limit, Unknown
from caiwutong.rails.catalog.model import COUNTER, Hours, Maintenance
from caiwutong.routing.model import BOOK, FeeBand, Standing, Why

TYPICAL_S: Mapping[str, float] = {
    BOOK: 2.0,
    "hvps": 20.0,
    "beps": 900.0,
    "ibps": 15.0,
    "bank_direct": 60.0,
    "bank_file": 7_200.0,
}
"""Seconds to arrival that are expected of a clearing before any was seen: own guesses (seconds for
gross settlement and IBPS, half of a half-hourly round and more for BEPS, a person at the bank's
page for files). What is learnt replaces them within a few payments."""


class _Side(NamedTuple):
    """What one end of a way says: its hours and limits, and until when that holds."""

    since: datetime
    until: datetime
    closed: Why | None
    opens_at: datetime | None
    closes_at: datetime | None
    limit: Limit | None
    unknown: Why | None
    note: str = ""


class CatalogConditions:
    """What a catalog value says. ``typical_s``: seconds to arrival by clearing, where better is
    known than the general guess."""

    def __init__(self, catalog: Catalog, typical_s: Mapping[str, float] | None = None) -> None:
        self._catalog = catalog
        self._typical = dict(TYPICAL_S) | dict(typical_s or {})
        self._sides: dict[tuple[str, str], _Side] = {}
        # Most banks have no fact of their own: they share one answer for each rail.
        self._named = {
            (fact.rail, fact.bank)
            for fact in catalog.facts
            if fact.bank and isinstance(fact, (Hours, Limit, Maintenance))
        }
        self._scopes: dict[tuple[str, str], str] = {}
        self._fees: dict[tuple[str, str, datetime], tuple[FeeBand, ...]] = {}

    def standing(self, mode: str, bank: str, payee_bank: str, at: datetime) -> Standing:
        """Hours, announced outages and limits of both ends, fees of ours. A clearing the catalog
        knows no limit or hours of is not used; where no tariff is known, the counter's stands as
        an upper bound."""
        rail, _, flag = mode.partition("/")
        clearing = flag or rail
        sides = [self._side(rail, bank, at)]
        if flag and flag != BOOK:
            sides.append(self._side(flag, bank, at))
        if clearing != BOOK and payee_bank:
            sides.append(self._side(clearing, payee_bank, at))
        tomorrow = china_midnight(china_date(at) + timedelta(days=1))
        shut = [side for side in sides if side.closed is not None]
        opens = [side.opens_at for side in shut]
        ends = [side.closes_at for side in sides if side.closes_at is not None]
        tightest = _tightest([side.limit for side in sides if side.limit is not None])
        return Standing(
            until=min([tomorrow, *(side.until for side in sides)]),
            closed=shut[0].closed if shut else None,
            opens_at=max([o for o in opens if o is not None], default=None)
            if None not in opens
            else None,
            closes_at=min(ends, default=None) if not shut else None,
            limit_fen=None if tightest is None else tightest.per_payment_fen,
            limit_inclusive=tightest is None or tightest.inclusive,
            unknown=next((side.unknown for side in sides if side.unknown is not None), None),
            note=next((side.note for side in sides if side.note), ""),
            fees=() if clearing == BOOK else self._fees_of(bank, clearing, rail, at, tomorrow),
            typical_seconds=self._typical.get(clearing, 60.0),
        )

    def _scope(self, rail: str, bank: str) -> str:
        scope = self._scopes.get((rail, bank))
        if scope is None:
            heads = (bank[:length] for length in range(1, len(bank) + 1))
            named = any((rail, head) in self._named for head in heads)
            scope = self._scopes[(rail, bank)] = bank if named else ""
        return scope

    def _side(self, rail: str, bank: str, at: datetime) -> _Side:
        bank = self._scope(rail, bank)
        found = self._sides.get((rail, bank))
        if found is None or not found.since <= at < found.until:
            found = self._sides[(rail, bank)] = self._look(rail, bank, at)
        return found

    def _look(self, rail: str, bank: str, at: datetime) -> _Side:
        tomorrow = china_midnight(china_date(at) + timedelta(days=1))
        answer = self._catalog.open_at(rail, at, bank)
        limit = self._catalog.limit_on(rail, at, bank)
        if isinstance(answer, Unknown):
            return _Side(at, tomorrow, None, None, None, limit, _unknown(answer.why))
        if limit is None:
            words = f"no limit of {rail} is known for {china_date(at)}"
            return _Side(at, tomorrow, None, None, None, None, _unknown(words))
        until = tomorrow if answer.until is None else min(tomorrow, answer.until)
        if isinstance(answer, Closed):
            return _Side(at, until, _closed(answer), answer.until, None, limit, None, answer.note)
        return _Side(at, until, None, None, answer.until, limit, None, answer.note)

    def _fees_of(
        self, bank: str, clearing: str, rail: str, at: datetime, until: datetime
    ) -> tuple[FeeBand, ...]:
        key = (bank, f"{rail}/{clearing}", until)
        found = self._fees.get(key)
        if found is None:
            channels = dict.fromkeys((clearing, rail, COUNTER))
            tariffs = (fee_bands(self._catalog, bank, channel, at) for channel in channels)
            found = self._fees[key] = next((bands for bands in tariffs if bands), ())
        return found


def fee_bands(catalog: Catalog, bank: str, channel: str, at: datetime) -> tuple[FeeBand, ...]:
    """The tariff in force with its discount worked in; empty when none is known."""
    tariff, discount = catalog.tariff_on(bank, channel, at)
    if tariff is None:
        return ()
    bands: list[FeeBand] = []
    off, up_to = (0, 0) if discount is None else (discount.percent_off, discount.up_to_fen)
    low = 0
    for band in tariff.bands:
        ends = [band.up_to_fen]
        if off and up_to is not None and low < up_to and (
            band.up_to_fen is None or up_to < band.up_to_fen
        ):  # fmt: skip
            ends.insert(0, up_to)  # the discount ends inside this band
        for end in ends:
            reduced = off and (up_to is None or (end is not None and end <= up_to))
            bands.append(
                FeeBand(end, band.flat_fen, band.rate_ppm, band.cap_fen, off if reduced else 0)
            )
        low = band.up_to_fen or low
    return tuple(bands)


def _tightest(limits: Sequence[Limit]) -> Limit | None:
    bounded = [limit for limit in limits if limit.per_payment_fen is not None]
    return min(
        bounded, key=lambda limit: (limit.per_payment_fen or 0, limit.inclusive), default=None
    )


def _closed(answer: Closed) -> Why:
    code = "outage" if answer.why == "maintenance" else "closed"
    until_en = f" until {answer.until.isoformat()}" if answer.until else ""
    until_zh = f"，至 {answer.until.isoformat()}" if answer.until else ""
    words = answer.words or answer.why
    return Why(code, f"Closed ({words}){until_en}.", f"暂停受理（{words}）{until_zh}。")


def _unknown(words: str) -> Why:
    return Why("unknown", f"The catalog cannot say: {words}.", f"目录中无此信息：{words}。")
