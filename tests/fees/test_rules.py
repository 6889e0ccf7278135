"""Each kind of difference between a fee and its tariff, by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.fees.model import FeeLine, FeeReason
from caiwutong.fees.rules import judge
from caiwutong.payments.charged import Sent
from caiwutong.rails.catalog import shipped
from caiwutong.rails.catalog.model import Band, Discount, Tariff

AT = datetime(2026, 11, 2, 2, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT, PAYMENT = UUID(int=1), UUID(int=2)
OURS, OTHER = "308290092018", "102100099996"
CATALOG = shipped().with_facts(
    [
        Tariff(
            fact_id="tariff", rail="bank_direct", bank="308", valid_from=START, source="协议",
            bands=(
                Band(up_to_fen=10_000_00, flat_fen=5_00),
                Band(up_to_fen=100_000_00, flat_fen=10_00),
                Band(rate_ppm=20, cap_fen=200_00),
            ),
        ),
        Tariff(
            fact_id="hvps", rail="hvps", bank="308", valid_from=START, source="协议",
            bands=(Band(flat_fen=1_00),),
        ),
        Discount(
            fact_id="discount", rail="bank_direct", bank="308", valid_from=AT,
            valid_until=AT + timedelta(days=1), percent_off=20, up_to_fen=10_000_00, source="协议",
        ),
    ]
)  # fmt: skip


def sent(fen: int, **more: object) -> Sent:
    facts: dict[str, object] = {
        "payment_id": PAYMENT, "bank_account_id": ACCOUNT, "rail": "bank_direct",
        "flag": "", "reference": "R1", "amount_fen": fen, "payee_bank": OTHER, "executed": True,
    }  # fmt: skip
    return Sent(**(facts | more))  # type: ignore[arg-type]


def line(fen: int, position: int = 1, *, reference: str = "R1", days: int = -1) -> FeeLine:
    booked = AT + timedelta(days=days)
    return FeeLine(ACCOUNT, f"L{position}", position, booked, fen, reference, "手续费")


@pytest.mark.parametrize(
    ("charged", "attempt", "days", "reason", "expected"),
    [
        (5_00, sent(9_999_00), -1, FeeReason.AGREES, 5_00),
        (10_00, sent(10_000_01), -1, FeeReason.AGREES, 10_00),
        (200_00, sent(99_000_000_00), -1, FeeReason.AGREES, 200_00),
        (10_00, sent(9_999_00), -1, FeeReason.WRONG_BAND, 5_00),
        (5_00, sent(50_000_00), -1, FeeReason.WRONG_BAND, 10_00),
        (7_00, sent(9_999_00), -1, FeeReason.TOO_MUCH, 5_00),
        (3_00, sent(9_999_00), -1, FeeReason.TOO_LITTLE, 5_00),
        (4_00, sent(9_999_00), 0, FeeReason.AGREES, 4_00),
        (5_00, sent(9_999_00), 0, FeeReason.DISCOUNT_NOT_APPLIED, 4_00),
        (5_00, sent(9_999_00, payee_bank="308110000003"), -1, FeeReason.SHOULD_BE_FREE, 0),
        (5_00, sent(9_999_00, executed=False), -1, FeeReason.NOT_EXECUTED, 0),
        (5_00, sent(9_999_00, rail="ibps"), -1, FeeReason.NO_TARIFF, None),
        (5_00, None, -1, FeeReason.NOT_OURS, None),
        (1_00, sent(9_999_00, flag="hvps"), -1, FeeReason.AGREES, 1_00),
        (5_00, sent(9_999_00, flag="beps"), -1, FeeReason.AGREES, 5_00),
    ],
)
def test_one_fee(
    charged: int, attempt: Sent | None, days: int, reason: FeeReason, expected: int | None
) -> None:
    (found,) = judge([line(charged, days=days)], attempt, OURS, CATALOG)
    assert (found.reason, found.expected_fen) == (reason, expected)
    assert found.difference_fen == (0 if expected is None else charged - expected)


def test_a_second_charge_is_one_too_many_whatever_it_is() -> None:
    found = judge([line(5_00), line(5_00, 2), line(1_00, 3)], sent(100_00), OURS, CATALOG)
    assert [f.reason for f in found] == [
        FeeReason.AGREES, FeeReason.CHARGED_TWICE, FeeReason.CHARGED_TWICE,
    ]  # fmt: skip
    assert sum(f.difference_fen for f in found) == 6_00


def test_what_was_given_back_is_no_charge() -> None:
    lines = [line(5_00), line(5_00, 2), line(-5_00, 3)]
    found = judge(lines, sent(100_00), OURS, CATALOG)
    assert [(f.line.line_id, f.reason) for f in found] == [("L1", FeeReason.AGREES)]


def test_fees_of_the_account_stand_each_for_itself() -> None:
    (found,) = judge([line(30_00, reference="")], None, OURS, CATALOG)
    assert found.reason is FeeReason.NO_REFERENCE


def test_a_wrong_band_says_which() -> None:
    (found,) = judge([line(10_00)], sent(100_00), OURS, CATALOG)
    assert found.note == "as if from 10,000.00 to 100,000.00"


@given(
    st.lists(st.integers(-500, 500).filter(bool), min_size=1, max_size=8),
    st.integers(1, 10**12),
    st.booleans(),
)
def test_every_line_has_one_finding_and_the_money_adds_up(
    charges: list[int], amount_fen: int, executed: bool
) -> None:
    lines = [line(fen, n) for n, fen in enumerate(charges, 1)]
    found = judge(lines, sent(amount_fen, executed=executed), OURS, CATALOG)
    assert len({f.line.line_id for f in found}) == len(found) <= len(lines)
    assert sum(f.line.charged_fen for f in found) == sum(charges)
    assert sum(f.reason is not FeeReason.CHARGED_TWICE for f in found) == min(len(found), 1)
    for each in found:
        assert each.difference_fen == each.line.charged_fen - (each.expected_fen or 0)
