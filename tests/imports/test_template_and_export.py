"""The files this house writes: a template people can fill in, and the list of what went wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import openpyxl
import pytest
from tests.imports.helpers import lines, payment

from caiwutong.imports.columns import TITLES
from caiwutong.imports.export import outcomes_csv
from caiwutong.imports.model import Field, Problem
from caiwutong.imports.records import RowOutcome, Status
from caiwutong.imports.template import encode, write_template
from caiwutong.kernel.errors import Refused


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
def test_a_template_has_every_column_and_no_payment(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"模板{suffix}"
    write_template(path)
    assert lines(path.read_bytes()) == []


def test_the_template_keeps_long_numbers_as_text(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    write_template(path)
    book = openpyxl.load_workbook(path)
    sheet = book["付款"]
    assert [str(cell.value).rstrip("*") for cell in sheet[1]] == list(TITLES.values())
    assert {sheet.column_dimensions["A"].number_format, sheet["A1"].number_format} == {"@"}
    assert book["说明"].max_row == len(TITLES) + 1


def test_what_a_person_types_into_the_template_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    write_template(path)
    book = openpyxl.load_workbook(path)
    row = payment(7)
    book["付款"].append([row.get(field, "") for field in TITLES])
    book.save(path)
    (line,) = lines(path.read_bytes())
    assert line.order.payee.account == row[Field.PAYEE_ACCOUNT]


def test_signs_that_xml_forbids_do_not_break_the_file() -> None:
    (line,) = lines(encode(".xlsx", [payment(0, remark="<a> & \x07 ]]>")]))
    assert line.order.remark == "<a> & ]]>"


def test_another_ending_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        encode(".pdf", ())
    assert caught.value.code == "imports.template_kind"


def test_the_outcomes_are_a_csv_that_runs_nothing() -> None:
    rows = [
        RowOutcome(3, Status.BAD, (Problem("金额", "imports.x", "=1+1", "Mend it."),), "@key"),
        RowOutcome(5, Status.LEFT_OUT, (Problem("", "imports.left_out", "a total row"),)),
    ]
    text = outcomes_csv(rows).decode("utf-8-sig")
    _, first, second = csv.reader(io.StringIO(text))
    assert first[:6] == ["3", "有误,未付", "'@key", "金额", "'=1+1", "Mend it."]
    assert second[0] == "5" and second[1] == "非付款行"
