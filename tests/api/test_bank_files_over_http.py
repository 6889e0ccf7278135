"""Bank files over HTTP: carried out, handed back, given up by two people."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from caiwutong.api.app import create_app
from caiwutong.bank_accounts.model import NewBankAccount
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.engines import EngineUrls
from caiwutong.kernel.clock import SystemClock, SystemRandomness
from caiwutong.rails.bank_file.connector import BankFileRail
from caiwutong.rails.bank_file.counterpart import ToldRow, read_upload, write_result
from caiwutong.rails.bank_file.template import BankFileConnection, Templates, shipped
from caiwutong.settings import Settings
from caiwutong.wiring import wire
from support.wired import House, ToldRail, add_tenant

TEMPLATE = next(t for t in shipped() if t.name == "rural-credit-batch")


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    """The wired house with one account at a bank that takes files."""
    settings = Settings(data_dir=tmp_path, tenant="acme")
    database = await PostgresDatabase.connect(database_url, name="test", max_size=8)
    clock = SystemClock()
    rail = ToldRail(clock)
    files = BankFileRail(Templates([BankFileConnection("402", TEMPLATE.name)], shipped()), clock)
    urls = EngineUrls(database_url, "nats://127.0.0.1:1")
    services = wire(
        settings, urls, database, clock, SystemRandomness(), {"ibps": rail, "bank_file": files}
    )
    made = await add_tenant(services, rail, "acme")
    yield made
    await database.close()


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(house.services)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://hub", headers=house.bearer
    ) as client:
        yield client
    await app.close()


async def account(house: House) -> str:
    s = house.services
    async with s.database.transaction() as tx:
        made = await s.bank_accounts.create(
            tx,
            house.tenant,
            NewBankAccount(
                member_unit_id=house.unit,
                name="示例有限公司",
                account="402900112345678",
                bank_code="402452094013",
                bank_name="沂河农村商业银行",
                access_modes=("bank_file",),
                opening_balance_fen=100_000_00,
            ),
        )
    return str(made.bank_account_id)


async def paid(house: House, client: httpx.AsyncClient, own: str) -> tuple[str, str]:
    """A payment signed by two people, in its file: payment id, file id."""
    order = house.order(
        bank_account_id=own,
        payee={
            "name": "上海示例贸易有限公司",
            "account": "6222000012340417",
            "bank_code": "102290091014",
        },
    )
    made = await client.post("/v1/payments", json=order, headers={"idempotency-key": "f-1"})
    assert made.status_code == 202, made.text
    payment = made.json()["id"]
    if made.json()["state"] == "awaiting_signatures":
        for place in (1, 2):
            await signed(house, client, f"/v1/payments/{payment}/signatures", place)
    await house.services.payments.dispatch.run_once(house.tenant)
    listed = (await client.get("/v1/bank-files?state=open")).json()
    (file,) = listed["items"]
    assert file["needs"] == "export" and file["rows"] == 1
    return payment, file["file_id"]


async def signed(house: House, client: httpx.AsyncClient, path: str, place: int) -> httpx.Response:
    told = (await client.get(path)).json()
    person, key = house.people[place]
    signature = base64.b64encode(key.sign(base64.b64decode(told["to_sign"]))).decode()
    return await client.post(path, json={"person_id": str(person), "signature": signature})


async def test_a_file_is_downloaded_frozen_and_its_result_ends_the_payment(
    house: House, client: httpx.AsyncClient
) -> None:
    payment, file_id = await paid(house, client, await account(house))
    first = await client.post(f"/v1/bank-files/{file_id}/export")
    again = await client.post(f"/v1/bank-files/{file_id}/export")
    assert first.status_code == again.status_code == 200, first.text
    assert first.content == again.content
    assert first.headers["digest"] == f"sha-256={hashlib.sha256(first.content).hexdigest()}"
    assert "PLZZ_5678" in first.headers["content-disposition"]
    rows = read_upload(TEMPLATE, first.content)
    raw = write_result(TEMPLATE, [ToldRow(row, "成功") for row in rows])
    taken = await client.post(f"/v1/bank-files/{file_id}/results?file_name=r.csv", content=raw)
    assert taken.status_code == 200 and taken.json()["settled"] == 1, taken.text
    assert (await client.get(f"/v1/payments/{payment}")).json()["state"] == "completed"
    lines = (await client.get(f"/v1/bank-files/{file_id}/lines")).json()["items"]
    assert [line["state"] for line in lines] == ["settled"]
    assert lines[0]["payee_account"] == "…0417"


async def test_only_two_people_give_a_file_up(house: House, client: httpx.AsyncClient) -> None:
    payment, file_id = await paid(house, client, await account(house))
    made = await client.post(
        f"/v1/bank-files/{file_id}/releases", json={"reason": "网银页面无此批次"}
    )
    assert made.status_code == 201, made.text
    path = f"/v1/bank-file-releases/{made.json()['release_id']}/signatures"
    await signed(house, client, path, 1)
    assert (await client.get(f"/v1/payments/{payment}")).json()["state"] == "awaiting_bank_page"
    refused = await client.post(f"/v1/bank-files/{file_id}/export")
    assert refused.status_code == 409 and refused.json()["code"] == "bank_file.release_waits"
    last = await signed(house, client, path, 2)
    assert last.status_code == 200, last.text
    assert (await client.get(f"/v1/payments/{payment}")).json()["state"] == "validated"
    assert (await client.get(f"/v1/bank-files/{file_id}")).json()["state"] == "abandoned"


async def test_what_is_no_result_and_what_is_not_ours_is_told_with_its_cure(
    house: House, client: httpx.AsyncClient
) -> None:
    _, file_id = await paid(house, client, await account(house))
    early = await client.post(f"/v1/bank-files/{file_id}/results?file_name=r", content=b"x")
    assert (early.status_code, early.json()["code"]) == (409, "bank_file.not_exported")
    await client.post(f"/v1/bank-files/{file_id}/export")
    for raw in (b"%PDF-1.4", b"a,b\r\n1,2\r\n", b"PK\x03\x04junk"):
        bad = await client.post(f"/v1/bank-files/{file_id}/results?file_name=r", content=raw)
        assert bad.status_code == 422 and bad.json()["cure"], bad.text
    gone = await client.get("/v1/bank-files/0199f0a2-7c1e-7000-8000-5f1d2c3b4a59")
    assert gone.status_code == 404
