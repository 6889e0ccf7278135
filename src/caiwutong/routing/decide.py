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

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.money import yuan
from caiwutong.routing.beliefs import Beliefs, moment
from caiwutong.routing.judge import PROBE, Board, Judge
from caiwutong.routing.lanes import Lane, Row
from caiwutong.routing.model import (
    Ask,
    Candidate,
    Conditions,
    Decision,
    Later,
    Score,
    Why,
    Words,
)
from caiwutong.routing.policy import HOUSE, Policy

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
_MOST_LANES = 8_192
LOOK_AGAIN = timedelta(minutes=2)
"""When a payment is asked for again whose only ways are probably down."""


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


class Router:
    """Decides batches under one policy. What it keeps between calls are only answers it would get
    again; decisions do not depend on what was decided before."""

    def __init__(self, catalog: Conditions, policy: Policy = HOUSE) -> None:
        self._catalog = catalog
        self._policy = policy
        self._lanes: dict[tuple[int, str], tuple[Sequence[Candidate], Lane]] = {}
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
        board = Board(beliefs, moment(now), self._policy)
        if self._asked_at is not None and now < self._asked_at:
            self._lanes.clear()  # answers hold from the moment they were given, not before
        self._asked_at = now
        return [self._decide(ask, candidates, board, now) for ask, candidates in asks]

    def _lane(self, candidates: Sequence[Candidate], payee: str, now: datetime) -> Lane:
        # By identity: the sequence is kept beside the lane, so its id cannot be given away.
        key = (id(candidates), payee)
        found = self._lanes.get(key)
        if found is not None and now < found[1].until:
            return found[1]
        if len(self._lanes) >= _MOST_LANES:
            self._lanes.clear()
        lane = Lane(candidates, payee, self._catalog, self._policy, now)
        self._lanes[key] = (candidates, lane)
        return lane

    def _decide(
        self, ask: Ask, candidates: Sequence[Candidate], board: Board, now: datetime
    ) -> Answer:
        if ask.refused is not None:
            return Refusal("routing.compliance", ask.refused.en, "Have the verdict looked at.")
        lane = self._lane(candidates, ask.payee_bank, now)
        dropped = lane.dropped.copy()
        scores: list[Score | None] = [None] * len(dropped)
        judge = Judge(board, ask, lane)
        plain = not ask.tried and not ask.asked_for
        amount, judged = ask.amount_fen, judge.score
        best: Row | None = None
        second: Row | None = None
        least = runner = float("inf")
        for row in lane.rows:
            if 0 <= row.limit_fen < amount:
                dropped[row.index] = _LIMIT
                continue
            if row.bounded or not plain:
                why = _why_not(ask, row)
                if why is not None:
                    dropped[row.index] = why
                    continue
            score = judged(row)
            if score is None:
                dropped[row.index] = _BREAKER
                continue
            scores[row.index] = score
            loss = score.loss
            if loss < least:
                second, runner = best, least
                best, least = row, loss
            elif loss < runner:
                second, runner = row, loss
        sent_to_see = None if best is not None else judge.half_open()
        if sent_to_see is not None:
            best = sent_to_see[0]
            scores[best.index], dropped[best.index] = sent_to_see[1], None
        if best is None:
            return self._otherwise(ask, lane, dropped, judge, now)
        other: Row | None = None
        if judge.suspects and sent_to_see is None and board.may_explore(ask, PROBE):
            other = judge.probe(scores, least)
        if other is None and second is not None and board.may_explore(ask, 1.0):
            other = judge.explore(lane.rows, scores)
        explored = other is not None and other is not best
        if explored:
            assert other is not None
            dropped[other.index] = None
            best, second = other, best
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
        self, ask: Ask, lane: Lane, dropped: list[Why | None], judge: Judge, now: datetime
    ) -> Later | Refusal:
        """The next opening that could carry it; a way that is only probably down is looked at
        again soon; else why nothing can."""
        choices = [
            (at, judge.waiting_loss(row), row)
            for at, row in lane.waiting
            if _why_not(ask, row) is None
        ]
        choices += [
            (now + LOOK_AGAIN, judge.waiting_loss(row), row)
            for row in lane.rows
            if dropped[row.index] is _BREAKER
        ]
        if not choices:
            return refusal(ask, lane.candidates, dropped)
        at, _, row = min(choices, key=lambda choice: choice[:2])
        note_en = f" Provisional: {row.note}" if row.note else ""
        note_zh = "（暂定：该年节假日安排未公布，按周一至周五推算）" if row.note else ""
        return Later(
            ask=ask,
            at=at,
            candidate=row.candidate,
            candidates=lane.candidates,
            dropped=tuple(dropped),
            words=Words(
                f"Nothing can carry it now; {row.mode} may at {at.isoformat()}.{note_en}",
                f"当前无可用路径；{row.mode} 预计 {at.isoformat()} 可用{note_zh}。",
            ),
            note=row.note,
        )


def _why_not(ask: Ask, row: Row) -> Why | None:
    """What of this payment itself speaks against a row."""
    amount, candidate = ask.amount_fen, row.candidate
    if 0 <= row.limit_fen < amount:
        return _LIMIT
    if candidate.own_limit_fen is not None and amount > candidate.own_limit_fen:
        return _OWN_LIMIT
    if candidate.available_fen is not None and amount > candidate.available_fen:
        return _FUNDS
    if row.key in ask.tried:
        return _TRIED
    if ask.asked_for and ask.asked_for not in (candidate.rail, row.mode):
        asked = ask.asked_for
        return Why("asked_for", f"{asked} was asked for.", f"指定了 {asked}。")
    return None


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
