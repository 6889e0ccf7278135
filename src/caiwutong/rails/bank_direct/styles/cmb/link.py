"""One link: an enterprise's user at one bank, its keys, and how many requests may be under way.

Read next: ``connector.py``; ``bank_direct/line.py`` says which failures mean *ask*.
"""

from __future__ import annotations

import asyncio

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.contract import Connection, Tools
from caiwutong.rails.bank_direct.fields import bank_time
from caiwutong.rails.bank_direct.line import Line
from caiwutong.rails.bank_direct.styles.cmb import codec
from caiwutong.rails.bank_direct.styles.cmb.codec import Answer
from caiwutong.rails.bank_direct.styles.cmb.envelope import padded
from caiwutong.rails.bank_direct.styles.cmb.keys import load_keys
from caiwutong.rails.bank_direct.styles.cmb.messages import Wire
from caiwutong.rails.bank_direct.styles.cmb.profile import CMB_CLOUD, Profile
from caiwutong.rails.bank_direct.words import bad

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


class CmbConnection(Connection, frozen=True, kw_only=True, tag="cmb"):
    """An entry of this style: who we are at the bank, and the keys."""

    user_id: str
    """UID at this bank, at most 16 characters."""
    signing_key: str
    """Our SM2 private key, 64 hex digits."""
    bank_key: str
    """The bank's SM2 public key, 130 hex digits."""
    sm4_key: str
    """The symmetric key, 32 hex digits."""
    business_mode: str = "00001"
    """busMod: the number of the payment agreement at the bank."""
    concurrency: int = CMB_CLOUD.pay_concurrency
    batch_payments: int = 1
    """Payments in one message at most: 1 pays one by one (BB1PAYOP), up to 1,000 in batches
    (BB1PAYBH), which needs an agreement of its own at the bank."""


class Link:
    """A connection ready for use. Carries bytes; believes only what is signed by the bank."""

    def __init__(
        self, connection: CmbConnection, tools: Tools, profile: Profile = CMB_CLOUD
    ) -> None:
        padded(connection.user_id)
        if not 1 <= connection.batch_payments <= profile.batch_payments:
            raise Refused(
                "bank_direct.batch_payments",
                f"{connection.name} puts {connection.batch_payments} payments in a message.",
                f"Write 1 to {profile.batch_payments}.",
            )
        self.connection = connection
        self.profile = profile
        self.keys = load_keys(connection.signing_key, connection.bank_key, connection.sm4_key)
        self._tools = tools
        self._line = Line(connection.name, tools, timeout_s=connection.timeout_s)
        self._paying = asyncio.Semaphore(min(connection.concurrency, profile.pay_concurrency))
        self._asking = asyncio.Semaphore(profile.query_concurrency)

    @property
    def user_id(self) -> str:
        return self.connection.user_id

    async def pay(self, form: bytes) -> bytes:
        """Post a payment; the bytes that came back, not yet read."""
        async with self._paying:
            return await self._post(form)

    async def ask(self, body: Wire) -> Answer:
        """Post a query; the bank's answer to exactly this request.

        Raises NotSent, SentInDoubt, or BadMessage for an answer that cannot be believed."""
        now = self._tools.clock.now()
        millis = f"{now.microsecond // 1000:03d}"
        request_id = f"{bank_time(now)}{millis}{self._tools.randomness.bytes(8).hex()}"
        form = codec.encode_request(
            body, user_id=self.user_id, request_id=request_id, at=now, keys=self.keys
        )
        async with self._asking:
            raw = await self._post(form)
        function = codec.function_of(body)
        answer = codec.decode_answer(raw, user_id=self.user_id, function=function, keys=self.keys)
        if answer.request_id != request_id:
            raise bad("other_answer", "The bank's answer belongs to another request.")
        return answer

    async def close(self) -> None:
        await self._line.close()

    async def _post(self, form: bytes) -> bytes:
        return await self._line.post(self.connection.url, form, _HEADERS)
