"""Money: integer fen (分) with a currency, and the only places where text becomes an amount.

No float ever holds an amount. ``parse_fen`` is strict, for machine callers; people's files go
through ``imports``, which may repair a float residue and says so.
"""

from __future__ import annotations

import re

import msgspec

from caiwutong.kernel.errors import Refusal, Refused

CNY = "CNY"
CURRENCIES = frozenset({CNY})
"""Currencies the ledger keeps. The domestic rails carry CNY only."""

MAX_AMOUNT_FEN = 100_000_000_000_00
"""The largest single amount: one hundred billion CNY, above any real order and far inside int64."""

_PLAIN = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,2}))?")


class Money(msgspec.Struct, frozen=True):
    """An amount of one currency, in its smallest unit."""

    fen: int
    currency: str = CNY

    def __str__(self) -> str:
        return f"{yuan(self.fen)} {self.currency}"


def parse_fen(text: str) -> int:
    """The fen in a plain decimal like ``1234.56``. Signs, spaces, exponents and a third decimal
    are refused: a machine that sends them means something we do not know."""
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise Refused(
            "money.not_an_amount",
            f"{text[:32]!r} is not an amount.",
            "Write yuan with at most two decimals, for example 1234.56, or send amount_fen.",
        )
    whole, part = match.group(1), match.group(2) or ""
    return int(whole) * 100 + int(part.ljust(2, "0"))


def yuan(fen: int, *, grouped: bool = True) -> str:
    """Fen as yuan with two decimals: ``1,234.56``, or ``1234.56`` for the wire."""
    sign = "-" if fen < 0 else ""
    whole, part = divmod(abs(fen), 100)
    return f"{sign}{whole:,}.{part:02d}" if grouped else f"{sign}{whole}.{part:02d}"


def check_amount(fen: int, currency: str) -> Refusal | None:
    """Why this amount cannot be paid, or None."""
    if currency not in CURRENCIES:
        return Refusal(
            "money.unknown_currency",
            f"Currency {currency[:8]!r} is not kept here.",
            "Use CNY; domestic clearing carries CNY only.",
        )
    if fen <= 0:
        return Refusal(
            "money.not_positive",
            f"The amount {yuan(fen)} {currency} is not above zero.",
            "Send a positive amount_fen; one yuan is 100 fen.",
        )
    if fen > MAX_AMOUNT_FEN:
        return Refusal(
            "money.too_large",
            f"The amount {yuan(fen)} {currency} is above {yuan(MAX_AMOUNT_FEN)}.",
            "Check the unit: amount_fen is in fen (分), not yuan or 万元.",
        )
    return None
