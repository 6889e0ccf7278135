"""Account numbers and bank codes, and the ways in which spreadsheets lose their digits.

A spreadsheet keeps fifteen digits of a number and no zeros in front. What was lost cannot be found
again: such a cell is refused, with the cure. A number is never shown whole.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, time, timedelta
from functools import lru_cache

from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.identifiers import check_bank_code, compact
from caiwutong.kernel.masking import mask_account
from caiwutong.sheets.cells import SCIENTIFIC, digits_lost, excel_error, is_blank, shown, text
from caiwutong.sheets.model import Raw, Read

_ACCOUNT = re.compile(r"[0-9A-Z]{5,34}")
_DIGITS = re.compile(r"[0-9]{5,34}")


def looks_rounded(number: str) -> bool:
    """Whether a long number has only zeros after its fifteenth digit, as spreadsheets leave it."""
    return len(number) > 15 and number.isdecimal() and not number[15:].strip("0")


def rounded_column(numbers: Iterable[str]) -> bool:
    """Whether a spreadsheet rounded this column of text before it was saved as CSV: half of its
    numbers of 18 digits and more end in zeros, which by chance one in a thousand does."""
    long = [number for number in numbers if len(number) >= 18 and number.isdecimal()]
    return bool(long) and 2 * sum(looks_rounded(number) for number in long) >= len(long)


def account_number(raw: Raw, *, rounded: bool = False) -> Read[str] | Refusal:
    """The account or card number, digits and letters. A number typed as number is refused beyond
    15 digits; ``rounded`` says that the column holds what ``rounded_column`` finds."""
    if is_blank(raw):
        return Refusal("imports.account_blank", "The account number is blank.", "Fill it in.")
    if isinstance(raw, bool | date | time | timedelta):
        return _not_an_account(raw)
    if isinstance(raw, int | float):
        return _account_of_number(raw)
    words = text(raw)
    if _DIGITS.fullmatch(words) and not rounded:
        return Read(words)
    if error := excel_error(words):
        return error
    plain = unicodedata.normalize("NFKC", words).lstrip("'’‘`").strip('"=')
    number = re.sub(r"[\s\-]", "", plain).upper()
    if SCIENTIFIC.fullmatch(number) and ("." in number or "+" in number):
        return digits_lost(f"{words[:16]} is in scientific notation: its digits are lost.")
    if re.fullmatch(r"\d+\.0+", number):
        number = number.partition(".")[0]
    if not _ACCOUNT.fullmatch(number):
        return _not_an_account(raw)
    if rounded and looks_rounded(number):
        return digits_lost(
            f"Account {mask_account(number)} has {len(number)} digits and only zeros after the "
            "fifteenth: a spreadsheet has rounded it."
        )
    note = "" if number == words else f"read as {mask_account(number)}, spaces and signs removed"
    return Read(number, note)


def _account_of_number(raw: float) -> Read[str] | Refusal:
    if not math.isfinite(raw) or raw <= 0 or raw != int(raw):
        return _not_an_account(raw)
    digits = str(int(raw))
    if len(digits) > 15:
        return digits_lost(
            f"The cell holds a number of {len(digits)} digits; a spreadsheet keeps only fifteen, "
            "the rest is lost."
        )
    if not _ACCOUNT.fullmatch(digits):
        return _not_an_account(raw)
    return Read(digits, "entered as a number: zeros at its beginning, if any, are lost")


def zeros_lost(digits: str, right: str) -> Refusal:
    """Said when the directory knows the same account with zeros in front."""
    return digits_lost(
        f"Account {mask_account(digits)} has lost {len(right) - len(digits)} zero(s) at its "
        "beginning."
    )


def bank_code(raw: Raw) -> Read[str] | Refusal:
    """联行号, twelve digits, or empty when the cell is blank. Eleven digits mean a lost zero."""
    if is_blank(raw):
        return Read("")
    return _bank_code_of(text(raw))


@lru_cache(maxsize=4096)
def _bank_code_of(words: str) -> Read[str] | Refusal:
    code = compact(words).lstrip("'")
    code = code.removesuffix(".0")
    if SCIENTIFIC.fullmatch(code):
        return digits_lost(f"The bank code {code[:16]} is in scientific notation.")
    if re.fullmatch(r"[0-9]{11}", code):
        return digits_lost(f"The bank code {code} has eleven digits: a zero in front is lost.")
    checked = check_bank_code(code)
    if isinstance(checked, Refusal):
        return checked
    return Read(checked.value, checked.caution.detail if checked.caution else "")


def _not_an_account(raw: Raw) -> Refusal:
    return Refusal(
        "imports.account_unreadable",
        f"{shown(raw)} is not an account number.",
        "An account number has 5 to 34 digits and letters.",
    )
