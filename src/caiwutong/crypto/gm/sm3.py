"""SM3 (GM/T 0004-2012, GB/T 32905-2016): a 256-bit hash, and HMAC over it."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes, hmac

SM3_BYTES = 32
_SM3 = hashes.SM3()


def sm3(data: bytes) -> bytes:
    """The SM3 hash of these bytes: 32 bytes."""
    return hashes.Hash.hash(_SM3, data)


def sm3_hmac(key: bytes, data: bytes) -> bytes:
    """HMAC-SM3 (RFC 2104 with SM3): 32 bytes. Compare with ``hmac.compare_digest`` only."""
    state = hmac.HMAC(key, _SM3)
    state.update(data)
    return state.finalize()
