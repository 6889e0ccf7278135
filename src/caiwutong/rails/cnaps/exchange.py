"""Questions to the clearing centre and their answers: signed, carried, verified, paired.

Owns the connection's facts and keys. Promises: an answer to another question is never taken for
this one, a message meant for another participant is refused, and everything is verified before it
is looked at. Knows nothing of payments.
Read next: ``link.py`` (the wire), ``rail.py`` (what is asked and why).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from caiwutong.crypto.gm import Sm2PrivateKey, Sm2PublicKey
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Unavailable
from caiwutong.kernel.ids import Ids, reference
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.codec import Codec
from caiwutong.rails.cnaps.link import Link
from caiwutong.rails.cnaps.signing import PeerKey, Signer, Verifier
from caiwutong.rails.contract import BadMessage, SentInDoubt

_INLINE = 4
"""Up to this many signatures are made on the event loop; more go to a thread."""

Answer = TypeVar("Answer")
Result = TypeVar("Result")


class CnapsConnection(msgspec.Struct, frozen=True):
    """How a sponsoring participant's front-end (前置) reaches the clearing centre."""

    url: str
    """Address of the centre's gateway; frames are POSTed to ``{url}/{channel}``."""
    sponsor: str
    """Twelve digits of the participant in whose name we speak."""
    centre: str
    """Twelve digits of the clearing centre."""
    bank_code: str
    """The bank that holds our accounts, where an account does not say."""
    signing_key: str
    """Our SM2 private key, 64 hex digits. Secret."""
    centre_key: str
    """The centre's SM2 public key, 130 hex digits."""
    timeout_s: float = 30.0
    """Business seconds to wait for an answer."""
    connect_timeout_s: float = 5.0
    least_timeout_s: float = 1.0
    """Real seconds below which no wait shrinks, however fast the business clock runs."""
    concurrency: int = 64

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self.url!r}, sponsor={self.sponsor!r})"


class Exchange:
    """One participant's conversation with the centre."""

    def __init__(
        self,
        connection: CnapsConnection,
        codec: Codec,
        clock: Clock,
        ids: Ids,
        *,
        signer: Signer | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        self._us = connection
        self._codec = codec
        self._clock = clock
        self._ids = ids
        self._signer = signer or Sm2PrivateKey.from_hex(connection.signing_key)
        self._verifier = verifier or PeerKey(Sm2PublicKey.from_hex(connection.centre_key))
        self._last: tuple[bytes, list[m.Frame]] = (b"", [])
        self._link = Link(
            f"{connection.url.rstrip('/')}/{codec.dialect.system.lower()}",
            clock,
            timeout_s=connection.timeout_s,
            connect_timeout_s=connection.connect_timeout_s,
            least_timeout_s=connection.least_timeout_s,
            concurrency=connection.concurrency,
        )

    async def close(self) -> None:
        await self._link.close()

    async def post(self, raw: bytes) -> bytes:
        """Carry frames as they are. Raises NotSent or SentInDoubt."""
        return await self._link.post(raw)

    def new_id(self) -> str:
        """A message id never used before."""
        return reference(self._clock.now(), self._ids.new())

    async def query(
        self, questions: Sequence[Any], expected: type[Answer]
    ) -> list[tuple[m.Header, Answer]]:
        """The one answer of the expected type to each question. Raises Unavailable."""
        try:
            answers = await self.ask(questions)
        except (SentInDoubt, BadMessage) as error:
            raise Unavailable(
                "cnaps.no_answer", error.detail, "Nothing was changed; ask again later."
            ) from None
        found: list[tuple[m.Header, Answer]] = []
        for frames in answers:
            fitting = [
                (frame.header, frame.message)
                for frame in frames
                if isinstance(frame.message, expected)
            ]
            if not fitting:
                raise Unavailable(
                    "cnaps.no_answer", "The centre did not answer the question.", "Ask again later."
                )
            found.append(fitting[0])
        return found

    async def ask(self, questions: Sequence[Any]) -> list[list[m.Frame]]:
        """Send the questions in one post; for each, the verified messages that answer it."""
        now = self._clock.now()
        numbered = [(reference(now, self._ids.new()), question) for question in questions]

        def write() -> bytes:
            return b"".join([self.encode(question, number, now) for number, question in numbered])

        raw = await self._link.post(await _apart(len(numbered), write))
        frames = await _apart(len(numbered), lambda: self.frames(raw))
        by_question: dict[str, list[m.Frame]] = {number: [] for number, _ in numbered}
        for frame in frames:
            if frame.header.answers in by_question:
                by_question[frame.header.answers].append(frame)
        return list(by_question.values())

    def frames(self, raw: bytes) -> list[m.Frame]:
        """Every message in these bytes, verified and meant for us. Raises BadMessage. The bytes
        read last are kept: reports, notices and acknowledgement of one callback verify once."""
        read, frames = self._last
        if read is not raw:
            frames = self._verified(raw)
            self._last = (raw, frames)
        return frames

    def _verified(self, raw: bytes) -> list[m.Frame]:
        frames = self._codec.decode_frames(raw, self._verifier)
        for frame in frames:
            if frame.header.receiver != self._us.sponsor:
                raise BadMessage(
                    "cnaps.not_for_us",
                    f"Message {frame.header.message_id} is meant for {frame.header.receiver}.",
                    "Check the participant codes of this connection.",
                )
        return frames

    def encode(self, message: Any, number: str, at: datetime, *, priority: int = 3) -> bytes:
        """One frame from us to the centre, signed. Raises Refused."""
        return self._codec.encode(
            message,
            sender=self._us.sponsor,
            receiver=self._us.centre,
            signer=self._signer,
            at=at,
            message_id=number,
            priority=priority,
        )


async def _apart(count: int, work: Callable[[], Result]) -> Result:
    """Do work with this many signatures without holding up the event loop."""
    return work() if count <= _INLINE else await asyncio.to_thread(work)
