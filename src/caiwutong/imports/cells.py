"""The rules of one cell: what finance staff write, and what it may mean.

Each rule is pure and returns a ``Read`` (the value, with a note where something was repaired) or a
``Refusal`` with the cause and the cure. A repair is made only where the meaning cannot be doubted;
where two meanings are possible the cell is refused. Account numbers in words are masked.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from caiwutong.imports.model import DateOrder, Raw, Read
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.identifiers import check_bank_code, compact
from caiwutong.kernel.masking import mask_account, mask_words
from caiwutong.kernel.money import CNY, check_amount

MAX_CELL = 1_000
"""Characters in one cell of a payment file; more is not a payment."""

AS_TEXT = "Format the column as text (设置单元格格式 → 文本), enter the number again and save."

_INVISIBLE = dict.fromkeys([0x00A0, 0x2007, 0x202F, 0x3000], " ") | dict.fromkeys(
    [0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF, 0x00AD], ""
)
_EXCEL_ERROR = re.compile(r"#(REF!|VALUE!|N/A|DIV/0!|NAME\?|NULL!|NUM!|SPILL!|CALC!|#+)")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff]")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:\.\d*)?[eE][+-]?\d+")


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


def _excel_error(words: str) -> Refusal | None:
    if words.startswith("#") and _EXCEL_ERROR.fullmatch(words):
        return Refusal(
            "imports.excel_error",
            f"The cell holds the spreadsheet error {words[:8]}.",
            "Repair the formula, or paste the values (选择性粘贴 → 数值).",
        )
    return None


# ---------------------------------------------------------------------------------- amounts

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
    if error := _excel_error(words):
        return error
    plain = unicodedata.normalize("NFKC", words)
    note = f"{shown(words)} read as {shown(plain)}" if plain != words and _wide(words) else ""
    body = _MARKS.sub(r"\1", plain.replace(" ", ""))
    if _SCIENTIFIC.fullmatch(body):
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


# ---------------------------------------------------------------------------------- dates

_YMD = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?")
_ENDING_IN_YEAR = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_CLOCK_TIME = re.compile(r"[T\s]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$")
_EXCEL_EPOCH = date(1899, 12, 30)
"""Day 0 of spreadsheet serials after 1900-02-28 (the 1900 system and its leap-year error)."""
_FIRST, _LAST = date(2000, 1, 1), date(2099, 12, 31)


def execution_date(raw: Raw, order: DateOrder = DateOrder.UNKNOWN) -> Read[date | None] | Refusal:
    """The day meant: ISO, 2026/7/3, 2026年7月3日, 20260703, a spreadsheet date or serial; blank is
    None. ``3/7/2026`` only where the file itself decides which number is the day."""
    if is_blank(raw):
        return Read(None)
    if isinstance(raw, datetime):
        return _within(raw.date())
    if isinstance(raw, date):
        return _within(raw)
    if isinstance(raw, bool | time | timedelta):
        return _not_a_date(raw)
    if isinstance(raw, int | float):
        return _date_of_number(raw)
    words = text(raw)
    if error := _excel_error(words):
        return error
    plain = _CLOCK_TIME.sub("", unicodedata.normalize("NFKC", words)).strip()
    if match := _YMD.fullmatch(plain) or _COMPACT.fullmatch(plain):
        return _date_of(raw, int(match[1]), int(match[2]), int(match[3]))
    if match := _ENDING_IN_YEAR.fullmatch(plain):
        return _date_ending_in_year(raw, match, order)
    if re.fullmatch(r"\d{5}", plain):
        return _date_of_number(int(plain))
    return _not_a_date(raw)


def _date_of_number(raw: float) -> Read[date | None] | Refusal:
    if not math.isfinite(raw) or raw < 1:
        return _not_a_date(raw)
    if raw == int(raw) and (match := _COMPACT.fullmatch(str(int(raw)))):
        return _date_of(raw, int(match[1]), int(match[2]), int(match[3]))
    if raw > 100_000:
        return _not_a_date(raw)
    day = _EXCEL_EPOCH + timedelta(days=int(raw))
    read = _within(day)
    if isinstance(read, Refusal):
        return read
    return Read(day, f"{raw:g} read as the spreadsheet serial of {day.isoformat()}")


def _date_ending_in_year(
    raw: Raw, match: re.Match[str], order: DateOrder
) -> Read[date | None] | Refusal:
    one, two, year = int(match[1]), int(match[2]), int(match[3])
    if len(match[3]) == 2:
        return Refusal(
            "imports.date_short_year",
            f"{shown(raw)} has a year of two digits.",
            "Write the year with four digits: 2026-07-03.",
        )
    if one > 12 or one == two or (two <= 12 and order is DateOrder.DAY_FIRST):
        return _date_of(raw, year, two, one)
    if two > 12 or order is DateOrder.MONTH_FIRST:
        return _date_of(raw, year, one, two)
    return Refusal(
        "imports.date_ambiguous",
        f"{shown(raw)} can be {year}-{one:02d}-{two:02d} or {year}-{two:02d}-{one:02d}, "
        "and nothing in the file decides it.",
        "Write the date as 2026-07-03.",
    )


def _date_of(raw: Raw, year: int, month: int, day: int) -> Read[date | None] | Refusal:
    try:
        return _within(date(year, month, day))
    except ValueError:
        return Refusal(
            "imports.date_impossible",
            f"{shown(raw)} is not a day of the calendar.",
            "Check month and day; write the date as 2026-07-03.",
        )


def _within(day: date) -> Read[date | None] | Refusal:
    if _FIRST <= day <= _LAST:
        return Read(day)
    return Refusal(
        "imports.date_far",
        f"{day.isoformat()} is outside {_FIRST.year}–{_LAST.year}.",
        "Check the year; write the date as 2026-07-03.",
    )


def _not_a_date(raw: Raw) -> Refusal:
    return Refusal(
        "imports.date_unreadable",
        f"{shown(raw)} is not a date.",
        "Write the date as 2026-07-03.",
    )


def date_order(cells: Iterable[Raw]) -> DateOrder:
    """Which number is the day in dates like 3/7/2026, as this column decides it. A column that
    contradicts itself decides nothing."""
    day_first = month_first = False
    for raw in cells:
        if not isinstance(raw, str):
            continue
        plain = _CLOCK_TIME.sub("", unicodedata.normalize("NFKC", text(raw))).strip()
        match = _ENDING_IN_YEAR.fullmatch(plain)
        if match is None or len(match[3]) != 4:
            continue
        one, two = int(match[1]), int(match[2])
        day_first |= one > 12 >= two
        month_first |= two > 12 >= one
    if day_first == month_first:
        return DateOrder.UNKNOWN
    return DateOrder.DAY_FIRST if day_first else DateOrder.MONTH_FIRST


# ---------------------------------------------------------------------------------- accounts

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
    if error := _excel_error(words):
        return error
    plain = unicodedata.normalize("NFKC", words).lstrip("'’‘`").strip('"=')
    number = re.sub(r"[\s\-]", "", plain).upper()
    if _SCIENTIFIC.fullmatch(number) and ("." in number or "+" in number):
        return _digits_lost(f"{words[:16]} is in scientific notation: its digits are lost.")
    if re.fullmatch(r"\d+\.0+", number):
        number = number.partition(".")[0]
    if not _ACCOUNT.fullmatch(number):
        return _not_an_account(raw)
    if rounded and looks_rounded(number):
        return _digits_lost(
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
        return _digits_lost(
            f"The cell holds a number of {len(digits)} digits; a spreadsheet keeps only fifteen, "
            "the rest is lost."
        )
    if not _ACCOUNT.fullmatch(digits):
        return _not_an_account(raw)
    return Read(digits, "entered as a number: zeros at its beginning, if any, are lost")


def zeros_lost(digits: str, right: str) -> Refusal:
    """Said when the directory knows the same account with zeros in front."""
    return _digits_lost(
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
    if _SCIENTIFIC.fullmatch(code):
        return _digits_lost(f"The bank code {code[:16]} is in scientific notation.")
    if re.fullmatch(r"[0-9]{11}", code):
        return _digits_lost(f"The bank code {code} has eleven digits: a zero in front is lost.")
    checked = check_bank_code(code)
    if isinstance(checked, Refusal):
        return checked
    return Read(checked.value, checked.caution.detail if checked.caution else "")


def _digits_lost(detail: str) -> Refusal:
    return Refusal("imports.digits_lost", detail, AS_TEXT)


def _not_an_account(raw: Raw) -> Refusal:
    return Refusal(
        "imports.account_unreadable",
        f"{shown(raw)} is not an account number.",
        "An account number has 5 to 34 digits and letters.",
    )


# ---------------------------------------------------------------------------------- words


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
    if error := _excel_error(plain):
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
        return _digits_lost(f"The key {shown(raw)} was entered as a number and lost digits.")
    if _SCIENTIFIC.fullmatch(plain) and "+" in plain:
        return _digits_lost(f"The key {plain[:16]} is in scientific notation.")
    if error := _excel_error(plain):
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
