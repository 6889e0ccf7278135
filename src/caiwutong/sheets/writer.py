"""Tables written so that they can be read by people, banks and machines, and run by none of them.

Every cell is text. A workbook is written by hand from its few parts (no library for writing is
needed at run time) and carries no time of its own: the same rows are the same bytes.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

import msgspec

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Sheet(msgspec.Struct, frozen=True):
    """One sheet of a workbook; its first row is the header."""

    name: str
    rows: Iterable[Sequence[str]]


def harmless(cell: str) -> str:
    """A cell that begins like a formula, behind an apostrophe: a spreadsheet must not run the
    words of others."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def begins_like_a_formula(cell: str) -> bool:
    """Whether a spreadsheet program would run this cell of a CSV."""
    return cell.startswith(_FORMULA)


def csv_bytes(
    rows: Iterable[Sequence[str]],
    encoding: str,
    *,
    delimiter: str = ",",
    line_end: str = "\r\n",
) -> bytes:
    """The rows as CSV. Raises UnicodeEncodeError for what the encoding cannot hold."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end)
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


# ---------------------------------------------------------------------------------- XLSX by hand
# The parts and their names: ECMA-376 (Office Open XML), part 1, SpreadsheetML.

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_STYLES = (
    f'{_XML}<styleSheet xmlns="{_MAIN}">'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/></border></borders>'
    '<cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="3"><xf xfId="0"/><xf numFmtId="49" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="1" xfId="0" applyNumberFormat="1" applyFont="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
    "</styleSheet>"
)
_TEXT, _BOLD = 1, 2
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The zip's earliest time, in place of the moment of writing."""


def xlsx_bytes(sheets: Sequence[Sheet]) -> bytes:
    """A workbook whose columns are all formatted as text, the first row of each sheet bold."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:

        def put(name: str, body: str) -> None:
            part = zipfile.ZipInfo(name, _LONG_AGO)
            part.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(part, body)

        for name, body in _parts([sheet.name for sheet in sheets]):
            put(name, body)
        for number, sheet in enumerate(sheets, start=1):
            put(f"xl/worksheets/sheet{number}.xml", _sheet(sheet.rows))
    return out.getvalue()


def _parts(names: Sequence[str]) -> list[tuple[str, str]]:
    numbers = range(1, len(names) + 1)
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_KIND}.worksheet+xml"/>'
        for n in numbers
    )
    listed = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{n}" r:id="rId{n}"/>'
        for n, name in zip(numbers, names, strict=True)
    )
    linked = "".join(
        f'<Relationship Id="rId{n}" Type="{_REL}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in numbers
    )
    return [
        (
            "[Content_Types].xml",
            f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{_KIND}.styles+xml"/>'
            f"{overrides}</Types>",
        ),
        (
            "_rels/.rels",
            f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
            f'<Relationship Id="rId1" Type="{_REL}/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>",
        ),
        (
            "xl/workbook.xml",
            f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_REL}"><sheets>{listed}</sheets>'
            "</workbook>",
        ),
        (
            "xl/_rels/workbook.xml.rels",
            f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">{linked}'
            f'<Relationship Id="rId{len(names) + 1}" Type="{_REL}/styles" Target="styles.xml"/>'
            "</Relationships>",
        ),
        ("xl/styles.xml", _STYLES),
    ]


def _sheet(rows: Iterable[Sequence[str]]) -> str:
    lines = list(rows)
    width = max((len(line) for line in lines), default=1) or 1
    out = [
        f'{_XML}<worksheet xmlns="{_MAIN}"><cols>',
        f'<col min="1" max="{width}" width="20" style="{_TEXT}" customWidth="1"/>',
        "</cols><sheetData>",
    ]
    out += [_row(n, line, _BOLD if n == 1 else _TEXT) for n, line in enumerate(lines, start=1)]
    out.append("</sheetData></worksheet>")
    return "".join(out)


_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


def _row(number: int, cells: Sequence[str], style: int) -> str:
    body = "".join(
        f'<c r="{_letters(at)}{number}" s="{style}" t="inlineStr">'
        f'<is><t xml:space="preserve">{escape(_FORBIDDEN.sub("", cell))}</t></is></c>'
        for at, cell in enumerate(cells)
        if cell
    )
    return f'<row r="{number}">{body}</row>'


def _letters(at: int) -> str:
    return chr(65 + at) if at < 26 else chr(64 + at // 26) + chr(65 + at % 26)
