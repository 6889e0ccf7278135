"""Laws of BEPS in the sandbox: in whatever order batches, rounds, outages and kills come, no fen is
made or lost, nothing is executed twice, and the quota is counted right."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from caiwutong.kernel.clock import ManualClock
from caiwutong.sandbox.beps_centre import SYSTEM, BepsCentre
from caiwutong.sandbox.entries import CLEARING, PENDING, RESERVE, Instruction
from caiwutong.sandbox.faults import FaultKind, Faults, Plan, Rule
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.recovery import recover
from caiwutong.sandbox.world import demo_world

AT = datetime(2026, 12, 11, 2, tzinfo=UTC)
"""A Friday: the next day's first eight hours are maintenance."""
WORLD = demo_world(1)
PAYERS = [a for a in WORLD.accounts if "beps" in a.access_modes][:3]
PAYEES = [p for p in WORLD.payees if p.condition == "ok"][:8] + [
    p for p in WORLD.payees if p.condition != "ok"
][:3]
SILENT = Rule(kind=FaultKind.SILENT, probability=0.2, channel=SYSTEM)


class BepsKeepsTheBooks(RuleBasedStateMachine):
    """Pay, revoke, close parts of rounds, clear, return, freeze, restart, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self.clock = ManualClock(AT)
        self.sent: list[Instruction] = []
        self.network: Network | None = None

    @initialize()
    def open(self) -> None:
        self._open()
        self.reserves = self._reserves()

    def _open(self) -> None:
        path = Path(self._folder.name)
        self.network = Network(path, WORLD, self.clock, Faults(Plan(3, "law", (SILENT,))))
        self.network.open_books()
        self.centre = BepsCentre(self.network)
        self.network.fronts.append(self.centre)
        self.network.timers.every_tick(self.centre.tick)

    def _reserves(self) -> int:
        assert self.network
        return sum(book.internal_fen(RESERVE) for book in self.network.books.values())

    @rule(
        payer=st.sampled_from(PAYERS),
        payee=st.sampled_from(PAYEES),
        fen=st.integers(1, 100_000_000),
    )
    def pay(self, payer, payee, fen) -> None:
        order = Instruction(
            WORLD.sponsor, f"B{len(self.sent)}", payer.account, payer.name, payee.account,
            payee.name, payee.bank_code, fen,
        )  # fmt: skip
        self.sent.append(order)
        paid = self.network.pay(
            order, WORLD.sponsor, channel=SYSTEM, message_id=f"M{len(self.sent) // 3}",
            system=SYSTEM,
        )  # fmt: skip
        if paid.execution.status == PENDING:
            self.centre.owed(fen)

    @rule(data=st.data())
    def the_same_again_in_another_batch(self, data) -> None:
        if self.sent:
            order = data.draw(st.sampled_from(self.sent))
            before = self.network.books[WORLD.sponsor].account(order.payer_account)
            paid = self.network.pay(order, WORLD.sponsor, message_id="OTHER", system=SYSTEM)
            assert not paid.first
            assert self.network.books[WORLD.sponsor].account(order.payer_account) == before

    @rule(data=st.data())
    def revoke(self, data) -> None:
        if not self.sent:
            return
        reference = data.draw(st.sampled_from(self.sent)).reference
        before = self.network.centre.transfer(WORLD.sponsor, reference)
        done, after = self.network.revoke(WORLD.sponsor, reference)
        if done and before and after and before.status != after.status:
            assert before.status in ("PR00", "PR10"), "never once netted"
            payee_bank = self.network.books[before.payee_bank]
            assert not payee_bank.credited(WORLD.sponsor, reference), "nor once credited"
            self.centre.revoked(after)

    @rule(most=st.integers(1, 3))
    def a_part_of_a_round_closes(self, most) -> None:
        self.network.net(SYSTEM, most)

    @rule()
    def clear(self) -> None:
        self.network.clear()

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

    @rule(seconds=st.integers(0, 20_000))
    def time_passes(self, seconds) -> None:
        self.clock.advance(seconds)
        self.network.timers.advance()

    @rule()
    def heal(self) -> None:
        self.network.heal()

    @rule()
    def restart(self) -> None:
        self.network.close()
        self._open()
        recover(self.network)

    @invariant()
    def sums_hold(self) -> None:
        if not hasattr(self, "reserves"):
            return
        network = self.network
        assert self._reserves() == self.reserves
        under_way = dict.fromkeys(network.books, 0)
        for code, book in network.books.items():
            assert book.sum_fen() == 0
            under_way[code] += sum(each.amount_fen for each in book.pending())
        for transfer in network.centre.read(
            "SELECT originator, reference, payee_bank, amount_fen FROM transfers"
            " WHERE status = 'PR10'"
        ):
            originator, reference, payee_bank, fen = transfer
            if network.books[payee_bank].credited(originator, reference):
                under_way[payee_bank] -= fen  # credited at acceptance, netted later
        positions = network.centre.positions()
        assert sum(positions.values()) == 0
        for code, book in network.books.items():
            assert book.internal_fen(CLEARING) == positions.get(code, 0) + under_way[code]

    @invariant()
    def the_quota_is_counted_as_the_books_have_it(self) -> None:
        if hasattr(self, "reserves"):
            owed = self.network.centre.exposure_fen(WORLD.sponsor, SYSTEM)
            assert self.centre.debt_fen == owed

    def teardown(self) -> None:
        if self.network is not None:
            self.network.close()
        self._folder.cleanup()


TestBepsKeepsTheBooks = BepsKeepsTheBooks.TestCase
TestBepsKeepsTheBooks.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def opened(folder: Path, clock: ManualClock, **changes: object) -> tuple[Network, BepsCentre]:
    world = msgspec.structs.replace(WORLD, **changes)
    network = Network(folder, world, clock, Faults(Plan()))
    network.open_books()
    centre = BepsCentre(network)
    network.fronts.append(centre)
    return network, centre


@pytest.mark.parametrize(
    ("at", "following"),
    [
        (datetime(2026, 12, 11, 2, 0, tzinfo=UTC), datetime(2026, 12, 11, 2, 30, tzinfo=UTC)),
        (datetime(2026, 12, 11, 2, 29, 59, tzinfo=UTC), datetime(2026, 12, 11, 2, 30, tzinfo=UTC)),
        (datetime(2026, 12, 11, 15, 31, tzinfo=UTC), datetime(2026, 12, 11, 16, 0, tzinfo=UTC)),
    ],
)
def test_a_round_closes_every_half_hour(tmp_path: Path, at: datetime, following: datetime) -> None:
    _, centre = opened(tmp_path, ManualClock(at))
    assert centre.next_round == following


def test_no_round_closes_in_the_maintenance_and_the_first_one_after_does(tmp_path: Path) -> None:
    clock = ManualClock(AT)
    network, centre = opened(tmp_path, clock)
    due = centre.due_maintenance(AT)
    assert due is not None and centre.due_maintenance(AT) is None, "announced once"
    assert due.valid_from == datetime(2026, 12, 11, 16, tzinfo=UTC)
    clock.advance(13.6 * 3600)  # 23:36 in China
    centre.tick(0)
    assert centre.next_round == due.valid_until
    network.close()
    again, reopened = opened(tmp_path, clock)
    assert reopened.closed(clock.now()) is None and reopened.next_round == due.valid_until
    clock.advance(3600)
    assert reopened.closed(clock.now()) is not None, "a restart remembers what was announced"
    again.close()


def test_a_credit_at_acceptance_the_centre_forgot_in_a_kill_is_taken_up_and_not_given_twice(
    tmp_path: Path,
) -> None:
    clock = ManualClock(AT)
    network, _ = opened(tmp_path, clock)
    payer = PAYERS[0]
    payee = next(
        each
        for each in WORLD.payees
        if each.condition == "ok" and WORLD.bank(each.bank_code).beps_credit == "acceptance"
    )
    order = Instruction(
        WORLD.sponsor, "B1", payer.account, payer.name, payee.account, payee.name,
        payee.bank_code, 5_00,
    )  # fmt: skip
    network.pay(order, WORLD.sponsor, channel=SYSTEM, message_id="BATCH1", system=SYSTEM)
    for book in network.books.values():
        book.commit()
    for store in (*network.books.values(), network.centre):
        store._db.close()  # pyright: ignore[reportPrivateUsage]

    again, _ = opened(tmp_path, clock)
    assert again.centre.transfer(WORLD.sponsor, "B1") is None
    again.books[payee.bank_code].set_state(payee.account, "frozen")
    recover(again)
    transfer = again.centre.transfer(WORLD.sponsor, "B1")
    assert transfer is not None
    assert (transfer.status, transfer.system, transfer.message_id) == ("PR10", SYSTEM, "BATCH1")
    assert again.net() == 0 and again.net(SYSTEM) == 1
    account = again.books[payee.bank_code].account(payee.account)
    assert account is not None and account.balance_fen == payee.opening_fen + 5_00
    again.close()
