"""The rail itself: all our banks at once behind the common contract.

Owns: which connection serves which account, and the tag that keeps bytes and keys together. What
leaves ``encode_many`` and ``send`` begins with ``@name`` and a line feed: the name of the
connection. A bank's own post to ``/callbacks/bank_direct/{name}`` is tagged the same way
(``tag``), so ``decode`` always knows whose keys to use. The tag never reaches a bank.
Read next: ``contract.py`` (what a connection can do), ``styles/catalog.py`` (which styles exist).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import TypeVar

import msgspec

from caiwutong.kernel.clock import Clock, Randomness
from caiwutong.kernel.errors import CaiwutongError, Refused
from caiwutong.kernel.money import CNY
from caiwutong.kernel.order import Direction
from caiwutong.rails.bank_direct.contract import (
    NAME,
    Connection,
    Connector,
    Receipt,
    Style,
    Tools,
)
from caiwutong.rails.bank_direct.styles.catalog import STYLES, style_of
from caiwutong.rails.bank_direct.words import bad, doubt
from caiwutong.rails.contract import (
    AccountAtBank,
    Attempt,
    BadMessage,
    BankBalance,
    NotSent,
    RailMessage,
    RailReport,
    StatementLine,
    StatementPage,
)

_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")
_TAGGED = re.compile(rb"@([A-Za-z0-9._-]{1,32})\n")

T = TypeVar("T")


class BankDirectRail:
    """Our own banks, each over its own connection; the payer's account chooses. Needs a running
    event loop for anything that sends; ``close`` it when done."""

    name = NAME

    def __init__(
        self,
        connections: Sequence[Connection],
        *,
        clock: Clock,
        randomness: Randomness,
        least_real_timeout_s: float = 1.0,
        styles: Mapping[str, Style] = STYLES,
    ) -> None:
        self._clock = clock
        self._connectors: dict[str, Connector] = {}
        self._by_account: dict[str, str] = {}
        tools = Tools(clock, randomness, least_real_timeout_s)
        for each in connections:
            _check(each, self._connectors, self._by_account)
            self._connectors[each.name] = style_of(each, styles).open(each, tools)
            self._by_account |= dict.fromkeys(each.accounts, each.name)
        self._codes = sorted(
            ((code, each.name) for each in connections for code in each.bank_codes),
            key=lambda pair: len(pair[0]),
            reverse=True,
        )

    async def close(self) -> None:
        """Close the lines to the banks. The rail may be used again afterwards."""
        for connector in self._connectors.values():
            await connector.close()

    # ---- which connection

    def serves(self, account: AccountAtBank) -> bool:
        """Whether one of our connections reaches this account's bank."""
        return self._find(account) is not None

    def connection_of(self, account: AccountAtBank) -> str:
        """The name of the connection that serves this account. Raises Refused where none does."""
        name = self._find(account)
        if name is None:
            raise Refused(
                "bank_direct.no_connection",
                f"No direct connection serves the bank {account.bank_code[:12] or '(none)'}.",
                "Add a connection for this bank, or choose another channel.",
            )
        return name

    def connector(self, name: str) -> Connector:
        """The connection of this name, for what only its style can do. Raises KeyError."""
        return self._connectors[name]

    def tag(self, connection: str, raw: bytes) -> bytes:
        """What this connection's bank posted, as ``decode`` and ``acknowledge`` want it. Raises
        BadMessage where there is no such connection."""
        if connection not in self._connectors:
            raise bad("unknown_connection", "There is no connection of this name here.")
        return _tagged(connection, raw)

    # ---- paying

    def valid_until(self, at: datetime) -> datetime:
        """The latest any of our banks may accept a message created now: only then is an unknown
        reference a definite no, whichever bank has it."""
        return max((each.valid_until(at) for each in self._connectors.values()), default=at)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """The messages of each connection, in the order in which the connections first appear.
        Raises Refused where no connection serves the payer, a field does not fit, or it is not a
        payment in CNY out of our account; then nothing is encoded."""
        for attempt in attempts:
            _check_kind(attempt)
        messages: list[RailMessage] = []
        for name, group in self._grouped(attempts, lambda each: each.payer).items():
            messages += [
                msgspec.structs.replace(message, body=_tagged(name, message.body))
                for message in self._connectors[name].encode_many([attempts[n] for n in group])
            ]
        return messages

    async def send(self, message: RailMessage) -> bytes:
        """Carry the message over its connection; what came back, tagged with it."""
        name, body = _untagged(message.body)
        connector = self._connectors.get(name)
        if connector is None:
            raise NotSent(
                "bank_direct.no_connection",
                f"There is no connection {name or '(none)'} any more.",
                "Restore the connection; nothing was sent.",
            )
        answer = await connector.send(msgspec.structs.replace(message, body=body))
        return _tagged(name, answer)

    def decode(self, raw: bytes) -> list[RailReport]:
        """The reports in an answer (as ``send`` returned it) or in a notice (as ``tag`` made it).

        Bytes without a tag are a notice that came to the address all banks share, which stays for
        one release: the connection whose keys fit reads it."""
        connector, body = self._reader(raw)
        return connector.decode(body)

    def acknowledge(self, raw: bytes) -> bytes:
        """The body of our answer to a notice that was taken in."""
        connector, body = self._reader(raw)
        return connector.acknowledge(body)

    # ---- asking

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        """What each bank says of each reference, in order. Never raises for a silent bank, nor for
        a connection that is gone."""
        found: dict[int, RailReport] = {}
        served: list[int] = []
        for number, attempt in enumerate(attempts):
            try:
                self.connection_of(attempt.payer)
                served.append(number)
            except Refused as error:
                now = self._clock.now()
                found[number] = doubt(attempt.reference, error.code, now, error.detail)
        rest = [attempts[number] for number in served]
        groups = self._grouped(rest, lambda each: each.payer)
        answers = await asyncio.gather(
            *(self._enquire(name, [rest[at] for at in group]) for name, group in groups.items())
        )
        for group, reports in zip(groups.values(), answers, strict=True):
            found |= {served[at]: report for at, report in zip(group, reports, strict=True)}
        return [found[number] for number in range(len(attempts))]

    async def _enquire(self, name: str, attempts: Sequence[Attempt]) -> list[RailReport]:
        """One bank's reports. What goes wrong at one bank says nothing of the others."""
        try:
            return await self._connectors[name].enquire(attempts)
        except CaiwutongError as error:
            now = self._clock.now()
            return [doubt(each.reference, error.code, now, error.detail) for each in attempts]

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        """What the payer's bank makes of it; REJECTED as ``unsupported`` where it has no such
        message."""
        return await self._serving(attempt.payer).revoke(attempt)

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        """What the payer's bank makes of it; REJECTED as ``unsupported`` where it has no such
        message."""
        return await self._serving(attempt.payer).request_return(attempt, reason)

    # ---- accounts

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        """What the banks say stands on these accounts; one the bank refuses is left out."""
        groups = self._grouped(accounts, lambda each: each)
        found = await asyncio.gather(
            *(
                self._connectors[name].balances([accounts[n] for n in group])
                for name, group in groups.items()
            )
        )
        return [balance for part in found for balance in part]

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        """The lines after ``cursor``; from as far back as the bank goes where it is empty."""
        return await self._serving(account).statement(account, cursor)

    async def receipts(
        self, account: AccountAtBank, lines: Sequence[StatementLine]
    ) -> list[Receipt]:
        """The bank's electronic receipts (电子回单) of these statement lines; a line without one
        yet is left out."""
        return await self._serving(account).receipts(account, lines)

    async def returned_payments(
        self, account: AccountAtBank, first: date, last: date
    ) -> list[RailReport]:
        """The payments out of this account that came back (退票) on these China days, both
        counted."""
        return await self._serving(account).returned_payments(account, first, last)

    # ---- connections

    def _find(self, account: AccountAtBank) -> str | None:
        if account.account in self._by_account:
            return self._by_account[account.account]
        return next(
            (name for code, name in self._codes if account.bank_code.startswith(code)), None
        )

    def _serving(self, account: AccountAtBank) -> Connector:
        return self._connectors[self.connection_of(account)]

    def _grouped(
        self, items: Sequence[T], account: Callable[[T], AccountAtBank]
    ) -> dict[str, list[int]]:
        """The positions of the items each connection serves."""
        groups: dict[str, list[int]] = {}
        for number, item in enumerate(items):
            groups.setdefault(self.connection_of(account(item)), []).append(number)
        return groups

    def _reader(self, raw: bytes) -> tuple[Connector, bytes]:
        """Whose bytes these are, and the bytes."""
        name, body = _untagged(raw)
        if name:
            if name not in self._connectors:
                raise bad("unknown_connection", "There is no connection of this name here.")
            return self._connectors[name], body
        refused = bad("unknown_connection", "No connection is open.")
        for connector in self._connectors.values():
            try:
                connector.decode(body)
            except BadMessage as error:
                refused = error
            else:
                return connector, body
        raise refused


def _check(
    connection: Connection, taken: Mapping[str, object], accounts: Mapping[str, str]
) -> None:
    """Raise Refused for an entry that cannot be opened beside the others."""
    if connection.name in taken:
        raise Refused(
            "bank_direct.name_twice",
            f"Two connections have the name {connection.name[:32]}.",
            "Give each connection its own name: bytes are told apart by it.",
        )
    if _NAME.fullmatch(connection.name) is None:
        raise Refused(
            "bank_direct.bad_name",
            f"{connection.name[:40]!r} is not a name for a connection.",
            "Write 1 to 32 of the characters A-Z a-z 0-9 . _ -",
        )
    for account in connection.accounts:
        if account in accounts:
            raise Refused(
                "bank_direct.account_twice",
                f"The account …{account[-4:]} stands in {accounts[account]} and {connection.name}.",
                "Name an account in the entry of the one connection that pays out of it.",
            )
    if not all(3 <= len(code) <= 12 and code.isdigit() for code in connection.bank_codes):
        raise Refused(
            "bank_direct.bank_codes",
            "A connection serves bank codes of 3 to 12 digits.",
            "Write the first digits of the bank's 联行号, for example 308.",
        )


def _check_kind(attempt: Attempt) -> None:
    """Raise Refused for what no message of these banks can mean."""
    if attempt.direction is not Direction.PUSH or attempt.currency != CNY:
        raise Refused(
            "bank_direct.not_a_cny_payment",
            f"A {attempt.direction.value} in {attempt.currency[:3]} does not travel over a bank's"
            " direct interface.",
            "Choose a channel that carries it.",
        )


def _tagged(name: str, raw: bytes) -> bytes:
    return b"@%b\n%b" % (name.encode(), raw)


def _untagged(raw: bytes) -> tuple[str, bytes]:
    """The connection's name, empty where there is no tag, and what follows it."""
    match = _TAGGED.match(raw)
    return (match[1].decode(), raw[match.end() :]) if match else ("", raw)
