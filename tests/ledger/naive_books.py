"""The ledger once more, written to be obvious and nothing else: every figure is added up anew from
the list of all changes. It shares no code with ``ledger/rules.py``; only the words of the
operations and the codes of the outcomes are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from caiwutong.ledger.model import Account, Keep, Operation, Post, Reserve, Transfer, Void

CHINA_IS_AHEAD = timedelta(hours=8)


@dataclass
class Change:
    account: UUID
    at: datetime
    debit_positive: int
    held: int


@dataclass
class Hold:
    account: UUID
    amount: int
    expires: datetime | None
    state: str = "held"
    posted: int = 0
    transfer: UUID | None = None


@dataclass
class State:
    changes: list[Change] = field(default_factory=list)
    holds: dict[UUID, Hold] = field(default_factory=dict)
    transfers: dict[UUID, tuple[UUID, UUID, int, str]] = field(default_factory=dict)


class Refuse(Exception):
    """An operation cannot be done; carries the code."""


class NaiveBooks:
    """Accounts, and the list of everything that happened to them."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self.accounts = {a.account_id: a for a in accounts}
        self.state = State()
        self.closed: set[int] = set()
        self.forced: set[UUID] = set()
        """Accounts the bank itself once took beyond their limit."""

    def figures(self, account: UUID, as_of: datetime | None = None) -> tuple[int, int]:
        """Posted and held, in the account's normal direction."""
        mine = [
            c
            for c in self.state.changes
            if c.account == account and (as_of is None or c.at <= as_of)
        ]
        side = int(self.accounts[account].normal_side)
        return side * sum(c.debit_positive for c in mine), sum(c.held for c in mine)

    def available(self, account: UUID) -> int:
        posted, held = self.figures(account)
        return posted - held

    def run(self, operations: Sequence[Operation]) -> list[str]:
        """One word an operation: ``done``, ``again``, or the code of its refusal."""
        words: list[str] = []
        chain: list[Operation] = []
        for position, operation in enumerate(operations):
            chain.append(operation)
            if not operation.linked or position == len(operations) - 1:
                words += self._all_or_none(chain)
                chain = []
        return words

    def expire(self, now: datetime) -> set[UUID]:
        due = {
            hold_id
            for hold_id, hold in self.state.holds.items()
            if hold.state == "held" and hold.expires is not None and hold.expires <= now
        }
        for hold_id in due:
            self._void(Void(hold_id=hold_id, at=now))
        return due

    def _all_or_none(self, chain: Sequence[Operation]) -> list[str]:
        before = deepcopy(self.state), set(self.forced)
        words: list[str] = []
        for position, operation in enumerate(chain):
            try:
                words.append(self._one(operation))
            except Refuse as refused:
                self.state, self.forced = before
                others = ["ledger.linked_failed"] * len(chain)
                others[position] = str(refused)
                return others
        return words

    def _one(self, operation: Operation) -> str:
        if isinstance(operation, Reserve):
            return self._reserve(operation)
        if isinstance(operation, Transfer):
            return self._transfer(
                operation.transfer_id, operation.debit, operation.credit, operation.amount_fen,
                operation.currency, operation.at, forced=operation.forced,
            )  # fmt: skip
        if isinstance(operation, Post):
            return self._post(operation)
        if isinstance(operation, Void):
            return self._void(operation)
        return self._keep(operation)

    def _reserve(self, op: Reserve) -> str:
        known = self.state.holds.get(op.hold_id)
        if known is not None:
            if (known.account, known.amount) != (op.account, op.amount_fen):
                raise Refuse("ledger.hold_id_taken")
            return "again"
        self._fit(op.account, op.currency, op.amount_fen)
        self._enough(op.account, op.amount_fen)
        self.state.holds[op.hold_id] = Hold(op.account, op.amount_fen, op.expires_at)
        self._change(op.account, op.at, 0, op.amount_fen)
        return "done"

    def _transfer(
        self, transfer_id: UUID, debit: UUID, credit: UUID, fen: int, currency: str, at: datetime,
        *, forced: bool = False, freed_on: UUID | None = None, freed: int = 0,
    ) -> str:  # fmt: skip
        content = (debit, credit, fen, currency)
        if transfer_id in self.state.transfers:
            if self.state.transfers[transfer_id] != content:
                raise Refuse("ledger.transfer_id_taken")
            return "again"
        day = at + CHINA_IS_AHEAD
        if day.year * 100 + day.month in self.closed:
            raise Refuse("ledger.period_closed")
        self._fit(debit, currency, fen)
        self._fit(credit, currency, fen)
        if debit == credit:
            raise Refuse("ledger.same_account")
        for account, falls in (
            (debit, self.accounts[debit].normal_side < 0),
            (credit, self.accounts[credit].normal_side > 0),
        ):
            takes = fen - (freed if account == freed_on else 0)
            if falls and forced:
                self.forced.add(account)
            elif falls and takes > 0:
                self._enough(account, takes)
        self.state.transfers[transfer_id] = content
        self._change(debit, at, fen, -freed if debit == freed_on else 0)
        self._change(credit, at, -fen, -freed if credit == freed_on else 0)
        return "done"

    def _post(self, op: Post) -> str:
        hold = self._hold(op.hold_id)
        fen = hold.amount if op.amount_fen is None else op.amount_fen
        if hold.state == "posted" and (hold.posted, hold.transfer) == (fen, op.transfer_id):
            return "again"
        self._stands(hold, op.at)
        if fen <= 0 or fen > hold.amount:
            raise Refuse("ledger.post_exceeds_hold")
        own = self.accounts[hold.account]
        outward = (op.counter, hold.account) if own.normal_side > 0 else (hold.account, op.counter)
        word = self._transfer(
            op.transfer_id, *outward, fen, own.currency, op.at,
            freed_on=hold.account, freed=hold.amount,
        )  # fmt: skip
        if word == "done":
            hold.state, hold.posted, hold.transfer = "posted", fen, op.transfer_id
        return word

    def _void(self, op: Void) -> str:
        hold = self._hold(op.hold_id)
        if hold.state == "posted":
            raise Refuse("ledger.hold_over")
        if hold.state == "released":
            return "again"
        hold.state = "released"
        self._change(hold.account, op.at, 0, -hold.amount)
        return "done"

    def _keep(self, op: Keep) -> str:
        hold = self._hold(op.hold_id)
        if hold.state == "held" and hold.expires is None:
            return "again"
        self._stands(hold, op.at)
        hold.expires = None
        return "done"

    def _hold(self, hold_id: UUID) -> Hold:
        if hold_id not in self.state.holds:
            raise Refuse("ledger.no_such_hold")
        return self.state.holds[hold_id]

    @staticmethod
    def _stands(hold: Hold, at: datetime) -> None:
        if hold.state != "held":
            raise Refuse("ledger.hold_over")
        if hold.expires is not None and at >= hold.expires:
            raise Refuse("ledger.hold_expired")

    def _fit(self, account: UUID, currency: str, fen: int) -> None:
        if account not in self.accounts:
            raise Refuse("ledger.no_such_account")
        if self.accounts[account].currency != currency:
            raise Refuse("ledger.other_currency")
        if fen <= 0:
            raise Refuse("ledger.not_positive")

    def _enough(self, account: UUID, fen: int) -> None:
        overdraft = self.accounts[account].overdraft_fen
        if overdraft is not None and self.available(account) - fen < -overdraft:
            raise Refuse("ledger.insufficient")

    def _change(self, account: UUID, at: datetime, debit_positive: int, held: int) -> None:
        """An account's history never runs backwards: what comes late is dated with the last."""
        latest = max((c.at for c in self.state.changes if c.account == account), default=at)
        self.state.changes.append(Change(account, max(at, latest), debit_positive, held))
