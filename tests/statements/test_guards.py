"""What the database itself refuses, and what the views show."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from tests.statements.house import OPENING, RAIL, House, PaperBank, T, memory_house

from caiwutong.db.postgres import PostgresDatabase, pg
from caiwutong.kernel.clock import ManualClock
from caiwutong.kernel.errors import NotFound
from caiwutong.rails.contract import ReportKind
from caiwutong.statements.views import StatementViews

A = "90730001000417"


@pytest.fixture
async def house(database: PostgresDatabase, clock: ManualClock) -> House:
    bank = PaperBank(RAIL, clock)
    made = House(database, clock, {RAIL: bank}, postgres=True)
    bank.write(A, OPENING, "opening")
    clock.advance(60)
    await made.add_account(A)
    bank.write(A, -5_00, "fee")
    bank.write(A, 7_00, "incoming")
    await made.read()
    return made


async def _do(house: House, sql: str) -> None:
    async with house.database.transaction() as tx:
        await pg(tx).execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE statement_lines SET amount_fen = 1 WHERE position = 2",
        "UPDATE statement_lines SET words = 'x' WHERE position = 3",
        "UPDATE statement_lines SET explained_by = 'interest' WHERE position = 2",
        "UPDATE statement_lines SET explained_by = 'incoming' WHERE position = 3",
        "UPDATE statement_lines SET due_at = now() WHERE position = 2",
    ],
)
async def test_what_the_bank_said_and_what_explained_it_never_changes(
    house: House, sql: str
) -> None:
    with pytest.raises(asyncpg.RestrictViolationError):
        await _do(house, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM statement_lines",
        "UPDATE bank_balances SET balance_fen = 0",
        "DELETE FROM bank_balances",
    ],
)
async def test_the_application_may_not_remove_what_the_bank_said(house: House, sql: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _do(house, sql)


async def test_one_transfer_stands_for_one_line(house: House) -> None:
    account = house.accounts[0]
    payment, ref = await house.pay(account, "6202900012345678", 10_00)
    bank: Any = house.rails[RAIL]
    bank.debit(ref)
    bank.debit(ref)
    await house.tell(bank.report(ReportKind.ACCEPTED, ref))
    await house.read()
    with pytest.raises(asyncpg.UniqueViolationError):
        await _do(
            house,
            "UPDATE statement_lines SET transfer_id = (SELECT transfer_id FROM statement_lines"
            " WHERE position = 2) WHERE position = 4",
        )
    assert (await house.lines(account))[3].payment_id == payment


def _views(house: House) -> StatementViews:
    return StatementViews(
        database=house.database, statements=house.statements, accounts=house.bank_accounts
    )


async def test_lines_come_newest_first_page_by_page(clock: ManualClock) -> None:
    house, bank = memory_house(clock)
    bank.write(A, OPENING, "opening")
    clock.advance(60)
    account = await house.add_account(A)
    for _ in range(6):
        bank.write(A, -1, "fee")
    await house.read()
    views = _views(house)
    seen: list[int] = []
    before: int | None = None
    while True:
        page = await views.lines(T, account.bank_account_id, before=before, limit=3)
        seen += [line.position for line in page.lines]
        before = page.next_before
        if before is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    with pytest.raises(NotFound):
        await views.lines(T, house.ids.new())


async def test_the_drift_of_every_account_in_pages(clock: ManualClock) -> None:
    house, bank = memory_house(clock)
    for number in ("90730001000417", "90730002000518", "90730003000619"):
        bank.write(number, OPENING, "opening")
        clock.advance(60)
        await house.add_account(number)
    await house.read()
    _, ref = await house.pay(house.accounts[0], "6202900012345678", 10_00)
    await house.tell(bank.report(ReportKind.NETTED, ref))
    views = _views(house)
    first = await views.drifts(T, limit=2)
    assert (len(first.drifts), first.settled) == (2, 1)
    rest = await views.drifts(T, after=first.next_after, limit=2)
    assert (len(rest.drifts), rest.settled, rest.next_after) == (1, 1, None)
    assert await views.drift(T, house.accounts[0].bank_account_id) == first.drifts[0]
