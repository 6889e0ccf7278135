"""A direct bank's register of payment requests: what was asked, and how far it has come.

Kept in the bank's own file beside its books. A request is unique by its reference (yurRef); its
states walk AUT → NTE → BNK → FIN, and FIN carries a flag (S, F, B). ``due_at`` is the business
moment of the next step, so that a killed process goes on where it stopped.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from caiwutong.rails.bank_direct.styles.cmb.messages import PayDetail
from caiwutong.sandbox.books import Book

AUT, NTE, BNK, FIN = "AUT", "NTE", "BNK", "FIN"
PAID, FAILED, CAME_BACK = "S", "F", "B"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
  number INTEGER PRIMARY KEY AUTOINCREMENT, reference TEXT NOT NULL UNIQUE, detail BLOB NOT NULL,
  mode TEXT NOT NULL, business TEXT NOT NULL, day TEXT NOT NULL, state TEXT NOT NULL,
  flag TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  due_at REAL, returned_day TEXT NOT NULL DEFAULT '')
"""
_DUE = "CREATE INDEX IF NOT EXISTS requests_due ON requests (due_at) WHERE due_at IS NOT NULL"
_RETURNED = (
    "CREATE INDEX IF NOT EXISTS requests_returned ON requests (returned_day)"
    " WHERE returned_day != ''"
)


class PaymentRequest(NamedTuple):
    """One payment request as the bank keeps it."""

    number: int
    reference: str
    raw_detail: bytes
    mode: str
    business: str
    day: str
    """Day of submission, ``yyyyMMdd``."""
    state: str
    flag: str
    reason: str
    due_at: float | None
    returned_day: str

    @property
    def detail(self) -> PayDetail:
        """The payment as it was asked for."""
        return msgspec.json.decode(self.raw_detail, type=PayDetail)

    @property
    def bank_reference(self) -> str:
        """流程实例号, ten digits."""
        return f"{self.number:010d}"


class Register:
    """The requests of one bank."""

    def __init__(self, book: Book) -> None:
        self._book = book
        for statement in (_SCHEMA, _DUE, _RETURNED):
            book.write(statement)
        book.commit()

    def get(self, reference: str) -> PaymentRequest | None:
        """The request with this reference, or None."""
        return self._first("SELECT * FROM requests WHERE reference = ?", reference)

    def add(
        self, detail: PayDetail, mode: str, business: str, day: str, due_at: float
    ) -> PaymentRequest:
        """Note a new request (AUT), to be looked at when ``due_at`` has come."""
        self._book.write(
            "INSERT INTO requests (reference, detail, mode, business, day, state, due_at)"
            " VALUES (?,?,?,?,?,'AUT',?)",
            detail.reference,
            msgspec.json.encode(detail),
            mode,
            business,
            day,
            due_at,
        )
        found = self.get(detail.reference)
        assert found is not None
        return found

    def step(
        self,
        reference: str,
        state: str,
        *,
        due_at: float | None = None,
        flag: str = "",
        reason: str = "",
    ) -> None:
        """Move a request on; None as ``due_at`` waits for someone else."""
        self._book.write(
            "UPDATE requests SET state = ?, flag = ?, reason = ?, due_at = ?"
            " WHERE reference = ? AND state != 'FIN'",
            state,
            flag,
            reason,
            due_at,
            reference,
        )

    def came_back(self, reference: str, reason: str, day: str) -> bool:
        """A paid payment was returned. False when it was not paid, or is returned already."""
        done = self._book.write(
            "UPDATE requests SET flag = 'B', reason = ?, returned_day = ?"
            " WHERE reference = ? AND state = 'FIN' AND flag = 'S'",
            reason,
            day,
            reference,
        )
        return done.rowcount == 1

    def due(self, now: float) -> list[PaymentRequest]:
        """Requests whose next step has come."""
        rows = self._book.read("SELECT * FROM requests WHERE due_at <= ? ORDER BY due_at", now)
        return [PaymentRequest(*row) for row in rows]

    def wake(self, now: float) -> int:
        """Let every unfinished request that waits take its next step now; gives how many."""
        return self._book.write(
            "UPDATE requests SET due_at = ? WHERE state != 'FIN' AND due_at IS NULL", now
        ).rowcount

    def returned_between(self, first: str, last: str) -> list[PaymentRequest]:
        """Requests returned on these days (``yyyyMMdd``, both counted)."""
        rows = self._book.read(
            "SELECT * FROM requests WHERE returned_day != '' AND returned_day BETWEEN ? AND ?"
            " ORDER BY number",
            first,
            last,
        )
        return [PaymentRequest(*row) for row in rows]

    def _first(self, sql: str, *values: str) -> PaymentRequest | None:
        rows = self._book.read(sql, *values)
        return PaymentRequest(*rows[0]) if rows else None
