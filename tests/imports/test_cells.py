"""One cell at a time: what is understood, what is repaired and said, what is refused and why."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caiwutong.kernel.errors import Refusal
from caiwutong.sheets import accounts, amounts, cells, dates
from caiwutong.sheets.model import DateOrder, Raw, Read


def value(read: Read[object] | Refusal) -> object:
    assert isinstance(read, Read), read
    return read.value


def code(read: Read[object] | Refusal) -> str:
    assert isinstance(read, Refusal), read
    assert read.detail and read.cure, "a refusal says what and what helps"
    return read.code


# ---------------------------------------------------------------------------------- amounts


@pytest.mark.parametrize(
    ("raw", "fen"),
    [
        ("100", 10000),
        ("1234.5", 123450),
        ("1,234.56", 123456),
        ("12,345,678.90", 1234567890),
        ("\uffe51,234.56", 123456),
        ("\u00a5 88.00 ", 8800),
        ("人民币100元", 10000),
        ("100元整", 10000),
        ("１２３．４５", 12345),
        ("\u30001 234.00\u00a0", 123400),
        (".5", 50),
        (12.0, 1200),
        (7, 700),
        (0.1 + 0.2, 30),
    ],
)
def test_an_amount_is_read_as_people_write_it(raw: Raw, fen: int) -> None:
    assert value(amounts.amount_fen(raw)) == fen


@pytest.mark.parametrize("raw", ["123.62999999", 123.62999999, "123.63000000000001"])
def test_a_float_residue_is_repaired_and_said(raw: Raw) -> None:
    read = amounts.amount_fen(raw)
    assert isinstance(read, Read)
    assert read.value == 12363
    assert "123.63" in read.note and "float residue" in read.note


def test_a_plain_amount_carries_no_note() -> None:
    assert amounts.amount_fen(123.63) == Read(12363, "")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (None, "imports.amount_blank"),
        ("  ", "imports.amount_blank"),
        ("123.456", "imports.amount_decimals"),
        (123.455, "imports.amount_decimals"),
        (0.001, "imports.amount_decimals"),
        ("1.234,56", "imports.amount_unreadable"),
        ("12,34", "imports.amount_unreadable"),
        ("1,23,456", "imports.amount_unreadable"),
        ("3.5万", "imports.amount_unreadable"),
        ("壹佰元整", "imports.amount_unreadable"),
        ("abc", "imports.amount_unreadable"),
        ("1 2 x", "imports.amount_unreadable"),
        (True, "imports.amount_unreadable"),
        (date(2026, 7, 3), "imports.amount_unreadable"),
        (float("nan"), "imports.amount_unreadable"),
        (float("inf"), "imports.amount_unreadable"),
        ("1E+05", "imports.amount_scientific"),
        (1e16, "imports.amount_imprecise"),
        ("#REF!", "imports.excel_error"),
        ("########", "imports.excel_error"),
        ("0", "money.not_positive"),
        ("-5", "money.not_positive"),
        ("(12.00)", "money.not_positive"),
        ("100000000000.01", "money.too_large"),
        ("9" * 400, "money.too_large"),
    ],
)
def test_an_amount_that_could_be_misread_is_refused(raw: Raw, why: str) -> None:
    assert code(amounts.amount_fen(raw)) == why


@pytest.mark.parametrize(
    ("raw", "unit_fen", "fen"),
    [("1.2345", 1_000_000, 1_234_500), (3.3, 1_000_000, 3_300_000), ("150", 1, 150)],
)
def test_the_unit_of_the_column_scales_exactly(raw: Raw, unit_fen: int, fen: int) -> None:
    assert value(amounts.amount_fen(raw, unit_fen)) == fen


def test_half_a_fen_in_a_column_of_fen_is_refused() -> None:
    assert code(amounts.amount_fen("1.5", 1)) == "imports.amount_decimals"


@given(st.integers(min_value=1, max_value=100_000_000_000_00))
@example(12363)
def test_every_amount_survives_text_groups_and_floats(fen: int) -> None:
    yuan = Decimal(fen) / 100
    assert value(amounts.amount_fen(f"{yuan:.2f}")) == fen
    assert value(amounts.amount_fen(f"{yuan:,.2f}")) == fen
    assert value(amounts.amount_fen(float(yuan))) == fen


@given(
    st.integers(min_value=1, max_value=10**11),
    st.integers(min_value=1, max_value=999).filter(lambda n: n % 10),
)
def test_a_real_third_decimal_is_never_rounded(yuan: int, thousandths: int) -> None:
    assert code(amounts.amount_fen(f"{yuan}.{thousandths:03d}")) == "imports.amount_decimals"


@given(st.text(max_size=40))
@example("1" + "0" * 30)
@example("٣٤")
@example("1e400")
def test_no_text_whatever_breaks_a_rule(words: str) -> None:
    for rule in (
        amounts.amount_fen,
        dates.execution_date,
        accounts.account_number,
        accounts.bank_code,
        cells.name,
        cells.words,
        cells.row_key,
        cells.urgent,
        cells.currency,
    ):
        assert isinstance(rule(words), Read | Refusal)


@given(
    st.one_of(
        st.floats(),
        st.integers(),
        st.booleans(),
        st.dates(),
        st.datetimes(),
        st.times(),
        st.timedeltas(),
    )
)
def test_no_typed_cell_whatever_breaks_a_rule(raw: Raw) -> None:
    for rule in (
        amounts.amount_fen,
        dates.execution_date,
        accounts.account_number,
        accounts.bank_code,
        cells.name,
        cells.row_key,
    ):
        assert isinstance(rule(raw), Read | Refusal)


# ---------------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    "raw",
    [
        "2026-07-03",
        "2026/7/3",
        "2026.07.03",
        "2026年7月3日",
        "２０２６－０７－０３",
        "20260703",
        20260703.0,
        "2026-07-03 00:00:00",
        "2026-07-03T09:30:00+08:00",
        46206.0,
        "46206",
        datetime(2026, 7, 3),
        date(2026, 7, 3),
    ],
)
def test_a_date_is_read_in_every_usual_form(raw: Raw) -> None:
    assert value(dates.execution_date(raw)) == date(2026, 7, 3)


def test_a_serial_is_read_and_said() -> None:
    read = dates.execution_date(46206.0)
    assert isinstance(read, Read) and "2026-07-03" in read.note


def test_a_blank_date_means_now() -> None:
    assert value(dates.execution_date("")) is None


def test_day_and_month_are_told_apart_only_by_the_file() -> None:
    assert code(dates.execution_date("3/7/2026")) == "imports.date_ambiguous"
    assert value(dates.execution_date("3/7/2026", DateOrder.DAY_FIRST)) == date(2026, 7, 3)
    assert value(dates.execution_date("3/7/2026", DateOrder.MONTH_FIRST)) == date(2026, 3, 7)
    assert value(dates.execution_date("13/7/2026")) == date(2026, 7, 13)
    assert value(dates.execution_date("7/13/2026")) == date(2026, 7, 13)
    assert value(dates.execution_date("7/7/2026")) == date(2026, 7, 7)


@pytest.mark.parametrize(
    ("column", "order"),
    [
        (["3/7/2026", "25/7/2026"], DateOrder.DAY_FIRST),
        (["3/7/2026", "7/25/2026"], DateOrder.MONTH_FIRST),
        (["3/7/2026", "4/7/2026"], DateOrder.UNKNOWN),
        (["25/7/2026", "7/25/2026"], DateOrder.UNKNOWN),
        (["2026-07-25", 46206.0, None], DateOrder.UNKNOWN),
    ],
)
def test_a_column_decides_its_date_order_or_does_not(column: list[Raw], order: DateOrder) -> None:
    assert dates.date_order(column) is order


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("2026-02-30", "imports.date_impossible"),
        ("20261301", "imports.date_impossible"),
        ("31/4/2026", "imports.date_impossible"),
        ("3/7/26", "imports.date_short_year"),
        ("1926-07-03", "imports.date_far"),
        ("soon", "imports.date_unreadable"),
        (True, "imports.date_unreadable"),
        (-5.0, "imports.date_unreadable"),
        (1e9, "imports.date_unreadable"),
        (time(9, 30), "imports.date_unreadable"),
        (timedelta(days=1), "imports.date_unreadable"),
        ("#VALUE!", "imports.excel_error"),
    ],
)
def test_a_date_that_could_be_misread_is_refused(raw: Raw, why: str) -> None:
    assert code(dates.execution_date(raw)) == why


@given(st.dates(min_value=date(2000, 1, 1), max_value=date(2099, 12, 31)))
def test_every_day_survives_each_form(day: date) -> None:
    serial = float((day - date(1899, 12, 30)).days)
    for raw in (day.isoformat(), f"{day.year}/{day.month}/{day.day}", f"{day:%Y%m%d}", serial):
        assert value(dates.execution_date(raw)) == day
    text = f"{day.day}/{day.month}/{day.year}"
    assert value(dates.execution_date(text, DateOrder.DAY_FIRST)) == day


# ---------------------------------------------------------------------------------- accounts


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        ("6228480402564890018", "6228480402564890018"),
        ("6228 4804 0256 4890 018", "6228480402564890018"),
        ("'0200062009212176454", "0200062009212176454"),
        ('="0200062009212176454"', "0200062009212176454"),
        ("６２２８４８０４０２", "6228480402"),
        ("6228480402564890018.0", "6228480402564890018"),
        ("nra12345678", "NRA12345678"),
        (123456789012.0, "123456789012"),
    ],
)
def test_an_account_number_is_read(raw: Raw, number: str) -> None:
    assert value(accounts.account_number(raw)) == number


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (6.22848040256489e18, "imports.digits_lost"),
        ("6.22848E+18", "imports.digits_lost"),
        (1234567890123456, "imports.digits_lost"),
        ("", "imports.account_blank"),
        (12345.5, "imports.account_unreadable"),
        ("中国银行", "imports.account_unreadable"),
        ("12", "imports.account_unreadable"),
        (date(2026, 7, 3), "imports.account_unreadable"),
    ],
)
def test_an_account_number_that_lost_digits_is_refused(raw: Raw, why: str) -> None:
    assert code(accounts.account_number(raw)) == why


def test_a_number_typed_as_number_is_read_with_a_warning() -> None:
    read = accounts.account_number(200062009212176.0)
    assert isinstance(read, Read) and "zeros at its beginning" in read.note


def test_a_column_rounded_before_it_was_saved_is_found_out() -> None:
    rounded = ["6228480402564890000", "6217000010012340000"]
    assert accounts.rounded_column(rounded)
    assert code(accounts.account_number(rounded[0], rounded=True)) == "imports.digits_lost"
    honest = ["6228480402564890018", "6217000010012345678", "6217000010012340000"]
    assert not accounts.rounded_column(honest)
    assert value(accounts.account_number(honest[2])) == honest[2]


def test_a_whole_account_number_never_stands_in_a_message() -> None:
    for raw in ("6228480402564890018元", "6228 4804 0256 4890 018 号", 6.22848040256489e18):
        refusal = accounts.account_number(raw)
        assert isinstance(refusal, Refusal)
        assert "62284804" not in refusal.detail


def test_a_bank_code_has_twelve_digits_and_its_check_digit_only_warns() -> None:
    assert accounts.bank_code("102100099996") == Read("102100099996", "")
    assert value(accounts.bank_code(102100099996.0)) == "102100099996"
    doubtful = accounts.bank_code("102100099990")
    assert isinstance(doubtful, Read) and "unusual" in doubtful.note
    assert code(accounts.bank_code("11100099996")) == "imports.digits_lost"
    assert code(accounts.bank_code("ICBC")) == "identifier.bank_code.shape"
    assert value(accounts.bank_code("")) == ""


# ---------------------------------------------------------------------------------- words


def test_a_name_is_kept_letter_by_letter() -> None:
    assert value(cells.name(" 北京某某（集团）有限公司 ")) == "北京某某（集团）有限公司"
    assert value(cells.name("某某\n有限公司")) == "某某 有限公司"
    assert code(cells.name(" ")) == "imports.name_blank"
    assert code(cells.name("6228480402564890018")) == "imports.name_is_number"


def test_words_are_cleaned_and_bounded() -> None:
    assert value(cells.words("货款\r\n第一期\x07")) == "货款 第一期"
    assert code(cells.words("x" * 141)) == "imports.words_too_long"


def test_a_currency_that_is_not_ours_is_refused_by_name() -> None:
    assert value(cells.currency("人民币")) == "CNY"
    refusal = cells.currency("EUR")
    assert code(refusal) == "imports.currency_not_cny" and "EUR" in refusal.detail  # type: ignore[union-attr]


def test_priority_is_yes_no_or_refused() -> None:
    assert value(cells.urgent("加急")) is True
    assert value(cells.urgent("")) is False
    assert code(cells.urgent("maybe")) == "imports.priority_unreadable"
