"""One row becomes one order, or all the reasons why not."""

from __future__ import annotations

from datetime import date

import pytest
from tests.imports.helpers import ACCOUNTS, codes, lines, outcomes, payment

from caiwutong.imports.model import AccountBook, Field, Line, OwnAccount, SourceRow
from caiwutong.imports.rows import RowReader
from caiwutong.imports.template import encode
from caiwutong.kernel.order import Party, PaymentOrder, Priority, References


def only(**changes: str) -> object:
    (found,) = outcomes(encode(".xlsx", [payment(0, **changes)]))
    return found


def test_a_good_row_becomes_the_order_it_says() -> None:
    (line,) = lines(encode(".csv", [payment(0, priority="加急", channel="IBPS", budget="B1")]))
    assert line == Line(
        row_no=2,
        key="2026-000000",
        order=PaymentOrder(
            bank_account_id=ACCOUNTS[0].bank_account_id,
            payee=Party(
                "供应商0有限公司", "6228480400000048917", "102100099996", "中国工商银行北京分行"
            ),
            amount_fen=100,
            purpose="货款",
            remark="谢谢",
            priority=Priority.URGENT,
            execute_on=date(2026, 7, 3),
            channel="ibps",
            references=References(contract="HT-0", budget="B1"),
        ),
        unit="U00",
        payer_account=ACCOUNTS[0].number,
    )


def test_every_problem_of_a_row_is_told_at_once() -> None:
    bad = only(payee_name="", amount="1.234,5", execute_on="2026-02-30", currency="EUR")
    assert codes(bad) == [
        "imports.name_blank",
        "imports.amount_unreadable",
        "imports.currency_not_cny",
        "imports.date_impossible",
    ]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payer_account": "", "member_unit": ""}, "imports.payer_blank"),
        ({"payer_account": "0200062009299999999"}, "imports.payer_unknown"),
        ({"member_unit": "U99"}, "imports.unit_unknown"),
        ({"member_unit": "U01"}, "imports.payer_of_other_unit"),
        ({"payee_account": ACCOUNTS[0].number}, "imports.payer_is_payee"),
        ({"execute_on": "2026-06-30"}, "imports.date_past"),
        ({"payee_account": "62284804É"}, "imports.account_unreadable"),
        ({"amount": "0"}, "money.not_positive"),
        ({"bank_code": "123"}, "identifier.bank_code.shape"),
    ],
)
def test_each_refusal_has_its_own_code(changes: dict[str, str], code: str) -> None:
    assert codes(only(**changes)) == [code]


def test_the_unit_alone_is_enough_where_it_has_one_account() -> None:
    for unit in ("U05", "第5分公司"):
        found = only(payer_account="", member_unit=unit)
        assert isinstance(found, Line)
        assert found.payer_account == ACCOUNTS[5].number
        assert found.unit == "U05"


def test_a_unit_with_two_accounts_is_never_guessed_for() -> None:
    second = OwnAccount(ACCOUNTS[1].bank_account_id, "0200062009200000001", "U00", "第0分公司")
    reader = RowReader(AccountBook([ACCOUNTS[0], second]), today=date(2026, 7, 1))
    row = SourceRow(2, {**payment(0), Field.PAYER_ACCOUNT: ""})
    assert codes(reader.read(row)) == ["imports.payer_ambiguous"]


def test_repairs_are_said_beside_the_line() -> None:
    found = only(amount="123.62999999", payee_account="6228 4804 0000 0048 917")
    assert isinstance(found, Line)
    assert [note.field for note in found.notes] == ["收款账号*", "金额(元)*"]
    assert "123.63" in found.notes[1].detail


def test_a_doubtful_bank_code_is_paid_with_a_warning() -> None:
    found = only(bank_code="102100099990")
    assert isinstance(found, Line)
    assert "unusual" in found.notes[0].detail
