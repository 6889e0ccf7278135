"""The numbers by which firms, people, cards, accounts and banks are known, and whether they can be.

Owns: the check of each kind, as a value. ``Checked`` is the number in its one spelling, sometimes
with a ``Caution`` (use it, but look); ``Refusal`` says what is wrong with the masked number, and
what helps. Codes are for ever. Sources: USCC 统一社会信用代码 GB 32100-2015; ID number 公民身份号码
GB 11643-1999; cards ISO/IEC 7812 (Luhn); 联行号: the check digit fits ISO 7064 MOD 11,10 for nearly
all known codes but no official text says so, therefore it only cautions. Luhn is for cards and is
never run on a corporate account. Pure. Read next: ``masking.py``.
"""

from __future__ import annotations

import re
from datetime import date

import msgspec
from stdnum import luhn
from stdnum.cn import ric, uscc
from stdnum.exceptions import ValidationError
from stdnum.iso7064 import mod_11_10

from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.masking import mask_account, mask_card, mask_id_number, mask_mobile

_FULL_WIDTH = {0xFF01 + n: 0x21 + n for n in range(94)} | {0x3000: 0x20}
_SEPARATORS = re.compile(r"[\s\-‐-―﹣·\u200b-\u200f\u2060\ufeff]+")
_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_ACCOUNT = re.compile(r"[0-9A-Za-z]{8,32}")
_CARD = re.compile(r"[0-9]{15,19}")
_BANK_CODE = re.compile(r"[0-9]{12}")
_USCC = re.compile(r"[0-9A-HJ-NP-RTUWXY]{2}[0-9]{6}[0-9A-HJ-NP-RTUWXY]{10}")
_ID_NUMBER = re.compile(r"[0-9]{17}[0-9X]")


class Caution(msgspec.Struct, frozen=True):
    """Something to look at that does not stop the work."""

    code: str
    detail: str
    cure: str = ""


class Checked(msgspec.Struct, frozen=True):
    """A number in its one spelling, without separators and full-width characters."""

    value: str
    caution: Caution | None = None


def to_half_width(text: str) -> str:
    """Full-width letters, digits and signs (１２３ＡＢ，) as ASCII; everything else as it is."""
    return text.translate(_FULL_WIDTH)


def compact(text: str) -> str:
    """A number as people write it, without spaces, dashes and invisible marks, in half width."""
    return _SEPARATORS.sub("", to_half_width(text))


def check_uscc(text: str) -> Checked | Refusal:
    """A firm's 统一社会信用代码: 18 characters, the last a check (GB 32100, modulo 31)."""
    number = compact(text).upper()
    if _USCC.fullmatch(number) is None:
        return _shape(
            "uscc",
            f"{mask_account(number)} ({len(number)} characters) is not a USCC.",
            "A 统一社会信用代码 has 18 digits and capitals without I, O, S, V, Z; see the licence.",
        )
    if not uscc.is_valid(number):
        return _digit("uscc", f"The check character of USCC {mask_account(number)} does not fit.")
    return Checked(number)


def check_id_number(text: str, *, on: date | None = None) -> Checked | Refusal:
    """A person's 公民身份号码: 17 digits and a check (GB 11643, modulo 11). With ``on``, a birthday
    after that day is refused. A region no longer in the tables only cautions."""
    number = compact(text).upper()
    if _ID_NUMBER.fullmatch(number) is None:
        return _shape(
            "id_number",
            f"{mask_id_number(number)} ({len(number)} characters) is not an ID number.",
            "An ID number has 17 digits and a last digit or X; 15-digit numbers are out of use.",
        )
    if number[-1] != ric.calc_check_digit(number):
        return _digit("id_number", f"The check of {mask_id_number(number)} does not fit.")
    try:
        birthday = ric.get_birth_date(number)
    except ValidationError:
        birthday = None
    if birthday is None or birthday.year < 1800 or (on is not None and birthday > on):
        return Refusal(
            "identifier.id_number.birthday",
            f"The birthday in {mask_id_number(number)} is not a day it can be.",
            "Compare the number with the ID card.",
        )
    try:
        ric.get_birth_place(number)
    except ValidationError:
        return Checked(
            number,
            Caution(
                "identifier.id_number.region",
                f"The region of {mask_id_number(number)} is not in the table of regions.",
                "Compare the number with the ID card.",
            ),
        )
    return Checked(number)


def check_card(text: str) -> Checked | Refusal:
    """A bank card: 15 to 19 digits, the last a check (Luhn). Only for what is said to be a card."""
    number = compact(text)
    if _CARD.fullmatch(number) is None:
        return _shape(
            "card",
            f"{mask_account(number)} ({len(number)} characters) is not a card number.",
            "A card has 15 to 19 digits; for a corporate account say that it is an account.",
        )
    if not luhn.is_valid(number):
        return _digit("card", f"The check digit of card {mask_card(number)} does not fit.")
    return Checked(number)


def check_account(text: str) -> Checked | Refusal:
    """A corporate account (对公账户): 8 to 32 digits and letters. Banks number accounts as they
    like, so there is no check digit to look at."""
    number = compact(text)
    if _ACCOUNT.fullmatch(number) is None or not any(each.isdigit() for each in number):
        return _shape(
            "account",
            f"{mask_account(number)} ({len(number)} characters) is not an account number.",
            "An account has 8 to 32 digits and letters. In a spreadsheet, keep the column as text: "
            "long numbers otherwise turn into 6.22E+18.",
        )
    return Checked(number)


def check_bank_code(text: str) -> Checked | Refusal:
    """A bank's 联行号: 12 digits. A check digit that does not fit only cautions (see above)."""
    number = compact(text)
    if _BANK_CODE.fullmatch(number) is None:
        return _shape(
            "bank_code",
            f"{number[:16]!r} is not a 联行号.",
            "A 联行号 has 12 digits: bank, city, branch and check. A leading zero may be lost.",
        )
    if not mod_11_10.is_valid(number):
        return Checked(
            number,
            Caution(
                "identifier.bank_code.check_digit",
                f"The last digit of 联行号 {number} is unusual.",
                "Compare it with the bank's own list; it may be right all the same.",
            ),
        )
    return Checked(number)


def check_mobile(text: str) -> Checked | Refusal:
    """A mobile number of the mainland: 11 digits from 13 to 19, with or without +86."""
    number = compact(text)
    for prefix in ("+86", "0086"):
        number = number.removeprefix(prefix)
    if _MOBILE.fullmatch(number) is None:
        return _shape(
            "mobile",
            f"{mask_mobile(number)} ({len(number)} characters) is not a mobile number.",
            "A mainland mobile number has 11 digits and begins with 13 to 19.",
        )
    return Checked(number)


def _shape(kind: str, detail: str, cure: str) -> Refusal:
    return Refusal(f"identifier.{kind}.shape", detail, cure)


def _digit(kind: str, detail: str) -> Refusal:
    return Refusal(
        f"identifier.{kind}.check_digit",
        detail,
        "One character is wrong or two are exchanged: compare it with the original.",
    )
