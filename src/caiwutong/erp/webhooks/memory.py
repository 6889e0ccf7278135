"""The rows of webhooks in memory: the twin of ``store.PostgresWebhookStore``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.erp.webhooks.model import (
    Claim,
    Delivery,
    Secrets,
    Standing,
    Webhook,
    WebhookState,
)

Key = tuple[str, UUID]


class _Row(msgspec.Struct, frozen=True):
    webhook: Webhook
    secrets: Secrets
    lease: int = 0
    lease_until: datetime | None = None


class MemoryWebhookStore:
    """Dicts keyed by (tenant, id). ``demo_tenants`` stands for the tenants table."""

    def __init__(self, demo_tenants: frozenset[str] = frozenset()) -> None:
        self._rows: dict[Key, _Row] = {}
        self._log: dict[tuple[str, UUID, int], Delivery] = {}
        self._demo = demo_tenants

    async def insert(self, tx: Tx, tenant: str, webhook: Webhook, secret: bytes) -> None:
        mem(tx).put(self._rows, (tenant, webhook.webhook_id), _Row(webhook, Secrets(secret)))

    async def read(self, tx: Tx, tenant: str, webhook_id: UUID) -> tuple[Webhook, Secrets] | None:
        row = self._find(tenant, webhook_id)
        return None if row is None else (row.webhook, row.secrets)

    async def page(self, tx: Tx, tenant: str, after: UUID | None, limit: int) -> list[Webhook]:
        own = sorted(
            (
                row.webhook
                for (owner, webhook_id), row in self._rows.items()
                if owner == tenant and (after is None or webhook_id > after)
            ),
            key=lambda w: w.webhook_id,
        )
        return [w for w in own if w.state is not WebhookState.REMOVED][:limit]

    async def change(self, tx: Tx, tenant: str, webhook: Webhook) -> bool:
        row = self._find(tenant, webhook.webhook_id)
        if row is None or row.webhook.version != webhook.version:
            return False
        changed = msgspec.structs.replace(
            row.webhook,
            url=webhook.url,
            kinds=webhook.kinds,
            description=webhook.description,
            state=webhook.state,
            due_at=webhook.due_at,
            version=webhook.version + 1,
            attempts=0,
            failing_since=None,
        )
        self._put(tx, tenant, _Row(changed, row.secrets, row.lease + 1))
        return True

    async def rotate(
        self, tx: Tx, tenant: str, webhook_id: UUID, secret: bytes, old_until: datetime
    ) -> bool:
        row = self._find(tenant, webhook_id)
        if row is None:
            return False
        changed = msgspec.structs.replace(row.webhook, version=row.webhook.version + 1)
        secrets = Secrets(secret, row.secrets.secret, old_until)
        self._put(tx, tenant, msgspec.structs.replace(row, webhook=changed, secrets=secrets))
        return True

    async def move(
        self, tx: Tx, tenant: str, webhook_id: UUID, after_seq: int, now: datetime, head: int
    ) -> bool:
        row = self._find(tenant, webhook_id)
        if row is None:
            return False
        moved = msgspec.structs.replace(
            row.webhook,
            delivered_seq=min(after_seq, head),
            latest_seq=max(row.webhook.latest_seq, head),
            due_at=now,
            attempts=0,
            failing_since=None,
            version=row.webhook.version + 1,
        )
        self._put(tx, tenant, _Row(moved, row.secrets, row.lease + 1))
        return True

    async def tell(self, tx: Tx, tenant: str, seq: int, now: datetime) -> int:
        told = 0
        for (owner, _), row in list(self._rows.items()):
            w = row.webhook
            if owner == tenant and w.state is not WebhookState.REMOVED and w.latest_seq < seq:
                w = msgspec.structs.replace(w, latest_seq=seq, due_at=w.due_at or now)
                self._put(tx, tenant, msgspec.structs.replace(row, webhook=w))
                told += 1
        return told

    async def claim(self, tx: Tx, now: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        due = sorted(
            (row.webhook.due_at, owner, webhook_id)
            for (owner, webhook_id), row in self._rows.items()
            if row.webhook.state is WebhookState.ACTIVE
            and row.webhook.due_at is not None
            and row.webhook.due_at <= now
            and (row.lease_until is None or row.lease_until <= now)
        )
        claims: list[Claim] = []
        for _, owner, webhook_id in due[:limit]:
            row = self._rows[owner, webhook_id]
            row = msgspec.structs.replace(row, lease=row.lease + 1, lease_until=lease_until)
            self._put(tx, owner, row)
            claims.append(Claim(owner, row.webhook, row.secrets, row.lease, owner in self._demo))
        return claims

    async def settle(self, tx: Tx, claim: Claim, standing: Standing, now: datetime) -> bool:
        row = self._find(claim.tenant, claim.webhook.webhook_id)
        if row is None or row.lease != claim.lease or row.webhook.state is not WebhookState.ACTIVE:
            return False
        active = standing.state is WebhookState.ACTIVE
        news = active and row.webhook.latest_seq > standing.delivered_seq
        settled = msgspec.structs.replace(
            row.webhook,
            delivered_seq=standing.delivered_seq,
            state=standing.state,
            attempts=standing.attempts,
            due_at=now if news and standing.due_at is None else standing.due_at,
            failing_since=standing.failing_since,
            last_status=standing.last_status,
            last_error=standing.last_error,
            version=row.webhook.version + (not active),
        )
        self._put(tx, claim.tenant, _Row(settled, row.secrets, row.lease))
        return True

    async def log(
        self, tx: Tx, tenant: str, webhook_id: UUID, deliveries: Sequence[Delivery]
    ) -> None:
        for d in deliveries:
            key = (tenant, webhook_id, d.seq)
            before = self._log.get(key)
            if before is not None:
                attempts = before.attempts + d.attempts
                d = msgspec.structs.replace(d, attempts=attempts, first_at=before.first_at)
            mem(tx).put(self._log, key, d)

    async def deliveries(
        self, tx: Tx, tenant: str, webhook_id: UUID, before_seq: int, limit: int
    ) -> list[Delivery]:
        own = [
            d
            for (owner, endpoint, seq), d in self._log.items()
            if owner == tenant and endpoint == webhook_id and seq < before_seq
        ]
        return sorted(own, key=lambda d: -d.seq)[:limit]

    async def demo(self, tx: Tx, tenant: str) -> bool:
        return tenant in self._demo

    def _find(self, tenant: str, webhook_id: UUID) -> _Row | None:
        row = self._rows.get((tenant, webhook_id))
        return None if row is None or row.webhook.state is WebhookState.REMOVED else row

    def _put(self, tx: Tx, tenant: str, row: _Row) -> None:
        mem(tx).put(self._rows, (tenant, row.webhook.webhook_id), row)
