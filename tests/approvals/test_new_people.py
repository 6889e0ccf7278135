"""New signers: whoever could add them alone could move money alone."""

from __future__ import annotations

import asyncio
from uuid import UUID

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caiwutong.approvals.model import Decided, Waiting
from caiwutong.identity.model import KeyAlgorithm, Person, PersonState
from caiwutong.kernel.errors import Conflict, Refused
from support.house import T0, TENANT, House

MACHINE = UUID(int=77)


async def proposed(house: House, name: str) -> Person:
    key = Ed25519PrivateKey.generate()
    async with house.transaction() as tx:
        person = await house.approvals.propose_person(
            tx, TENANT, name, "出纳", KeyAlgorithm.ED25519,
            key.public_key().public_bytes_raw(), MACHINE, T0,
        )  # fmt: skip
    house.keys[person.person_id] = key
    return person


async def state(house: House, person: Person) -> PersonState:
    async with house.transaction() as tx:
        return (await house.identity.person(tx, TENANT, person.person_id)).state


async def test_the_first_two_are_founders_and_everyone_after_them_is_proposed(house: House) -> None:
    people = [await proposed(house, name) for name in ("张三", "李四", "王五", "赵六")]
    assert [p.state for p in people] == ["active", "active", "proposed", "proposed"]


async def test_a_proposed_person_signs_only_after_two_people_signed_for_them(house: House) -> None:
    one, two, new = [await proposed(house, name) for name in ("张三", "李四", "王五")]
    subject = house.approvals.subject_of_person(new)
    with pytest.raises(Refused) as refused:
        await house.sign(new, subject)
    assert refused.value.code == "approvals.person_may_not_sign"
    assert await house.sign(one, subject) == Waiting(missing=1)
    assert await state(house, new) is PersonState.PROPOSED
    assert await house.sign(two, subject) == Decided()
    assert await state(house, new) is PersonState.ACTIVE
    last = await proposed(house, "赵六")
    assert await house.sign(new, house.approvals.subject_of_person(last)) == Waiting(missing=1)


async def test_founders_who_left_leave_no_room_for_new_ones(house: House) -> None:
    for person in [await proposed(house, name) for name in ("张三", "李四")]:
        async with house.transaction() as tx:
            await house.identity.change_person(
                tx, TENANT, person.person_id, 1, state=PersonState.LEFT
            )
    assert (await proposed(house, "王五")).state is PersonState.PROPOSED


async def test_nobody_becomes_active_by_a_change_alone(house: House) -> None:
    one, _, new = [await proposed(house, name) for name in ("张三", "李四", "王五")]
    async with house.transaction() as tx:
        await house.identity.change_person(tx, TENANT, one.person_id, 1, state=PersonState.LEFT)
    for person, version in ((one, 2), (new, 1)):
        with pytest.raises(Refused) as refused:
            async with house.transaction() as tx:
                await house.identity.change_person(
                    tx, TENANT, person.person_id, version, state=PersonState.ACTIVE
                )
        assert refused.value.code == "identity.person_needs_signatures"


async def test_a_person_changed_after_the_first_signature_is_not_the_one_signed(
    house: House,
) -> None:
    one, two, new = [await proposed(house, name) for name in ("张三", "李四", "王五")]
    subject = house.approvals.subject_of_person(new)
    await house.sign(one, subject)
    async with house.transaction() as tx:
        await house.identity.rename(tx, TENANT, Person, new.person_id, 1, "王大")
    with pytest.raises(Conflict) as refused:
        await house.sign(two, subject)
    assert refused.value.code == "identity.person_changed"
    assert await state(house, new) is PersonState.PROPOSED


@pytest.mark.engine
async def test_of_many_at_once_two_are_founders(postgres_house: House) -> None:
    people = await asyncio.gather(*(proposed(postgres_house, f"人员{n}") for n in range(8)))
    assert sorted(p.state for p in people) == ["active"] * 2 + ["proposed"] * 6


@pytest.mark.engine
async def test_the_database_lets_nobody_in_without_signatures(postgres_house: House) -> None:
    house = postgres_house
    one, _, _ = [await proposed(house, name) for name in ("张三", "李四", "王五")]
    async with house.transaction() as tx:
        await house.identity.change_person(tx, TENANT, one.person_id, 1, state=PersonState.LEFT)
    for act, error in (
        (
            "UPDATE people SET state = 'active' WHERE state = 'proposed'",
            asyncpg.CheckViolationError,
        ),
        ("UPDATE people SET state = 'active' WHERE state = 'left'", asyncpg.RestrictViolationError),
        ("UPDATE people SET state = 'proposed'", asyncpg.RestrictViolationError),
    ):
        with pytest.raises(error):
            async with house.transaction() as tx:
                await tx.execute(act)
