"""A direct bank's register of payment requests: what was asked, and how far it has come.

Kept in the bank's own file beside its books, in words no interface owns. A request is unique by
its reference; its states walk AUT (received) → NTE (approved) → at some banks MAN (with a clerk) →
BNK (being executed) → FIN, and FIN carries a flag (S paid, F failed, B came back). ``due_at`` is
the business moment of the next step, so that a killed process goes on where it stopped.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from caiwutong.sandbox.books import Book

AUT, NTE, MAN, BNK, FIN = "AUT", "NTE", "MAN", "BNK", "FIN"
PAID, FAILED, CAME_BACK = "S", "F", "B"

_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS orders (
  number INTEGER PRIMARY KEY AUTOINCREMENT, reference TEXT NOT NULL UNIQUE, detail BLOB NOT NULL,
  package TEXT NOT NULL, day TEXT NOT NULL, state TEXT NOT NULL,
  flag TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
  due_at REAL, returned_day TEXT NOT NULL DEFAULT '')
""",
    "CREATE INDEX IF NOT EXISTS orders_due ON orders (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS orders_package ON orders (package) WHERE package != ''",
    "CREATE INDEX IF NOT EXISTS orders_returned ON orders (returned_day) WHERE returned_day != ''",
)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as the customer asked for it, whatever interface it came over."""

    reference: str
    payer_account: str
    payee_account: str
    payee_name: str
    payee_bank_name: str = ""
    payee_bank_code: str = ""
    amount_fen: int
    inside: bool
    """Whether the customer says that the payee banks here too."""
    purpose: str = ""
    remark: str = ""
    terms: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """What only the interface's own words need again, by its names."""


class PaymentRequest(NamedTuple):
    """One payment request as the bank keeps it."""

    number: int
    reference: str
    raw_order: bytes
    package: str
    """The message it first came in with others, as the interface numbers it, or empty."""
    day: str
    """Day of submission, ``yyyyMMdd``."""
    state: str
    flag: str
    reason: str
    due_at: float | None
    returned_day: str

    @property
    def order(self) -> Order:
        """The payment as it was asked for."""
        return msgspec.json.decode(self.raw_order, type=Order)

    @property
    def bank_reference(self) -> str:
        """流程实例号, ten digits."""
        return f"{self.number:010d}"


class Register:
    """The requests of one bank."""

    def __init__(self, book: Book) -> None:
        self._book = book
        for statement in _SCHEMA:
            book.write(statement)
        book.commit()

    def get(self, reference: str) -> PaymentRequest | None:
        """The request with this reference, or None."""
        return self._first("SELECT * FROM orders WHERE reference = ?", reference)

    def in_package(self, package: str) -> list[PaymentRequest]:
        """The requests that first came in this package, in their order."""
        rows = self._book.read("SELECT * FROM orders WHERE package = ? ORDER BY number", package)
        return [PaymentRequest(*row) for row in rows]

    def packages(self, first: str, last: str) -> list[str]:
        """The packages that came on these days (``yyyyMMdd``, both counted), in their order."""
        rows = self._book.read(
            "SELECT package FROM orders WHERE package != '' AND day BETWEEN ? AND ?"
            " GROUP BY package ORDER BY min(number)",
            first,
            last,
        )
        return [row[0] for row in rows]

    def add(self, order: Order, package: str, day: str, due_at: float) -> PaymentRequest:
        """Note a new request (AUT), to be looked at when ``due_at`` has come."""
        self._book.write(
            "INSERT INTO orders (reference, detail, package, day, state, due_at)"
            " VALUES (?,?,?,?,'AUT',?)",
            order.reference,
            msgspec.json.encode(order),
            package,
            day,
            due_at,
        )
        found = self.get(order.reference)
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
            "UPDATE orders SET state = ?, flag = ?, reason = ?, due_at = ?"
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
            "UPDATE orders SET flag = 'B', reason = ?, returned_day = ?"
            " WHERE reference = ? AND state = 'FIN' AND flag = 'S'",
            reason,
            day,
            reference,
        )
        return done.rowcount == 1

    def due(self, now: float) -> list[PaymentRequest]:
        """Requests whose next step has come."""
        rows = self._book.read("SELECT * FROM orders WHERE due_at <= ? ORDER BY due_at", now)
        return [PaymentRequest(*row) for row in rows]

    def in_state(self, state: str) -> list[PaymentRequest]:
        """Requests that stand in this state, in their order."""
        rows = self._book.read("SELECT * FROM orders WHERE state = ? ORDER BY number", state)
        return [PaymentRequest(*row) for row in rows]

    def wake(self, now: float) -> int:
        """Let every unfinished request that waits take its next step now; gives how many."""
        return self._book.write(
            "UPDATE orders SET due_at = ? WHERE state != 'FIN' AND due_at IS NULL", now
        ).rowcount

    def returned_between(self, first: str, last: str) -> list[PaymentRequest]:
        """Requests returned on these days (``yyyyMMdd``, both counted)."""
        rows = self._book.read(
            "SELECT * FROM orders WHERE returned_day != '' AND returned_day BETWEEN ? AND ?"
            " ORDER BY number",
            first,
            last,
        )
        return [PaymentRequest(*row) for row in rows]

    def _first(self, sql: str, *values: str) -> PaymentRequest | None:
        rows = self._book.read(sql, *values)
        return PaymentRequest(*rows[0]) if rows else None
