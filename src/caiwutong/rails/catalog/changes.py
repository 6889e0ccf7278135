"""Changes of the catalog, judged before anything is kept. Pure.

``checked`` refuses a fact that says nothing sensible; ``second_person`` says why a change needs
another person's signature: because it would let more through than before (a higher limit, longer
hours, an outage called off). What only lets less through, and what a network itself announces under
its signature, takes effect without one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.kernel.clock import china_date, china_midnight
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import MAX_AMOUNT_FEN, yuan
from caiwutong.rails.catalog.model import (
    Discount,
    Fact,
    Holidays,
    Hours,
    Limit,
    Maintenance,
    NettingRounds,
    SystemDay,
    Tariff,
    Withdrawal,
)
from caiwutong.rails.catalog.rules import Catalog, within

SUBJECT = "catalog"
"""What people sign for, as ``approvals`` calls it."""

EARLIEST, LATEST = date(1990, 1, 1), date(2200, 1, 1)
MOST_FACTS = 500
MOST_WORDS = 500
_RAIL = re.compile(r"[a-z][a-z0-9_]{1,31}")
_BANK = re.compile(r"[0-9]{0,12}")
_sorted_json = msgspec.json.Encoder(order="sorted")


class ChangeState(StrEnum):
    """waiting (for signatures) → applied, or withdrawn."""

    WAITING = "waiting"
    APPLIED = "applied"
    WITHDRAWN = "withdrawn"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that are recorded together or not at all. Never edited; what became of it is told by
    the facts that name it and by its signatures."""

    change_id: UUID
    maker: UUID
    """Who proposed it: a person, an API key, or nil for a network. Never counts as a signer."""
    actor: str
    reason: str
    facts: tuple[Fact, ...]
    digest: bytes
    """SHA-256 over the id and the facts: what people sign."""
    needed: int
    """How many other people must sign before it counts."""
    because: tuple[str, ...]
    """Why they must."""
    message_key: str
    """The network's message it comes from; empty for people. The key against applying it twice."""
    proposed_at: datetime
    state: ChangeState = ChangeState.WAITING


def fact_bytes(facts: Fact | Sequence[Fact]) -> bytes:
    """Facts as they are kept and signed: JSON with sorted keys. Days that are keys become text
    first, which sorting needs."""
    return _sorted_json.encode(msgspec.to_builtins(facts, str_keys=True))


def digest_of(change_id: UUID, facts: Sequence[Fact]) -> bytes:
    """SHA-256 over the change's id and the bytes of its facts, ids included."""
    return hashlib.sha256(change_id.bytes + fact_bytes(facts)).digest()


def checked(fact: Fact) -> Fact:
    """The fact with its times in UTC. Raises Refused for one that says nothing sensible."""
    if fact.fact_id or fact.recorded_at is not None:
        raise bad("fact_id", "is given when the fact is recorded; leave it out")
    needs_rail = not isinstance(fact, Holidays | Withdrawal)
    if needs_rail and _RAIL.fullmatch(fact.rail) is None:
        raise bad("rail", f"{fact.rail[:40]!r} is no name of a rail or channel")
    if _BANK.fullmatch(fact.bank) is None:
        raise bad("bank", f"{fact.bank[:20]!r} is not the first digits of a 联行号")
    if not 0 < len(fact.source.strip()) <= MOST_WORDS:
        raise bad("source", "a fact names its source, in at most 500 characters")
    start = _moment(fact.valid_from, "valid_from")
    end = None if fact.valid_until is None else _moment(fact.valid_until, "valid_until")
    if end is not None and end <= start:
        raise bad("valid_until", "it ends before it begins")
    _check_content(fact)
    return msgspec.structs.replace(fact, valid_from=start, valid_until=end)


def bad(field: str, words: str) -> Refused:
    """The refusal of a fact, with the field that is wrong."""
    return Refused(
        "catalog.bad_fact",
        f"{field}: {words}.",
        "docs/catalog.md lists what each fact carries.",
        field=field,
    )


def _moment(at: datetime, field: str) -> datetime:
    if at.tzinfo is None:
        raise bad(field, "the time does not say in which time zone it is")
    if not EARLIEST.year <= at.year < LATEST.year:
        raise bad(field, f"the year {at.year} is not between {EARLIEST.year} and {LATEST.year}")
    return at.astimezone(UTC)


def _check_content(fact: Fact) -> None:
    match fact:
        case Limit(per_payment_fen=int(fen)) if not 0 <= fen <= MAX_AMOUNT_FEN:
            raise bad("per_payment_fen", f"{fen} is no amount in fen")
        case Hours():
            _check_hours(fact)
        case NettingRounds(times=times, every_minutes=every):
            if bool(times) == bool(every) or not 0 <= every <= 1440 or len(times) > 200:
                raise bad("times", "give either times or every_minutes (1 to 1440)")
        case Tariff(bands=bands):
            _check_bands(bands)
        case Discount(percent_off=percent, up_to_fen=up_to):
            if not 0 < percent <= 100:
                raise bad("percent_off", f"{percent} is no percentage")
            if up_to is not None and not 0 < up_to <= MAX_AMOUNT_FEN:
                raise bad("up_to_fen", f"{up_to} is no amount in fen")
        case Maintenance(words=words) if len(words) > MOST_WORDS:
            raise bad("words", "at most 500 characters")
        case SystemDay(day=day) if not EARLIEST <= day < LATEST:
            raise bad("day", f"{day} is too far away")
        case Holidays():
            _check_holidays(fact)
        case _:
            pass


def _check_hours(fact: Hours) -> None:
    if fact.around_the_clock:
        return
    if fact.opens_days_before not in (0, 1):
        raise bad("opens_days_before", "is 0 or 1")
    if fact.opens_days_before == 0 and fact.opens >= fact.closes:
        raise bad("closes", "it closes before it opens")
    if fact.clearing_until is not None and fact.clearing_until < fact.closes:
        raise bad("clearing_until", "the clearing window ends before it begins")
    if any(t is not None and t.tzinfo for t in (fact.opens, fact.closes, fact.clearing_until)):
        raise bad("opens", "times of day are China's and carry no offset")


def _check_bands(bands: Sequence[Any]) -> None:
    if not 0 < len(bands) <= 50:
        raise bad("bands", "a tariff has one to 50 bands")
    before = 0
    for number, band in enumerate(bands):
        last = number == len(bands) - 1
        if band.up_to_fen is None and not last:
            raise bad("bands", "only the last band has no upper end")
        if band.up_to_fen is not None and not before < band.up_to_fen <= MAX_AMOUNT_FEN:
            raise bad("bands", "the bands do not rise")
        if not 0 <= band.flat_fen <= MAX_AMOUNT_FEN or not 0 <= band.rate_ppm <= 1_000_000:
            raise bad("bands", "a fee is not below zero, and a rate at most 1,000,000 ppm")
        if band.cap_fen is not None and not 0 <= band.cap_fen <= MAX_AMOUNT_FEN:
            raise bad("bands", "cap_fen is no amount in fen")
        before = band.up_to_fen or before


def _check_holidays(fact: Holidays) -> None:
    if not EARLIEST.year <= fact.year < LATEST.year:
        raise bad("year", f"{fact.year} is too far away")
    if not fact.free and not fact.worked:
        raise bad("free", "the notice names no day")
    if len(fact.free) > 120 or len(fact.worked) > 60:
        raise bad("free", "a year has not so many days off")
    both = set(fact.free) & set(fact.worked)
    if both:
        raise bad("worked", f"{min(both)} is both off and worked")
    for day in (*fact.free, *fact.worked):
        if abs(day.year - fact.year) > 1:
            raise bad("free", f"{day} is not in or beside {fact.year}")
    weekday = next((day for day in fact.worked if day.weekday() < 5), None)
    if weekday is not None and not fact.amends:
        raise bad("worked", f"{weekday} is no weekend day")


def second_person(before: Catalog, facts: Sequence[Fact], now: datetime) -> list[str]:
    """Why another person must sign this change; empty when nobody must."""
    after = before.with_facts(facts)
    reasons = _wider_limits(before, after, facts, now)
    for fact in facts:
        if isinstance(fact, Hours):
            reasons.append(f"the hours of {fact.rail} change")
        elif isinstance(fact, SystemDay):
            if fact.working and not before.look(fact.rail, fact.day).working:
                reasons.append(f"{fact.rail} would be open on {fact.day}")
        elif isinstance(fact, Holidays):
            reasons += _opened_days(before, after, fact.year)
        elif isinstance(fact, Withdrawal):
            gone = before.fact(fact.withdraws)
            if isinstance(gone, Maintenance | Hours | SystemDay | Holidays):
                kind = type(gone).__name__.lower()
                reasons.append(f"a recorded {kind} of {gone.rail} is taken back")
    return list(dict.fromkeys(reasons))


def _opened_days(before: Catalog, after: Catalog, year: int) -> list[str]:
    """Days known to be free that would be worked. In a year without a notice nothing is known, so
    its notice needs nobody else."""
    day, opened = date(year, 1, 1), list[date]()
    while day.year == year:
        known = before.calendar.look(day)
        if not known.provisional and not known.working and after.calendar.is_working(day):
            opened.append(day)
        day = date.fromordinal(day.toordinal() + 1)
    return [f"{opened[0]} and {len(opened) - 1} more days off would be worked"] if opened else []


def _wider_limits(
    before: Catalog, after: Catalog, facts: Iterable[Fact], now: datetime
) -> list[str]:
    """Where, from now on, an amount would pass that did not pass before."""
    touched = list(facts)
    touched += [g for f in touched if isinstance(f, Withdrawal) and (g := before.fact(f.withdraws))]
    scopes = {(f.rail, f.bank) for f in touched if isinstance(f, Limit)}
    reasons: list[str] = []
    for rail, bank in sorted(scopes):
        edges = {now} | {
            edge
            for fact in after.facts
            if isinstance(fact, Limit) and fact.rail == rail
            for edge in (fact.valid_from, fact.valid_until)
            if edge is not None and edge > now
        }
        for edge in sorted(edges):
            old, new = before.limit_on(rail, edge, bank), after.limit_on(rail, edge, bank)
            if new is not None and (old is None or _wider(old, new)):
                most = new.per_payment_fen
                said = "no limit" if most is None else f"{yuan(most)} CNY a payment"
                reasons.append(f"{rail} would carry {said} from {china_date(edge)}")
                break
    return reasons


def _wider(old: Limit, new: Limit) -> bool:
    if old.per_payment_fen is None:
        return False
    if new.per_payment_fen is None:
        return True
    most = new.per_payment_fen if new.inclusive else new.per_payment_fen - 1
    return not within(old, most)


def day_span(day: date) -> tuple[datetime, datetime]:
    """A day in China as a validity."""
    return china_midnight(day), china_midnight(date.fromordinal(day.toordinal() + 1))
