"""How SM2 keys and signatures are written: DER (GB/T 35276) and the raw r||s of some banks.

Reading is strict: one signature has exactly one spelling, so that nobody can alter the bytes of a
signed message and still have it accepted.
"""

from __future__ import annotations

from caiwutong.crypto.gm.curve import N
from caiwutong.kernel.errors import Refused

RAW_SIGNATURE_BYTES = 64

# AlgorithmIdentifier: id-ecPublicKey (1.2.840.10045.2.1) on sm2p256v1 (1.2.156.10197.1.301).
_ALGORITHM = bytes.fromhex("301306072a8648ce3d020106082a811ccf5501822d")


def private_key_info(secret: bytes) -> bytes:
    """PKCS #8 of a 32-byte SM2 secret, without the public key: 67 bytes."""
    return b"\x30\x41\x02\x01\x00" + _ALGORITHM + b"\x04\x27\x30\x25\x02\x01\x01\x04\x20" + secret


def public_key_info(point: bytes) -> bytes:
    """SubjectPublicKeyInfo of an uncompressed point 04||x||y: 91 bytes."""
    return b"\x30\x59" + _ALGORITHM + b"\x03\x42\x00" + point


def signature_to_der(raw: bytes) -> bytes:
    """SEQUENCE { r, s } of a raw r||s of 64 bytes."""
    if len(raw) != RAW_SIGNATURE_BYTES:
        raise _bad_signature(f"it has {len(raw)} bytes instead of {RAW_SIGNATURE_BYTES}")
    body = _integer(raw[:32]) + _integer(raw[32:])
    return b"\x30" + bytes([len(body)]) + body


def signature_to_raw(der: bytes) -> bytes:
    """The 64 bytes r||s of a DER signature.

    Raises ``Refused`` ``crypto.bad_signature_encoding`` for anything but the one shortest DER
    spelling of two numbers from 1 to n-1.
    """
    if not 8 <= len(der) <= 72 or der[0] != 0x30 or der[1] != len(der) - 2:
        raise _bad_signature("it is not a DER sequence")
    r, after_r = _read_integer(der, 2)
    s, end = _read_integer(der, after_r)
    if end != len(der):
        raise _bad_signature("bytes follow the two numbers")
    return r + s


def _integer(number: bytes) -> bytes:
    short = number.lstrip(b"\x00") or b"\x00"
    if short[0] & 0x80:
        short = b"\x00" + short
    return b"\x02" + bytes([len(short)]) + short


def _read_integer(der: bytes, at: int) -> tuple[bytes, int]:
    if at + 2 > len(der) or der[at] != 0x02:
        raise _bad_signature("a number is missing")
    end = at + 2 + der[at + 1]
    number = der[at + 2 : end]
    if end > len(der) or not 1 <= len(number) <= 33 or number[0] & 0x80:
        raise _bad_signature("a number has a wrong length or sign")
    if len(number) > 1 and number[0] == 0 and not number[1] & 0x80:
        raise _bad_signature("a number is not written in the shortest way")
    if not 0 < int.from_bytes(number) < N:
        raise _bad_signature("a number is out of range")
    return number.lstrip(b"\x00").rjust(32, b"\x00"), end


def _bad_signature(why: str) -> Refused:
    return Refused(
        "crypto.bad_signature_encoding",
        f"The SM2 signature cannot be read: {why}.",
        "Send SEQUENCE { r, s } in DER, or r||s of 64 bytes where the interface asks for it.",
    )
