"""Webhooks over both stores: told in order, retried, fenced, replayed; the secret stays sealed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from caiwutong.db.database import Database, Tx
from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase, pg
from caiwutong.erp.webhooks.delivery import Deliverer
from caiwutong.erp.webhooks.memory import MemoryWebhookStore
from caiwutong.erp.webhooks.model import Claim, Standing, Webhook, WebhookState
from caiwutong.erp.webhooks.rules import AddressPolicy, Answer
from caiwutong.erp.webhooks.service import Change, Webhooks
from caiwutong.erp.webhooks.store import PostgresWebhookStore, WebhookStore
from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Conflict, NotFound, Refused
from caiwutong.kernel.ids import Ids
from caiwutong.vault import Vault
from support.engines import EngineSession
from support.feeds import NOW, ListFeed

TENANT, OTHER = "acme", "other"
URL = "http://127.0.0.1:9/hook"


class Receiver:
    """The other end: answers as told, remembers what came."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.answers: list[Answer] = []

    async def post(
        self, url: str, headers: dict[str, str], body: bytes, policy: AddressPolicy
    ) -> Answer:
        assert policy.loopback
        self.got.append((url, headers, json.loads(body)))
        return self.answers.pop(0) if self.answers else Answer(204)

    @property
    def seqs(self) -> list[int]:
        return [body["seq"] for _, _, body in self.got]


class House:
    """Webhooks of a demo tenant with a clock that waits for us."""

    def __init__(self, database: Database, store: WebhookStore) -> None:
        self.database = database
        self.clock = ManualClock(NOW)
        self.feed = ListFeed()
        self.receiver = Receiver()
        self.disabled: list[Webhook] = []
        randomness = SystemRandomness()
        self.webhooks = Webhooks(
            store, self.feed, Vault.in_memory(randomness), self.clock,
            Ids(self.clock, randomness), randomness,
        )  # fmt: skip
        self.deliverer = Deliverer(
            database, self.webhooks, self.receiver, self.clock, randomness,
            on_disabled=self._note,
        )  # fmt: skip

    async def _note(self, tx: Tx, claim: Claim, standing: Standing) -> None:
        self.disabled.append(claim.webhook)

    async def create(self, kinds: tuple[str, ...] = ()) -> tuple[Webhook, str]:
        async with self.database.transaction() as tx:
            return await self.webhooks.create(tx, TENANT, URL, kinds)

    async def get(self, webhook: Webhook) -> Webhook:
        async with self.database.transaction() as tx:
            return await self.webhooks.get(tx, TENANT, webhook.webhook_id)

    async def happen(self, count: int, kind: str = "payment.completed") -> None:
        self.feed.seal(TENANT, count, kind)
        async with self.database.transaction() as tx:
            await self.deliverer.hear(tx, TENANT, self.feed.events[TENANT][-count:])

    async def deliver(self) -> None:
        while await self.deliverer.round():
            pass


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.engine)])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "memory":
        yield House(MemoryDatabase(), MemoryWebhookStore(frozenset({TENANT})))
        return
    engines: EngineSession = request.getfixturevalue("engines")
    assert engines
    database = await PostgresDatabase.connect(request.getfixturevalue("database_url"))
    async with database.transaction() as tx:
        await pg(tx).execute(
            "INSERT INTO tenants (tenant, name, demo, created_at) VALUES ($1, $1, true, $2)",
            TENANT, NOW,
        )  # fmt: skip
    yield House(database, PostgresWebhookStore())
    await database.close()


async def test_events_arrive_in_order_and_signed(house: House):
    _, secret = await house.create()
    await house.happen(250)
    await house.deliver()
    assert house.receiver.seqs == list(range(1, 251))
    _, headers, body = house.receiver.got[0]
    assert headers["webhook-id"] == f"evt_{body['id']}"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    raw = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
    mark = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{mark}"


async def test_a_new_endpoint_gets_what_happens_from_now_on(house: House):
    house.feed.seal(TENANT, 5)
    await house.create()
    await house.happen(2)
    await house.deliver()
    assert house.receiver.seqs == [6, 7]


async def test_a_failing_event_is_not_overtaken(house: House):
    webhook, _ = await house.create()
    house.receiver.answers = [Answer(204), Answer(500, "answered 500"), Answer(None, "silence")]
    await house.happen(4)
    await house.deliver()
    assert house.receiver.seqs == [1, 2]
    house.clock.advance(7)
    await house.deliver()
    assert house.receiver.seqs == [1, 2, 2]
    assert (await house.get(webhook)).attempts == 2
    await house.happen(1)
    await house.deliver()
    assert house.receiver.seqs == [1, 2, 2], "news does not shorten the wait"
    house.clock.advance(15)
    await house.deliver()
    assert house.receiver.seqs == [1, 2, 2, 2, 3, 4, 5]
    ids = {headers["webhook-id"] for _, headers, body in house.receiver.got if body["seq"] == 2}
    assert len(ids) == 1


async def test_the_log_of_deliveries_counts_attempts(house: House):
    webhook, _ = await house.create()
    house.receiver.answers = [Answer(500, "answered 500")]
    await house.happen(2)
    await house.deliver()
    house.clock.advance(7)
    await house.deliver()
    async with house.database.transaction() as tx:
        seen = await house.webhooks.deliveries(tx, TENANT, webhook.webhook_id, None, 10)
    assert [(d.seq, d.delivered, d.attempts, d.status) for d in seen] == [
        (2, True, 1, 204),
        (1, True, 2, 204),
    ]


async def test_only_the_kinds_asked_for_are_sent(house: House):
    webhook, _ = await house.create(("payment.completed",))
    await house.happen(3, "payment.created")
    await house.happen(1, "payment.completed")
    await house.happen(2, "ledger.corrected")
    await house.deliver()
    assert house.receiver.seqs == [4]
    assert (await house.get(webhook)).delivered_seq == 6


async def test_failing_for_days_disables_and_says_so(house: House):
    webhook, _ = await house.create()
    await house.happen(1)
    house.receiver.answers = [Answer(500, "answered 500")] * 100
    for _ in range(60):
        await house.deliver()
        house.clock.advance(4.8 * 3600)
    assert (await house.get(webhook)).state is WebhookState.DISABLED
    assert [w.webhook_id for w in house.disabled] == [webhook.webhook_id]
    house.receiver.answers = []
    house.receiver.got = []
    disabled = await house.get(webhook)
    async with house.database.transaction() as tx:
        change = Change(state=WebhookState.ACTIVE)
        await house.webhooks.change(
            tx, TENANT, webhook.webhook_id, change, version=disabled.version
        )
    await house.deliver()
    assert house.receiver.seqs == [1]


async def test_replay_sends_everything_after_a_sequence_again(house: House):
    webhook, _ = await house.create()
    await house.happen(5)
    await house.deliver()
    async with house.database.transaction() as tx:
        await house.webhooks.replay(tx, TENANT, webhook.webhook_id, 3)
    await house.deliver()
    assert house.receiver.seqs == [1, 2, 3, 4, 5, 4, 5]
    with pytest.raises(Refused):
        async with house.database.transaction() as tx:
            await house.webhooks.replay(tx, TENANT, webhook.webhook_id, 6)


async def test_a_replay_during_a_delivery_is_not_undone_by_it(house: House):
    webhook, _ = await house.create()
    await house.happen(3)
    now = house.clock.now()
    async with house.database.transaction() as tx:
        claims = await house.webhooks.store.claim(tx, now, now + timedelta(minutes=1), 10)
    async with house.database.transaction() as tx:
        await house.webhooks.replay(tx, TENANT, webhook.webhook_id, 0)
    await house.deliverer._settle(claims[0], 3, Answer(204), [])  # pyright: ignore
    assert (await house.get(webhook)).delivered_seq == 0


async def test_an_endpoint_is_delivered_by_one_worker_at_a_time(house: House):
    await house.create()
    await house.happen(1)
    now = house.clock.now()
    async with house.database.transaction() as tx:
        first = await house.webhooks.store.claim(tx, now, now + timedelta(minutes=1), 10)
    async with house.database.transaction() as tx:
        second = await house.webhooks.store.claim(tx, now, now + timedelta(minutes=1), 10)
    assert (len(first), len(second)) == (1, 0)
    house.clock.advance(61)
    await house.deliver()
    assert house.receiver.seqs == [1], "the lease of a dead worker ends"


async def test_after_a_rotation_both_secrets_sign_for_a_day(house: House):
    webhook, _ = await house.create()
    async with house.database.transaction() as tx:
        text = await house.webhooks.rotate(tx, TENANT, webhook.webhook_id)
    assert text.startswith("whsec_")
    await house.happen(1)
    await house.deliver()
    house.clock.advance(25 * 3600)
    await house.happen(1)
    await house.deliver()
    marks = [headers["webhook-signature"].split(" ") for _, headers, _ in house.receiver.got]
    assert [len(each) for each in marks] == [2, 1]


async def test_a_paused_endpoint_goes_on_where_it_stopped(house: House):
    webhook, _ = await house.create()
    async with house.database.transaction() as tx:
        paused = await house.webhooks.change(
            tx, TENANT, webhook.webhook_id, Change(state=WebhookState.PAUSED), version=1
        )
    await house.happen(3)
    await house.deliver()
    assert house.receiver.seqs == []
    async with house.database.transaction() as tx:
        change = Change(state=WebhookState.ACTIVE)
        await house.webhooks.change(tx, TENANT, webhook.webhook_id, change, version=paused.version)
    await house.deliver()
    assert house.receiver.seqs == [1, 2, 3]


async def test_a_change_over_a_version_not_read_is_a_conflict(house: House):
    webhook, _ = await house.create()
    with pytest.raises(Conflict):
        async with house.database.transaction() as tx:
            await house.webhooks.change(
                tx, TENANT, webhook.webhook_id, Change(description="x"), version=7
            )
    assert (await house.get(webhook)).description == ""


async def test_another_tenant_finds_nothing(house: House):
    webhook, _ = await house.create()
    async with house.database.transaction() as tx:
        assert await house.webhooks.page(tx, OTHER) == []
        with pytest.raises(NotFound):
            await house.webhooks.get(tx, OTHER, webhook.webhook_id)
        with pytest.raises(Refused):
            await house.webhooks.create(tx, OTHER, URL)


async def test_a_removed_endpoint_is_gone(house: House):
    webhook, _ = await house.create()
    async with house.database.transaction() as tx:
        await house.webhooks.remove(tx, TENANT, webhook.webhook_id, version=1)
    await house.happen(1)
    await house.deliver()
    assert house.receiver.seqs == []
    with pytest.raises(NotFound):
        await house.get(webhook)
