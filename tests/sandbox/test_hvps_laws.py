"""Laws of HVPS in the sandbox: in whatever order payments, funds, revocations, nights and kills
come, no fen is made or lost, no settlement account is overdrawn, what is settled stays settled."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from caiwutong.kernel.clock import CHINA, ManualClock
from caiwutong.sandbox.entries import CLEARING, RESERVE, SUSPENSE, Instruction
from caiwutong.sandbox.faults import FaultKind, Faults, Plan, Rule
from caiwutong.sandbox.hvps_centre import HvpsCentre
from caiwutong.sandbox.hvps_queue import SYSTEM
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.recovery import recover
from caiwutong.sandbox.world import demo_world

AT = datetime(2026, 11, 23, 16, 0, tzinfo=CHINA).astimezone(UTC)
"""A Monday, an hour and a quarter before HVPS closes."""
WORLD = demo_world(1)
PAYERS = [a for a in WORLD.accounts if "hvps" in a.access_modes][:3]
PAYEES = [p for p in WORLD.payees if p.condition == "ok"][:6] + [
    p for p in WORLD.payees if p.condition != "ok"
][:4]
ENDS = ("PR04", "PR08", "PR09")
RETURNS = Rule(kind=FaultKind.RETURN, probability=0.2, delay_s=600)


class Killed(Network):
    """A network whose process can die."""

    def kill(self) -> None:
        """Nothing that was not committed survives."""
        for store in (*self.books.values(), self.centre):
            with contextlib.suppress(Exception):
                store._db.close()


class HvpsKeepsTheBooks(RuleBasedStateMachine):
    """Pay, starve and feed the settlement account, revoke, return, sleep, restart, be killed."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self.clock = ManualClock(AT)
        self.sent: list[Instruction] = []
        self.network: Killed | None = None
        self.ended: dict[str, str] = {}

    @initialize()
    def open(self) -> None:
        self._open()
        self.reserves = self._reserves()

    def _open(self) -> None:
        plan = Plan(3, "law", (RETURNS,))
        self.network = Killed(Path(self._folder.name), WORLD, self.clock, Faults(plan))
        self.network.open_books()
        self.centre = HvpsCentre(self.network)
        recover(self.network)

    def _reserves(self) -> int:
        assert self.network
        return sum(book.internal_fen(RESERVE) for book in self.network.books.values())

    @rule(
        payer=st.sampled_from(PAYERS),
        payee=st.sampled_from(PAYEES),
        fen=st.integers(1, 3_000_000_00),
        priority=st.sampled_from([1, 2, 3]),
    )
    def pay(self, payer, payee, fen, priority) -> None:
        at = self.clock.now()
        day = self.centre.business_day(at)
        order = Instruction(
            WORLD.sponsor, f"H{len(self.sent)}", payer.account, payer.name, payee.account,
            payee.name, payee.bank_code, fen,
        )  # fmt: skip
        self.sent.append(order)
        self.centre.queue.note(WORLD.sponsor, order.reference, priority, day)
        self.network.pay(order, WORLD.sponsor, message_id=order.reference, system=SYSTEM)

    @rule(data=st.data())
    def the_same_again(self, data) -> None:
        if self.sent:
            order = data.draw(st.sampled_from(self.sent))
            before = self.network.books[WORLD.sponsor].account(order.payer_account)
            paid = self.network.pay(order, WORLD.sponsor, message_id="OTHER", system=SYSTEM)
            known = self.network.books[WORLD.sponsor].account(order.payer_account)
            assert not paid.first or before != known, "only what a kill forgot is taken anew"

    @rule(data=st.data())
    def revoke(self, data) -> None:
        if self.sent:
            reference = data.draw(st.sampled_from(self.sent)).reference
            before = self.network.centre.transfer(WORLD.sponsor, reference)
            done, after = self.centre.revoke(WORLD.sponsor, reference)
            if before is not None and before.status == "PR04":
                assert not done and after == before, "what is settled is never taken back"

    @rule(usable=st.integers(0, 4_000_000_00))
    def funds_are_short(self, usable) -> None:
        account = self.network.accounts.of(WORLD.sponsor)
        self.network.accounts.earmark(
            WORLD.sponsor, max(0, account.balance_fen - min(usable, account.balance_fen))
        )
        self.centre.drain()

    @rule(fen=st.integers(1, 5_000_000_00), number=st.integers(1, 5))
    def another_bank_lends(self, fen, number) -> None:
        lender = WORLD.banks[1].code
        self.centre.transfer_reserves(lender, f"I{number}", lender, WORLD.sponsor, fen)

    @rule(data=st.data())
    def send_back(self, data) -> None:
        if self.sent:
            reference = data.draw(st.sampled_from(self.sent)).reference
            transfer = self.network.centre.transfer(WORLD.sponsor, reference)
            if transfer is not None:
                self.network.send_back(transfer, "")

    @rule(payee=st.sampled_from(PAYEES), state=st.sampled_from(["active", "frozen", "closed"]))
    def set_state(self, payee, state) -> None:
        self.network.books[payee.bank_code].set_state(payee.account, state)

    @rule(seconds=st.sampled_from([1, 600, 4_000, 20_000, 90_000]))
    def time_passes(self, seconds) -> None:
        self.clock.advance(seconds)
        self.network.timers.advance()
        self.centre.look()

    @rule()
    def restart(self) -> None:
        self.network.close()
        self._open()

    @rule()
    def be_killed(self) -> None:
        self.network.kill()
        self._open()
        for order in self.sent:
            if self.network.books[WORLD.sponsor].execution(WORLD.sponsor, order.reference) is None:
                assert order.reference not in self.ended, "an end is durable before it is told"

    @invariant()
    def sums_hold(self) -> None:
        if not hasattr(self, "reserves"):
            return
        network = self.network
        assert self._reserves() == self.reserves
        for code, book in network.books.items():
            assert book.sum_fen() == 0
            under_way = sum(each.amount_fen for each in book.pending())
            assert book.internal_fen(CLEARING) == under_way
            account = network.accounts.of(code)
            assert account.balance_fen == -book.internal_fen(RESERVE)
            assert account.usable_fen >= 0

    @invariant()
    def an_end_is_an_end(self) -> None:
        if not hasattr(self, "reserves"):
            return
        for order in self.sent:
            transfer = self.network.centre.transfer(WORLD.sponsor, order.reference)
            status = transfer.status if transfer is not None else ""
            known = self.ended.get(order.reference)
            assert known is None or known == status
            if status in ENDS:
                self.ended[order.reference] = status
            executed = self.network.books[WORLD.sponsor].execution(WORLD.sponsor, order.reference)
            if status == "PR04":
                assert executed is not None and executed.status in ("executed", "returned")
                payee = self.network.books[order.payee_bank]
                assert payee.credited(WORLD.sponsor, order.reference)

    def teardown(self) -> None:
        if self.network is not None:
            with contextlib.suppress(Exception):
                self.network.close()
        self._folder.cleanup()


TestHvpsKeepsTheBooks = HvpsKeepsTheBooks.TestCase
TestHvpsKeepsTheBooks.settings = settings(
    max_examples=15,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def opened(folder: Path, clock: ManualClock) -> tuple[Killed, HvpsCentre]:
    network = Killed(folder, WORLD, clock, Faults(Plan()))
    network.open_books()
    centre = HvpsCentre(network)
    recover(network)
    return network, centre


def order(reference: str, fen: int = 1_000_000_00) -> Instruction:
    payer, payee = PAYERS[0], PAYEES[0]
    return Instruction(
        WORLD.sponsor, reference, payer.account, payer.name, payee.account, payee.name,
        payee.bank_code, fen,
    )  # fmt: skip


def test_killed_between_settlement_and_booking_the_banks_book_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(AT)
    network, centre = opened(tmp_path, clock)

    def die(*arguments: object) -> None:
        raise RuntimeError("killed here")

    monkeypatch.setattr(centre, "_finish", die)
    with pytest.raises(RuntimeError):
        network.pay(order("K1"), WORLD.sponsor, message_id="K1", system=SYSTEM)
    network.kill()
    network, centre = opened(tmp_path, clock)
    transfer = network.centre.transfer(WORLD.sponsor, "K1")
    assert transfer is not None and transfer.status == "PR04"
    executed = network.books[WORLD.sponsor].execution(WORLD.sponsor, "K1")
    assert executed is not None and executed.status == "executed"
    assert network.books[PAYEES[0].bank_code].credited(WORLD.sponsor, "K1")
    account = network.accounts.of(WORLD.sponsor)
    assert account.balance_fen == -network.books[WORLD.sponsor].internal_fen(RESERVE)
    network.close()


def test_the_settlement_accounts_bear_the_net_of_the_other_systems_too(tmp_path: Path) -> None:
    network, _ = opened(tmp_path, ManualClock(AT))
    before = network.accounts.of(WORLD.sponsor).balance_fen
    network.pay(order("N1", 700_00), WORLD.sponsor, message_id="N1")  # over IBPS
    network.net()
    assert network.accounts.of(WORLD.sponsor).balance_fen == before, "netted is not settled"
    network.clear()
    assert network.accounts.of(WORLD.sponsor).balance_fen == before - 700_00
    payee = network.accounts.of(PAYEES[0].bank_code)
    assert payee.balance_fen == -network.books[payee.bank].internal_fen(RESERVE)
    network.close()


def test_what_cannot_be_credited_is_held_until_it_goes_back(tmp_path: Path) -> None:
    clock = ManualClock(AT)
    network, _ = opened(tmp_path, clock)
    closed = next(p for p in WORLD.payees if p.condition == "closed")
    wrong = order("S1")._replace(
        payee_account=closed.account, payee_name=closed.name, payee_bank=closed.bank_code
    )
    network.pay(wrong, WORLD.sponsor, message_id="S1", system=SYSTEM)
    book = network.books[closed.bank_code]
    assert book.internal_fen(SUSPENSE) == wrong.amount_fen
    clock.advance(timedelta(minutes=2).total_seconds())
    network.timers.advance()
    assert book.internal_fen(SUSPENSE) == 0
    executed = network.books[WORLD.sponsor].execution(WORLD.sponsor, "S1")
    assert executed is not None and executed.status == "returned"
    network.close()


def test_institutions_settle_between_themselves_once_and_never_without_funds(
    tmp_path: Path,
) -> None:
    network, centre = opened(tmp_path, ManualClock(AT))
    lender = WORLD.banks[1].code
    have = network.accounts.of(lender).balance_fen
    assert centre.transfer_reserves(lender, "I1", lender, WORLD.sponsor, have + 1) == "RJ03"
    assert centre.transfer_reserves(lender, "I1", lender, WORLD.sponsor, 5_00) == ""
    assert centre.transfer_reserves(lender, "I1", lender, WORLD.sponsor, 5_00) == ""
    assert centre.transfer_reserves(lender, "I1", lender, WORLD.sponsor, 6_00) == "RJ90"
    assert network.accounts.of(lender).balance_fen == have - 5_00
    assert -network.books[lender].internal_fen(RESERVE) == have - 5_00
    assert all(book.sum_fen() == 0 for book in network.books.values())
    network.close()


def test_the_centre_never_remembers_a_payment_whose_debit_its_bank_forgot(tmp_path: Path) -> None:
    clock = ManualClock(AT)
    network, centre = opened(tmp_path, clock)
    funds = network.accounts.of(WORLD.sponsor)
    network.accounts.earmark(WORLD.sponsor, funds.balance_fen)
    lender = WORLD.banks[1].code
    network.pay(order("F1"), WORLD.sponsor, message_id="F1", system=SYSTEM)
    centre.transfer_reserves(lender, "I1", lender, WORLD.sponsor, 5_00)
    network.kill()
    network, centre = opened(tmp_path, clock)
    transfer = network.centre.transfer(WORLD.sponsor, "F1")
    executed = network.books[WORLD.sponsor].execution(WORLD.sponsor, "F1")
    assert (transfer is None) == (executed is None)
    network.close()
