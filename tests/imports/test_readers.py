"""Files as people hand them in: encodings, delimiters, workbooks, titles above and totals below."""

from __future__ import annotations

import io
from contextlib import closing
from datetime import date, datetime

import openpyxl
import pytest
from tests.imports.helpers import (
    ACCOUNTS,
    TODAY,
    codes,
    csv_text,
    lines,
    outcomes,
    payment,
    workbook,
)

from caiwutong.imports.columns import TITLES
from caiwutong.imports.model import AccountBook, BadRow, Field, Line, OwnAccount, SourceRow
from caiwutong.imports.readers import LeftOut, open_source
from caiwutong.imports.rows import RowReader
from caiwutong.imports.template import encode
from caiwutong.kernel.errors import Refused

TEXT = csv_text(payment(0), payment(1))


def refused(data: bytes, **options: object) -> Refused:
    with pytest.raises(Refused) as caught, closing(open_source(data, **options)) as source:  # type: ignore[arg-type]
        list(source.rows())
    assert caught.value.cure
    return caught.value


# ---------------------------------------------------------------------------------- CSV


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16", "utf-16-le", "utf-16-be"]
)
def test_a_csv_is_read_in_every_usual_encoding(encoding: str) -> None:
    found = lines(TEXT.encode(encoding))
    assert [line.order.payee.name for line in found] == ["供应商0有限公司", "供应商1有限公司"]
    assert found == lines(TEXT.encode())


@pytest.mark.parametrize("delimiter", ["\t", ";", "|", "\uff0c"])
def test_a_csv_is_read_with_every_usual_delimiter(delimiter: str) -> None:
    assert lines(TEXT.replace(",", delimiter).encode()) == lines(TEXT.encode())


def test_excels_own_sep_line_is_obeyed_and_not_counted() -> None:
    assert lines(("sep=;\r\n" + TEXT.replace(",", ";")).encode()) == lines(TEXT.encode())


def test_row_numbers_are_those_a_spreadsheet_shows() -> None:
    header, first, second = TEXT.splitlines()
    first = first.replace("谢谢", '"两\n行"')
    data = f"某某集团付款明细表\r\n\r\n{header}\r\n{first}\r\n\r\n{second}\r\n".encode("gbk")
    assert [line.row_no for line in lines(data)] == [4, 6]


def test_the_caret_z_of_old_programs_ends_the_file() -> None:
    assert lines(TEXT.encode() + b"\x1a") == lines(TEXT.encode())


def test_totals_and_signatures_below_are_left_out_and_said() -> None:
    amount_at = list(TITLES).index(Field.AMOUNT)
    total = ["合计"] + [""] * (amount_at - 1) + ["3.01"]
    data = (TEXT + ",".join(total) + "\r\n制表人：张三,,审核：李四\r\n").encode()
    found = outcomes(data)
    left = [one for one in found if isinstance(one, LeftOut)]
    assert [one.row_no for one in left] == [4, 5]
    assert left[0].amount == "3.01" and "合计" in left[0].why
    assert sum(isinstance(one, Line) for one in found) == 2


def test_a_payment_whose_payee_is_called_total_is_a_payment() -> None:
    (line,) = lines(csv_text(payment(0, row_key="", member_unit="", payee_name="合计")).encode())
    assert line.order.payee.name == "合计"


def test_a_row_with_only_blanks_missing_is_refused_not_left_out() -> None:
    (row,) = outcomes(csv_text(payment(0, payee_account="", amount="")).encode())
    assert codes(row) == ["imports.account_blank", "imports.amount_blank"]


def test_an_open_quotation_mark_is_refused_with_its_row() -> None:
    error = refused(TEXT.replace("谢谢", '"谢谢', 1).encode())
    assert error.code == "imports.csv_broken"
    assert "row 1" in error.detail


def test_damaged_characters_are_not_taken_for_another_encoding() -> None:
    data = csv_text(*(payment(i) for i in range(50))).encode()
    at = data.rindex("供应商".encode())
    error = refused(data[: at + 1] + data[at + 2 :])
    assert error.code == "imports.encoding"
    assert "damaged" in error.detail


def test_a_csv_that_a_spreadsheet_rounded_is_refused_row_by_row() -> None:
    rows = [payment(i, payee_account=f"62284804025{i:04d}0000") for i in range(1, 4)]
    for row in outcomes(csv_text(*rows).encode()):
        assert codes(row) == ["imports.digits_lost"]


def test_dates_with_the_day_first_are_read_where_one_row_decides_it() -> None:
    undecided = csv_text(payment(0, execute_on="3/7/2026"), payment(1, execute_on="4/7/2026"))
    assert [codes(row) for row in outcomes(undecided.encode())] == [["imports.date_ambiguous"]] * 2
    decided = csv_text(payment(0, execute_on="3/7/2026"), payment(1, execute_on="25/7/2026"))
    found = lines(decided.encode())
    assert [line.order.execute_on for line in found] == [date(2026, 7, 3), date(2026, 7, 25)]


# ---------------------------------------------------------------------------------- workbooks

HEADER = ["付款账号", "收款人", "收款账号", "金额", "付款日期"]
PAYER = payment()[Field.PAYER_ACCOUNT]


def test_a_workbook_gives_the_same_lines_as_the_csv() -> None:
    rows = [payment(i) for i in range(50)]
    assert lines(encode(".xlsx", rows)) == lines(encode(".csv", rows))


def test_typed_cells_are_read_by_their_type() -> None:
    data = workbook(
        [HEADER, [PAYER, "张三", "6228480402564890018", 123.62999999, datetime(2026, 7, 3)]]
    )
    (line,) = lines(data)
    assert line.order.amount_fen == 12363
    assert line.order.execute_on == date(2026, 7, 3)
    assert [note.field for note in line.notes] == ["金额"]


def test_account_numbers_typed_as_numbers_are_refused_with_the_cure() -> None:
    data = workbook([HEADER, [PAYER, "张三", 6228480402564890018, 1, None]])
    (row,) = outcomes(data)
    assert codes(row) == ["imports.digits_lost"]
    assert isinstance(row, BadRow) and "文本" in row.problems[0].cure


def test_our_account_that_lost_its_leading_zero_is_recognised() -> None:
    own = OwnAccount(ACCOUNTS[0].bank_account_id, "0123456789012", "U00", "第0分公司")
    data = workbook([HEADER, [123456789012, "张三", "6228480402564890018", 1, None]])
    with closing(open_source(data)) as source:
        reader = RowReader.of(source, AccountBook([own]), TODAY)
        (row,) = [reader.read(row) for row in source.rows() if isinstance(row, SourceRow)]
    assert codes(row) == ["imports.digits_lost"]


def test_rows_and_columns_may_begin_anywhere_in_the_sheet() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet["C2"] = "某某集团 2026 年 7 月付款"
    for at, title in enumerate(HEADER):
        sheet.cell(4, 3 + at).value = title
    for at, cell in enumerate([PAYER, "张三", "6228480402564890018", 5, None]):
        sheet.cell(7, 3 + at).value = cell
    out = io.BytesIO()
    book.save(out)
    assert [line.row_no for line in lines(out.getvalue())] == [7]


def two_sheets(hidden: bool) -> bytes:
    book = openpyxl.Workbook()
    for at, name in enumerate(["一月", "二月"]):
        sheet = book.active if at == 0 else book.create_sheet()
        assert sheet is not None
        sheet.title = name
        sheet.append(HEADER)
        sheet.append([PAYER, name, "6228480402564890018", 5, None])
        if at and hidden:
            sheet.sheet_state = "hidden"
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_two_lists_in_one_workbook_are_never_guessed_between() -> None:
    error = refused(two_sheets(hidden=False))
    assert error.code == "imports.which_sheet" and "一月、二月" in error.detail
    (line,) = lines(two_sheets(hidden=False), sheet="二月")
    assert line.order.payee.name == "二月"
    assert refused(two_sheets(hidden=False), sheet="三月").code == "imports.which_sheet"


def test_a_hidden_sheet_is_not_paid_and_that_is_said() -> None:
    with closing(open_source(two_sheets(hidden=True))) as source:
        assert any("二月" in note and "Not read" in note for note in source.notes)
    (line,) = lines(two_sheets(hidden=True))
    assert line.order.payee.name == "一月"


def test_a_source_can_be_walked_twice() -> None:
    for data in (TEXT.encode(), encode(".xlsx", [payment(0), payment(1)])):
        with closing(open_source(data)) as source:
            assert list(source.rows()) == list(source.rows())
            assert source.total == 2


def test_what_was_assumed_about_the_file_is_said() -> None:
    text = TEXT.replace("金额(元)", "金额(万元)").replace("付款日期", "手机号")
    with closing(open_source(text.encode("gbk"))) as source:
        notes = " ".join(source.notes)
    assert "gb18030" in notes and "10,000.00 CNY" in notes and "手机号" in notes


# ---------------------------------------------------------------------------------- not lists


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "imports.empty"),
        (b" \r\n ", "imports.empty"),
        (b"%PDF-1.7 ...", "imports.not_a_list"),
        (b"\x89PNG\r\n\x1a\n...", "imports.not_a_list"),
        (b"<html><table><tr><td>1", "imports.not_a_list"),
        (b'{"payments": []}', "imports.not_a_list"),
        (b"MZ\x90\x00\x03\x00", "imports.not_a_list"),
        (bytes(range(256)) * 20, "imports.encoding"),
        (b"hello\nworld\n", "imports.no_header"),
        ("户名,金额\n张三,1\n".encode(), "imports.columns"),
        (b"\xff\xfe\x00", "imports.encoding"),
        ("收款人,金额,日期\n".encode("big5hkscs", "ignore"), "imports.no_header"),
    ],
)
def test_what_is_not_a_list_of_payments_is_refused_by_name(data: bytes, code: str) -> None:
    assert refused(data).code == code


def test_too_many_rows_are_refused() -> None:
    data = encode(".csv", [payment(i) for i in range(11)])
    assert refused(data, max_rows=10).code == "imports.too_many_rows"
    assert refused(encode(".xlsx", [payment(i) for i in range(11)]), max_rows=10).code == (
        "imports.too_many_rows"
    )
