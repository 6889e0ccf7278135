"""SM2 keys and signatures (GM/T 0003.2-2012 with SM3), the same whichever library does the sums.

Two engines stand behind one interface: the system's libcrypto 3 (fast) and the ``gmssl_pyx`` wheel
(always there). One is chosen when this module is loaded, and only after it has passed a published
example. This file owns what must not differ between them: which keys are good, the identity hash Z,
the one spelling of a signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from caiwutong.crypto.gm import gmssl_engine, libcrypto_engine
from caiwutong.crypto.gm.curve import CURVE_BYTES, N, is_on_curve
from caiwutong.crypto.gm.encoding import signature_to_raw
from caiwutong.crypto.gm.sm3 import sm3
from caiwutong.kernel.clock import Randomness
from caiwutong.kernel.errors import Broken, Refused

DEFAULT_DISTID = b"1234567812345678"
"""The identity every CNAPS participant and bank signs under (GM/T 0009-2012, 10)."""


class Signer(Protocol):
    """A loaded secret: signs a 32-byte digest e = SM3(Z || message)."""

    point: bytes

    def sign_digest(self, digest: bytes) -> bytes: ...


class Verifier(Protocol):
    """A loaded public key: checks a DER signature over a 32-byte digest."""

    def verify_digest(self, digest: bytes, signature: bytes) -> bool: ...


class Sm2Backend(Protocol):
    """A library that can do SM2. ``secret``: 32 bytes; ``point``: 65 bytes 04||x||y."""

    name: str

    def load_secret(self, secret: bytes) -> Signer: ...

    def load_point(self, point: bytes) -> Verifier: ...


class Sm2PublicKey:
    """A public key: checks signatures. Equal when the points are equal; threads may share it."""

    __slots__ = ("_backend", "_point", "_verifier", "_z")

    def __init__(self, point: bytes, *, backend: Sm2Backend | None = None) -> None:
        """``point``: 65 bytes 04||x||y on the curve, else ``Refused`` ``crypto.bad_key``."""
        if (
            len(point) != 65
            or point[0] != 4
            or not is_on_curve(int.from_bytes(point[1:33]), int.from_bytes(point[33:]))
        ):
            raise _bad_key("The SM2 public key is not a point 04||x||y of the curve.")
        self._backend = backend or _CHOSEN
        self._point = bytes(point)
        self._z = identity_hash(DEFAULT_DISTID, self._point)
        self._verifier: Verifier | None = None

    @classmethod
    def from_hex(cls, text: str) -> Sm2PublicKey:
        """The key written as 130 hex digits 04||x||y (64 bytes x||y are read too)."""
        point = _from_hex(text)
        return cls(b"\x04" + point if len(point) == 64 else point)

    def to_hex(self) -> str:
        """130 lower-case hex digits: 04||x||y."""
        return self._point.hex()

    def verify(self, message: bytes, signature: bytes, distid: bytes = DEFAULT_DISTID) -> bool:
        """Whether ``signature`` (DER) is this key's over ``message``. Bad bytes are just False."""
        try:
            signature_to_raw(signature)
        except Refused:
            return False
        if self._verifier is None:
            self._verifier = self._backend.load_point(self._point)
        return self._verifier.verify_digest(self._digest(message, distid), bytes(signature))

    def _digest(self, message: bytes, distid: bytes) -> bytes:
        z = self._z if distid == DEFAULT_DISTID else identity_hash(distid, self._point)
        return sm3(z + message)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sm2PublicKey) and other._point == self._point

    def __hash__(self) -> int:
        return hash(self._point)

    def __repr__(self) -> str:
        return f"Sm2PublicKey({self.to_hex()[:16]}…)"


class Sm2PrivateKey:
    """A private key: signs. May be shared by threads; never shows its secret by accident."""

    __slots__ = ("_secret", "_signer", "public")

    def __init__(self, secret: bytes, *, backend: Sm2Backend | None = None) -> None:
        """``secret``: 32 bytes, a number from 1 to n-2, else ``Refused`` ``crypto.bad_key``."""
        if len(secret) != 32 or not 1 <= int.from_bytes(secret) <= N - 2:
            raise _bad_key("The SM2 private key is not a number from 1 to n-2 in 32 bytes.")
        chosen = backend or _CHOSEN
        self._secret = bytes(secret)
        self._signer = chosen.load_secret(self._secret)
        self.public = Sm2PublicKey(self._signer.point, backend=chosen)

    @classmethod
    def generate(cls, randomness: Randomness) -> Sm2PrivateKey:
        """A new key from 32 random bytes (drawn again while out of range)."""
        while True:
            secret = randomness.bytes(32)
            if 1 <= int.from_bytes(secret) <= N - 2:
                return cls(secret)

    @classmethod
    def from_hex(cls, text: str) -> Sm2PrivateKey:
        """The key written as 64 hex digits."""
        return cls(_from_hex(text))

    def to_hex(self) -> str:
        """The secret as 64 lower-case hex digits: for a key file only, never for a log."""
        return self._secret.hex()

    def sign(self, message: bytes, distid: bytes = DEFAULT_DISTID) -> bytes:
        """A DER signature over ``message``; another one at every call (k is random)."""
        return self._signer.sign_digest(self.public._digest(message, distid))  # pyright: ignore[reportPrivateUsage]

    def __repr__(self) -> str:
        return f"Sm2PrivateKey(of {self.public!r})"


def identity_hash(distid: bytes, point: bytes) -> bytes:
    """Z (GM/T 0003.2-2012, 5.5): binds signer's identity, curve and key into every digest."""
    return sm3((len(distid) * 8).to_bytes(2) + distid + CURVE_BYTES + point[1:])


def sm2_backends() -> tuple[Sm2Backend, ...]:
    """Every engine that is present here and passes the published example, preferred first."""
    return tuple(each for each in _candidates() if _passes_published_example(each))


def sm2_backend() -> str:
    """The name of the engine in use: ``libcrypto`` or ``gmssl_pyx``."""
    return _CHOSEN.name


def _passes_published_example(backend: Sm2Backend) -> bool:
    """GM/T 0003.5-2012, A.2: key, public key and signature as printed there."""
    secret = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
    point = bytes.fromhex(
        "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
        "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
    )
    signature = bytes.fromhex(
        "3046022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
        "022100b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
    )
    digest = sm3(identity_hash(DEFAULT_DISTID, point) + b"message digest")
    try:
        signer, verifier = backend.load_secret(secret), backend.load_point(point)
        return (
            signer.point == point
            and verifier.verify_digest(digest, signature)
            and verifier.verify_digest(digest, signer.sign_digest(digest))
        )
    except Broken:
        return False


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _bad_key("The SM2 key is not written in hex digits.") from None


def _bad_key(detail: str) -> Refused:
    return Refused(
        "crypto.bad_key",
        detail,
        "Give the private key as 64 hex digits, or the public key as 04||x||y in 130 hex digits.",
    )


def _candidates() -> Iterator[Sm2Backend]:
    if libcrypto := libcrypto_engine.find():
        yield libcrypto
    yield gmssl_engine.GmsslEngine()


def _choose() -> Sm2Backend:
    for each in _candidates():
        if _passes_published_example(each):
            return each
    raise Broken(
        "crypto.no_sm2",
        "Neither libcrypto 3 nor gmssl_pyx passes the published SM2 example.",
        "Reinstall the package with its dependencies.",
    )


_CHOSEN = _choose()
