"""Signatures of people, checked with their public keys. Pure."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from caiwutong.crypto.gm import Sm2PublicKey, signature_to_der
from caiwutong.identity.model import KeyAlgorithm
from caiwutong.kernel.errors import Refused


def check_public_key(algorithm: KeyAlgorithm, public_key: bytes) -> None:
    """Refuse bytes that are no public key of this algorithm."""
    try:
        if algorithm is KeyAlgorithm.SM2:
            Sm2PublicKey(public_key)
        else:
            Ed25519PublicKey.from_public_bytes(public_key)
    except (Refused, ValueError):
        raise Refused(
            "identity.bad_public_key",
            f"The {len(public_key)} bytes are no {algorithm} public key.",
            "Give 04||x||y (65 bytes) for SM2, or 32 bytes for Ed25519.",
        ) from None


def verify(algorithm: KeyAlgorithm, public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is this key's over the message. SM2: DER or raw r||s, default
    identity. Bad bytes are just False."""
    if algorithm is KeyAlgorithm.SM2:
        try:
            der = signature_to_der(signature) if len(signature) == 64 else signature
            return Sm2PublicKey(public_key).verify(message, der)
        except Refused:
            return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
