"""The dated catalog over HTTP: asked at any moment, changed with a reason, widened by two."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from support.wired import House

pytestmark = pytest.mark.engine

SUNDAY = "2026-09-20T10:00:00+08:00"


def fact(**more: Any) -> dict[str, Any]:
    return {
        "fact": "limit", "rail": "ibps", "valid_from": "2027-01-01T00:00:00+08:00",
        "per_payment_fen": 50_000_000, "source": "银发〔2026〕1号", **more,
    }  # fmt: skip


def rail(catalog: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in catalog["rails"] if each["rail"] == name)


async def test_a_working_sunday_is_open(client: httpx.AsyncClient):
    seen = (await client.get("/v1/catalog", params={"at": SUNDAY})).json()
    assert seen["day"]["working"] and seen["day"]["reason"] == "调休"
    hvps = rail(seen, "hvps")
    assert hvps["state"]["answer"] == "open"
    assert hvps["cutoff"] == "2026-09-20T09:15:00Z"
    assert hvps["limit"]["per_payment_fen"] is None
    assert rail(seen, "ibps")["limit"]["per_payment_fen"] == 100_000_000


async def test_a_year_without_a_notice_says_so(client: httpx.AsyncClient):
    seen = (await client.get("/v1/catalog", params={"at": "2031-03-03T10:00:00+08:00"})).json()
    assert seen["day"]["provisional"]
    assert "2031 are not known" in seen["day"]["note"]
    assert "not known" in rail(seen, "hvps")["state"]["note"]
    assert seen["years_known"][1] < 2031


async def test_a_lower_limit_counts_and_is_seen_as_known_then(client: httpx.AsyncClient):
    body = {"facts": [fact()], "reason": "按通知下调"}
    would = (await client.post("/v1/catalog/facts?dry_run=true", json=body)).json()
    assert would["state"] == "applied"
    after = {"at": "2027-06-01T10:00:00+08:00"}
    seen = (await client.get("/v1/catalog", params=after)).json()
    assert rail(seen, "ibps")["limit"]["per_payment_fen"] == 100_000_000

    made = await client.post("/v1/catalog/facts", json=body)
    assert made.status_code == 200 and made.json()["state"] == "applied"
    assert (await client.get(made.headers["location"])).json() == made.json()
    seen = (await client.get("/v1/catalog", params=after)).json()
    assert rail(seen, "ibps")["limit"]["source"] == "银发〔2026〕1号"
    before = after | {"known_at": "2026-01-01T00:00:00+08:00"}
    seen = (await client.get("/v1/catalog", params=before)).json()
    assert rail(seen, "ibps")["limit"]["per_payment_fen"] == 100_000_000
    facts = (await client.get("/v1/catalog/facts", params={"rail": "ibps"})).json()["items"]
    assert facts[-1]["per_payment_fen"] == 50_000_000


async def test_a_higher_limit_waits_for_a_second_person(client: httpx.AsyncClient, house: House):
    body = {"facts": [fact(per_payment_fen=300_000_000)], "reason": "按通知上调"}
    change = (await client.post("/v1/catalog/facts", json=body)).json()
    assert change["state"] == "waiting" and change["needed"] == 1
    assert "3,000,000.00" in change["because"][0]

    where = f"/v1/catalog/changes/{change['change_id']}/signatures"
    signing = (await client.get(where)).json()
    person, key = house.people[0]
    signature = key.sign(base64.b64decode(signing["to_sign"]))
    done = await client.post(
        where,
        json={"person_id": str(person), "signature": base64.b64encode(signature).decode()},
    )
    assert done.status_code == 200 and done.json()["state"] == "decided", done.text
    listed = (await client.get("/v1/catalog/changes")).json()["items"]
    assert [c["state"] for c in listed if c["change_id"] == change["change_id"]] == ["applied"]
    assert house.services.catalogs.current(house.tenant).version > 0


async def test_a_proposal_is_taken_back(client: httpx.AsyncClient):
    body = {"facts": [fact(per_payment_fen=None)], "reason": "误录"}
    change = (await client.post("/v1/catalog/facts", json=body)).json()
    gone = await client.delete(f"/v1/catalog/changes/{change['change_id']}")
    assert gone.json()["state"] == "withdrawn"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"facts": [fact(per_payment_fen=-1)], "reason": "r"}, "catalog.bad_fact"),
        ({"facts": [fact(fact="quota")], "reason": "r"}, "request.not_valid"),
        ({"facts": [], "reason": "r"}, "request.not_valid"),
        ({"facts": [fact()], "reason": ""}, "request.not_valid"),
    ],
)
async def test_bad_facts_are_refused(client: httpx.AsyncClient, body: Any, code: str):
    answer = await client.post("/v1/catalog/facts", json=body)
    assert (answer.status_code // 100, answer.json()["code"]) == (4, code), answer.text


async def test_fees_are_audited_over_http(client: httpx.AsyncClient, house: House):
    audit = await client.get("/v1/fees/audit")
    assert audit.status_code == 200 and audit.json()["lines"] == 0
    empty = {"from": "2026-02-01T00:00:00+08:00", "until": "2026-01-01T00:00:00+08:00"}
    refused = await client.get("/v1/fees/audit", params=empty)
    assert (refused.status_code, refused.json()["code"]) == (422, "fees.bad_period")

    paid = await client.post(
        "/v1/payments", json=house.order(), headers={"idempotency-key": "fees-1"}
    )
    fees = (await client.get(f"/v1/payments/{paid.json()['id']}/fees")).json()
    assert (fees["expected_fen"], fees["charged_fen"]) == (None, 0)
    unknown = await client.get("/v1/payments/0199f0a2-7c1e-7000-8000-5f1d2c3b4a59/fees")
    assert unknown.status_code == 404
