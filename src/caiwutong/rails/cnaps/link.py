"""The wire to the clearing centre: HTTP POST of frames, frames back. Knows nothing of messages.

Promises: ``NotSent`` only when no connection was made, so that not one byte left this machine;
anything that goes wrong later is ``SentInDoubt``. Nothing is ever repeated here, redirects and
broken keep-alive connections included.
"""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp

from caiwutong.kernel.clock import Clock
from caiwutong.rails.cnaps.codec import MAX_RAW
from caiwutong.rails.contract import NotSent, SentInDoubt

_ASK = "Ask what became of it; do not send it under another reference."
_HEADERS = {"Content-Type": "application/xml"}


class Link:
    """Keep-alive connections to one address, at most ``concurrency`` requests at a time."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        timeout_s: float,
        connect_timeout_s: float,
        least_timeout_s: float,
        concurrency: int,
    ) -> None:
        self._url = url
        self._clock = clock
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._least_timeout_s = least_timeout_s
        self._places = asyncio.Semaphore(concurrency)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, raw: bytes) -> bytes:
        """Carry the bytes; what came back. Waits in business time, but never less than
        ``least_timeout_s`` real seconds, so that a fast clock does not outrun the machine."""
        async with self._places:
            timeout = aiohttp.ClientTimeout(
                total=self._real(self._timeout_s) + self._real(self._connect_timeout_s),
                sock_connect=self._real(self._connect_timeout_s),
            )
            try:
                async with self._open().post(
                    self._url, data=raw, headers=_HEADERS, timeout=timeout, allow_redirects=False
                ) as response:
                    return await self._body(response)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                raise NotSent(
                    "cnaps.no_connection",
                    f"The clearing centre cannot be reached ({type(error).__name__}).",
                    "Nothing was sent. Try again when the line is up.",
                ) from None
            except TimeoutError:
                raise SentInDoubt(
                    "cnaps.silence", f"No answer within {self._timeout_s:g} s.", _ASK
                ) from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise SentInDoubt(
                    "cnaps.line_broke", f"The line broke ({type(error).__name__}).", _ASK
                ) from None

    async def close(self) -> None:
        """Let go of all connections; the next ``post`` makes new ones."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(OSError):
                await session.close()

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status not in (200, 202, 204):
            raise SentInDoubt("cnaps.http", f"The centre answered HTTP {response.status}.", _ASK)
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > MAX_RAW:
                raise SentInDoubt("cnaps.answer_too_large", "The answer does not end.", _ASK)
            parts.append(part)
        return b"".join(parts)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            # The semaphore is the bound; a second one in the pool would let requests wait there
            # with their timeout running, and an unsent message would look like a sent one.
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self._session

    def _real(self, business_s: float) -> float:
        return max(self._clock.real_seconds(business_s), self._least_timeout_s)
