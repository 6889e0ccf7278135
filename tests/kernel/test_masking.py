"""What may be shown of a secret, as a table; and that no mask gives the secret away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.kernel import masking

TABLE = [
    (masking.mask_account, "755915671610417", "…0417"),
    (masking.mask_account, "12345678", "…5678"),
    (masking.mask_account, "123456", "…56"),
    (masking.mask_account, "0417", "…"),
    (masking.mask_account, "", "…"),
    (masking.mask_card, "6222021001116245000", "622202*********5000"),
    (masking.mask_card, "4111111111111111", "411111******1111"),
    (masking.mask_card, "41111111", "…1111"),
    (masking.mask_mobile, "13812345678", "138****5678"),
    (masking.mask_mobile, "138", "…"),
    (masking.mask_id_number, "11010519491231002X", "1****************X"),
    (masking.mask_id_number, "1101", "…"),
    (masking.mask_name, "张三", "张*"),
    (masking.mask_name, "张三丰", "张**"),
    (masking.mask_name, "欧阳修", "欧阳*"),
    (masking.mask_name, "欧阳", "欧*"),
    (masking.mask_name, "李", "李*"),
    (masking.mask_name, "John Smith", "J***"),
    (masking.mask_name, "", ""),
    (masking.mask_words, "退回 6222021001116245000 张三", "退回 …5000 张三"),
    (masking.mask_words, "6222 0210 0111 6245 000。", "…5000。"),
    (masking.mask_words, "62220210 0111 6245 于 2026-11-24", "…6245 于 2026-11-24"),
    (masking.mask_words, "合同 2026-001 第 12 期", "合同 2026-001 第 12 期"),
]


@pytest.mark.parametrize(("mask", "secret", "shown"), TABLE)
def test_what_is_shown(mask, secret: str, shown: str):
    assert mask(secret) == shown


@given(st.text("0123456789X", min_size=8, max_size=32))
def test_no_mask_shows_a_long_number_whole(number: str):
    for mask in (
        masking.mask_account,
        masking.mask_card,
        masking.mask_mobile,
        masking.mask_id_number,
    ):
        assert number not in mask(number)


@given(st.text())
def test_masks_never_raise(text: str):
    for mask in (
        masking.mask_account,
        masking.mask_card,
        masking.mask_mobile,
        masking.mask_id_number,
        masking.mask_name,
        masking.mask_words,
    ):
        assert isinstance(mask(text), str)
