"""Judges the candidates of a batch: beliefs at one moment, looked up once, made into scores."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from math import exp, log1p, log10, sqrt

from caiwutong.routing.beliefs import (
    BandOutlook,
    Beliefs,
    Moment,
    OwnOutlook,
    PayeeOutlook,
    band_of,
    band_outlook,
    channel_outlook,
    own_outlook,
    payee_outlook,
    trust_of,
)
from caiwutong.routing.lanes import Lane, Row
from caiwutong.routing.model import Ask, FeeBand, Profile, Score
from caiwutong.routing.policy import Policy, Units, Weights

SUSPECT = 0.01
"""From this probability of being down on, a way is worth a probe."""
PROBE = 25.0
"""How much more often than exploring, a way that may be down is probed."""
_PROBE_BROKEN = 1.0
"""The same for a way that is probably down."""
_DOWN_FAILS = 0.95


_Channel = tuple[float, float, float, float, float, float, float]
"""What to expect of one clearing for one payment: failure, spread, arrival in seconds, freeze, the
loss of arrival and freeze, the share in which it is up, and the probability that it is down."""


class Board:
    """What a batch knows."""

    def __init__(self, beliefs: Beliefs, now: Moment, policy: Policy) -> None:
        self.beliefs = beliefs
        self.now = now
        self.policy = policy
        self.rates = {
            profile: rates(weights, policy.units) for profile, weights in policy.weights.items()
        }
        self._payee: dict[tuple[str, str], PayeeOutlook] = {}
        self._band: dict[tuple[str, int], BandOutlook] = {}
        self.own: dict[tuple[str, str], OwnOutlook] = {}
        self._channels: dict[str, tuple[float, float]] = {}
        self._trust: dict[str, tuple[float, ...]] = {}
        self.channels: dict[
            tuple[str, str, int, Profile, float], dict[tuple[str, float], _Channel]
        ] = {}
        self.probed: set[tuple[str, str]] = set()
        """Ways a payment of this batch goes to find out about: one is enough."""
        failed, expected, _ = beliefs.cells.get(("x",), (0.0, 0.0, 0.0))
        self.paused = failed - expected >= policy.exploration.most_extra_failures

    def trust(self, clearing: str) -> tuple[float, ...]:
        found = self._trust.get(clearing)
        if found is None:
            found = self._trust[clearing] = trust_of(self.beliefs, clearing)
        return found

    def _channel(self, clearing: str) -> tuple[float, float]:
        found = self._channels.get(clearing)
        if found is None:
            found = self._channels[clearing] = channel_outlook(
                self.beliefs, clearing, self.now, self.trust(clearing)
            )
        return found

    def towards(self, clearing: str, payee_bank: str, kind: str) -> PayeeOutlook:
        """The outlook of a clearing towards a payee bank."""
        key = (clearing, payee_bank)
        found = self._payee.get(key)
        if found is None:
            found = self._payee[key] = payee_outlook(
                self.beliefs, clearing, payee_bank, kind, self.now, self.trust(clearing),
                self._channel(clearing),
            )  # fmt: skip
        return found

    def band(self, clearing: str, band: int) -> BandOutlook:
        """The outlook of a clearing for an amount band."""
        key = (clearing, band)
        found = self._band.get(key)
        if found is None:
            found = self._band[key] = band_outlook(
                self.beliefs, clearing, band, self.now, self.trust(clearing)
            )
        return found

    def channel(
        self,
        channel: tuple[str, float],
        ask: Ask,
        band: int,
        per_arrival: float,
        per_freeze: float,
        caution: float,
    ) -> _Channel:
        """What to expect of this clearing for a payment of this kind."""
        clearing, typical = channel
        towards = self.towards(clearing, ask.payee_bank, ask.payee_kind)
        amount = self.band(clearing, band)
        log, base = typical, self.beliefs.priors.delay_weight
        if towards.log_arrival is not None:
            weight = towards.log_weight
            log = (base * typical + weight * towards.log_arrival) / (base + weight)
        freeze = min(amount.freeze + caution * amount.freeze_sd, 1.0)
        return (
            towards.failure * amount.factor,
            towards.relative_variance + amount.relative_variance,
            exp(log) - 1.0,
            freeze,
            per_arrival * log + per_freeze * freeze,
            1.0 - _DOWN_FAILS * towards.down,
            towards.down,
        )

    def own_of(self, row: Row) -> OwnOutlook:
        found = self.own.get(row.own)
        if found is None:
            found = self.own[row.own] = own_outlook(
                self.beliefs, row.mode, row.clearing, row.bank, self.now, self.trust(row.clearing)
            )
        return found

    def may_explore(self, ask: Ask, times: float) -> bool:
        """Small, unhurried first tries only, and only the share of them the policy allows."""
        exploration = self.policy.exploration
        if (
            self.paused
            or ask.tried
            or ask.asked_for
            or ask.profile is Profile.URGENT
            or ask.amount_fen > exploration.up_to_fen
        ):
            return False
        return lot(ask) < exploration.share * times


class Judge:
    """Scores the candidates of one ask."""

    __slots__ = (
        "_amount", "_ask", "_board", "_breaker", "_channels", "_fees", "_own", "_per_failure",
        "_per_fee", "suspects",
    )  # fmt: skip

    def __init__(self, board: Board, ask: Ask, lane: Lane) -> None:
        policy = board.policy
        self._per_failure, per_arrival, self._per_fee, per_freeze = board.rates[ask.profile]
        caution = policy.caution if ask.amount_fen >= policy.large_fen else 0.0
        self._ask, self._board, self._amount = ask, board, ask.amount_fen
        self._breaker = policy.breaker
        self._own = board.own
        self._fees = [fee_of(bands, ask.amount_fen) for bands in lane.fees]
        self.suspects: list[tuple[Row, OwnOutlook]] = []
        band = band_of(ask.amount_fen)
        shape = (ask.payee_bank, ask.payee_kind, band, ask.profile, caution)
        kept = board.channels.get(shape)
        if kept is None:
            kept = board.channels[shape] = {}
        channels: list[_Channel] = []
        for channel in lane.channels:
            found = kept.get(channel)
            if found is None:
                found = kept[channel] = board.channel(
                    channel, ask, band, per_arrival, per_freeze, caution
                )
            channels.append(found)
        self._channels = channels

    def score(self, row: Row) -> Score | None:
        """What is expected of this row; None: it is probably down. What may be down is noted as a
        suspect."""
        own = self._own.get(row.own) or self._board.own_of(row)
        factor, variance, down = own
        failure, spread, arrival_s, freeze, loss, up, away = self._channels[row.channel]
        if away >= SUSPECT or down >= SUSPECT:
            self.suspects.append((row, own))
            if away >= self._breaker or down >= self._breaker:
                return None
        rate = failure * factor
        works = (1.0 - (rate if rate < 0.95 else 0.95)) * up * (1.0 - _DOWN_FAILS * down)
        fee = self._fees[row.fees]
        fails = 1.0 - works
        loss += self._per_failure * fails + self._per_fee * fee
        return Score(arrival_s, works, fee, freeze, loss, fails * sqrt(spread + variance))

    def waiting_loss(self, row: Row) -> float:
        """The loss of a row that is closed now, were it open."""
        own, channel = self._board.own_of(row), self._channels[row.channel]
        return self._if_up(row, own, channel).loss

    def _if_up(self, row: Row, own: OwnOutlook, channel: _Channel) -> Score:
        failure, spread, arrival_s, freeze, loss, _, _ = channel
        works = 1.0 - min(failure * own.factor, 0.95)
        fee = self._fees[row.fees]
        loss += self._per_failure * (1.0 - works) + self._per_fee * fee
        unsure = (1.0 - works) * sqrt(spread + own.relative_variance)
        return Score(arrival_s, works, fee, freeze, loss, unsure)

    def half_open(self) -> tuple[Row, Score] | None:
        """Where only ways that are probably down are left: the best of them, each once a batch.
        One payment is sent to see; the rest wait for what it learns."""
        found: tuple[Row, Score] | None = None
        through = ("", "")
        for row, own in self.suspects:
            way = self._way(row, own)
            if way in self._board.probed:
                continue
            hoped = self._if_up(row, own, self._channels[row.channel])
            if found is None or hoped.loss < found[1].loss:
                found, through = (row, hoped), way
        if found is not None:
            self._board.probed.add(through)
        return found

    def _way(self, row: Row, own: OwnOutlook) -> tuple[str, str]:
        """What is down: our bank's end of the way, or the payee's bank on it."""
        away = self._channels[row.channel][6]
        return row.mode, row.bank if own.down > away else self._ask.payee_bank

    def probe(self, scores: list[Score | None], least: float) -> Row | None:
        """The suspect that would be best if it were up, in proportion to how likely that is: when
        everybody turns away from a way after one failure, nobody learns that it works. Its score
        is then the one of a way that is up."""
        board, share = self._board, self._board.policy.exploration.share
        for row, own in self.suspects:
            channel = self._channels[row.channel]
            away = channel[6]
            way = self._way(row, own)
            if way in board.probed:
                continue
            up = (1.0 - away) * (1.0 - own.down)
            times = PROBE if up > 1.0 - self._breaker else _PROBE_BROKEN
            if lot(self._ask) >= share * times * up:
                continue
            hoped = self._if_up(row, own, channel)
            if hoped.loss < least:
                scores[row.index] = hoped
                board.probed.add(way)
                return row
        return None

    def explore(self, rows: Sequence[Row], scores: list[Score | None]) -> Row | None:
        """The way that would be best if what is not known of its failures turned out well; its
        score is then the optimistic one, by which it is dominated by none."""
        exploration = self._board.policy.exploration
        top = max(score.success for score in scores if score is not None)
        best: Row | None = None
        hoped: Score | None = None
        for row in rows:
            score = scores[row.index]
            if score is None or score.success < top - exploration.most_risk:
                continue
            failure = 1.0 - score.success
            # The lower end of a log-normal with this relative spread.
            spread = log1p((score.unsure / failure) ** 2) if failure > 0.0 else 0.0
            gain = failure * (1.0 - exp(-exploration.optimism * sqrt(spread)))
            loss = score.loss - self._per_failure * gain
            if hoped is None or loss < hoped.loss:
                best, hoped = row, Score(
                    score.arrival_s, score.success + gain, score.fee_fen, score.freeze, loss,
                    score.unsure,
                )  # fmt: skip
        if best is not None:
            scores[best.index] = hoped
        return best


def lot(ask: Ask) -> float:
    """A number from 0 to 1 drawn by the payment's own key: the same each time it is asked."""
    return zlib.crc32(ask.key.encode()) / 4_294_967_296.0


def rates(weights: Weights, units: Units) -> tuple[float, float, float, float]:
    """Loss of a certain failure, of one e-fold of arrival, of a fen, and of a certain freeze."""
    return (
        weights.failure / units.failure,
        weights.arrival / units.arrival * log10(exp(1.0)),
        weights.fee / units.fee_fen,
        weights.freeze / units.freeze,
    )


def fee_of(bands: Sequence[FeeBand], amount_fen: int) -> int:
    """What the bank takes, in fen; the discount is off the listed fee, rounded half up."""
    for band in bands:
        if band.up_to_fen is None or amount_fen <= band.up_to_fen:
            listed = band.flat_fen + (amount_fen * band.rate_ppm + 500_000) // 1_000_000
            if band.cap_fen is not None:
                listed = min(listed, band.cap_fen)
            return (listed * (100 - band.percent_off) + 50) // 100
    return 0
