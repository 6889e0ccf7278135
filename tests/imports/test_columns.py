"""Which header means what, and what is said when a column is missing or doubled."""

from __future__ import annotations

import pytest

from caiwutong.imports.columns import TITLES, Layout, likeness, meaning, recognise
from caiwutong.imports.model import Field
from caiwutong.kernel.errors import Refusal


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("付款账号", Field.PAYER_ACCOUNT),
        ("付款帐号", Field.PAYER_ACCOUNT),
        ("付方账号", Field.PAYER_ACCOUNT),
        ("* 收 款 帐 号", Field.PAYEE_ACCOUNT),
        ("收款账号（必填）", Field.PAYEE_ACCOUNT),
        ("收款账号(对公)", Field.PAYEE_ACCOUNT),
        ("收款賬號", None),
        ("卡号", Field.PAYEE_ACCOUNT),
        ("收款人", Field.PAYEE_NAME),
        ("户名", Field.PAYEE_NAME),
        ("开户行", Field.BANK_NAME),
        ("联行号", Field.BANK_CODE),
        ("开户行行号", Field.BANK_CODE),
        ("金额", Field.AMOUNT),
        ("金额（元）", Field.AMOUNT),
        ("金额（万元）", Field.AMOUNT),
        ("金额元", Field.AMOUNT),
        ("摘要", Field.PURPOSE),
        ("用途", Field.PURPOSE),
        ("附言", Field.REMARK),
        ("备注", Field.REMARK),
        ("成员单位", Field.MEMBER_UNIT),
        ("单位编码", Field.MEMBER_UNIT),
        ("执行日期", Field.EXECUTE_ON),
        ("付款日期", Field.EXECUTE_ON),
        ("合同号", Field.CONTRACT),
        ("发票号码", Field.INVOICE),
        ("项目", Field.PROJECT),
        ("预算科目", Field.BUDGET),
        ("流水号", Field.ROW_KEY),
        ("业务编号", Field.ROW_KEY),
        ("Payee Account", Field.PAYEE_ACCOUNT),
        ("payee_name", Field.PAYEE_NAME),
        ("AMOUNT (CNY)", Field.AMOUNT),
        ("Ｐａｙｅｅ　Ｎａｍｅ", Field.PAYEE_NAME),
        ("序号", None),
        ("手机号", None),
        ("", None),
    ],
)
def test_a_header_is_known_in_chinese_and_english(header: str, field: Field | None) -> None:
    found = meaning(header)
    assert (found[0] if found else None) is field


def laid_out(*header: str) -> Layout:
    layout = recognise(header, 3)
    assert isinstance(layout, Layout), layout
    return layout


def test_our_own_template_is_recognised_column_by_column() -> None:
    layout = laid_out(*TITLES.values())
    assert list(layout.fields) == list(Field)
    assert all(layout.titles[field] == TITLES[field] for field in Field)
    assert layout.unit_fen == 100


def test_a_weak_name_gives_way_to_a_strong_one_and_is_said() -> None:
    layout = laid_out("付款账号", "收款账号", "收款人", "金额", "附言", "备注", "账号", "序号")
    assert layout.fields[Field.REMARK] == 4
    assert layout.fields[Field.PAYEE_ACCOUNT] == 1
    assert set(layout.ignored) == {"备注", "账号", "序号"}


def test_the_unit_in_the_header_is_believed() -> None:
    names = ("付款账号", "收款账号", "收款人")
    assert laid_out(*names, "金额（万元）").unit_fen == 1_000_000
    assert laid_out(*names, "金额(分)").unit_fen == 1
    assert laid_out(*names, "金额").unit_fen == 100


def test_an_amount_column_in_dollars_is_refused() -> None:
    refusal = recognise(("付款账号", "收款账号", "收款人", "金额(美元)"), 1)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "imports.currency_not_cny"


def test_missing_and_doubled_columns_are_named_in_one_refusal() -> None:
    refusal = recognise(("收款帐号", "收款账号", "附言"), 2)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "imports.columns"
    for name in ("row 2", "收款户名", "金额", "付款账号", "成员单位", "收款帐号、收款账号"):
        assert name in refusal.detail


def test_two_amounts_in_different_units_are_doubled_not_chosen() -> None:
    refusal = recognise(("付款账号", "收款账号", "收款人", "金额(元)", "金额(万元)"), 1)
    assert isinstance(refusal, Refusal)
    assert "doubled: 金额(元)、金额(万元)" in refusal.detail


def test_the_header_is_the_row_that_names_most_fields() -> None:
    assert likeness(["某某集团付款明细表"]) == 0
    assert likeness(["付款账号", "收款账号", "收款人", "金额"]) == 4
    assert likeness(["6228480402564890018", "张三", 100.0]) == 0
