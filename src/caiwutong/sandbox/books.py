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

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from caiwutong.kernel.clock import china_date
from caiwutong.sandbox.codes import (
    ACCOUNT_STATE,
    INSUFFICIENT,
    NAME_MISMATCH,
    NO_ACCOUNT,
    words_of,
)
from caiwutong.sandbox.entries import (
    CLEARING,
    EXECUTED,
    FEES,
    INTERBANK,
    PENDING,
    REJECTED,
    RESERVE,
    Execution,
    Instruction,
)
from caiwutong.sandbox.reader import BookReader
from caiwutong.sandbox.world import FeeBand


class Book(BookReader):
    """The books of one bank: what it books, and what it refuses to."""

    def __init__(self, path: Path, code: str, name: str, fees: tuple[FeeBand, ...] = ()) -> None:
        super().__init__(path, code, name)
        self._fees = fees
        self.overcharges: Callable[[str, datetime], str] = lambda reference, at: ""
        """How a fee goes wrong: ``twice``, another word for the next dearer band, or not at all."""

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

    def set_state(self, account: str, state: str) -> bool:
        """Freeze, close or open again. False when there is no such account."""
        done = self.write("UPDATE accounts SET state = ? WHERE account = ?", state, account)
        return done.rowcount == 1

    # -- payments out

    def begin(
        self, order: Instruction, at: datetime, *, system: str = "", message_id: str = ""
    ) -> tuple[Execution, bool]:
        """Take an instruction: debit the payer into clearing (``pending``) or refuse it
        (``rejected`` with its code). The second value is False when the reference was known:
        then nothing is done, and the first execution is given."""
        known = self.execution(order.originator, order.reference)
        if known is not None:
            return known, False
        code = self._check_payer(order)
        return self._note(order, code, at, words_of(code), system, message_id), True

    def refuse(
        self,
        order: Instruction,
        code: str,
        words: str,
        at: datetime,
        *,
        system: str = "",
        message_id: str = "",
    ) -> Execution:
        """Note an instruction that is refused before any money is looked at."""
        known = self.execution(order.originator, order.reference)
        if known is not None:
            return known
        return self._note(order, code, at, words, system, message_id)

    def _note(
        self,
        order: Instruction,
        code: str,
        at: datetime,
        words: str,
        system: str = "",
        message_id: str = "",
    ) -> Execution:
        status = REJECTED if code else PENDING
        stamp = at.timestamp()
        done = self.write(
            "INSERT INTO executions (originator, reference, payer_account, payer_name,"
            " payee_account, payee_name, payee_bank, amount_fen, purpose, status, code, words,"
            " fee_fen, received_at, decided_at, system, message_id)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,0,?,?,?,?)",
            *order,
            status,
            code,
            words,
            stamp,
            stamp if code else None,
            system,
            message_id,
        )
        if not code:
            self._move(order.payer_account, -order.amount_fen, "payment", order, order.purpose, at)
        seq = int(done.lastrowid or 0)
        decided = stamp if code else None
        return Execution(seq, *order, status, code, words, 0, stamp, decided, system, message_id)

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
        wrong = self.overcharges(reference, at) if fee else ""
        if wrong and wrong != "twice":
            fee = min((b.fee_fen for b in self._fees if b.fee_fen > fee), default=fee)
        times = 2 if wrong == "twice" else 1
        if fee:
            payer = self.account(known.payer_account)
            fee = fee if payer is not None and payer.available_fen >= fee * times else 0
        self._decide(known, EXECUTED, "", "", fee * times, at)
        for _ in range(times if fee else 0):
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

    def credited(self, originator: str, reference: str) -> bool:
        """Whether this bank has credited the payee of this transfer already."""
        return bool(
            self.read(
                "SELECT 1 FROM credits WHERE originator = ? AND reference = ?",
                originator,
                reference,
            )
        )

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

    def lend(self, settlement: int, amount_fen: int) -> None:
        """Money goes from this bank's settlement account to another bank's (negative: comes). The
        same settlement again changes nothing."""
        done = self.write("INSERT OR IGNORE INTO settlements VALUES (?,?)", settlement, amount_fen)
        if done.rowcount:
            self._internal(INTERBANK, -amount_fen)
            self._internal(RESERVE, amount_fen)

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
