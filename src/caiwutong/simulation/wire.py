"""The bytes between hub and simulated bank: MessagePack under a keyed hash.

Cheap on purpose (real codecs have suites of their own), and still bytes: cut, changed or badly
signed ones are noticed by ``opened``.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

import msgspec

from caiwutong.rails.contract import BadMessage, Concerning, ReportKind

_KEY: Final = b"both sides know it"
_MAC_BYTES = 8


class PayOrder(msgspec.Struct, frozen=True, array_like=True):
    """One payment inside a message."""

    reference: str
    payer: str
    payee: str
    payee_name: str
    amount_fen: int
    valid_until: datetime
    mark: str
    """The caller's own key, carried in the remark: by it the bank's books and ours are compared
    without trusting either's references."""


class Pay(msgspec.Struct, frozen=True, tag=True, array_like=True):
    orders: list[PayOrder]


class Ask(msgspec.Struct, frozen=True, tag=True, array_like=True):
    references: list[str]


class Revoke(msgspec.Struct, frozen=True, tag=True, array_like=True):
    reference: str


class AskBack(msgspec.Struct, frozen=True, tag=True, array_like=True):
    reference: str


class Word(msgspec.Struct, frozen=True, array_like=True):
    """What the bank says of one reference."""

    kind: ReportKind
    reference: str
    code: str
    at: datetime
    words: str = ""
    amount_fen: int | None = None
    concerning: Concerning = Concerning.PAYMENT


class Say(msgspec.Struct, frozen=True, tag=True, array_like=True):
    words: list[Word]


Message = Pay | Ask | Revoke | AskBack | Say

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def sealed(message: Message) -> bytes:
    """The message as signed bytes."""
    body = _encoder.encode(message)
    return hashlib.blake2b(body, key=_KEY, digest_size=_MAC_BYTES).digest() + body


def opened(raw: bytes) -> Message:
    """The message in these bytes. Raises BadMessage."""
    body = raw[_MAC_BYTES:]
    if hashlib.blake2b(body, key=_KEY, digest_size=_MAC_BYTES).digest() != raw[:_MAC_BYTES]:
        raise BadMessage("simulation.bad_signature", f"{len(raw)} bytes are not signed by us.")
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise BadMessage("simulation.garbage", f"{len(raw)} bytes are no message.") from error


def garbled(raw: bytes) -> bytes:
    """The same bytes with a few of them lost."""
    return raw[: len(raw) // 2]


def signed_by_another(raw: bytes) -> bytes:
    """The same message under a signature of somebody else."""
    return bytes(_MAC_BYTES) + raw[_MAC_BYTES:]
