"""A door of the sponsor's front-end (前置): frames of one CNAPS2 channel in, signed answers out.

What every channel does alike is here: cutting frames apart, checking the hub's signature, a 911 for
what is no good message, broken lines and spoilt signatures. A channel's own door says what it
answers (``sponsor`` for IBPS, ``beps`` for BEPS).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from caiwutong.crypto.gm import Sm2PrivateKey, Sm2PublicKey
from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.codec import Codec
from caiwutong.rails.cnaps.signing import KeyRing
from caiwutong.rails.contract import BadMessage
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.wire import Fate, MessageIds, Reply, clean, outage


class Answer(NamedTuple):
    """One message on its way back: made, or withheld by a fault (None)."""

    message: Any
    spoil: bool = False
    """Whether its signature is made wrong on purpose."""
    delay_s: float = 0.0


class Speaker:
    """Signs and frames what the centre says to the participant over one channel."""

    def __init__(
        self, network: Network, key: Sm2PrivateKey, participant: str, codec: Codec
    ) -> None:
        self.codec = codec
        self._network = network
        self._key = key
        self._participant = participant
        self._ids = MessageIds()

    def frame(self, message: Any, *, sender: str = "", message_id: str = "") -> bytes:
        """The bytes of this message, signed by the centre, under a new id unless one is given."""
        at = self._network.clock.now()
        return self.codec.encode(
            message,
            sender=sender or self._network.world.centre,
            receiver=self._participant,
            signer=self._key,
            at=at,
            message_id=message_id or self._ids.new(at),
            direction="D",
        )


class Door(ABC):
    """Answers the hub's messages of one channel."""

    prefix = "CB1"
    """With which its processing codes begin."""

    def __init__(
        self, network: Network, channel: str, speaker: Speaker, hub_key: Sm2PublicKey
    ) -> None:
        """``hub_key`` checks what the hub signs."""
        self.network = network
        self.channel = channel
        self.code = network.world.sponsor
        self.book = network.books[self.code]
        self._speaker = speaker
        self._codec = speaker.codec
        self._ring = KeyRing({self.code: hub_key})

    @abstractmethod
    def answer(self, header: m.Header, message: Any) -> Answer | None:
        """What is said to one verified message of the hub; None: it is not taken here."""

    def handle(self, raw: bytes) -> Reply:
        """The reply to one request body, which may hold several frames end to end. Nothing is
        durable yet: the caller commits before it lets the reply go."""
        try:
            frames = self._codec.split_frames(raw)
        except BadMessage as error:
            return Reply(str(error).encode(), status=400)
        at = self.network.clock.now()
        first = self._claimed_id(frames[0].header) if frames else ""
        fate = outage(self.network.faults, first, at, channel=self.channel, bank=self.code)
        if fate is not None:
            return Reply(fate=fate, status=503)
        answers = [self._one(frame.header + frame.block + frame.body) for frame in frames]
        bodies = [self._write(answer) for answer in answers if answer.message is not None]
        delay_s = max((answer.delay_s for answer in answers), default=0.0)
        return Reply(b"".join(bodies), Fate.ANSWERED if bodies else Fate.RESET, delay_s)

    def _claimed_id(self, header: bytes) -> str:
        try:
            return self._codec.header.read(header).message_id
        except BadMessage:
            return ""

    def _write(self, answer: Answer) -> bytes:
        raw = self._speaker.frame(answer.message)
        return spoil_signature(raw, self._codec) if answer.spoil else raw

    def _one(self, raw: bytes) -> Answer:
        try:
            frame = self._codec.decode_frames(raw, self._ring)[0]
        except BadMessage as error:
            return Answer(self._discard(raw, error))
        header = frame.header
        answer = self.answer(header, frame.message) if header.sender == self.code else None
        if answer is None:
            bad = self.own_code(codes.BAD_FORMAT)
            return Answer(m.Discard(original(header), bad, words="不受理的报文"))
        return answer

    def _discard(self, raw: bytes, error: BadMessage) -> m.Discard | None:
        """A 911 for bytes that are no good message; nothing when not even the header can be read,
        because then nobody can be answered."""
        try:
            header = self._codec.read_headers(raw)[0]
        except BadMessage:
            return None
        bad = codes.BAD_SIGNATURE if "signature" in error.code else codes.BAD_FORMAT
        return m.Discard(original(header), self.own_code(bad), words=clean(error.code, 100))

    def own_code(self, result: str) -> str:
        """A processing code as this channel's system says it."""
        return f"{self.prefix}{result[3:]}"


def original(header: m.Header) -> m.Original:
    """What an answer to this message names."""
    return m.Original(header.message_id, header.sender, header.kind)


def spoil_signature(raw: bytes, codec: Codec) -> bytes:
    """The same frame with one character of its signature changed, so that it cannot fit."""
    mark = b"<Sgntr>" if codec.dialect.signed_in_body else b"{S:"
    start = raw.find(mark, codec.header.length)
    if start < 0:
        return raw
    at = start + len(mark) + 20
    other = b"A" if raw[at : at + 1] != b"A" else b"B"
    return raw[:at] + other + raw[at + 1 :]
