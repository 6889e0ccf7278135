"""Signed HTTP requests for ``POST /v1/payments``, as bytes ready to be sent."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator

import msgspec

from caiwutong.benchmarks.orders import Orders
from caiwutong.cli.seed import DemoCredentials, load_credentials
from caiwutong.identity.http_signatures import sign
from caiwutong.settings import Settings

PATH = "/v1/payments"
_encode = msgspec.json.Encoder().encode


def signed_requests(settings: Settings, orders: Orders) -> Iterator[bytes]:
    """Requests with keys of their own, each signed with the demo's API key when it is drawn. They
    are valid for five minutes."""
    credentials = load_credentials(settings.data_dir)
    secret = secret_of(credentials)
    for key, order in orders:
        body = _encode(order)
        fields = sign(
            secret, credentials.key_id, method="POST", path=PATH, body=body, idempotency_key=key,
            created=int(time.time()),
        )  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        yield (
            f"POST {PATH} HTTP/1.1\r\nHost: {settings.host}:{settings.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{head}\r\n"
        ).encode() + body


def secret_of(credentials: DemoCredentials) -> bytes:
    """The HMAC secret of the demo's API key."""
    return urlsafe_b64decode(credentials.secret + "=")
