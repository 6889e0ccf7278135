"""Bytes ↔ messages of one CNAPS2 channel, pure: no clock, no socket, no randomness. Both sides of
the wire use it.

Promises: what ``encode`` gives, ``decode_frames`` reads back equal; every body is checked against
its schema before it leaves and after it arrives; a signature is checked over the raw values as
they came; from bytes of a stranger nothing but ``BadMessage`` ever escapes.

    IBPS          header V01 · body with the signature in its last element
    HVPS, BEPS    header V02 · {S:signature}\\r\\n · body
Read next: ``shapes.py`` (the layouts), ``signing.py`` (what is signed), ``header.py``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.rails import xml
from caiwutong.rails.cnaps.header import HeaderFormat
from caiwutong.rails.cnaps.layout import read_all, write_all
from caiwutong.rails.cnaps.messages import Frame, Header, Original
from caiwutong.rails.cnaps.shapes import GROUP_HEADER, Shape
from caiwutong.rails.cnaps.signing import (
    Signer,
    Verifier,
    read_signature,
    signed_string,
    write_signature,
)
from caiwutong.rails.contract import BadMessage

MAX_BODY = 999_999
"""A body has fewer than 1,000,000 bytes (CNAPS2 standard, read)."""
MAX_RAW = 32_000_000
"""What is taken in one go, all frames together (own)."""

_PROLOG = '<?xml version="1.0" encoding="UTF-8"?>'
_END = re.compile(rb"</Document\s*>")
_BLOCK = re.compile(rb"\{S:([A-Za-z0-9+/]{4,2048}={0,2})\}\r\n")
_SIGNATURE_TAG = "Sgntr"
_IN_HEADER = ("kind", "message_id", "sender", "receiver", "at")


class Dialect(msgspec.Struct, frozen=True):
    """What makes one channel's messages its own."""

    system: str
    """Four letters in the header: ``IBPS``, ``HVPS``, ``BEPS``."""
    header: HeaderFormat
    shapes: tuple[Shape, ...]
    replies: frozenset[str]
    """Types whose header repeats the id of their ``original``; a word with ``answers`` always
    repeats that."""
    signed_in_body: bool = False
    """Whether the signature is the body's last element (IBPS) or a block before the body."""


class RawFrame(msgspec.Struct, frozen=True):
    """One frame as it came, nothing looked at but where its parts end."""

    header: bytes
    block: bytes
    """The signature block, empty where there is none."""
    body: bytes


class Codec:
    """The two directions of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.header = dialect.header
        self.by_kind: dict[str, Shape] = {shape.kind: shape for shape in dialect.shapes}
        self.by_word: dict[Any, Shape] = {shape.word: shape for shape in dialect.shapes}

    def encode(
        self,
        message: Any,
        *,
        sender: str,
        receiver: str,
        signer: Signer,
        at: datetime,
        message_id: str,
        priority: int = 3,
        direction: str = "U",
    ) -> bytes:
        """One frame: header, signature and body, checked against its schema before it leaves.
        Microseconds of ``at`` are dropped; a word with a ``priority`` of its own gives the
        header's. Raises Refused when a value cannot travel."""
        shape = self.by_word[type(message)]
        header = Header(
            kind=shape.kind,
            message_id=message_id,
            sender=sender,
            receiver=receiver,
            at=at.replace(microsecond=0),
            answers=self.answered_id(message),
            priority=getattr(message, "priority", priority),
            direction=direction,
            sender_system=self.dialect.system,
            receiver_system=self.dialect.system,
        )
        head = self.header.write(header)
        try:
            signature, body = self._written(shape, header, message, signer)
            _checked(body, shape)
        except (BadMessage, ValueError, KeyError) as error:
            raise Refused(
                "cnaps.cannot_be_written",
                f"Message {message_id} of type {shape.kind} does not fit: {_place(error)}.",
                "Shorten the texts, and leave out control characters and the sign '|'.",
            ) from None
        if signature and not self.dialect.signed_in_body:
            head += f"{{S:{signature}}}\r\n".encode()
        return head + body

    def decode_frames(self, raw: bytes, verifier: Verifier) -> list[Frame]:
        """Every message in these bytes, in order, each well formed and well signed. One bad frame
        refuses them all: nothing was done. Raises BadMessage."""
        return [self._decode(frame, verifier) for frame in self.split_frames(raw)]

    def split_frames(self, raw: bytes) -> list[RawFrame]:
        """Cut glued frames apart: each is a header, perhaps a signature block, and a body up to
        ``</Document>``. Within a body those bytes can only be the end tag, because CDATA and
        comments are refused. Raises BadMessage."""
        if len(raw) > MAX_RAW:
            raise BadMessage(
                "cnaps.too_large", f"{len(raw)} bytes at once are too many.", "Send less."
            )
        frames: list[RawFrame] = []
        at, length = 0, self.header.length
        while at < len(raw):
            if not raw.startswith(self.header.opening, at):
                raise _broken(f"no header begins at byte {at}")
            begin = at + length
            block = None if self.dialect.signed_in_body else _BLOCK.match(raw, begin)
            body = block.end() if block else begin
            end = _END.search(raw, body)
            if end is None:
                raise _broken(f"the body after byte {at} has no end")
            frames.append(RawFrame(raw[at:begin], raw[begin:body], raw[body : end.end()]))
            at = end.end()
        return frames

    def read_headers(self, raw: bytes) -> list[Header]:
        """Only the headers, unverified: to route or to answer with a 911. Raises BadMessage."""
        return [self.header.read(frame.header) for frame in self.split_frames(raw)]

    def answered_id(self, message: Any) -> str:
        """The message id a message replies to, which its header repeats; empty for none."""
        answers: str = getattr(message, "answers", "")
        if answers:
            return answers
        about: Original | None = getattr(message, "original", None)
        reply = self.by_word[type(message)].kind in self.dialect.replies
        return about.message_id if about is not None and reply else ""

    def _written(
        self, shape: Shape, header: Header, message: Any, signer: Signer
    ) -> tuple[str, bytes]:
        out = [_PROLOG, "<Document><", shape.root, ">"]
        signed: list[str] = []
        GROUP_HEADER.write(header, out, signed)
        write_all(shape.nodes, message, out, signed)
        signature = write_signature(signer.sign(signed_string(signed))) if shape.signed else ""
        if signature and self.dialect.signed_in_body:
            out += (f"<{_SIGNATURE_TAG}>", signature, f"</{_SIGNATURE_TAG}>")
        out.append(f"</{shape.root}></Document>")
        return signature, "".join(out).encode()

    def _decode(self, frame: RawFrame, verifier: Verifier) -> Frame:
        header = self.header.read(frame.header)
        shape = self.by_kind.get(header.kind)
        if shape is None:
            raise BadMessage("cnaps.unknown_type", f"{header.kind} is not spoken here.", "")
        root = _checked(frame.body, shape)[0]
        group: dict[str, Any] = {}
        values: dict[str, Any] = {}
        signed: list[str] = []
        try:
            GROUP_HEADER.read({"GrpHdr": root[0]}, group, signed)
            read_all(shape.nodes, root, values, signed)
            message = shape.word(**values)
        except (ValueError, OverflowError):
            raise BadMessage(
                "cnaps.impossible_value", "A date, number or total is impossible.", ""
            ) from None
        signature = self._signature(header, shape, frame, root)
        if shape.signed and not verifier.verify(
            header.sender, signed_string(signed), read_signature(signature)
        ):
            raise BadMessage(
                "cnaps.bad_signature",
                f"The signature under message {header.message_id} of {header.sender} does not fit.",
                "Check which key the sender uses now; until then nothing it says counts.",
            )
        self._check_agreement(header, group, message)
        return Frame(header, message, frame.header + frame.block + frame.body)

    def _signature(self, header: Header, shape: Shape, frame: RawFrame, root: Any) -> str:
        """The signature's text from where this dialect has it. One in the other place, or under a
        message that is not signed, is refused: nobody would have checked it."""
        last = root[-1]
        inside = str(last.text or "") if last.tag == _SIGNATURE_TAG else ""
        block = frame.block[3:-3].decode()
        here, there = (inside, block) if self.dialect.signed_in_body else (block, inside)
        if there or bool(here) is not shape.signed:
            raise BadMessage(
                "cnaps.bad_signature",
                f"Message {header.message_id} of {header.sender} has a signature where none "
                "belongs, or none where one does.",
                f"{self.dialect.system} signs "
                + ("inside the body." if self.dialect.signed_in_body else "before the body."),
            )
        return here

    def _check_agreement(self, header: Header, group: dict[str, Any], message: Any) -> None:
        """The unsigned header must say what the signed body says."""
        for name in _IN_HEADER:
            if getattr(header, name) != group[name]:
                raise _differs(header, f"differ in {name}")
        if header.answers != self.answered_id(message):
            raise _differs(header, "answer different messages")
        if header.priority != getattr(message, "priority", header.priority):
            raise _differs(header, "differ in priority")


def replies_with(*kinds: str) -> frozenset[str]:
    """The types that repeat their original's id: 900, 911, 990 and a channel's own answers."""
    return frozenset({"ccms.900.001.01", "ccms.911.001.01", "ccms.990.001.01", *kinds})


def pick(shapes: dict[str, Shape], kinds: Sequence[str]) -> tuple[Shape, ...]:
    """The shared shapes a channel speaks."""
    return tuple(shapes[kind] for kind in kinds)


def _checked(body: bytes, shape: Shape) -> Any:
    """The document of a body that is under the cap and fits its schema."""
    if not body.startswith(b"<"):
        raise BadMessage("cnaps.body", "The body does not begin with XML.", "Leave out any BOM.")
    return xml.read(body, shape.schema, max_bytes=MAX_BODY)


def _differs(header: Header, how: str) -> BadMessage:
    return BadMessage(
        "cnaps.header_differs",
        f"Header and body of message {header.message_id} {how}.",
        "The header was changed on the way, or put before another body.",
    )


def _broken(why: str) -> BadMessage:
    return BadMessage("cnaps.frame", f"The frames cannot be told apart: {why}.", "Send it again.")


def _place(error: Exception) -> str:
    return error.detail if isinstance(error, BadMessage) else str(error)
