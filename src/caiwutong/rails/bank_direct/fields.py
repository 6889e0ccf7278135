"""Amounts, days and times as banks write them. Pure; everything wrong is BadMessage."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, date, datetime, timedelta

from caiwutong.kernel.clock import CHINA
from caiwutong.rails.bank_direct.words import bad

_AMOUNT = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,2}))?")
_FEN = re.compile(r"-?[0-9]{1,17}")


def fen(text: str) -> int:
    """The fen of an amount in yuan: a sign, 15 digits, two decimals at most."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise bad("amount", f"{text[:24]!r} is not an amount of yuan with at most two decimals.")
    sign, whole, part = match.groups(default="")
    value = int(whole) * 100 + int(part.ljust(2, "0"))
    return -value if sign else value


def whole_fen(text: str) -> int:
    """An amount that the bank writes in fen: a sign and 17 digits."""
    if _FEN.fullmatch(text) is None:
        raise bad("amount", f"{text[:24]!r} is not a whole number of fen.")
    return int(text)


def day_of(text: str) -> date:
    """The day of ``yyyyMMdd``."""
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        raise bad("day", f"{text[:16]!r} is not a day yyyyMMdd.")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise bad("day", f"{text!r} is not a day that exists.") from None


def bank_time(at: datetime) -> str:
    """An instant as banks write it: ``yyyyMMddHHmmss`` in China."""
    return f"{at.astimezone(CHINA):%Y%m%d%H%M%S}"


def instant(text: str) -> datetime:
    """The instant of ``yyyyMMddHHmmss`` in China, aware UTC."""
    if len(text) != 14 or not (text.isascii() and text.isdigit()):
        raise bad("time", f"{text[:20]!r} is not a time yyyyMMddHHmmss.")
    parts = (int(text[at : at + 2]) for at in range(4, 14, 2))
    try:
        return datetime(int(text[:4]), *parts, tzinfo=CHINA).astimezone(UTC)
    except (ValueError, OverflowError):
        raise bad("time", f"{text!r} is not a time that exists.") from None


def months_before(day: date, months: int) -> date:
    """The same day so many months earlier, or the last day of that month."""
    index = day.year * 12 + day.month - 1 - months
    first = date(index // 12, index % 12 + 1, 1)
    following = date((index + 1) // 12, (index + 1) % 12 + 1, 1)
    return min(first + timedelta(days=day.day - 1), following - timedelta(days=1))


def exact_base64(text: bytes) -> bytes:
    """Decode base64 that has exactly one spelling, so that no byte can be altered unnoticed."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise bad("base64", "The message is not base64.") from None
    if base64.b64encode(raw) != text:
        raise bad("base64", "The base64 of the message is not written in its one exact form.")
    return raw
