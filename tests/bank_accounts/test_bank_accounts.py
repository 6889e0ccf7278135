"""Our accounts at banks: added with their books, found quickly, changed by version, sealed."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from caiwutong.bank_accounts.model import AccountState, BankAccountChange, Nature
from caiwutong.kernel.errors import Broken, Conflict, NotFound, Refusal, Refused
from caiwutong.ledger.model import Done, NormalSide, Transfer
from support.house import BANK, TENANT, House


async def test_a_new_account_has_its_ledger_accounts_and_its_opening_entry(house: House) -> None:
    account = await house.open_account(opening_balance_fen=1_234_56, overdraft_fen=500_00)
    async with house.transaction() as tx:
        book = await house.ledger.account(tx, TENANT, account_id=account.ledger_account_id)
        assert book.code.startswith("1002.u01.0417-")
        assert (book.normal_side, book.overdraft_fen) == (NormalSide.DEBIT, 500_00)
        balance = await house.ledger.balance(
            tx, TENANT, account.ledger_account_id, now=house.clock.now()
        )
        assert balance.available_fen == 1_234_56
        entity = await house.accounts.entity_accounts(tx, TENANT, account.legal_entity_id)
        opening = await house.ledger.balance(tx, TENANT, entity.opening, now=house.clock.now())
        assert opening.posted_fen == 1_234_56
        assert (entity.payables, entity.suspense) == (
            account.counter_account_id,
            account.suspense_account_id,
        )
        codes = {a.code: a for a in await house.ledger.accounts(tx, TENANT)}
        assert {"2202.le01", "1221.le01.suspense", "3001.le01.opening", "6603.le01"} < set(codes)
        assert codes["2202.le01"].normal_side is NormalSide.CREDIT
        assert codes["6603.le01"].normal_side is NormalSide.DEBIT
        assert codes["1221.le01.internal"].overdraft_fen is None
        assert all(proof.holds for proof in await house.ledger.trial_balance(tx, TENANT))


async def test_an_overdrawn_account_opens_below_zero(house: House) -> None:
    account = await house.open_account(opening_balance_fen=-300_00, overdraft_fen=300_00)
    async with house.transaction() as tx:
        balance = await house.ledger.balance(
            tx, TENANT, account.ledger_account_id, now=house.clock.now()
        )
        assert balance.posted_fen == -300_00


async def test_accounts_of_one_entity_share_its_books(house: House) -> None:
    first = await house.open_account("1111000011110001")
    second = await house.open_account("1111000011110002")
    assert first.counter_account_id == second.counter_account_id
    assert first.suspense_account_id == second.suspense_account_id
    assert first.ledger_account_id != second.ledger_account_id


async def test_a_number_stands_once_at_a_bank_however_it_is_written(house: House) -> None:
    await house.open_account("6222 0212-0417")
    with pytest.raises(Conflict) as refused:
        await house.open_account("622202120417")
    assert refused.value.code == "bank_accounts.exists"
    await house.open_account("622202120417", bank_code="105100000017")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"account": "12 34"}, "bank_accounts.bad_account"),
        ({"account": "账号12345"}, "bank_accounts.bad_account"),
        ({"bank_code": "10210009999"}, "bank_accounts.bad_bank_code"),
        ({"name": " "}, "bank_accounts.bad_name"),
        ({"name": "甲\n乙"}, "bank_accounts.bad_name"),
        ({"access_modes": ("IBPS",)}, "bank_accounts.bad_access_mode"),
        ({"overdraft_fen": -1}, "bank_accounts.bad_overdraft"),
        ({"opening_balance_fen": -1}, "bank_accounts.bad_opening_balance"),
        ({"currency": "USD"}, "money.unknown_currency"),
    ],
)
async def test_what_is_not_well_formed_is_refused_and_changes_nothing(
    memory_house: House, more: dict[str, object], code: str
) -> None:
    house = memory_house
    with pytest.raises(Refused) as refused:
        await house.open_account(**more)  # type: ignore[arg-type]
    assert refused.value.code == code
    async with house.transaction() as tx:
        assert await house.accounts.page(tx, TENANT) == []
        assert await house.ledger.accounts(tx, TENANT) == []


async def test_an_unknown_unit_is_not_found_and_neither_is_another_tenants(house: House) -> None:
    async with house.transaction() as tx:
        with pytest.raises(NotFound):
            await house.accounts.create(
                tx, TENANT, house.new_account(member_unit_id=house.ids.new())
            )
        with pytest.raises(NotFound):
            await house.accounts.create(tx, "other", house.new_account())


async def test_accounts_are_found_by_id_number_rail_and_page(house: House) -> None:
    a = await house.open_account("1111000011110001")
    b = await house.open_account("1111000011110002", access_modes=("ibps", "bank_direct"))
    async with house.transaction() as tx:
        unknown = house.ids.new()
        found = await house.accounts.find_many(tx, TENANT, [b.bank_account_id, unknown])
        assert found == {b.bank_account_id: b}
        asked = (BANK, "1111 0000 1111 0001")
        assert await house.accounts.by_account(
            tx, TENANT, [asked, ("105100000017", "1111000011110001")]
        ) == {asked: a}
        assert await house.accounts.by_number(tx, TENANT, "1111000011110002") == [b]
        assert await house.accounts.all_for_rail(tx, TENANT, "bank_direct") == [b]
        assert await house.accounts.page(tx, TENANT, limit=1) == [a]
        assert await house.accounts.page(tx, TENANT, after=a.bank_account_id) == [b]
        unit = house.unit.member_unit_id
        assert await house.accounts.page(tx, TENANT, member_unit_id=unit) == [a, b]
        assert await house.accounts.page(tx, TENANT, member_unit_id=unknown) == []


async def test_another_tenant_sees_nothing(house: House) -> None:
    a = await house.open_account()
    async with house.transaction() as tx:
        assert await house.accounts.find_many(tx, "other", [a.bank_account_id]) == {}
        assert await house.accounts.by_number(tx, "other", a.account) == []
        assert await house.accounts.page(tx, "other") == []
        with pytest.raises(NotFound):
            await house.accounts.get(tx, "other", a.bank_account_id)


async def test_an_update_names_the_version_it_read(house: House) -> None:
    a = await house.open_account()
    stop = BankAccountChange(state=AccountState.STOPPED, nature=Nature.SPECIAL)
    async with house.transaction() as tx:
        b = await house.accounts.update(tx, TENANT, a.bank_account_id, 1, stop)
    assert (b.version, b.state, b.nature, b.account) == (2, "stopped", "special", a.account)
    async with house.transaction() as tx:
        with pytest.raises(Conflict) as refused:
            await house.accounts.update(tx, TENANT, a.bank_account_id, 1, BankAccountChange())
    assert refused.value.code == "bank_accounts.changed"


async def test_a_closed_account_does_not_change(house: House) -> None:
    a = await house.open_account()
    async with house.transaction() as tx:
        close = BankAccountChange(state=AccountState.CLOSED)
        await house.accounts.update(tx, TENANT, a.bank_account_id, 1, close)
    async with house.transaction() as tx:
        with pytest.raises(Refused) as refused:
            again = BankAccountChange(state=AccountState.ACTIVE)
            await house.accounts.update(tx, TENANT, a.bank_account_id, 2, again)
        assert refused.value.code == "bank_accounts.closed"
        assert await house.accounts.all_for_rail(tx, TENANT, "ibps") == []


async def test_the_overdraft_changes_in_the_books_too_but_not_below_what_is_used(
    house: House,
) -> None:
    a = await house.open_account(opening_balance_fen=-300_00, overdraft_fen=300_00)
    more, less = BankAccountChange(overdraft_fen=900_00), BankAccountChange(overdraft_fen=299_99)
    async with house.transaction() as tx:
        b = await house.accounts.update(tx, TENANT, a.bank_account_id, 1, more)
        book = await house.ledger.account(tx, TENANT, account_id=a.ledger_account_id)
        assert b.overdraft_fen == book.overdraft_fen == 900_00
    with pytest.raises(Refused) as refused:
        async with house.transaction() as tx:
            await house.accounts.update(tx, TENANT, a.bank_account_id, 2, less)
    assert refused.value.code == "ledger.overdraft_in_use"
    async with house.transaction() as tx:
        assert (await house.accounts.get(tx, TENANT, a.bank_account_id)).overdraft_fen == 900_00


async def test_a_change_here_is_seen_at_once_and_elsewhere_within_five_seconds(
    house: House,
) -> None:
    a = await house.open_account()
    elsewhere = house.another_process()

    async def seen(accounts: object) -> str:
        async with house.transaction() as tx:
            found = await accounts.find_many(tx, TENANT, [a.bank_account_id])  # type: ignore[attr-defined]
            return str(found[a.bank_account_id].state)

    assert await seen(house.accounts) == await seen(elsewhere) == "active"
    async with house.transaction() as tx:
        stop = BankAccountChange(state=AccountState.STOPPED)
        await house.accounts.update(tx, TENANT, a.bank_account_id, 1, stop)
    assert await seen(house.accounts) == "stopped"
    assert await seen(elsewhere) == "active"
    house.clock.advance(5.1)
    assert await seen(elsewhere) == "stopped"


async def test_what_is_rolled_back_is_not_kept_in_the_process(house: House) -> None:
    class Stop(Exception):
        pass

    a = await house.open_account()
    with pytest.raises(Stop):
        async with house.transaction() as tx:
            stop = BankAccountChange(state=AccountState.STOPPED)
            await house.accounts.update(tx, TENANT, a.bank_account_id, 1, stop)
            inside = await house.accounts.find_many(tx, TENANT, [a.bank_account_id])
            assert inside[a.bank_account_id].state == "stopped"
            raise Stop
    async with house.transaction() as tx:
        after = await house.accounts.find_many(tx, TENANT, [a.bank_account_id])
    assert after[a.bank_account_id].state == "active"


async def test_a_second_read_asks_the_store_nothing(house: House) -> None:
    a = await house.open_account()
    async with house.transaction() as tx:
        first = await house.accounts.find_many(tx, TENANT, [a.bank_account_id])
    # No transaction stands behind this one: only what is kept can answer.
    assert await house.accounts.find_many(object(), TENANT, [a.bank_account_id]) == first  # type: ignore[arg-type]


@pytest.mark.engine
async def test_the_number_is_nowhere_in_the_database(postgres_house: House) -> None:
    house = postgres_house
    await house.open_account("8888777766665555")
    async with house.transaction() as tx:
        row = await tx.fetch_one("SELECT bank_accounts::text AS it FROM bank_accounts")
        assert "8888777766665555" not in row["it"]
        assert b"8888777766665555".hex() not in row["it"]
        assert "5555" in row["it"]


@pytest.mark.engine
async def test_two_at_once_add_the_same_number_once(postgres_house: House) -> None:
    house = postgres_house
    results = await asyncio.gather(
        *(house.open_account(opening_balance_fen=100) for _ in range(6)), return_exceptions=True
    )
    assert sum(not isinstance(r, BaseException) for r in results) == 1
    assert {type(r) for r in results if isinstance(r, BaseException)} == {Conflict}
    async with house.transaction() as tx:
        assert len(await house.accounts.page(tx, TENANT)) == 1
        assert all(proof.holds for proof in await house.ledger.trial_balance(tx, TENANT))


@pytest.mark.engine
async def test_an_account_is_never_deleted_nor_given_another_number(
    postgres_house: House, database_url: str
) -> None:
    house = postgres_house
    a = await house.open_account()
    for act in (
        "DELETE FROM bank_accounts",
        "UPDATE bank_accounts SET account_sealed = account_sealed",
        "UPDATE bank_accounts SET account_index = account_index",
        "UPDATE bank_accounts SET bank_code = bank_code",
        "UPDATE bank_accounts SET ledger_account_id = ledger_account_id",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with house.transaction() as tx:
                await tx.execute(act)
    async with house.transaction() as tx:
        close = BankAccountChange(state=AccountState.CLOSED)
        await house.accounts.update(tx, TENANT, a.bank_account_id, 1, close)
    superuser = await asyncpg.connect(database_url)
    for act in ("DELETE FROM bank_accounts", "UPDATE bank_accounts SET state = 'active'"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await superuser.execute(act)
    await superuser.close()


async def test_a_sealed_number_does_not_open_in_another_row(house: House) -> None:
    """Whoever can write rows cannot move one account's number under another's name."""
    a = await house.open_account("1111000011110001")
    b = await house.open_account("1111000011110002")
    async with house.transaction() as tx:
        rows = await house.account_store.by_id(tx, TENANT, [a.bank_account_id, b.bank_account_id])
    sealed = {row.bank_account_id: row.account_sealed for row in rows}
    place = f"{TENANT}/{b.bank_account_id}/account".encode()
    assert house.vault.open("bank_account", sealed[b.bank_account_id], place) == b.account.encode()
    with pytest.raises(Broken):
        house.vault.open("bank_account", sealed[a.bank_account_id], place)


async def test_a_raised_overdraft_is_not_added_to_what_the_bank_took_beyond_the_old(
    house: House,
) -> None:
    a = await house.open_account()
    now = house.clock.now()

    async def transfer(amount_fen: int, *, forced: bool) -> object:
        async with house.transaction() as tx:
            books = await house.accounts.entity_accounts(tx, TENANT, a.legal_entity_id)
            fee = Transfer(
                transfer_id=house.ids.new(),
                debit=books.fees,
                credit=a.ledger_account_id,
                amount_fen=amount_fen,
                at=now,
                kind="fee",
                forced=forced,
            )
            return (await house.ledger.transfer_many(tx, TENANT, [fee]))[0]

    assert isinstance(await transfer(50_00, forced=True), Done)
    async with house.transaction() as tx:
        change = BankAccountChange(overdraft_fen=80_00)
        await house.accounts.update(tx, TENANT, a.bank_account_id, 1, change)
    assert isinstance(await transfer(30_01, forced=False), Refusal)
    assert isinstance(await transfer(30_00, forced=False), Done)


async def test_the_log_is_told_who_changed_what_and_never_the_number(house: House) -> None:
    async with house.transaction() as tx:
        a = await house.accounts.create(tx, TENANT, house.new_account(), actor="person:zhang")
        stop = BankAccountChange(state=AccountState.STOPPED)
        await house.accounts.update(tx, TENANT, a.bank_account_id, 1, stop, actor="person:li")
    told = await house.told(a.bank_account_id)
    assert [(e.kind, e.subject_kind, e.actor) for e in told] == [
        ("bank_account.created", "bank_account", "person:zhang"),
        ("bank_account.changed", "bank_account", "person:li"),
    ]
    assert told[1].data()["state"] == "stopped" and told[0].data()["last_four"] == "0417"
    assert all(a.account.encode() not in e.body for e in told)
    with pytest.raises(Conflict):
        await house.open_account()
    assert len(await house.told(a.bank_account_id)) == 2
