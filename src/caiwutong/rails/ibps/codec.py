"""Bytes ↔ IBPS messages, pure: no clock, no socket, no randomness. Both sides of the wire use it.

Promises: what ``encode`` gives, ``decode_frames`` reads back equal; every body is checked against
its schema before it leaves and after it arrives; a signature is checked over the raw values as
they came; from bytes of a stranger nothing but ``BadMessage`` ever escapes.
Read next: ``shapes.py`` (the layouts), ``signing.py`` (what is signed), ``header.py``.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.rails import xml
from caiwutong.rails.contract import BadMessage
from caiwutong.rails.ibps.header import LENGTH, OPENING, read_header, write_header
from caiwutong.rails.ibps.layout import read_all, write_all
from caiwutong.rails.ibps.messages import Frame, Header, Message, Original
from caiwutong.rails.ibps.shapes import BY_KIND, BY_WORD, GROUP_HEADER, Shape
from caiwutong.rails.ibps.signing import (
    Signer,
    Verifier,
    read_signature,
    signed_string,
    write_signature,
)

MAX_BODY = 999_999
"""A body has fewer than 1,000,000 bytes (CNAPS2 standard, read)."""
MAX_RAW = 32_000_000
"""What is taken in one go, all frames together (own)."""

_PROLOG = '<?xml version="1.0" encoding="UTF-8"?>'
_END = re.compile(rb"</Document\s*>")


class RawFrame(msgspec.Struct, frozen=True):
    """Header and body of one frame as they came, nothing looked at but where they end."""

    header: bytes
    body: bytes


def encode(
    message: Message,
    *,
    sender: str,
    receiver: str,
    signer: Signer,
    at: datetime,
    message_id: str,
    priority: int = 3,
    direction: str = "U",
) -> bytes:
    """One frame: header and signed body, checked against its schema before it leaves. Microseconds
    of ``at`` are dropped. Raises Refused when a value cannot travel."""
    shape = BY_WORD[type(message)]
    header = Header(
        kind=shape.kind,
        message_id=message_id,
        sender=sender,
        receiver=receiver,
        at=at.replace(microsecond=0),
        answers=answered_id(message),
        priority=priority,
        direction=direction,
    )
    head = write_header(header)
    out = [_PROLOG, "<Document><", shape.root, ">"]
    signed: list[str] = []
    try:
        GROUP_HEADER.write(header, out, signed)
        write_all(shape.nodes, message, out, signed)
        if shape.signed:
            out += ("<Sgntr>", write_signature(signer.sign(signed_string(signed))), "</Sgntr>")
        out.append(f"</{shape.root}></Document>")
        body = "".join(out).encode()
        _checked(body, shape)
    except (BadMessage, ValueError, KeyError) as error:
        raise Refused(
            "ibps.cannot_be_written",
            f"Message {message_id} of type {shape.kind} does not fit: {_place(error)}.",
            "Shorten the texts, and leave out control characters and the sign '|'.",
        ) from None
    return head + body


def decode_frames(raw: bytes, verifier: Verifier) -> list[Frame]:
    """Every message in these bytes, in order, each well formed and well signed. One bad frame
    refuses them all: nothing was done. Raises BadMessage."""
    return [_decode(frame, verifier) for frame in split_frames(raw)]


def split_frames(raw: bytes) -> list[RawFrame]:
    """Cut glued frames apart: each is 128 bytes and a body up to ``</Document>``. Within a body
    those bytes can only be the end tag, because CDATA and comments are refused."""
    if len(raw) > MAX_RAW:
        raise BadMessage("ibps.too_large", f"{len(raw)} bytes at once are too many.", "Send less.")
    frames: list[RawFrame] = []
    at = 0
    while at < len(raw):
        if not raw.startswith(OPENING, at):
            raise _broken(f"no header begins at byte {at}")
        end = _END.search(raw, at + LENGTH)
        if end is None:
            raise _broken(f"the body after byte {at} has no end")
        frames.append(RawFrame(raw[at : at + LENGTH], raw[at + LENGTH : end.end()]))
        at = end.end()
    return frames


def read_headers(raw: bytes) -> list[Header]:
    """Only the headers, unverified: to route or to answer with a 911. Raises BadMessage."""
    return [read_header(frame.header) for frame in split_frames(raw)]


def answered_id(message: Message) -> str:
    """The message id a message replies to, which its header repeats; empty for none."""
    answers: str = getattr(message, "answers", "")
    if answers:
        return answers
    original: Original | None = getattr(message, "original", None)
    return original.message_id if original is not None and _is_reply(message) else ""


_REPLIES = frozenset({"ibps.102.001.01", "ccms.900.001.01", "ccms.911.001.01", "ccms.990.001.01"})


def _is_reply(message: Message) -> bool:
    return BY_WORD[type(message)].kind in _REPLIES


def _decode(frame: RawFrame, verifier: Verifier) -> Frame:
    header = read_header(frame.header)
    shape = BY_KIND.get(header.kind)
    if shape is None:
        raise BadMessage("ibps.unknown_type", f"{header.kind} is not spoken here.", "")
    root = _checked(frame.body, shape)[0]
    group: dict[str, Any] = {}
    values: dict[str, Any] = {}
    signed: list[str] = []
    try:
        GROUP_HEADER.read({"GrpHdr": root[0]}, group, signed)
        read_all(shape.nodes, root, values, signed)
        message: Message = shape.word(**values)
    except (ValueError, OverflowError):
        raise BadMessage("ibps.impossible_value", "A date or number is impossible.", "") from None
    if shape.signed:
        _check_signature(header, root[-1].text or "", signed, verifier)
    _check_agreement(header, group, message)
    return Frame(header, message, frame.header + frame.body)


def _checked(body: bytes, shape: Shape) -> Any:
    """The document of a body that is under the cap and fits its schema."""
    if not body.startswith(b"<"):
        raise BadMessage("ibps.body", "The body does not begin with XML.", "Leave out any BOM.")
    return xml.read(body, shape.schema, max_bytes=MAX_BODY)


def _check_signature(header: Header, text: str, signed: list[str], verifier: Verifier) -> None:
    if not verifier.verify(header.sender, signed_string(signed), read_signature(text)):
        raise BadMessage(
            "ibps.bad_signature",
            f"The signature under message {header.message_id} of {header.sender} does not fit.",
            "Check which key the sender uses now; until then nothing it says counts.",
        )


def _check_agreement(header: Header, group: dict[str, Any], message: Message) -> None:
    """The unsigned header must say what the signed body says."""
    for name in ("kind", "message_id", "sender", "receiver", "at"):
        if getattr(header, name) != group[name]:
            raise BadMessage(
                "ibps.header_differs",
                f"Header and body of message {header.message_id} differ in {name}.",
                "The header was changed on the way, or put before another body.",
            )
    if header.answers != answered_id(message):
        raise BadMessage(
            "ibps.header_differs",
            f"The header of {header.message_id} answers another message than its body.",
            "The header was changed on the way, or put before another body.",
        )


def _broken(why: str) -> BadMessage:
    return BadMessage("ibps.frame", f"The frames cannot be told apart: {why}.", "Send it again.")


def _place(error: Exception) -> str:
    return error.detail if isinstance(error, BadMessage) else str(error)
