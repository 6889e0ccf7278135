"""Plans many payments together: shares out funds, goes before cut-offs, and never splits one.

A single decision takes an account's money as given; a plan takes what one payment uses away from
the next. Urgent payments come first, then those whose last open way closes soonest, then the large:
they have the fewest ways. Each payment travels whole, over one way. A sum that was cut into
pieces below a reporting threshold (大额交易报告: a payee's payments of a day together reach it,
none alone does, and all pay the same debt) is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.money import yuan
from caiwutong.routing.beliefs import Beliefs
from caiwutong.routing.decide import Answer, Router
from caiwutong.routing.model import Ask, Candidate, Decision, Later, Profile

CORPORATE_FEN = 2_000_000_00
PERSONAL_FEN = 500_000_00
"""Transfers of a day that a bank reports: 2,000,000 CNY of units, 500,000 CNY of persons
(金融机构大额交易和可疑交易报告管理办法, 令〔2016〕3号, amended with effect from 2025-12-01)."""


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A payment to be planned."""

    ask: Ask
    candidates: Sequence[Candidate]
    payee: str
    """Who is paid, so that payments to one payee are seen together (a blind index will do)."""
    debt: str = ""
    """What is paid: contract, invoice or order number; empty where it is not said."""
    personal: bool = False


class Planned(msgspec.Struct, frozen=True):
    """What is to become of one payment."""

    key: str
    answer: Answer


def plan(
    due: Sequence[Due], router: Router, beliefs: Beliefs, now: datetime
) -> list[Planned]:  # fmt: skip
    """A way, a moment or a refusal for each payment, in the order in which they should go."""
    cut = _cut_up(due)
    left = {
        candidate.account_id: candidate.available_fen
        for each in due
        for candidate in each.candidates
        if candidate.available_fen is not None
    }
    first_look = router.decide_many([(d.ask, d.candidates) for d in due], beliefs, now)
    order = sorted(range(len(due)), key=lambda n: _pressing(due[n], first_look[n], n))
    planned: list[Planned] = []
    for place in order:
        each = due[place]
        if each.ask.key in cut:
            planned.append(Planned(each.ask.key, cut[each.ask.key]))
            continue
        ways = tuple(_with_funds(candidate, left) for candidate in each.candidates)
        (answer,) = router.decide_many([(each.ask, ways)], beliefs, now)
        if isinstance(answer, Decision | Later):
            way = answer.chosen if isinstance(answer, Decision) else answer.candidate
            funds = left.get(way.account_id)
            if funds is not None:
                left[way.account_id] = funds - each.ask.amount_fen
        planned.append(Planned(each.ask.key, answer))
    return planned


def _pressing(due: Due, answer: Answer, place: int) -> tuple[bool, bool, float, int, int]:
    closes = answer.send_before if isinstance(answer, Decision) else None
    return (
        due.ask.profile is not Profile.URGENT,
        closes is None,
        closes.timestamp() if closes else 0.0,
        -due.ask.amount_fen,
        place,
    )


def _with_funds(candidate: Candidate, left: Mapping[UUID, int]) -> Candidate:
    funds = left.get(candidate.account_id)
    if funds is None or funds == candidate.available_fen:
        return candidate
    return msgspec.structs.replace(candidate, available_fen=funds)


def _cut_up(due: Sequence[Due]) -> dict[str, Refusal]:
    """The payments that look like one sum in pieces, each with the refusal."""
    together: dict[tuple[str, str, bool], list[Due]] = {}
    for each in due:
        if each.debt:
            together.setdefault((each.payee, each.debt, each.personal), []).append(each)
    found: dict[str, Refusal] = {}
    for (_, debt, personal), pieces in together.items():
        threshold = PERSONAL_FEN if personal else CORPORATE_FEN
        whole = sum(each.ask.amount_fen for each in pieces)
        largest = max(each.ask.amount_fen for each in pieces)
        if len(pieces) > 1 and largest < threshold <= whole:
            refused = split_refused(len(pieces), whole, threshold, debt)
            found |= {each.ask.key: refused for each in pieces}
    return found


def split_refused(pieces: int, whole_fen: int, threshold_fen: int, debt: str) -> Refusal:
    """Why a sum in pieces is not planned."""
    return Refusal(
        "routing.split",
        f"{pieces} payments for {debt[:64]} to one payee come to {yuan(whole_fen)} CNY and stay "
        f"one by one below {yuan(threshold_fen)} CNY, from which a bank reports.",
        "Pay it as one payment; over HVPS there is no limit. If these are separate debts, give "
        "each its own contract or invoice number.",
    )
