"""What the centre decides about BEPS payments: whether it is open, whether the participant's quota
allows one more, and when a netting round closes.

Rounds, hours and limits are dated facts of the shipped catalog; the sandbox adds the outages it
announces itself (ccms.809): every second Saturday of a month from midnight to eight, and what a
person orders. While it is out of service nothing is taken and no round closes; what waits is netted
in the first round after. The quota (轧差额度) bounds what the participant owes and has not settled;
a payment that would pass it is refused (RJ94). Half of the banks credit their customer as soon as
they say yes, the others when the round closes.
Next: ``beps``, which speaks, and ``network``, which moves the money.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta

from caiwutong.kernel.clock import CHINA, china_date, china_midnight
from caiwutong.rails.catalog import Catalog, Closed, shipped, within
from caiwutong.rails.catalog.model import Maintenance
from caiwutong.sandbox.centre import RETURN, Transfer
from caiwutong.sandbox.network import LEAST_NETTING_REAL_S, Network

SYSTEM = "beps"
PART = 500
"""A round is closed in parts of this many, so that the sandbox stays answerable."""
MAINTENANCE_HOURS = 8
ANNOUNCED_BEFORE = timedelta(days=1)

_OUTAGES = """
CREATE TABLE IF NOT EXISTS beps_outages (
  since TEXT NOT NULL PRIMARY KEY, until TEXT, words TEXT NOT NULL, announced TEXT NOT NULL)
"""


class BepsCentre:
    """BEPS at the clearing centre. It is one of the network's fronts, to keep count."""

    def __init__(self, network: Network, *, round_s: float = 0.0) -> None:
        """``round_s``: business seconds between rounds, instead of what the catalog says."""
        self.network = network
        self._code = network.world.sponsor
        self._round_s = round_s
        self._base = shipped()
        self.quota_fen = network.world.netting_quota_fen
        network.centre.write(_OUTAGES)
        network.centre.commit()
        self._catalog = self._with_outages()
        self._debt_fen = network.centre.exposure_fen(self._code, SYSTEM)
        at = network.clock.now()
        self._next_round = self._round_after(at)
        self._looked_on: date | None = None
        self._last_real = 0.0
        self._at_once = {
            bank.code for bank in network.world.banks if bank.beps_credit == "acceptance"
        }
        network.credits_at_acceptance = self._credits_at_acceptance

    # -- hours

    def closed(self, at: datetime) -> Closed | None:
        """Why nothing is taken now, or None."""
        answer = self._catalog.open_at(SYSTEM, at)
        return answer if isinstance(answer, Closed) else None

    def announce(self, since: datetime, until: datetime | None, words: str) -> Maintenance:
        """Note an outage; announcing the same beginning again changes its end."""
        outage = Maintenance(
            rail=SYSTEM, valid_from=since, valid_until=until, words=words, source="the sandbox"
        )
        self.network.centre.write(
            "INSERT INTO beps_outages VALUES (?,?,?,?) ON CONFLICT (since) DO UPDATE SET"
            " until = excluded.until, words = excluded.words",
            since.isoformat(),
            until.isoformat() if until else None,
            words,
            self.network.clock.now().isoformat(),
        )
        self._catalog = self._with_outages()
        self._next_round = self._round_after(self.network.clock.now())
        return outage

    def outages(self) -> list[Maintenance]:
        """Every outage announced so far, by its beginning."""
        rows = self.network.centre.read("SELECT since, until, words FROM beps_outages ORDER BY 1")
        return [
            Maintenance(
                rail=SYSTEM,
                valid_from=datetime.fromisoformat(since),
                valid_until=datetime.fromisoformat(until) if until else None,
                words=words,
                source="the sandbox",
            )
            for since, until, words in rows
        ]

    def due_maintenance(self, at: datetime) -> Maintenance | None:
        """The Saturday's maintenance that must be announced now and has not been. To be asked on
        every tick; looks once a day."""
        today = china_date(at)
        if self._looked_on == today:
            return None
        self._looked_on = today
        known = {each.valid_from for each in self.outages()}
        for day in (today, today + timedelta(days=1)):
            since = china_midnight(day)
            until = since + timedelta(hours=MAINTENANCE_HOURS)
            if _second_saturday(day) and since not in known and at < until:
                return self.announce(since, until, "小额支付系统例行维护")
        return None

    def _with_outages(self) -> Catalog:
        return self._base.with_facts(self.outages())

    # -- limits

    def within_limit(self, amount_fen: int, at: datetime) -> bool:
        """Whether one payment may carry so much today."""
        limit = self._catalog.limit_on(SYSTEM, at)
        return limit is None or within(limit, amount_fen)

    def within_quota(self, amount_fen: int) -> bool:
        """Whether the participant may owe so much more; zero is no quota at all."""
        return not self.quota_fen or self._debt_fen + amount_fen <= self.quota_fen

    def owed(self, amount_fen: int) -> None:
        """A payment is under way."""
        self._debt_fen += amount_fen

    @property
    def debt_fen(self) -> int:
        """What the participant owes and has not settled."""
        return self._debt_fen

    # -- rounds

    def tick(self, now: float) -> None:
        """Close a round, or a part of it, once its moment has come."""
        at, real = self.network.clock.now(), time.monotonic()
        if at < self._next_round or real < self._last_real + LEAST_NETTING_REAL_S:
            return
        self._last_real = real
        if self.closed(at) is not None or self.network.net(SYSTEM, PART) < PART:
            self._next_round = self._round_after(at)

    def close_round(self) -> int:
        """Close a round now, whole; gives how many payments it made final."""
        return self.network.net(SYSTEM)

    @property
    def next_round(self) -> datetime:
        """When the next round closes."""
        return self._next_round

    def _round_after(self, at: datetime) -> datetime:
        """The first round after this moment at which the centre is open."""
        while True:
            following = self._next(at)
            closed = self.closed(following)
            if closed is None:
                return following
            if closed.until is None:
                return datetime.max.replace(tzinfo=CHINA)
            at = closed.until - timedelta(microseconds=1)

    def _next(self, at: datetime) -> datetime:
        if self._round_s:
            return at + timedelta(seconds=self._round_s)
        following = self._catalog.next_round(SYSTEM, at)
        assert isinstance(following, datetime), "the shipped catalog knows the rounds"
        return following

    def _credits_at_acceptance(self, transfer: Transfer) -> bool:
        return (
            transfer.system == SYSTEM
            and transfer.kind != RETURN
            and transfer.payee_bank in self._at_once
        )

    # -- Front: keeping count of the quota

    def answered(self, transfer: Transfer) -> None:
        """A payment refused later than it was taken is no longer owed."""
        if self._ours(transfer) and transfer.code:
            self._debt_fen -= transfer.amount_fen

    def revoked(self, transfer: Transfer) -> None:
        """A payment taken back is no longer owed."""
        if self._ours(transfer):
            self._debt_fen -= transfer.amount_fen

    def netted(self, transfers: list[Transfer]) -> None:
        """What others owe us lowers our debt."""
        for transfer in transfers:
            if transfer.system == SYSTEM and transfer.payee_bank == self._code:
                self._debt_fen -= transfer.amount_fen

    def settled(self, settlement: int, transfers: list[Transfer]) -> None:
        """What is settled is no longer owed."""
        self._debt_fen = self.network.centre.exposure_fen(self._code, SYSTEM)

    def _ours(self, transfer: Transfer) -> bool:
        return transfer.system == SYSTEM and transfer.payer_bank == self._code


def _second_saturday(day: date) -> bool:
    """Own: which Saturdays are announced changes by notice."""
    return day.weekday() == 5 and 8 <= day.day <= 14
