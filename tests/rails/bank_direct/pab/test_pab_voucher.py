"""A reference and its voucher number: spelt otherwise at most, never condensed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.ids import Ids, reference
from caiwutong.rails.bank_direct.styles.pab.voucher import (
    LENGTH,
    batch_number,
    reference_of,
    voucher_of,
)
from caiwutong.rails.contract import BadMessage

AT = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
CHARS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DAYS = st.dates(date(2000, 1, 1), date(2000, 1, 1) + timedelta(days=36**3 - 1))
LONG = st.builds(
    lambda day, tail: f"{day:%Y%m%d}{tail}", DAYS, st.text(CHARS, min_size=13, max_size=16)
)
SHORT = st.text(CHARS, min_size=1, max_size=20).filter(lambda text: text[0] not in "YZ")
REFERENCES = SHORT | LONG


def test_a_reference_of_the_house_is_its_own_voucher() -> None:
    ids = Ids(ManualClock(AT), SystemRandomness())
    for _ in range(100):
        own = reference(AT, ids.new())
        assert voucher_of(own) == own and reference_of(own) == own


@given(REFERENCES)
@settings(deadline=None)
def test_a_voucher_fits_and_gives_its_reference_back(text: str) -> None:
    voucher = voucher_of(text)
    assert len(voucher) <= LENGTH and voucher.isascii() and voucher.isalnum()
    assert reference_of(voucher) == text


@given(st.lists(REFERENCES, min_size=2, max_size=8, unique=True))
@settings(deadline=None)
def test_two_references_never_share_a_voucher(texts: list[str]) -> None:
    assert len({voucher_of(each) for each in texts}) == len(texts)


@given(st.lists(SHORT, min_size=2, max_size=5), REFERENCES)
@settings(deadline=None)
def test_a_batchs_number_is_never_a_payments(vouchers: list[str], text: str) -> None:
    number = batch_number(vouchers)
    assert len(number) == LENGTH and number[0] == "Y"
    assert number != voucher_of(text)
    assert number == batch_number(list(vouchers))
    assert (number == batch_number(vouchers[::-1])) == (vouchers == vouchers[::-1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z1",
        "Y1",
        "A-1",
        "账单1",
        "A" * 21,
        "20261124" + "A" * 17,
        "20261324" + "A" * 13,
        "19991231" + "A" * 13,
        "21290101" + "A" * 13,
    ],
)
def test_a_reference_without_a_voucher_is_refused_with_what_helps(text: str) -> None:
    with pytest.raises(Refused) as refusal:
        voucher_of(text)
    assert refusal.value.code == "bank_direct.does_not_fit" and refusal.value.cure


@pytest.mark.parametrize("voucher", ["", "Y" + "0" * 19, "Z12", "Z1a2" + "A" * 13, "A" * 21, "甲"])
def test_a_voucher_that_is_not_ours_is_a_bad_message(voucher: str) -> None:
    with pytest.raises(BadMessage):
        reference_of(voucher)
