"""SM2 signatures over exact bytes, for styles that carry them beside the text and not inside it.

The signature is raw r||s in base64: always 88 characters, one spelling. Real keys come from
``crypto.gm``; tests and simulations may put cheaper ones in their place.
"""

from __future__ import annotations

import base64
from typing import Protocol

import msgspec

from caiwutong.crypto.gm import Sm2PrivateKey, Sm2PublicKey, signature_to_der, signature_to_raw
from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.fields import exact_base64
from caiwutong.rails.bank_direct.words import bad

SIGNATURE_CHARS = 88
"""64 bytes in base64."""


class Signer(Protocol):
    """Our own secret: raw r||s, 64 bytes."""

    def sign(self, data: bytes) -> bytes: ...


class Verifier(Protocol):
    """The other side's public key. Never raises for bad bytes."""

    def verify(self, data: bytes, signature: bytes) -> bool: ...


class Keys(msgspec.Struct, frozen=True):
    """One side's keys for one connection."""

    signer: Signer
    verifier: Verifier


class Sm2Signer:
    """Signs with an SM2 private key under the standard identity."""

    def __init__(self, key: Sm2PrivateKey) -> None:
        self._key = key

    def sign(self, data: bytes) -> bytes:
        return signature_to_raw(self._key.sign(data))


class Sm2Verifier:
    """Checks with an SM2 public key under the standard identity."""

    def __init__(self, key: Sm2PublicKey) -> None:
        self._key = key

    def verify(self, data: bytes, signature: bytes) -> bool:
        try:
            return self._key.verify(data, signature_to_der(signature))
        except Refused:
            return False


def load_keys(own_private_hex: str, other_public_hex: str) -> Keys:
    """One side's keys from hex, as they stand in the vault or a key file. Raises Refused."""
    return Keys(
        Sm2Signer(Sm2PrivateKey.from_hex(own_private_hex)),
        Sm2Verifier(Sm2PublicKey.from_hex(other_public_hex)),
    )


def signature_of(data: bytes, signer: Signer) -> bytes:
    """Our signature over these bytes, 88 characters."""
    return base64.b64encode(signer.sign(data))


def check_signature(data: bytes, signature: bytes, verifier: Verifier) -> None:
    """Raise BadMessage unless this is the other side's signature over exactly these bytes."""
    if len(signature) == SIGNATURE_CHARS and verifier.verify(data, exact_base64(signature)):
        return
    raise bad("signature", "The signature is not the one of the other side's key over this text.")
