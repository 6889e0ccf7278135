"""The payee book: sealed, versioned, found by account."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from caiwutong.bank_accounts.model import NewPayee, PayeeChange, PayeeState
from caiwutong.bank_accounts.rules import account_index
from caiwutong.kernel.errors import Conflict, NotFound, Refused
from support.house import TENANT, House

SUPPLIER = NewPayee(name="东方钢铁有限公司", account="1100 2200 3300", bank_name="建设银行")


async def test_a_payee_is_kept_and_found_by_account(house: House) -> None:
    async with house.transaction() as tx:
        payee = await house.payees.create(tx, TENANT, SUPPLIER)
        assert payee.account == "110022003300"
        assert payee.index == account_index(house.vault, "1100-2200-3300")
        assert await house.payees.get(tx, TENANT, payee.payee_id) == payee
        assert await house.payees.by_account(tx, TENANT, "110022003300") == [payee]
        assert await house.payees.by_account(tx, "other", "110022003300") == []
        with pytest.raises(NotFound):
            await house.payees.get(tx, "other", payee.payee_id)


async def test_each_change_is_a_new_version_and_old_ones_stay_readable(house: House) -> None:
    async with house.transaction() as tx:
        first = await house.payees.create(tx, TENANT, SUPPLIER)
    house.clock.advance(60)
    async with house.transaction() as tx:
        second = await house.payees.update(
            tx, TENANT, first.payee_id, 1, PayeeChange(account="998877665544")
        )
        assert (second.version, second.name) == (2, first.name)
        assert second.changed_at > first.changed_at == second.created_at
        assert await house.payees.by_account(tx, TENANT, "110022003300") == []
        assert await house.payees.by_account(tx, TENANT, "998877665544") == [second]
        assert await house.payees.page(tx, TENANT) == [second]
        assert await house.payees.versions(tx, TENANT, first.payee_id) == [first, second]


async def test_an_update_of_an_old_version_is_refused(house: House) -> None:
    async with house.transaction() as tx:
        payee = await house.payees.create(tx, TENANT, SUPPLIER)
        stop = PayeeChange(state=PayeeState.STOPPED)
        await house.payees.update(tx, TENANT, payee.payee_id, 1, stop)
        with pytest.raises(Conflict) as refused:
            await house.payees.update(tx, TENANT, payee.payee_id, 1, stop)
        assert refused.value.code == "payees.changed"


async def test_pages_follow_the_order_of_creation(house: House) -> None:
    async with house.transaction() as tx:
        made = [
            await house.payees.create(tx, TENANT, NewPayee(name=f"收款人{n}", account=f"55500{n}"))
            for n in range(3)
        ]
        assert await house.payees.page(tx, TENANT, limit=2) == made[:2]
        assert await house.payees.page(tx, TENANT, after=made[1].payee_id) == made[2:]


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (NewPayee(name="", account="110022003300"), "bank_accounts.bad_name"),
        (NewPayee(name="甲", account="１１００"), "bank_accounts.bad_account"),
        (NewPayee(name="甲", account="110022", bank_code="123"), "bank_accounts.bad_bank_code"),
    ],
)
async def test_what_is_not_well_formed_is_refused(
    memory_house: House, new: NewPayee, code: str
) -> None:
    house = memory_house
    async with house.transaction() as tx:
        with pytest.raises(Refused) as refused:
            await house.payees.create(tx, TENANT, new)
    assert refused.value.code == code


@pytest.mark.engine
async def test_of_racing_changes_one_stands(postgres_house: House) -> None:
    house = postgres_house
    async with house.transaction() as tx:
        payee = await house.payees.create(tx, TENANT, SUPPLIER)

    async def rename(n: int) -> None:
        async with house.transaction() as tx:
            change = PayeeChange(name=f"名称{n}")
            await house.payees.update(tx, TENANT, payee.payee_id, 1, change)

    results = await asyncio.gather(*(rename(n) for n in range(6)), return_exceptions=True)
    assert sum(r is None for r in results) == 1
    assert {type(r) for r in results if r is not None} == {Conflict}


@pytest.mark.engine
async def test_a_version_is_never_changed(postgres_house: House) -> None:
    async with postgres_house.transaction() as tx:
        await postgres_house.payees.create(tx, TENANT, SUPPLIER)
    for act in ("UPDATE payees SET name = 'x'", "DELETE FROM payees"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with postgres_house.transaction() as tx:
                await tx.execute(act)


async def test_the_log_is_told_of_each_version_and_never_the_number(house: House) -> None:
    async with house.transaction() as tx:
        payee = await house.payees.create(tx, TENANT, SUPPLIER, actor="person:zhang")
        change = PayeeChange(account="998877665544")
        await house.payees.update(tx, TENANT, payee.payee_id, 1, change, actor="person:li")
    told = await house.told(payee.payee_id)
    assert [(e.kind, e.actor) for e in told] == [
        ("payee.created", "person:zhang"),
        ("payee.changed", "person:li"),
    ]
    assert told[1].data()["last_four"] == "5544"
    assert all(b"998877665544" not in e.body for e in told)
