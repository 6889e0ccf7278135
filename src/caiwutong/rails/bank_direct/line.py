"""Bytes carried to a bank's address over HTTP, for every style that speaks it.

Owns: which failures mean *certainly not sent* and which mean *ask*. A connection that was never
made is ``NotSent``; anything after that, silence and a cut line included, is ``SentInDoubt``.
Timeouts are business time.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from caiwutong.rails.bank_direct.contract import Tools
from caiwutong.rails.contract import NotSent, SentInDoubt

MAX_BYTES = 4_194_304
"""Largest message read, before decoding (own): a page of 200 lines is 200 kB, a receipt 2 MB."""
_KEEPALIVE_S = 15.0


class Line:
    """HTTP to one bank. Needs a running event loop; ``close`` it when done."""

    def __init__(self, name: str, tools: Tools, *, timeout_s: float) -> None:
        self._name = name
        self._tools = tools
        self._timeout_s = timeout_s
        self._http: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """The body of the answer with status 200. Raises NotSent or SentInDoubt."""
        # A clock that runs fast must not make the wire's own milliseconds look like silence.
        real = self._tools.clock.real_seconds(self._timeout_s)
        wait = max(real, self._tools.least_real_timeout_s)
        timeout = aiohttp.ClientTimeout(total=wait, sock_connect=wait)
        try:
            async with self._session().post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return await self._body(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(
                "bank_direct.not_sent",
                f"The bank of {self._name} could not be reached ({type(error).__name__}).",
                "Nothing was sent. Check the address and the line; the same message may go again.",
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self.in_doubt(f"no whole answer came ({type(error).__name__})") from None

    def in_doubt(self, what: str) -> SentInDoubt:
        """What to raise when the bank may have the message."""
        return SentInDoubt(
            "bank_direct.in_doubt",
            f"The bank of {self._name} may have the message: {what}.",
            "Ask for the reference; do not send it again under another one.",
        )

    async def close(self) -> None:
        """Close the connections. The line may be used again afterwards."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status != 200:
            raise self.in_doubt(f"it answered with HTTP status {response.status}")
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > MAX_BYTES:
                raise self.in_doubt("its answer is larger than any message")
            parts.append(part)
        return b"".join(parts)

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None or self._http.closed:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S)
            self._http = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        return self._http
