"""What a new enterprise does first, over HTTP: organisation, accounts, payees, mandate, webhook."""

from __future__ import annotations

import base64

import httpx
import pytest

from support.wired import OPENING_FEN, House

pytestmark = pytest.mark.engine


async def made(client: httpx.AsyncClient, path: str, **body: object) -> dict[str, object]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    if "location" in answer.headers:
        seen = await client.get(answer.headers["location"])
        assert seen.status_code == 200, seen.text
    return answer.json()


async def test_an_enterprise_is_built_from_nothing(client: httpx.AsyncClient):
    group = await made(client, "/v1/enterprises", code="g2", name="新集团")
    entity = await made(
        client, "/v1/legal-entities", group_id=group["group_id"], code="le2", name="新公司",
        uscc="91310000MA1FL0CX58",
    )  # fmt: skip
    unit = await made(
        client, "/v1/member-units", legal_entity_id=entity["legal_entity_id"], code="u2",
        name="新分公司",
    )  # fmt: skip
    account = await made(
        client, "/v1/bank-accounts", member_unit_id=unit["member_unit_id"], name="新公司",
        account="31000012345609", bank_code="102290000019", bank_name="示例银行",
        access_modes=["ibps"], opening_balance_fen=5000,
    )  # fmt: skip
    assert account["account"] == "…5609"
    ledger = account["ledger_account_id"]
    balance = (await client.get(f"/v1/ledger/accounts/{ledger}/balance")).json()
    assert (balance["posted_fen"], balance["available_fen"]) == (5000, 5000)
    before = {"as_of": "2020-01-01T00:00:00+08:00"}
    past = (await client.get(f"/v1/ledger/accounts/{ledger}/balance", params=before)).json()
    assert past["posted_fen"] == 0
    entries = (await client.get(f"/v1/ledger/accounts/{ledger}/entries")).json()["items"]
    assert [e["amount_fen"] for e in entries] == [5000]
    proof = (await client.get("/v1/ledger/trial-balance")).json()["currencies"]
    assert all(p["holds"] for p in proof)
    bad = await client.post(
        "/v1/legal-entities",
        json={"group_id": group["group_id"], "code": "x1", "name": "x", "uscc": "9" * 18},
    )
    assert (bad.status_code, bad.json()["code"]) == (422, "identity.bad_uscc")


async def test_the_drift_between_book_and_bank_is_shown(client: httpx.AsyncClient, house: House):
    house.rail.balance_fen = OPENING_FEN - 700
    drift = (await client.get(f"/v1/bank-accounts/{house.accounts[0]}/drift")).json()
    assert (drift["book_posted_fen"], drift["drift_fen"]) == (OPENING_FEN, -700)


async def test_a_mandate_works_once_two_people_signed(client: httpx.AsyncClient, house: House):
    key = await made(client, "/v1/api-keys", name="second", bearer=True)
    mandate = await made(
        client, "/v1/mandates", api_key_id=key["api_key"]["api_key_id"],  # type: ignore[index]
        bank_account_ids=[str(house.accounts[0])], payees="any", per_payment_fen=1000,
        daily_fen=1500, valid_from="2020-01-01T00:00:00Z", valid_until="2100-01-01T00:00:00Z",
    )  # fmt: skip
    where = f"/v1/mandates/{mandate['mandate_id']}"
    assert mandate["state"] == "proposed"
    signing = (await client.get(f"{where}/signatures")).json()
    for person, private in house.people[1:]:
        mark = base64.b64encode(private.sign(base64.b64decode(signing["to_sign"]))).decode()
        body = {"person_id": str(person), "signature": mark}
        signed = await client.post(f"{where}/signatures", json=body)
        assert signed.status_code == 200, signed.text
    theirs = {"authorization": f"Bearer {key['bearer']}"}
    states = [
        (
            await client.post(
                "/v1/payments",
                json=house.order(amount_fen=900),
                headers={**theirs, "idempotency-key": f"m-{n}"},
            )
        ).json()["state"]
        for n in range(2)
    ]
    assert states == ["validated", "awaiting_signatures"]
    seen = (await client.get(where)).json()
    assert (seen["state"], seen["used_today_fen"]) == ("active", 900)
    listed = (await client.get("/v1/mandates")).json()["items"]
    assert [m["used_today_fen"] for m in listed] == [0, 900]
    assert (await client.delete(where)).json()["state"] == "revoked"


async def test_a_webhook_is_kept_changed_and_replayed(client: httpx.AsyncClient):
    new = await made(client, "/v1/webhooks", url="http://127.0.0.1:9/x", kinds=["payment.*"])
    assert str(new["secret"]).startswith("whsec_")
    where = f"/v1/webhooks/{new['webhook']['webhook_id']}"  # type: ignore[index]
    assert "whsec_" not in (await client.get(where)).text
    paused = await client.patch(where, json={"state": "paused"}, headers={"if-match": '"1"'})
    assert paused.json()["state"] == "paused"
    assert (await client.post(f"{where}/replay", json={"after_seq": 0})).status_code == 200
    ahead = await client.post(f"{where}/replay", json={"after_seq": 999_999})
    assert (ahead.status_code, ahead.json()["code"]) == (422, "webhook.no_such_sequence")
    assert (await client.post(f"{where}/secret")).json()["secret"] != new["secret"]
    assert (await client.get(f"{where}/deliveries")).json() == {"items": [], "next": None}
    inner = await client.post("/v1/webhooks", json={"url": "https://169.254.169.254/"})
    assert (inner.status_code, inner.json()["code"]) == (422, "webhook.bad_url")
    version = (await client.get(where)).headers["etag"]
    assert (await client.delete(where, headers={"if-match": version})).status_code == 204
    assert (await client.get(where)).status_code == 404


async def test_lists_are_paged(client: httpx.AsyncClient):
    for n in range(3):
        await made(client, "/v1/payees", name=f"收款人{n}", account=f"622200001234000{n}")
    first = (await client.get("/v1/payees?limit=2")).json()
    rest = (await client.get("/v1/payees", params={"cursor": first["next"]})).json()
    names = [p["name"] for p in first["items"] + rest["items"]]
    assert names == ["收款人0", "收款人1", "收款人2"]
    found = (await client.get("/v1/payees", params={"account": "6222000012340001"})).json()
    assert [p["name"] for p in found["items"]] == ["收款人1"]
    for path in ("enterprises", "legal-entities", "member-units", "people", "bank-accounts"):
        page = (await client.get(f"/v1/{path}?limit=1")).json()
        assert len(page["items"]) == 1
