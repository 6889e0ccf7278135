"""One cell as text, and the rules of cells that hold words.

The rules of all cells are pure and return a ``Read`` (the value, with a note where something was
repaired) or a ``Refusal`` with the cause and the cure. A repair is made only where the meaning
cannot be doubted; where two meanings are possible the cell is refused. Numbers in words are masked.
Next: ``amounts.py``, ``dates.py``, ``accounts.py``.
"""

from __future__ import annotations

import re

from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.masking import mask_words
from caiwutong.kernel.money import CNY
from caiwutong.sheets.model import Raw, Read

MAX_CELL = 1_000
"""Characters in one cell of a payment file; more is not a payment."""

AS_TEXT = "Format the column as text (设置单元格格式 → 文本), enter the number again and save."

_INVISIBLE = dict.fromkeys([0x00A0, 0x2007, 0x202F, 0x3000], " ") | dict.fromkeys(
    [0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF, 0x00AD], ""
)
_EXCEL_ERROR = re.compile(r"#(REF!|VALUE!|N/A|DIV/0!|NAME\?|NULL!|NUM!|SPILL!|CALC!|#+)")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff]")
SCIENTIFIC = re.compile(r"[+-]?\d+(?:\.\d*)?[eE][+-]?\d+")


def text(raw: Raw) -> str:
    """The cell as text: trimmed, invisible characters gone. Whole numbers lose their ``.0``."""
    if raw is None:
        return ""
    if isinstance(raw, str):
        return raw.strip() if raw.isascii() else raw.translate(_INVISIBLE).strip()
    if isinstance(raw, float) and raw.is_integer() and abs(raw) < 1e15:
        return str(int(raw))
    return str(raw)


def is_blank(raw: Raw) -> bool:
    """Whether nothing is written in the cell."""
    return raw is None or (isinstance(raw, str) and not text(raw))


def shown(raw: Raw) -> str:
    """A cell quoted in a message: short, and with long digit runs masked."""
    words = mask_words(text(raw))
    return f"«{words[:32]}{'…' if len(words) > 32 else ''}»"


def excel_error(words: str) -> Refusal | None:
    """Why a cell that holds a spreadsheet's error is refused, or None."""
    if words.startswith("#") and _EXCEL_ERROR.fullmatch(words):
        return Refusal(
            "imports.excel_error",
            f"The cell holds the spreadsheet error {words[:8]}.",
            "Repair the formula, or paste the values (选择性粘贴 → 数值).",
        )
    return None


def digits_lost(detail: str) -> Refusal:
    """Said of a number that a spreadsheet has shortened."""
    return Refusal("imports.digits_lost", detail, AS_TEXT)


def name(raw: Raw) -> Read[str] | Refusal:
    """An account name (户名), kept as written because the bank compares it letter by letter."""
    read = words(raw, 120)
    if isinstance(read, Refusal):
        return read
    if not read.value:
        return Refusal(
            "imports.name_blank", "The payee's name is blank.", "Fill in the account name (户名)."
        )
    if re.fullmatch(r"[\d\s\-]{8,}", read.value):
        return Refusal(
            "imports.name_is_number",
            f"{shown(raw)} stands where the payee's name should be.",
            "Check whether the columns are shifted or swapped.",
        )
    return read


def words(raw: Raw, most: int = 140) -> Read[str] | Refusal:
    """Free words: trimmed, line breaks and runs of spaces become one space; blank is empty."""
    plain = text(raw)
    if error := excel_error(plain):
        return error
    value = _UNPRINTABLE.sub("", " ".join(plain.split()))
    if len(value) > most:
        return Refusal(
            "imports.words_too_long",
            f"The text has {len(value)} characters; {most} fit.",
            "Shorten it.",
        )
    return Read(value, "" if value == plain else "line breaks or doubled spaces removed")


def row_key(raw: Raw) -> Read[str] | Refusal:
    """The caller's own key of the row, or empty. A number that lost digits cannot be a key."""
    plain = text(raw)
    if isinstance(raw, float) and (abs(raw) >= 1e15 or not raw.is_integer()):
        return digits_lost(f"The key {shown(raw)} was entered as a number and lost digits.")
    if SCIENTIFIC.fullmatch(plain) and "+" in plain:
        return digits_lost(f"The key {plain[:16]} is in scientific notation.")
    if error := excel_error(plain):
        return error
    return words(plain, 64)


_YES = {"是", "加急", "紧急", "特急", "急", "y", "yes", "urgent", "high", "1", "true"}
_NO = {"", "否", "普通", "一般", "n", "no", "normal", "norm", "0", "false", "不加急", "非加急"}


def urgent(raw: Raw) -> Read[bool] | Refusal:
    """Whether the row is pressing (加急); blank is not."""
    plain = text(raw).lower()
    if plain in _YES or plain in _NO:
        return Read(plain in _YES)
    return Refusal(
        "imports.priority_unreadable",
        f"{shown(raw)} is neither urgent nor normal.",
        "Write 加急 or 普通, or leave the cell blank.",
    )


_CNY_NAMES = {"", "cny", "rmb", "人民币", "人民币元", "156", "10", "元", "\u00a5", "\uffe5"}


def currency(raw: Raw) -> Read[str] | Refusal:
    """CNY, also as 人民币 or RMB; blank is CNY. Anything else is refused by name."""
    if text(raw).lower() in _CNY_NAMES:
        return Read(CNY)
    return Refusal(
        "imports.currency_not_cny",
        f"The currency {shown(raw)} cannot be paid here.",
        "Domestic clearing carries CNY only; take the row out and pay it through your bank.",
    )
