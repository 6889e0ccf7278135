"""The clearing centre's own records: transfers, netting rounds, positions, in one SQLite file.

Each transfer belongs to one clearing system (IBPS, BEPS …), and each system nets by itself; what
the banks owe each other in the end is settled for all of them together.
It promises that a transfer (unique by originator and reference) walks one way only:
PR00 forwarded → PR10 confirmed → PR03 netted → PR04 settled, or ends as PR09 refused or PR08
revoked, and that revoking is possible until netting and never after. On a gross system (HVPS) it
waits as PR06 and is settled by itself, without netting. It moves no money itself:
it says when the banks book (``network``), and keeps each bank's net position, which sum to zero.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from caiwutong.kernel.clock import china_date
from caiwutong.sandbox.codes import REVOKED_CODE, words_of
from caiwutong.sandbox.columns import grow
from caiwutong.sandbox.entries import (
    Instruction,
)

FORWARDED, CONFIRMED, REFUSED, REVOKED, NETTED, SETTLED = (
    "PR00",
    "PR10",
    "PR09",
    "PR08",
    "PR03",
    "PR04",
)
QUEUED = "PR06"
"""待处理: waits in the queue of a gross system (HVPS)."""
CREDIT, RETURN = "A100", "A105"
IBPS = "ibps"
"""The clearing system of a transfer that names no other."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS transfers (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,
  originator TEXT NOT NULL, reference TEXT NOT NULL, payer_account TEXT NOT NULL,
  payer_name TEXT NOT NULL, payee_account TEXT NOT NULL, payee_name TEXT NOT NULL,
  payee_bank TEXT NOT NULL, amount_fen INTEGER NOT NULL, purpose TEXT NOT NULL,
  payer_bank TEXT NOT NULL, original_originator TEXT NOT NULL, original_reference TEXT NOT NULL,
  message_id TEXT NOT NULL, message_day TEXT NOT NULL,
  status TEXT NOT NULL, code TEXT NOT NULL, words TEXT NOT NULL, round INTEGER,
  received_at REAL NOT NULL, decided_at REAL, return_due_at REAL,
  system TEXT NOT NULL DEFAULT 'ibps',
  UNIQUE (originator, reference));
CREATE INDEX IF NOT EXISTS transfers_unanswered ON transfers (seq) WHERE status = 'PR00';
CREATE INDEX IF NOT EXISTS transfers_confirmed ON transfers (seq) WHERE status = 'PR10';
CREATE INDEX IF NOT EXISTS transfers_netted ON transfers (round, seq) WHERE status = 'PR03';
CREATE INDEX IF NOT EXISTS transfers_queued ON transfers (seq) WHERE status = 'PR06';
CREATE INDEX IF NOT EXISTS transfers_return ON transfers (return_due_at)
  WHERE return_due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS rounds (
  round INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, day TEXT NOT NULL,
  transfers INTEGER NOT NULL, amount_fen INTEGER NOT NULL,
  booked INTEGER NOT NULL DEFAULT 0, settled INTEGER NOT NULL DEFAULT 0,
  system TEXT NOT NULL DEFAULT 'ibps');
CREATE TABLE IF NOT EXISTS positions (
  bank TEXT PRIMARY KEY, net_fen INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settlements (
  settlement INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, day TEXT NOT NULL,
  booked INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS settlement_legs (
  settlement INTEGER NOT NULL, bank TEXT NOT NULL, net_fen INTEGER NOT NULL,
  PRIMARY KEY (settlement, bank)) WITHOUT ROWID;
"""


_DEBIT_POSITIONS = """
INSERT INTO positions (bank, net_fen)
SELECT payer_bank, sum(amount_fen) FROM transfers WHERE status = 'PR03' AND round = ?
GROUP BY payer_bank ON CONFLICT (bank) DO UPDATE SET net_fen = net_fen + excluded.net_fen
"""
_CREDIT_POSITIONS = """
INSERT INTO positions (bank, net_fen)
SELECT payee_bank, -sum(amount_fen) FROM transfers WHERE status = 'PR03' AND round = ?
GROUP BY payee_bank ON CONFLICT (bank) DO UPDATE SET net_fen = net_fen + excluded.net_fen
"""


class Transfer(NamedTuple):
    """One credit transfer between two banks, as the centre keeps it."""

    seq: int
    kind: str
    """A100 汇兑 or A105 退汇."""
    originator: str
    reference: str
    payer_account: str
    payer_name: str
    payee_account: str
    payee_name: str
    payee_bank: str
    amount_fen: int
    purpose: str
    payer_bank: str
    original_originator: str
    original_reference: str
    message_id: str
    message_day: str
    """Date of the message, ``YYYYMMDD``."""
    status: str
    code: str
    words: str
    round: int | None
    received_at: float
    decided_at: float | None
    return_due_at: float | None
    system: str = IBPS
    """The clearing system that carries it."""

    @property
    def order(self) -> Instruction:
        """The instruction that travels in it."""
        return Instruction(*self[2:11])


class Round(NamedTuple):
    """A netting round (轧差场次)."""

    round: int
    at: float
    day: str
    transfers: int
    amount_fen: int
    booked: int
    settled: int
    system: str = IBPS


class Centre:
    """The records of the clearing centre. Writes do not commit; see ``commits``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self._db.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32000;"
            "PRAGMA wal_autocheckpoint=4000;" + _SCHEMA
        )
        for table in ("transfers", "rounds"):
            grow(self._db, table, system="TEXT NOT NULL DEFAULT 'ibps'")
        self.dirty = False

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

    # -- one transfer

    def transfer(self, originator: str, reference: str) -> Transfer | None:
        """The transfer with this key, or None."""
        return self._one(
            "SELECT * FROM transfers WHERE originator = ? AND reference = ?", originator, reference
        )

    def _one(self, sql: str, *values: Any) -> Transfer | None:
        row = self._db.execute(sql, values).fetchone()
        return Transfer(*row) if row else None

    def _many(self, sql: str, *values: Any) -> list[Transfer]:
        return [Transfer(*row) for row in self._db.execute(sql, values)]

    def submit(
        self,
        order: Instruction,
        payer_bank: str,
        at: datetime,
        *,
        kind: str = CREDIT,
        original: tuple[str, str] = ("", ""),
        message_id: str = "",
        system: str = IBPS,
    ) -> Transfer:
        """Take a transfer (PR00). Its key must be new. ``message_id`` is the message it travels
        in, which may carry others as well."""
        done = self.write(
            "INSERT INTO transfers (kind, originator, reference, payer_account, payer_name,"
            " payee_account, payee_name, payee_bank, amount_fen, purpose, payer_bank,"
            " original_originator, original_reference, message_id, message_day, status, code,"
            " words, received_at, system)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,'PR00','','',?,?)",
            kind,
            *order,
            payer_bank,
            *original,
            message_id,
            f"{china_date(at):%Y%m%d}",
            at.timestamp(),
            system,
        )
        found = self._one("SELECT * FROM transfers WHERE seq = ?", done.lastrowid)
        assert found is not None
        return found

    def answer(self, transfer: Transfer, code: str, words: str, at: datetime) -> Transfer | None:
        """The payee's bank has answered: yes (empty code, PR10) or no (PR09). None when the
        transfer is no longer waiting for an answer."""
        return self._step(transfer, (FORWARDED,), REFUSED if code else CONFIRMED, code, words, at)

    def revoke(self, transfer: Transfer, at: datetime) -> Transfer | None:
        """Take it back (PR08) before netting. None when it is too late."""
        words = words_of(REVOKED_CODE)
        return self._step(transfer, (FORWARDED, CONFIRMED), REVOKED, REVOKED_CODE, words, at)

    def enqueue(self, transfer: Transfer, at: datetime) -> Transfer | None:
        """Into the queue of a gross system (PR06). None when it is past that."""
        return self._step(transfer, (FORWARDED,), QUEUED, "", "", at)

    def dequeue(
        self, transfer: Transfer, status: str, code: str, words: str, at: datetime
    ) -> Transfer | None:
        """Out of the queue: settled, refused or revoked. None when it is not in it."""
        return self._step(transfer, (QUEUED,), status, code, words, at)

    def _step(
        self,
        transfer: Transfer,
        allowed: tuple[str, ...],
        status: str,
        code: str,
        words: str,
        at: datetime,
    ) -> Transfer | None:
        # Two places are always enough: no step is allowed from more than two states.
        first, last = allowed[0], allowed[-1]
        row = self.write(
            "UPDATE transfers SET status = ?, code = ?, words = ?, decided_at = ?"
            " WHERE seq = ? AND status IN (?, ?) RETURNING *",
            status,
            code,
            words,
            at.timestamp(),
            transfer.seq,
            first,
            last,
        ).fetchone()
        return Transfer(*row) if row else None

    # -- rounds

    def net(self, at: datetime, system: str = IBPS, most: int = -1) -> list[Transfer]:
        """Close a netting round of one system: its confirmed transfers become PR03, irrevocably.
        Gives those transfers; empty when there was nothing, and then no round is written. With
        ``most`` only so many, the oldest first: a large round is closed in parts."""
        waiting = self._db.execute(
            "SELECT 1 FROM transfers WHERE status = 'PR10' AND system = ? LIMIT 1", (system,)
        )
        if not waiting.fetchone():
            return []
        number = self.write(
            "INSERT INTO rounds (at, day, transfers, amount_fen, system) VALUES (?, ?, 0, 0, ?)",
            at.timestamp(),
            china_date(at).isoformat(),
            system,
        ).lastrowid
        self.write(
            "UPDATE transfers SET status = 'PR03', round = ?, decided_at = ?"
            " WHERE seq IN (SELECT seq FROM transfers WHERE status = 'PR10' AND system = ?"
            "  ORDER BY seq LIMIT ?)",
            number,
            at.timestamp(),
            system,
            most,
        )
        self.write(
            "UPDATE rounds SET (transfers, amount_fen) = (SELECT count(*), sum(amount_fen)"
            " FROM transfers WHERE status = 'PR03' AND round = ?1) WHERE round = ?1",
            number,
        )
        for statement in (_DEBIT_POSITIONS, _CREDIT_POSITIONS):
            self.write(statement, number)
        return self._netted_in(number)

    def unbooked(self) -> list[Transfer]:
        """Netted transfers whose booking at the banks is not known to be durable, by round."""
        rounds = self.read("SELECT round FROM rounds WHERE booked = 0 ORDER BY round")
        return [each for (number,) in rounds for each in self._netted_in(number)]

    def _netted_in(self, number: int | None) -> list[Transfer]:
        return self._many(
            "SELECT * FROM transfers WHERE status = 'PR03' AND round = ? ORDER BY seq", number
        )

    def booked(self, number: int) -> None:
        """The banks have durably booked this round and all before."""
        self.write("UPDATE rounds SET booked = 1 WHERE booked = 0 AND round <= ?", number)

    def clear(self, at: datetime) -> tuple[int, list[Transfer]]:
        """The clearing point: netted transfers become PR04, and each bank's net position becomes
        a leg of a settlement. Gives its number and the transfers; (0, []) when nothing waited."""
        netted = self._many("SELECT * FROM transfers WHERE status = 'PR03' ORDER BY round, seq")
        if not netted:
            return 0, []
        number = self.write(
            "INSERT INTO settlements (at, day) VALUES (?, ?)",
            at.timestamp(),
            china_date(at).isoformat(),
        ).lastrowid
        self.write("INSERT INTO settlement_legs SELECT ?, bank, net_fen FROM positions", number)
        self.write("UPDATE transfers SET status = 'PR04' WHERE status = 'PR03'")
        self.write("UPDATE rounds SET settled = 1 WHERE settled = 0")
        self.write("DELETE FROM positions")
        return int(number or 0), netted

    def unsettled_legs(self) -> list[tuple[int, str, int]]:
        """(settlement, bank, net) of settlements whose booking is not known to be durable."""
        rows = self._db.execute(
            "SELECT l.settlement, l.bank, l.net_fen FROM settlement_legs l"
            " JOIN settlements s ON s.settlement = l.settlement WHERE s.booked = 0"
        )
        return [(int(number), str(bank), int(net)) for number, bank, net in rows]

    def legs_booked(self) -> None:
        """The banks have durably booked every settlement so far."""
        self.write("UPDATE settlements SET booked = 1 WHERE booked = 0")

    # -- reading

    def unanswered(self) -> list[Transfer]:
        """Transfers that wait for their payee's bank."""
        return self._many("SELECT * FROM transfers WHERE status = 'PR00' ORDER BY seq")

    def positions(self) -> dict[str, int]:
        """Each bank's net debt to the others since the last clearing, in fen; sums to zero."""
        return {b: int(n) for b, n in self._db.execute("SELECT bank, net_fen FROM positions")}

    def waiting_systems(self) -> list[str]:
        """The systems in which confirmed transfers wait for a netting round."""
        rows = self._db.execute("SELECT DISTINCT system FROM transfers WHERE status = 'PR10'")
        return [str(system) for (system,) in rows]

    def exposure_fen(self, bank: str, system: str) -> int:
        """What this bank owes the others through one system and has not settled: everything of
        its customers under way, and what is netted, less what is netted in its favour."""
        (debt,) = self._db.execute(
            "SELECT coalesce(sum(CASE WHEN payer_bank = ?1 THEN amount_fen"
            "  WHEN status = 'PR03' THEN -amount_fen ELSE 0 END), 0)"
            " FROM transfers WHERE system = ?2 AND status IN ('PR00', 'PR10', 'PR03')"
            " AND ?1 IN (payer_bank, payee_bank) AND payer_bank != payee_bank",
            (bank, system),
        ).fetchone()
        return int(debt)

    def rounds(self, limit: int = 20) -> list[Round]:
        """The latest rounds, newest first."""
        rows = self._db.execute("SELECT * FROM rounds ORDER BY round DESC LIMIT ?", (limit,))
        return [Round(*row) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many transfers stand in each state."""
        return {
            status: int(n)
            for status, n in self._db.execute(
                "SELECT status, count(*) FROM transfers GROUP BY status"
            )
        }

    # -- returns to come

    def plan_return(self, transfer: Transfer, due_at: float) -> None:
        """Have the payee's bank send this money back once business time reaches ``due_at``."""
        self.write("UPDATE transfers SET return_due_at = ? WHERE seq = ?", due_at, transfer.seq)

    def returns_due(self, at: datetime) -> list[Transfer]:
        """Netted transfers whose planned return is due; each is given once."""
        due = self._many(
            "SELECT * FROM transfers WHERE return_due_at <= ? AND status IN ('PR03', 'PR04')",
            at.timestamp(),
        )
        for transfer in due:
            self.write("UPDATE transfers SET return_due_at = NULL WHERE seq = ?", transfer.seq)
        return due

    def expired(self, day: str) -> list[Transfer]:
        """Unanswered transfers of an earlier business date than ``day`` (``YYYYMMDD``): the end
        of their day has refused them."""
        return self._many("SELECT * FROM transfers WHERE status = 'PR00' AND message_day < ?", day)
