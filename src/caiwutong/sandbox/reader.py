"""What can be read from a bank's books, and the transaction everything is written in.

``BookReader`` holds the one connection to a bank's SQLite file; ``books.Book`` adds what may be
booked. Reading sees what is not committed yet.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caiwutong.sandbox.columns import grow
from caiwutong.sandbox.entries import (
    CLEARING,
    FEES,
    INTERBANK,
    RESERVE,
    SUSPENSE,
    Account,
    Execution,
    Line,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
  account TEXT PRIMARY KEY, name TEXT NOT NULL, nature TEXT NOT NULL, owner TEXT NOT NULL,
  state TEXT NOT NULL, balance_fen INTEGER NOT NULL, overdraft_fen INTEGER NOT NULL,
  opening_fen INTEGER NOT NULL, lines INTEGER NOT NULL DEFAULT 0,
  CHECK (owner = 'internal' OR balance_fen >= -overdraft_fen)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS executions (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, originator TEXT NOT NULL, reference TEXT NOT NULL,
  payer_account TEXT NOT NULL, payer_name TEXT NOT NULL, payee_account TEXT NOT NULL,
  payee_name TEXT NOT NULL, payee_bank TEXT NOT NULL, amount_fen INTEGER NOT NULL,
  purpose TEXT NOT NULL, status TEXT NOT NULL, code TEXT NOT NULL, words TEXT NOT NULL,
  fee_fen INTEGER NOT NULL, received_at REAL NOT NULL, decided_at REAL,
  system TEXT NOT NULL DEFAULT '', message_id TEXT NOT NULL DEFAULT '',
  UNIQUE (originator, reference));
CREATE INDEX IF NOT EXISTS executions_pending ON executions (seq) WHERE status = 'pending';
CREATE TABLE IF NOT EXISTS credits (
  originator TEXT NOT NULL, reference TEXT NOT NULL, account TEXT NOT NULL,
  amount_fen INTEGER NOT NULL, returned INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (originator, reference)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lines (
  account TEXT NOT NULL, line_no INTEGER NOT NULL, booked_at REAL NOT NULL, day TEXT NOT NULL,
  amount_fen INTEGER NOT NULL, balance_after_fen INTEGER NOT NULL, kind TEXT NOT NULL,
  reference TEXT NOT NULL, counter_name TEXT NOT NULL, counter_account TEXT NOT NULL,
  words TEXT NOT NULL, PRIMARY KEY (account, line_no)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lines_reference ON lines (reference);
CREATE TABLE IF NOT EXISTS settlements (
  settlement INTEGER PRIMARY KEY, net_fen INTEGER NOT NULL);
"""


class BookReader:
    """The books of one bank, as they stand. One writer, one connection."""

    def __init__(self, path: Path, code: str, name: str) -> None:
        self.code = code
        self.name = name
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        # WAL with NORMAL: a killed process loses nothing committed; a power cut may lose the end.
        self._db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;"
            "PRAGMA wal_autocheckpoint=4000;" + _SCHEMA
        )
        empty = "TEXT NOT NULL DEFAULT ''"
        grow(self._db, "executions", system=empty, message_id=empty)
        self.dirty = False
        for internal in (CLEARING, RESERVE, FEES, SUSPENSE, INTERBANK):
            self.write(
                "INSERT OR IGNORE INTO accounts"
                " VALUES (?,?,'internal','internal','active',0,0,0,0)",
                internal,
                internal[1:],
            )
        self.commit()

    # -- transactions

    def write(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Execute inside the open transaction, beginning one where needed."""
        if not self.dirty:
            self._db.execute("BEGIN")
            self.dirty = True
        return self._db.execute(sql, values)

    def read(self, sql: str, *values: Any) -> list[Any]:
        """Rows, seeing what is not committed yet."""
        return self._db.execute(sql, values).fetchall()

    def commit(self) -> None:
        """Make everything written so far survive a killed process."""
        if self.dirty:
            self._db.execute("COMMIT")
            self.dirty = False

    def close(self) -> None:
        """Commit and let go of the file."""
        self.commit()
        self._db.close()

    # -- accounts

    def account(self, account: str) -> Account | None:
        """The account with this number, or None."""
        row = self._db.execute("SELECT * FROM accounts WHERE account = ?", (account,)).fetchone()
        return Account(*row) if row else None

    def accounts(self, owner: str = "") -> list[Account]:
        """All accounts, or those of one owner, in order of their numbers."""
        rows = self._db.execute(
            "SELECT * FROM accounts WHERE owner = ? OR ? = '' ORDER BY account", (owner, owner)
        )
        return [Account(*row) for row in rows]

    def sum_fen(self) -> int:
        """The sum over all accounts, the bank's own included: zero, always."""
        return int(self._db.execute("SELECT sum(balance_fen) FROM accounts").fetchone()[0])

    def internal_fen(self, account: str) -> int:
        """The balance of one of the bank's own accounts."""
        found = self.account(account)
        return found.balance_fen if found else 0

    # -- executions and lines

    def execution(self, originator: str, reference: str) -> Execution | None:
        """What became of this instruction, or None when it never arrived."""
        row = self._db.execute(
            "SELECT * FROM executions WHERE originator = ? AND reference = ?",
            (originator, reference),
        ).fetchone()
        return Execution(*row) if row else None

    def credited_to(self, originator: str, reference: str) -> str:
        """The account this bank has credited for a transfer; empty when it has not."""
        rows = self.read(
            "SELECT account FROM credits WHERE originator = ? AND reference = ?",
            originator,
            reference,
        )
        return str(rows[0][0]) if rows else ""

    def lines(self, account: str, after: int, limit: int) -> list[Line]:
        """Statement lines of an account after this line number, in the bank's order."""
        rows = self._db.execute(
            "SELECT * FROM lines WHERE account = ? AND line_no > ? ORDER BY line_no LIMIT ?",
            (account, after, limit),
        )
        return [Line(*row) for row in rows]

    def lines_within(
        self, account: str, after: int, first_day: str, last_day: str, limit: int
    ) -> list[Line]:
        """Lines after this number on these days (ISO dates in China, both counted)."""
        rows = self._db.execute(
            "SELECT * FROM lines WHERE account = ? AND line_no > ? AND day BETWEEN ? AND ?"
            " ORDER BY line_no LIMIT ?",
            (account, after, first_day, last_day, limit),
        )
        return [Line(*row) for row in rows]

    def count_lines(self, account: str, first_day: str, last_day: str) -> int:
        """How many lines these days have (ISO dates in China, both counted)."""
        rows = self._db.execute(
            "SELECT count(*) FROM lines WHERE account = ? AND day BETWEEN ? AND ?",
            (account, first_day, last_day),
        )
        return int(rows.fetchone()[0])

    def balance_on(self, account: str, day: str) -> int | None:
        """What stood on the account at the end of this day; None before its first line."""
        row = self._db.execute(
            "SELECT balance_after_fen FROM lines WHERE account = ? AND day <= ?"
            " ORDER BY line_no DESC LIMIT 1",
            (account, day),
        ).fetchone()
        return int(row[0]) if row else None

    # -- reading all of it, for the judge and for recovery

    def pending(self) -> list[Execution]:
        """Executions that wait for the centre."""
        rows = self._db.execute("SELECT * FROM executions WHERE status = 'pending' ORDER BY seq")
        return [Execution(*row) for row in rows]

    def facts(self, after: int, limit: int) -> Iterator[tuple[Execution, int]]:
        """Executions after this sequence number, each with how many payment lines the payer's
        account bears for its reference, corrections (冲正) taken off."""
        rows = self._db.execute(
            "SELECT e.*, (SELECT coalesce(sum(CASE l.kind WHEN 'payment' THEN 1 ELSE -1 END), 0)"
            "  FROM lines l WHERE l.reference = e.reference AND l.account = e.payer_account"
            "  AND ((l.kind = 'payment' AND l.amount_fen < 0)"
            "   OR (l.kind = 'other' AND l.amount_fen > 0)))"
            " FROM executions e WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        for row in rows:
            yield Execution(*row[:-1]), int(row[-1])
