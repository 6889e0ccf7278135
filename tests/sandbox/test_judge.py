"""The judge must be able to say no: every kind of disagreement, as a table."""

from __future__ import annotations

import msgspec
import pytest

from caiwutong.sandbox import judge as j

PAID = j.PaymentFact("p1", ("R1",), 100, "completed", "A", "B")
DONE = j.ExecutionFact("R1", "A", "B", 100, 1, "executed", "bank")


def changed(fact, **fields):
    return msgspec.structs.replace(fact, **fields)


REFUSED = changed(DONE, debits=0, status="rejected", code="RJ01")


@pytest.mark.parametrize(
    ("payment", "executions"),
    [
        (PAID, [DONE]),
        (changed(PAID, state="rejected"), [REFUSED]),
        (changed(PAID, state="reversed"), [changed(DONE, debits=0, status="revoked")]),
        (changed(PAID, state="cancelled", references=()), []),
        (changed(PAID, state="rejected"), []),
        (changed(PAID, references=("R0", "R1")), [changed(REFUSED, reference="R0"), DONE]),
        (changed(PAID, returned=True), [changed(DONE, status="returned")]),
        (changed(PAID, state="clearing"), [changed(DONE, status="pending")]),
        (changed(PAID, state="in_doubt"), []),
    ],
)
def test_hub_and_books_agree(payment, executions) -> None:
    verdict = j.judge([payment], executions)
    assert verdict.clean and verdict.agreement == 1.0 and verdict.double_paid == 0


@pytest.mark.parametrize(
    ("payment", "executions", "reason"),
    [
        (PAID, [], j.NOT_PAID_THOUGH),
        (PAID, [REFUSED], j.NOT_PAID_THOUGH),
        (PAID, [changed(DONE, debits=0, status="revoked")], j.NOT_PAID_THOUGH),
        (PAID, [changed(DONE, status="pending")], j.PENDING_AT_BANK),
        (PAID, [changed(DONE, amount_fen=101)], j.OTHER_AMOUNT),
        (PAID, [changed(DONE, payer_account="X")], j.OTHER_PAYER),
        (PAID, [changed(DONE, payee_account="X")], j.OTHER_PAYEE),
        (PAID, [changed(DONE, debits=2)], j.PAID_TWICE),
        (PAID, [changed(DONE, debits=0)], j.LINES_DIFFER),
        (
            changed(PAID, references=("R1", "R2")),
            [DONE, changed(DONE, reference="R2")],
            j.PAID_TWICE,
        ),
        (PAID, [DONE, changed(DONE, bank="another")], j.PAID_TWICE),
        (changed(PAID, state="rejected"), [DONE], j.PAID_THOUGH_NOT),
        (changed(PAID, state="cancelled"), [DONE], j.PAID_THOUGH_NOT),
        (changed(PAID, state="reversed"), [DONE], j.PAID_THOUGH_NOT),
        (changed(PAID, state="rejected"), [changed(REFUSED, debits=1)], j.PAID_THOUGH_NOT),
        (changed(PAID, state="rejected"), [changed(DONE, status="pending")], j.PENDING_AT_BANK),
        (changed(PAID, state="rejected"), [changed(DONE, status="returned")], j.PAID_THOUGH_NOT),
        (PAID, [changed(DONE, status="returned")], j.RETURN_UNSEEN),
        (changed(PAID, returned=True), [DONE], j.RETURN_UNKNOWN),
        (changed(PAID, state="in_doubt"), [DONE], j.STILL_OPEN),
        (changed(PAID, state="clearing"), [REFUSED], j.STILL_OPEN),
    ],
)
def test_every_disagreement_is_named(payment, executions, reason) -> None:
    verdict = j.judge([payment], executions)
    assert [each.reason for each in verdict.disagreements] == [reason]
    assert verdict.agreed == 0 and verdict.agreement == 0.0 and not verdict.clean
    assert verdict.double_paid == (reason == j.PAID_TWICE)
    assert verdict.by_reason == {reason: 1}
    assert verdict.disagreements[0].hub.startswith(payment.state)


def test_what_could_have_cost_money_comes_first() -> None:
    payments = [
        changed(PAID, payment_id="open", references=("O",), state="in_doubt"),
        changed(PAID, payment_id="unpaid", references=("U",)),
        changed(PAID, payment_id="leaked", references=("L",), state="rejected"),
        changed(PAID, payment_id="double", references=("D",)),
    ]
    executions = [
        changed(DONE, reference="O"),
        changed(DONE, reference="L"),
        changed(DONE, reference="D", debits=2),
    ]
    verdict = j.judge(payments, executions)
    assert [d.payment_id for d in verdict.disagreements] == ["double", "leaked", "unpaid", "open"]
    assert (verdict.in_doubt, verdict.open) == (1, 1)


def test_an_execution_nobody_ordered_is_unknown_to_the_hub() -> None:
    verdict = j.judge([PAID], [DONE, changed(DONE, reference="GHOST")])
    assert [fact.reference for fact in verdict.unknown_to_hub] == ["GHOST"]
    assert verdict.agreed == 1 and not verdict.clean


def test_nothing_at_all_agrees() -> None:
    assert j.judge([], []).agreement == 1.0


def test_balances_that_differ_are_listed_largest_drift_first() -> None:
    found = j.compare_balances({"A": 100, "B": 50, "C": 7}, {"A": 100, "B": 51, "D": 900})
    assert [(d.account, d.drift_fen) for d in found] == [("D", -900), ("C", 7), ("B", -1)]
    assert found[0].ledger_fen is None and found[1].bank_fen is None
