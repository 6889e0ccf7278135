"""Files made to hurt: each is refused, by name, in about a second, and leaves nothing behind."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from contextlib import closing
from time import perf_counter

import pytest
from tests.imports.helpers import codes, csv_text, outcomes, payment, workbook

from caiwutong.imports.readers import open_source
from caiwutong.imports.template import encode
from caiwutong.kernel.errors import Refused

SECONDS = 5.0
"""A generous bound for a loaded machine; the figure printed is the one to look at."""


def refusal(data: bytes) -> str:
    began = perf_counter()
    with pytest.raises(Refused) as caught, closing(open_source(data)) as source:
        list(source.rows())
    took = perf_counter() - began
    print(f"{caught.value.code} after {took:.3f} s")
    assert caught.value.cure
    assert took < SECONDS
    return caught.value.code


def with_cell_at(place: str) -> bytes:
    """A workbook of a kilobyte with one stray cell."""
    source = zipfile.ZipFile(io.BytesIO(encode(".xlsx", [payment()])))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            body = source.read(name).decode()
            if name.endswith("sheet1.xml"):
                row = place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
                stray = f'<row r="{row}"><c r="{place}"><v>1</v></c></row></sheetData>'
                body = body.replace("</sheetData>", stray)
            archive.writestr(name, body)
    return out.getvalue()


def test_a_cell_at_the_end_of_the_world_does_not_take_the_process_with_it() -> None:
    assert refusal(with_cell_at("XFD1048576")) == "imports.spreadsheet_exhausting"


def test_a_sheet_that_is_far_too_wide_is_refused() -> None:
    assert refusal(with_cell_at("ALL2000")) == "imports.too_wide"


def bomb() -> bytearray:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", bytes(300 << 20))
    return bytearray(out.getvalue())


def test_a_zip_bomb_is_refused_by_what_it_says() -> None:
    assert refusal(bytes(bomb())) == "imports.too_large_inside"


def test_a_zip_bomb_that_lies_about_its_size_is_refused_by_what_it_does() -> None:
    data = bomb()
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.find(mark) + offset
        data[at : at + 4] = struct.pack("<I", 1000)
    assert refusal(bytes(data)) == "imports.too_large_inside"


def test_a_zip_of_very_many_parts_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i in range(2_001):
            archive.writestr(f"{i}", b"")
    assert refusal(out.getvalue()) == "imports.too_large_inside"


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_garbage_that_begins_like_a_workbook_is_refused(magic: bytes) -> None:
    for seed in range(3):
        junk = b"".join(
            struct.pack("<Q", (seed + i) * 0x9E3779B97F4A7C15 % 2**64) for i in range(512)
        )
        assert refusal(magic + junk) == "imports.spreadsheet_damaged"


def test_a_truncated_workbook_is_refused() -> None:
    assert refusal(encode(".xlsx", [payment()])[:-400]) == "imports.spreadsheet_damaged"


def test_an_ordinary_zip_is_not_a_workbook() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("photo.jpg", b"x")
    assert refusal(out.getvalue()) == "imports.spreadsheet_damaged"


def test_a_locked_workbook_says_so() -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600) + "EncryptedPackage".encode("utf-16-le")
    assert refusal(ole) == "imports.password"


def test_an_endless_cell_is_refused() -> None:
    text = csv_text(payment(0, remark="好" * 200_000))
    assert refusal(text.encode()) == "imports.csv_broken"


def test_a_long_cell_is_refused_in_its_row_only() -> None:
    bad, good = outcomes(encode(".csv", [payment(0, remark="好" * 5_000), payment(1)]))
    assert codes(bad) == ["imports.cell_too_long"]
    assert good.row_no == 3


def test_a_megabyte_without_a_line_end_is_refused() -> None:
    assert refusal(b"a," * (1 << 20)) == "imports.too_wide"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (
            '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
            "<Document><CstmrCdtTrfInitn>&b;</CstmrCdtTrfInitn></Document>",
            "xml.document_type",
        ),
        (
            '<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/passwd">]><Document>&f;</Document>',
            "xml.document_type",
        ),
        ("<Document>" + "<a>" * 100_000 + "</a>" * 100_000 + "</Document>", "xml.malformed"),
        ("<Document><CstmrCdtTrfInitn>", "xml.malformed"),
        ("<<<", "xml.malformed"),
    ],
)
def test_hostile_xml_is_refused(document: str, code: str) -> None:
    assert refusal(document.encode()) == code


def test_a_comment_inside_an_amount_is_refused() -> None:
    document = (
        "<Document><CstmrCdtTrfInitn><PmtInf><CdtTrfTxInf><Amt>"
        '<InstdAmt Ccy="CNY">1<!-- -->000</InstdAmt>'
        "</Amt></CdtTrfTxInf></PmtInf></CstmrCdtTrfInitn></Document>"
    )
    assert refusal(document.encode()) == "xml.comment"


def test_no_reading_process_is_left_behind() -> None:
    before = children()
    with closing(open_source(workbook([["付款账号", "收款人", "收款账号", "金额"]]))):
        assert len(children() - before) == 1
    refusal(with_cell_at("XFD1048576"))
    assert children() - before == set()


def children() -> set[str]:
    found: set[str] = set()
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as file:
            found |= set(file.read().split())
    return found
