"""Failover (改道): what follows when an attempt is over and the payment is not.

Promises: another channel is tried only after a definite no that is the channel's own
(``rejects``), or after two people's decision (``switching``); under the same hold; at most
``MOST_ATTEMPTS`` times; and never over a channel that was tried. While an attempt that people left
has not been spoken of by its rail, the payment cannot end as unpaid. Pure. Read next:
``settlement``, which carries it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from caiwutong.payments.model import SWITCHED, AttemptRow
from caiwutong.payments.rejects import Whose, whose
from caiwutong.rails.contract import CARRIED_BY_PEOPLE, RailReport, ReportKind

MOST_ATTEMPTS = 5
"""A payment refused so often has a fault that no channel cures."""

REVOKED = ReportKind.REVOKED.value
YES = (ReportKind.NETTED.value, ReportKind.SETTLED.value)


_TOLD = ("", "no", "yes", "returned")


def told(word: str) -> int:
    """How far a word about a closed attempt goes: nothing, a no, a yes, money that came back. What
    is kept of it only ever goes further."""
    kind = "yes" if word in YES else "no" if word in (REVOKED, ReportKind.REJECTED) else word
    return _TOLD.index(kind)


class KeptRoute(msgspec.Struct, frozen=True):
    """How an attempt's route is kept with it, as far as failover reads it."""

    choice: str = ""
    """The mode chosen: ``ibps``, or with the channel asked of the bank ``bank_direct/hvps``."""
    alternatives: tuple[str, ...] = ()
    """The candidates that could have carried the payment as well, best first; also those that
    would have had to wait for their hour."""

    @property
    def flag(self) -> str:
        return self.choice.partition("/")[2]


_route = msgspec.json.Decoder(KeptRoute)


def kept_route(attempt: AttemptRow) -> KeptRoute:
    """What is kept of why this attempt went where it went."""
    return _route.decode(attempt.route)


class Next(StrEnum):
    """What follows a no for the payment."""

    END = "end"
    """It ends as the rail says."""
    REROUTE = "reroute"
    """Another channel is tried."""
    COMPLETE = "complete"
    """An earlier attempt has paid it, as its rail confessed later."""
    FALL_BACK = "fall_back"
    """It waits for the word about an attempt that people left."""


def tried(attempts: Sequence[AttemptRow]) -> frozenset[str]:
    """The modes that are no use to this payment any more. A row that its bank never got may be
    carried there again."""
    return frozenset(
        kept_route(each).choice or each.rail
        for each in attempts
        if not (each.outcome == REVOKED and each.rail in CARRIED_BY_PEOPLE)
    )


def in_doubt(attempts: Sequence[AttemptRow]) -> list[AttemptRow]:
    """Attempts that people left and whose rail has not spoken since: they may have paid."""
    return [each for each in attempts if each.outcome == SWITCHED and not each.later]


def executed(attempts: Sequence[AttemptRow]) -> AttemptRow | None:
    """The attempt that paid although it was taken for over; None when there is none."""
    return next((each for each in attempts if each.later in YES), None)


def after_a_no(attempts: Sequence[AttemptRow], report: RailReport) -> Next:
    """What follows the definite no to (or the revocation of) the payment's present attempt.

    ``attempts``: all of the payment, oldest first; the present one still as it was before.
    """
    others = [each for each in attempts if each.reference != report.reference]
    if executed(others) is not None:
        return Next.COMPLETE
    if report.kind is ReportKind.REJECTED and worth_another(attempts, report):
        return Next.REROUTE
    return Next.FALL_BACK if in_doubt(others) else Next.END


def worth_another(attempts: Sequence[AttemptRow], report: RailReport) -> bool:
    """Whether the no is the channel's, and a channel is left that was not tried; and nobody took
    the payment back."""
    if any(a.outcome == REVOKED and a.rail not in CARRIED_BY_PEOPLE for a in attempts):
        return False
    if len(attempts) >= MOST_ATTEMPTS or whose(report.code, report.words) is Whose.PAYMENT:
        return False
    return bool(frozenset(kept_route(attempts[-1]).alternatives) - tried(attempts))
