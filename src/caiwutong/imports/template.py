"""Files this house writes for people to fill in: the template, and lists in its form.

``write_template`` gives XLSX (every column already formatted as text, so that a spreadsheet cannot
eat leading zeros or the end of a long account number) or CSV (UTF-8 with the mark Excel needs).
The XLSX is written by hand from its few parts: no library for writing is needed at run time.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from caiwutong.imports.columns import REQUIRED, TITLES
from caiwutong.imports.model import Field
from caiwutong.kernel.errors import Refused

HINTS: dict[Field, str] = {
    Field.ROW_KEY: "自己的唯一编号,同一编号只付一次 / your own key, never paid twice",
    Field.MEMBER_UNIT: "编码或全称;只有一个账户时可不填付款账号 / unit code or full name",
    Field.PAYER_ACCOUNT: "付款账号;与成员单位二者至少填一项 / which account pays",
    Field.PAYEE_NAME: "必填,与银行开户名逐字一致 / required, exactly as the bank knows it",
    Field.PAYEE_ACCOUNT: "必填,文本格式 / required, as text",
    Field.BANK_NAME: "收款人开户行 / the payee's bank",
    Field.BANK_CODE: "12 位联行号,可不填 / twelve digits, may be blank",
    Field.AMOUNT: "必填,单位元,最多两位小数 / required, yuan, at most two decimals",
    Field.CURRENCY: "可不填,只支持 CNY / blank or CNY",
    Field.PURPOSE: "用途 / why",
    Field.REMARK: "附言,收款人可见 / words the payee sees",
    Field.EXECUTE_ON: "2026-07-03;不填为立即付款 / blank pays at once",
    Field.PRIORITY: "加急 或 普通 / 加急 is urgent",
    Field.CHANNEL: "可不填,由系统选择 / blank lets routing choose",
    Field.CONTRACT: "合同号 / contract",
    Field.INVOICE: "发票号 / invoice",
    Field.PROJECT: "项目 / project",
    Field.BUDGET: "预算 / budget",
}


def write_template(path: Path) -> None:
    """Write an empty list to ``path``; its ending says which kind (``.xlsx`` or ``.csv``)."""
    path.write_bytes(encode(path.suffix, ()))


def encode(suffix: str, rows: Iterable[Mapping[Field, str]]) -> bytes:
    """A list of payments in the template's form. ``suffix`` is ``.xlsx`` or ``.csv``."""
    if suffix.lower() == ".csv":
        return _csv(rows)
    if suffix.lower() == ".xlsx":
        return _xlsx(rows)
    raise Refused(
        "imports.template_kind",
        f"A template cannot be written as {suffix[:8] or 'a file without ending'}.",
        "Choose a name that ends in .xlsx or .csv.",
    )


def _csv(rows: Iterable[Mapping[Field, str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(TITLES.values())
    for row in rows:
        writer.writerow(row.get(field, "") for field in TITLES)
    return out.getvalue().encode("utf-8-sig")


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
_PARTS = {
    "[Content_Types].xml": f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_KIND}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_KIND}.worksheet+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet2.xml" ContentType="{_KIND}.worksheet+xml"/>'
    "</Types>",
    "_rels/.rels": f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_REL}/officeDocument" Target="xl/workbook.xml"/>'
    "</Relationships>",
    "xl/workbook.xml": f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_REL}"><sheets>'
    '<sheet name="付款" sheetId="1" r:id="rId1"/><sheet name="说明" sheetId="2" r:id="rId2"/>'
    "</sheets></workbook>",
    "xl/_rels/workbook.xml.rels": f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_REL}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_REL}/worksheet" Target="worksheets/sheet2.xml"/>'
    f'<Relationship Id="rId3" Type="{_REL}/styles" Target="styles.xml"/></Relationships>',
    "xl/styles.xml": _STYLES,
}


def _xlsx(rows: Iterable[Mapping[Field, str]]) -> bytes:
    fields = list(TITLES)
    header = [TITLES[field] + ("*" if field in REQUIRED else "") for field in fields]
    lines = ([row.get(field, "") for field in fields] for row in rows)
    hints = [[TITLES[field], HINTS[field]] for field in fields]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in _PARTS.items():
            archive.writestr(name, body)
        archive.writestr("xl/worksheets/sheet1.xml", _sheet(header, lines))
        archive.writestr("xl/worksheets/sheet2.xml", _sheet(["列 / column", "怎样填 / how"], hints))
    return out.getvalue()


def _sheet(header: list[str], rows: Iterable[list[str]]) -> str:
    out = [
        f'{_XML}<worksheet xmlns="{_MAIN}"><cols>',
        f'<col min="1" max="{len(header)}" width="20" style="{_TEXT}" customWidth="1"/>',
        "</cols><sheetData>",
        _row(1, header, _BOLD),
    ]
    out += [_row(number, row, _TEXT) for number, row in enumerate(rows, start=2)]
    out.append("</sheetData></worksheet>")
    return "".join(out)


_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


def _row(number: int, cells: list[str], style: int) -> str:
    body = "".join(
        f'<c r="{_letters(at)}{number}" s="{style}" t="inlineStr">'
        f'<is><t xml:space="preserve">{escape(_FORBIDDEN.sub("", cell))}</t></is></c>'
        for at, cell in enumerate(cells)
        if cell
    )
    return f'<row r="{number}">{body}</row>'


def _letters(at: int) -> str:
    return chr(65 + at) if at < 26 else chr(64 + at // 26) + chr(65 + at % 26)
