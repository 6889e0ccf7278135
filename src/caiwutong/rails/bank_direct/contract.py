"""What one bank connection must be able to do, whatever its wire format: the ``Connector``.

A connector is ``rails.contract.Rail`` for one connection to one bank, and a little more: receipts
and returned payments. The composite (``connector.py``) chooses it by the payer's account and hands
it only its own bytes. Styles import this file; it knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Protocol

import msgspec

from caiwutong.kernel.clock import Clock, Randomness
from caiwutong.rails.contract import (
    AccountAtBank,
    Attempt,
    BankBalance,
    RailMessage,
    RailReport,
    StatementLine,
    StatementPage,
)

NAME = "bank_direct"

UNSUPPORTED = "unsupported"
"""Report code: the bank's interface has no message for what was asked."""
UNREADABLE = "unreadable"
"""Report code: an answer came that is not a well-formed, well-signed message."""


class Connection(msgspec.Struct, frozen=True, kw_only=True, tag_field="style"):
    """What the operator enters for one bank, in ``connections.json``, whatever the style. A style
    adds its fields in a subclass with ``tag="its name"``: the ``style`` of the entry."""

    name: str
    """What this connection is called here: 1 to 32 of ``A-Z a-z 0-9 . _ -``, different for each.
    Its notices come to ``/callbacks/bank_direct/{name}``."""
    url: str
    """Where requests are posted."""
    bank_codes: tuple[str, ...]
    """The bank's 联行号 or their beginnings, 3 to 12 digits: ``308`` is every branch of CMB, a city
    bank needs more digits because 313 is shared. The longest match serves an account, the entry
    that stands first among equals."""
    accounts: tuple[str, ...] = ()
    """Accounts that this connection serves before any other, where one bank has several."""
    timeout_s: float = 30.0
    """Business seconds to wait for an answer."""

    def __repr__(self) -> str:
        # Keys are fields of the styles: they never stand in a log.
        return f"{type(self).__name__}({self.name} at {self.url}, {'/'.join(self.bank_codes)})"


class Tools(msgspec.Struct, frozen=True):
    """What every connector is given beside its connection."""

    clock: Clock
    randomness: Randomness
    least_real_timeout_s: float = 1.0
    """However fast the clock runs, the wire is given so many real seconds."""


class Receipt(msgspec.Struct, frozen=True):
    """An electronic receipt (电子回单): the file, and the code anyone can check it with."""

    account: str
    line_id: str
    """The statement line it proves."""
    document: bytes
    media_type: str = "application/pdf"
    check_code: str = ""
    """验证码: with it anyone can check the receipt at the bank."""
    receipt_id: str = ""


class Connector(Protocol):
    """One connection to one bank. Everything a ``Rail`` promises holds for each method here."""

    def valid_until(self, at: datetime) -> datetime:
        """Until when this bank may accept a message created at this business time."""
        ...

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """Signed messages carrying these attempts, in order; one message may carry many. Raises
        Refused, and encodes nothing, where one of them does not fit this bank. May run in a thread
        of its own. The same attempt again is the same payment to the bank, however it is
        grouped."""
        ...

    async def send(self, message: RailMessage) -> bytes:
        """Carry the message; what came back, in whatever form ``decode`` wants it. Raises NotSent
        or SentInDoubt."""
        ...

    def decode(self, raw: bytes) -> list[RailReport]:
        """The reports in what ``send`` gave back or in a notice the bank posted. Raises
        BadMessage, and nothing else, for anything not well formed and well signed."""
        ...

    def acknowledge(self, raw: bytes) -> bytes:
        """The body of our answer to a notice that was taken in."""
        ...

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        """One report each, in order; silence is IN_DOUBT. Never raises for a silent bank."""
        ...

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        """撤销, or REJECTED as ``unsupported`` (``words.unsupported``)."""
        ...

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        """申请退回, or REJECTED as ``unsupported``."""
        ...

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        """Balances now; an account the bank refuses is left out. Raises Unavailable."""
        ...

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        """The lines after ``cursor``, as ``Rail.statement``. Raises Unavailable; Refused for a
        cursor this connector did not give out."""
        ...

    async def receipts(
        self, account: AccountAtBank, lines: Sequence[StatementLine]
    ) -> list[Receipt]:
        """The bank's electronic receipts of these lines of the account; a line without one yet is
        left out. Raises Unavailable."""
        ...

    async def returned_payments(
        self, account: AccountAtBank, first: date, last: date
    ) -> list[RailReport]:
        """A RETURNED report for each payment out of this account that came back (退票) on these
        China days, both counted. Raises Unavailable."""
        ...

    async def close(self) -> None:
        """Let go of lines and sessions. The connector may be used again afterwards."""
        ...


class Style(msgspec.Struct, frozen=True):
    """One line of the catalog: the shape of an entry in ``connections.json``, and what it opens."""

    connection: type[Connection]
    open: Callable[[Any, Tools], Connector]
