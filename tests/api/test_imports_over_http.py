"""A file of payments over HTTP: sent, checked, applied, and the rows that need a hand."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from support.wired import House

pytestmark = pytest.mark.engine

FILE = (
    "付款账号,收款人名称,收款账号,金额,用途\n"
    "31000012345601,收款人甲,6222000012340411,100.00,货款\n"
    "31000012345601,收款人乙,6222000012340412,多少,货款\n"
    "31000012345601,收款人丙,6222000012340413,300.00,货款\n"
).encode()


async def settled(client: httpx.AsyncClient, where: str) -> dict[str, object]:
    async with asyncio.timeout(20):
        while True:
            progress = (await client.get(f"{where}/progress")).json()
            if progress["state"] not in {"received", "checking", "applying"}:
                return progress
            await asyncio.sleep(0.05)


async def test_a_file_is_checked_then_paid(client: httpx.AsyncClient, house: House):
    sent = await client.post("/v1/imports?file_name=pay.csv", content=FILE)
    assert sent.status_code == 201, sent.text
    again = await client.post("/v1/imports?file_name=pay.csv", content=FILE)
    assert again.json()["import_id"] == sent.json()["import_id"]
    where = sent.headers["location"]
    early = await client.post(f"{where}/apply", json={})
    assert (early.status_code, early.json()["code"]) == (422, "imports.not_checked")
    assert (await client.post(f"{where}/check")).status_code == 202
    await settled(client, where)
    report = (await client.get(where)).json()["report"]
    assert (report["good"]["rows"], report["bad"]) == (2, 1)
    rows = (await client.get(f"{where}/rows")).json()["items"]
    assert [r["row_no"] for r in rows if r["status"] == "bad"] == [3]
    assert rows[0]["problems"][0]["cure"]
    refused = await client.post(f"{where}/apply", json={})
    assert (refused.status_code, refused.json()["code"]) == (422, "imports.has_bad_rows")
    assert (await client.get("/v1/payments")).json()["items"] == []
    assert (await client.post(f"{where}/apply", json={"skip_bad": True})).status_code == 202
    done = await settled(client, where)
    assert (done["state"], done["applied"]) == ("finished", 2)
    query = {"import_id": sent.json()["import_id"]}
    paid = (await client.get("/v1/payments", params=query)).json()["items"]
    assert sorted(p["amount_fen"] for p in paid) == [100_00, 300_00]


async def test_an_empty_file_and_an_unknown_import(client: httpx.AsyncClient):
    empty = await client.post("/v1/imports?file_name=x.csv", content=b"")
    assert (empty.status_code, empty.json()["code"]) == (400, "request.empty_file")
    nowhere = await client.post("/v1/imports/0199f0a2-7c1e-7000-8000-5f1d2c3b4a59/check")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "imports.not_found")
