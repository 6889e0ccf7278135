"""Every error is a problem (RFC 9457) with a stable code and a cure."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from support.wired import House

pytestmark = pytest.mark.engine

JSON = {"content-type": "application/json", "idempotency-key": "k-1"}


def code(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"urn:caiwutong:problem:{problem['code']}"
    assert problem["title"]
    assert problem["detail"]
    return answer.status_code, problem["code"]


async def test_addresses_and_methods_that_are_not_there(client: httpx.AsyncClient):
    assert code(await client.get("/v1/nowhere")) == (404, "request.no_such_address")
    assert code(await client.get("/v1/payments/not-an-id")) == (404, "request.no_such_address")
    put = await client.put("/v1/payments", json={})
    assert code(put) == (405, "request.method_not_offered")
    assert {"GET", "POST"} <= set(put.headers["allow"].split(", "))
    assert code(await client.post("/v1/events", json={}))[0] == 405
    assert code(await client.post("/healthz"))[0] == 405
    assert code(await client.get("/v1/rails/ibps/messages"))[0] == 405


@pytest.mark.parametrize("path", ["/v1/payments", "/v1/payees", "/v1/payments/batch"])
async def test_bodies_that_are_not_what_is_asked(client: httpx.AsyncClient, path: str):
    async def post(body: bytes, **headers: str) -> tuple[int, str]:
        return code(await client.post(path, content=body, headers={**JSON, **headers}))

    assert await post(b"{") == (400, "request.malformed_json")
    assert await post(b"[]") == (400, "request.not_valid")
    assert await post(b'{"colour": 1}') == (400, "request.not_valid")
    assert (await post(b"[" * 200_000))[0] == 400
    assert await post(b"a=1", **{"content-type": "text/plain"}) == (415, "request.not_json")
    assert await post(b" " * (1 << 20) + b"{}") == (413, "request.too_large")
    assert (await post(b"\xff\xfe{}"))[0] == 400


async def test_questions_that_make_no_sense(client: httpx.AsyncClient, house: House):
    async def get(path: str) -> tuple[int, str]:
        return code(await client.get(path))

    assert await get("/v1/payments?limit=0") == (400, "request.not_valid")
    assert await get("/v1/payments?limit=9999") == (400, "request.not_valid")
    assert await get("/v1/payments?state=lost") == (400, "request.not_valid")
    assert await get("/v1/payments?at_least_fen=99999999999999999999999") == (
        400, "request.not_valid",
    )  # fmt: skip
    assert await get("/v1/payments?q=%00") == (400, "request.bad_address")
    assert await get("/v1/payments?created_from=9999-12-31") == (400, "request.bad_time")
    account = f"/v1/ledger/accounts/{uuid4()}"
    assert (await get(f"{account}/balance?as_of=2026-01-01T00:00:00"))[1] == "request.bad_time"
    assert await get(f"{account}/balance") == (404, "ledger.no_such_account")
    for thing in ("payments", "payees", "bank-accounts", "webhooks", "mandates", "member-units"):
        assert (await get(f"/v1/{thing}/{uuid4()}"))[0] == 404


async def test_an_update_names_the_version_it_read(client: httpx.AsyncClient):
    made = await client.post("/v1/payees", json={"name": "甲", "account": "6222000012340417"})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"'), made.text
    where = made.headers["location"]
    change = {"name": "乙"}
    assert code(await client.patch(where, json=change)) == (428, "request.version_missing")
    bad = await client.patch(where, json=change, headers={"if-match": "x"})
    assert code(bad) == (400, "request.bad_version")
    done = await client.patch(where, json=change, headers={"if-match": '"1"'})
    assert (done.status_code, done.headers["etag"], done.json()["name"]) == (200, '"2"', "乙")
    stale = await client.patch(where, json=change, headers={"if-match": '"1"'})
    assert code(stale) == (412, "payees.changed")


async def test_the_plain_addresses_need_nobody(stranger: httpx.AsyncClient):
    assert (await stranger.get("/healthz")).json() == {"status": "alive"}
    assert (await stranger.get("/readyz")).json() == {"status": "ready"}
    metrics = await stranger.get("/metrics")
    assert metrics.status_code == 200
    assert "caiwutong_http_requests_total" in metrics.text
    document = (await stranger.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert {"get", "post"} <= set(document["paths"]["/v1/payments"])


async def test_not_ready_without_the_database(stranger: httpx.AsyncClient, house: House):
    await house.services.database.close()
    assert code(await stranger.get("/readyz")) == (503, "server.not_ready")
    assert (await stranger.get("/healthz")).status_code == 200
