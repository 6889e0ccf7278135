"""One connection to a bank of this style: the keys, and how many requests may be under way.

Read next: ``connector.py``; ``bank_direct/line.py`` says which failures mean *ask*.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.contract import Connection, Tools
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.fields import bank_time
from caiwutong.rails.bank_direct.line import Line
from caiwutong.rails.bank_direct.signing import load_keys
from caiwutong.rails.bank_direct.styles.pab import codec
from caiwutong.rails.bank_direct.styles.pab.envelope import ANSWER, REQUEST, Head
from caiwutong.rails.bank_direct.styles.pab.profile import PAB_DIRECT, Profile
from caiwutong.rails.bank_direct.words import bad

_HEADERS = {"Content-Type": "text/xml; charset=GBK"}


class PabConnection(Connection, frozen=True, kw_only=True, tag="pab"):
    """An entry of this style: who we are at the bank, and the keys."""

    customer_id: str
    """外联客户代码, at most 20 characters."""
    signing_key: str
    """Our SM2 private key, 64 hex digits."""
    bank_key: str
    """The bank's SM2 public key, 130 hex digits."""
    at_once: int = PAB_DIRECT.at_once
    """Requests under way at one moment, at most what the bank allows."""
    batch_payments: int = 1
    """Payments in one message: 1 sends each as 4004, more send 4018. Raise it only when the bank
    has said that a payment's own number in a batch (SThirdVoucher) counts as a voucher number: is
    found by 4005, and is not paid again by 4004. Its document promises that for 4004 alone."""


class Link:
    """A connection ready for use. Believes only what is signed by the bank."""

    def __init__(
        self, connection: PabConnection, tools: Tools, profile: Profile = PAB_DIRECT
    ) -> None:
        if not 1 <= connection.batch_payments <= profile.batch_payments:
            raise Refused(
                "bank_direct.batch_payments",
                f"{connection.name} may send {connection.batch_payments} payments in a message.",
                f"Write 1 to {profile.batch_payments}.",
            )
        self.connection = connection
        self.profile = profile
        self.keys = load_keys(connection.signing_key, connection.bank_key)
        self._tools = tools
        self._line = Line(connection.name, tools, timeout_s=connection.timeout_s)
        self._slots = asyncio.Semaphore(max(1, min(connection.at_once, profile.at_once)))

    async def close(self) -> None:
        await self._line.close()

    def frame(self, body: Word, message_id: str, at: datetime) -> bytes:
        """A signed request of ours. Raises Refused where a value cannot travel."""
        head = Head(
            customer=self.connection.customer_id,
            function=codec.function_of(body),
            service=REQUEST,
            message_id=message_id,
            at=at,
        )
        return codec.encode(head, body, self.keys.signer)

    async def carry(self, frame: bytes) -> bytes:
        """Post a request; the bank's frame, not yet believed. Raises NotSent or SentInDoubt."""
        async with self._slots:
            return await self._line.post(self.connection.url, frame, _HEADERS)

    async def ask(self, body: Word) -> codec.Frame:
        """Send a question; the bank's answer to exactly this one. Raises NotSent, SentInDoubt, or
        BadMessage for an answer that cannot be believed."""
        now = self._tools.clock.now()
        message_id = f"{bank_time(now)[2:]}{self._tools.randomness.bytes(4).hex()}"
        raw = await self.carry(self.frame(body, message_id, now))
        return self.read(raw, codec.function_of(body), message_id)

    def read(self, raw: bytes, function: str, message_id: str) -> codec.Frame:
        """The bank's answer to this message. Raises BadMessage."""
        frame = codec.decode(raw, self.keys.verifier)
        head = frame.head
        asked = (function, message_id, self.connection.customer_id, ANSWER)
        if (head.function, head.message_id, head.customer, head.service) != asked:
            raise bad("other_answer", "The bank's answer belongs to another request.")
        return frame
