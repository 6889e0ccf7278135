"""The bytes of a bank's file as rows, whatever a person hands in.

CSV in any of the encodings banks write, XLSX and XLS; a workbook is opened in a process of its own
(``sheets/spreadsheet.py``), so reading may take a moment: call it off the event loop. Anything that
is not a table is a BadMessage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_file.codec import Rows, find_header
from caiwutong.rails.contract import BadMessage
from caiwutong.sheets.csv_reader import CsvFile
from caiwutong.sheets.model import Raw
from caiwutong.sheets.spreadsheet import Head, Limits, Workbook

MAX_BYTES = 16 << 20
MAX_ROWS = 50_000
_LIMITS = Limits(inflated_bytes=64 << 20, memory_bytes=512 << 20, cpu_seconds=20, wall_seconds=40)
_NOT_TABLES = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
}


def rows_of(raw: bytes, columns: Mapping[str, Sequence[str]], *, width: int = 0) -> Rows:
    """Every row of the table in these bytes; ``columns`` (name to header words) tells which sheet
    and which delimiter are meant; in a CSV without a header its ``width`` does. Raises
    BadMessage."""
    try:
        return _rows(raw, columns, width)
    except Refused as error:
        if isinstance(error, BadMessage):
            raise
        raise BadMessage(error.code, error.detail, error.cure) from error


def _rows(raw: bytes, columns: Mapping[str, Sequence[str]], width: int) -> Rows:
    if not raw.strip():
        raise BadMessage("bank_file.empty_upload", "The file is empty.", "Choose another.")
    if len(raw) > MAX_BYTES:
        raise BadMessage(
            "bank_file.upload_too_large",
            f"The file has {len(raw) >> 20} MiB; {MAX_BYTES >> 20} are read at most.",
            "Export fewer days or rows at once.",
        )
    for magic, what in _NOT_TABLES.items():
        if raw.startswith(magic):
            raise _no_table(what)
    start = raw[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<table", b"<?xml", b"<meta")):
        raise _no_table("a web page or XML saved under another name")
    if raw[:2] == b"PK" or raw[:4] == b"\xd0\xcf\x11\xe0":
        return _workbook_rows(raw, columns)

    def likeness(row: Sequence[Raw]) -> int:
        return len(find_header([(1, row)], columns).places) + (len(row) == width)

    file = CsvFile(raw, likeness, chinese=True)
    return _all([(number, list[Raw](row)) for number, row in file.rows(MAX_ROWS + 1)])


def _workbook_rows(raw: bytes, columns: Mapping[str, Sequence[str]]) -> Rows:
    with Workbook(raw, _LIMITS) as book:
        heads = [head for head in book.heads if head.rows]
        if not heads:
            raise _no_table("a workbook without rows")

        def likeness(head: Head) -> int:
            return len(find_header(head.rows, columns).places)

        best = max(heads, key=likeness)
        found: list[tuple[int, list[Raw]]] = []
        for number, cells in book.rows(best.name):
            found.append((number, cells))
            if len(found) > MAX_ROWS:
                break
        return _all(found)


def _all(rows: list[tuple[int, list[Raw]]]) -> Rows:
    if len(rows) > MAX_ROWS:
        raise BadMessage(
            "bank_file.upload_too_many_rows",
            f"The file has more than {MAX_ROWS:,} rows.",
            "Export fewer days at once.",
        )
    return rows


def _no_table(what: str) -> BadMessage:
    return BadMessage(
        "bank_file.no_table",
        f"The file is {what}, not a table.",
        "Download it from the bank's page as Excel or CSV; a web page saved as .xls is opened in a "
        "spreadsheet program and saved as .xlsx.",
    )
