"""One link: an enterprise's user at one bank, its keys, and bytes carried to that bank's address.

Owns: which failures mean *certainly not sent* and which mean *ask*. A connection that was never
made is ``NotSent``; anything after that, silence and a cut line included, is ``SentInDoubt``.
Timeouts are business time. Read next: ``connector.py``.
"""

from __future__ import annotations

import asyncio

import aiohttp
import msgspec

from caiwutong.kernel.clock import Clock, Randomness
from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct import codec
from caiwutong.rails.bank_direct.codec import Answer
from caiwutong.rails.bank_direct.envelope import MAX_BYTES, bad, bank_time, padded
from caiwutong.rails.bank_direct.keys import load_keys
from caiwutong.rails.bank_direct.messages import Wire
from caiwutong.rails.bank_direct.profile import CMB_CLOUD, Profile
from caiwutong.rails.contract import NotSent, SentInDoubt

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


class BankDirectConnection(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator enters for one bank: where it is, who we are there, and the keys."""

    url: str
    """Where requests are posted."""
    bank_codes: tuple[str, ...]
    """The bank's 联行号 or their beginnings, 3 to 12 digits: ``308`` is every branch of CMB, a city
    bank needs more digits because 313 is shared. The longest match serves an account."""
    user_id: str
    """UID at this bank, at most 16 characters; different for each connection."""
    signing_key: str
    """Our SM2 private key, 64 hex digits."""
    bank_key: str
    """The bank's SM2 public key, 130 hex digits."""
    sm4_key: str
    """The symmetric key, 32 hex digits."""
    business_mode: str = "00001"
    """busMod: the number of the payment agreement at the bank."""
    timeout_s: float = 30.0
    """Business seconds to wait for an answer."""
    concurrency: int = CMB_CLOUD.pay_concurrency

    def __repr__(self) -> str:
        return f"BankDirectConnection({self.user_id} at {self.url}, {'/'.join(self.bank_codes)})"


class Link:
    """A connection ready for use. Carries bytes; believes only what is signed by the bank."""

    def __init__(
        self,
        connection: BankDirectConnection,
        *,
        clock: Clock,
        randomness: Randomness,
        profile: Profile = CMB_CLOUD,
        least_real_timeout_s: float = 1.0,
    ) -> None:
        padded(connection.user_id)
        if not all(3 <= len(code) <= 12 and code.isdigit() for code in connection.bank_codes):
            raise Refused(
                "bank_direct.bank_codes",
                "A connection serves bank codes of 3 to 12 digits.",
                "Write the first digits of the bank's 联行号, for example 308.",
            )
        self.connection = connection
        self.profile = profile
        self.keys = load_keys(connection.signing_key, connection.bank_key, connection.sm4_key)
        self._clock = clock
        self._randomness = randomness
        self._least_real_timeout_s = least_real_timeout_s
        self._paying = asyncio.Semaphore(min(connection.concurrency, profile.pay_concurrency))
        self._asking = asyncio.Semaphore(profile.query_concurrency)

    @property
    def user_id(self) -> str:
        return self.connection.user_id

    async def pay(self, http: aiohttp.ClientSession, form: bytes) -> bytes:
        """Post a payment; the bytes that came back, not yet read."""
        async with self._paying:
            return await self._post(http, form)

    async def ask(self, http: aiohttp.ClientSession, body: Wire) -> Answer:
        """Post a query; the bank's answer to exactly this request.

        Raises NotSent, SentInDoubt, or BadMessage for an answer that cannot be believed."""
        now = self._clock.now()
        millis = f"{now.microsecond // 1000:03d}"
        request_id = f"{bank_time(now)}{millis}{self._randomness.bytes(8).hex()}"
        form = codec.encode_request(
            body, user_id=self.user_id, request_id=request_id, at=now, keys=self.keys
        )
        async with self._asking:
            raw = await self._post(http, form)
        function = codec.function_of(body)
        answer = codec.decode_answer(raw, user_id=self.user_id, function=function, keys=self.keys)
        if answer.request_id != request_id:
            raise bad("other_answer", "The bank's answer belongs to another request.")
        return answer

    async def _post(self, http: aiohttp.ClientSession, form: bytes) -> bytes:
        # A clock that runs fast must not make the wire's own milliseconds look like silence.
        real = self._clock.real_seconds(self.connection.timeout_s)
        wait = max(real, self._least_real_timeout_s)
        timeout = aiohttp.ClientTimeout(total=wait, sock_connect=wait)
        try:
            async with http.post(
                self.connection.url,
                data=form,
                headers=_HEADERS,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                return await self._body(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(
                "bank_direct.not_sent",
                f"The bank of {self.user_id} could not be reached ({type(error).__name__}).",
                "Nothing was sent. Check the address and the line; the same message may go again.",
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._in_doubt(f"no whole answer came ({type(error).__name__})") from None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status != 200:
            raise self._in_doubt(f"it answered with HTTP status {response.status}")
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > MAX_BYTES:
                raise self._in_doubt("its answer is larger than any message")
            parts.append(part)
        return b"".join(parts)

    def _in_doubt(self, what: str) -> SentInDoubt:
        return SentInDoubt(
            "bank_direct.in_doubt",
            f"The bank of {self.user_id} may have the message: {what}.",
            "Ask for the reference; do not send it again under another one.",
        )
