"""POST /v1/payments and what can be asked of payments, over HTTP."""

from __future__ import annotations

import asyncio
import base64
from uuid import uuid4

import httpx
import pytest

from support.wired import House, add_tenant

pytestmark = pytest.mark.engine


async def pay(client: httpx.AsyncClient, house: House, key: str, **changes: object):
    return await client.post(
        "/v1/payments", json=house.order(**changes), headers={"idempotency-key": key}
    )


async def test_an_order_inside_the_mandate_is_taken_in(client: httpx.AsyncClient, house: House):
    answer = await pay(client, house, "k-1")
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert body["state"] == "validated"
    assert body["state_zh"] == "验证"
    assert answer.headers["location"] == f"/v1/payments/{body['id']}"
    seen = (await client.get(answer.headers["location"])).json()
    assert (seen["amount_fen"], seen["payee_account"], seen["key"]) == (12345, "…0417", "k-1")


async def test_the_same_key_and_content_is_answered_once(client: httpx.AsyncClient, house: House):
    first, again = await pay(client, house, "k-1"), await pay(client, house, "k-1")
    assert again.status_code == 202
    assert (first.json()["replayed"], again.json()["replayed"]) == (False, True)
    assert first.json()["id"] == again.json()["id"]


async def test_the_same_key_with_other_content_is_a_conflict(
    client: httpx.AsyncClient, house: House
):
    await pay(client, house, "k-1")
    other = await pay(client, house, "k-1", amount_fen=1)
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    assert other.json()["code"] == "payment.key_reused"
    assert other.json()["cure"]


async def test_many_callers_of_one_moment_share_batches(client: httpx.AsyncClient, house: House):
    answers = await asyncio.gather(*(pay(client, house, f"k-{n % 40}") for n in range(80)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["id"] for a in answers}) == 40
    text = house.services.metrics.render().decode()
    batches = float(text.split("caiwutong_intake_batch_size_count ")[1].split()[0])
    assert batches < 40


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"amount_fen": 0}, 422, "money.not_positive"),
        ({"amount_fen": -5}, 422, "money.not_positive"),
        ({"amount_fen": 10**14 + 1}, 422, "money.too_large"),
        ({"amount_fen": 10**30}, 422, "money.too_large"),
        ({"amount_fen": 12.5}, 400, "request.not_valid"),
        ({"amount_fen": "100"}, 400, "request.not_valid"),
        ({"currency": "USD"}, 422, "money.unknown_currency"),
        ({"colour": "red"}, 400, "request.not_valid"),
        ({"execute_on": "2026-02-30"}, 400, "request.not_valid"),
        ({"bank_account_id": str(uuid4())}, 404, "bank_account.not_found"),
        ({"payee": {"name": "x", "account": "12"}}, 422, "payment.bad_payee_account"),
        ({"purpose": "a\x00b"}, 400, "request.not_valid"),
        ({"amount_fen": 900_000_00}, 422, "ledger.insufficient"),
    ],
)
async def test_orders_that_are_refused(
    client: httpx.AsyncClient, house: House, changes: dict[str, object], status: int, code: str
):
    answer = await pay(client, house, "k-1", **changes)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["detail"]
    assert (await client.get("/v1/payments")).json()["items"] == []


async def test_a_key_is_needed(client: httpx.AsyncClient, house: House):
    answer = await client.post("/v1/payments", json=house.order())
    assert (answer.status_code, answer.json()["code"]) == (428, "payment.key_missing")


async def test_a_dry_run_answers_and_keeps_nothing(client: httpx.AsyncClient, house: House):
    answer = await client.post(
        "/v1/payments?dry_run=true", json=house.order(), headers={"idempotency-key": "k-1"}
    )
    assert (answer.status_code, answer.json()["state"]) == (200, "validated")
    assert (await client.get("/v1/payments")).json()["items"] == []
    assert (await pay(client, house, "k-1")).json()["replayed"] is False


async def test_a_batch_is_answered_in_order(client: httpx.AsyncClient, house: House):
    orders = [
        {"key": "b-1", "order": house.order()},
        {"key": "b-2", "order": house.order(amount_fen=0)},
        {"key": "b-1", "order": house.order()},
    ]
    answer = await client.post("/v1/payments/batch", json={"orders": orders})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["accepted"], body["refused"]) == (2, 1)
    assert [set(o) for o in body["outcomes"]] == [{"accepted"}, {"refused"}, {"accepted"}]
    assert body["outcomes"][1]["refused"]["code"] == "money.not_positive"
    assert body["outcomes"][2]["accepted"]["replayed"] is True


async def test_payments_are_found_by_what_people_remember(client: httpx.AsyncClient, house: House):
    for n in range(5):
        await pay(client, house, f"f-{n}", amount_fen=(n + 1) * 100, remark=f"合同 HT-{n}")

    async def found(**query: object) -> list[int]:
        answer = await client.get("/v1/payments", params=query)
        assert answer.status_code == 200, answer.text
        return [p["amount_fen"] for p in answer.json()["items"]]

    assert await found() == [500, 400, 300, 200, 100]
    assert await found(at_least_fen=200, at_most_fen=400) == [400, 300, 200]
    assert await found(q="HT-3") == [400]
    assert len(await found(q="0417")) == 5
    assert len(await found(payee_account="6222 0000 1234 0417")) == 5
    assert await found(state="completed") == []
    assert len(await found(member_unit_id=str(house.unit))) == 5
    assert await found(member_unit_id=str(uuid4())) == []
    assert await found(bank_account_id=str(house.accounts[1])) == []
    assert await found(created_until="2020-01-01") == []


async def test_pages_follow_each_other_by_cursor(client: httpx.AsyncClient, house: House):
    for n in range(5):
        await pay(client, house, f"c-{n}")
    seen, cursor, pages = [], None, 0
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/payments", params=query)).json()
        seen += [p["key"] for p in page["items"]]
        pages += 1
        cursor = page["next"]
        if cursor is None:
            break
    assert (pages, seen) == (3, ["c-4", "c-3", "c-2", "c-1", "c-0"])
    forged = await client.get("/v1/payments", params={"cursor": "AAAAAAAAAAAAAAAA"})
    assert (forged.status_code, forged.json()["code"]) == (400, "request.bad_cursor")


async def test_a_payment_goes_out_and_its_network_calls_back(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, house: House
):
    payment = (await pay(client, house, "k-1")).json()["id"]
    await house.services.payments.dispatch.run_once(house.tenant)
    reference = house.rail.sent[0].reference
    answer = await stranger.post("/v1/rails/ibps/messages", content=f"{reference}:settled".encode())
    assert (answer.status_code, answer.content) == (200, b"taken")
    seen = (await client.get(f"/v1/payments/{payment}")).json()
    assert (seen["state"], seen["final"]) == ("completed", True)
    timeline = (await client.get(f"/v1/payments/{payment}/timeline")).json()
    kinds = [step["kind"] for step in timeline["steps"]]
    assert kinds[0] == "payment.created"
    assert kinds[-1] == "payment.completed"
    assert all(step["at"] and step["recorded_at"] for step in timeline["steps"])
    back = await client.post(f"/v1/payments/{payment}/return-requests", json={"reason": "付错了"})
    assert back.status_code == 200, back.text


async def test_bytes_that_no_network_signed_are_refused(stranger: httpx.AsyncClient):
    bad = await stranger.post("/v1/rails/ibps/messages", content=b"<xml/>")
    assert (bad.status_code, bad.json()["code"]) == (422, "rail.bad_message")
    unknown = await stranger.post("/v1/rails/telex/messages", content=b"x")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "rail.not_found")
    nameless = await stranger.post("/callbacks/ibps/somebody", content=b"x")
    assert (nameless.status_code, nameless.json()["code"]) == (404, "rail.no_connections")
    large = await stranger.post("/v1/rails/ibps/messages", content=b"x" * 1_000_001)
    assert large.status_code == 413


async def test_what_a_bank_posts_to_its_connections_address_reaches_that_connection(
    stranger: httpx.AsyncClient, house: House
):
    class ManyConnections(type(house.rail)):
        def tag(self, connection: str, raw: bytes) -> bytes:
            assert connection == "bank-7"
            return raw.removeprefix(b"7:")

    house.services.rails["bank_direct"] = ManyConnections(house.services.clock)
    answer = await stranger.post("/callbacks/bank_direct/bank-7", content=b"7:R1:settled")
    assert (answer.status_code, answer.content) == (200, b"taken")
    for path in ("/callbacks/bank_direct/", "/callbacks/bank_direct/a/b", "/callbacks/bank_direct"):
        assert (await stranger.post(path, content=b"x")).status_code in (401, 404)


async def test_a_payment_on_its_way_is_asked_about_and_revoked(
    client: httpx.AsyncClient, house: House
):
    payment = (await pay(client, house, "k-1")).json()["id"]
    early = await client.post(f"/v1/payments/{payment}/revocations")
    assert (early.status_code, early.json()["code"]) == (409, "payment.not_at_the_rail")
    await house.services.payments.dispatch.run_once(house.tenant)
    asked = await client.post(f"/v1/payments/{payment}/enquiries")
    assert asked.json()["state"] in {"clearing", "in_doubt"}
    dry = await client.post(f"/v1/payments/{payment}/revocations?dry_run=true")
    assert (dry.status_code, house.rail.revoked) == (200, False)
    done = await client.post(f"/v1/payments/{payment}/revocations")
    assert done.json()["state"] == "reversed"


async def test_a_payment_that_did_not_leave_can_be_cancelled(
    client: httpx.AsyncClient, house: House
):
    payment = (await pay(client, house, "k-1", execute_on="2099-01-01")).status_code
    assert payment == 422
    made = (await pay(client, house, "k-2")).json()["id"]
    dry = await client.post(f"/v1/payments/{made}/cancel?dry_run=true")
    assert dry.status_code == 200, dry.text
    assert (await client.get(f"/v1/payments/{made}")).json()["state"] == "validated"
    done = await client.post(f"/v1/payments/{made}/cancel")
    assert (done.status_code, done.json()["state"]) == (200, "cancelled")


async def test_above_the_mandate_people_sign(client: httpx.AsyncClient, house: House):
    made = (await pay(client, house, "k-1", amount_fen=60_000_00)).json()
    assert made["state"] == "awaiting_signatures"
    assert made["needs"]
    where = f"/v1/payments/{made['id']}/signatures"
    signing = (await client.get(where)).json()
    assert signing["state"] == "waiting"
    for place in range(signing["needed"]):
        person, key = house.people[place]
        signature = base64.b64encode(key.sign(base64.b64decode(signing["to_sign"]))).decode()
        answer = await client.post(where, json={"person_id": str(person), "signature": signature})
        assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "decided"
    assert (await client.get(f"/v1/payments/{made['id']}")).json()["state"] == "validated"


async def test_a_wrong_signature_is_refused(client: httpx.AsyncClient, house: House):
    made = (await pay(client, house, "k-1", amount_fen=60_000_00)).json()
    person, _ = house.people[0]
    wrong = {"person_id": str(person), "signature": base64.b64encode(bytes(64)).decode()}
    answer = await client.post(f"/v1/payments/{made['id']}/signatures", json=wrong)
    assert (answer.status_code, answer.json()["code"]) == (422, "approvals.bad_signature")


async def test_another_tenants_things_are_not_found(
    client: httpx.AsyncClient, house: House, app: object
):
    other = await add_tenant(house.services, house.rail, "other")
    made = (await pay(client, house, "k-1")).json()["id"]
    theirs = {"headers": other.bearer}
    seen = await client.get(f"/v1/payments/{made}", **theirs)
    never = await client.get(f"/v1/payments/{uuid4()}", **theirs)
    assert seen.status_code == never.status_code == 404
    assert seen.json()["code"] == never.json()["code"] == "payment.not_found"
    stolen = await client.post(
        "/v1/payments",
        json=house.order(),
        headers={**other.bearer, "idempotency-key": "k-9"},
    )
    assert (stolen.status_code, stolen.json()["code"]) == (404, "bank_account.not_found")
