"""Who may call: signatures, bearer tokens, strangers; and that refusals are recorded."""

from __future__ import annotations

import json

import httpx
import pytest

from caiwutong.api.gate import Gate
from caiwutong.audit.model import HOUSE
from caiwutong.identity.http_signatures import sign
from support.wired import House

pytestmark = pytest.mark.engine


def signed(house: House, method: str, path: str, body: bytes = b"", **extra: str) -> dict[str, str]:
    """What a caller's library adds to a request."""
    from base64 import urlsafe_b64decode

    secret = urlsafe_b64decode(house.secrets.secret + "=")
    created = int(house.services.authenticator._clock.now().timestamp())  # pyright: ignore
    return sign(
        secret, house.secrets.api_key.key_id, method=method, path=path, body=body,
        created=created, **extra,  # type: ignore[arg-type]
    )  # fmt: skip


async def test_a_signed_payment_from_anywhere_is_taken(stranger: httpx.AsyncClient, house: House):
    body = json.dumps(house.order()).encode()
    headers = signed(house, "POST", "/v1/payments", body, idempotency_key="s-1")
    headers["content-type"] = "application/json"
    answer = await stranger.post("/v1/payments", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    again = await stranger.post("/v1/payments", content=body, headers=headers)
    assert again.json()["replayed"] is True
    altered = await stranger.post(
        "/v1/payments", content=body.replace(b"12345", b"92345"), headers=headers
    )
    assert (altered.status_code, altered.json()["code"]) == (401, "auth.bad_digest")
    assert altered.headers["www-authenticate"]


async def test_a_write_without_idempotency_needs_a_new_nonce(
    stranger: httpx.AsyncClient, house: House
):
    body = json.dumps({"code": "g2", "name": "另一集团"}).encode()
    headers = signed(house, "POST", "/v1/enterprises", body, nonce="n" * 20)
    headers["content-type"] = "application/json"
    first = await stranger.post("/v1/enterprises", content=body, headers=headers)
    assert first.status_code == 201, first.text
    replayed = await stranger.post("/v1/enterprises", content=body, headers=headers)
    assert (replayed.status_code, replayed.json()["code"]) == (401, "auth.replayed")


async def test_a_bearer_token_is_for_this_machine_only(
    stranger: httpx.AsyncClient, client: httpx.AsyncClient, house: House
):
    far = await stranger.get("/v1/payments", headers=house.bearer)
    assert (far.status_code, far.json()["code"]) == (401, "auth.bearer_not_loopback")
    near = await client.get("/v1/payments")
    assert near.status_code == 200
    proxied = await client.get("/v1/payments", headers={"x-forwarded-for": "203.0.113.7"})
    assert proxied.status_code == 401


@pytest.mark.parametrize("path", ["/v1/payments", "/v1/events", "/v1/api-keys", "/v1/nowhere"])
async def test_strangers_learn_nothing(stranger: httpx.AsyncClient, path: str):
    answer = await stranger.get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, "auth.missing")


async def test_a_revoked_key_stops_at_once_where_it_was_revoked(
    client: httpx.AsyncClient, house: House
):
    made = (await client.post("/v1/api-keys", json={"name": "second", "bearer": True})).json()
    theirs = {"authorization": f"Bearer {made['bearer']}"}
    assert (await client.get("/v1/payments", headers=theirs)).status_code == 200
    where = f"/v1/api-keys/{made['api_key']['api_key_id']}"
    assert "secret" not in (await client.get(where)).text
    gone = await client.delete(where, headers={"if-match": '"1"'})
    assert gone.json()["state"] == "revoked"
    refused = await client.get("/v1/payments", headers=theirs)
    assert (refused.status_code, refused.json()["code"]) == (401, "auth.revoked_key")


async def test_refused_requests_are_recorded_and_a_flood_is_one_line(
    app: Gate, stranger: httpx.AsyncClient, client: httpx.AsyncClient, house: House
):
    for _ in range(50):
        await stranger.post("/v1/payments", json={})
    await client.post("/v1/payments", content=b"{", headers={"content-type": "application/json"})
    await app.close()
    sealed = await _sealed(house, HOUSE)
    mine = await _sealed(house, house.tenant)
    strangers = [e for e in sealed if e.kind == "api.request.refused"]
    assert [e.data()["code"] for e in strangers] == ["auth.missing", "auth.missing"]
    assert strangers[1].data()["facts"] == {"count": 49}
    codes = {e.data()["code"] for e in mine if e.kind == "api.request.refused"}
    assert codes == {"payment.key_missing"}


async def _sealed(house: House, tenant: str):
    s = house.services
    await s.sealer.run_once()
    async with s.database.transaction() as tx:
        return [event for _, event in await s.audit.read_sealed(tx, tenant, 0, 1000)]
