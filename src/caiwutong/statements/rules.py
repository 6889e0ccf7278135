"""Pure decisions about statements: what a line says by itself, whether the bank's chain of balances
holds, which entry of ours follows, and when to look or read again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from caiwutong.bank_accounts.model import BankAccount
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.ids import derived
from caiwutong.ledger.model import Transfer
from caiwutong.rails.contract import StatementLine
from caiwutong.statements.model import Explained

READ_FIRST = ("bank_direct", "ibps")
"""Where several connected rails reach an account, its own bank's word comes first."""

READ_EVERY = timedelta(minutes=1)
READ_EVERY_REAL_S = 2.0
LATEST_RETRY = timedelta(hours=1)
"""After failures the pause doubles from the first to the second."""

LOOK_AGAIN = timedelta(seconds=20)
LATEST_LOOK = timedelta(hours=1)
LOOK_AGAIN_REAL_S = 1.0
"""A line whose payment is still at the rail is looked at again, with doubling pauses."""

_CORRECTION_WORDS = ("冲正", "冲销", "抹账")


def rail_for(access_modes: Sequence[str], connected: Sequence[str]) -> str | None:
    """The rail over which an account is read, or None when no connected rail reaches it."""
    usable = [rail for rail in connected if rail in access_modes]
    order = {rail: place for place, rail in enumerate(READ_FIRST)}
    return min(usable, key=lambda rail: (order.get(rail, len(order)), rail), default=None)


def without_account(line: StatementLine, account: str) -> StatementLine:
    """The line with our own account number taken out of its id, where banks like to put it: ids
    stand in clear in rows, events and addresses. ``@`` stands for it."""
    return msgspec.structs.replace(line, line_id=kept_id(line.line_id, account))


def kept_id(line_id: str, account: str) -> str:
    """The id of a line as it is kept, without our account's number."""
    return line_id.replace(account, "@")


def banks_line_id(line_id: str, account: str) -> str:
    """The id as the bank wrote it: to ask for the line's receipt (电子回单)."""
    return line_id.replace("@", account)


def is_history(line: StatementLine, began_at: datetime) -> bool:
    """Whether the bank booked the line before our books of this account began. Banks write whole
    seconds, so a line of that very second is ours to explain."""
    return line.booked_at < began_at.replace(microsecond=0)


def gap_fen(before_fen: int | None, line: StatementLine) -> int:
    """What is missing in the bank's chain at this line; nothing is known before the first one."""
    return 0 if before_fen is None else line.balance_after_fen - before_fen - line.amount_fen


def says(line: StatementLine) -> Explained | None:
    """What a line means without knowing our payments: fee, interest, a correction of something the
    bank took, or suspense. None: it names a reference, so payments must be asked first."""
    if line.amount_fen == 0:
        return Explained.INCOMING
    if line.kind == "fee":
        return Explained.FEE
    if line.kind == "interest":
        return Explained.INTEREST
    if line.reference:
        return None
    if line.kind == "other" and any(word in line.words for word in _CORRECTION_WORDS):
        return Explained.CORRECTION
    return Explained.SUSPENSE


def line_transfer(bank_account_id: UUID, line_id: str) -> UUID:
    """The transfer that books a line by itself: the same however often the line is read."""
    return derived(bank_account_id, f"line/{line_id}")


def booking(
    account: BankAccount,
    other: UUID,
    amount_fen: int,
    *,
    transfer_id: UUID,
    kind: str,
    at: datetime,
    subject: UUID | None = None,
) -> Transfer:
    """The entry of a line against another account. The bank has done it already, so it is forced:
    recording it is not ours to refuse."""
    own = account.ledger_account_id
    debit, credit = (own, other) if amount_fen > 0 else (other, own)
    return Transfer(
        transfer_id=transfer_id,
        debit=debit,
        credit=credit,
        amount_fen=abs(amount_fen),
        currency=account.currency,
        at=at,
        kind=kind,
        subject=subject or account.bank_account_id,
        forced=True,
    )


def at_least(pause: timedelta, real_s: float, clock: Clock) -> timedelta:
    """A pause of business time that is no shorter than this many real seconds, however fast the
    business clock runs: nobody is asked without pause."""
    pace = clock.real_seconds(1.0)
    return max(pause, timedelta(seconds=real_s / pace)) if pace > 0 else pause


def next_look(now: datetime, tries: int, clock: Clock) -> datetime:
    """When to look again at a line whose payment has not ended."""
    pause = min(LOOK_AGAIN * 2 ** min(tries, 10), LATEST_LOOK)
    return now + at_least(pause, LOOK_AGAIN_REAL_S, clock)


def next_read(now: datetime, failures: int, every: timedelta = READ_EVERY) -> datetime:
    """When to read an account again after so many failures in a row."""
    return now + max(every, min(every * 2 ** min(failures, 10), LATEST_RETRY))
