"""Who is calling: proofs accepted once, refusals that tell nothing about others."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from caiwutong.identity import http_signatures as http
from caiwutong.identity.http_signatures import RequestFacts
from caiwutong.identity.model import ApiKeySecrets
from caiwutong.kernel.errors import Unauthorised
from support.house import TENANT, House

NONCE = "0123456789abcdef"


async def made(house: House, *, bearer: bool = False, tenant: str = TENANT) -> ApiKeySecrets:
    async with house.transaction() as tx:
        return await house.identity.create_api_key(tx, tenant, "erp", bearer=bearer)


def request(house: House, key: ApiKeySecrets, **more: Any) -> RequestFacts:
    key_id = more.pop("key_id", key.api_key.key_id)
    key_is_nonce = more.pop("key_is_nonce", False)
    fields: dict[str, Any] = {"method": "POST", "path": "/v1/webhooks", "body": b"{}"}
    fields |= {k: v for k, v in more.items() if k != "nonce"}
    headers = http.sign(
        base64.urlsafe_b64decode(key.secret + "="),
        key_id,
        nonce=more.get("nonce", NONCE),
        created=int(house.clock.now().timestamp()),
        **fields,
    )
    return RequestFacts(
        **fields,
        content_digest=headers["Content-Digest"],
        signature_input=headers["Signature-Input"],
        signature=headers["Signature"],
        key_is_nonce=key_is_nonce,
    )


async def refused(house: House, facts: RequestFacts) -> Unauthorised:
    with pytest.raises(Unauthorised) as error:
        await house.door.authenticate(facts)
    return error.value


async def test_a_signed_request_says_who_is_calling(house: House) -> None:
    key = await made(house)
    caller = await house.door.authenticate(request(house, key))
    assert (caller.tenant, caller.api_key_id, caller.name) == (
        TENANT,
        key.api_key.api_key_id,
        "erp",
    )


async def test_a_signed_write_is_done_once(house: House) -> None:
    key = await made(house)
    facts = request(house, key)
    await house.door.authenticate(facts)
    assert (await refused(house, facts)).code == "auth.replayed"
    await house.door.authenticate(request(house, key, nonce=NONCE + "2"))


async def test_a_nonce_is_remembered_until_its_signature_expires(house: House) -> None:
    key = await made(house)
    facts = request(house, key)
    await house.door.authenticate(facts)
    house.clock.advance(http.MAX_LIFE_S + http.CLOCK_SKEW_S - 1)
    assert await house.door.forget_nonces(TENANT) == 0
    assert (await refused(house, facts)).code == "auth.replayed"
    house.clock.advance(2)
    assert await house.door.forget_nonces("other") == 0
    assert await house.door.forget_nonces(TENANT) == 1
    assert (await refused(house, facts)).code == "auth.expired"


async def test_an_idempotency_key_is_the_nonce_where_the_handler_binds_it(house: House) -> None:
    key = await made(house)
    bound = request(house, key, nonce="", idempotency_key="INV-1", key_is_nonce=True)
    assert await house.door.authenticate(bound) == await house.door.authenticate(bound)
    unbound = request(house, key, nonce="", idempotency_key="INV-1")
    assert (await refused(house, unbound)).code == "auth.nonce_missing"
    no_key = request(house, key, nonce="", key_is_nonce=True)
    assert (await refused(house, no_key)).code == "auth.nonce_missing"


async def test_reads_need_no_nonce(house: House) -> None:
    key = await made(house)
    facts = request(house, key, method="GET", body=b"", nonce="")
    assert await house.door.authenticate(facts) == await house.door.authenticate(facts)


@pytest.mark.parametrize("nonce", ["", "short", "x" * 129, "has space in it 123"])
async def test_a_write_without_a_good_nonce_is_refused(memory_house: House, nonce: str) -> None:
    key = await made(memory_house)
    facts = request(memory_house, key, nonce=nonce)
    assert (await refused(memory_house, facts)).code == "auth.nonce_missing"


async def test_nobody_learns_which_keys_exist(house: House) -> None:
    key, others = await made(house), await made(house, tenant="other")
    mallory = ApiKeySecrets(key.api_key, base64.urlsafe_b64encode(bytes(32)).decode()[:43])
    answers = [
        await refused(house, request(house, mallory, key_id=key_id))
        for key_id in (
            key.api_key.key_id,
            others.api_key.key_id,
            f"other.{key.api_key.api_key_id.hex}",
            f"nobody.{'0' * 32}",
            "not a key id",
            "",
        )
    ]
    assert {(a.code, a.detail, a.cure, a.status) for a in answers} == {
        ("auth.bad_signature", answers[0].detail, answers[0].cure, 401)
    }
    # The all-zero secret that stands in for an unknown key opens nothing.
    assert mallory.secret == "A" * 43


async def test_a_key_of_one_tenant_does_not_open_another(house: House) -> None:
    key = await made(house)
    moved = request(house, key, key_id=f"other.{key.api_key.api_key_id.hex}")
    assert (await refused(house, moved)).code == "auth.bad_signature"


async def test_a_revoked_key_stops_within_five_seconds_and_only_its_owner_is_told(
    house: House,
) -> None:
    key = await made(house)
    await house.door.authenticate(request(house, key))
    async with house.transaction() as tx:
        revoked = await house.identity.revoke_api_key(tx, TENANT, key.api_key.api_key_id, 1)
    assert revoked.state == "revoked"
    house.clock.advance(5.1)
    assert (await refused(house, request(house, key, nonce=NONCE + "2"))).code == "auth.revoked_key"
    wrong = ApiKeySecrets(key.api_key, "B" * 43)
    assert (await refused(house, request(house, wrong))).code == "auth.bad_signature"


async def test_after_forget_a_revoked_key_stops_at_once(house: House) -> None:
    key = await made(house)
    await house.door.authenticate(request(house, key))
    async with house.transaction() as tx:
        await house.identity.revoke_api_key(tx, TENANT, key.api_key.api_key_id, 1)
    house.door.forget()
    assert (await refused(house, request(house, key, nonce=NONCE + "2"))).code == "auth.revoked_key"


def bearing(token: str, *, loopback: bool = True, scheme: str = "Bearer") -> RequestFacts:
    return RequestFacts(
        method="POST", path="/v1/payments", authorization=f"{scheme} {token}", loopback=loopback
    )


async def test_a_bearer_secret_is_accepted_on_loopback_only(house: House) -> None:
    key = await made(house, bearer=True)
    assert (await house.door.authenticate(bearing(key.bearer))).name == "erp"
    from_afar = await refused(house, bearing(key.bearer, loopback=False))
    assert from_afar.code == "auth.bearer_not_loopback"
    assert (await refused(house, bearing("", scheme="Basic"))).code == "auth.missing"


async def test_a_wrong_bearer_tells_nothing(house: House) -> None:
    key = await made(house, bearer=True)
    plain = await made(house, tenant="other")
    for token in (
        key.bearer[:-1],
        key.bearer[:-1] + ("A" if key.bearer[-1] != "A" else "B"),
        f"{plain.api_key.key_id}.{'A' * 43}",
        f"nobody.{'0' * 32}.{'A' * 43}",
        "",
        "x",
    ):
        assert (await refused(house, bearing(token))).code == "auth.bad_bearer"


async def test_a_request_without_proof_is_refused(memory_house: House) -> None:
    facts = RequestFacts(method="GET", path="/v1/payments")
    assert (await refused(memory_house, facts)).code == "auth.missing"


async def test_a_kept_key_costs_no_transaction(house: House) -> None:
    key = await made(house)
    facts = request(house, key, nonce="", idempotency_key="INV-1", key_is_nonce=True)
    await house.door.authenticate(facts)
    async with house.transaction():
        # In memory a second transaction would wait for this one for ever.
        await asyncio.wait_for(house.door.authenticate(facts), 5)


async def test_a_thousand_requests_read_a_key_once(memory_house: House) -> None:
    house, reads = memory_house, 0
    key = await made(house)
    find = house.identity_store.find

    async def counted(*args: Any) -> Any:
        nonlocal reads
        reads += 1
        await asyncio.sleep(0)
        return await find(*args)

    house.identity_store.find = counted  # type: ignore[method-assign]
    facts = request(house, key, nonce="", idempotency_key="INV-1", key_is_nonce=True)
    callers = await asyncio.gather(*(house.door.authenticate(facts) for _ in range(1000)))
    assert {c.name for c in callers} == {"erp"}
    assert reads == 1


@pytest.mark.engine
async def test_of_one_request_sent_many_times_at_once_one_passes(postgres_house: House) -> None:
    house = postgres_house
    key = await made(house)
    facts = request(house, key)
    answers = await asyncio.gather(
        *(house.door.authenticate(facts) for _ in range(20)), return_exceptions=True
    )
    failed = [a for a in answers if isinstance(a, BaseException)]
    assert len(failed) == 19
    assert {getattr(a, "code", a) for a in failed} == {"auth.replayed"}


@pytest.mark.engine
async def test_no_secret_is_readable_in_the_database(postgres_house: House) -> None:
    house = postgres_house
    key = await made(house, bearer=True)
    secret = base64.urlsafe_b64decode(key.secret + "=")
    async with house.transaction() as tx:
        row = await tx.fetch_one("SELECT api_keys::text AS it FROM api_keys")
    for hidden in (secret.hex(), key.secret, key.bearer, key.bearer.rpartition(".")[2]):
        assert hidden not in row["it"]
    assert key.secret not in repr(key) and key.bearer not in repr(key)
