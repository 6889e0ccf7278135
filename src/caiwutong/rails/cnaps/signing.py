"""Signatures of CNAPS2 messages: what is signed, who signs, who checks.

The signed string is every signed value in order, each followed by ``|`` including the last; values
trimmed, absent ones left out with their ``|`` kept, amounts as ``CNY1234.56`` (CNAPS2 standard,
read). We sign every value of the body but the signature itself, the message type and both
participants among them, so a signature fits one message only. The algorithm is SM2 with SM3, DER
in base64; what production networks use today is not public, so this is our own choice.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Protocol

from caiwutong.rails.contract import BadMessage


class Signer(Protocol):
    """Something that signs bytes: ``crypto.gm.Sm2PrivateKey`` is one."""

    def sign(self, data: bytes, /) -> bytes: ...


class PublicKey(Protocol):
    """Something that checks a signature: ``crypto.gm.Sm2PublicKey`` is one."""

    def verify(self, data: bytes, signature: bytes, /) -> bool: ...


class Verifier(Protocol):
    """Decides whether the signature under a message of this sender fits."""

    def verify(self, sender: str, data: bytes, signature: bytes, /) -> bool: ...


class PeerKey:
    """One key for everything that comes over a link: the neighbour (the centre) signs again what
    it passes on, so its key is the only one a participant needs."""

    def __init__(self, key: PublicKey) -> None:
        self._key = key

    def verify(self, sender: str, data: bytes, signature: bytes, /) -> bool:
        return self._key.verify(data, signature)


class KeyRing:
    """A key per participant; an unknown sender's signature never fits. The centre uses this."""

    def __init__(self, keys: Mapping[str, PublicKey]) -> None:
        self._keys = dict(keys)

    def verify(self, sender: str, data: bytes, signature: bytes, /) -> bool:
        key = self._keys.get(sender)
        return key is not None and key.verify(data, signature)


class NoSignatures:
    """Signs with a fixed mark and accepts only that mark: for a simulated world, where three
    milliseconds of SM2 a payment would buy nothing. Never wired in production."""

    _MARK = b"not signed"

    def sign(self, data: bytes, /) -> bytes:
        return self._MARK

    def verify(self, sender: str, data: bytes, signature: bytes, /) -> bool:
        return signature == self._MARK


def signed_string(values: Sequence[str]) -> bytes:
    """The bytes under the signature."""
    return "".join([f"{value.strip(_BLANKS)}|" for value in values]).encode()


_BLANKS = " \t\r\n"
"""Trimmed are the blanks of XML only. A full-width space is part of a value: were it trimmed, it
could be exchanged unseen."""


def write_signature(signature: bytes) -> str:
    return base64.b64encode(signature).decode()


def read_signature(text: str) -> bytes:
    """The signature bytes. Only the one canonical base64 of them is accepted."""
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if not signature or write_signature(signature) != text:
        raise BadMessage("cnaps.bad_signature", "The signature is not base64.", "Sign it again.")
    return signature
