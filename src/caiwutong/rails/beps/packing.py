"""Attempts into batches: which travel together, and the identity a batch gets.

Promises: the same attempts give the same batches with the same ids, in whatever order they come;
an attempt is in exactly one batch; no batch is larger than the rule of its day allows. The id of a
batch follows from the transactions in it, so a batch sent again is the same message, and one with
another content never has the same id. Whether a payment is executed twice does not depend on that:
the key is (originating bank, transaction id). Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import NamedTuple

from caiwutong.kernel.clock import CHINA, china_date
from caiwutong.kernel.order import Priority
from caiwutong.rails.beps.profile import BatchRule, batch_rule_on
from caiwutong.rails.contract import Attempt

_BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FIXED_BYTES = 620
"""The tags, numbers and codes of one payment, the schema's longest of each."""
_CHARACTER_BYTES = 6
"""The longest a character of a free text becomes on the wire: ``&quot;``."""


class Key(NamedTuple):
    """What the payments of one message have in common."""

    day: date
    """Business date in China: a message is accepted on its own date only."""
    payer_bank: str
    """One originating bank speaks in a message."""
    payee_bank: str
    """Empty where the rule of the day does not ask for one."""
    alone: str
    """The reference of a payment that travels by itself (beps.123); empty for a batch."""


class Packed(NamedTuple):
    """The attempts of one message, in the order of their references."""

    message_id: str
    at: datetime
    """When the message was made: when the latest of its attempts was."""
    real_time: bool
    attempts: tuple[Attempt, ...]


def pack(
    attempts: Sequence[Attempt],
    bank_code: str,
    rule_on: Callable[[date], BatchRule] = batch_rule_on,
) -> list[Packed]:
    """The fewest messages the rule allows. ``bank_code`` is the payer's bank where an attempt does
    not say. An urgent payment travels alone, as a real-time credit."""
    groups: dict[Key, list[Attempt]] = {}
    for attempt in attempts:
        groups.setdefault(_key(attempt, bank_code, rule_on), []).append(attempt)
    packed: list[Packed] = []
    for key, group in groups.items():
        group.sort(key=lambda each: each.reference)
        for part in _parts(group, rule_on(key.day)):
            at = max([each.created_at for each in part])
            packed.append(Packed(_message_id(key, part), at, bool(key.alone), tuple(part)))
    return packed


def _key(attempt: Attempt, bank_code: str, rule_on: Callable[[date], BatchRule]) -> Key:
    day = china_date(attempt.created_at)
    urgent = attempt.priority is Priority.URGENT
    return Key(
        day,
        attempt.payer.bank_code or bank_code,
        attempt.payee.bank_code if rule_on(day).by_payee_bank else "",
        attempt.reference if urgent else "",
    )


def _parts(group: Sequence[Attempt], rule: BatchRule) -> Iterator[list[Attempt]]:
    part: list[Attempt] = []
    size = 0
    for attempt in group:
        more = _most_bytes(attempt)
        if part and (len(part) == rule.payments or size + more > rule.body_bytes):
            yield part
            part, size = [], 0
        part.append(attempt)
        size += more
    if part:
        yield part


def _most_bytes(attempt: Attempt) -> int:
    """An upper bound of what the payment takes in a body."""
    payer, payee = attempt.payer, attempt.payee
    texts = (payer.name, payer.bank_name, payee.name, payee.bank_name)
    characters = sum([len(text) for text in texts]) + len(attempt.purpose) + len(attempt.remark)
    return _FIXED_BYTES + _CHARACTER_BYTES * characters


def _message_id(key: Key, part: Sequence[Attempt]) -> str:
    """Twenty characters: the date, and twelve that stand for the transactions. A message of one
    has that payment's own reference."""
    if len(part) == 1:
        return part[0].reference
    digest = hashlib.sha256(
        "|".join([key.payer_bank, *[each.reference for each in part]]).encode()
    ).digest()
    number = int.from_bytes(digest[:8])
    tail: list[str] = []
    for _ in range(12):
        number, digit = divmod(number, 36)
        tail.append(_BASE36[digit])
    return f"{part[0].created_at.astimezone(CHINA):%Y%m%d}{''.join(tail)}"
