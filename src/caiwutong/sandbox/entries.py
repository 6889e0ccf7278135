"""The words of a bank's books: accounts, instructions, executions, statement lines.

Amounts are integer fen; times are business time in seconds since the epoch; days are ISO dates in
China. Next: ``reader`` and ``books``, which keep them.
"""

from __future__ import annotations

from typing import NamedTuple

CLEARING = "@clearing"
"""待清算: what this bank owes the others through the centre (positive) or is owed (negative)."""
RESERVE = "@reserve"
"""存放中央银行款项: negative, because an asset stands against the deposits."""
SUSPENSE = "@suspense"
"""挂账: what came for a customer and could not be credited; it is sent back."""
INTERBANK = "@interbank"
"""同业往来: what this bank lent to others between settlement accounts (negative: borrowed)."""
FEES = "@fees"
"""手续费收入."""

PENDING, EXECUTED, REJECTED, REVOKED, RETURNED = (
    "pending",
    "executed",
    "rejected",
    "revoked",
    "returned",
)


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
    system: str = ""
    """The clearing system it was sent over; empty where none is asked for."""
    message_id: str = ""
    """The message it arrived in, where that carries others as well."""

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
