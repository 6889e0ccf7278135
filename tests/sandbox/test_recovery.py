"""A process killed between two commits: what each half-way state becomes when it starts again."""

from __future__ import annotations

from pathlib import Path

from tests.sandbox.conftest import MORNING

from caiwutong.kernel.clock import ManualClock
from caiwutong.sandbox.centre import Transfer
from caiwutong.sandbox.entries import (
    CLEARING,
    Instruction,
)
from caiwutong.sandbox.faults import Faults, Plan
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.recovery import recover
from caiwutong.sandbox.world import demo_world

WORLD = demo_world(1)
PAYER = next(a for a in WORLD.accounts if "ibps" in a.access_modes)
PAYEE = next(p for p in WORLD.payees if p.condition == "ok")
ORDER = Instruction(
    WORLD.sponsor,
    "R1",
    PAYER.account,
    PAYER.name,
    PAYEE.account,
    PAYEE.name,
    PAYEE.bank_code,
    100_00,
)


class Listener:
    """Hears what fronts are told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def answered(self, transfer: Transfer) -> None:
        self.heard.append(f"answered {transfer.reference} {transfer.status}")

    def netted(self, transfers: list[Transfer]) -> None:
        self.heard += [f"netted {each.reference}" for each in transfers]

    def settled(self, settlement: int, transfers: list[Transfer]) -> None:
        self.heard += [f"settled {each.reference}" for each in transfers]


class Life:
    """One process on a folder: opened, killed, opened again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.network = Network(folder, WORLD, ManualClock(MORNING), Faults(Plan()))
        self.listener = Listener()
        self.network.fronts.append(self.listener)
        self.network.open_books()

    def kill(self) -> None:
        """Everything not committed is gone."""
        for store in (*self.network.books.values(), self.network.centre):
            store._db.close()  # pyright: ignore[reportPrivateUsage]

    @property
    def payer_fen(self) -> int:
        found = self.network.books[PAYER.bank_code].account(PAYER.account)
        assert found
        return found.balance_fen - PAYER.opening_fen

    @property
    def payee_fen(self) -> int:
        found = self.network.books[PAYEE.bank_code].account(PAYEE.account)
        assert found
        return found.balance_fen - PAYEE.opening_fen


def test_a_debit_the_centre_never_heard_of_is_sent_on(folder: Path) -> None:
    life = Life(folder)
    life.network.pay(ORDER, WORLD.sponsor)
    life.network.books[WORLD.sponsor].commit()
    life.kill()
    life = Life(folder)
    assert life.network.centre.transfer(WORLD.sponsor, "R1") is None
    assert recover(life.network)["undecided"] == 1
    assert life.listener.heard == ["answered R1 PR10"]
    assert life.network.net() == 1
    assert (life.payer_fen, life.payee_fen) == (-100_00, 100_00)
    life.network.close()


def test_a_round_the_banks_have_not_booked_is_booked_and_told_once(folder: Path) -> None:
    life = Life(folder)
    life.network.pay(ORDER, WORLD.sponsor)
    life.network.commits.flush()
    life.network.centre.net(MORNING)
    life.network.centre.commit()
    life.kill()
    life = Life(folder)
    assert (life.payer_fen, life.payee_fen) == (-100_00, 0)
    assert recover(life.network)["unbooked"] == 1
    assert life.listener.heard == ["netted R1"]
    life.network.close()
    life = Life(folder)
    assert recover(life.network)["unbooked"] == 0
    assert (life.payer_fen, life.payee_fen) == (-100_00, 100_00)
    assert life.listener.heard == []
    life.network.close()


def test_a_round_half_booked_is_finished_without_paying_twice(folder: Path) -> None:
    life = Life(folder)
    life.network.pay(ORDER, WORLD.sponsor)
    life.network.commits.flush()
    (netted,) = life.network.centre.net(MORNING)
    life.network.centre.commit()
    life.network.books[PAYEE.bank_code].credit(netted.order, "incoming", "R1", MORNING)
    life.network.books[PAYEE.bank_code].commit()
    life.kill()
    life = Life(folder)
    recover(life.network)
    assert (life.payer_fen, life.payee_fen) == (-100_00, 100_00)
    execution = life.network.books[WORLD.sponsor].execution(WORLD.sponsor, "R1")
    assert execution and execution.status == "executed"
    life.network.close()


def test_a_revocation_the_payers_bank_has_not_booked_gives_the_money_back(folder: Path) -> None:
    life = Life(folder)
    _, transfer, _ = life.network.pay(ORDER, WORLD.sponsor)
    assert transfer
    life.network.commits.flush()
    life.network.centre.revoke(transfer, MORNING)
    life.network.centre.commit()
    life.kill()
    life = Life(folder)
    assert life.payer_fen == -100_00
    recover(life.network)
    assert life.payer_fen == 0
    execution = life.network.books[WORLD.sponsor].execution(WORLD.sponsor, "R1")
    assert execution and execution.status == "revoked"
    life.network.close()


def test_a_settlement_the_banks_have_not_booked_is_booked_once(folder: Path) -> None:
    life = Life(folder)
    life.network.pay(ORDER, WORLD.sponsor)
    life.network.net()
    life.network.centre.clear(MORNING)
    life.network.centre.commit()
    life.kill()
    for _ in range(2):
        life = Life(folder)
        recover(life.network)
        assert {b.internal_fen(CLEARING) for b in life.network.books.values()} == {0}
        life.network.close()


def test_nothing_uncommitted_is_remembered(folder: Path) -> None:
    life = Life(folder)
    life.network.pay(ORDER, WORLD.sponsor)
    life.kill()
    life = Life(folder)
    assert sum(recover(life.network).values()) == 0
    assert (life.payer_fen, life.payee_fen) == (0, 0)
    life.network.close()
