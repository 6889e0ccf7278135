"""The reading room: a short-lived process in which one workbook is opened.

A workbook of one kilobyte can ask its reader for half a terabyte (two cells, far apart), and the
reader then aborts its whole process. So workbooks are opened here, under limits on memory and
processor time, and only plain rows leave. Run by path, never imported: it knows nothing of the
house. Wire: 8-byte length and the file in; frames of 4-byte length and MessagePack out.
``spreadsheet.py`` is the other end.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import struct
import sys
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, BinaryIO

import msgspec
from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

HEAD_ROWS = 40
FRAME_ROWS = 500
MAX_WIDTH = 300
"""Columns in a sheet; a stray cell far to the right makes every row this wide in memory."""


def limit(memory_bytes: int, cpu_seconds: int) -> None:
    """Hold this process to so much memory and processor time, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def plain(cell: Any) -> Any:
    """A cell as MessagePack carries it: dates and durations as marked extensions."""
    if isinstance(cell, str | int | float | bool):
        return cell
    if isinstance(cell, datetime):
        return msgspec.msgpack.Ext(1, cell.isoformat().encode())
    if isinstance(cell, date):
        return msgspec.msgpack.Ext(2, cell.isoformat().encode())
    if isinstance(cell, time):
        return msgspec.msgpack.Ext(3, cell.isoformat().encode())
    if isinstance(cell, timedelta):
        return msgspec.msgpack.Ext(4, str(cell.total_seconds()).encode())
    return str(cell)


def rows_of(sheet: CalamineSheet, first: int = 0) -> Iterator[tuple[int, list[Any]]]:
    """(Row number as the user sees it, its cells) for every row that is not empty."""
    left = sheet.start[1] if sheet.start else 0
    for number, row in enumerate(sheet.iter_rows(), start=1):
        if number < first:
            continue
        end = len(row)
        while end and row[end - 1] == "":
            end -= 1
        if end:
            yield number, [""] * left + [plain(cell) for cell in row[:end]]


def send(out: BinaryIO, message: Any) -> None:
    body = msgspec.msgpack.encode(message)
    out.write(struct.pack(">I", len(body)))
    out.write(body)
    out.flush()


def serve(stdin: BinaryIO, out: BinaryIO) -> None:
    """The heads of all sheets; then a survey or the rows of a sheet, as often as asked."""
    (size,) = struct.unpack(">Q", stdin.read(8))
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(stdin.read(size)))
        heads: list[Any] = []
        last: tuple[str, CalamineSheet] | None = None
        for meta in book.sheets_metadata:
            if meta.typ is not SheetTypeEnum.WorkSheet:
                continue
            visible = meta.visible is SheetVisibleEnum.Visible
            sheet = book.get_sheet_by_name(meta.name)
            last = (meta.name, sheet)
            if sheet.width > MAX_WIDTH:
                heads.append([meta.name, visible, sheet.width, []])
                continue
            head = list(itertools.islice(rows_of(sheet), HEAD_ROWS))
            heads.append([meta.name, visible, sheet.width, head])
    except PasswordError:
        return send(out, {"error": "password", "detail": ""})
    except CalamineError as error:
        return send(out, {"error": "unreadable", "detail": str(error)[:200]})
    send(out, {"sheets": heads})
    while command := receive(stdin):
        name: str = command["sheet"]
        if last is None or last[0] != name:
            last = (name, book.get_sheet_by_name(name))
        if command["do"] == "survey":
            send(out, survey(last[1], command["header_row"], command["date_at"]))
            continue
        rows = rows_of(last[1])
        while frame := list(itertools.islice(rows, FRAME_ROWS)):
            send(out, {"rows": frame})
        send(out, {"end": True})


def survey(sheet: CalamineSheet, header_row: int, date_at: int) -> dict[str, Any]:
    """How many rows stand below the header, and the different texts of the date column."""
    count, dates = 0, set[str]()
    for number, row in rows_of(sheet):
        if number > header_row:
            count += 1
            if 0 <= date_at < len(row) and isinstance(row[date_at], str) and len(dates) < 5_000:
                dates.add(row[date_at])
    return {"count": count, "dates": sorted(dates)}


def receive(stdin: BinaryIO) -> dict[str, Any] | None:
    size = stdin.read(4)
    if len(size) < 4:
        return None
    return msgspec.msgpack.decode(stdin.read(int.from_bytes(size)))


if __name__ == "__main__":
    limit(int(sys.argv[1]), int(sys.argv[2]))
    with contextlib.suppress(BrokenPipeError, struct.error):
        serve(sys.stdin.buffer, sys.stdout.buffer)
