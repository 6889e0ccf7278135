"""The socket to the outside: posts one body to an address that may be called, and never further.

A name is resolved here, every address it gives is judged, and the connection goes to one of the
judged ones (a name that changes between check and use gains nothing). Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from caiwutong.erp.webhooks.rules import (
    Address,
    AddressPolicy,
    Answer,
    check_url,
    literal,
)
from caiwutong.kernel.errors import Refused

_LONGEST_ANSWER = 64 * 1024


class _Judged(AbstractResolver):
    """Resolves names to the addresses this policy allows."""

    def __init__(self, policy: AddressPolicy, plain: bool) -> None:
        self._policy = policy
        self._plain = plain

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        results: list[ResolveResult] = []
        for kind, _, proto, _, place in found:
            address = literal(str(place[0]))
            if address is None or not self._allowed(address):
                continue
            results.append(
                ResolveResult(
                    hostname=host, host=str(place[0]), port=port, family=kind, proto=proto,
                    flags=socket.AI_NUMERICHOST,
                )
            )  # fmt: skip
        if not results:
            raise OSError(errno.EACCES, f"{host} leads to no address that may be called")
        return results

    def _allowed(self, address: Address) -> bool:
        if not self._policy.allows(address):
            return False
        return not (self._plain and self._policy.is_public(address))

    async def close(self) -> None:
        return None


class WebhookClient:
    """Keeps connections per (policy, plain or TLS), so that a round of events uses one."""

    def __init__(self, timeout_s: float = 10.0) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s / 2)
        self._sessions: dict[tuple[AddressPolicy, bool], aiohttp.ClientSession] = {}

    async def post(
        self, url: str, headers: dict[str, str], body: bytes, policy: AddressPolicy
    ) -> Answer:
        """What came back. Never raises for what the outside does."""
        try:
            check_url(url, policy)
        except Refused as refused:
            return Answer(None, refused.detail)
        session = self._session(policy, urlsplit(url).scheme == "http")
        try:
            async with session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                await response.content.read(_LONGEST_ANSWER)
                status = response.status
                error = "" if 200 <= status < 300 else f"answered {status}"
                return Answer(status, error, _retry_after(response.headers.get("Retry-After")))
        except TimeoutError:
            return Answer(None, "no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, f"{type(error).__name__}: {error}"[:200])

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _session(self, policy: AddressPolicy, plain: bool) -> aiohttp.ClientSession:
        session = self._sessions.get((policy, plain))
        if session is None:
            connector = aiohttp.TCPConnector(
                resolver=_Judged(policy, plain), use_dns_cache=False, limit=64, limit_per_host=4
            )
            session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
            self._sessions[policy, plain] = session
        return session


def _retry_after(value: Any) -> timedelta | None:
    text = str(value or "")
    return timedelta(seconds=int(text)) if text.isdigit() and len(text) < 8 else None
