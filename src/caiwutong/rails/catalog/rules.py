"""The catalog as one immutable value, and every question that is asked of it.

``Catalog`` holds the facts known at one moment; a newer state of knowledge is another value. Every
look-up is total: for any rail, bank and date it gives an answer or ``Unknown``. Pure and cheap
enough to ask for each candidate of each payment.

Which of several facts counts: one about the bank stands before one about every bank, then the
later ``valid_from``, then the later recorded. Limits are different: network and bank both hold, so
the tighter one answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import TypeVar

from caiwutong.kernel.business_days import Calendar, Day, default_calendar
from caiwutong.kernel.clock import china_date, china_midnight
from caiwutong.rails.catalog.facts import SHIPPED
from caiwutong.rails.catalog.hours import Answer, Timetable, moment
from caiwutong.rails.catalog.model import (
    Closed,
    Discount,
    Fact,
    Fee,
    Holidays,
    Hours,
    Limit,
    Maintenance,
    NettingRounds,
    Open,
    SystemDay,
    Tariff,
    Unknown,
    Withdrawal,
)

F = TypeVar("F", Limit, Hours, NettingRounds, Maintenance, Tariff, Discount)


class Catalog:
    """The facts known at one moment. ``version`` rises with each change of an installation."""

    def __init__(
        self, facts: Iterable[Fact], *, calendar: Calendar | None = None, version: int = 0
    ) -> None:
        self.facts = tuple(facts)
        self.version = version
        self._calendar_before = calendar or default_calendar()
        gone = {fact.withdraws for fact in self.facts if isinstance(fact, Withdrawal)}
        standing = [fact for fact in self.facts if not fact.fact_id or fact.fact_id not in gone]
        self.calendar = _with_notices(self._calendar_before, standing)
        self._system_days = {
            (fact.rail, fact.day): fact for fact in standing if isinstance(fact, SystemDay)
        }
        self._of: dict[tuple[type[Fact], str], list[Fact]] = {}
        for fact in sorted(standing, key=lambda fact: fact.valid_from):  # stable: recorded order
            self._of.setdefault((type(fact), fact.rail), []).append(fact)
        self._standing = {fact.fact_id: fact for fact in standing if fact.fact_id}
        self._timetable = Timetable(self)

    def fact(self, fact_id: str) -> Fact | None:
        """A fact that still stands, by its id."""
        return self._standing.get(fact_id)

    @property
    def standing(self) -> tuple[Fact, ...]:
        """Every fact that was not taken back, in the order of recording."""
        return tuple(self._standing.values())

    def known_at(self, moment: datetime) -> Catalog:
        """The catalog as it was known then: what was recorded later is left out."""
        return Catalog(
            (f for f in self.facts if f.recorded_at is None or f.recorded_at <= moment),
            calendar=self._calendar_before,
            version=self.version,
        )

    def with_facts(self, more: Iterable[Fact], version: int | None = None) -> Catalog:
        """This catalog and more facts, as if they were recorded now."""
        return Catalog(
            (*self.facts, *more),
            calendar=self._calendar_before,
            version=self.version if version is None else version,
        )

    @property
    def rails(self) -> tuple[str, ...]:
        """The rails with recorded hours, by name."""
        return tuple(sorted({rail for kind, rail in self._of if kind is Hours}))

    # -- limits

    def limit_on(self, rail: str, at: datetime, bank: str = "") -> Limit | None:
        """The limit in force; None when nothing is known of it (not: when there is none)."""
        found = self._in_force(Limit, rail, at, bank)
        return min(found, key=_tightness, default=None)

    # -- hours

    def open_at(self, rail: str, at: datetime, bank: str = "") -> Answer:
        """Whether the rail takes payments at this moment, and until when it stays so."""
        return self._timetable.at(rail, at, bank)

    def next_opening(self, rail: str, at: datetime, bank: str = "") -> datetime | Unknown:
        """The first moment from ``at`` on at which the rail is open: ``at`` itself when it is."""
        now = self._timetable.at(rail, at, bank)
        if isinstance(now, Open):
            return at
        if isinstance(now, Unknown):
            return now
        return now.until or Unknown(f"no opening of {rail} is in sight ({now.why})")

    def cutoff(self, rail: str, at: datetime, bank: str = "") -> datetime | Unknown | None:
        """The last moment at which a payment can still be booked on today's date in China; None
        when that moment has passed or today has no session. The evening's session belongs to the
        next working day."""
        now = self._timetable.at(rail, at, bank)
        if isinstance(now, Unknown):
            return now
        last = self._timetable.last_moment(rail, china_date(at), bank)
        return last if last is not None and at < last else None

    def maintenance(
        self, rail: str, at: datetime, bank: str = "", *, announced: datetime | None = None
    ) -> tuple[Maintenance, ...]:
        """What is announced and not over at ``at``, soonest first. ``announced``: as it was known
        at that moment, for those who judge what could have been known."""
        return tuple(
            fact
            for fact in self._matching(Maintenance, rail, bank)
            if (fact.valid_until is None or at < fact.valid_until)
            and (announced is None or fact.recorded_at is None or fact.recorded_at <= announced)
        )

    # -- netting

    def rounds(self, rail: str, at: datetime) -> tuple[datetime, ...] | Unknown:
        """The netting rounds of this day in China; empty for a rail that settles one by one."""
        found = self._newest(NettingRounds, rail, at, "")
        if found is None:
            if self._newest(Hours, rail, at, "") is None:
                return Unknown(f"nothing is recorded about {rail} for {china_date(at)}")
            return ()
        day = china_date(at)
        if found.every_minutes:
            step, start = timedelta(minutes=found.every_minutes), china_midnight(day)
            return tuple(start + step * n for n in range(24 * 60 // found.every_minutes))
        return tuple(moment(day, each) for each in sorted(found.times))

    def next_round(self, rail: str, at: datetime) -> datetime | Unknown | None:
        """The first netting round after ``at``; None for a rail that settles one by one."""
        found = self._newest(NettingRounds, rail, at, "")
        if found is not None and found.every_minutes:
            step, start = timedelta(minutes=found.every_minutes), china_midnight(china_date(at))
            following = start + step * ((at - start) // step + 1)
            return min(following, start + timedelta(days=1))
        for ahead in (0, 1):
            rounds = self.rounds(rail, at + timedelta(days=ahead))
            if isinstance(rounds, Unknown):
                return rounds
            later = [each for each in rounds if each > at]
            if later:
                return later[0]
        return None

    # -- fees

    def fee(
        self, bank: str, channel: str, amount_fen: int, at: datetime, payee_bank: str = ""
    ) -> Fee | Unknown:
        """What a bank should take for a payment of this amount on a channel at this time.
        ``payee_bank``: when it is the same bank, most tariffs take nothing."""
        tariff = self._newest(Tariff, channel, at, bank)
        if tariff is None:
            return Unknown(f"no tariff of bank {bank[:3] or 'any'} for {channel} is recorded")
        if tariff.in_bank_free and same_bank(bank, payee_bank):
            return Fee(0, 0, tariff.fact_id, source=tariff.source)
        list_fen = list_price(tariff, amount_fen)
        if list_fen is None:
            return Unknown(f"the tariff {tariff.fact_id} has no band for this amount")
        discount = self._newest(Discount, channel, at, bank)
        if discount is None or (discount.up_to_fen or amount_fen) < amount_fen:
            return Fee(list_fen, list_fen, tariff.fact_id, source=tariff.source)
        fen = (list_fen * (100 - discount.percent_off) + 50) // 100
        return Fee(fen, list_fen, tariff.fact_id, discount.fact_id, tariff.source)

    def tariff_on(
        self, bank: str, channel: str, at: datetime
    ) -> tuple[Tariff | None, Discount | None]:
        """The tariff and the discount in force, for those who work out many amounts."""
        return (
            self._newest(Tariff, channel, at, bank),
            self._newest(Discount, channel, at, bank),
        )

    # -- what the timetable asks

    def look(self, rail: str, day: date) -> Day:
        """Whether this is a working day for the rail: as the network said, else the calendar."""
        said = self._system_days.get((rail, day))
        if said is None:
            return self.calendar.look(day)
        return Day(day, said.working, "as the network announced")

    def hours_on(self, rail: str, day: date, bank: str) -> Hours | None:
        """The hours of a system day."""
        return self._newest(Hours, rail, china_midnight(day), bank)

    def maintenance_between(
        self, rail: str, start: datetime, end: datetime, bank: str
    ) -> Sequence[Maintenance]:
        """Outages that touch this stretch of time."""
        return [
            fact
            for fact in self._matching(Maintenance, rail, bank)
            if fact.valid_from < end and (fact.valid_until is None or start < fact.valid_until)
        ]

    # -- finding facts

    def _matching(self, kind: type[F], rail: str, bank: str) -> Iterable[F]:
        for fact in self._of.get((kind, rail), ()):
            assert isinstance(fact, kind)
            if not fact.bank or bank.startswith(fact.bank):
                yield fact

    def _newest(self, kind: type[F], rail: str, at: datetime, bank: str) -> F | None:
        best: F | None = None
        for fact in self._matching(kind, rail, bank):
            if fact.valid_from > at:
                break
            if fact.valid_until is not None and at >= fact.valid_until:
                continue
            if best is None or len(fact.bank) >= len(best.bank):
                best = fact
        return best

    def _in_force(self, kind: type[F], rail: str, at: datetime, bank: str) -> list[F]:
        """The newest of each scope: the network's, and the bank's own."""
        by_scope: dict[str, F] = {}
        for fact in self._matching(kind, rail, bank):
            if fact.valid_from <= at and (fact.valid_until is None or at < fact.valid_until):
                by_scope[fact.bank] = fact
        return list(by_scope.values())


def within(limit: Limit, amount_fen: int) -> bool:
    """Whether an amount passes this limit."""
    if limit.per_payment_fen is None:
        return True
    if limit.inclusive:
        return amount_fen <= limit.per_payment_fen
    return amount_fen < limit.per_payment_fen


_SHARED = frozenset({"313", "314", "320", "401", "402"})
"""First digits of 联行号 that many banks share (city, village and rural banks, co-operatives):
there the city's four digits belong to the bank. Own: the numbering as it is in use."""


def bank_digits(bank_code: str) -> str:
    """The first digits of a 联行号 that name the whole bank, as facts name it."""
    return bank_code[: 7 if bank_code[:3] in _SHARED else 3]


def same_bank(one: str, other: str) -> bool:
    """Whether two 联行号 name branches of one bank; no, when either is not known."""
    digits = bank_digits(one)
    return len(digits) >= 3 and digits == bank_digits(other)


def list_price(tariff: Tariff, amount_fen: int) -> int | None:
    """The fee by the tariff alone; None when no band reaches the amount."""
    for band in tariff.bands:
        if band.up_to_fen is None or amount_fen <= band.up_to_fen:
            fee = band.flat_fen + (amount_fen * band.rate_ppm + 500_000) // 1_000_000
            return fee if band.cap_fen is None else min(fee, band.cap_fen)
    return None


@cache
def shipped() -> Catalog:
    """The catalog that came with the software."""
    return Catalog(SHIPPED)


def limit_on(rail: str, at: datetime, catalog: Catalog | None = None) -> Limit | None:
    """The limit in force on a rail, by the shipped catalog unless another is given."""
    return (catalog or shipped()).limit_on(rail, at)


def _tightness(limit: Limit) -> tuple[float, bool]:
    if limit.per_payment_fen is None:
        return float("inf"), True
    return limit.per_payment_fen, limit.inclusive


def _with_notices(calendar: Calendar, facts: Iterable[Fact]) -> Calendar:
    for fact in facts:
        if isinstance(fact, Holidays):
            if fact.amends:
                calendar = calendar.with_change(fact.version, fact.free, fact.worked)
            else:
                calendar = calendar.with_notice(fact.version, fact.year, fact.free, fact.worked)
    return calendar


__all__ = ["Catalog", "Closed", "Open", "Unknown", "limit_on", "list_price", "shipped", "within"]
