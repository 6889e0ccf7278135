"""Every decision of the ledger, pure: a ``Book`` holds the accounts and holds that one batch
touches; ``apply`` walks the operations in order and leaves behind entries, transfers and changed
holds for a store to write.

Both stores, PostgreSQL's and the memory twin's, run this same code between *load* (with the rows
locked in id order) and *save*. Laws: entries sum to zero per currency; *available* never falls
below the authorised overdraft; a refused operation changes nothing; a linked chain is all or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.money import yuan
from caiwutong.ledger.model import (
    DONE,
    DONE_BEFORE,
    HoldState,
    Keep,
    Operation,
    Outcome,
    Post,
    Reserve,
    Transfer,
    Void,
)


class AccountState(msgspec.Struct, gc=False):
    """An account while a batch works on it. ``posted`` and ``held`` in its normal direction."""

    account_id: UUID
    code: str
    side: int
    currency: str
    overdraft_fen: int | None
    posted: int
    held: int
    beyond_fen: int
    """What the bank itself took beyond the overdraft; only forced transfers raise it."""
    seq: int
    last_at: datetime | None
    seq_loaded: int = 0

    @property
    def available(self) -> int:
        return self.posted - self.held


class HoldRow(msgspec.Struct, gc=False):
    """A hold: its amount is what is still promised; ``posted_fen`` what became a transfer."""

    hold_id: UUID
    account_id: UUID
    amount_fen: int
    state: HoldState
    opened_at: datetime
    expires_at: datetime | None = None
    posted_fen: int = 0
    transfer_id: UUID | None = None
    closed_at: datetime | None = None


class TransferRow(msgspec.Struct, frozen=True, gc=False):
    """A transfer as it is kept: the double entry in one row."""

    transfer_id: UUID
    debit: UUID
    credit: UUID
    amount_fen: int
    currency: str
    kind: str
    at: datetime
    period: int
    subject: UUID | None
    hold_id: UUID | None


class EntryRow(msgspec.Struct, frozen=True, gc=False):
    """One change of one account. ``amount_fen`` is debit-positive; the two ``after`` figures are in
    the account's normal direction."""

    account_id: UUID
    at: datetime
    seq: int
    cause: UUID
    amount_fen: int
    held_fen: int
    posted_after: int
    held_after: int
    currency: str


@dataclass(slots=True)
class Book:
    """What a batch reads and what it leaves to be written."""

    accounts: dict[UUID, AccountState]
    holds: dict[UUID, HoldRow]
    transfers: dict[UUID, TransferRow]
    closed_periods: frozenset[int] = frozenset()
    new_entries: list[EntryRow] = field(default_factory=list[EntryRow])
    new_transfers: list[TransferRow] = field(default_factory=list[TransferRow])
    new_holds: dict[UUID, HoldRow] = field(default_factory=dict[UUID, HoldRow])
    changed_holds: dict[UUID, HoldRow] = field(default_factory=dict[UUID, HoldRow])
    changed_accounts: dict[UUID, AccountState] = field(default_factory=dict[UUID, AccountState])
    _period: tuple[datetime, int] | None = None

    def period(self, at: datetime) -> int:
        """``period_of``, worked out once for the operations of one moment."""
        if self._period is None or self._period[0] is not at:
            self._period = at, period_of(at)
        return self._period[1]


def period_of(at: datetime) -> int:
    """The accounting period (会计期间) of an instant, by the calendar in China: 202611."""
    day = at.astimezone(CHINA)
    return day.year * 100 + day.month


def touched(operations: Iterable[Operation]) -> tuple[set[UUID], set[UUID], set[UUID]]:
    """The accounts, holds and transfers that a batch names. Accounts behind holds come with them
    when a store loads."""
    accounts: set[UUID] = set()
    holds: set[UUID] = set()
    transfers: set[UUID] = set()
    for op in operations:
        if isinstance(op, Reserve):
            accounts.add(op.account)
            holds.add(op.hold_id)
        elif isinstance(op, Transfer):
            accounts.update((op.debit, op.credit))
            transfers.add(op.transfer_id)
        else:
            holds.add(op.hold_id)
            if isinstance(op, Post):
                accounts.add(op.counter)
                transfers.add(op.transfer_id)
    return accounts, holds, transfers


def apply(book: Book, operations: Sequence[Operation]) -> list[Outcome]:
    """Walk the batch in order; one outcome for each operation."""
    outcomes: list[Outcome] = []
    at = 0
    while at < len(operations):
        end = at + 1
        while end < len(operations) and operations[end - 1].linked:
            end += 1
        if end - at == 1:
            outcomes.append(_one(book, operations[at]))
        else:
            outcomes.extend(_chain(book, operations[at:end]))
        at = end
    return outcomes


def _chain(book: Book, operations: Sequence[Operation]) -> list[Outcome]:
    """A linked chain: all of it or none of it."""
    undo = _savepoint(book, operations)
    outcomes: list[Outcome] = []
    for failed, op in enumerate(operations):
        outcome = _one(book, op)
        outcomes.append(outcome)
        if isinstance(outcome, Refusal):
            undo()
            linked = Refusal(
                "ledger.linked_failed",
                f"Another operation of the same linked chain was refused: {outcome.code}.",
                outcome.cure,
            )
            return [outcome if n == failed else linked for n in range(len(operations))]
    return outcomes


def _savepoint(book: Book, operations: Sequence[Operation]) -> Callable[[], None]:
    """Remember what a chain may change; the returned act puts it back."""
    ids, hold_ids, _ = touched(operations)
    ids |= {book.holds[h].account_id for h in hold_ids if h in book.holds}
    figures = {
        i: (a.posted, a.held, a.beyond_fen, a.seq, a.last_at)
        for i in ids
        if (a := book.accounts.get(i))
    }
    changed = {i for i in ids if i in book.changed_accounts}
    holds = {h: book.holds.get(h) for h in hold_ids}
    marks = len(book.new_entries), len(book.new_transfers)
    new_holds, changed_holds = dict(book.new_holds), dict(book.changed_holds)

    def undo() -> None:
        for account_id, (posted, held, beyond, seq, last_at) in figures.items():
            account = book.accounts[account_id]
            account.posted, account.held, account.beyond_fen = posted, held, beyond
            account.seq, account.last_at = seq, last_at
            if account_id not in changed:
                book.changed_accounts.pop(account_id, None)
        del book.new_entries[marks[0] :]
        for transfer in book.new_transfers[marks[1] :]:
            del book.transfers[transfer.transfer_id]
        del book.new_transfers[marks[1] :]
        for hold_id, row in holds.items():
            if row is None:
                book.holds.pop(hold_id, None)
            else:
                book.holds[hold_id] = row
        book.new_holds, book.changed_holds = new_holds, changed_holds

    return undo


def _one(book: Book, op: Operation) -> Outcome:
    if isinstance(op, Reserve):
        return _reserve(book, op)
    if isinstance(op, Post):
        return _post(book, op)
    if isinstance(op, Void):
        return _void(book, op)
    if isinstance(op, Keep):
        return _keep(book, op)
    return _transfer(book, op)


def _reserve(book: Book, op: Reserve) -> Outcome:
    before = book.holds.get(op.hold_id)
    if before is not None:
        same = before.account_id == op.account and before.amount_fen == op.amount_fen
        return DONE_BEFORE if same else _taken("hold", op.hold_id)
    account = book.accounts.get(op.account)
    refusal = _unfit(account, op.account, op.currency, op.amount_fen)
    if refusal is not None or account is None:
        return refusal or _no_account(op.account)
    if _short(account, op.amount_fen):
        return _insufficient(account, op.amount_fen)
    hold = HoldRow(op.hold_id, op.account, op.amount_fen, HoldState.HELD, op.at, op.expires_at)
    book.holds[op.hold_id] = book.new_holds[op.hold_id] = hold
    _enter(book, account, op.at, op.hold_id, 0, op.amount_fen)
    return DONE


def _transfer(book: Book, op: Transfer) -> Outcome:
    row = TransferRow(
        op.transfer_id,
        op.debit,
        op.credit,
        op.amount_fen,
        op.currency,
        op.kind,
        op.at,
        book.period(op.at),
        op.subject,
        None,
    )
    return _move(book, row, release=0, held_account=None, forced=op.forced)


def _move(
    book: Book,
    row: TransferRow,
    *,
    release: int,
    held_account: UUID | None,
    forced: bool = False,
) -> Outcome:
    """Write a transfer: both entries, or a refusal and nothing. ``release`` leaves the hold of
    ``held_account`` in the same entry."""
    before = book.transfers.get(row.transfer_id)
    if before is not None:
        same = (before.debit, before.credit, before.amount_fen, before.currency) == (
            row.debit,
            row.credit,
            row.amount_fen,
            row.currency,
        )
        return DONE_BEFORE if same else _taken("transfer", row.transfer_id)
    if row.period in book.closed_periods:
        return Refusal(
            "ledger.period_closed",
            f"The accounting period {row.period} is closed.",
            "Book it into an open period, or have the period reopened.",
        )
    debit, credit = book.accounts.get(row.debit), book.accounts.get(row.credit)
    refusal = _unfit(debit, row.debit, row.currency, row.amount_fen) or _unfit(
        credit, row.credit, row.currency, row.amount_fen
    )
    if refusal is not None or debit is None or credit is None:
        return refusal or _no_account(row.debit)
    if debit is credit:
        return Refusal(
            "ledger.same_account",
            f"Account {debit.code} stands on both sides.",
            "A transfer needs two different accounts.",
        )
    for account, change in ((debit, debit.side), (credit, -credit.side)):
        falls = change < 0
        freed = release if account.account_id == held_account else 0
        if falls and _short(account, row.amount_fen - freed):
            if not forced:
                return _insufficient(account, row.amount_fen)
            account.beyond_fen = _excess(account, account.available - row.amount_fen)
    book.transfers[row.transfer_id] = row
    book.new_transfers.append(row)
    for account, signed in ((debit, row.amount_fen), (credit, -row.amount_fen)):
        freed = release if account.account_id == held_account else 0
        _enter(book, account, row.at, row.transfer_id, signed, -freed)
    return DONE


def _post(book: Book, op: Post) -> Outcome:
    hold = book.holds.get(op.hold_id)
    if hold is None:
        return _no_hold(op.hold_id)
    amount = hold.amount_fen if op.amount_fen is None else op.amount_fen
    if hold.state is HoldState.POSTED:
        same = hold.posted_fen == amount and hold.transfer_id == op.transfer_id
        return DONE_BEFORE if same else _hold_over(hold)
    if hold.state is not HoldState.HELD:
        return _hold_over(hold)
    if _expired(hold, op.at):
        return _hold_expired(hold)
    if not 0 < amount <= hold.amount_fen:
        return Refusal(
            "ledger.post_exceeds_hold",
            f"{yuan(amount)} cannot be posted from a hold of {yuan(hold.amount_fen)}.",
            "Post the whole hold, or a part of it above zero.",
        )
    held = book.accounts.get(hold.account_id)
    if held is None:
        return _no_account(hold.account_id)
    debit, credit = (
        (op.counter, held.account_id) if held.side > 0 else (held.account_id, op.counter)
    )
    row = TransferRow(
        op.transfer_id,
        debit,
        credit,
        amount,
        held.currency,
        op.kind,
        op.at,
        book.period(op.at),
        op.subject,
        hold.hold_id,
    )
    outcome = _move(book, row, release=hold.amount_fen, held_account=held.account_id)
    if outcome is DONE:
        _close_hold(book, hold, HoldState.POSTED, op.at, amount, op.transfer_id)
    return outcome


def _void(book: Book, op: Void) -> Outcome:
    hold = book.holds.get(op.hold_id)
    if hold is None:
        return _no_hold(op.hold_id)
    if hold.state in (HoldState.VOIDED, HoldState.EXPIRED):
        return DONE_BEFORE
    if hold.state is HoldState.POSTED:
        return _hold_over(hold)
    account = book.accounts.get(hold.account_id)
    if account is None:
        return _no_account(hold.account_id)
    _enter(book, account, op.at, op.hold_id, 0, -hold.amount_fen)
    state = HoldState.EXPIRED if op.expired else HoldState.VOIDED
    _close_hold(book, hold, state, op.at, 0, None)
    return DONE


def _keep(book: Book, op: Keep) -> Outcome:
    hold = book.holds.get(op.hold_id)
    if hold is None:
        return _no_hold(op.hold_id)
    if hold.state is not HoldState.HELD:
        return _hold_over(hold)
    if hold.expires_at is None:
        return DONE_BEFORE
    if _expired(hold, op.at):
        return _hold_expired(hold)
    _put_hold(book, msgspec.structs.replace(hold, expires_at=None))
    return DONE


def _expired(hold: HoldRow, at: datetime) -> bool:
    return hold.expires_at is not None and at >= hold.expires_at


def _close_hold(
    book: Book, hold: HoldRow, state: HoldState, at: datetime, posted: int, transfer: UUID | None
) -> None:
    _put_hold(
        book,
        msgspec.structs.replace(
            hold, state=state, posted_fen=posted, transfer_id=transfer, closed_at=at
        ),
    )


def _put_hold(book: Book, hold: HoldRow) -> None:
    book.holds[hold.hold_id] = hold
    pending = book.new_holds if hold.hold_id in book.new_holds else book.changed_holds
    pending[hold.hold_id] = hold


def _enter(
    book: Book, account: AccountState, at: datetime, cause: UUID, signed: int, held: int
) -> None:
    """One entry. Its time never runs behind the account's last one, so that time order and entry
    order are the same and one probe finds the balance as of any moment."""
    if account.last_at is not None and at < account.last_at:
        at = account.last_at
    account.posted += signed * account.side
    account.held += held
    account.seq += 1
    account.last_at = at
    if account.beyond_fen:
        account.beyond_fen = min(account.beyond_fen, _excess(account, account.available))
    book.changed_accounts[account.account_id] = account
    book.new_entries.append(
        EntryRow(
            account.account_id,
            at,
            account.seq,
            cause,
            signed,
            held,
            account.posted,
            account.held,
            account.currency,
        )
    )


def _short(account: AccountState, amount_fen: int) -> bool:
    limit = account.overdraft_fen
    return limit is not None and amount_fen > 0 and account.available - amount_fen < -limit


def _excess(account: AccountState, available: int) -> int:
    """How far this would be below the authorised overdraft."""
    return max(0, -available - (account.overdraft_fen or 0))


def _unfit(
    account: AccountState | None, account_id: UUID, currency: str, amount_fen: int
) -> Refusal | None:
    if account is None:
        return _no_account(account_id)
    if account.currency != currency:
        return Refusal(
            "ledger.other_currency",
            f"Account {account.code} is kept in {account.currency}, not {currency}.",
            "Name an account of the same currency.",
        )
    if amount_fen <= 0:
        return Refusal(
            "ledger.not_positive",
            f"{yuan(amount_fen)} is not above zero.",
            "Swap the sides instead of using a negative amount.",
        )
    return None


def _no_account(account_id: UUID) -> Refusal:
    return Refusal(
        "ledger.no_such_account",
        f"There is no ledger account {account_id}.",
        "List the accounts and name one of them.",
    )


def _no_hold(hold_id: UUID) -> Refusal:
    return Refusal(
        "ledger.no_such_hold",
        f"There is no hold {hold_id}.",
        "Reserve first; a hold is named by its payment.",
    )


def _hold_over(hold: HoldRow) -> Refusal:
    return Refusal(
        "ledger.hold_over",
        f"The hold {hold.hold_id} of {yuan(hold.amount_fen)} is {hold.state.value} already.",
        "Read the hold; a hold ends once.",
    )


def _hold_expired(hold: HoldRow) -> Refusal:
    return Refusal(
        "ledger.hold_expired",
        f"The hold {hold.hold_id} expired at {hold.expires_at}.",
        "Reserve anew.",
    )


def _taken(what: str, taken_id: UUID) -> Refusal:
    return Refusal(
        f"ledger.{what}_id_taken",
        f"The {what} id {taken_id} stands for another content.",
        "Use a new id for a new operation.",
    )


def _insufficient(account: AccountState, amount_fen: int) -> Refusal:
    overdraft = account.overdraft_fen or 0
    beyond = f" (overdraft {yuan(overdraft)})" if overdraft else ""
    return Refusal(
        "ledger.insufficient",
        f"Account {account.code} has {yuan(account.available)} {account.currency} available"
        f"{beyond}; {yuan(amount_fen)} {account.currency} is needed.",
        "Fund the account, pay from another one, or lower the amount.",
    )
