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
    MandateTerms,
    PolicyStep,
    Subject,
)
from caiwutong.kernel.errors import Refusal, Refused
from caiwutong.kernel.money import MAX_AMOUNT_FEN, yuan

SIGNED_PREFIX = b"caiwutong-approval-v1"
MANDATE = "mandate"
MANDATE_SIGNERS = 2
PERSON = "person"
PERSON_SIGNERS = 2
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


@dataclass(slots=True, frozen=True)
class Cover:
    """A mandate made ready for many questions: its lists as sets."""

    mandate_id: UUID
    api_key_id: UUID
    accounts: frozenset[UUID]
    payees: frozenset[bytes] | None
    per_payment_fen: int
    valid_from: datetime
    valid_until: datetime


def cover(mandate: Mandate) -> Cover:
    """The mandate, ready. Terms never change, so this may be kept."""
    terms = mandate.terms
    return Cover(
        mandate.mandate_id,
        terms.api_key_id,
        frozenset(terms.bank_account_ids),
        None if terms.payees == "any" else frozenset(terms.payees),
        terms.per_payment_fen,
        terms.valid_from,
        terms.valid_until,
    )


Plan = list[list[UUID] | Refusal]
"""For each ask, in order: the mandates whose terms cover it, oldest first; or why none does."""


def plan(active: Sequence[Cover], asks: Sequence[Ask], now: datetime) -> Plan:
    """Everything that can be said of these asks before a day's limit is looked at."""
    by_key: dict[UUID, list[Cover]] = {}
    for one in sorted(active, key=lambda c: c.mandate_id):
        if one.valid_from <= now < one.valid_until:
            by_key.setdefault(one.api_key_id, []).append(one)
    expired = {c.api_key_id for c in active} - by_key.keys()
    return [_covering(by_key.get(a.api_key_id, ()), a, expired) for a in asks]


def days_of(planned: Plan, asks: Sequence[Ask]) -> set[DayKey]:
    """The days a plan may use: what a store must lock before ``take``."""
    return {
        (mandate_id, ask.day)
        for covering, ask in zip(planned, asks, strict=True)
        if not isinstance(covering, Refusal)
        for mandate_id in covering
    }


def take(planned: Plan, days: Mapping[DayKey, Day], asks: Sequence[Ask]) -> list[UUID | Refusal]:
    """For each ask, in order: the oldest covering mandate whose day has enough left, its amount
    taken in ``days``; or why there is none."""
    return [
        covering if isinstance(covering, Refusal) else _take_one(covering, days, ask)
        for covering, ask in zip(planned, asks, strict=True)
    ]


def _take_one(covering: Sequence[UUID], days: Mapping[DayKey, Day], ask: Ask) -> UUID | Refusal:
    most_left = 0
    for mandate_id in covering:
        day = days.get((mandate_id, ask.day))
        if day is None:
            continue
        left = day.limit_fen - day.used_fen
        if ask.amount_fen <= left:
            day.used_fen += ask.amount_fen
            return mandate_id
        most_left = max(most_left, left)
    return _people_instead(
        "approvals.daily_limit",
        f"{yuan(most_left)} is left of the mandate's day limit; {yuan(ask.amount_fen)} is needed.",
    )


def _covering(mandates: Sequence[Cover], ask: Ask, expired: set[UUID]) -> list[UUID] | Refusal:
    """Those whose terms cover the ask; or the first reason at which the nearest one fails."""
    if not mandates:
        if ask.api_key_id in expired:
            return _people_instead(
                "approvals.mandate_not_valid", "No mandate of this API key is valid now."
            )
        return _people_instead("approvals.no_mandate", "No active mandate stands for this API key.")
    for_account = [m for m in mandates if ask.bank_account_id in m.accounts]
    if not for_account:
        return _people_instead(
            "approvals.account_not_covered", "No mandate covers this bank account."
        )
    for_payee = [m for m in for_account if m.payees is None or ask.payee_index in m.payees]
    if not for_payee:
        return _people_instead("approvals.payee_not_covered", "No mandate covers this payee.")
    covering = [m.mandate_id for m in for_payee if ask.amount_fen <= m.per_payment_fen]
    if not covering:
        highest = max(m.per_payment_fen for m in for_payee)
        return _people_instead(
            "approvals.per_payment_limit",
            f"{yuan(ask.amount_fen)} is above the mandate's {yuan(highest)} per payment.",
        )
    return covering


def _people_instead(code: str, detail: str) -> Refusal:
    return Refusal(code, detail, "The order waits for people's signatures.")


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
