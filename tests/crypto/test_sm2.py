"""SM2 (GM/T 0003-2012): the published examples, and every engine against every other."""

from __future__ import annotations

import threading

import pytest

from caiwutong.crypto.gm import (
    DEFAULT_DISTID,
    Sm2PrivateKey,
    Sm2PublicKey,
    gmssl_engine,
    libcrypto_engine,
    signature_to_der,
    signature_to_raw,
    sm2_backend,
    sm2_backends,
)
from caiwutong.crypto.gm.curve import GX, GY, N, add, is_on_curve, multiply
from caiwutong.crypto.gm.sm2 import Sm2Backend, identity_hash
from caiwutong.crypto.gm.sm3 import sm3
from caiwutong.kernel.clock import SystemRandomness
from caiwutong.kernel.errors import Refused

# GM/T 0003.5-2012, A.2: the signature example over sm2p256v1.
SECRET = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"
POINT = (
    "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
MESSAGE = b"message digest"
Z = "b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3"
E = "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640"
K = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
R = "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
S = "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"

ENGINES = sm2_backends()
engines = pytest.mark.parametrize("engine", ENGINES, ids=lambda each: each.name)


def plain_sign(secret: int, digest: bytes, k: int) -> bytes:
    """The signature by the letter of GM/T 0003.2-2012, 6.1, for a chosen k: raw r||s."""
    x1, _ = multiply(k)
    r = (int.from_bytes(digest) + x1) % N
    s = pow(1 + secret, -1, N) * (k - r * secret) % N
    return r.to_bytes(32) + s.to_bytes(32)


def plain_verify(point: bytes, digest: bytes, raw: bytes) -> bool:
    """The check by the letter of GM/T 0003.2-2012, 7.1."""
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    public = int.from_bytes(point[1:33]), int.from_bytes(point[33:])
    x1, _ = add(multiply(s), multiply((r + s) % N, public))
    return (int.from_bytes(digest) + x1) % N == r


def test_the_wheel_is_always_there_and_libcrypto_goes_before_it() -> None:
    names = [each.name for each in ENGINES]
    assert names[-1] == "gmssl_pyx"
    assert names[:-1] == (["libcrypto"] if libcrypto_engine.find() else [])
    assert sm2_backend() == names[0]


def test_an_engine_that_fails_the_published_example_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wrong(gmssl_engine.GmsslEngine):
        def load_secret(self, secret: bytes) -> gmssl_engine.GmsslSigner:
            return gmssl_engine.GmsslSigner(bytes(31) + b"\x07")

    monkeypatch.setattr(libcrypto_engine, "find", Wrong)
    assert [type(each) for each in sm2_backends()] == [gmssl_engine.GmsslEngine]


def test_the_identity_hash_and_digest_are_those_of_the_standard() -> None:
    z = identity_hash(DEFAULT_DISTID, bytes.fromhex(POINT))
    assert z.hex() == Z
    assert sm3(z + MESSAGE).hex() == E


def test_the_plain_sums_give_the_signature_of_the_standard() -> None:
    assert plain_sign(int(SECRET, 16), bytes.fromhex(E), K).hex() == R + S
    assert plain_verify(bytes.fromhex(POINT), bytes.fromhex(E), bytes.fromhex(R + S))


@engines
def test_an_engine_accepts_the_signature_of_the_standard(engine: Sm2Backend) -> None:
    public = Sm2PublicKey(bytes.fromhex(POINT), backend=engine)
    assert public.verify(MESSAGE, signature_to_der(bytes.fromhex(R + S)))


@engines
def test_an_engine_derives_the_public_key_of_the_standard(engine: Sm2Backend) -> None:
    key = Sm2PrivateKey(bytes.fromhex(SECRET), backend=engine)
    assert key.public.to_hex() == POINT
    assert key.to_hex() == SECRET


@engines
@pytest.mark.parametrize("message", [b"", b"x", MESSAGE, bytes(range(256)) * 40])
def test_a_signature_of_one_engine_is_good_for_all(engine: Sm2Backend, message: bytes) -> None:
    secret = Sm2PrivateKey.generate(SystemRandomness()).to_hex()
    key = Sm2PrivateKey(bytes.fromhex(secret), backend=engine)
    signature = key.sign(message)
    point = bytes.fromhex(key.public.to_hex())
    for other in ENGINES:
        assert Sm2PublicKey(point, backend=other).verify(message, signature), other.name
    digest = sm3(identity_hash(DEFAULT_DISTID, point) + message)
    assert plain_verify(point, digest, signature_to_raw(signature))


@engines
def test_an_altered_message_signature_identity_or_key_is_refused(engine: Sm2Backend) -> None:
    key = Sm2PrivateKey(bytes.fromhex(SECRET), backend=engine)
    other = Sm2PrivateKey.generate(SystemRandomness()).public
    good = key.sign(MESSAGE)
    raw = bytearray(signature_to_raw(good))
    raw[40] ^= 1
    assert key.public.verify(MESSAGE, good)
    assert not key.public.verify(MESSAGE + b".", good)
    assert not key.public.verify(MESSAGE, signature_to_der(bytes(raw)))
    assert not key.public.verify(MESSAGE, good, b"another identity")
    assert not other.verify(MESSAGE, good)
    assert not key.public.verify(MESSAGE, b"")
    assert not key.public.verify(MESSAGE, good + b"\x00")


@engines
def test_another_identity_signs_and_verifies(engine: Sm2Backend) -> None:
    key = Sm2PrivateKey(bytes.fromhex(SECRET), backend=engine)
    signature = key.sign(MESSAGE, b"ALICE123@YAHOO.COM")
    assert key.public.verify(MESSAGE, signature, b"ALICE123@YAHOO.COM")
    assert not key.public.verify(MESSAGE, signature)


@engines
def test_threads_share_one_key(engine: Sm2Backend) -> None:
    key = Sm2PrivateKey(bytes.fromhex(SECRET), backend=engine)
    bad: list[bytes] = []

    def work(number: int) -> None:
        for turn in range(20):
            message = f"{number}/{turn}".encode()
            if not key.public.verify(message, key.sign(message)):
                bad.append(message)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bad == []


@pytest.mark.parametrize(
    "text",
    ["", "zz", "00" * 32, f"{N - 1:064x}", f"{N:064x}", "ff" * 32, "01" * 31],
)
def test_a_bad_private_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(Refused) as refused:
        Sm2PrivateKey.from_hex(text)
    assert refused.value.code == "crypto.bad_key"
    assert not text or text not in refused.value.detail


@pytest.mark.parametrize(
    "text", ["", "04" + "11" * 64, "02" + POINT[2:66], POINT[:-2], POINT[:-2] + "14", "05" + POINT]
)
def test_a_public_key_off_the_curve_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        Sm2PublicKey.from_hex(text)
    assert refused.value.code == "crypto.bad_key"


def test_a_public_key_is_read_with_and_without_its_prefix() -> None:
    assert Sm2PublicKey.from_hex(POINT) == Sm2PublicKey.from_hex(POINT[2:].upper())


def test_a_private_key_never_shows_its_secret() -> None:
    key = Sm2PrivateKey.from_hex(SECRET)
    assert SECRET not in repr(key)
    assert not hasattr(key, "__dict__")


def test_a_key_is_drawn_again_while_it_is_out_of_range() -> None:
    class Scripted:
        def __init__(self) -> None:
            self.draws = [bytes(32), b"\xff" * 32, bytes.fromhex(SECRET)]

        def bytes(self, n: int) -> bytes:
            assert n == 32
            return self.draws.pop(0)

    assert Sm2PrivateKey.generate(Scripted()).to_hex() == SECRET


def test_the_curve_holds_its_base_point_and_closes_after_n() -> None:
    assert is_on_curve(GX, GY)
    assert not is_on_curve(GX, GY + 1)
    x, y = multiply(N - 1)
    assert (x, (y + GY) % 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF) == (
        GX,
        0,
    )
