"""What the keys do: seal and open fields, index them blindly, wrap API secrets, sign audit heads.

A sealed field is ``key id (4) || nonce (12) || ciphertext || tag (16)``: 32 bytes longer than its
plaintext. Each record class has its own data key, derived from the field key, so that the right to
open can later be given class by class. Class and context are authenticated with the text: a sealed
field copied into another row or column does not open there.

Nonces are 12 random bytes: rotate the field key before four billion seals of one class under one
key (NIST SP 800-38D, 8.3).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caiwutong.crypto.gm import Sm4Gcm, sm3_hmac
from caiwutong.kernel.clock import Randomness
from caiwutong.kernel.errors import Broken, Refused
from caiwutong.vault.keyring import KeyRing, KeyWrap, Use, open_key_file

BLIND_INDEX_BYTES = 16
SEALED_OVERHEAD_BYTES = 32
_ID, _NONCE = 4, 12
_API_SECRET_CLASS = "api_key"  # noqa: S105  a class name, not a secret


class KeyUse(Protocol):
    """Hears of every use of a key. Called inside the act, so it must be quick and not raise."""

    def key_used(self, act: str, key_id: str, record_class: str) -> None:
        """``act``: seal, open, wrap, unwrap, or sign."""
        ...


class Unheard:
    """A ``KeyUse`` that listens to nobody."""

    def key_used(self, act: str, key_id: str, record_class: str) -> None:
        pass


class Vault:
    """The house's keys at work. May be shared by threads; never shows a key."""

    def __init__(
        self, ring: KeyRing, randomness: Randomness, key_use: KeyUse | None = None
    ) -> None:
        self._ring = ring
        self._random = randomness.bytes
        self._report = (key_use or Unheard()).key_used
        self._ciphers: dict[tuple[Use, str, str], tuple[Sm4Gcm, bytes]] = {}
        self._writers: dict[tuple[Use, str], tuple[bytes, str, Sm4Gcm, bytes]] = {}
        _, index_key = ring.active("blind_index")
        self._index = hmac.HMAC(index_key, hashes.SM3())
        self._head_key_id, head_key = ring.active("audit_head")
        self._head_key = Ed25519PrivateKey.from_private_bytes(head_key)

    @classmethod
    def at(
        cls,
        folder: Path,
        randomness: Randomness,
        *,
        key_use: KeyUse | None = None,
        wrap: KeyWrap | None = None,
        create: bool = True,
    ) -> Vault:
        """The vault whose key file is in ``folder``. The file is made on first use; who only
        verifies says ``create=False``, and gets ``Broken`` ``vault.key_file_missing`` instead."""
        return cls(open_key_file(folder, randomness, wrap, create=create), randomness, key_use)

    @classmethod
    def in_memory(cls, randomness: Randomness) -> Vault:
        """A vault with fresh keys that vanish with the process: for tests and simulations."""
        return cls(KeyRing.fresh(randomness), randomness)

    def seal(self, record_class: str, plaintext: bytes, context: bytes) -> bytes:
        """The field sealed for this class and place, 32 bytes longer.

        ``record_class``: what kind of record it belongs to, e.g. ``payee``; ``context``: the row
        and column it stands in (tenant, id, name), the same bytes again to open it.
        """
        return self._seal("field", "seal", record_class, plaintext, context)

    def open(self, record_class: str, sealed: bytes, context: bytes) -> bytes:
        """The plaintext. Raises ``Broken``: ``vault.no_such_key`` when the key file does not hold
        its key, ``vault.cannot_open`` when text, class or context are not the sealed ones."""
        return self._open("field", "open", record_class, sealed, context)

    def wrap_secret(self, key_name: str, secret: bytes) -> bytes:
        """An API key's HMAC secret, sealed under its own key and bound to the API key's name."""
        return self._seal("api_secret", "wrap", _API_SECRET_CLASS, secret, key_name.encode())

    def unwrap_secret(self, key_name: str, wrapped: bytes) -> bytes:
        """The HMAC secret again; raises as ``open`` does."""
        return self._open("api_secret", "unwrap", _API_SECRET_CLASS, wrapped, key_name.encode())

    def blind_index(self, kind: str, normalised: str) -> bytes:
        """16 bytes by which equal values of one kind are found without being opened.

        The caller normalises (trims, folds width and case); equal text gives equal bytes for ever.
        """
        state = self._index.copy()
        state.update(_framed(kind) + normalised.encode())
        return state.finalize()[:BLIND_INDEX_BYTES]

    def sign_head(self, head: bytes) -> bytes:
        """An Ed25519 signature (64 bytes) over the canonical bytes of an audit head."""
        self._report("sign", self._head_key_id, "audit_head")
        return self._head_key.sign(head)

    @property
    def head_public_key(self) -> bytes:
        """The 32 raw bytes with which anyone checks audit heads."""
        return self._head_key.public_key().public_bytes_raw()

    def _seal(self, use: Use, act: str, record_class: str, text: bytes, context: bytes) -> bytes:
        writer = self._writers.get((use, record_class))
        if writer is None:
            key_id, _ = self._ring.active(use)
            writer = bytes.fromhex(key_id), key_id, *self._cipher(use, key_id, record_class)
            self._writers[use, record_class] = writer
        prefix, key_id, cipher, framed_class = writer
        self._report(act, key_id, record_class)
        nonce = self._random(_NONCE)
        return prefix + nonce + cipher.seal(nonce, text, framed_class + context)

    def _open(self, use: Use, act: str, record_class: str, sealed: bytes, context: bytes) -> bytes:
        if len(sealed) < SEALED_OVERHEAD_BYTES:
            raise _cannot_open(record_class)
        key_id = sealed[:_ID].hex()
        cipher, framed_class = self._cipher(use, key_id, record_class)
        self._report(act, key_id, record_class)
        nonce, text = sealed[_ID : _ID + _NONCE], sealed[_ID + _NONCE :]
        try:
            return cipher.open(nonce, text, framed_class + context)
        except Refused:
            raise _cannot_open(record_class) from None

    def _cipher(self, use: Use, key_id: str, record_class: str) -> tuple[Sm4Gcm, bytes]:
        known = self._ciphers.get((use, key_id, record_class))
        if known is None:
            material = self._ring.find(use, key_id)
            if material is None:
                raise Broken(
                    "vault.no_such_key",
                    f"A {record_class} field is sealed under key {key_id}, which is not here.",
                    "Restore the key file that belongs to this database.",
                )
            framed = _framed(record_class)
            known = Sm4Gcm(sm3_hmac(material, framed)[:16]), framed
            self._ciphers[use, key_id, record_class] = known
        return known


def _framed(text: str) -> bytes:
    """Text with its length before it, so that no two (text, rest) pairs give the same bytes."""
    data = text.encode()
    return len(data).to_bytes(2) + data


def _cannot_open(record_class: str) -> Broken:
    return Broken(
        "vault.cannot_open",
        f"A sealed {record_class} field does not open: it was altered, cut, or moved from its row.",
        "Restore the row from a backup, and look at the audit trail for who touched it.",
    )
