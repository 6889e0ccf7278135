"""What HVPS keeps beside the centre's transfers: the queue, what was settled, what was announced.

A payment waits as PR06 待处理 for funds, for its business day or for a silent centre, in order of
priority and then of arrival. Kept in the centre's file, in the same transaction as the transfers.
Next: ``hvps_centre``, which decides.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import msgspec

from caiwutong.rails.catalog.model import Fact
from caiwutong.sandbox.centre import Centre, Transfer

SYSTEM = "hvps"

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS hvps_queue (originator TEXT NOT NULL, reference TEXT NOT NULL,"
    " priority INTEGER NOT NULL, day TEXT NOT NULL, due_at REAL NOT NULL,"
    " PRIMARY KEY (originator, reference)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS hvps_settled (seq INTEGER PRIMARY KEY, day TEXT NOT NULL,"
    " booked INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX IF NOT EXISTS hvps_settled_day ON hvps_settled (day)",
    "CREATE TABLE IF NOT EXISTS hvps_facts (number INTEGER PRIMARY KEY, fact BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS hvps_days (day TEXT PRIMARY KEY, closed INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS hvps_institutions (sender TEXT NOT NULL, reference TEXT NOT NULL,"
    " number INTEGER NOT NULL, amount_fen INTEGER NOT NULL, payer TEXT NOT NULL,"
    " payee TEXT NOT NULL, PRIMARY KEY (sender, reference)) WITHOUT ROWID",
)
_UNBOOKED = (
    "SELECT t.* FROM transfers t JOIN hvps_settled s ON s.seq = t.seq WHERE s.booked = ?"
    " ORDER BY t.seq"
)
_OF_A_DAY = (
    "SELECT t.* FROM transfers t JOIN hvps_settled s ON s.seq = t.seq WHERE s.day = ?"
    " ORDER BY t.seq"
)
_NEVER = 1e18


class Waiting(NamedTuple):
    """A payment in the queue."""

    transfer: Transfer
    priority: int
    day: date
    """Its business day."""
    due_at: float
    """It is not looked at before this moment of business time."""

    @property
    def silent(self) -> bool:
        """Whether it waits until somebody heals the centre."""
        return self.due_at >= _NEVER


class Queue:
    """The queue and its surroundings. Writes do not commit."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        for statement in _SCHEMA:
            centre.write(statement)
        centre.commit()

    def note(
        self, originator: str, reference: str, priority: int, day: date, due_at: float | None = 0.0
    ) -> None:
        """How a payment that is about to come will wait. ``due_at`` None: until healed."""
        self._centre.write(
            "INSERT OR REPLACE INTO hvps_queue VALUES (?,?,?,?,?)",
            originator,
            reference,
            priority,
            day.isoformat(),
            _NEVER if due_at is None else due_at,
        )

    def noted(self, transfer: Transfer) -> bool:
        """Whether it was noted how this one waits."""
        return bool(
            self._centre.read(
                "SELECT 1 FROM hvps_queue WHERE originator = ? AND reference = ?",
                transfer.originator,
                transfer.reference,
            )
        )

    def postpone(self, waiting: Waiting, day: date) -> None:
        """Let it wait for another business day."""
        transfer = waiting.transfer
        self.note(transfer.originator, transfer.reference, waiting.priority, day, 0.0)

    def waiting(self) -> list[Waiting]:
        """The queue in its order: by priority, then as they came."""
        rows = self._centre.read(
            "SELECT t.*, q.priority, q.day, q.due_at FROM transfers t JOIN hvps_queue q"
            " ON q.originator = t.originator AND q.reference = t.reference"
            " WHERE t.status = 'PR06' ORDER BY q.priority, t.seq"
        )
        return [
            Waiting(Transfer(*row[:-3]), row[-3], date.fromisoformat(row[-2]), row[-1])
            for row in rows
        ]

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._centre.read("SELECT 1 FROM transfers WHERE status = 'PR06' LIMIT 1")

    def wake(self, bank: str = "") -> int:
        """Let what waits for healing be looked at; at one payee's bank or all. Gives how many."""
        woken = 0
        for each in self.waiting():
            if each.silent and bank in ("", each.transfer.payee_bank):
                self.postpone(each, each.day)
                woken += 1
        return woken

    # -- settled

    def settled(self, transfer: Transfer, day: date) -> None:
        """It was settled on this business day, and the banks have not booked it yet."""
        self._centre.write(
            "INSERT INTO hvps_settled (seq, day) VALUES (?,?)", transfer.seq, day.isoformat()
        )

    def booked(self, transfer: Transfer) -> None:
        """The banks have booked it."""
        self._centre.write("UPDATE hvps_settled SET booked = 1 WHERE seq = ?", transfer.seq)

    def unbooked(self) -> list[Transfer]:
        """Settled payments whose booking is not known to be durable."""
        return self._transfers(_UNBOOKED, 0)

    def settled_on(self, day: date) -> list[Transfer]:
        """What was settled on a business day."""
        return self._transfers(_OF_A_DAY, day.isoformat())

    def _transfers(self, query: str, value: int | str) -> list[Transfer]:
        return [Transfer(*row) for row in self._centre.read(query, value)]

    # -- business days and announcements

    def begun(self, day: date) -> bool:
        """Note that a business day has begun. False when that was noted before."""
        done = self._centre.write("INSERT OR IGNORE INTO hvps_days VALUES (?, 0)", day.isoformat())
        return done.rowcount == 1

    def ended(self, day: date) -> None:
        """Note that a business day is over."""
        self._centre.write("UPDATE hvps_days SET closed = 1 WHERE day = ?", day.isoformat())

    def unended(self) -> list[date]:
        """Business days that have begun and are not over."""
        rows = self._centre.read("SELECT day FROM hvps_days WHERE closed = 0 ORDER BY day")
        return [date.fromisoformat(day) for (day,) in rows]

    def last_day_before(self, day: date) -> date | None:
        """The business day before this one, or None for the first."""
        rows = self._centre.read("SELECT max(day) FROM hvps_days WHERE day < ?", day.isoformat())
        return date.fromisoformat(rows[0][0]) if rows[0][0] else None

    def announce(self, fact: Fact) -> None:
        """Keep an announced fact."""
        self._centre.write("INSERT INTO hvps_facts (fact) VALUES (?)", msgspec.json.encode(fact))

    def facts(self) -> list[Fact]:
        """What was announced so far, oldest first."""
        rows = self._centre.read("SELECT fact FROM hvps_facts ORDER BY number")
        return [msgspec.json.decode(fact, type=Fact) for (fact,) in rows]

    # -- institutions

    def institution(self, sender: str, reference: str) -> tuple[int, int, str, str] | None:
        """(number, amount, payer, payee) of an hvps.112 taken before, or None."""
        rows = self._centre.read(
            "SELECT number, amount_fen, payer, payee FROM hvps_institutions"
            " WHERE sender = ? AND reference = ?",
            sender,
            reference,
        )
        return (int(rows[0][0]), int(rows[0][1]), rows[0][2], rows[0][3]) if rows else None

    def add_institution(
        self, sender: str, reference: str, amount_fen: int, payer: str, payee: str
    ) -> int:
        """Note an hvps.112 that was settled; gives its number."""
        (number,) = self._centre.read("SELECT count(*) + 1 FROM hvps_institutions")[0]
        self._centre.write(
            "INSERT INTO hvps_institutions VALUES (?,?,?,?,?,?)",
            sender,
            reference,
            number,
            amount_fen,
            payer,
            payee,
        )
        return int(number)

    def institutions(self) -> list[tuple[int, int, str, str]]:
        """(number, amount, payer, payee) of all."""
        rows = self._centre.read(
            "SELECT number, amount_fen, payer, payee FROM hvps_institutions ORDER BY number"
        )
        return [(int(number), int(amount), payer, payee) for number, amount, payer, payee in rows]
