"""Compares what the hub says with what the banks' books say. Pure: two lists in, a verdict out.

The books are right by definition. A payment *agrees* when the hub's word for it and the books of
the payer's bank say the same:

- *completed* ⇔ executed exactly once, with the same accounts and amount;
- *rejected*, *cancelled*, *reversed* ⇔ not executed under any of its references;
- still open at the hub ⇔ the books have not decided either.

What could have cost money comes first among the disagreements: paid twice, or paid although the
hub says it was not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

PAID_STATES = frozenset({"completed"})
NOT_PAID_STATES = frozenset({"rejected", "cancelled", "reversed"})
"""States of the hub that end without money moved; every other state is open."""
DOUBT_STATES = frozenset({"in_doubt"})

EXECUTED, REJECTED, REVOKED, RETURNED, PENDING, UNKNOWN = (
    "executed",
    "rejected",
    "revoked",
    "returned",
    "pending",
    "unknown",
)
_MOVED = frozenset({EXECUTED, RETURNED})

PAID_TWICE = "paid_twice"
PAID_THOUGH_NOT = "paid_though_the_hub_says_not"
NOT_PAID_THOUGH = "not_paid_though_the_hub_says_so"
OTHER_AMOUNT = "other_amount"
OTHER_PAYER = "other_payer_account"
OTHER_PAYEE = "other_payee_account"
RETURN_UNSEEN = "return_unseen_by_the_hub"
RETURN_UNKNOWN = "return_unknown_to_the_bank"
STILL_OPEN = "decided_at_the_bank_but_open_at_the_hub"
PENDING_AT_BANK = "decided_at_the_hub_but_pending_at_the_bank"
LINES_DIFFER = "execution_and_statement_lines_differ"

GRAVITY = (
    PAID_TWICE,
    PAID_THOUGH_NOT,
    NOT_PAID_THOUGH,
    OTHER_AMOUNT,
    OTHER_PAYER,
    OTHER_PAYEE,
    LINES_DIFFER,
    PENDING_AT_BANK,
    RETURN_UNSEEN,
    RETURN_UNKNOWN,
    STILL_OPEN,
)
"""Reasons for disagreement, gravest first."""


class PaymentFact(msgspec.Struct, frozen=True):
    """One payment as the hub sees it."""

    payment_id: str
    references: tuple[str, ...]
    """Of all its attempts; empty when nothing was ever sent."""
    amount_fen: int
    state: str
    payer_account: str
    payee_account: str
    returned: bool = False


class ExecutionFact(msgspec.Struct, frozen=True):
    """One instruction as the payer's bank has it in its books."""

    reference: str
    payer_account: str
    payee_account: str
    amount_fen: int
    debits: int
    """Payment lines on the payer's account under this reference, corrections taken off."""
    status: str
    """``executed``, ``rejected``, ``revoked``, ``returned``, ``pending`` or ``unknown``."""
    bank: str = ""
    code: str = ""


class Disagreement(msgspec.Struct, frozen=True):
    """One payment on which hub and books differ."""

    payment_id: str
    reason: str
    hub: str
    """What the hub says."""
    books: str
    """What the books say."""
    references: tuple[str, ...] = ()
    amount_fen: int = 0


class Judgement(msgspec.Struct, frozen=True):
    """The verdict."""

    payments: int
    agreed: int
    double_paid: int
    unknown_to_hub: tuple[ExecutionFact, ...]
    """Executions that belong to no payment of the hub: nobody here ordered them."""
    in_doubt: int
    """Payments the hub itself calls in doubt."""
    open: int
    """Payments that have not ended, at either side."""
    disagreements: tuple[Disagreement, ...]
    """Gravest first."""
    by_reason: dict[str, int]

    @property
    def agreement(self) -> float:
        """Share of payments that agree, 0 to 1; 1 when there is none."""
        return self.agreed / self.payments if self.payments else 1.0

    @property
    def clean(self) -> bool:
        """Whether everything agrees and nothing is unexplained."""
        return not self.disagreements and not self.unknown_to_hub


def judge(payments: Iterable[PaymentFact], executions: Iterable[ExecutionFact]) -> Judgement:
    """Compare every payment with the books. A reference known at several banks counts at each."""
    by_reference: dict[str, list[ExecutionFact]] = {}
    for execution in executions:
        by_reference.setdefault(execution.reference, []).append(execution)
    ours: set[str] = set()
    found: list[Disagreement] = []
    total = doubt = still_open = 0
    for payment in payments:
        total += 1
        doubt += payment.state in DOUBT_STATES
        still_open += payment.state not in PAID_STATES | NOT_PAID_STATES
        ours.update(payment.references)
        facts = [fact for ref in payment.references for fact in by_reference.get(ref, ())]
        reason = _compare(payment, facts)
        if reason:
            found.append(_disagreement(payment, facts, reason))
    found.sort(key=lambda each: GRAVITY.index(each.reason))
    by_reason: dict[str, int] = {}
    for each in found:
        by_reason[each.reason] = by_reason.get(each.reason, 0) + 1
    return Judgement(
        payments=total,
        agreed=total - len(found),
        double_paid=by_reason.get(PAID_TWICE, 0),
        unknown_to_hub=tuple(
            fact for ref, facts in by_reference.items() if ref not in ours for fact in facts
        ),
        in_doubt=doubt,
        open=still_open,
        disagreements=tuple(found),
        by_reason=by_reason,
    )


def _compare(payment: PaymentFact, facts: Sequence[ExecutionFact]) -> str:
    """The gravest reason why hub and books differ, or empty."""
    moved = [fact for fact in facts if fact.status in _MOVED]
    debits = sum(fact.debits for fact in facts)
    if len(moved) > 1 or debits > 1:
        return PAID_TWICE
    if payment.state in NOT_PAID_STATES and (moved or debits):
        pending = not moved and any(fact.status == PENDING for fact in facts)
        return PENDING_AT_BANK if pending else PAID_THOUGH_NOT
    if payment.state in PAID_STATES:
        return _compare_paid(payment, facts, moved)
    if any(fact.status in _MOVED and fact.debits != 1 for fact in facts):
        return LINES_DIFFER
    if payment.state in NOT_PAID_STATES:
        return RETURN_UNKNOWN if payment.returned else ""
    decided = facts and all(fact.status not in (PENDING, UNKNOWN) for fact in facts)
    return STILL_OPEN if decided else ""


def _compare_paid(
    payment: PaymentFact, facts: Sequence[ExecutionFact], moved: Sequence[ExecutionFact]
) -> str:
    if not moved:
        pending = any(fact.status == PENDING for fact in facts)
        return PENDING_AT_BANK if pending else NOT_PAID_THOUGH
    fact = moved[0]
    if fact.amount_fen != payment.amount_fen:
        return OTHER_AMOUNT
    if fact.payer_account != payment.payer_account:
        return OTHER_PAYER
    if fact.payee_account != payment.payee_account:
        return OTHER_PAYEE
    if fact.debits != 1:
        return LINES_DIFFER
    if (fact.status == RETURNED) != payment.returned:
        return RETURN_UNSEEN if fact.status == RETURNED else RETURN_UNKNOWN
    return ""


def _disagreement(
    payment: PaymentFact, facts: Sequence[ExecutionFact], reason: str
) -> Disagreement:
    told = "; ".join(
        f"{fact.reference} {fact.status}{' ' + fact.code if fact.code else ''}"
        f" {fact.amount_fen} fen, {fact.debits} debit(s) at {fact.bank or 'its bank'}"
        for fact in facts
    )
    return Disagreement(
        payment_id=payment.payment_id,
        reason=reason,
        hub=f"{payment.state}{', returned' if payment.returned else ''}",
        books=told or "no such instruction",
        references=payment.references,
        amount_fen=payment.amount_fen,
    )


class BalanceDifference(msgspec.Struct, frozen=True):
    """An account on which the hub's ledger and the bank's books differ. None: not known there."""

    account: str
    ledger_fen: int | None
    bank_fen: int | None

    @property
    def drift_fen(self) -> int:
        """Ledger less bank, with an unknown side as zero."""
        return (self.ledger_fen or 0) - (self.bank_fen or 0)


def compare_balances(
    ledger: Mapping[str, int], banks: Mapping[str, int]
) -> list[BalanceDifference]:
    """Every account whose balance (fen, by account number) differs, largest drift first."""
    found = [
        BalanceDifference(account, ledger.get(account), banks.get(account))
        for account in sorted(ledger.keys() | banks.keys())
        if ledger.get(account) != banks.get(account)
    ]
    return sorted(found, key=lambda each: -abs(each.drift_fen))
