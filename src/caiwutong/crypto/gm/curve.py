"""The curve sm2p256v1 (GM/T 0003.5-2012) in plain integers.

Used to check that a point is on the curve and, where libcrypto is absent, to find the public key
of a secret once when it is loaded. It is not constant in time: signing never comes here.
"""

from __future__ import annotations

P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
A = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC
B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
GX = 0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7
GY = 0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0

CURVE_BYTES = b"".join(number.to_bytes(32) for number in (A, B, GX, GY))
"""a || b || xG || yG, as the identity hash Z takes them."""

Point = tuple[int, int]
_Jacobian = tuple[int, int, int]
_NOWHERE: _Jacobian = (1, 1, 0)


def is_on_curve(x: int, y: int) -> bool:
    """Whether (x, y) is a point of the curve. The cofactor is 1, so every such point will do."""
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x * x + A * x + B)) % P == 0


def multiply(scalar: int, point: Point = (GX, GY)) -> Point:
    """``scalar`` times ``point``, for 0 < scalar < N."""
    if not 0 < scalar < N:
        raise ValueError("the scalar is out of range")
    base: _Jacobian = (*point, 1)
    result = _NOWHERE
    for bit in bin(scalar)[2:]:
        result = _double(result)
        if bit == "1":
            result = _add(result, base)
    return _affine(result)


def add(one: Point, other: Point) -> Point:
    """The sum of two points that are not each other's negative."""
    return _affine(_add((*one, 1), (*other, 1)))


def _affine(point: _Jacobian) -> Point:
    x, y, z = point
    inverse = pow(z, -1, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    if z == 0:
        return point
    yy = y * y % P
    s = 4 * x * yy % P
    m = (3 * x * x + A * pow(z, 4, P)) % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(one: _Jacobian, other: _Jacobian) -> _Jacobian:
    x1, y1, z1 = one
    x2, y2, z2 = other
    if z1 == 0:
        return other
    if z2 == 0:
        return one
    z1z1, z2z2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * z2z2 % P, x2 * z1z1 % P
    s1, s2 = y1 * z2 * z2z2 % P, y2 * z1 * z1z1 % P
    h, r = (u2 - u1) % P, (s2 - s1) % P
    if h == 0:
        return _double(one) if r == 0 else _NOWHERE
    hh = h * h % P
    hhh, v = h * hh % P, u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * hhh) % P, h * z1 * z2 % P
