"""Whatever bytes come in, the answer is a list of payments or a refusal with a cure."""

from __future__ import annotations

import io
import zipfile
from contextlib import closing

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.imports.helpers import csv_text, lines, payment, read_all
from tests.imports.test_pain001 import message, transfer

from caiwutong.imports.readers import open_source
from caiwutong.imports.template import encode
from caiwutong.kernel.errors import Refused

CSV = csv_text(payment(0), payment(1)).encode()
XLSX = encode(".xlsx", [payment(0), payment(1)])
XML = message(transfer(), day="<Dt>2026-07-03</Dt>")


def taken(data: bytes) -> None:
    """Read it to its end; only a refusal may come out, and it says what helps."""
    try:
        with closing(open_source(data)) as source:
            list(read_all(source))
    except Refused as refused:
        assert refused.code and refused.detail and refused.cure


@given(st.binary(max_size=400))
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfe")
@example(b"\xfe\xff\x00")
@example(b'"')
@example(b"sep=")
@example(b"sep=;\n")
@example(b"\x1a")
@example(b"<")
@example(b"PK")
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    taken(data)


@pytest.mark.parametrize("whole", [CSV, CSV.decode().encode("gb18030"), XML])
@given(st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_file_is_read_or_refused(whole: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(0, 40))
    taken(whole[:at] + data.draw(st.binary(max_size=20)) + whole[at + length :])


@given(st.integers(0, len(XLSX) - 1), st.binary(min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_a_damaged_workbook_is_read_or_refused(at: int, junk: bytes) -> None:
    taken(XLSX[:at] + junk + XLSX[at + len(junk) :])


@given(st.binary(min_size=1, max_size=60))
@settings(max_examples=25, deadline=None)
def test_a_whole_zip_with_a_damaged_sheet_is_read_or_refused(junk: bytes) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(XLSX)) as source, zipfile.ZipFile(out, "w") as archive:
        for name in source.namelist():
            body = source.read(name)
            at = len(body) // 2
            archive.writestr(name, body[:at] + junk + body[at:] if "sheet1" in name else body)
    taken(out.getvalue())


def test_a_list_without_rows_has_a_fault() -> None:
    for suffix in (".csv", ".xlsx"):
        with closing(open_source(encode(suffix, ()))) as source:
            assert [fault.code for fault in source.faults] == ["imports.empty"]


def test_an_open_document_sheet_is_read() -> None:
    table = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p>'
            "</table:table-cell>"
            for cell in row
        )
        + "</table:table-row>"
        for row in (
            ("付款账号", "收款人", "收款账号", "金额"),
            ("0200062009200176454", "张三", "6228480400000048917", "88.80"),
        )
    )
    space = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content '
        f'xmlns:office="{space}:office:1.0" xmlns:table="{space}:table:1.0" '
        f'xmlns:text="{space}:text:1.0" office:version="1.2"><office:body><office:spreadsheet>'
        f'<table:table table:name="付款">{table}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    manifest = (
        f'<manifest:manifest xmlns:manifest="{space}:manifest:1.0" manifest:version="1.2">'
        '<manifest:file-entry manifest:full-path="/" '
        'manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/>'
        "</manifest:manifest>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", manifest)
        archive.writestr("content.xml", content)
    (line,) = lines(out.getvalue())
    assert (line.order.payee.name, line.order.amount_fen) == ("张三", 8880)
