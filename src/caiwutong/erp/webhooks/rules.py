"""Pure decisions of webhooks: the signature, how long to wait, and which addresses may be called.

Standard Webhooks 1.0 (standardwebhooks.com, spec of 2023-12): headers ``webhook-id``,
``webhook-timestamp``, ``webhook-signature``; the signed bytes are ``id.timestamp.body``; a secret
is ``whsec_`` and the base64 of 24 to 64 random bytes; several signatures stand side by side while
a secret rotates; 410 Gone means stop.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import msgspec

from caiwutong.erp.feed import FeedEvent
from caiwutong.erp.webhooks.model import Patience, Standing, Webhook, WebhookState
from caiwutong.kernel.errors import Refused

SECRET_BYTES = 32
_PREFIX = "whsec_"
_GONE = 410
_KIND_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.*-")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def secret_text(secret: bytes) -> str:
    """The secret as its owner keeps it: ``whsec_…``."""
    return _PREFIX + base64.b64encode(secret).decode()


def signature(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` header: one ``v1,…`` per valid secret, newest first."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    marks = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join("v1," + base64.b64encode(mark).decode() for mark in marks)


class Payload(msgspec.Struct, frozen=True):
    """The body of a delivery: Standard Webhooks' type, timestamp and data, with our sequence."""

    type: str
    timestamp: datetime
    data: object
    seq: int
    id: str
    subject_kind: str
    subject: str
    recorded_at: datetime


def body_of(event: FeedEvent) -> bytes:
    """The bytes delivered for an event; the same at every attempt and replay."""
    e = event
    return msgspec.json.encode(
        Payload(e.kind, e.at, e.data, e.seq, e.id, e.subject_kind, e.subject, e.recorded_at)
    )


def wait_before(attempts: int, patience: Patience, chance: float) -> timedelta:
    """The wait after this many failures in a row: doubling, capped, and spread by ±20 % with
    ``chance`` in [0, 1) so that endpoints of one server do not return all at once."""
    doubled = patience.first_wait * 2 ** min(max(attempts - 1, 0), 20)
    return min(doubled, patience.longest_wait) * (0.8 + 0.4 * chance)


class Answer(msgspec.Struct, frozen=True):
    """What came back from an endpoint. ``status`` None: nothing did."""

    status: int | None
    error: str = ""
    retry_after: timedelta | None = None

    @property
    def taken(self) -> bool:
        """Whether the event was taken: any 2xx."""
        return self.status is not None and 200 <= self.status < 300


def stand_after(
    webhook: Webhook,
    delivered_seq: int,
    answer: Answer | None,
    now: datetime,
    patience: Patience,
    chance: float,
) -> Standing:
    """Where an endpoint stands after a round. ``answer`` is the last one; None: nothing was
    wanted. Progress in the round starts the count of failures anew."""
    if answer is None or answer.taken:
        more = delivered_seq < webhook.latest_seq
        return Standing(
            delivered_seq, WebhookState.ACTIVE, 0, now if more else None, None,
            answer.status if answer else webhook.last_status, "",
        )  # fmt: skip
    fresh = delivered_seq > webhook.delivered_seq
    attempts = 1 if fresh else webhook.attempts + 1
    since = now if fresh or webhook.failing_since is None else webhook.failing_since
    if answer.status == _GONE or now - since >= patience.give_up_after:
        return Standing(
            delivered_seq, WebhookState.DISABLED, attempts, None, since, answer.status, answer.error
        )
    wait = wait_before(attempts, patience, chance)
    if answer.retry_after is not None:
        wait = min(max(wait, answer.retry_after), patience.longest_wait)
    return Standing(
        delivered_seq, WebhookState.ACTIVE, attempts, now + wait, since, answer.status, answer.error
    )


class AddressPolicy(msgspec.Struct, frozen=True):
    """Which addresses may be called: those of the public internet, and what is named here.

    An ERP in the enterprise's own network (10.0.0.0/8 …) is named by the operator; loopback is for
    demo tenants.
    """

    loopback: bool = False
    networks: tuple[Network, ...] = ()

    def allows(self, address: Address) -> bool:
        """Whether this address may be called. IPv4 inside IPv6 is judged as IPv4."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in net for net in self.networks if net.version == address.version):
            return True
        if address.is_loopback:
            return self.loopback
        return address.is_global and not address.is_multicast

    def is_public(self, address: Address) -> bool:
        """Whether it is allowed only as part of the public internet: there, only https."""
        return address.is_global and not any(
            address in net for net in self.networks if net.version == address.version
        )


def check_url(url: str, policy: AddressPolicy) -> None:
    """Refuse an address that can never be called: ``webhook.bad_url``.

    A name is looked up, and its addresses judged, when it is called: what it points to changes.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad_url(url, "it is not a URL") from None
    host = parts.hostname or ""
    if parts.scheme not in {"https", "http"} or not host or len(url) > 2048:
        raise _bad_url(url, "it is not an http or https address")
    if any(ord(c) <= 32 or ord(c) > 126 for c in url):
        raise _bad_url(url, "it holds spaces or characters outside ASCII")
    if parts.username is not None or parts.fragment or port == 0:
        raise _bad_url(url, "it holds a user, a fragment or port 0")
    address = literal(host)
    if address is not None and not policy.allows(address):
        raise _bad_url(url, "its host is an address inside our own network")
    private = address is not None and not policy.is_public(address)
    named = address is None and (policy.loopback or policy.networks)
    if parts.scheme == "http" and not (private or named):
        raise _bad_url(url, "plain http is for addresses in your own network")


def literal(host: str) -> Address | None:
    """The address a host name spells out, or None for a name."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse a filter that cannot match: ``webhook.bad_kind``."""
    for kind in kinds:
        bad = not kind or len(kind) > 64 or not set(kind) <= _KIND_CHARACTERS
        if bad or "*" in kind[:-1] or len(kinds) > 64:
            raise Refused(
                "webhook.bad_kind",
                f"{kind[:64]!r} is not a kind of event.",
                "Name up to 64 kinds like payment.completed, or prefixes like payment.*.",
            )


def _bad_url(url: str, why: str) -> Refused:
    return Refused(
        "webhook.bad_url",
        f"{url[:80]!r} cannot be a webhook address: {why}.",
        "Give an https address that is reachable from here; ask the operator to allow your network "
        "if it is inside.",
    )
