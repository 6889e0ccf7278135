"""Any file a person may hand in, as rows with named columns.

``open_source`` looks at the first bytes, not at the file's name; refuses by its name what is not a
list of payments; and gives a ``Source`` whose rows can be walked again and again. Row numbers are
those the user sees. Empty rows are passed over; totals and signatures below the rows (合计, 制表人)
come out as ``LeftOut``, never as payments and never in silence. Next: ``csv_reader.py``,
``spreadsheet.py``, ``pain001.py`` for the formats, ``rows.py`` for what a row means.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from caiwutong.imports import columns, pain001
from caiwutong.imports.columns import Layout
from caiwutong.imports.model import Field, SourceRow
from caiwutong.kernel.errors import Refusal, Refused
from caiwutong.sheets.accounts import rounded_column
from caiwutong.sheets.cells import is_blank, text
from caiwutong.sheets.csv_reader import CsvFile
from caiwutong.sheets.dates import date_order
from caiwutong.sheets.model import DateOrder, Raw
from caiwutong.sheets.spreadsheet import Head, Workbook

MAX_BYTES = 64 << 20
MAX_ROWS = 200_000
_SURVEYED = 5_000
"""Different cells of a column that decide its habits."""
HEADER_WITHIN = 30
"""Rows among which the header must stand; above it are titles."""


class LeftOut(msgspec.Struct, frozen=True):
    """A row that is not a payment, and why: a total, a signature, a note below the list."""

    row_no: int
    why: str
    amount: Raw = None
    """What a total row (合计) claims, to be compared with the sum of the rows."""


class Survey(msgspec.Struct, frozen=True):
    """What a first walk through a table tells."""

    rows: int
    date_order: DateOrder
    rounded: frozenset[Field] = frozenset()
    """Account columns that a spreadsheet rounded before the file was saved."""


class Source(Protocol):
    """A file whose rows have names. ``rows`` may be walked more than once."""

    @property
    def kind(self) -> str:
        """``csv``, ``spreadsheet`` or ``pain.001``."""
        ...

    @property
    def typed(self) -> bool:
        """Whether the file tells text from numbers."""
        ...

    @property
    def layout(self) -> Layout: ...

    @property
    def date_order(self) -> DateOrder: ...

    @property
    def rounded(self) -> frozenset[Field]:
        """Account columns whose digits a spreadsheet has lost."""
        ...

    @property
    def total(self) -> int:
        """Rows to come: the whole of the progress bar."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What was assumed about the file as a whole, in words."""
        ...

    @property
    def faults(self) -> Sequence[Refusal]:
        """Why the file as a whole must not be applied (a control sum that does not fit)."""
        ...

    def rows(self) -> Iterator[SourceRow | LeftOut]: ...

    def close(self) -> None:
        """Give back what reading holds (the process a workbook is read in)."""
        ...


def open_source(data: bytes, *, sheet: str = "", max_rows: int = MAX_ROWS) -> Source:
    """The file as a ``Source``. Raises Refused for what cannot be a list of payments."""
    if not data.strip():
        raise Refused("imports.empty", "The file is empty.", "Choose the file that has the rows.")
    if len(data) > MAX_BYTES:
        raise Refused(
            "imports.too_large",
            f"The file has {len(data) >> 20} MiB; {MAX_BYTES >> 20} are read at most.",
            "Split it into several files.",
        )
    kind = sniff(data)
    if kind == "pain.001":
        return pain001.Pain001Source(pain001.read(data, max_transactions=max_rows))
    table = _open_csv(data) if kind == "csv" else _open_workbook(data, sheet)
    try:
        return TableSource(table, max_rows)
    except BaseException:
        table.close()
        raise


_OTHERS = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}


def sniff(data: bytes) -> str:
    """``csv``, ``spreadsheet`` or ``pain.001`` by the first bytes; anything else is refused."""
    if data[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" or data[:2] == b"PK":
        return "spreadsheet"
    for magic, what in _OTHERS.items():
        if data.startswith(magic) and (len(magic) > 2 or b"\x00" in data[:64]):
            raise _not_a_list(what)
    start = data[:4096].replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<table", b"<meta", b"<head")):
        raise _not_a_list("a web page saved with another name")
    if start.startswith(b"<"):
        return "pain.001"
    if start.startswith((b"{", b"[{")):
        raise Refused(
            "imports.not_a_list",
            "The file is JSON.",
            "Send JSON to POST /v1/payments/batch, or save the rows as CSV or XLSX.",
        )
    return "csv"


def _not_a_list(what: str) -> Refused:
    return Refused(
        "imports.not_a_list",
        f"The file is {what}, not a list of payments.",
        "Open it in your spreadsheet program and save it as .xlsx or CSV; payment messages are "
        "read as pain.001.",
    )


# ---------------------------------------------------------------------------------- tables


class _Table(Protocol):
    """Rows without names: what CSV and workbook have in common."""

    kind: str
    typed: bool
    notes: list[str]

    def head(self) -> list[tuple[int, list[Raw]]]: ...

    def survey(self, layout: Layout) -> Survey: ...

    def walk(self) -> Iterator[tuple[int, list[Raw]]]: ...

    def close(self) -> None: ...


class _CsvTable:
    kind, typed = "csv", False

    def __init__(self, file: CsvFile) -> None:
        self._file = file
        self.notes = [f"Read as {file.encoding_name}, columns split at {file.delimiter!r}."]

    def head(self) -> list[tuple[int, list[Raw]]]:
        return [(no, list[Raw](row)) for no, row in self._file.rows(HEADER_WITHIN)]

    def survey(self, layout: Layout) -> Survey:
        count = 0
        dates, payers, payees = set[str](), set[str](), set[str]()
        kept = [
            (layout.fields[field], values)
            for field, values in (
                (Field.EXECUTE_ON, dates),
                (Field.PAYER_ACCOUNT, payers),
                (Field.PAYEE_ACCOUNT, payees),
            )
            if field in layout.fields
        ]
        for number, row in self._file.rows():
            if number > layout.header_row and any(row):
                count += 1
                for at, values in kept:
                    if at < len(row) and len(values) < _SURVEYED:
                        values.add(row[at].strip())
        rounded = frozenset(
            field
            for field, numbers in ((Field.PAYER_ACCOUNT, payers), (Field.PAYEE_ACCOUNT, payees))
            if rounded_column(numbers)
        )
        return Survey(count, date_order(dates), rounded)

    def walk(self) -> Iterator[tuple[int, list[Raw]]]:
        for number, row in self._file.rows():
            yield number, list[Raw](row)

    def close(self) -> None:
        pass


class _SheetTable:
    kind, typed = "spreadsheet", True

    def __init__(self, book: Workbook, head: Head, notes: list[str]) -> None:
        self._book, self._head, self.notes = book, head, notes

    def head(self) -> list[tuple[int, list[Raw]]]:
        return self._head.rows[:HEADER_WITHIN]

    def survey(self, layout: Layout) -> Survey:
        date_at = layout.fields.get(Field.EXECUTE_ON, -1)
        count, dates = self._book.survey(self._head.name, layout.header_row, date_at)
        return Survey(count, date_order(dates))

    def walk(self) -> Iterator[tuple[int, list[Raw]]]:
        return self._book.rows(self._head.name)

    def close(self) -> None:
        self._book.close()


def _open_csv(data: bytes) -> _Table:
    return _CsvTable(CsvFile(data, columns.likeness))


def _open_workbook(data: bytes, wanted: str) -> _Table:
    book = Workbook(data)
    try:
        head, notes = _choose_sheet(book.heads, wanted)
    except Refused:
        book.close()
        raise
    return _SheetTable(book, head, notes)


def _choose_sheet(heads: Sequence[Head], wanted: str) -> tuple[Head, list[str]]:
    filled = [h for h in heads if h.rows or h.width]
    if wanted:
        chosen = [h for h in filled if h.name == wanted]
    else:
        visible = [h for h in filled if h.visible]
        chosen = [h for h in visible if _best_row(h.rows)[1] >= 3] or visible[:1]
    if len(chosen) != 1:
        names = "、".join(h.name[:31] for h in (chosen or filled)[:10])
        raise Refused(
            "imports.which_sheet",
            f"The workbook has no single list of payments; its sheets: {names or 'none'}.",
            "Keep one sheet with payments, or name it (--sheet NAME).",
        )
    head = chosen[0]
    if not head.rows:
        raise Refused(
            "imports.too_wide",
            f"Sheet {head.name[:31]} spans {head.width} columns.",
            "Delete the stray cells far to the right, or copy the rows into a new workbook.",
        )
    others = "、".join(h.name[:31] for h in filled if h is not head)[:200]
    return head, [f"Sheet {head.name[:31]} is read.", *([f"Not read: {others}."] if others else [])]


def _best_row(head: Iterable[tuple[int, Sequence[Raw]]]) -> tuple[int, int, Sequence[Raw]]:
    """(row number, how many fields it names, the row) of the likeliest header."""
    best: tuple[int, int, Sequence[Raw]] = (0, 0, [])
    for number, row in head:
        found = columns.likeness(row)
        if found > best[1]:
            best = (number, found, row)
    return best


class TableSource:
    """A table whose header was recognised."""

    def __init__(self, table: _Table, max_rows: int = MAX_ROWS) -> None:
        self._table = table
        self._max_rows = max_rows
        self.kind, self.typed = table.kind, table.typed
        self.layout = _layout_of(table)
        self.faults: list[Refusal] = []
        survey = table.survey(self.layout)
        self.total, self.date_order = survey.rows, survey.date_order
        self.rounded = survey.rounded
        if self.total > max_rows:
            raise _too_many(max_rows)
        self.notes = [*table.notes, *self._assumptions()]
        if self.total == 0:
            self.faults.append(
                Refusal(
                    "imports.empty",
                    f"There is no row below the header in row {self.layout.header_row}.",
                    "Fill in the payments, or choose the file that has them.",
                )
            )

    def _assumptions(self) -> list[str]:
        notes: list[str] = []
        if self.layout.unit_fen != 100:
            title = self.layout.titles[Field.AMOUNT]
            notes.append(
                f"The column {title} is not in yuan: 1 there is read as "
                f"{self.layout.unit_fen / 100:,.2f} CNY. Compare the totals."
            )
        if self.layout.ignored:
            notes.append(f"Columns not used: {'、'.join(self.layout.ignored[:20])}.")
        if self.date_order is not DateOrder.UNKNOWN:
            first = "day" if self.date_order is DateOrder.DAY_FIRST else "month"
            notes.append(f"Dates such as 3/7/2026 are read with the {first} first.")
        return notes

    def _data_rows(self) -> Iterator[tuple[int, list[Raw]]]:
        count = 0
        for number, row in self._table.walk():
            if number <= self.layout.header_row or all(is_blank(cell) for cell in row):
                continue
            count += 1
            if count > self._max_rows:
                raise _too_many(self._max_rows)
            yield number, row

    def rows(self) -> Iterator[SourceRow | LeftOut]:
        """Every row below the header: a payment, or what was left out and why."""
        places = self.layout.fields.items()
        for number, row in self._data_rows():
            width = len(row)
            cells = {field: row[at] if at < width else None for field, at in places}
            yield _left_out(number, row, cells) or SourceRow(number, cells)

    def close(self) -> None:
        self._table.close()


def _layout_of(table: _Table) -> Layout:
    header_row, found, header = _best_row(table.head())
    if found < 2:
        raise Refused(
            "imports.no_header",
            f"No row among the first {HEADER_WITHIN} looks like a header.",
            "Put one row of column names above the payments, as in the template "
            "(`caiwutong import --template FILE.xlsx`); a CSV should be saved as UTF-8.",
        )
    layout = columns.recognise(header, header_row)
    if isinstance(layout, Refusal):
        raise Refused(layout.code, layout.detail, layout.cure)
    return layout


def _too_many(most: int) -> Refused:
    return Refused(
        "imports.too_many_rows",
        f"The file has more than {most:,} rows.",
        "Split it into several files.",
    )


_TOTAL = re.compile(
    r"(?:本页|本表|以上|全部)?(合计|总计|小计|共计|总额|total|subtotal|sum)(?![a-z])", re.I
)
_FOOTER = re.compile(
    r"(制表|制单|编制|填表|审核|复核|审批|批准|经办|出纳|会计|财务主管|负责人|领导签字|签字|签章|盖章|"
    r"日期|备注|说明|注|附注|打印时间|第\d+页|prepared by|approved by|note)(人|员)?\s*(:|$|\d)",
    re.I,
)


def _left_out(number: int, row: Sequence[Raw], cells: dict[Field, Raw]) -> LeftOut | None:
    if not is_blank(cells.get(Field.PAYEE_ACCOUNT)):
        return None
    first = next((text(cell) for cell in row if not is_blank(cell)), "")
    folded = unicodedata.normalize("NFKC", re.sub(r"\s", "", first))
    if _TOTAL.match(folded):
        partial = folded.startswith(("小计", "本页")) or folded.lower().startswith("subtotal")
        claimed = None if partial else cells.get(Field.AMOUNT)
        return LeftOut(number, f"a total row ({folded[:12]})", claimed)
    if is_blank(cells.get(Field.AMOUNT)) and _FOOTER.match(folded):
        return LeftOut(number, f"words below the list ({folded[:12]})")
    return None
