"""People's signatures: different people, never the maker, what was signed is what is done, once."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from caiwutong.approvals import rules
from caiwutong.approvals.model import Decided, NewRequest, PolicyStep, Subject, Waiting
from caiwutong.crypto.gm import Sm2PrivateKey, signature_to_raw
from caiwutong.db.database import Tx
from caiwutong.identity.model import KeyAlgorithm, Person, PersonState
from caiwutong.kernel.clock import SystemRandomness
from caiwutong.kernel.errors import Broken, Conflict, NotFound, Refused
from support.house import T0, TENANT, House

MACHINE = UUID(int=77)


class Heard:
    """Whoever is bound to payments: remembers what it was told."""

    def __init__(self) -> None:
        self.subjects: list[tuple[str, Subject]] = []
        self.broken = False

    async def __call__(self, tx: Tx, tenant: str, subject: Subject) -> None:
        if self.broken:
            raise Broken("test.broken", "The neighbour fails.")
        self.subjects.append((tenant, subject))


@pytest.fixture
def heard(request: pytest.FixtureRequest) -> Heard:
    return Heard()


def payment(content: str = "pay", number: int = 1) -> Subject:
    return Subject("payment", UUID(int=number), hashlib.sha256(content.encode()).digest())


async def asked(house: House, subject: Subject, needed: int = 2, maker: UUID = MACHINE) -> None:
    async with house.transaction() as tx:
        await house.approvals.request(tx, TENANT, subject, needed, maker, house.clock.now())


async def test_enough_different_people_decide_once(house: House, heard: Heard) -> None:
    house.approvals.bind("payment", heard)
    one, two, three = await house.hire("张三", "李四", "王五")
    await asked(house, payment())
    assert await house.sign(one, payment()) == Waiting(missing=1)
    assert heard.subjects == []
    assert await house.sign(two, payment()) == Decided()
    assert heard.subjects == [(TENANT, payment())]
    assert await house.sign(three, payment()) == Decided(again=True)
    assert await house.sign(one, payment()) == Decided(again=True)
    assert len(heard.subjects) == 1
    async with house.transaction() as tx:
        rows = await house.approvals.signatures(tx, TENANT, "payment", payment().id)
        assert [row.person_id for row in rows] == [one.person_id, two.person_id]
        request = await house.approvals.signing(tx, TENANT, "payment", payment().id)
        assert request is not None and request.state == "decided"


async def test_the_same_person_twice_counts_once(house: House, heard: Heard) -> None:
    house.approvals.bind("payment", heard)
    (one,) = await house.hire("张三")
    await asked(house, payment())
    assert await house.sign(one, payment()) == Waiting(missing=1)
    assert await house.sign(one, payment()) == Waiting(missing=1)


async def test_the_maker_never_signs(house: House) -> None:
    (one,) = await house.hire("张三")
    await asked(house, payment(), needed=1, maker=one.person_id)
    with pytest.raises(Refused) as refused:
        await house.sign(one, payment())
    assert refused.value.code == "approvals.maker_may_not_sign"


async def test_changed_content_voids_every_signature(house: House, heard: Heard) -> None:
    house.approvals.bind("payment", heard)
    one, two = await house.hire("张三", "李四")
    await asked(house, payment("1,000 to A"))
    await house.sign(one, payment("1,000 to A"))
    await asked(house, payment("1,000 to B"))
    with pytest.raises(Conflict) as refused:
        await house.sign(two, payment("1,000 to A"))
    assert refused.value.code == "approvals.changed"
    assert await house.sign(two, payment("1,000 to B")) == Waiting(missing=1)
    assert await house.sign(one, payment("1,000 to B")) == Decided()
    assert heard.subjects == [(TENANT, payment("1,000 to B"))]


async def test_asking_again_for_the_same_content_keeps_the_signatures(
    house: House, heard: Heard
) -> None:
    house.approvals.bind("payment", heard)
    one, two = await house.hire("张三", "李四")
    await asked(house, payment())
    await house.sign(one, payment())
    await asked(house, payment())
    assert await house.sign(two, payment()) == Decided()
    await asked(house, payment())
    assert await house.sign(two, payment()) == Decided(again=True)
    assert len(heard.subjects) == 1


async def test_a_signature_over_anything_else_is_refused(house: House) -> None:
    one, two = await house.hire("张三", "李四")
    await asked(house, payment())
    wrong = [
        house.signature(one, payment("other content")),
        house.signature(one, payment(number=2)),
        house.signature(one, Subject("payee", payment().id, payment().digest)),
        house.signature(one, payment(), tenant="other"),
        house.signature(two, payment()),
        b"",
        bytes(64),
    ]
    for signature in wrong:
        with pytest.raises(Refused) as refused:
            async with house.transaction() as tx:
                await house.approvals.sign(tx, TENANT, payment(), one.person_id, signature, T0)
        assert refused.value.code == "approvals.bad_signature"
    async with house.transaction() as tx:
        assert await house.approvals.signatures(tx, TENANT, "payment", payment().id) == []


async def test_people_may_sign_with_sm2_in_der_or_raw(house: House, heard: Heard) -> None:
    house.approvals.bind("payment", heard)
    keys = [Sm2PrivateKey.generate(SystemRandomness()) for _ in range(2)]
    people: list[Person] = []
    async with house.transaction() as tx:
        for n, key in enumerate(keys):
            point = bytes.fromhex(key.public.to_hex())
            person = await house.identity.create_person(
                tx, TENANT, f"国密{n}", "财务总监", KeyAlgorithm.SM2, point
            )
            people.append(person)
    await asked(house, payment())
    message = rules.signed_bytes(TENANT, payment())
    forms = [keys[0].sign(message), signature_to_raw(keys[1].sign(message))]
    answers: list[Any] = []
    for person, signature in zip(people, forms, strict=True):
        async with house.transaction() as tx:
            answers.append(
                await house.approvals.sign(tx, TENANT, payment(), person.person_id, signature, T0)
            )
    assert answers == [Waiting(missing=1), Decided()]


async def test_who_left_may_not_sign(house: House) -> None:
    (one,) = await house.hire("张三")
    await asked(house, payment(), needed=1)
    async with house.transaction() as tx:
        await house.identity.change_person(tx, TENANT, one.person_id, 1, state=PersonState.LEFT)
    with pytest.raises(Refused) as refused:
        await house.sign(one, payment())
    assert refused.value.code == "approvals.person_may_not_sign"


async def test_nobody_signs_what_nobody_asked_for_or_was_withdrawn(house: House) -> None:
    (one,) = await house.hire("张三")
    with pytest.raises(NotFound):
        await house.sign(one, payment())
    await asked(house, payment(), needed=1)
    async with house.transaction() as tx:
        assert len(await house.approvals.waiting(tx, TENANT)) == 1
        assert await house.approvals.waiting(tx, "other") == []
        await house.approvals.withdraw(tx, TENANT, "payment", payment().id, T0)
        assert await house.approvals.waiting(tx, TENANT) == []
    with pytest.raises(NotFound):
        await house.sign(one, payment())


async def test_when_the_decision_fails_the_last_signature_is_not_kept(
    house: House, heard: Heard
) -> None:
    house.approvals.bind("payment", heard)
    (one,) = await house.hire("张三")
    await asked(house, payment(), needed=1)
    heard.broken = True
    with pytest.raises(Broken):
        await house.sign(one, payment())
    heard.broken = False
    assert await house.sign(one, payment()) == Decided()
    assert heard.subjects == [(TENANT, payment())]


async def test_many_requests_are_made_in_one_call(house: House) -> None:
    new = [NewRequest(payment(number=n), 1, MACHINE) for n in range(1, 6)]
    async with house.transaction() as tx:
        await house.approvals.request_many(tx, TENANT, new, T0)
        await house.approvals.request_many(tx, TENANT, new, T0)
        waiting = await house.approvals.waiting(tx, TENANT, limit=3)
        assert [r.subject.id.int for r in waiting] == [1, 2, 3]
        rest = await house.approvals.waiting(tx, TENANT, after=waiting[-1].subject.id)
        assert [r.subject.id.int for r in rest] == [4, 5]


async def test_the_policy_says_how_many_people_an_amount_needs(house: House) -> None:
    async with house.transaction() as tx:
        ask = house.approvals.policy
        assert await ask(tx, TENANT, 49_999_99) == 1
        assert await ask(tx, TENANT, 50_000_00) == 2
        steps = [PolicyStep(0, 1), PolicyStep(100, 2), PolicyStep(1000, 3)]
        await house.approvals.set_policy(tx, TENANT, "payment", steps, T0)
        assert [await ask(tx, TENANT, n) for n in (99, 100, 999, 1000)] == [1, 2, 2, 3]
        assert await ask(tx, "other", 1000) == 1
        assert await ask(tx, TENANT, 50_000_00, "payee") == 2


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [PolicyStep(1, 1)],
        [PolicyStep(0, 2), PolicyStep(5, 1)],
        [PolicyStep(0, 0)],
        [PolicyStep(0, 1), PolicyStep(0, 2)],
        [PolicyStep(0, 10)],
    ],
)
async def test_a_policy_without_people_or_with_fewer_for_more_is_refused(
    memory_house: House, steps: list[PolicyStep]
) -> None:
    async with memory_house.transaction() as tx:
        with pytest.raises(Refused) as refused:
            await memory_house.approvals.set_policy(tx, TENANT, "payment", steps, T0)
    assert refused.value.code == "approvals.bad_policy"


def test_the_signed_bytes_are_these_for_ever() -> None:
    subject = Subject("payment", UUID(int=0x0102), bytes(range(32)))
    assert rules.signed_bytes("demo", subject).hex() == (
        b"caiwutong-approval-v1".hex()
        + "0004" + b"demo".hex()
        + "0007" + b"payment".hex()
        + "0010" + "00" * 14 + "0102"
        + "0020" + bytes(range(32)).hex()
    )  # fmt: skip


@pytest.mark.engine
async def test_racing_signatures_decide_once(postgres_house: House, heard: Heard) -> None:
    house = postgres_house
    house.approvals.bind("payment", heard)
    people = await house.hire(*(f"人员{n}" for n in range(8)))
    for number in range(1, 6):
        subject = payment(number=number)
        await asked(house, subject, needed=3)
        answers = await asyncio.gather(*(house.sign(p, subject) for p in people + people))
        assert sum(a == Decided() for a in answers) == 1
        assert [s for _, s in heard.subjects].count(subject) == 1
        async with house.transaction() as tx:
            rows = await house.approvals.signatures(tx, TENANT, "payment", subject.id)
            assert len({row.person_id for row in rows}) == len(rows) == 3


@pytest.mark.engine
async def test_racing_requests_begin_one_round(postgres_house: House) -> None:
    house = postgres_house
    await asyncio.gather(*(asked(house, payment()) for _ in range(6)))
    async with house.transaction() as tx:
        assert await tx.value("SELECT count(*) FROM signing_requests") == 1
    await asyncio.gather(*(asked(house, payment(f"content {n}")) for n in range(4)))
    async with house.transaction() as tx:
        assert await tx.value("SELECT count(*) FROM signing_requests WHERE state = 'waiting'") == 1


@pytest.mark.engine
async def test_the_database_guards_signatures_itself(postgres_house: House) -> None:
    house = postgres_house
    one, two = await house.hire("张三", "李四")
    await asked(house, payment(), maker=two.person_id)
    await house.sign(one, payment())
    copy = (
        "INSERT INTO signatures SELECT tenant, kind, subject_id, round, {}, {}, algorithm, {}, "
        "signature, signed_at FROM signatures"
    )
    other_key = "decode('00', 'hex')"
    cases: list[tuple[str, type[Exception]]] = [
        (copy.format("person_id", "digest", other_key), asyncpg.UniqueViolationError),
        (
            copy.format("gen_random_uuid()", "digest", "public_key"),
            asyncpg.UniqueViolationError,
        ),
        (
            copy.format(f"'{two.person_id}'::uuid", "digest", other_key),
            asyncpg.CheckViolationError,
        ),
        (
            copy.format("gen_random_uuid()", "sha256('x')", other_key),
            asyncpg.CheckViolationError,
        ),
        (
            "UPDATE signing_requests SET state = 'decided', ended_at = now()",
            asyncpg.CheckViolationError,
        ),
        ("UPDATE signing_requests SET needed = 1", asyncpg.InsufficientPrivilegeError),
        ("DELETE FROM signing_requests", asyncpg.InsufficientPrivilegeError),
        ("UPDATE signatures SET signed_at = now()", asyncpg.InsufficientPrivilegeError),
        ("DELETE FROM signatures", asyncpg.InsufficientPrivilegeError),
    ]
    for act, error in cases:
        with pytest.raises(error):
            async with house.transaction() as tx:
                await tx.execute(act)


@pytest.mark.engine
async def test_even_a_superuser_must_first_disable_the_guards(
    postgres_house: House, database_url: str, heard: Heard
) -> None:
    house = postgres_house
    house.approvals.bind("payment", heard)
    one, two = await house.hire("张三", "李四")
    await asked(house, payment(number=1))
    await asked(house, payment(number=2), needed=1)
    await house.sign(one, payment(number=1))
    await house.sign(two, payment(number=2))
    superuser = await asyncpg.connect(database_url)
    for act in (
        "UPDATE signing_requests SET needed = 1",
        "UPDATE signing_requests SET state = 'waiting', ended_at = NULL WHERE state = 'decided'",
        "UPDATE signatures SET signed_at = now()",
        "DELETE FROM signatures",
        "DELETE FROM signing_requests",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await superuser.execute(act)
    await superuser.close()
