"""The bank's side of the same formats: read an uploaded template, write a result and a statement.

For the sandbox's web bank and for the laws that hold both sides together; the hub itself uses none
of it. Pure but for ``read_upload``, which opens the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.money import yuan
from caiwutong.rails.bank_file.codec import find_header, find_reference
from caiwutong.rails.bank_file.tables import rows_of
from caiwutong.rails.bank_file.template import (
    BankTemplate,
    Field,
    ResultColumn,
    StatementColumn,
)
from caiwutong.rails.contract import BadMessage
from caiwutong.sheets.accounts import account_number
from caiwutong.sheets.amounts import amount_fen
from caiwutong.sheets.cells import text
from caiwutong.sheets.model import Raw, Read
from caiwutong.sheets.writer import Sheet, csv_bytes, harmless, xlsx_bytes


class Uploaded(msgspec.Struct, frozen=True):
    """One row as a customer uploaded it."""

    row_no: int
    reference: str
    payer_account: str
    """Empty where the template names it only above the rows, or not at all."""
    payee_account: str
    payee_name: str
    payee_bank_code: str
    amount_fen: int
    words: str


class ToldRow(msgspec.Struct, frozen=True):
    """One row of a result the bank writes."""

    row: Uploaded
    status: str
    reason: str = ""
    bank_reference: str = ""


class ToldLine(msgspec.Struct, frozen=True):
    """One line of a statement the bank writes; positive is money in."""

    line_id: str
    at: datetime
    amount_fen: int
    balance_fen: int
    counterparty_name: str = ""
    counterparty_account: str = ""
    reference: str = ""
    words: str = ""


def read_upload(template: BankTemplate, raw: bytes) -> list[Uploaded]:
    """The rows of an uploaded batch file. Raises BadMessage."""
    columns = {column.field.value: (column.title,) for column in template.columns}
    rows = rows_of(raw, columns, width=0 if template.header else len(template.columns))
    places = {column.field.value: at for at, column in enumerate(template.columns)}
    begin = len(template.top)
    if template.header:
        header = find_header(rows, columns)
        begin, places = header.row, header.places
    found: list[Uploaded] = []
    for number, row in rows:
        if number > begin and any(text(cell) for cell in row):
            found.append(_uploaded(template, places, number, row))
    return found


def _uploaded(
    template: BankTemplate, places: dict[str, int], number: int, row: Sequence[Raw]
) -> Uploaded:
    def cell(field: Field) -> Raw:
        at = places.get(field.value)
        return row[at] if at is not None and at < len(row) else None

    amount = amount_fen(cell(Field.AMOUNT), 1 if template.amount == "fen" else 100)
    account = account_number(cell(Field.PAYEE_ACCOUNT))
    for read in (amount, account):
        if isinstance(read, Refusal):
            raise BadMessage("bank_file.upload_row", f"Row {number}: {read.detail}", read.cure)
    assert isinstance(amount, Read) and isinstance(account, Read)
    carried = text(cell(template.reference_in))
    return Uploaded(
        row_no=number,
        reference=find_reference(carried),
        payer_account=text(cell(Field.PAYER_ACCOUNT)),
        payee_account=account.value,
        payee_name=text(cell(Field.PAYEE_NAME)),
        payee_bank_code=text(cell(Field.PAYEE_BANK_CODE)),
        amount_fen=amount.value,
        words=text(cell(Field.PURPOSE)) or text(cell(Field.REMARK)),
    )


def write_result(template: BankTemplate, told: Iterable[ToldRow]) -> bytes:
    """A result file of this template, with the first of each column's header words."""
    columns = template.result.columns
    rows = [[titles[0] for titles in columns.values()]]
    rows += [[_result_cell(template, column, each) for column in columns] for each in told]
    return _bytes(template, rows)


def _result_cell(template: BankTemplate, column: ResultColumn, told: ToldRow) -> str:
    row = told.row
    match column:
        case ResultColumn.REFERENCE:
            return row.reference
        case ResultColumn.PAYEE_ACCOUNT:
            return row.payee_account
        case ResultColumn.PAYEE_NAME:
            return row.payee_name
        case ResultColumn.AMOUNT:
            return _amount(template, row.amount_fen)
        case ResultColumn.STATUS:
            return told.status
        case ResultColumn.REASON:
            return told.reason
        case ResultColumn.BANK_REFERENCE:
            return told.bank_reference
        case ResultColumn.REMARK:
            return row.words


def write_statement(template: BankTemplate, lines: Iterable[ToldLine]) -> bytes:
    """A statement export of this template."""
    columns = template.statement.columns
    rows = [[titles[0] for titles in columns.values()]]
    rows += [[_line_cell(template, column, line) for column in columns] for line in lines]
    return _bytes(template, rows)


def _line_cell(template: BankTemplate, column: StatementColumn, line: ToldLine) -> str:
    local = line.at.astimezone(CHINA)
    amount = yuan(abs(line.amount_fen), grouped=False)
    out = line.amount_fen < 0
    cells = {
        StatementColumn.LINE_ID: line.line_id,
        StatementColumn.DAY: f"{local:%Y-%m-%d}",
        StatementColumn.TIME: f"{local:%H:%M:%S}",
        StatementColumn.PAID_OUT: amount if out else "",
        StatementColumn.PAID_IN: "" if out else amount,
        StatementColumn.AMOUNT: amount,
        StatementColumn.DIRECTION: (
            template.statement.out_words[0] if out else template.statement.in_words[0]
        ),
        StatementColumn.BALANCE: yuan(line.balance_fen, grouped=False),
        StatementColumn.COUNTERPARTY_NAME: line.counterparty_name,
        StatementColumn.COUNTERPARTY_ACCOUNT: line.counterparty_account,
        StatementColumn.REFERENCE: line.reference,
        StatementColumn.SUMMARY: line.words,
        StatementColumn.REMARK: line.reference,
    }
    return cells[column]


def _amount(template: BankTemplate, fen: int) -> str:
    return str(fen) if template.amount == "fen" else yuan(fen, grouped=False)


def _bytes(template: BankTemplate, rows: list[list[str]]) -> bytes:
    if template.format == "xlsx":
        return xlsx_bytes([Sheet("Sheet1", rows)])
    safe = [[cell if _number(cell) else harmless(cell) for cell in row] for row in rows]
    encoding = "gb18030" if template.encoding == "gbk" else template.encoding
    return csv_bytes(safe, encoding, delimiter=template.delimiter, line_end=template.line_end)


def _number(cell: str) -> bool:
    return cell.lstrip("-").replace(".", "", 1).isdigit()
