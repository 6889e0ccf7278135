"""The real keys of a link: SM2 with SM3 and SM4-CBC from ``crypto.gm``, in the shapes the envelope
asks for. Tests and simulations may put cheaper ones in their place. Read next: ``envelope.py``.
"""

from __future__ import annotations

from caiwutong.crypto.gm import (
    Sm2PrivateKey,
    Sm2PublicKey,
    signature_to_der,
    signature_to_raw,
    sm4_cbc_decrypt,
    sm4_cbc_encrypt,
)
from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.styles.cmb.envelope import Keys


class Sm2Signer:
    """Signs with an SM2 private key; the signature is raw r||s, 64 bytes."""

    def __init__(self, key: Sm2PrivateKey) -> None:
        self._key = key

    def sign(self, data: bytes, identity: bytes) -> bytes:
        return signature_to_raw(self._key.sign(data, identity))


class Sm2Verifier:
    """Checks raw r||s with an SM2 public key. Never raises for bad bytes."""

    def __init__(self, key: Sm2PublicKey) -> None:
        self._key = key

    def verify(self, data: bytes, signature: bytes, identity: bytes) -> bool:
        try:
            return self._key.verify(data, signature_to_der(signature), identity)
        except Refused:
            return False


class Sm4Cipher:
    """SM4-CBC with PKCS #7 under one shared key of 16 bytes."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encrypt(self, plaintext: bytes, iv: bytes) -> bytes:
        return sm4_cbc_encrypt(self._key, iv, plaintext)

    def decrypt(self, ciphertext: bytes, iv: bytes) -> bytes:
        return sm4_cbc_decrypt(self._key, iv, ciphertext)


def load_keys(own_private_hex: str, other_public_hex: str, sm4_hex: str) -> Keys:
    """One side's keys from hex, as they stand in the vault or a key file. Raises Refused."""
    try:
        shared = bytes.fromhex(sm4_hex)
    except ValueError:
        shared = b""
    if len(shared) != 16:
        raise Refused(
            "bank_direct.bad_sm4_key",
            "The SM4 key is not 32 hex digits.",
            "Take the symmetric key from the bank's page and write its 16 bytes in hex.",
        )
    return Keys(
        signer=Sm2Signer(Sm2PrivateKey.from_hex(own_private_hex)),
        verifier=Sm2Verifier(Sm2PublicKey.from_hex(other_public_hex)),
        cipher=Sm4Cipher(shared),
    )
