"""The hub's direct rail facing the sandbox, for stories about one style."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from msgspec.structs import replace
from tests.sandbox.conftest import Stage, stage

from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.ids import reference
from caiwutong.rails.bank_direct.connector import BankDirectRail
from caiwutong.rails.bank_direct.styles.catalog import read_connections
from caiwutong.rails.contract import (
    NOT_FOUND,
    AccountAtBank,
    Attempt,
    RailReport,
    ReportKind,
)
from caiwutong.sandbox.direct import DirectBank
from caiwutong.sandbox.faults import FaultKind, Plan, Rule
from caiwutong.sandbox.judge import ExecutionFact

OPEN = (ReportKind.ACCEPTED, ReportKind.IN_DOUBT)


class DirectDesk:
    """One payer of the group at a bank of one style, and the rail that serves him."""

    def __init__(self, s: Stage, rail: BankDirectRail, style: str) -> None:
        self.stage, self.rail, self.clock = s, rail, s.clock
        own = next(
            each
            for each in s.world.accounts
            if "bank_direct" in each.access_modes and s.world.bank(each.bank_code).style == style
        )
        self.payer = AccountAtBank(own.name, own.account, own.bank_code, own.bank_name)
        self.opening_fen = own.opening_fen
        self.bank: DirectBank = s.sandbox.direct[own.bank_code]
        self._numbers = itertools.count(1)

    def payee(self, condition: str = "ok", *, inside: bool = False) -> AccountAtBank:
        found = next(
            each
            for each in self.stage.world.payees
            if each.condition == condition and (each.bank_code == self.payer.bank_code) == inside
        )
        return AccountAtBank(found.name, found.account, found.bank_code, found.bank_name)

    def attempt(self, amount_fen: int = 100_00, payee: AccountAtBank | None = None) -> Attempt:
        at = self.clock.now()
        number = UUID(int=(0xD1EC7 << 80) | (7 << 76) | (1 << 63) | next(self._numbers))
        return Attempt(
            tenant="demo",
            payment_id=number,
            attempt_id=number,
            rail="bank_direct",
            reference=reference(at, number),
            payer=self.payer,
            payee=payee or self.payee(),
            amount_fen=amount_fen,
            created_at=at,
            valid_until=self.rail.valid_until(at),
            purpose="货款",
        )

    async def pay(self, *attempts: Attempt) -> list[RailReport]:
        """Send these together; what was said at once."""
        found: list[RailReport] = []
        for message in self.rail.encode_many(attempts):
            found += self.rail.decode(await self.rail.send(message))
        return found

    async def ask(self, attempt: Attempt) -> RailReport:
        (report,) = await self.rail.enquire([attempt])
        assert report.reference == attempt.reference
        return report

    async def work(self, seconds: float = 3.0) -> None:
        """Let business time pass at the banks and the centre, in steps they can follow."""
        network = self.stage.sandbox.network
        for part in (1.0, 1.0, 1.0, seconds - 3.0):
            self.clock.advance(max(part, 0.0))
            network.timers.advance()
        network.net()
        network.timers.advance()
        await asyncio.sleep(0)

    async def end_of(self, attempt: Attempt, rounds: int = 12) -> RailReport:
        """What the bank says in the end, or after so many rounds of three seconds."""
        report = await self.ask(attempt)
        for _ in range(rounds):
            if report.kind not in OPEN or report.code == NOT_FOUND:
                break
            await self.work()
            report = await self.ask(attempt)
        return report

    def debits(self, attempt: Attempt) -> list[int]:
        """What left the payer's account for this payment and stayed away, by the bank's books."""
        lines = self.bank.book.lines(self.payer.account, 0, 10_000)
        ours = [line for line in lines if line.reference == attempt.reference]
        out = [-line.amount_fen for line in ours if line.kind == "payment"]
        for correction in (line.amount_fen for line in ours if line.kind == "other"):
            out.remove(correction)
        return out

    def balance_fen(self) -> int:
        account = self.bank.book.account(self.payer.account)
        assert account is not None
        return account.balance_fen

    def executions(self) -> list[ExecutionFact]:
        """The bank's executions as the judge wants them."""
        facts = self.stage.sandbox.admin.handle(
            "GET",
            "/admin/books/executions",
            {},
            (self.stage.hub.folder / "admin.token").read_text().strip(),
            b"",
        )
        return [each for each in facts["executions"] if each.bank == self.bank.code]

    def trouble(self, *kinds: FaultKind, delay_s: float = 0.0) -> None:
        """Let this happen to each message once from now on; nothing when empty."""
        rules = tuple(Rule(kind=kind, delay_s=delay_s) for kind in kinds)
        self.stage.sandbox.network.faults.put(Plan(1, "story", rules))


@asynccontextmanager
async def direct_desk(
    folder: Path, style: str, *rules: Rule, clock: ManualClock | None = None
) -> AsyncIterator[DirectDesk]:
    """The sandbox on this folder and a payer at its bank of this style."""
    async with stage(folder, *rules, clock=clock) as s:
        rail = BankDirectRail(
            read_connections(s.hub.connections["bank_direct"]),
            clock=s.clock,
            randomness=SystemRandomness(),
        )
        try:
            yield DirectDesk(s, rail, style)
        finally:
            await rail.close()


def changed(attempt: Attempt, **fields: object) -> Attempt:
    """The same attempt with other fields."""
    return replace(attempt, **fields)
