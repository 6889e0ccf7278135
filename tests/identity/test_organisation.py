"""Tenants, groups, legal entities, units, people and API keys."""

from __future__ import annotations

import asyncpg
import pytest

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.identity.model import (
    AccountingEntity,
    EnterpriseGroup,
    KeyAlgorithm,
    LegalEntity,
    MemberUnit,
    Person,
)
from caiwutong.kernel.clock import SystemRandomness
from caiwutong.kernel.errors import Conflict, NotFound, Refused
from support.house import TENANT, USCC, House


async def test_a_new_tenant_is_empty_and_its_name_is_taken(house: House) -> None:
    async with house.transaction() as tx:
        await house.identity.create_tenant(tx, "acme", "示例集团", demo=True)
        for kind in (EnterpriseGroup, LegalEntity, MemberUnit, AccountingEntity, Person):
            assert await house.identity.page(tx, "acme", kind) == []
        assert [t.tenant for t in await house.identity.tenants(tx)] == ["acme", TENANT, "other"]
        assert (await house.identity.tenant(tx, "acme")).demo
        with pytest.raises(Conflict):
            await house.identity.create_tenant(tx, "acme", "又一个")
        with pytest.raises(NotFound):
            await house.identity.tenant(tx, "nobody")


@pytest.mark.parametrize("name", ["", "a", "Acme", "1acme", "a.b", "a" * 33, "租户"])
async def test_a_tenant_needs_a_short_plain_name(memory_house: House, name: str) -> None:
    async with memory_house.transaction() as tx:
        with pytest.raises(Refused) as refused:
            await memory_house.identity.create_tenant(tx, name, "名称")
    assert refused.value.code == "identity.bad_tenant"


async def test_group_entity_unit_and_books_stand_under_each_other(house: House) -> None:
    async with house.transaction() as tx:
        books = await house.identity.create_accounting_entity(
            tx, TENANT, house.unit.member_unit_id, "b01", "上海分公司账套"
        )
        assert (
            await house.identity.accounting_entity(tx, TENANT, books.accounting_entity_id) == books
        )
        unit = await house.identity.member_unit(tx, TENANT, books.member_unit_id)
        entity = await house.identity.legal_entity(tx, TENANT, unit.legal_entity_id)
        group = await house.identity.group(tx, TENANT, entity.group_id)
        assert (unit.code, entity.uscc, group.code) == ("u01", USCC, "g")


async def test_another_tenants_records_are_not_found(house: House) -> None:
    async with house.transaction() as tx:
        with pytest.raises(NotFound):
            await house.identity.member_unit(tx, "other", house.unit.member_unit_id)
        with pytest.raises(NotFound):
            await house.identity.create_member_unit(
                tx, "other", house.entity.legal_entity_id, "u02", "单位"
            )
        assert await house.identity.page(tx, "other", MemberUnit) == []


@pytest.mark.parametrize(
    "uscc",
    [
        "91110000600037341M",
        "9111000060003734",
        "91110000600037341LL",
        "91110000600O37341L",
        "",
        "九一一一〇〇〇〇六〇〇〇三七三四一",
    ],
)
async def test_a_wrong_uscc_is_refused(memory_house: House, uscc: str) -> None:
    house = memory_house
    async with house.transaction() as tx:
        with pytest.raises(Refused) as refused:
            await house.identity.create_legal_entity(
                tx, TENANT, house.entity.group_id, "le02", "公司", uscc
            )
    assert refused.value.code == "identity.bad_uscc"


async def test_codes_and_numbers_stand_once(house: House) -> None:
    async with house.transaction() as tx:
        with pytest.raises(Conflict):
            await house.identity.create_member_unit(
                tx, TENANT, house.entity.legal_entity_id, "u01", "另一家"
            )
        with pytest.raises(Conflict):
            await house.identity.create_legal_entity(
                tx, TENANT, house.entity.group_id, "le02", "另一家", USCC.lower()
            )
        with pytest.raises(Refused) as refused:
            await house.identity.create_group(tx, TENANT, "U.1", "集团")
        assert refused.value.code == "identity.bad_code"


async def test_a_name_changes_by_version_and_codes_never(house: House) -> None:
    async with house.transaction() as tx:
        unit = await house.identity.rename(
            tx, TENANT, MemberUnit, house.unit.member_unit_id, 1, "上海公司"
        )
        assert (unit.version, unit.name, unit.code) == (2, "上海公司", "u01")
        assert await house.identity.member_unit(tx, TENANT, unit.member_unit_id) == unit
        with pytest.raises(Conflict) as refused:
            await house.identity.rename(
                tx, TENANT, MemberUnit, house.unit.member_unit_id, 1, "北京公司"
            )
        assert refused.value.code == "identity.changed"


async def test_people_are_known_by_a_key_of_their_own(house: House) -> None:
    key = Sm2PrivateKey.generate(SystemRandomness())
    point = bytes.fromhex(key.public.to_hex())
    async with house.transaction() as tx:
        person = await house.identity.create_person(
            tx, TENANT, "张三", "出纳", KeyAlgorithm.SM2, point
        )
        assert await house.identity.person(tx, TENANT, person.person_id) == person
        with pytest.raises(Conflict):
            await house.identity.create_person(tx, TENANT, "李四", "会计", KeyAlgorithm.SM2, point)
        for algorithm, wrong in (
            (KeyAlgorithm.SM2, point[:-1] + bytes([point[-1] ^ 1])),
            (KeyAlgorithm.ED25519, point),
            (KeyAlgorithm.ED25519, b""),
        ):
            with pytest.raises(Refused) as refused:
                await house.identity.create_person(tx, TENANT, "王五", "会计", algorithm, wrong)
            assert refused.value.code == "identity.bad_public_key"


async def test_api_keys_are_listed_without_secrets(house: House) -> None:
    async with house.transaction() as tx:
        key = await house.identity.create_api_key(tx, TENANT, "erp", bearer=True)
        assert await house.identity.api_keys(tx, TENANT) == [key.api_key]
        assert await house.identity.api_keys(tx, "other") == []
        assert await house.identity.api_key(tx, TENANT, key.api_key.api_key_id) == key.api_key
        with pytest.raises(NotFound):
            await house.identity.api_key(tx, "other", key.api_key.api_key_id)
        with pytest.raises(Conflict):
            await house.identity.create_api_key(tx, TENANT, "erp")
        assert key.bearer.startswith(f"{key.api_key.key_id}.") and len(key.secret) == 43


@pytest.mark.engine
async def test_the_application_deletes_no_identity_and_swaps_no_key(postgres_house: House) -> None:
    acts = [
        f"DELETE FROM {table}"
        for table in (
            "tenants",
            "people",
            "api_keys",
            "legal_entities",
            "member_units",
            "accounting_entities",
            "enterprise_groups",
        )
    ]
    for act in (
        *acts,
        "UPDATE people SET public_key = public_key",
        "UPDATE people SET algorithm = algorithm",
        "UPDATE api_keys SET sealed_secret = sealed_secret",
        "UPDATE api_keys SET bearer_hash = bearer_hash",
        "UPDATE legal_entities SET uscc = uscc",
        "UPDATE member_units SET legal_entity_id = legal_entity_id",
        "UPDATE tenants SET name = name",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with postgres_house.transaction() as tx:
                await tx.execute(act)


@pytest.mark.engine
async def test_a_revoked_key_stays_revoked(postgres_house: House, database_url: str) -> None:
    house = postgres_house
    async with house.transaction() as tx:
        key = await house.identity.create_api_key(tx, TENANT, "erp")
        await house.identity.revoke_api_key(tx, TENANT, key.api_key.api_key_id, 1)
    superuser = await asyncpg.connect(database_url)
    with pytest.raises(asyncpg.RestrictViolationError):
        await superuser.execute("UPDATE api_keys SET state = 'active', ended_at = NULL")
    await superuser.close()


async def test_the_log_is_told_of_every_record_and_never_a_secret(house: House) -> None:
    async with house.transaction() as tx:
        key = await house.identity.create_api_key(tx, TENANT, "erp", bearer=True, actor="person:x")
        api_key_id = key.api_key.api_key_id
        await house.identity.revoke_api_key(tx, TENANT, api_key_id, 1, actor="person:y")
        unit_id = house.unit.member_unit_id
        await house.identity.rename(tx, TENANT, MemberUnit, unit_id, 1, "上海公司")
    told = await house.told(api_key_id)
    assert [(e.kind, e.actor) for e in told] == [
        ("api_key.created", "person:x"),
        ("api_key.changed", "person:y"),
    ]
    assert told[1].data()["state"] == "revoked"
    for event in told:
        assert not {"sealed_secret", "bearer_hash"} & set(event.data())
        assert key.secret.encode() not in event.body
    units = await house.told(unit_id)
    assert [e.kind for e in units] == ["member_unit.created", "member_unit.changed"]
    assert units[1].data()["name"] == "上海公司"
