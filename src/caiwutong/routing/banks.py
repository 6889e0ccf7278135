"""Which bank a 联行号 names, and what kind of bank it is, as far as routing distinguishes them."""

from __future__ import annotations

from typing import NamedTuple

_STATE = frozenset({"102", "103", "104", "105", "301", "403"})
_JOINT_STOCK = frozenset(
    {"302", "303", "304", "305", "306", "307", "308", "309", "310", "315", "316", "318"}
)
_SHARED = {"313": "city", "314": "rural", "320": "rural", "401": "rural", "402": "rural"}
"""Prefixes that many banks share: there the city's four digits belong to the name."""


class PayeeBank(NamedTuple):
    """A bank as beliefs and the catalog know it."""

    bank: str
    """Its digits of the 联行号: three, or seven where many banks share the first three."""
    kind: str
    """``state``, ``joint_stock``, ``city``, ``rural``, ``other``; empty where it is not known."""


def payee_bank(bank_code: str) -> PayeeBank:
    """The bank of a 联行号. The classes are general knowledge of the numbering, no text read: they
    only say which banks' experience is pooled, never whether a payment may go."""
    head = bank_code[:3]
    if len(head) < 3 or not head.isdigit():
        return PayeeBank("", "")
    if head in _SHARED:
        return PayeeBank(bank_code[:7], _SHARED[head])
    kind = "state" if head in _STATE else "joint_stock" if head in _JOINT_STOCK else "other"
    return PayeeBank(head, kind)
