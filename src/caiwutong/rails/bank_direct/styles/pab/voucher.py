"""Our reference as the bank's voucher number (ThirdVoucher), and back.

The bank takes 20 characters and pays one number once, so the number must follow from the reference
alone, and two references must never give the same number. No digest can promise that, and none can
be turned back; so a reference is only ever *spelt* differently, never condensed:

- one of at most 20 characters is its own voucher, as it stands (every reference of the house is);
- one of up to 24 that begins with a date is packed: ``Z``, the days since 2000-01-01 in three
  characters, and the rest as it stands;
- anything else is refused before it is sent.

A plain voucher never begins with ``Y`` or ``Z``: ``Y`` begins the number of a batch, which names
a message and never a payment. Pure; both sides of the wire use it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.sent import number_of
from caiwutong.rails.bank_direct.words import bad

LENGTH = 20
_PACKED, _BATCH = "Z", "Y"
_PLAIN = re.compile(r"[0-9A-Xa-z][0-9A-Za-z]{0,19}")
_DATED = re.compile(r"([0-9]{8})([0-9A-Za-z]{13,16})")
_PACKED_FORM = re.compile(r"Z([0-9A-Z]{3})([0-9A-Za-z]{13,16})")
_DAY_ZERO = date(2000, 1, 1)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def voucher_of(reference: str) -> str:
    """The voucher number of this reference. Raises Refused for one that has none."""
    if _PLAIN.fullmatch(reference):
        return reference
    dated = _DATED.fullmatch(reference)
    days = _days(dated[1]) if dated else None
    if dated is None or days is None:
        raise Refused(
            "bank_direct.does_not_fit",
            f"The reference {reference[:8]}… ({len(reference)} characters) has no voucher number.",
            "The bank takes 20 letters and digits that do not begin with Y or Z, or 24 that begin "
            "with a date; choose another channel.",
        )
    return f"{_PACKED}{_in_36(days, 3)}{dated[2]}"


def reference_of(voucher: str) -> str:
    """The reference this voucher number stands for. Raises BadMessage for one that is not ours."""
    packed = _PACKED_FORM.fullmatch(voucher)
    if packed:
        day = _DAY_ZERO + timedelta(days=int(packed[1], 36))
        return f"{day:%Y%m%d}{packed[2]}"
    if _PLAIN.fullmatch(voucher):
        return voucher
    raise bad("voucher", "A voucher number in the message is not one of ours.")


def batch_number(vouchers: Sequence[str]) -> str:
    """The number of a batch of exactly these payments. A digest will do: it names the message; each
    payment inside keeps its own voucher, and that is what the bank pays once."""
    return _BATCH + number_of(vouchers, LENGTH - 1)


def _days(text: str) -> int | None:
    """Days from 2000-01-01 to ``yyyyMMdd`` where three characters can hold them."""
    try:
        days = (date(int(text[:4]), int(text[4:6]), int(text[6:])) - _DAY_ZERO).days
    except ValueError:
        return None
    return days if 0 <= days < 36**3 else None


def _in_36(number: int, width: int) -> str:
    out: list[str] = []
    for _ in range(width):
        number, digit = divmod(number, 36)
        out.append(_DIGITS[digit])
    return "".join(reversed(out))
