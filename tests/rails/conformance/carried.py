"""bank_file before its examiner: a person carries each file to the sandbox's web page and back.

The connector itself sends nothing and knows nothing of what became of a file; ``Carried`` is that
person's hand, over the very codec and files the house uses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from pathlib import Path

from tests.rails.conformance.sandboxed import Factory, SandboxSubject, write_world
from tests.rails.conformance.subject import Subject, Trait
from tests.sandbox.conftest import Stage, stage

from caiwutong.kernel.clock import SystemRandomness
from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_file.connector import BankFileRail
from caiwutong.rails.bank_file.statement import decode_statement
from caiwutong.rails.bank_file.tables import rows_of
from caiwutong.rails.contract import (
    NOT_FOUND,
    AccountAtBank,
    Attempt,
    BankBalance,
    RailMessage,
    RailReport,
    ReportKind,
    StatementPage,
)
from caiwutong.wiring import close_rail, open_rails

LACKS = {
    Trait.NOTICES: "a web page tells nothing of itself",
    Trait.TROUBLE: "there is no line that could break: a person carries the file",
    Trait.SIGNATURE: "files of a web page are not signed; its session is the bank's",
    Trait.RETURNS: "returns stand in the statement, see tests/bank_files",
    Trait.RECEIPTS: "receipts are printed from the bank's page",
    Trait.RETURNED_PAYMENTS: "the page has no such list",
    Trait.BALANCES: "the statement's last balance is all there is",
}


class Carried:
    """The connector and the person who carries its files."""

    def __init__(self, rail: BankFileRail, s: Stage, bank: str) -> None:
        self.name = rail.name
        self._rail = rail
        self._page = s.sandbox.web[bank]
        self._clock = s.clock

    def valid_until(self, at: datetime) -> datetime:
        return self._rail.valid_until(at)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        return self._rail.encode_many(attempts)

    async def send(self, message: RailMessage) -> bytes:
        done = self._page.upload("batch.csv", message.body)
        return self._page.result(done["batch"])[1]

    def decode(self, raw: bytes) -> list[RailReport]:
        return self._rail.decode(raw)

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        """What the results say now; of rows uploaded twice, what is no duplicate."""
        said: dict[str, RailReport] = {}
        for batch in self._page.batches():
            for report in self.decode(self._page.result(batch["batch"])[1]):
                known = said.get(report.reference)
                if known is None or known.kind is ReportKind.IN_DOUBT:
                    said[report.reference] = report
        return [said.get(each.reference) or self._never(each) for each in attempts]

    def _never(self, attempt: Attempt) -> RailReport:
        return RailReport(
            ReportKind.IN_DOUBT, self.name, attempt.reference, NOT_FOUND, self._clock.now()
        )

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        return await self._rail.revoke(attempt)

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        return await self._rail.request_return(attempt, reason)

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        return await self._rail.balances(accounts)

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        _, raw = self._page.statement(account.account, date(2000, 1, 1), date(2099, 12, 31))
        template = self._page.template
        columns = {c.value: titles for c, titles in template.statement.columns.items()}
        lines = decode_statement(template, rows_of(raw, columns), account.account)
        ids = [line.line_id for line in lines]
        if cursor and cursor not in ids:
            raise Refused("test.cursor", "No line has this number.", "Begin anew.")
        fresh = lines[ids.index(cursor) + 1 :] if cursor else lines
        return StatementPage(tuple(fresh), fresh[-1].line_id if fresh else cursor, more=False)


def carried() -> Factory:
    """The subject that pays through the sandbox's web page."""

    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Subject]:
        write_world(folder)
        async with stage(folder) as s:
            rails = open_rails(folder / "connections.json", s.clock, SystemRandomness())
            payer = next(a for a in s.world.accounts if "bank_file" in a.access_modes)
            inner = rails["bank_file"]
            assert isinstance(inner, BankFileRail)
            try:
                yield SandboxSubject(s, Carried(inner, s, payer.bank_code), payer, LACKS)
            finally:
                for each in rails.values():
                    await close_rail(each)

    return opened
