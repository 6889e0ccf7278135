"""Decides which way a payment goes.

First the hard filters: what is not connected, not permitted, excluded, closed, too small for the
amount, out of funds, or probably down, is dropped with its reason. Of the rest each gets a score,
and the profile of the ask picks the least loss. Every weight is above zero and every measure only
adds to the loss, so the pick always lies on the Pareto front. Nothing open: ``Later`` with the
next opening. Nothing at all: a ``Refusal`` that says why. A payment is never split.

The batch is the operation (``decide_many``); a ``Router`` keeps what asks have in common between
calls: candidates prepared once, catalog answers until they change, beliefs once a batch.

Read next: ``explain.py`` (words and front), ``planning.py`` (many payments before a cut-off).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import exp, log1p, log10, sqrt

from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.money import yuan
from caiwutong.routing.beliefs import (
    Beliefs,
    Moment,
    OwnOutlook,
    PayeeOutlook,
    band_of,
    moment,
    own_outlook,
    payee_outlook,
)
from caiwutong.routing.model import (
    Ask,
    Candidate,
    Conditions,
    Decision,
    FeeBand,
    Later,
    Profile,
    Score,
    Standing,
    Why,
    Words,
)
from caiwutong.routing.policy import HOUSE, Policy, Units, Weights

Answer = Decision | Later | Refusal

_TRIED = Why("tried", "It gave a definite no already.", "该路径已明确拒绝本笔付款。")
_FUNDS = Why("funds", "The account has not enough.", "账户可用资金不足。")
_LIMIT = Why("limit", "The amount is above its limit.", "金额超过单笔限额。")
_OWN_LIMIT = Why("limit", "The bank's own limit for this account.", "超过开户行对该账户的限额。")
_BREAKER = Why(
    "breaker",
    "It has been failing or silent and is probably down.",
    "近期连续失败或无回执，暂时熔断。",
)
_NOT_CONNECTED = Why("not_connected", "This house has no connection for it.", "本机构未接入。")
_EXCLUDED = Why("excluded", "The routing policy leaves it out.", "路由规则排除。")
_NOT_THIS_BANK = Why(
    "not_this_bank", "The payee's account is at another bank.", "收款账户不在本行。"
)
_FAR = datetime.max.replace(tzinfo=UTC)
_MOST_LANES = 8_192


def decide(
    ask: Ask,
    candidates: Sequence[Candidate],
    catalog: Conditions,
    beliefs: Beliefs,
    now: datetime,
    policy: Policy = HOUSE,
) -> Answer:
    """The way of one payment: a batch of one."""
    return Router(catalog, policy).decide_many([(ask, candidates)], beliefs, now)[0]


def decide_many(
    asks: Iterable[tuple[Ask, Sequence[Candidate]]],
    catalog: Conditions,
    beliefs: Beliefs,
    now: datetime,
    policy: Policy = HOUSE,
) -> list[Answer]:
    """The way of each payment, in order. Each is decided by itself: funds that several asks need
    are shared out by ``planning.plan``, not here."""
    return Router(catalog, policy).decide_many(asks, beliefs, now)


class _Row:
    """A candidate in a lane that may be used: what does not depend on the amount, looked up."""

    __slots__ = (
        "bank", "candidate", "clearing", "closes_at", "fees", "index", "key", "limit_fen", "mode",
        "note", "own_limit_fen", "typical",
    )  # fmt: skip

    def __init__(self, index: int, candidate: Candidate, standing: Standing, fees: int) -> None:
        self.index = index
        self.candidate = candidate
        self.key = candidate.key
        self.mode = candidate.mode
        self.clearing = candidate.clearing
        self.bank = candidate.bank
        self.fees = fees
        self.typical = log1p(standing.typical_seconds)
        self.closes_at = standing.closes_at
        self.note = standing.note
        self.limit_fen = -1 if standing.limit_fen is None else standing.limit_fen
        if standing.limit_fen is not None and not standing.limit_inclusive:
            self.limit_fen -= 1
        self.own_limit_fen = candidate.own_limit_fen


class _Lane:
    """Candidates towards one payee bank, while their standing holds."""

    __slots__ = ("candidates", "dropped", "fees", "rows", "until", "waiting")

    def __init__(
        self, candidates: Sequence[Candidate], payee: str, catalog: Conditions, policy: Policy,
        now: datetime,
    ) -> None:  # fmt: skip
        self.candidates = tuple(candidates)
        self.until = _FAR
        self.rows: list[_Row] = []
        self.waiting: list[tuple[datetime, _Row]] = []
        self.fees: list[tuple[FeeBand, ...]] = []
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
        row = _Row(index, candidate, standing, self.fees.index(standing.fees))
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
    if candidate.clearing == "book" and payee and candidate.bank != payee:
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


class Router:
    """Decides batches under one policy. What it keeps between calls are only answers it would get
    again; decisions do not depend on what was decided before."""

    def __init__(self, catalog: Conditions, policy: Policy = HOUSE) -> None:
        self._catalog = catalog
        self._policy = policy
        self._lanes: dict[tuple[int, str], tuple[Sequence[Candidate], _Lane]] = {}
        self._asked_at: datetime | None = None

    @property
    def policy(self) -> Policy:
        return self._policy

    def forget(self) -> None:
        """Ask the catalog anew: call it when the catalog has changed."""
        self._lanes.clear()

    def decide_many(
        self,
        asks: Iterable[tuple[Ask, Sequence[Candidate]]],
        beliefs: Beliefs,
        now: datetime,
    ) -> list[Answer]:
        """The way of each payment at this moment, in order."""
        board = _Board(beliefs, moment(now), self._policy)
        if self._asked_at is not None and now < self._asked_at:
            self._lanes.clear()  # answers hold from the moment they were given, not before
        self._asked_at = now
        return [self._decide(ask, candidates, board, now) for ask, candidates in asks]

    def _lane(self, candidates: Sequence[Candidate], payee: str, now: datetime) -> _Lane:
        # By identity: the sequence is kept beside the lane, so its id cannot be given away.
        key = (id(candidates), payee)
        found = self._lanes.get(key)
        if found is not None and now < found[1].until:
            return found[1]
        if len(self._lanes) >= _MOST_LANES:
            self._lanes.clear()
        lane = _Lane(candidates, payee, self._catalog, self._policy, now)
        self._lanes[key] = (candidates, lane)
        return lane

    def _decide(
        self, ask: Ask, candidates: Sequence[Candidate], board: _Board, now: datetime
    ) -> Answer:
        if ask.refused is not None:
            return Refusal("routing.compliance", ask.refused.en, "Have the verdict looked at.")
        lane = self._lane(candidates, ask.payee_bank, now)
        amount, tried, asked = ask.amount_fen, ask.tried, ask.asked_for
        dropped = lane.dropped.copy()
        scores: list[Score | None] = [None] * len(dropped)
        judge = board.judge(ask, lane)
        best: _Row | None = None
        second: _Row | None = None
        least = runner = float("inf")
        for row in lane.rows:
            candidate = row.candidate
            if row.limit_fen >= 0 and amount > row.limit_fen:
                why: Why | None = _LIMIT
            elif row.own_limit_fen is not None and amount > row.own_limit_fen:
                why = _OWN_LIMIT
            elif candidate.available_fen is not None and amount > candidate.available_fen:
                why = _FUNDS
            elif tried and row.key in tried:
                why = _TRIED
            elif asked and asked != candidate.rail and asked != row.mode:
                why = Why("asked_for", f"{asked} was asked for.", f"指定了 {asked}。")
            else:
                score = judge.score(row)
                if score is None:
                    why = _BREAKER
                else:
                    scores[row.index] = score
                    loss = score.loss
                    if loss < least:
                        second, runner = best, least
                        best, least = row, loss
                    elif loss < runner:
                        second, runner = row, loss
                    continue
            dropped[row.index] = why
        if best is None:
            return self._otherwise(ask, lane, dropped, judge)
        explored = False
        if second is not None and board.may_explore(ask):
            better = judge.explore(lane.rows, scores)
            if better is not None and better is not best:
                explored, best, second = True, better, best
        score = scores[best.index]
        assert score is not None
        return Decision(
            ask=ask,
            chosen=best.candidate,
            score=score,
            runner_up=None if second is None else second.candidate,
            candidates=lane.candidates,
            scores=tuple(scores),
            dropped=tuple(dropped),
            explored=explored,
            send_before=best.closes_at,
            policy=self._policy.name,
            note=best.note,
        )

    def _otherwise(
        self, ask: Ask, lane: _Lane, dropped: list[Why | None], judge: _Judge
    ) -> Later | Refusal:
        """The next opening that could carry it; a way that is only probably down is tried again
        soon; else why nothing can."""
        soonest: tuple[datetime, float, _Row] | None = None
        for at, row in lane.waiting:
            if _fits(ask, row):
                loss = judge.loss_of(row)
                if soonest is None or (at, loss) < soonest[:2]:
                    soonest = (at, loss, row)
        if soonest is None:
            return refusal(ask, lane.candidates, dropped)
        at, _, row = soonest
        note_en = f" Provisional: {row.note}" if row.note else ""
        note_zh = "（暂定：该年节假日安排未公布，按周一至周五推算）" if row.note else ""
        return Later(
            ask=ask,
            at=at,
            candidate=row.candidate,
            candidates=lane.candidates,
            dropped=tuple(dropped),
            words=Words(
                f"Nothing can carry it now; {row.mode} opens at {at.isoformat()}.{note_en}",
                f"当前无可用路径；{row.mode} 将于 {at.isoformat()} 开放{note_zh}。",
            ),
            note=row.note,
        )


def _fits(ask: Ask, row: _Row) -> bool:
    amount, candidate = ask.amount_fen, row.candidate
    return not (
        (row.limit_fen >= 0 and amount > row.limit_fen)
        or (row.own_limit_fen is not None and amount > row.own_limit_fen)
        or (candidate.available_fen is not None and amount > candidate.available_fen)
        or row.key in ask.tried
        or (ask.asked_for and ask.asked_for not in (candidate.rail, row.mode))
    )


def refusal(ask: Ask, candidates: Sequence[Candidate], dropped: Sequence[Why | None]) -> Refusal:
    """Why no way can carry this payment, naming each with its reason."""
    reasons = "; ".join(
        f"{candidate.mode}: {why.en}"
        for candidate, why in zip(candidates, dropped, strict=True)
        if why is not None
    )
    return Refusal(
        "routing.no_channel",
        f"No channel can carry {yuan(ask.amount_fen)} CNY ({reasons or 'there is none'}).",
        "Pay from another account, or have a channel opened for this one. "
        "Amounts are never split to get under a limit.",
    )


class _Board:
    """What a batch knows: beliefs at one moment, each looked up once."""

    def __init__(self, beliefs: Beliefs, now: Moment, policy: Policy) -> None:
        self.beliefs = beliefs
        self.now = now
        self.policy = policy
        self.payee: dict[tuple[str, str, int], PayeeOutlook] = {}
        self.own: dict[tuple[str, str], OwnOutlook] = {}
        failed, expected, _ = beliefs.cells.get(("x",), (0.0, 0.0, 0.0))
        self.paused = failed - expected >= policy.exploration.most_extra_failures

    def judge(self, ask: Ask, lane: _Lane) -> _Judge:
        return _Judge(self, ask, lane)

    def may_explore(self, ask: Ask) -> bool:
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
        return zlib.crc32(ask.key.encode()) % 100_000 < exploration.share * 100_000


class _Judge:
    """Scores the candidates of one ask."""

    __slots__ = (
        "amount", "band", "board", "breaker", "caution", "fees", "kind", "lane", "payee_bank",
        "per_arrival", "per_failure", "per_fee", "per_freeze",
    )  # fmt: skip

    def __init__(self, board: _Board, ask: Ask, lane: _Lane) -> None:
        policy = board.policy
        weights, units = policy.weights[ask.profile], policy.units
        self.per_failure, self.per_arrival, self.per_fee, self.per_freeze = rates(weights, units)
        self.caution = policy.caution if ask.amount_fen >= policy.large_fen else 0.0
        self.breaker = policy.breaker
        self.board = board
        self.lane = lane
        self.amount = ask.amount_fen
        self.band = band_of(ask.amount_fen)
        self.payee_bank = ask.payee_bank
        self.kind = ask.payee_kind
        self.fees: list[int] = [-1] * len(lane.fees)

    def _outlooks(self, row: _Row) -> tuple[PayeeOutlook, OwnOutlook]:
        board = self.board
        towards = board.payee.get((row.clearing, self.payee_bank, self.band))
        if towards is None:
            towards = board.payee[(row.clearing, self.payee_bank, self.band)] = payee_outlook(
                board.beliefs, row.clearing, self.payee_bank, self.kind, self.band, board.now
            )
        own = board.own.get((row.mode, row.bank))
        if own is None:
            own = board.own[(row.mode, row.bank)] = own_outlook(
                board.beliefs, row.mode, row.bank, board.now
            )
        return towards, own

    def score(self, row: _Row) -> Score | None:
        """What is expected of it; None: it is probably down."""
        towards, own = self._outlooks(row)
        if towards.down >= self.breaker or own.down >= self.breaker:
            return None
        return self._score(row, towards, own)

    def loss_of(self, row: _Row) -> float:
        return self._score(row, *self._outlooks(row)).loss

    def _score(self, row: _Row, towards: PayeeOutlook, own: OwnOutlook) -> Score:
        works = 1.0 - min(towards.failure * own.factor, 0.95)
        works *= (1.0 - 0.95 * towards.down) * (1.0 - 0.95 * own.down)
        failure = 1.0 - works
        base = self.board.beliefs.priors.delay_weight
        log_arrival = row.typical
        if towards.log_arrival is not None:
            log_arrival = (base * row.typical + towards.log_weight * towards.log_arrival) / (
                base + towards.log_weight
            )
        freeze = min(towards.freeze + self.caution * towards.freeze_sd, 1.0)
        fee = self.fees[row.fees]
        if fee < 0:
            fee = self.fees[row.fees] = fee_of(self.lane.fees[row.fees], self.amount)
        loss = (
            self.per_failure * failure
            + self.per_arrival * log_arrival
            + self.per_fee * fee
            + self.per_freeze * freeze
        )
        unsure = failure * sqrt(towards.relative_variance + own.relative_variance)
        return Score(exp(log_arrival) - 1.0, works, fee, freeze, loss, unsure)

    def explore(self, rows: Sequence[_Row], scores: list[Score | None]) -> _Row | None:
        """The way that would be best if what is not known of its failures turned out well; its
        score is then the optimistic one, by which it is dominated by none."""
        optimism = self.board.policy.exploration.optimism
        best: _Row | None = None
        hoped: Score | None = None
        for row in rows:
            score = scores[row.index]
            if score is None:
                continue
            gain = min(optimism * score.unsure, 1.0 - score.success)
            loss = score.loss - self.per_failure * gain
            if hoped is None or loss < hoped.loss:
                best, hoped = row, Score(
                    score.arrival_s, score.success + gain, score.fee_fen, score.freeze, loss,
                    score.unsure,
                )  # fmt: skip
        if best is not None:
            scores[best.index] = hoped
        return best


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
