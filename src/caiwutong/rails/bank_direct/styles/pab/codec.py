"""Frames ↔ messages, for both sides of the wire. Pure.

Order of belief when reading: size, signature over the bytes that came, the head, harmless XML, the
schema of the message, then the content. The hub forgets elements it does not know before it
compares with the schema, because this bank adds some (M); a bank of the sandbox refuses them. Every
body is checked against its schema before it leaves, too. Only ``BadMessage`` escapes from reading.
Read next: ``reports.py``.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from caiwutong.kernel.errors import Refused
from caiwutong.rails import xml
from caiwutong.rails.bank_direct.elements import Word, drop_unknown, read, write
from caiwutong.rails.bank_direct.line import MAX_BYTES
from caiwutong.rails.bank_direct.signing import Signer, Verifier
from caiwutong.rails.bank_direct.styles.pab import envelope, profile
from caiwutong.rails.bank_direct.styles.pab import messages as m
from caiwutong.rails.bank_direct.styles.pab.envelope import ANSWER, REQUEST, Head
from caiwutong.rails.bank_direct.words import bad
from caiwutong.rails.contract import BadMessage

SCHEMAS = Path(__file__).with_name("schemas")
_SERVICES = {REQUEST: "rq", ANSWER: "rs"}

MESSAGES: dict[str, type[Word]] = {
    "4001-rq": m.BalanceRequest,
    "4001-rs": m.BalanceAnswer,
    "4004-rq": m.PayRequest,
    "4004-rs": m.PayAnswer,
    "4005-rq": m.StatusRequest,
    "4005-rs": m.StatusAnswer,
    "4013-rq": m.StatementRequest,
    "4013-rs": m.StatementAnswer,
    "4018-rq": m.BatchRequest,
    "4018-rs": m.BatchAnswer,
    "RCPT01-rq": m.ReceiptRequest,
    "RCPT01-rs": m.ReceiptAnswer,
}
"""Every body by function and direction; its schema has the same name."""

_NAMES = {kind: name for name, kind in MESSAGES.items()}
_SCHEMAS = {name: xml.Schema(SCHEMAS / f"{name}.xsd") for name in MESSAGES}
_OPENING = '<?xml version="1.0" encoding="GBK"?>'


class Frame(msgspec.Struct, frozen=True):
    """One message and its head. An answer that is not ``OK`` has no body."""

    head: Head
    body: Word | None


def function_of(body: Word) -> str:
    """交易码 of a message."""
    return _NAMES[type(body)].partition("-")[0]


def encode(head: Head, body: Word | None, signer: Signer) -> bytes:
    """The signed frame. Raises Refused where a value cannot travel."""
    try:
        return envelope.sealed(head, _encode_body(body), signer)
    except (BadMessage, UnicodeEncodeError) as error:
        place = error.detail if isinstance(error, BadMessage) else _not_gbk(error)
        raise Refused(
            "bank_direct.does_not_fit",
            f"A value cannot travel in {head.function}: {place}",
            "Shorten the texts and use characters of GBK, or choose another channel.",
        ) from None


def decode(raw: bytes, verifier: Verifier, *, forgiving: bool = True) -> Frame:
    """The message in a frame. ``forgiving`` forgets elements it does not know. Raises
    BadMessage."""
    head, text = envelope.opened(raw, verifier)
    name = f"{head.function}-{_SERVICES.get(head.service, '')}"
    kind = MESSAGES.get(name)
    if kind is None:
        raise bad("unknown_function", f"There is no message {name[:16]!r}.")
    if head.service == ANSWER and head.code != profile.OK:
        return Frame(head, None)
    root = xml.parse(text, max_bytes=MAX_BYTES)
    if forgiving:
        drop_unknown(root, kind)
    _SCHEMAS[name].check(root)
    return Frame(head, read(root, kind))


def _encode_body(body: Word | None) -> bytes:
    if body is None:
        return b""
    raw = f"{_OPENING}{write('Result', body)}".encode(envelope.CHARSET)
    _SCHEMAS[_NAMES[type(body)]].check(xml.parse(raw, max_bytes=MAX_BYTES))
    return raw


def _not_gbk(error: UnicodeEncodeError) -> str:
    return f"GBK has no character U+{ord(error.object[error.start]):04X}."
