"""Laws of statements under random interleavings: at every moment each fen of a difference between
book and bank is accounted for, and once nothing is in flight the difference is zero."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from uuid import UUID

import pytest
from tests.statements.house import OPENING, RAIL, House, PaperBank, T, memory_house

from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import ManualClock
from caiwutong.payments.states import TERMINAL
from caiwutong.rails.contract import RailReport, ReportKind
from caiwutong.statements.model import Explained

NUMBERS = ("90730001000417", "90730002000518", "90730003000619")
STRANGER = "6202900012345678"
START = datetime(2026, 11, 2, 1, 0, tzinfo=UTC)


class Life:
    """A house and a bank that do things in any order, with lost, late and repeated words."""

    def __init__(self, house: House, bank: PaperBank, seed: int) -> None:
        self.house, self.bank = house, bank
        self.draw = random.Random(seed)
        self.sent: dict[str, UUID] = {}
        self.at_bank: dict[str, str] = {}
        self.words: list[RailReport] = []
        """What the rail has said and nobody has heard yet."""
        self.said: list[RailReport] = []
        self.trail: list[str] = []

    async def open(self) -> Life:
        for number in NUMBERS:
            self.bank.write(number, OPENING, "opening")
        self.house.clock.advance(60)
        for place, number in enumerate(NUMBERS):
            # One of the opening balances is typed wrongly.
            wrong = 123 if place == 1 else 0
            await self.house.add_account(number, unit=place % 2, opening_fen=OPENING - wrong)
        self.house.clock.advance(1)
        return self

    async def step(self) -> None:
        acts = (
            (4, self.pay), (6, self.move), (5, self.hear), (2, self.hear_again), (1, self.noise),
            (2, self.read), (3, self.match), (2, self.wait), (1, self.explain),
        )  # fmt: skip
        (act,) = self.draw.choices([act for _, act in acts], [weight for weight, _ in acts])
        self.trail.append(act.__name__)
        await act()

    async def pay(self) -> None:
        payer = self.draw.choice(self.house.accounts)
        others = [n for n in NUMBERS if n != payer.account]
        payee = self.draw.choice([STRANGER, STRANGER, *others])
        payment, ref = await self.house.pay(payer, payee, self.draw.randrange(1, 500_00))
        self.sent[ref], self.at_bank[ref] = payment, "sent"

    async def move(self) -> None:
        """The bank does the next thing to one payment it was sent."""
        moving = [ref for ref, at in self.at_bank.items() if at in ("sent", "debited", "netted")]
        if not moving:
            return
        ref = self.draw.choice(moving)
        at = self.at_bank[ref]
        if at == "sent":
            self.take(ref)
        elif at == "debited":
            if self.draw.random() < 0.3:
                self.no(ref)
            else:
                self.yes(ref)
        elif self.draw.random() < 0.3:
            self.back(ref)

    def take(self, ref: str) -> None:
        self.trail.append(f"debit {ref[-4:]}")
        self.bank.debit(ref)
        self.at_bank[ref] = "debited"
        if self.draw.random() < 0.05:
            self.bank.debit(ref)  # The bank's fault: taken twice.
        if self.draw.random() < 0.5:
            self.words.append(self.bank.report(ReportKind.ACCEPTED, ref))
        if self.draw.random() < 0.2:
            self.words.append(self.bank.report(ReportKind.IN_DOUBT, ref))

    def yes(self, ref: str) -> None:
        self.trail.append(f"yes {ref[-4:]}")
        self.words.append(self.bank.report(ReportKind.NETTED, ref))
        self.at_bank[ref] = "netted"
        if self.bank.sent[ref].payee.account in NUMBERS:
            self.bank.credit(ref)
        if self.draw.random() < 0.03:
            self.bank.give_back(ref)  # The bank's fault: a correction after the end.

    def no(self, ref: str) -> None:
        self.trail.append(f"no {ref[-4:]}")
        self.words.append(self.bank.report(ReportKind.REJECTED, ref, "RJ01"))
        self.bank.give_back(ref)
        self.at_bank[ref] = "rejected"

    def back(self, ref: str) -> None:
        self.trail.append(f"back {ref[-4:]}")
        sent = self.bank.sent[ref]
        if self.draw.random() < 0.5:
            self.words.append(self.bank.report(ReportKind.RETURNED, ref))
        if sent.payee.account in NUMBERS:
            self.bank.write(sent.payee.account, -sent.amount_fen, "payment", f"RT{ref}")
        self.bank.send_back(ref)
        self.at_bank[ref] = "returned"

    async def hear(self) -> None:
        if self.words:
            word = self.words.pop(self.draw.randrange(len(self.words)))
            self.said.append(word)
            await self.house.tell(word)

    async def hear_again(self) -> None:
        if self.said:
            await self.house.tell(self.draw.choice(self.said))

    async def noise(self) -> None:
        """Lines that no payment of ours stands behind."""
        account = self.draw.choice(NUMBERS)
        fen = self.draw.randrange(1, 50_00)
        kinds = ((-fen, "fee"), (fen, "fee"), (fen, "interest"), (fen, "incoming"), (0, "other"))
        amount, kind = self.draw.choice(kinds)
        self.bank.write(account, amount, kind)
        if self.draw.random() < 0.5:
            self.bank.write(account, -amount, "other", words="冲正")
        if self.draw.random() < 0.2:
            self.bank.write(account, -fen, "payment", f"NOTOURS{fen}")

    async def read(self) -> None:
        self.bank.page_lines = self.draw.randrange(1, 5)
        self.bank.down = {n for n in NUMBERS if self.draw.random() < 0.1}
        self.house.clock.advance(61)
        await self.house.reader.run_once(T, limit=self.draw.randrange(1, 4))

    async def match(self) -> None:
        await self.house.evidence.run_once(T, limit=self.draw.randrange(1, 20))

    async def wait(self) -> None:
        self.house.clock.advance(self.draw.choice((1, 30, 600, 86_400)))

    async def explain(self) -> None:
        account = self.draw.choice(self.house.accounts)
        drift = await self.house.drift(account)
        if drift.suspense:
            line = self.draw.choice(drift.suspense)
            to = (await self.house.books(account)).fees
            async with self.house.database.transaction() as tx:
                await self.house.statements.explain_later(
                    tx, T, account.bank_account_id, line.line_id, to, actor="person:Chen"
                )

    async def accounted(self) -> None:
        for account in self.house.accounts:
            drift = await self.house.drift(account)
            assert drift.residue_fen == 0, (drift, self.trail)

    async def quiet(self) -> None:
        """Let everything come to its end: every payment, every word, every line."""
        for ref, at in list(self.at_bank.items()):
            if at == "sent":
                self.take(ref)
            if self.at_bank[ref] == "debited":
                self.draw.choice((self.yes, self.no))(ref)
        while self.words:
            await self.hear()
        self.bank.down = set()
        for _ in range(4):
            self.house.clock.advance(2 * 3600)
            await self.house.read()


@pytest.mark.parametrize("seed", range(40))
async def test_every_fen_between_book_and_bank_is_accounted_for(seed: int) -> None:
    house, bank = memory_house(ManualClock(START))
    life = await Life(house, bank, seed).open()
    for _ in range(120):
        await life.step()
        await life.accounted()
    await life.quiet()
    await house.settled()
    for account in house.accounts:
        lines = await house.lines(account)
        assert len(lines) == len(bank.books[account.account])
        assert all(line.explained_by is not Explained.NOTHING for line in lines), life.trail
        assert not any(line.open for line in lines), life.trail
        assert await house.posted(account.ledger_account_id) == bank.stands(account.account)
    for ref, payment in life.sent.items():
        row = await house.payment(payment)
        assert row.state in TERMINAL
        assert (row.returned_at is not None) == (life.at_bank[ref] == "returned")


@pytest.mark.engine
async def test_many_hands_at_once_explain_every_line_once(
    database: PostgresDatabase, clock: ManualClock
) -> None:
    bank = PaperBank(RAIL, clock)
    house = House(database, clock, {RAIL: bank}, postgres=True)
    life = await Life(house, bank, 7).open()
    for _ in range(60):
        await life.pay()

    async def bank_works() -> None:
        for _ in range(260):
            await life.move()
            if life.draw.random() < 0.15:
                await life.noise()
            await asyncio.sleep(0)

    async def rail_speaks() -> None:
        for _ in range(160):
            await life.hear()
            await asyncio.sleep(0.002)

    async def house_reads() -> None:
        for _ in range(25):
            clock.advance(61)
            await asyncio.gather(
                house.reader.run_once(T),
                house.reader.run_once(T),
                house.evidence.run_once(T),
                house.evidence.run_once(T),
            )

    await asyncio.gather(bank_works(), rail_speaks(), house_reads())
    await life.accounted()
    await life.quiet()
    await house.settled()
    for account in house.accounts:
        assert await house.posted(account.ledger_account_id) == bank.stands(account.account)
