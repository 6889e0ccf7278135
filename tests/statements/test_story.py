"""A story against the sandbox, over its own sockets: payments over IBPS and a direct bank, good,
refused, returned and inside the group, fees and strangers' money; the statements are read over both
rails, and in the end our books say what every bank's books say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.sandbox.conftest import Stage, stage
from tests.sandbox.test_with_the_rails import direct, ibps
from tests.statements.house import House, T

from caiwutong.bank_accounts.model import BankAccount
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.payments.states import TERMINAL, State
from caiwutong.sandbox.world import Payee
from caiwutong.statements.model import Explained

E = Explained


class Story:
    """A hub of ours facing the sandbox: enquiries instead of callbacks."""

    def __init__(self, s: Stage, house: House) -> None:
        self.s, self.house = s, house
        self.ours: dict[str, BankAccount] = {}
        self.payments: list[UUID] = []

    async def begin(self, ibps_accounts: int, direct_accounts: int) -> None:
        chosen = [
            *[a for a in self.s.world.accounts if "ibps" in a.access_modes][:ibps_accounts],
            *[a for a in self.s.world.accounts if "bank_direct" in a.access_modes][
                :direct_accounts
            ],
        ]
        self.s.clock.advance(60)
        for place, own in enumerate(chosen):
            self.ours[own.account] = await self.house.add_account(
                own.account, unit=place % 2, opening_fen=own.opening_fen, name=own.name,
                bank_code=own.bank_code, access_modes=own.access_modes,
                overdraft_fen=own.overdraft_fen,
            )  # fmt: skip
        self.s.clock.advance(1)

    def account(self, mode: str, place: int = 0) -> BankAccount:
        return [a for a in self.ours.values() if mode in a.access_modes][place]

    async def pay(self, payer: BankAccount, payee: Payee | BankAccount, fen: int) -> str:
        payment, ref = await self.house.pay(
            payer, payee.account, fen, name=payee.name, bank_code=payee.bank_code
        )
        self.payments.append(payment)
        return ref

    async def let_pass(self, rounds: int = 12) -> None:
        """Time goes by: the network nets, the direct banks work, we ask, read and match."""
        for _ in range(rounds):
            self.s.clock.advance(30)
            await asyncio.sleep(0.06)
            await self.s.hub.admin("POST", "net")
            await self.house.recovery.run_once(T)
            await self.house.reader.run_once(T)
            await self.house.evidence.run_once(T)

    async def states(self) -> list[State]:
        return [(await self.house.payment(p)).state for p in self.payments]


async def test_statements_over_both_rails_end_with_book_and_bank_in_agreement(
    tmp_path: Path, database: PostgresDatabase
) -> None:
    async with stage(tmp_path / "sandbox") as s:
        rails: dict[str, Any] = {"ibps": ibps(s), "bank_direct": direct(s)}
        house = House(database, s.clock, rails, postgres=True)
        story = Story(s, house)
        await story.begin(4, 3)
        i, d = story.account("ibps"), story.account("bank_direct")
        away = next(p for p in s.world.payees if p.condition == "ok" and p.bank_code != d.bank_code)
        good = await story.pay(i, s.payee(), 1_234_56)
        back = await story.pay(i, away, 2_000_00)
        refused = await story.pay(i, s.payee("frozen"), 55_00)
        over_direct = await story.pay(d, away, 88_00)
        refused_direct = await story.pay(d, s.payee("closed"), 12_00)
        inside = await story.pay(i, story.account("ibps", 1), 700_00)
        across = await story.pay(i, d, 900_00)
        home = await story.pay(d, story.account("ibps", 2), 60_00)
        await story.let_pass()
        S = State  # noqa: N806
        assert await story.states() == [
            S.COMPLETED, S.COMPLETED, S.REJECTED, S.COMPLETED, S.REJECTED, S.COMPLETED,
            S.COMPLETED, S.COMPLETED,
        ]  # fmt: skip
        await s.hub.admin("POST", "returns", {"reference": back})
        await s.hub.admin("POST", "incoming", {"payee_account": i.account, "amount_fen": 321_00})
        await story.let_pass()

        def under(lines: list[Any], ref: str) -> list[E]:
            return [line.explained_by for line in lines if line.reference == ref]

        mine, theirs = await house.lines(i), await house.lines(d)
        assert mine[0].explained_by is theirs[0].explained_by is E.OPENING
        assert under(mine, good) == [E.PAYMENT]
        assert under(mine, back) == [E.PAYMENT, E.RETURN]
        assert under(mine, refused) in ([], [E.CORRECTION, E.CORRECTION])
        assert under(theirs, over_direct) == [E.PAYMENT, E.FEE]
        assert under(theirs, refused_direct) in ([], [E.CORRECTION, E.CORRECTION])
        assert under(await house.lines(story.account("ibps", 1)), inside) == [E.INTERNAL]
        assert under(theirs, across) == [E.INTERNAL]
        assert under(await house.lines(story.account("ibps", 2)), home) == [E.INTERNAL]
        assert [line.amount_fen for line in mine if line.explained_by is E.SUSPENSE] == [321_00]
        assert all(state in TERMINAL for state in await story.states())
        await house.settled()
        balances = (await s.hub.admin("GET", "books/balances"))["balances"]
        at_banks = {b["account"]: b["balance_fen"] for b in balances}
        for account in house.accounts:
            drift = await house.drift(account)
            assert drift.book_fen == drift.bank_fen == drift.said_fen == at_banks[account.account]
        for rail in rails.values():
            await rail.close()
