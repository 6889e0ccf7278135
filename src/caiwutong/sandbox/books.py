"""One bank's own books: accounts, executions, statement lines, in one SQLite file.

What they promise: an order of one originator is executed at most once, whatever is sent how often
(``executions`` is unique by originator and reference, and the first answer is given again); an
account never goes below its authorised overdraft; the lines of an account are numbered without a
gap and each carries the balance after it; and the whole bank always sums to zero, because every
entry has its other leg (customers' deposits against ``CLEARING``, ``RESERVE`` and ``FEES``).

Methods write into an open transaction and do not commit: ``commits`` does, in groups, before any
answer leaves. Next: ``centre``, which tells the banks when to book.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from caiwutong.kernel.clock import china_date
from caiwutong.sandbox.codes import (
    ACCOUNT_STATE,
    INSUFFICIENT,
    NAME_MISMATCH,
    NO_ACCOUNT,
    words_of,
)
from caiwutong.sandbox.world import FeeBand

CLEARING = "@clearing"
"""待清算: what this bank owes the others through the centre (positive) or is owed (negative)."""
RESERVE = "@reserve"
"""存放中央银行款项: negative, because an asset stands against the deposits."""
FEES = "@fees"
"""手续费收入."""

PENDING, EXECUTED, REJECTED, REVOKED, RETURNED = (
    "pending",
    "executed",
    "rejected",
    "revoked",
    "returned",
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


class Account(NamedTuple):
    """An account as the bank keeps it."""

    account: str
    name: str
    nature: str
    owner: str
    """``group`` (the demo group's), ``outside``, or ``internal`` (the bank's own)."""
    state: str
    """``active``, ``frozen`` or ``closed``."""
    balance_fen: int
    overdraft_fen: int
    opening_fen: int
    lines: int

    @property
    def available_fen(self) -> int:
        """What may be paid out now, authorised overdraft (法人透支) included."""
        return self.balance_fen + self.overdraft_fen if self.state == "active" else 0


class Instruction(NamedTuple):
    """An order to pay out of an account of this bank, as it arrived."""

    originator: str
    """Who sent it: the participant's code or the customer's user id."""
    reference: str
    payer_account: str
    payer_name: str
    payee_account: str
    payee_name: str
    payee_bank: str
    amount_fen: int
    purpose: str = ""


class Execution(NamedTuple):
    """What became of an instruction at the payer's bank."""

    seq: int
    originator: str
    reference: str
    payer_account: str
    payer_name: str
    payee_account: str
    payee_name: str
    payee_bank: str
    amount_fen: int
    purpose: str
    status: str
    code: str
    words: str
    fee_fen: int
    received_at: float
    """Business time, seconds since the epoch."""
    decided_at: float | None

    @property
    def instruction(self) -> Instruction:
        """The order as it first arrived."""
        return Instruction(*self[1:10])


class Line(NamedTuple):
    """One line of an account's statement; positive is money in."""

    account: str
    line_no: int
    booked_at: float
    day: str
    amount_fen: int
    balance_after_fen: int
    kind: str
    reference: str
    counter_name: str
    counter_account: str
    words: str


class Book:
    """The books of one bank. One writer, one connection; readers open the file themselves."""

    def __init__(self, path: Path, code: str, name: str, fees: tuple[FeeBand, ...] = ()) -> None:
        self.code = code
        self.name = name
        self.path = path
        self._fees = fees
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        # WAL with NORMAL: a killed process loses nothing committed; a power cut may lose the end.
        self._db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;"
            "PRAGMA wal_autocheckpoint=4000;" + _SCHEMA
        )
        self.dirty = False
        for internal in (CLEARING, RESERVE, FEES):
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

    def open_account(
        self,
        account: str,
        name: str,
        *,
        nature: str = "general",
        owner: str = "outside",
        state: str = "active",
        opening_fen: int = 0,
        overdraft_fen: int = 0,
        at: datetime,
    ) -> None:
        """Open an account with this balance, once; opening it again changes nothing."""
        done = self.write(
            "INSERT OR IGNORE INTO accounts VALUES (?,?,?,?,?,0,?,?,0)",
            account,
            name,
            nature,
            owner,
            state,
            overdraft_fen,
            opening_fen,
        )
        if done.rowcount and opening_fen:
            self._book(account, opening_fen, "opening", "", "", "", "期初余额", at)
            self._internal(RESERVE, -opening_fen)

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

    def set_state(self, account: str, state: str) -> bool:
        """Freeze, close or open again. False when there is no such account."""
        done = self.write("UPDATE accounts SET state = ? WHERE account = ?", state, account)
        return done.rowcount == 1

    def sum_fen(self) -> int:
        """The sum over all accounts, the bank's own included: zero, always."""
        return int(self._db.execute("SELECT sum(balance_fen) FROM accounts").fetchone()[0])

    def internal_fen(self, account: str) -> int:
        """The balance of one of the bank's own accounts."""
        found = self.account(account)
        return found.balance_fen if found else 0

    # -- payments out

    def execution(self, originator: str, reference: str) -> Execution | None:
        """What became of this instruction, or None when it never arrived."""
        row = self._db.execute(
            "SELECT * FROM executions WHERE originator = ? AND reference = ?",
            (originator, reference),
        ).fetchone()
        return Execution(*row) if row else None

    def begin(self, order: Instruction, at: datetime) -> tuple[Execution, bool]:
        """Take an instruction: debit the payer into clearing (``pending``) or refuse it
        (``rejected`` with its code). The second value is False when the reference was known:
        then nothing is done, and the first execution is given."""
        known = self.execution(order.originator, order.reference)
        if known is not None:
            return known, False
        code = self._check_payer(order)
        return self._note(order, code, at, words_of(code)), True

    def refuse(self, order: Instruction, code: str, words: str, at: datetime) -> Execution:
        """Note an instruction that is refused before any money is looked at."""
        known = self.execution(order.originator, order.reference)
        return known if known is not None else self._note(order, code, at, words)

    def _note(self, order: Instruction, code: str, at: datetime, words: str) -> Execution:
        status = REJECTED if code else PENDING
        stamp = at.timestamp()
        done = self.write(
            "INSERT INTO executions (originator, reference, payer_account, payer_name,"
            " payee_account, payee_name, payee_bank, amount_fen, purpose, status, code, words,"
            " fee_fen, received_at, decided_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,0,?,?)",
            *order,
            status,
            code,
            words,
            stamp,
            stamp if code else None,
        )
        if not code:
            self._move(order.payer_account, -order.amount_fen, "payment", order, order.purpose, at)
        seq = int(done.lastrowid or 0)
        return Execution(seq, *order, status, code, words, 0, stamp, stamp if code else None)

    def _check_payer(self, order: Instruction) -> str:
        payer = self.account(order.payer_account)
        if payer is None or payer.owner == "internal":
            return NO_ACCOUNT
        if payer.name != order.payer_name:
            return NAME_MISMATCH
        if payer.state != "active":
            return ACCOUNT_STATE
        fee = self.fee_fen(order.amount_fen) if order.payee_bank != self.code else 0
        return "" if payer.available_fen >= order.amount_fen + fee else INSUFFICIENT

    def complete(self, originator: str, reference: str, at: datetime) -> bool:
        """The payment is final; to another bank it costs a fee, unless the account can no longer
        bear it. False when it was not pending."""
        known = self.execution(originator, reference)
        if known is None or known.status != PENDING:
            return False
        fee = self.fee_fen(known.amount_fen) if known.payee_bank != self.code else 0
        if fee:
            payer = self.account(known.payer_account)
            fee = fee if payer is not None and payer.available_fen >= fee else 0
        self._decide(known, EXECUTED, "", "", fee, at)
        if fee:
            self._book(known.payer_account, -fee, "fee", reference, "", "", "手续费", at)
            self._internal(FEES, fee)
        return True

    def undo(
        self, originator: str, reference: str, status: str, code: str, words: str, at: datetime
    ) -> bool:
        """The pending payment will not be made (``rejected`` or ``revoked``): the payer gets the
        money back as a correction (冲正). False when it was not pending."""
        known = self.execution(originator, reference)
        if known is None or known.status != PENDING:
            return False
        self._decide(known, status, code, words, 0, at)
        told = f"冲正 {code} {words}".strip()
        self._move(known.payer_account, known.amount_fen, "other", known.instruction, told, at)
        return True

    def mark_returned(self, originator: str, reference: str) -> None:
        """Note on the execution that the money came back later (退汇)."""
        self.write(
            "UPDATE executions SET status = 'returned' WHERE originator = ? AND reference = ?"
            " AND status = 'executed'",
            originator,
            reference,
        )

    def _decide(
        self, known: Execution, status: str, code: str, words: str, fee: int, at: datetime
    ) -> None:
        self.write(
            "UPDATE executions SET status = ?, code = ?, words = ?, fee_fen = ?, decided_at = ?"
            " WHERE seq = ?",
            status,
            code,
            words,
            fee,
            at.timestamp(),
            known.seq,
        )

    def fee_fen(self, amount_fen: int) -> int:
        """What this bank takes for a payment of this amount to another bank."""
        for band in self._fees:
            if amount_fen <= band.up_to_fen:
                return band.fee_fen
        return self._fees[-1].fee_fen if self._fees else 0

    # -- payments in

    def check_payee(self, account: str, name: str) -> str:
        """Why this account cannot be credited (an RJ code), or empty."""
        found = self.account(account)
        if found is None or found.owner == "internal":
            return NO_ACCOUNT
        if found.name != name:
            return NAME_MISMATCH
        return "" if found.state == "active" else ACCOUNT_STATE

    def credit(self, order: Instruction, kind: str, reference: str, at: datetime) -> bool:
        """Credit the payee from clearing, once per (originator, reference of the transfer).
        ``reference`` is what the statement line shows: a return shows the original's. An account
        that stopped being active after the yes still gets the money: the yes is binding."""
        done = self.write(
            "INSERT OR IGNORE INTO credits (originator, reference, account, amount_fen)"
            " VALUES (?,?,?,?)",
            order.originator,
            order.reference,
            order.payee_account,
            order.amount_fen,
        )
        if not done.rowcount:
            return False
        self._internal(CLEARING, -order.amount_fen)
        self._book(
            order.payee_account,
            order.amount_fen,
            kind,
            reference,
            order.payer_name,
            order.payer_account,
            order.purpose,
            at,
        )
        return True

    def begin_return(self, original: Instruction, order: Instruction, at: datetime) -> bool:
        """Take the credited money of ``original`` back out of the payee's account into clearing,
        for a return (退汇). False when it never came, was returned, or is no longer there."""
        payee = self.account(original.payee_account)
        if payee is None or payee.balance_fen + payee.overdraft_fen < original.amount_fen:
            return False
        done = self.write(
            "UPDATE credits SET returned = 1 WHERE originator = ? AND reference = ?"
            " AND returned = 0",
            original.originator,
            original.reference,
        )
        if not done.rowcount:
            return False
        self._note(order, "", at, "")
        return True

    def settle(self, settlement: int, net_fen: int) -> None:
        """The clearing point: what was owed through clearing moves to the reserve. The same
        settlement again changes nothing."""
        done = self.write("INSERT OR IGNORE INTO settlements VALUES (?,?)", settlement, net_fen)
        if done.rowcount:
            self._internal(CLEARING, -net_fen)
            self._internal(RESERVE, net_fen)

    # -- lines

    def _move(
        self, account: str, amount_fen: int, kind: str, order: Instruction, words: str, at: datetime
    ) -> None:
        """A line on a customer's account, with clearing as its other leg."""
        self._internal(CLEARING, -amount_fen)
        self._book(
            account,
            amount_fen,
            kind,
            order.reference,
            order.payee_name,
            order.payee_account,
            words,
            at,
        )

    def _internal(self, account: str, amount_fen: int) -> None:
        self.write(
            "UPDATE accounts SET balance_fen = balance_fen + ? WHERE account = ?",
            amount_fen,
            account,
        )

    def _book(
        self,
        account: str,
        amount_fen: int,
        kind: str,
        reference: str,
        counter_name: str,
        counter_account: str,
        words: str,
        at: datetime,
    ) -> None:
        number, balance = self.write(
            "UPDATE accounts SET balance_fen = balance_fen + ?, lines = lines + 1"
            " WHERE account = ? RETURNING lines, balance_fen",
            amount_fen,
            account,
        ).fetchone()
        self.write(
            "INSERT INTO lines VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            account,
            number,
            at.timestamp(),
            china_date(at).isoformat(),
            amount_fen,
            balance,
            kind,
            reference,
            counter_name,
            counter_account,
            words,
        )

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
