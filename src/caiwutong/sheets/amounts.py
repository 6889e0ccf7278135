"""Amounts as people write them, to the fen: what is repaired, and what is refused.

A float residue (123.62999999) is repaired and said; a real third decimal is refused, because the
hub does not decide who loses the remainder. No float ever becomes an amount by rounding.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import date, time, timedelta
from decimal import Decimal, InvalidOperation

from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.money import CNY, check_amount
from caiwutong.sheets.cells import SCIENTIFIC, excel_error, is_blank, shown, text
from caiwutong.sheets.model import Raw, Read

_PLAIN = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")
_MARKS = re.compile(r"^(?:人民币|RMB|CNY|¥)?(.*?)(?:元整|圆整|元|圆|RMB|CNY)?$", re.I | re.S)


def amount_fen(raw: Raw, unit_fen: int = 100) -> Read[int] | Refusal:
    """The amount in fen. ``unit_fen`` is what 1 in this column is worth (100 for 元, 1,000,000 for
    万元, 1 for 分). A residue as floats leave it (123.62999999) is repaired and said; a real third
    decimal is refused."""
    if is_blank(raw):
        return Refusal("imports.amount_blank", "The amount is blank.", "Write the amount.")
    if isinstance(raw, bool | date | time | timedelta):
        return _not_an_amount(raw, "Format the column as number or text and enter it again.")
    if isinstance(raw, int | float):
        return _fen_of_number(raw, unit_fen)
    read = _decimal_of_text(text(raw))
    if isinstance(read, Refusal):
        return read
    fen = _fen_of(read.value, unit_fen, read.note)
    return fen


def _fen_of_number(raw: float, unit_fen: int) -> Read[int] | Refusal:
    if not math.isfinite(raw):
        return _not_an_amount(raw, "Write the amount in yuan, for example 1234.56.")
    if abs(raw) >= 1e15:
        return Refusal(
            "imports.amount_imprecise",
            f"The number {raw:.6g} has more digits than a spreadsheet keeps.",
            "Write the amount as text.",
        )
    return _fen_of(Decimal(repr(raw)), unit_fen, "")


def _fen_of(value: Decimal, unit_fen: int, note: str) -> Read[int] | Refusal:
    exact = value * unit_fen
    fen = int(exact.to_integral_value())
    if exact != fen:
        # A float residue is the last bits of a double: far below a thousandth of a fen for any
        # amount people write with intent, and never more than a few units in the last place.
        tolerance = max(Decimal("1e-4"), Decimal(math.ulp(float(abs(value)))) * unit_fen * 4)
        if abs(exact - fen) > tolerance:
            return Refusal(
                "imports.amount_decimals",
                f"The amount {value} has a part below one fen.",
                "Round it to two decimals yourself, for example with ROUND(…,2); "
                "the hub does not decide who loses the remainder.",
            )
        repaired = f"{value} read as {Decimal(fen) / unit_fen} (float residue)"
        note = f"{note}; {repaired}" if note else repaired
    if fen <= 0:
        return Refusal(
            "money.not_positive",
            f"The amount {value} is not above zero.",
            "Write an amount above zero; money coming in is not paid by this file.",
        )
    return check_amount(fen, CNY) or Read(fen, note)


def _decimal_of_text(words: str) -> Read[Decimal] | Refusal:
    if error := excel_error(words):
        return error
    plain = unicodedata.normalize("NFKC", words)
    note = f"{shown(words)} read as {shown(plain)}" if plain != words and _wide(words) else ""
    body = _MARKS.sub(r"\1", plain.replace(" ", ""))
    if SCIENTIFIC.fullmatch(body):
        return Refusal(
            "imports.amount_scientific",
            f"{shown(words)} is in scientific notation; digits may be lost.",
            "Format the column as number with two decimals and export again.",
        )
    if body.endswith(("万", "亿", "千", "百万")):
        return _not_an_amount(words, "Write the amount in yuan with digits, for example 12000.00.")
    if body.startswith("(") and body.endswith(")"):
        body = "-" + body[1:-1]  # bookkeepers' negative; refused below by its sign
    if _GROUPED.fullmatch(body):
        body = body.replace(",", "")
    if "," in body:
        return _not_an_amount(
            words,
            "A comma may only stand between groups of three digits; the decimal sign is a point.",
        )
    if not _PLAIN.fullmatch(body) or not body.isascii():
        return _not_an_amount(words, "Write the amount in yuan, for example 1234.56.")
    try:
        return Read(Decimal(body), note)
    except InvalidOperation:
        return _not_an_amount(words, "Write the amount in yuan, for example 1234.56.")


def _wide(words: str) -> bool:
    return any(unicodedata.east_asian_width(c) == "F" and c.isdigit() for c in words)


def _not_an_amount(raw: Raw, cure: str) -> Refusal:
    return Refusal("imports.amount_unreadable", f"{shown(raw)} is not an amount.", cure)
