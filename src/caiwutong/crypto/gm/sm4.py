"""SM4 (GM/T 0002-2012, GB/T 32907-2016): a block cipher with keys and blocks of 128 bits.

CBC with PKCS #7 padding is what banks put on the wire; it hides but does not authenticate, so it
always travels with a signature. GCM (RFC 8998) seals our own fields: it hides and authenticates.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from caiwutong.kernel.errors import Refused

SM4_KEY_BYTES = 16
SM4_BLOCK_BYTES = 16
GCM_NONCE_BYTES = 12
GCM_TAG_BYTES = 16

_PADDING = padding.PKCS7(SM4_BLOCK_BYTES * 8)


def sm4_cbc_encrypt(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """SM4-CBC with PKCS #7 padding: 16 to 32 bytes rounded up to whole blocks, without the IV."""
    padder = _PADDING.padder()
    padded = padder.update(plaintext) + padder.finalize()
    encryptor = Cipher(_algorithm(key), modes.CBC(_sized("IV", iv, SM4_BLOCK_BYTES))).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def sm4_cbc_decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """The plaintext of ``sm4_cbc_encrypt``.

    Raises ``Refused`` ``crypto.cannot_decrypt`` for a wrong key, a cut text or a broken padding,
    always with the same words: telling them apart would be a padding oracle.
    """
    decryptor = Cipher(_algorithm(key), modes.CBC(_sized("IV", iv, SM4_BLOCK_BYTES))).decryptor()
    unpadder = _PADDING.unpadder()
    try:
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise _cannot_decrypt() from None


class Sm4Gcm:
    """SM4-GCM under one key, for many messages. A nonce must never come twice under one key."""

    __slots__ = ("_algorithm",)

    def __init__(self, key: bytes) -> None:
        self._algorithm = _algorithm(key)

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
        """Ciphertext and tag (plaintext length + 16). ``nonce``: 12 bytes, never used before."""
        mode = modes.GCM(_sized("nonce", nonce, GCM_NONCE_BYTES))
        encryptor = Cipher(self._algorithm, mode).encryptor()
        encryptor.authenticate_additional_data(associated)
        return encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag

    def open(self, nonce: bytes, sealed: bytes, associated: bytes = b"") -> bytes:
        """The plaintext; ``Refused`` ``crypto.cannot_decrypt`` if anything was altered."""
        if len(sealed) < GCM_TAG_BYTES:
            raise _cannot_decrypt()
        mode = modes.GCM(_sized("nonce", nonce, GCM_NONCE_BYTES), sealed[-GCM_TAG_BYTES:])
        decryptor = Cipher(self._algorithm, mode).decryptor()
        decryptor.authenticate_additional_data(associated)
        try:
            return decryptor.update(sealed[:-GCM_TAG_BYTES]) + decryptor.finalize()
        except InvalidTag:
            raise _cannot_decrypt() from None


def sm4_gcm_seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
    """Ciphertext and 16-byte tag of one message; see ``Sm4Gcm`` for many."""
    return Sm4Gcm(key).seal(nonce, plaintext, associated)


def sm4_gcm_open(key: bytes, nonce: bytes, sealed: bytes, associated: bytes = b"") -> bytes:
    """The plaintext of ``sm4_gcm_seal``; ``Refused`` ``crypto.cannot_decrypt`` if altered."""
    return Sm4Gcm(key).open(nonce, sealed, associated)


def _algorithm(key: bytes) -> algorithms.SM4:
    return algorithms.SM4(_sized("key", key, SM4_KEY_BYTES))


def _sized(what: str, value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise Refused(
            "crypto.bad_size",
            f"An SM4 {what} of {len(value)} bytes was given; {size} bytes are needed.",
            f"Give a {what} of exactly {size} bytes.",
        )
    return value


def _cannot_decrypt() -> Refused:
    return Refused(
        "crypto.cannot_decrypt",
        "The text cannot be decrypted: the key does not fit, or the text was altered.",
        "Check that both sides hold the same key and that the text arrived whole.",
    )
