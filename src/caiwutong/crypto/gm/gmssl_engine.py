"""SM2 by the ``gmssl_pyx`` wheel: everywhere at home, some 350 signatures a second."""

from __future__ import annotations

import gmssl_pyx

from caiwutong.crypto.gm.curve import multiply
from caiwutong.kernel.errors import Broken


class GmsslSigner:
    """A secret as the wheel takes it. Finds its public key once, in plain integers."""

    __slots__ = ("_secret", "point")

    def __init__(self, secret: bytes) -> None:
        x, y = multiply(int.from_bytes(secret))
        self.point = b"\x04" + x.to_bytes(32) + y.to_bytes(32)
        self._secret = secret

    def sign_digest(self, digest: bytes) -> bytes:
        try:
            return gmssl_pyx.sm2_sign_sm3_digest(self._secret, digest)
        except gmssl_pyx.GmsslInnerError as error:
            raise Broken("crypto.engine", "gmssl_pyx could not sign.") from error


class GmsslVerifier:
    """A public key as the wheel takes it: 64 bytes x||y."""

    __slots__ = ("_xy",)

    def __init__(self, point: bytes) -> None:
        self._xy = point[1:]

    def verify_digest(self, digest: bytes, signature: bytes) -> bool:
        try:
            return bool(gmssl_pyx.sm2_verify_sm3_digest(self._xy, digest, signature))
        except gmssl_pyx.GmsslInnerError:
            return False


class GmsslEngine:
    """SM2 by gmssl_pyx."""

    name = "gmssl_pyx"

    def load_secret(self, secret: bytes) -> GmsslSigner:
        return GmsslSigner(secret)

    def load_point(self, point: bytes) -> GmsslVerifier:
        return GmsslVerifier(point)
