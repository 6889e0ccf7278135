"""Standing mandates: what they cover, what a day allows, who must sign them."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.approvals import rules
from caiwutong.approvals.model import (
    Ask,
    Mandate,
    MandateState,
    MandateTerms,
    Taken,
    Waiting,
)
from caiwutong.kernel.errors import Broken, NotFound, Refusal, Refused
from support.house import T0, TENANT, House

DAY = date(2026, 11, 23)
API_KEY = UUID(int=1)
ACCOUNT = UUID(int=2)
PAYEE = b"payee-index-0001"


def terms(**more: Any) -> MandateTerms:
    fields: dict[str, Any] = {
        "api_key_id": API_KEY,
        "bank_account_ids": (ACCOUNT,),
        "payees": (PAYEE,),
        "per_payment_fen": 1_000_00,
        "daily_fen": 1_500_00,
        "valid_from": T0,
        "valid_until": T0 + timedelta(days=30),
    }
    return MandateTerms(**(fields | more))


def ask(amount_fen: int = 500_00, **more: Any) -> Ask:
    fields: dict[str, Any] = {
        "api_key_id": API_KEY,
        "bank_account_id": ACCOUNT,
        "payee_index": PAYEE,
        "amount_fen": amount_fen,
        "day": DAY,
    }
    return Ask(**(fields | more))


async def decide(house: House, *asks: Ask) -> list[UUID | Refusal]:
    async with house.transaction() as tx:
        return await house.approvals.decide_many(tx, TENANT, asks, house.clock.now())


def codes(outcomes: list[UUID | Refusal]) -> list[str]:
    return [o.code if isinstance(o, Refusal) else "covered" for o in outcomes]


async def used(house: House, mandate_id: UUID, day: date = DAY) -> int:
    async with house.transaction() as tx:
        return (await house.approvals.usage(tx, TENANT, mandate_id, day)).used_fen


async def test_a_mandate_covers_orders_inside_its_terms_and_says_why_not_outside(
    house: House,
) -> None:
    mandate_id = await house.give_mandate(terms(), await house.hire("张三", "李四"))
    outcomes = await decide(
        house,
        ask(),
        ask(api_key_id=UUID(int=9)),
        ask(bank_account_id=UUID(int=9)),
        ask(payee_index=b"somebody else 01"),
        ask(1_000_01),
        ask(1_000_00),
        ask(1),
        ask(1, day=DAY + timedelta(days=1)),
    )
    assert outcomes[0] == outcomes[5] == outcomes[7] == mandate_id
    assert codes(outcomes) == [
        "covered",
        "approvals.no_mandate",
        "approvals.account_not_covered",
        "approvals.payee_not_covered",
        "approvals.per_payment_limit",
        "covered",
        "approvals.daily_limit",
        "covered",
    ]
    assert await used(house, mandate_id) == 1_500_00
    assert await used(house, mandate_id, DAY + timedelta(days=1)) == 1


async def test_a_refused_order_uses_nothing_of_the_day(house: House) -> None:
    mandate_id = await house.give_mandate(terms(), await house.hire("张三", "李四"))
    assert codes(await decide(house, ask(1_000_00), ask(600_00), ask(500_00))) == [
        "covered",
        "approvals.daily_limit",
        "covered",
    ]
    assert await used(house, mandate_id) == 1_500_00


async def test_before_and_after_its_time_a_mandate_covers_nothing(house: House) -> None:
    soon = terms(valid_from=T0 + timedelta(hours=1), valid_until=T0 + timedelta(hours=2))
    mandate_id = await house.give_mandate(soon, await house.hire("张三", "李四"))
    assert codes(await decide(house, ask())) == ["approvals.mandate_not_valid"]
    house.clock.advance(3600)
    assert await decide(house, ask()) == [mandate_id]
    house.clock.advance(3600)
    assert codes(await decide(house, ask())) == ["approvals.mandate_not_valid"]


async def test_without_two_different_signers_a_mandate_covers_nothing(house: House) -> None:
    one, two = await house.hire("张三", "李四")
    mandate_id = await house.give_mandate(terms(), [one])
    async with house.transaction() as tx:
        mandate = await house.approvals.mandate(tx, TENANT, mandate_id)
    subject = house.approvals.subject_of(mandate)
    assert await house.sign(one, subject) == Waiting(missing=1)
    assert codes(await decide(house, ask())) == ["approvals.no_mandate"]
    await house.sign(two, subject)
    assert await decide(house, ask()) == [mandate_id]


async def test_any_payee_must_be_written_and_no_account_means_none(house: House) -> None:
    people = await house.hire("张三", "李四")
    mandate_id = await house.give_mandate(terms(payees="any"), people)
    assert await decide(house, ask(payee_index=b"anybody at all 1")) == [mandate_id]
    for wrong, code in (
        (terms(bank_account_ids=()), "approvals.no_accounts"),
        (terms(payees=()), "approvals.no_payees"),
        (terms(daily_fen=0), "approvals.bad_limit"),
        (terms(valid_until=T0), "approvals.bad_validity"),
    ):
        with pytest.raises(Refused) as refused:
            await house.give_mandate(wrong, people)
        assert refused.value.code == code


async def test_a_second_mandate_takes_over_where_the_first_is_used_up(house: House) -> None:
    people = await house.hire("张三", "李四")
    first = await house.give_mandate(terms(daily_fen=1_000_00), people)
    second = await house.give_mandate(terms(daily_fen=700_00), people)
    assert await decide(house, ask(600_00), ask(600_00), ask(400_00)) == [first, second, first]


async def test_a_cancelled_order_gives_its_part_of_the_day_back_once(house: House) -> None:
    mandate_id = await house.give_mandate(terms(), await house.hire("张三", "李四"))
    await decide(house, ask(1_000_00), ask(500_00))
    async with house.transaction() as tx:
        await house.approvals.give_back_many(tx, TENANT, [Taken(mandate_id, DAY, 1_000_00)])
    assert await used(house, mandate_id) == 500_00
    with pytest.raises(Broken):
        async with house.transaction() as tx:
            twice = [Taken(mandate_id, DAY, 300_00), Taken(mandate_id, DAY, 300_00)]
            await house.approvals.give_back_many(tx, TENANT, twice)
    assert await used(house, mandate_id) == 500_00


async def test_a_revoked_mandate_covers_nothing_for_ever(house: House) -> None:
    people = await house.hire("张三", "李四")
    mandate_id = await house.give_mandate(terms(), people)
    async with house.transaction() as tx:
        revoked = await house.approvals.revoke_mandate(tx, TENANT, mandate_id, T0)
        again = await house.approvals.revoke_mandate(tx, TENANT, mandate_id, T0)
    assert revoked.state is MandateState.REVOKED and again == revoked
    assert codes(await decide(house, ask())) == ["approvals.no_mandate"]


async def test_a_mandate_revoked_before_its_signatures_never_begins(house: House) -> None:
    one, two = await house.hire("张三", "李四")
    mandate_id = await house.give_mandate(terms(), [one])
    async with house.transaction() as tx:
        mandate = await house.approvals.revoke_mandate(tx, TENANT, mandate_id, T0)
    with pytest.raises(NotFound):
        await house.sign(two, house.approvals.subject_of(mandate))


async def test_another_tenants_mandate_is_not_there(house: House) -> None:
    mandate_id = await house.give_mandate(terms(), await house.hire("张三", "李四"))
    async with house.transaction() as tx:
        outcomes = await house.approvals.decide_many(tx, "other", [ask()], T0)
        assert codes(outcomes) == ["approvals.no_mandate"]
        with pytest.raises(NotFound):
            await house.approvals.mandate(tx, "other", mandate_id)
        assert await house.approvals.mandates(tx, "other") == []


@given(st.data())
def test_the_days_limit_is_used_exactly_as_far_as_orders_were_covered(data: st.DataObject) -> None:
    mandates = [
        Mandate(
            mandate_id=UUID(int=n),
            tenant=TENANT,
            terms=terms(
                payees="any",
                per_payment_fen=data.draw(st.integers(1, 50)),
                daily_fen=data.draw(st.integers(1, 100)),
            ),
            state=MandateState.ACTIVE,
            maker=API_KEY,
            digest=bytes(32),
            proposed_at=T0,
        )
        for n in range(data.draw(st.integers(0, 3)))
    ]
    asks = [ask(a) for a in data.draw(st.lists(st.integers(1, 60), max_size=20))]
    planned = rules.plan([rules.cover(m) for m in mandates], asks, T0)
    days = {
        key: rules.Day(mandates[key[0].int].terms.daily_fen, 0)
        for key in rules.days_of(planned, asks)
    }
    outcomes = rules.take(planned, days, asks)
    for mandate in mandates:
        covered = sum(
            a.amount_fen for a, o in zip(asks, outcomes, strict=True) if o == mandate.mandate_id
        )
        day = days.get((mandate.mandate_id, DAY))
        assert covered == (day.used_fen if day else 0) <= mandate.terms.daily_fen
    for a, outcome in zip(asks, outcomes, strict=True):
        if isinstance(outcome, Refusal):
            assert not any(
                a.amount_fen <= m.terms.per_payment_fen
                and (d := days[(m.mandate_id, DAY)]).used_fen + a.amount_fen <= d.limit_fen
                for m in mandates
            )


def test_any_other_term_is_another_digest() -> None:
    first = rules.mandate_digest(UUID(int=1), terms())
    others = [
        rules.mandate_digest(UUID(int=2), terms()),
        *(
            rules.mandate_digest(UUID(int=1), msgspec.structs.replace(terms(), **change))
            for change in (
                {"api_key_id": UUID(int=7)},
                {"bank_account_ids": (ACCOUNT, UUID(int=7))},
                {"payees": "any"},
                {"per_payment_fen": 1},
                {"daily_fen": 1},
                {"valid_from": T0 - timedelta(days=1)},
                {"valid_until": T0 + timedelta(days=31)},
            )
        ),
    ]
    assert len({first, *others}) == 1 + len(others)


@pytest.mark.engine
async def test_fifty_at_once_never_pass_the_days_limit(postgres_house: House) -> None:
    house = postgres_house
    people = await house.hire("张三", "李四")
    a = await house.give_mandate(terms(daily_fen=1_500_00), people)
    b = await house.give_mandate(terms(daily_fen=700_00), people)

    async def one(n: int) -> list[UUID | Refusal]:
        # Both days in either order: usage rows are locked in one order all the same.
        days = [DAY, DAY + timedelta(days=1)]
        asks = [ask(90_00 + n, day=day) for day in (days if n % 2 else days[::-1])]
        return await decide(house, *asks)

    batches = await asyncio.gather(*(one(n) for n in range(50)))
    taken = {(m, d): 0 for m in (a, b) for d in (DAY, DAY + timedelta(days=1))}
    for n, outcomes in enumerate(batches):
        days = [DAY, DAY + timedelta(days=1)]
        for day, outcome in zip(days if n % 2 else days[::-1], outcomes, strict=True):
            if isinstance(outcome, UUID):
                taken[(outcome, day)] += 90_00 + n
    for (mandate_id, day), fen in taken.items():
        assert await used(house, mandate_id, day) == fen
        limit = 1_500_00 if mandate_id == a else 700_00
        assert limit - 90_49 <= fen <= limit


@pytest.mark.engine
@pytest.mark.parametrize(
    "act",
    [
        "UPDATE mandate_usage SET used_fen = limit_fen + 1",
        "UPDATE mandate_usage SET limit_fen = limit_fen + 1",
        "INSERT INTO mandate_usage SELECT tenant, mandate_id, '2026-12-24', 0, daily_fen + 1 "
        "FROM mandates",
        "UPDATE mandates SET daily_fen = daily_fen + 1",
        "UPDATE mandates SET payees = NULL",
        "UPDATE mandates SET state = 'proposed'",
    ],
)
async def test_the_database_refuses_to_widen_a_mandate_whoever_asks(
    postgres_house: House, database_url: str, act: str
) -> None:
    house = postgres_house
    await house.give_mandate(terms(), await house.hire("张三", "李四"))
    await decide(house, ask())
    superuser = await asyncpg.connect(database_url)
    with pytest.raises((asyncpg.CheckViolationError, asyncpg.RestrictViolationError)):
        await superuser.execute(act)
    await superuser.close()


@pytest.mark.engine
@pytest.mark.parametrize(
    "act",
    [
        "UPDATE mandates SET daily_fen = 1",
        "UPDATE mandates SET api_key_id = gen_random_uuid()",
        "UPDATE mandate_usage SET limit_fen = 1",
        "DELETE FROM mandates",
        "DELETE FROM mandate_usage",
    ],
)
async def test_the_application_may_not_even_try(postgres_house: House, act: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with postgres_house.transaction() as tx:
            await tx.execute(act)


@pytest.mark.engine
async def test_the_database_refuses_a_mandate_one_person_signed(postgres_house: House) -> None:
    house = postgres_house
    people = await house.hire("张三", "李四")
    await house.give_mandate(terms(), people[:1])
    for act in (
        "UPDATE mandates SET state = 'active'",
        "UPDATE signing_requests SET state = 'decided', ended_at = now()",
        "INSERT INTO mandates SELECT tenant, gen_random_uuid(), api_key_id, bank_account_ids, "
        "payees, per_payment_fen, daily_fen, valid_from, valid_until, digest, maker, 'active', "
        "proposed_at FROM mandates",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            async with house.transaction() as tx:
                await tx.execute(act)


async def test_the_log_holds_a_mandates_life_and_its_signatures(house: House) -> None:
    people = await house.hire("张三", "李四")
    mandate_id = await house.give_mandate(terms(), people)
    async with house.transaction() as tx:
        mandate = await house.approvals.revoke_mandate(tx, TENANT, mandate_id, T0, actor="person:x")
    told = await house.told(mandate_id)
    assert [(e.kind, e.subject_kind) for e in told] == [
        ("mandate.proposed", "mandate"),
        ("signature.given", "mandate"),
        ("signature.given", "mandate"),
        ("mandate.activated", "mandate"),
        ("mandate.revoked", "mandate"),
    ]
    assert [e.data()["missing"] for e in told[1:3]] == [1, 0]
    assert told[1].actor == f"person:{people[0].person_id}"
    assert told[0].data()["digest"] == mandate.digest.hex()


@pytest.mark.engine
async def test_terms_altered_between_proposal_and_signature_are_found(
    postgres_house: House, database_url: str
) -> None:
    house = postgres_house
    one, two = await house.hire("张三", "李四")
    mandate_id = await house.give_mandate(terms(), [one])
    superuser = await asyncpg.connect(database_url)
    await superuser.execute("ALTER TABLE mandates DISABLE TRIGGER mandate_guard")
    await superuser.execute("UPDATE mandates SET daily_fen = daily_fen * 100")
    await superuser.close()
    async with house.transaction() as tx:
        mandate = await house.approvals.mandate(tx, TENANT, mandate_id)
    with pytest.raises(Broken) as broken:
        await house.sign(two, house.approvals.subject_of(mandate))
    assert broken.value.code == "approvals.mandate_altered"


async def test_a_time_without_its_zone_is_refused_and_zones_do_not_change_the_digest(
    house: House,
) -> None:
    china = timezone(timedelta(hours=8))
    people = await house.hire("张三", "李四")
    naive = terms(valid_until=datetime(2027, 1, 1))
    with pytest.raises(Refused) as refused:
        await house.give_mandate(naive, people)
    assert refused.value.code == "approvals.bad_validity"
    local = terms(valid_from=T0.astimezone(china))
    mandate_id = await house.give_mandate(local, people)
    assert await decide(house, ask()) == [mandate_id]
    async with house.transaction() as tx:
        mandate = await house.approvals.mandate(tx, TENANT, mandate_id)
    assert mandate.digest == rules.mandate_digest(mandate_id, terms())
