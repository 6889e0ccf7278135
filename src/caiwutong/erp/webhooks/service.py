"""What owners do with webhooks: create, change, rotate the secret, replay, look at deliveries.

Calls run inside the caller's transaction. The secret's text is returned once, at creation and at
rotation; at rest it is sealed, bound to its endpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.erp.feed import Feed
from caiwutong.erp.webhooks.model import (
    Claim,
    Delivery,
    Patience,
    Secrets,
    Webhook,
    WebhookState,
)
from caiwutong.erp.webhooks.rules import (
    SECRET_BYTES,
    AddressPolicy,
    check_kinds,
    check_url,
    secret_text,
)
from caiwutong.erp.webhooks.store import WebhookStore
from caiwutong.kernel.clock import Clock, Randomness
from caiwutong.kernel.errors import Conflict, NotFound, Refused
from caiwutong.kernel.ids import Ids

_RECORD_CLASS = "webhook"
_OWN_STATES = frozenset({WebhookState.ACTIVE, WebhookState.PAUSED})


class Sealer(Protocol):
    """The part of the vault webhooks need."""

    def seal(self, record_class: str, plaintext: bytes, context: bytes) -> bytes: ...

    def open(self, record_class: str, sealed: bytes, context: bytes) -> bytes: ...


class Change(msgspec.Struct, frozen=True):
    """What an owner changes; None leaves it."""

    url: str | None = None
    kinds: tuple[str, ...] | None = None
    description: str | None = None
    state: WebhookState | None = None


class Webhooks:
    """Endpoints of all tenants over one store."""

    def __init__(
        self,
        store: WebhookStore,
        feed: Feed,
        vault: Sealer,
        clock: Clock,
        ids: Ids,
        randomness: Randomness,
        *,
        policy: AddressPolicy | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.store = store
        self.feed = feed
        self.patience = patience or Patience()
        self._vault = vault
        self._clock = clock
        self._ids = ids
        self._randomness = randomness
        self._policy = policy or AddressPolicy()

    async def create(
        self, tx: Tx, tenant: str, url: str, kinds: Sequence[str] = (), description: str = ""
    ) -> tuple[Webhook, str]:
        """A new active endpoint that gets what is sealed from now on, and its secret's text."""
        check_kinds(kinds)
        check_url(url, await self._policy_for(tx, tenant))
        head = (await self.feed.heads(tx)).get(tenant, 0)
        webhook = Webhook(
            webhook_id=self._ids.new(),
            url=url,
            kinds=tuple(kinds),
            description=description,
            state=WebhookState.ACTIVE,
            version=1,
            created_at=self._clock.now(),
            delivered_seq=head,
            latest_seq=head,
        )
        secret = self._randomness.bytes(SECRET_BYTES)
        sealed = self._vault.seal(_RECORD_CLASS, secret, _context(tenant, webhook.webhook_id))
        await self.store.insert(tx, tenant, webhook, sealed)
        return webhook, secret_text(secret)

    async def get(self, tx: Tx, tenant: str, webhook_id: UUID) -> Webhook:
        found = await self.store.read(tx, tenant, webhook_id)
        if found is None:
            raise _no_webhook(webhook_id)
        return found[0]

    async def page(
        self, tx: Tx, tenant: str, after: UUID | None = None, limit: int = 100
    ) -> list[Webhook]:
        """Endpoints in order of creation, after ``after``."""
        return await self.store.page(tx, tenant, after, limit)

    async def change(
        self, tx: Tx, tenant: str, webhook_id: UUID, change: Change, *, version: int
    ) -> Webhook:
        """The endpoint after the change. ``version`` is the one its owner read: ``Conflict``
        ``webhook.changed`` if it is not the present one. Setting it active delivers from where it
        stopped."""
        present = await self.get(tx, tenant, webhook_id)
        if change.state is not None and change.state not in _OWN_STATES:
            raise Refused(
                "webhook.bad_state",
                f"A webhook cannot be set to {change.state}.",
                "Set it active or paused, or delete it.",
            )
        if change.kinds is not None:
            check_kinds(change.kinds)
        if change.url is not None:
            check_url(change.url, await self._policy_for(tx, tenant))
        state = change.state or present.state
        wanted = msgspec.structs.replace(
            present,
            url=present.url if change.url is None else change.url,
            kinds=present.kinds if change.kinds is None else change.kinds,
            description=present.description if change.description is None else change.description,
            state=state,
            due_at=self._clock.now() if state is WebhookState.ACTIVE else None,
            version=version,
        )
        await self._write(tx, tenant, wanted)
        return await self.get(tx, tenant, webhook_id)

    async def remove(self, tx: Tx, tenant: str, webhook_id: UUID, *, version: int) -> None:
        """Nothing more is delivered to it, and it is not found any more."""
        present = await self.get(tx, tenant, webhook_id)
        gone = msgspec.structs.replace(
            present, state=WebhookState.REMOVED, due_at=None, version=version
        )
        await self._write(tx, tenant, gone)

    async def rotate(self, tx: Tx, tenant: str, webhook_id: UUID) -> str:
        """A new secret's text. The one before signs beside it for a day."""
        secret = self._randomness.bytes(SECRET_BYTES)
        sealed = self._vault.seal(_RECORD_CLASS, secret, _context(tenant, webhook_id))
        until = self._clock.now() + self.patience.old_secret_for
        if not await self.store.rotate(tx, tenant, webhook_id, sealed, until):
            raise _no_webhook(webhook_id)
        return secret_text(secret)

    async def replay(self, tx: Tx, tenant: str, webhook_id: UUID, after_seq: int) -> Webhook:
        """Deliver everything after this sequence again, in order."""
        head = (await self.feed.heads(tx)).get(tenant, 0)
        if not 0 <= after_seq <= head:
            raise Refused(
                "webhook.no_such_sequence",
                f"There is no sealed event {after_seq}; the last one is {head}.",
                "Replay after 0 for everything, or after the last sequence you have.",
            )
        now = self._clock.now()
        if not await self.store.move(tx, tenant, webhook_id, after_seq, now, head):
            raise _no_webhook(webhook_id)
        return await self.get(tx, tenant, webhook_id)

    async def deliveries(
        self, tx: Tx, tenant: str, webhook_id: UUID, before_seq: int | None, limit: int
    ) -> list[Delivery]:
        """What became of events at this endpoint, newest first."""
        await self.get(tx, tenant, webhook_id)
        before = before_seq if before_seq is not None else 2**62
        return await self.store.deliveries(tx, tenant, webhook_id, before, limit)

    def valid_secrets(self, claim: Claim, now: datetime) -> list[bytes]:
        """The secrets that sign now, newest first."""
        secrets: Secrets = claim.secrets
        sealed = [secrets.secret]
        until = secrets.old_secret_until
        if secrets.old_secret is not None and until is not None and now < until:
            sealed.append(secrets.old_secret)
        context = _context(claim.tenant, claim.webhook.webhook_id)
        return [self._vault.open(_RECORD_CLASS, each, context) for each in sealed]

    def policy(self, demo: bool) -> AddressPolicy:
        """Which addresses a tenant may name; a demo tenant may name loopback."""
        return AddressPolicy(self._policy.loopback or demo, self._policy.networks)

    async def _policy_for(self, tx: Tx, tenant: str) -> AddressPolicy:
        return self.policy(await self.store.demo(tx, tenant))

    async def _write(self, tx: Tx, tenant: str, wanted: Webhook) -> None:
        if not await self.store.change(tx, tenant, wanted):
            raise Conflict(
                "webhook.changed",
                f"Webhook {wanted.webhook_id} changed since you read it.",
                "Read it again and repeat the change with its present version.",
            )


def _context(tenant: str, webhook_id: UUID) -> bytes:
    return f"{tenant}/{webhook_id}/secret".encode()


def _no_webhook(webhook_id: UUID) -> NotFound:
    return NotFound(
        "webhook.not_found",
        f"There is no webhook {webhook_id}.",
        "List the webhooks and name one of them.",
    )
