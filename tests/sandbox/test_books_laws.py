"""Laws of the books: no fen made or lost, no order executed twice, in whatever order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from caiwutong.kernel.clock import ManualClock
from caiwutong.sandbox.books import Book
from caiwutong.sandbox.entries import (
    CLEARING,
    FEES,
    RESERVE,
    Instruction,
)
from caiwutong.sandbox.faults import FaultKind, Faults, Plan, Rule
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.recovery import recover
from caiwutong.sandbox.styles import STYLES
from caiwutong.sandbox.world import FeeBand, demo_world

AT = datetime(2026, 11, 23, 2, tzinfo=UTC)
WORLD = demo_world(1)
PAYERS = [a for a in WORLD.accounts if "ibps" in a.access_modes][:3]
PAYEES = [p for p in WORLD.payees if p.condition == "ok"][:6] + [
    p for p in WORLD.payees if p.condition != "ok"
][:3]


class MoneyIsConserved(RuleBasedStateMachine):
    """Pay, revoke, net, clear, return and freeze in any order; the sums hold after every step."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self.clock = ManualClock(AT)
        silent = Rule(kind=FaultKind.SILENT, probability=0.2)
        self.network = Network(
            Path(self._folder.name), WORLD, self.clock, Faults(Plan(3, "law", (silent,)))
        )
        self.sent: list[Instruction] = []

    @initialize()
    def open(self) -> None:
        self.network.open_books()
        self.reserves = self._reserves()

    def _reserves(self) -> int:
        return sum(book.internal_fen(RESERVE) for book in self.network.books.values())

    @rule(
        payer=st.sampled_from(PAYERS),
        payee=st.sampled_from(PAYEES),
        fen=st.integers(1, 40_000_000_000),
    )
    def pay(self, payer, payee, fen) -> None:
        order = Instruction(
            WORLD.sponsor,
            f"R{len(self.sent)}",
            payer.account,
            payer.name,
            payee.account,
            payee.name,
            payee.bank_code,
            fen,
        )
        self.sent.append(order)
        self.network.pay(order, WORLD.sponsor)

    @rule(data=st.data())
    def pay_again(self, data) -> None:
        if self.sent:
            order = data.draw(st.sampled_from(self.sent))
            before = self.network.books[WORLD.sponsor].account(order.payer_account)
            assert not self.network.pay(order, WORLD.sponsor).first
            assert self.network.books[WORLD.sponsor].account(order.payer_account) == before

    @rule(data=st.data())
    def revoke(self, data) -> None:
        if self.sent:
            self.network.revoke(WORLD.sponsor, data.draw(st.sampled_from(self.sent)).reference)

    @rule(data=st.data())
    def send_back(self, data) -> None:
        if self.sent:
            reference = data.draw(st.sampled_from(self.sent)).reference
            transfer = self.network.centre.transfer(WORLD.sponsor, reference)
            if transfer is not None:
                self.network.send_back(transfer, "")

    @rule(fen=st.integers(1, 10_000_00), payer=st.sampled_from(PAYEES[:3]))
    def incoming(self, fen, payer) -> None:
        self.network.incoming(payer.account, PAYERS[0].account, fen, "货款")

    @rule(payee=st.sampled_from(PAYEES), state=st.sampled_from(["active", "frozen", "closed"]))
    def set_state(self, payee, state) -> None:
        self.network.books[payee.bank_code].set_state(payee.account, state)

    @rule(seconds=st.integers(0, 100_000))
    def time_passes(self, seconds) -> None:
        self.clock.advance(seconds)
        self.network.timers.advance()

    @rule()
    def net(self) -> None:
        self.network.net()

    @rule()
    def clear(self) -> None:
        self.network.clear()

    @rule()
    def heal(self) -> None:
        self.network.heal()

    @rule()
    def restart(self) -> None:
        recover(self.network)

    @invariant()
    def every_bank_sums_to_zero_and_reserves_stay(self) -> None:
        if not hasattr(self, "reserves"):
            return
        for book in self.network.books.values():
            assert book.sum_fen() == 0
        assert self._reserves() == self.reserves
        positions = self.network.centre.positions()
        assert sum(positions.values()) == 0
        pending: dict[str, int] = {}
        for code, book in self.network.books.items():
            pending[code] = sum(each.amount_fen for each in book.pending())
        for code, book in self.network.books.items():
            assert book.internal_fen(CLEARING) == positions.get(code, 0) + pending[code]

    @invariant()
    def every_account_is_the_sum_of_its_gapless_lines(self) -> None:
        if not hasattr(self, "reserves"):
            return
        for account in (*PAYERS, *PAYEES):
            book = self.network.books[account.bank_code]
            kept = book.account(account.account)
            lines = book.lines(account.account, 0, 10_000)
            assert kept and [line.line_no for line in lines] == list(range(1, kept.lines + 1))
            total = 0
            for line in lines:
                total += line.amount_fen
                assert line.balance_after_fen == total
            assert total == kept.balance_fen >= -kept.overdraft_fen

    @invariant()
    def an_execution_bears_one_debit_or_none(self) -> None:
        if not hasattr(self, "reserves"):
            return
        for book in self.network.books.values():
            for execution, debits in book.facts(0, 10_000):
                paid = execution.status in ("pending", "executed", "returned")
                assert debits == (1 if paid else 0), execution

    @invariant()
    def the_payers_bank_and_the_centre_tell_the_same_story(self) -> None:
        told = {
            "PR00": "pending",
            "PR10": "pending",
            "PR09": "rejected",
            "PR08": "revoked",
            "PR03": "executed",
            "PR04": "executed",
        }
        for order in self.sent:
            transfer = self.network.centre.transfer(order.originator, order.reference)
            execution = self.network.books[WORLD.sponsor].execution(
                order.originator, order.reference
            )
            assert execution
            if transfer is None:
                assert execution.status == "rejected"
            elif execution.status != "returned":
                assert execution.status == told[transfer.status]

    def teardown(self) -> None:
        self.network.close()
        self._folder.cleanup()


TestMoneyIsConserved = MoneyIsConserved.TestCase
TestMoneyIsConserved.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "b.db", "308290092019", "某银行", (FeeBand(10_000_00, 2_50),))
    made.open_account("A", "甲", owner="group", opening_fen=100_00, overdraft_fen=10_00, at=AT)
    made.open_account("B", "乙", at=AT)
    yield made
    made.close()


def order(reference: str, fen: int, *, bank: str = "other", payer: str = "甲") -> Instruction:
    return Instruction("us", reference, "A", payer, "B", "乙", bank, fen)


def test_the_overdraft_is_a_limit_and_the_fee_must_fit_too(book: Book) -> None:
    assert book.begin(order("R1", 107_51), AT)[0].code == "RJ03"
    assert book.begin(order("R2", 107_50), AT)[0].status == "pending"
    assert book.complete("us", "R2", AT)
    account = book.account("A")
    assert account and account.balance_fen == -10_00
    assert book.internal_fen(FEES) == 2_50
    assert [line.kind for line in book.lines("A", 0, 9)] == ["opening", "payment", "fee"]


def test_a_wrong_payer_name_a_frozen_and_an_unknown_payer_are_refused(book: Book) -> None:
    assert book.begin(order("R1", 1, payer="丙"), AT)[0].code == "RJ02"
    book.set_state("A", "frozen")
    assert book.begin(order("R2", 1), AT)[0].code == "RJ11"
    assert book.begin(order("R3", 1)._replace(payer_account="@fees"), AT)[0].code == "RJ01"
    assert book.sum_fen() == 0


def test_an_undone_payment_gives_the_money_back_once(book: Book) -> None:
    book.begin(order("R1", 50_00), AT)
    assert book.undo("us", "R1", "rejected", "RJ01", "", AT)
    assert not book.undo("us", "R1", "rejected", "RJ01", "", AT)
    assert not book.complete("us", "R1", AT)
    account = book.account("A")
    assert account and account.balance_fen == 100_00
    assert [line.kind for line in book.lines("A", 0, 9)] == ["opening", "payment", "other"]


def test_a_credit_is_given_once(book: Book) -> None:
    assert book.credit(order("R1", 7), "incoming", "R1", AT)
    assert not book.credit(order("R1", 7), "incoming", "R1", AT)
    account = book.account("B")
    assert account and account.balance_fen == 7


def test_the_world_is_the_same_for_the_same_seed_and_has_what_was_promised() -> None:
    assert demo_world(1) == WORLD != demo_world(2)
    assert len(WORLD.units) == 37 and len(WORLD.payees) == 300 and len(WORLD.banks) >= 9
    kinds = [bank.kind for bank in WORLD.banks]
    assert [kinds.count(k) for k in ("state", "joint_stock", "city", "rural")] == [2, 3, 2, 1]
    sponsored = {a.unit for a in WORLD.accounts if "ibps" in a.access_modes}
    assert sponsored == {unit.key for unit in WORLD.units}
    direct = {a.bank_code for a in WORLD.accounts if "bank_direct" in a.access_modes}
    assert {WORLD.bank(code).style for code in direct} == set(STYLES)
    basic = [a for a in WORLD.accounts if a.nature == "basic"]
    assert len(basic) == len(WORLD.entities)
    numbers = [a.account for a in (*WORLD.accounts, *WORLD.payees)]
    assert len(set(numbers)) == len(numbers)
    conditions = [p.condition for p in WORLD.payees]
    assert {c: conditions.count(c) for c in set(conditions)} == {
        "ok": 282,
        "frozen": 6,
        "closed": 6,
        "wrong_name": 6,
    }


def test_books_of_an_earlier_version_get_the_columns_they_lack(tmp_path: Path) -> None:
    network = Network(tmp_path, WORLD, ManualClock(AT), Faults(Plan()))
    network.open_books()
    payer, payee = PAYERS[0], PAYEES[0]
    order = Instruction(
        WORLD.sponsor, "OLD", payer.account, payer.name, payee.account, payee.name,
        payee.bank_code, 1_00,
    )  # fmt: skip
    network.pay(order, WORLD.sponsor)
    network.close()
    for name, table, columns in (
        ("centre.db", "transfers", ("system",)),
        ("centre.db", "rounds", ("system",)),
        (f"bank-{WORLD.sponsor}.db", "executions", ("system", "message_id")),
    ):
        with sqlite3.connect(tmp_path / name) as db:
            for column in columns:
                db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    again = Network(tmp_path, WORLD, ManualClock(AT), Faults(Plan()))
    assert again.net() == 1
    (old,) = again.books[WORLD.sponsor].facts(0, 10)
    assert (old[0].status, old[0].reference, old[0].system) == ("executed", "OLD", "")
    again.close()
