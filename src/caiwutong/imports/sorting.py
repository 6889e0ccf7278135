"""Which rows of a file may be paid, seen side by side: keys that come twice, rows that look like a
payment made before.

A row with a key of its own (流水号) is told apart by that key, in this file and in all others, for
ever. A row without one is held back when the same order stands above it, or when the same account
paid the same payee the same amount lately; a person may insist (``allow_duplicates``). Pure and
in file order, so a resumed import sorts as the first run did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from uuid import UUID

import msgspec

from caiwutong.imports.columns import TITLES
from caiwutong.imports.model import BadRow, Field, Line, Problem
from caiwutong.imports.readers import LeftOut
from caiwutong.imports.records import RowOutcome, Status
from caiwutong.kernel.masking import mask_account
from caiwutong.kernel.money import yuan
from caiwutong.kernel.order import canonical_order
from caiwutong.sheets.cells import shown

KEY_LENGTH = 6
"""A key shorter than this, or a plain number this short, numbers the rows of one file only."""


class PaidBefore(msgspec.Struct, frozen=True):
    """A payment made lately."""

    payment_id: UUID
    day: date


class Ready(msgspec.Struct, frozen=True):
    """A row to be submitted, with its idempotency key and what is to be told of it."""

    line: Line
    key: str
    notes: tuple[Problem, ...]


def likeness(bank_account_id: UUID, payee_index: bytes, amount_fen: int) -> int:
    """What two payments share that look alike: who pays, which account is paid, how much. A hash
    of this process only."""
    return hash((bank_account_id.int, payee_index, amount_fen))


def own_key(key: str) -> bool:
    """Whether the caller's row key names the payment itself, not just a place in the list."""
    return len(key) >= KEY_LENGTH and not (key.isdecimal() and int(key) < 10**KEY_LENGTH)


def idempotency_key(digest: bytes, line: Line) -> str:
    """What the payment is bound to. The caller's own key holds across files: a file that was
    mended and sent again pays only what was not paid. Other rows are bound to file and place."""
    if own_key(line.key):
        return f"row:{line.key}"
    place = f"k{line.key}" if line.key else f"r{line.row_no}"
    return f"import:{digest.hex()[:32]}:{place}"


class Sorter:
    """Sorts the rows of one file, in order."""

    def __init__(
        self,
        digest: bytes,
        *,
        index: Callable[[str], bytes],
        paid: Mapping[int, PaidBefore],
        allow_duplicates: bool = False,
    ) -> None:
        self._digest = digest
        self._index = index
        self._paid = paid
        self._allow = allow_duplicates
        # Hashes, not texts: 200,000 rows fit in a few megabytes.
        self._keys: dict[int, int] = {}
        self._orders: dict[int, int] = {}

    def sort(self, row: Line | BadRow | LeftOut) -> Ready | RowOutcome:
        """The row ready for intake, or what is told of it instead."""
        if isinstance(row, LeftOut):
            return RowOutcome(
                row.row_no, Status.LEFT_OUT, (Problem("", "imports.left_out", row.why),)
            )
        if isinstance(row, BadRow):
            return RowOutcome(row.row_no, Status.BAD, row.problems, row.key)
        first = self._first_with_key(row)
        if first:
            return RowOutcome(row.row_no, Status.BAD, (_key_doubled(row.key, first),), row.key)
        alike = self._alike(row)
        if alike is not None and not own_key(row.key) and not self._allow:
            return RowOutcome(row.row_no, Status.DUPLICATE, (alike,), row.key)
        notes = row.notes if alike is None else (*row.notes, alike)
        return Ready(row, idempotency_key(self._digest, row), notes)

    def _first_with_key(self, line: Line) -> int:
        if not line.key:
            return 0
        first = self._keys.setdefault(hash(line.key), line.row_no)
        return 0 if first == line.row_no else first

    def _alike(self, line: Line) -> Problem | None:
        order = line.order
        first = self._orders.setdefault(hash(canonical_order(order)), line.row_no)
        if first != line.row_no and not own_key(line.key):
            return _alike(f"Row {first} of this file is the same payment.")
        before = None
        if self._paid:
            index = self._index(order.payee.account)
            before = self._paid.get(likeness(order.bank_account_id, index, order.amount_fen))
        if before is None:
            return None
        return _alike(
            f"{yuan(order.amount_fen)} CNY to {mask_account(order.payee.account)} was ordered from "
            f"this account on {before.day.isoformat()} (payment {before.payment_id})."
        )


def _alike(detail: str) -> Problem:
    return Problem(
        "",
        "imports.looks_paid",
        detail,
        f"If it is another payment, give it its own {TITLES[Field.ROW_KEY]} "
        "or apply with --allow-duplicates; otherwise take the row out.",
    )


def _key_doubled(key: str, first: int) -> Problem:
    return Problem(
        TITLES[Field.ROW_KEY],
        "imports.row_key_doubled",
        f"The key {shown(key)} stands in row {first} already.",
        "Give each payment its own key.",
    )
