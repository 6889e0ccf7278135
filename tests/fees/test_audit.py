"""The audit over a house's own statements and payments, on both stores; and a sandbox bank that
takes too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.sandbox.conftest import Stage, stage
from tests.sandbox.test_with_the_rails import direct
from tests.statements.house import RAIL, House, PaperBank, T, memory_house

from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.fees.model import FeeReason, FeeReport
from caiwutong.fees.service import FeeAudit
from caiwutong.kernel.clock import ManualClock
from caiwutong.kernel.errors import Refused
from caiwutong.payments.charged import SentPayments
from caiwutong.rails.catalog import Catalog, shipped
from caiwutong.rails.catalog.model import Band, Tariff
from caiwutong.rails.contract import ReportKind
from caiwutong.sandbox.faults import FaultKind, Rule
from caiwutong.sandbox.world import Payee

A, STRANGER, OTHER = "90730001000417", "6202900012345678", "102100099996"


def tariff(clock: ManualClock, bank: str, *bands: Band) -> Catalog:
    start = clock.now() - timedelta(days=100)
    return shipped().with_facts(
        [Tariff(fact_id="t", rail=RAIL, bank=bank, valid_from=start, bands=bands, source="协议")]
    )


def audit_of(h: House, catalog: Catalog) -> FeeAudit:
    return FeeAudit(
        database=h.database, statements=h.statements, accounts=h.bank_accounts,
        sent=SentPayments(h.payments, h.vault), catalog=lambda tenant: catalog, clock=h.clock,
    )  # fmt: skip


async def report(h: House, fees: FeeAudit, **more: Any) -> FeeReport:
    now = h.clock.now()
    return await fees.audit(T, now - timedelta(days=31), now + timedelta(seconds=1), **more)


class Scene:
    """An account at a bank of paper with a tariff of 5 up to 10,000 and 10 above."""

    def __init__(self, house: House, bank: PaperBank) -> None:
        self.h, self.bank = house, bank
        bands = (Band(up_to_fen=10_000_00, flat_fen=5_00), Band(flat_fen=10_00))
        self.fees = audit_of(house, tariff(house.clock, "308", *bands))

    async def open(self) -> Scene:
        self.bank.write(A, 1_000_000_00, "opening")
        self.h.clock.advance(60)
        self.a = await self.h.add_account(A)
        self.h.clock.advance(1)
        return self

    async def paid(self, fen: int, *charges: int, bank_code: str = OTHER) -> UUID:
        """A payment that went through, and what its bank took for it."""
        payment, reference = await self.h.pay(self.a, STRANGER, fen, bank_code=bank_code)
        self.bank.debit(reference)
        await self.h.tell(self.bank.report(ReportKind.SETTLED, reference))
        for charge in charges:
            self.bank.write(A, -charge, "fee", reference, "手续费")
        return payment


@pytest.fixture(params=["memory", "postgres"])
async def scene(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Scene]:
    if request.param == "memory":
        house, bank = memory_house(clock)
    else:
        bank = PaperBank(RAIL, clock)
        database = await PostgresDatabase.connect(request.getfixturevalue("database_url"))
        house = House(database, clock, {RAIL: bank}, postgres=True)
    yield await Scene(house, bank).open()
    if isinstance(house.database, PostgresDatabase):
        await house.database.close()


async def test_each_fee_of_a_month_is_told_with_its_reason(scene: Scene) -> None:
    await scene.paid(100_00, 5_00)
    twice = await scene.paid(200_00, 5_00, 5_00)
    band = await scene.paid(300_00, 10_00)
    inside = await scene.paid(400_00, 5_00, bank_code="308110000003")
    scene.bank.write(A, -30_00, "fee", "", "账户管理费")
    scene.bank.write(A, -5_00, "fee", "NOBODYS", "手续费")
    await scene.h.read()

    found = await report(scene.h, scene.fees)
    assert {reason: tally.lines for reason, tally in found.by_reason.items()} == {
        FeeReason.AGREES: 2, FeeReason.CHARGED_TWICE: 1, FeeReason.WRONG_BAND: 1,
        FeeReason.SHOULD_BE_FREE: 1, FeeReason.NO_REFERENCE: 1, FeeReason.NOT_OURS: 1,
    }  # fmt: skip
    assert (found.lines, found.charged_fen) == (7, 65_00)
    assert found.too_much_fen == 15_00
    assert [f.payment_id for f in found.findings[:3]] == [twice, band, inside]
    assert found.findings[3].reason is FeeReason.NOT_OURS
    short = await report(scene.h, scene.fees, most=1)
    assert (len(short.findings), short.left_out) == (1, 3)
    await scene.h.settled()


async def test_a_second_charge_is_found_across_the_end_of_a_month(scene: Scene) -> None:
    payment = await scene.paid(100_00, 5_00)
    await scene.h.read()
    scene.h.clock.advance(timedelta(days=32).total_seconds())
    reference = (await scene.h.payment(payment)).reference
    scene.bank.write(A, -5_00, "fee", reference, "手续费")
    await scene.h.read()
    found = await report(scene.h, scene.fees)
    assert found.lines == 1
    assert [f.reason for f in found.findings] == [FeeReason.CHARGED_TWICE]


async def test_what_the_bank_took_back_is_not_counted(scene: Scene) -> None:
    await scene.paid(100_00, 5_00, 5_00)
    scene.bank.write(A, 5_00, "other", words="冲正 手续费")
    await scene.h.read()
    found = await report(scene.h, scene.fees)
    assert {r: t.lines for r, t in found.by_reason.items()} == {FeeReason.AGREES: 1}


async def test_a_refused_payment_may_not_cost_anything(scene: Scene) -> None:
    payment, reference = await scene.h.pay(scene.a, STRANGER, 100_00, bank_code=OTHER)
    scene.bank.debit(reference)
    scene.bank.give_back(reference)
    scene.bank.write(A, -5_00, "fee", reference)
    await scene.h.tell(scene.bank.report(ReportKind.REJECTED, reference, "RJ01"))
    await scene.h.read()
    (finding,) = (await report(scene.h, scene.fees)).findings
    assert (finding.reason, finding.payment_id) == (FeeReason.NOT_EXECUTED, payment)


async def test_one_payments_fees(scene: Scene) -> None:
    payment = await scene.paid(100_00, 5_00, 5_00)
    await scene.h.read()
    found = await scene.fees.of_payment(T, payment)
    assert (found.expected_fen, found.list_fen, found.charged_fen) == (5_00, 5_00, 10_00)
    assert [f.reason for f in found.findings] == [FeeReason.AGREES, FeeReason.CHARGED_TWICE]
    nothing = await scene.fees.of_payment(T, scene.h.ids.new())
    assert nothing.expected_fen is None and nothing.note == "not sent yet"


async def test_without_a_tariff_nobody_is_accused(scene: Scene) -> None:
    await scene.paid(100_00, 77_00)
    await scene.h.read()
    found = await report(scene.h, audit_of(scene.h, shipped()))
    assert [f.reason for f in found.findings] == [FeeReason.NO_TARIFF]
    assert found.too_much_fen == 0


async def test_a_stretch_of_time_must_not_end_before_it_begins(scene: Scene) -> None:
    now = scene.h.clock.now()
    with pytest.raises(Refused) as refused:
        await scene.fees.audit(T, now, now)
    assert refused.value.code == "fees.bad_period"


async def test_many_fees_are_read_page_by_page(scene: Scene) -> None:
    for number in range(3):
        await scene.paid(100_00 + number, 5_00)
    scene.bank.page_lines = 2000
    for _ in range(1001):
        scene.bank.write(A, -1, "fee")
    await scene.h.read()
    found = await report(scene.h, scene.fees)
    assert found.lines == 1004
    assert found.by_reason[FeeReason.NO_REFERENCE].lines == 1001


@pytest.mark.parametrize(
    ("mode", "reason", "too_much"),
    [("twice", FeeReason.CHARGED_TWICE, 2_50), ("next_band", FeeReason.WRONG_BAND, 2_50)],
)
async def test_a_sandbox_bank_that_takes_too_much_is_found_out(
    tmp_path: Path, clock: ManualClock, mode: str, reason: FeeReason, too_much: int
) -> None:
    """The whole way: order, the bank's own wire and books, its statement, the audit."""
    rule = Rule(kind=FaultKind.OVERCHARGE, mode=mode)
    async with stage(tmp_path / "sandbox", rule, clock=clock) as s:
        rail = direct(s)
        h = House(MemoryDatabase(), clock, {RAIL: rail}, postgres=False)
        own = next(a for a in s.world.accounts if RAIL in a.access_modes)
        account = await h.add_account(
            own.account, name=own.name, bank_code=own.bank_code, opening_fen=own.opening_fen
        )
        payee = next(
            p for p in s.world.payees if p.condition == "ok" and p.bank_code != own.bank_code
        )
        payment, _ = await h.pay(
            account, payee.account, 88_00, name=payee.name, bank_code=payee.bank_code
        )
        await _settled(h, s, payment, payee)
        bank = s.world.bank(own.bank_code)
        bands = [Band(up_to_fen=b.up_to_fen, flat_fen=b.fee_fen) for b in bank.fees]
        found = await report(h, audit_of(h, tariff(clock, own.bank_code, *bands)))
        assert [(f.reason, f.payment_id) for f in found.findings] == [(reason, payment)]
        assert found.too_much_fen == too_much
        await rail.close()


async def _settled(h: House, s: Stage, payment: UUID, payee: Payee) -> None:
    for _ in range(100):
        s.clock.advance(61)
        s.sandbox.network.timers.advance()
        while await h.recovery.run_once(T):
            pass
        await h.read()
        if (await h.payment(payment)).state == "completed":
            await h.read()
            return
        await asyncio.sleep(0.05)  # the bank works in real time as well
    raise AssertionError(
        f"the payment to {payee.name} stands at {(await h.payment(payment)).state}"
    )
