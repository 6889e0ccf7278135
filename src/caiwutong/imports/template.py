"""Files this house writes for people to fill in: the template, and lists in its form.

``write_template`` gives XLSX (every column already formatted as text, so that a spreadsheet cannot
eat leading zeros or the end of a long account number) or CSV (UTF-8 with the mark Excel needs).
``sheets/writer.py`` makes the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from caiwutong.imports.columns import REQUIRED, TITLES
from caiwutong.imports.model import Field
from caiwutong.kernel.errors import Refused
from caiwutong.sheets.writer import Sheet, csv_bytes, xlsx_bytes

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
    lines = [[row.get(field, "") for field in TITLES] for row in rows]
    return csv_bytes([list(TITLES.values()), *lines], "utf-8-sig")


def _xlsx(rows: Iterable[Mapping[Field, str]]) -> bytes:
    header = [TITLES[field] + ("*" if field in REQUIRED else "") for field in TITLES]
    lines = ([row.get(field, "") for field in TITLES] for row in rows)
    hints = [[TITLES[field], HINTS[field]] for field in TITLES]
    return xlsx_bytes(
        [
            Sheet("付款", [header, *lines]),
            Sheet("说明", [["列 / column", "怎样填 / how"], *hints]),
        ]
    )
