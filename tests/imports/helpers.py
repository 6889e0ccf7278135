"""What the tests of imports share: a group's accounts, rows in the template's form, workbooks."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from typing import Any
from uuid import UUID

import openpyxl

from caiwutong.imports.model import AccountBook, BadRow, Field, Line, OwnAccount, SourceRow
from caiwutong.imports.readers import LeftOut, Source, open_source
from caiwutong.imports.rows import RowReader
from caiwutong.imports.template import encode

TODAY = date(2026, 7, 1)
UNITS = 37

ACCOUNTS = [
    OwnAccount(
        UUID(int=i + 1), f"02000620092{i:02d}176454", f"U{i:02d}", f"第{i}分公司", "中国工商银行"
    )
    for i in range(UNITS)
]
BOOK = AccountBook(ACCOUNTS)


def payment(i: int = 0, **changes: str) -> dict[Field, str]:
    """Row ``i`` of a month, spread over the 37 units."""
    row = {
        Field.ROW_KEY: f"2026-{i:06d}",
        Field.MEMBER_UNIT: f"U{i % UNITS:02d}",
        Field.PAYER_ACCOUNT: ACCOUNTS[i % UNITS].number,
        Field.PAYEE_NAME: f"供应商{i}有限公司",
        Field.PAYEE_ACCOUNT: f"62284804{i:06d}48917",
        Field.BANK_NAME: "中国工商银行北京分行",
        Field.BANK_CODE: "102100099996",
        Field.AMOUNT: f"{i % 9000 + 1}.{i % 100:02d}",
        Field.PURPOSE: "货款",
        Field.REMARK: "谢谢",
        Field.EXECUTE_ON: "2026-07-03",
        Field.CONTRACT: f"HT-{i}",
    }
    return row | {Field(name): text for name, text in changes.items()}


def workbook(rows: Iterable[Sequence[Any]], title: str = "付款") -> bytes:
    """An XLSX as a spreadsheet program saves it."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet(title)
    for row in rows:
        sheet.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def csv_text(*rows: Mapping[Field, str]) -> str:
    """The rows as plain comma-separated text with our own titles."""
    return encode(".csv", rows).decode("utf-8-sig")


def outcomes(data: bytes, **options: Any) -> list[Line | BadRow | LeftOut]:
    """Every row of the file, read."""
    with closing(open_source(data, **options)) as source:
        return list(read_all(source))


def read_all(source: Source) -> Iterator[Line | BadRow | LeftOut]:
    reader = RowReader.of(source, BOOK, TODAY)
    for row in source.rows():
        yield reader.read(row) if isinstance(row, SourceRow) else row


def lines(data: bytes, **options: Any) -> list[Line]:
    """The rows of a file in which every row is good."""
    found = outcomes(data, **options)
    assert all(isinstance(one, Line) for one in found), found
    return [one for one in found if isinstance(one, Line)]


def codes(row: object) -> list[str]:
    assert isinstance(row, BadRow), row
    assert all(problem.detail and problem.cure for problem in row.problems)
    return [problem.code for problem in row.problems]
