"""What an auditor asks over HTTP: a payment's proofs, and that the log only grew."""

from __future__ import annotations

import base64
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from caiwutong.api.routes.audit import Growth
from caiwutong.audit.heads import SignedHead
from caiwutong.audit.proof import shows_growth
from caiwutong.crypto import merkle
from caiwutong.payments.rules import order_digest
from support.wired import House

pytestmark = pytest.mark.engine


async def paid(client: httpx.AsyncClient, house: House, key: str) -> str:
    answer = await client.post("/v1/payments", json=house.order(), headers={"idempotency-key": key})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def seal(house: House) -> None:
    while await house.services.sealer.run_once():
        pass


async def test_a_payment_is_proved_to_someone_outside(client: httpx.AsyncClient, house: House):
    payment = await paid(client, house, "k-1")
    early = await client.get(f"/v1/payments/{payment}/proofs")
    assert (early.status_code, early.json()["code"]) == (404, "audit.not_sealed_yet")
    await seal(house)
    said = (await client.get(f"/v1/payments/{payment}/proofs")).json()
    assert [event["kind"] for event in said["events"]] == ["payment.created"]
    for event in said["events"]:
        head = msgspec.convert(event["head"], dict)
        signed = SignedHead(msgspec.Raw(msgspec.json.encode(head["head"])), head["signature"])
        assert signed.is_signed_by(bytes.fromhex(said["public_key"]))
        leaf = merkle.leaf_hash(base64.b64decode(event["record"]))
        path = [bytes.fromhex(each) for each in event["path"]]
        root = bytes.fromhex(signed.decoded().root)
        assert merkle.verify_inclusion(leaf, event["seq"] - 1, signed.decoded().size, path, root)


async def test_the_order_is_given_again_as_it_was_signed(client: httpx.AsyncClient, house: House):
    orders = [house.order(), house.order(priority="urgent", references={"contract": "HT-1"})]
    for n, order in enumerate(orders):
        answer = await client.post(
            "/v1/payments", json=order, headers={"idempotency-key": f"o-{n}"}
        )
        payment = (await client.get(answer.headers["location"])).json()
        again = await house.services.payments.views.order(house.tenant, UUID(payment["id"]))
        assert order_digest(again).hex() == payment["digest"]


async def test_nobody_elses_payment_is_proved(client: httpx.AsyncClient):
    answer = await client.get(f"/v1/payments/{uuid4()}/proofs")
    assert (answer.status_code, answer.json()["code"]) == (404, "payment.not_found")


async def test_the_log_is_shown_to_have_only_grown(client: httpx.AsyncClient, house: House):
    await paid(client, house, "k-1")
    await seal(house)
    first = msgspec.json.decode((await client.get("/v1/audit/growth")).content, type=Growth)
    key = bytes.fromhex(first.public_key)
    assert shows_growth(first.proof, None, key)
    for n in range(5):
        await paid(client, house, f"more-{n}")
    await seal(house)
    size = first.proof.head.decoded().size
    answer = await client.get(f"/v1/audit/growth?size={size}")
    second = msgspec.json.decode(answer.content, type=Growth)
    assert second.proof.head.decoded().size > size
    assert shows_growth(second.proof, first.proof.head, key)
    never = await client.get(f"/v1/audit/growth?size={size + 1}")
    assert (never.status_code, never.json()["code"]) == (404, "audit.no_such_head")
