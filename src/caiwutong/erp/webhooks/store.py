"""The rows of webhooks in PostgreSQL, and the port both stores keep.

``tell`` marks endpoints that have news, ``claim`` gives each of those to one worker under a lease,
``settle`` records where it stands, but only for the worker that still holds the lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, columns, pg
from caiwutong.db.queries import load as load_queries
from caiwutong.erp.webhooks.model import (
    Claim,
    Delivery,
    Secrets,
    Standing,
    Webhook,
    WebhookState,
)

_sql = load_queries(__package__ or "")
_WORDS = 14


class WebhookStore(Protocol):
    """Rows of webhooks: one store for PostgreSQL, one in memory, one contract suite for both."""

    async def insert(self, tx: Tx, tenant: str, webhook: Webhook, secret: bytes) -> None: ...

    async def read(
        self, tx: Tx, tenant: str, webhook_id: UUID
    ) -> tuple[Webhook, Secrets] | None: ...

    async def page(self, tx: Tx, tenant: str, after: UUID | None, limit: int) -> list[Webhook]: ...

    async def change(self, tx: Tx, tenant: str, webhook: Webhook) -> bool:
        """Write url, kinds, description, state and due_at over ``webhook.version``."""
        ...

    async def rotate(
        self, tx: Tx, tenant: str, webhook_id: UUID, secret: bytes, old_until: datetime
    ) -> bool: ...

    async def move(
        self, tx: Tx, tenant: str, webhook_id: UUID, after_seq: int, now: datetime, head: int
    ) -> bool: ...

    async def tell(self, tx: Tx, tenant: str, seq: int, now: datetime) -> int: ...

    async def claim(
        self, tx: Tx, now: datetime, lease_until: datetime, limit: int
    ) -> list[Claim]: ...

    async def settle(self, tx: Tx, claim: Claim, standing: Standing, now: datetime) -> bool:
        """False when the lease was lost: what was delivered will be delivered again."""
        ...

    async def log(
        self, tx: Tx, tenant: str, webhook_id: UUID, deliveries: Sequence[Delivery]
    ) -> None:
        """Note attempts; their number adds to those noted before."""
        ...

    async def deliveries(
        self, tx: Tx, tenant: str, webhook_id: UUID, before_seq: int, limit: int
    ) -> list[Delivery]: ...

    async def demo(self, tx: Tx, tenant: str) -> bool: ...


class PostgresWebhookStore:
    """Webhooks in PostgreSQL."""

    async def insert(self, tx: Tx, tenant: str, webhook: Webhook, secret: bytes) -> None:
        w = webhook
        await pg(tx).execute(
            _sql["insert"], tenant, w.webhook_id, w.url, list(w.kinds), w.description,
            w.created_at, secret, w.delivered_seq,
        )  # fmt: skip

    async def read(self, tx: Tx, tenant: str, webhook_id: UUID) -> tuple[Webhook, Secrets] | None:
        row = await pg(tx).fetch_one(_sql["read"], tenant, webhook_id)
        return None if row is None else (_webhook(row), Secrets(*tuple(row)[_WORDS:]))

    async def page(self, tx: Tx, tenant: str, after: UUID | None, limit: int) -> list[Webhook]:
        return [_webhook(row) for row in await pg(tx).fetch(_sql["page"], tenant, after, limit)]

    async def change(self, tx: Tx, tenant: str, webhook: Webhook) -> bool:
        w = webhook
        return await pg(tx).execute(
            _sql["change"], tenant, w.webhook_id, w.version, w.url, list(w.kinds), w.description,
            w.state.value, w.due_at,
        ) == 1  # fmt: skip

    async def rotate(
        self, tx: Tx, tenant: str, webhook_id: UUID, secret: bytes, old_until: datetime
    ) -> bool:
        done = await pg(tx).execute(_sql["rotate"], tenant, webhook_id, secret, old_until)
        return done == 1

    async def move(
        self, tx: Tx, tenant: str, webhook_id: UUID, after_seq: int, now: datetime, head: int
    ) -> bool:
        done = await pg(tx).execute(_sql["move"], tenant, webhook_id, after_seq, now, head)
        return done == 1

    async def tell(self, tx: Tx, tenant: str, seq: int, now: datetime) -> int:
        return await pg(tx).execute(_sql["tell"], tenant, seq, now)

    async def claim(self, tx: Tx, now: datetime, lease_until: datetime, limit: int) -> list[Claim]:
        return [
            Claim(r["tenant"], _webhook(r), Secrets(*tuple(r)[_WORDS:17]), r["lease"], r["demo"])
            for r in await pg(tx).fetch(_sql["claim"], now, lease_until, limit)
        ]

    async def settle(self, tx: Tx, claim: Claim, standing: Standing, now: datetime) -> bool:
        s = standing
        return await pg(tx).execute(
            _sql["settle"], claim.tenant, claim.webhook.webhook_id, claim.lease, s.delivered_seq,
            s.state.value, s.attempts, s.due_at, s.failing_since, s.last_status, s.last_error, now,
        ) == 1  # fmt: skip

    async def log(
        self, tx: Tx, tenant: str, webhook_id: UUID, deliveries: Sequence[Delivery]
    ) -> None:
        if deliveries:
            rows = [
                (
                    d.seq, d.event_id, d.kind, d.delivered, d.attempts, d.status, d.error,
                    d.first_at, d.last_at,
                )
                for d in deliveries
            ]  # fmt: skip
            await pg(tx).execute(_sql["log"], tenant, webhook_id, *columns(rows, 9))

    async def deliveries(
        self, tx: Tx, tenant: str, webhook_id: UUID, before_seq: int, limit: int
    ) -> list[Delivery]:
        rows = await pg(tx).fetch(_sql["deliveries"], tenant, webhook_id, before_seq, limit)
        return [Delivery(*row) for row in rows]

    async def demo(self, tx: Tx, tenant: str) -> bool:
        return bool(await pg(tx).value(_sql["demo"], tenant))


def _webhook(row: Row) -> Webhook:
    webhook_id, url, kinds, description, state, *rest = tuple(row)[:_WORDS]
    version, created_at, delivered, latest, attempts, due_at, since, status, error = rest
    return Webhook(
        webhook_id=webhook_id,
        url=url,
        kinds=tuple(kinds),
        description=description,
        state=WebhookState(state),
        version=version,
        created_at=created_at,
        delivered_seq=delivered,
        latest_seq=latest,
        attempts=attempts,
        due_at=due_at,
        failing_since=since,
        last_status=status,
        last_error=error,
    )
