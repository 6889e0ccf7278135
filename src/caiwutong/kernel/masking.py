"""How secrets of people and firms may be shown: enough to recognise, too little to use.

Owns the one spelling of a masked value, for errors, logs, lists and exports. The classes are those
of JR/T 0171-2020 个人金融信息保护技术规范 (C3 secrets are never shown at all; C2 accounts, ID
numbers and phones are shown masked). The standard leaves the exact forms open: PAN six and four,
mobile three and four, a name down to its surname are the forms in common use (own choice).
Pure; takes any text, also a wrong one, and never raises. Read next: ``identifiers.py``.
"""

from __future__ import annotations

import re

ELLIPSIS = "…"

_PAIRS = (
    "欧阳太史端木上官司马东方独孤南宫万俟闻人夏侯诸葛尉迟公羊赫连澹台皇甫"
    "濮阳公冶太叔申屠公孙慕容仲孙钟离长孙宇文司徒鲜于司空闾丘公西颛孙漆雕"
    "乐正宰父拓跋轩辕令狐段干百里呼延东郭南门羊舌左丘东门西门第五"
)
_COMPOUND_SURNAMES = frozenset(_PAIRS[at : at + 2] for at in range(0, len(_PAIRS), 2))
"""复姓 of the Hundred Family Surnames (百家姓): two characters that are one surname."""

_LONG_DIGITS = re.compile(r"\d(?:[ \-]?\d){10,}[Xx]?|\d{8,}[Xx]?")
_GAPS = re.compile(r"[ \-]")


def mask_account(account: str) -> str:
    """The last four of an account: ``…0417``. Of a short one two, or nothing but the ellipsis."""
    text = account.strip()
    if len(text) < 6:
        return ELLIPSIS
    return ELLIPSIS + text[-4 if len(text) >= 8 else -2 :]


def mask_card(number: str) -> str:
    """The first six and last four of a card: ``622202*********5000``, as long as the card."""
    text = number.strip()
    if len(text) < 13:
        return mask_account(text)
    return text[:6] + "*" * (len(text) - 10) + text[-4:]


def mask_mobile(number: str) -> str:
    """The first three and last four of a mobile number: ``138****5678``."""
    text = number.strip()
    if len(text) != 11:
        return mask_account(text)
    return f"{text[:3]}****{text[-4:]}"


def mask_id_number(number: str) -> str:
    """The first and last character of an ID number (身份证号): neither region nor birthday."""
    text = number.strip()
    if len(text) < 8:
        return ELLIPSIS
    return text[0] + "*" * (len(text) - 2) + text[-1]


def mask_name(name: str) -> str:
    """A person's name down to the surname: ``张*``, ``欧阳**``; of others the first letter."""
    text = name.strip()
    if not text:
        return ""
    size = 2 if len(text) > 2 and text[:2] in _COMPOUND_SURNAMES else 1
    return text[:size] + "*" * max(1, min(len(text) - size, 3))


def mask_words(text: str) -> str:
    """Free text with every run of 8 and more digits, or of 11 and more in groups, masked to its
    last four: for remarks and for the words of others that go into a log."""
    return _LONG_DIGITS.sub(lambda found: mask_account(_GAPS.sub("", found.group())), text)
