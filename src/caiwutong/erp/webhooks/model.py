"""The words of webhooks.

An *endpoint* is an address with a filter and a secret. It has one cursor over the tenant's sealed
log: everything up to ``delivered_seq`` was delivered or not asked for. Delivery is strictly in
order: a later event never overtakes a failing one. Replay moves the cursor back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

WEBHOOKS = "webhooks"
"""The name of the consumer that tells endpoints there is something new."""


class WebhookState(StrEnum):
    """The life of an endpoint."""

    ACTIVE = "active"
    PAUSED = "paused"
    """By its owner; nothing is lost, delivery goes on where it stopped."""
    DISABLED = "disabled"
    """By us: it failed for days, or answered 410 Gone. Its owner sets it active again."""
    REMOVED = "removed"


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint as its owner sees it; the secret is not here."""

    webhook_id: UUID
    url: str
    kinds: tuple[str, ...]
    """Exact kinds or prefixes like ``payment.*``; empty takes all."""
    description: str
    state: WebhookState
    version: int
    created_at: datetime
    delivered_seq: int
    latest_seq: int
    """The last sequence it was told of; ``latest_seq - delivered_seq`` events lie before it."""
    attempts: int = 0
    """Failed attempts in a row for the event it stands at."""
    due_at: datetime | None = None
    failing_since: datetime | None = None
    last_status: int | None = None
    last_error: str = ""


class Secrets(msgspec.Struct, frozen=True):
    """The sealed secrets of an endpoint: the old one signs too until its time is over."""

    secret: bytes
    old_secret: bytes | None = None
    old_secret_until: datetime | None = None


class Claim(msgspec.Struct, frozen=True):
    """An endpoint one worker may deliver to for a while. ``lease`` is the fencing token."""

    tenant: str
    webhook: Webhook
    secrets: Secrets
    lease: int
    demo: bool
    """The tenant is a demo: loopback addresses are allowed."""


class Delivery(msgspec.Struct, frozen=True):
    """What became of one event at one endpoint: the last attempt, and how many there were."""

    seq: int
    event_id: str
    kind: str
    delivered: bool
    attempts: int
    status: int | None
    error: str
    first_at: datetime
    last_at: datetime


class Standing(msgspec.Struct, frozen=True):
    """Where an endpoint stands after a round of deliveries."""

    delivered_seq: int
    state: WebhookState
    attempts: int
    due_at: datetime | None
    """When to go on: None when there is nothing before it."""
    failing_since: datetime | None
    last_status: int | None
    last_error: str


class Patience(msgspec.Struct, frozen=True):
    """How long we try, in business time."""

    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(hours=4)
    give_up_after: timedelta = timedelta(days=5)
    old_secret_for: timedelta = timedelta(hours=24)
