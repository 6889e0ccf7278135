"""Puts a decision into words: every candidate, why each was dropped, scores, front, runner-up.

Made when the attempt is written down, not while deciding: the front is found here.
"""

from __future__ import annotations

from collections.abc import Sequence

from caiwutong.kernel.money import yuan
from caiwutong.routing.model import (
    Candidate,
    Considered,
    Decision,
    Explanation,
    Later,
    Score,
    Why,
    Words,
)


def dominates(one: Score, other: Score) -> bool:
    """Whether one is at least as good in everything, and better in something."""
    return (
        one.arrival_s <= other.arrival_s
        and one.success >= other.success
        and one.fee_fen <= other.fee_fen
        and one.freeze <= other.freeze
        and (
            one.arrival_s < other.arrival_s
            or one.success > other.success
            or one.fee_fen < other.fee_fen
            or one.freeze < other.freeze
        )
    )


def front(scores: Sequence[Score | None]) -> set[int]:
    """The places of the candidates that no other dominates."""
    standing = [(place, score) for place, score in enumerate(scores) if score is not None]
    return {
        place
        for place, score in standing
        if not any(dominates(other, score) for _, other in standing)
    }


def explanation(decision: Decision) -> Explanation:
    """The decision as it is stored and shown."""
    chosen, score = decision.chosen, decision.score
    runner = decision.runner_up
    return Explanation(
        rail=chosen.rail,
        flag=chosen.flag,
        key=chosen.key,
        profile=decision.ask.profile.value,
        policy=decision.policy,
        explored=decision.explored,
        runner_up="" if runner is None else runner.key,
        words=_words(decision, score),
        considered=considered(
            decision.candidates, decision.dropped, decision.scores, front(decision.scores)
        ),
        provisional=decision.note,
    )


def explained_later(later: Later) -> tuple[Considered, ...]:
    """Each candidate of a plan for later, with why it cannot carry the payment now."""
    return considered(later.candidates, later.dropped, (None,) * len(later.candidates), set())


def considered(
    candidates: Sequence[Candidate],
    dropped: Sequence[Why | None],
    scores: Sequence[Score | None],
    on_front: set[int],
) -> tuple[Considered, ...]:
    """Candidates with what became of each."""
    return tuple(
        Considered(
            candidate.key,
            candidate.rail,
            candidate.flag,
            candidate.bank,
            why,
            score,
            place in on_front,
        )
        for place, (candidate, why, score) in enumerate(
            zip(candidates, dropped, scores, strict=True)
        )
    )


def _words(decision: Decision, score: Score) -> Words:
    left = sum(1 for each in decision.scores if each is not None)
    best = score.success * 100
    fee = yuan(score.fee_fen)
    seconds = _seconds(score.arrival_s)
    second = decision.runner_up
    behind_en = f" Second best: {second.mode}." if second else ""
    behind_zh = f"次优：{second.mode}。" if second else ""
    why_en = "chosen to learn more of it" if decision.explored else "least expected loss"
    why_zh = "为了解该路径而选" if decision.explored else "预期损失最小"
    return Words(
        f"{decision.chosen.mode}: {why_en} of {left} possible ways for a "
        f"{decision.ask.profile} payment; about {seconds} to arrive, {best:.2f} % likely to "
        f"succeed at once, fee {fee} CNY, {score.freeze * 100:.2f} % risk of being held up."
        f"{behind_en}",
        f"{decision.chosen.mode}：在 {left} 条可用路径中{why_zh}；预计 {seconds} 到账，"
        f"一次成功率 {best:.2f}%，手续费 {fee} 元，冻结或退汇风险 {score.freeze * 100:.2f}%。"
        f"{behind_zh}",
    )


def _seconds(value: float) -> str:
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7_200 else f"{value / 3600:.1f} h"
