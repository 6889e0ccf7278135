"""Every decision about mandates and signatures, pure: both stores run this same code between
reading locked rows and writing them back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

import msgspec

from caiwutong.approvals.model import (
    Ask,
    Mandate,
    MandateState,
    MandateTerms,
    PolicyStep,
    Subject,
    Usage,
)
from caiwutong.kernel.errors import Refusal, Refused
from caiwutong.kernel.money import MAX_AMOUNT_FEN, yuan

SIGNED_PREFIX = b"caiwutong-approval-v1"
MANDATE = "mandate"
MANDATE_SIGNERS = 2
DEFAULT_POLICY = (PolicyStep(0, 1), PolicyStep(50_000_00, 2))
"""One person below 50,000.00 CNY, two from there: the house's own default, not a rule of law."""

DayKey = tuple[UUID, date]

_sorted_json = msgspec.json.Encoder(order="sorted")


def signed_bytes(tenant: str, subject: Subject) -> bytes:
    """The canonical bytes a person signs: prefix, then tenant, kind, id and digest, each with its
    length (two bytes, big-endian) before it, so that no two subjects share bytes."""
    parts = (tenant.encode(), subject.kind.encode(), subject.id.bytes, subject.digest)
    return SIGNED_PREFIX + b"".join(len(part).to_bytes(2) + part for part in parts)


def mandate_digest(mandate_id: UUID, terms: MandateTerms) -> bytes:
    """SHA-256 over the mandate's id and the sorted JSON of its terms."""
    return hashlib.sha256(mandate_id.bytes + _sorted_json.encode(terms)).digest()


def checked_terms(terms: MandateTerms) -> MandateTerms:
    """The terms with their times in UTC, as they are kept and signed. Raises Refused for terms
    that could never cover an order, or would never end."""
    if terms.valid_from.tzinfo is None or terms.valid_until.tzinfo is None:
        raise Refused(
            "approvals.bad_validity",
            "The mandate's times do not say in which time zone they are.",
            "Write times with their offset, for example 2026-12-01T00:00:00+08:00.",
        )
    if not 0 < terms.per_payment_fen <= MAX_AMOUNT_FEN or not 0 < terms.daily_fen <= 10**17:
        raise Refused(
            "approvals.bad_limit",
            f"The limits {yuan(terms.per_payment_fen)} per payment and {yuan(terms.daily_fen)} "
            "a day are not both above zero and kept here.",
            "Give both limits in fen.",
        )
    if terms.valid_until <= terms.valid_from:
        raise Refused(
            "approvals.bad_validity",
            "The mandate ends before it begins.",
            "Let valid_until be after valid_from.",
        )
    if not terms.bank_account_ids:
        raise Refused(
            "approvals.no_accounts",
            "The mandate names no bank account; no account is not all accounts.",
            "Name every bank account it may pay from.",
        )
    if terms.payees == ():
        raise Refused(
            "approvals.no_payees",
            "The mandate names no payee; nobody is not anybody.",
            "Name the payees, or write any.",
        )
    return msgspec.structs.replace(
        terms,
        valid_from=terms.valid_from.astimezone(UTC),
        valid_until=terms.valid_until.astimezone(UTC),
    )


@dataclass(slots=True)
class Day:
    """One mandate's day while a batch works on it."""

    limit_fen: int
    used_fen: int


def candidates(mandates: Sequence[Mandate], asks: Sequence[Ask], now: datetime) -> set[DayKey]:
    """The days a batch may use: what a store must lock before ``decide``."""
    by_key = _by_api_key(mandates)
    return {
        (mandate.mandate_id, ask.day)
        for ask in asks
        for mandate in by_key.get(ask.api_key_id, ())
        if _miss(mandate, ask, now) is None
    }


def decide(
    mandates: Sequence[Mandate],
    days: Mapping[DayKey, Day],
    asks: Sequence[Ask],
    now: datetime,
) -> list[UUID | Refusal]:
    """For each ask, in order: the mandate that covers it, with its usage taken in ``days``; or
    why none does. Of several that cover it, the oldest with enough left is used."""
    by_key = _by_api_key(mandates)
    return [_decide_one(by_key.get(ask.api_key_id, ()), days, ask, now) for ask in asks]


def _by_api_key(mandates: Sequence[Mandate]) -> dict[UUID, list[Mandate]]:
    by_key: dict[UUID, list[Mandate]] = {}
    for mandate in sorted(mandates, key=lambda m: m.mandate_id):
        by_key.setdefault(mandate.terms.api_key_id, []).append(mandate)
    return by_key


def _decide_one(
    mandates: Sequence[Mandate], days: Mapping[DayKey, Day], ask: Ask, now: datetime
) -> UUID | Refusal:
    nearest = _NO_MANDATE
    for mandate in mandates:
        miss = _miss(mandate, ask, now)
        if miss is None:
            day = days.get((mandate.mandate_id, ask.day))
            if day is not None and day.used_fen + ask.amount_fen <= day.limit_fen:
                day.used_fen += ask.amount_fen
                return mandate.mandate_id
            left = 0 if day is None else day.limit_fen - day.used_fen
            miss = (
                5,
                "approvals.daily_limit",
                (
                    f"{yuan(left)} is left of the mandate's day limit; "
                    f"{yuan(ask.amount_fen)} is needed."
                ),
            )
        nearest = max(nearest, miss)
    _, code, detail = nearest
    return Refusal(code, detail, "The order waits for people's signatures.")


Miss = tuple[int, str, str]
"""How near a mandate came to covering an ask (higher is nearer), code, detail."""

_NO_MANDATE: Miss = 0, "approvals.no_mandate", "No active mandate stands for this API key."


def _miss(mandate: Mandate, ask: Ask, now: datetime) -> Miss | None:
    """Why these terms do not cover the ask, first reason first; None when they do, but for the
    day's limit."""
    terms = mandate.terms
    if mandate.state is not MandateState.ACTIVE or not terms.valid_from <= now < terms.valid_until:
        return 1, "approvals.mandate_not_valid", "No mandate of this API key is valid now."
    if ask.bank_account_id not in terms.bank_account_ids:
        return 2, "approvals.account_not_covered", "No mandate covers this bank account."
    if terms.payees != "any" and ask.payee_index not in terms.payees:
        return 3, "approvals.payee_not_covered", "No mandate covers this payee."
    if ask.amount_fen > terms.per_payment_fen:
        return (
            4,
            "approvals.per_payment_limit",
            (
                f"{yuan(ask.amount_fen)} is above the mandate's {yuan(terms.per_payment_fen)} "
                "per payment."
            ),
        )
    return None


def needed_people(steps: Sequence[PolicyStep], amount_fen: int) -> int:
    """How many different people this amount needs: the highest step it reaches."""
    reached = [s for s in steps or DEFAULT_POLICY if s.from_fen <= amount_fen]
    return max(reached, key=lambda s: s.from_fen).needed if reached else 1


def check_policy(steps: Sequence[PolicyStep]) -> None:
    """Refuse steps that leave an amount without signers or ask fewer people for more money."""
    ordered = sorted(steps, key=lambda s: s.from_fen)
    starts = [s.from_fen for s in ordered]
    people = [s.needed for s in ordered]
    if (
        not ordered
        or starts[0] != 0
        or len(set(starts)) != len(starts)
        or people != sorted(people)
        or not 1 <= people[0] <= people[-1] <= 9
    ):
        raise Refused(
            "approvals.bad_policy",
            "The steps do not begin at zero, repeat an amount, or ask fewer people for more money.",
            "Give steps from zero upwards with 1 to 9 people, never fewer as amounts rise.",
        )


def usage_of(days: Mapping[DayKey, Day]) -> list[Usage]:
    """The days as values, in lock order."""
    return [Usage(m, d, day.used_fen, day.limit_fen) for (m, d), day in sorted(days.items())]
