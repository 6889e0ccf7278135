"""What is hidden: each bank's own factor, outages nobody announced, and every payment's luck.

Only the world's own judge and the oracle hold a ``Truth``; a policy is never given one. The rates
follow from the world file and the seed and do not depend on what any policy does.
"""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import NamedTuple

from caiwutong.benchmarks.worlds.model import Arrival, Clearing, World
from caiwutong.benchmarks.worlds.traffic import Payment, month_end
from caiwutong.kernel.clock import CHINA, china_midnight
from caiwutong.rails.catalog import Catalog, Open, shipped
from caiwutong.rails.catalog import model as catalog_words
from caiwutong.routing.model import BOOK, Candidate

HOUR_S = 3_600.0
DAY_S = 86_400.0


class Outage(NamedTuple):
    """A channel at one bank is down."""

    start: float
    end: float
    announced_at: float | None


class Luck(NamedTuple):
    """Uniform draws (arrival: normal) that decide one try."""

    fails: float
    doubt: float
    executed: float
    arrival: float
    freezes: float
    long: float
    silent: float


class Happened(NamedTuple):
    """What one try leads to. Times are Unix seconds."""

    kind: str
    """``settled``, ``rejected``, ``data_fault``, ``frozen``, ``lost`` (no answer) or ``silent``
    (acknowledged, then nothing)."""
    at: float
    """When the hub learns the end."""
    executed: bool
    """Whether money moved: the bank's own books."""
    arrives: float
    """When the payee has it; only where executed."""


class Truth:
    """The hidden side of one world under one seed."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self._seed = seed
        rng = random.Random(f"truth:{seed}")
        start = china_midnight(world.from_day).timestamp()
        self.start, self.end = start, start + world.days * DAY_S
        self._clearings = {clearing.name: clearing for clearing in world.clearings}
        self._kinds = {bank: p.kind for p in world.payees for bank in p.banks}
        self._factors: dict[tuple[str, str], list[float]] = {}
        self._at_acceptance: set[str] = set()
        for clearing in world.clearings:
            self._draw_banks(clearing, rng)
        self.outages: dict[tuple[str, str], list[Outage]] = {}
        self._draw_outages(rng)
        self._silences = [
            (s.bank, frozenset(s.clearings), s.start.timestamp(), s)
            for s in world.silences
        ]  # fmt: skip
        self._slots = self._strained_slots()
        self.data_fault = _faults(world, seed)
        self._luck = _lucks(world, seed)
        self._hours = _Hours()
        self._public = _public(world)
        self._catalogs: dict[float, Catalog] = {}

    def _draw_banks(self, clearing: Clearing, rng: random.Random) -> None:
        weeks = self.world.days // 7 + 2
        for bank in self._kinds:
            level = rng.gauss(0.0, clearing.bank_sigma)
            levels: list[float] = []
            for _ in range(weeks):
                levels.append(math.exp(level))
                level += rng.gauss(0.0, clearing.drift_sigma)
            self._factors[(clearing.name, bank)] = levels
            if rng.random() < clearing.at_acceptance_share:
                self._at_acceptance.add(f"{clearing.name}:{bank}")

    def _draw_outages(self, rng: random.Random) -> None:
        outages, days = self.world.outages, self.world.days
        pairs = [
            (c.name, bank)
            for c in self.world.clearings
            if c.name not in (BOOK, "bank_file")
            for bank in self._kinds
        ]
        rails = {mode.partition("/")[0] for own in self.world.own_banks for mode in own.modes}
        known = {c.name for c in self.world.clearings if c.name != "bank_file"}
        pairs += [(r, own.bank) for r in sorted(rails - known) for own in self.world.own_banks]
        for pair in pairs:
            found: list[Outage] = []
            at = self.start
            mean = 30 * DAY_S / outages.per_pair_month if outages.per_pair_month else math.inf
            while (at := at + (rng.expovariate(1 / mean) if mean < math.inf else math.inf)) < (
                self.start + days * DAY_S
            ):
                length = 60.0 * rng.uniform(*outages.minutes)
                told = rng.random() < outages.announced_share
                found.append(
                    Outage(at, at + length, at - HOUR_S * outages.ahead_hours if told else None)
                )
            if found:
                self.outages[pair] = found

    def _strained_slots(self) -> dict[int, tuple[int, int, bool]]:
        """Hours since the start: week, hour of the day, month end."""
        slots: dict[int, tuple[int, int, bool]] = {}
        first = datetime.fromtimestamp(self.start, CHINA)
        for hour in range((self.world.days + 8) * 24):
            moment = first + timedelta(hours=hour)
            slots[hour] = hour // 168, moment.hour, month_end(moment.date())
        return slots

    # -- what is public

    def catalog(self, now: float) -> Catalog:
        """What everybody may know at this moment: hours, limits, tariffs, announced stops."""
        found = self._catalogs.get(now)
        if found is None:
            found = self._catalogs[now] = self._public.with_facts(self._announced(now))
        return found

    def announcements(self) -> list[float]:
        """The moments at which something is announced."""
        told = [o.announced_at for many in self.outages.values() for o in many]
        return sorted(
            {at for at in told if at is not None and at > self.start}
            | {m.announced.timestamp() for m in self.world.maintenance}
        )

    def _announced(self, now: float) -> list[catalog_words.Fact]:
        facts: list[catalog_words.Fact] = []
        for (rail, bank), many in self.outages.items():
            facts += [
                _stop(rail, bank, o.start, o.end)
                for o in many
                if o.announced_at is not None and o.announced_at <= now < o.end
            ]
        for stop in self.world.maintenance:
            if stop.announced.timestamp() <= now < stop.end.timestamp():
                facts.append(_stop(stop.clearing, "", stop.start.timestamp(), stop.end.timestamp()))
        return facts

    # -- what is hidden

    def failure(self, clearing: str, bank: str, at: float) -> float:
        """The probability that a try fails, outages apart."""
        facts = self._clearings[clearing]
        kind = self._kinds[bank]
        rate = facts.failure.get(kind, facts.failure.get("", 0.0))
        week, hour, end = self._slots[min(int((at - self.start) // HOUR_S), len(self._slots) - 1)]
        rate *= self._factors[(clearing, bank)][min(week, self.world.days // 7 + 1)]
        if hour in facts.strain_hours:
            rate *= facts.strain_month_end if end else facts.strain_factor
        return min(rate, 1.0)

    def down(self, way: Candidate, payee_bank: str, at: float) -> Outage | None:
        """The outage that strikes a try at this moment, at our end or the payee's."""
        pairs = [(way.rail, way.bank)]
        if way.flag:
            pairs.append((way.flag, way.bank))
        if way.clearing != BOOK:
            pairs.append((way.clearing, payee_bank))
        for pair in pairs:
            for outage in self.outages.get(pair, ()):
                if outage.start <= at < outage.end:
                    return outage
        return None

    def silent_until(self, way: Candidate, payee_bank: str, at: float) -> tuple[float, float]:
        """When a silence that swallows this try ends (0: none), and the share executed."""
        for bank, clearings, start, silence in self._silences:
            if (
                way.clearing in clearings
                and bank in (payee_bank, way.bank)
                and start <= at < start + silence.hours * HOUR_S
            ):
                return start + silence.hours * HOUR_S, silence.executed
        return 0.0, 0.0

    def freeze(self, clearing: str, amount_fen: int) -> float:
        """The probability that a payment that goes through is held up."""
        freeze = self._clearings[clearing].freeze
        return freeze.probability if freeze and amount_fen > freeze.above_fen else 0.0

    def arrival(self, clearing: str, bank: str) -> Arrival:
        facts = self._clearings[clearing]
        return facts.arrival.get(self._kinds[bank]) or facts.arrival[""]

    def round_wait(self, clearing: str, bank: str, accepted: float) -> float:
        """Seconds from acceptance to the netting round that credits; 0 where none is awaited."""
        minutes = self._clearings[clearing].round_minutes
        if not minutes or f"{clearing}:{bank}" in self._at_acceptance:
            return 0.0
        step = 60.0 * minutes
        return step - (accepted - self.start) % step

    def luck(self, number: int, tries: int) -> Luck:
        """The luck of a payment's n-th try."""
        if tries == 0:
            return self._luck[number]
        return _draw(random.Random(f"luck:{self._seed}:{number}:{tries}"))

    def happens(self, payment: Payment, way: Candidate, tries: int, at: float) -> Happened:
        """What becomes of a try sent now."""
        luck = self.luck(payment.number, tries)
        answer = at + 1.0 + 4.0 * luck.long
        outage = self.down(way, payment.payee_bank, at)
        if outage is not None:
            if luck.silent < self.world.outages.silent_share:
                return Happened("lost", outage.end + 300.0, False, 0.0)
            return Happened("rejected", answer, False, 0.0)
        ends, executed = self.silent_until(way, payment.payee_bank, at)
        if ends:
            done = luck.executed < executed
            return Happened("silent", ends + 600.0, done, ends + 300.0 if done else 0.0)
        if self.data_fault[payment.number]:
            return Happened("data_fault", answer, False, 0.0)
        if luck.fails < self.failure(way.clearing, payment.payee_bank, at):
            return Happened("rejected", answer, False, 0.0)
        return self._goes_through(payment, way, luck, at)

    def _goes_through(
        self, payment: Payment, way: Candidate, luck: Luck, at: float
    ) -> Happened:  # fmt: skip
        law = self.arrival(way.clearing, payment.payee_bank)
        seconds = law.median_s * math.exp(law.sigma * luck.arrival)
        seconds += self.round_wait(way.clearing, payment.payee_bank, at + seconds)
        if self._clearings[way.clearing].working_hours:
            seconds += self._hours.wait(at)
        doubt = self.world.doubt
        if luck.doubt < doubt.share:
            low, high = doubt.resolved_minutes
            told = at + 60.0 * (low + (high - low) * luck.long)
            executed = luck.executed < doubt.executed
            arrives = at + seconds if executed else 0.0
            return Happened("lost", max(told, arrives), executed, arrives)
        if luck.freezes < self.freeze(way.clearing, payment.amount_fen):
            freeze = self._clearings[way.clearing].freeze
            assert freeze is not None
            low, high = freeze.days
            arrives = at + seconds + DAY_S * (low + (high - low) * luck.long)
            return Happened("frozen", arrives, True, arrives)
        return Happened("settled", at + seconds, True, at + seconds)


def _faults(world: World, seed: int) -> list[bool]:
    rng = random.Random(f"faults:{seed}")
    return [rng.random() < world.data_faults for _ in range(world.traffic.payments)]


def _lucks(world: World, seed: int) -> list[Luck]:
    rng = random.Random(f"luck:{seed}")
    return [_draw(rng) for _ in range(world.traffic.payments)]


def _draw(rng: random.Random) -> Luck:
    draw = rng.random
    return Luck(draw(), draw(), draw(), rng.gauss(0.0, 1.0), draw(), draw(), draw())


class _Hours:
    """Waiting for HVPS to open, for a try sent while it is closed."""

    def __init__(self) -> None:
        self._catalog = shipped()
        self._open_until = 0.0

    def wait(self, at: float) -> float:
        if at < self._open_until:
            return 0.0
        moment = datetime.fromtimestamp(at, CHINA)
        answer = self._catalog.open_at("hvps", moment)
        if isinstance(answer, Open) and answer.until is not None:
            self._open_until = answer.until.timestamp()
            return 0.0
        opening = self._catalog.next_opening("hvps", moment)
        return opening.timestamp() - at if isinstance(opening, datetime) else 0.0


def _stop(rail: str, bank: str, start: float, end: float) -> catalog_words.Maintenance:
    return catalog_words.Maintenance(
        rail=rail,
        bank=bank,
        valid_from=datetime.fromtimestamp(start, CHINA),
        valid_until=datetime.fromtimestamp(end, CHINA),
        source="announced by the world",
        words="announced stop",
    )


def _public(world: World) -> Catalog:
    """The shipped catalog, with the world's limits and tariffs in place of it."""
    since = china_midnight(world.from_day) - timedelta(days=400)
    facts: list[catalog_words.Fact] = []
    base = shipped()
    for clearing in world.clearings:
        if clearing.name == BOOK:
            continue
        facts.append(
            catalog_words.Limit(
                rail=clearing.name, valid_from=since, per_payment_fen=clearing.limit_fen,
                source="the world",
            )
        )  # fmt: skip
        if not clearing.working_hours and clearing.name not in base.rails:
            facts.append(
                catalog_words.Hours(
                    rail=clearing.name, valid_from=since, around_the_clock=True, source="the world"
                )
            )
        facts += _tariffs(world, clearing, since)
    return base.with_facts(facts)


def _tariffs(world: World, clearing: Clearing, since: datetime) -> list[catalog_words.Fact]:
    if clearing.fee_fen is not None:
        bands: tuple[catalog_words.Band, ...] = (catalog_words.Band(flat_fen=clearing.fee_fen),)
    else:
        listed, _ = shipped().tariff_on("", catalog_words.COUNTER, china_midnight(world.from_day))
        bands = listed.bands if listed else ()
    facts: list[catalog_words.Fact] = [
        catalog_words.Tariff(
            rail=clearing.name, valid_from=since, bands=bands, source="the world",
            in_bank_free=False,
        )
    ]  # fmt: skip
    if clearing.fee_fen is None:
        facts += [
            catalog_words.Discount(
                rail=clearing.name, bank=own.bank, valid_from=since, source="the world",
                percent_off=own.discount_percent,
            )
            for own in world.own_banks
            if own.discount_percent
        ]  # fmt: skip
    return facts
