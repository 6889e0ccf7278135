"""SM3 (GM/T 0004-2012) and SM4 (GM/T 0002-2012): published examples and refusals."""

from __future__ import annotations

import gmssl_pyx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.crypto.gm import (
    Sm4Gcm,
    sm3,
    sm3_hmac,
    sm4_cbc_decrypt,
    sm4_cbc_encrypt,
    sm4_gcm_open,
    sm4_gcm_seal,
)
from caiwutong.kernel.errors import Refused

KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
keys, ivs, nonces = (st.binary(min_size=n, max_size=n) for n in (16, 16, 12))


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        # GM/T 0004-2012, A.1 and A.2.
        (b"abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
        (b"abcd" * 16, "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
    ],
)
def test_sm3_gives_the_published_hashes(data: bytes, digest: str) -> None:
    assert sm3(data).hex() == digest


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=100))
def test_two_libraries_agree_on_sm3_and_its_hmac(data: bytes, key: bytes) -> None:
    assert sm3(data) == gmssl_pyx.sm3_hash(data)
    padded = (key if len(key) <= 64 else sm3(key)).ljust(64, b"\x00")
    outer = bytes(each ^ 0x5C for each in padded)
    inner = bytes(each ^ 0x36 for each in padded)
    assert sm3_hmac(key, data) == sm3(outer + sm3(inner + data))


def test_sm4_gives_the_published_block() -> None:
    # GM/T 0002-2012, A.1: one block; CBC with a zero IV begins with the plain block cipher.
    block = sm4_cbc_encrypt(KEY, bytes(16), KEY)[:16]
    assert block.hex() == "681edf34d206965e86b3e94f536e4246"


def test_sm4_gives_the_published_block_after_a_million_rounds() -> None:
    # GM/T 0002-2012, A.2 encrypts a million times; CBC over zeros is the same walk (each block
    # encrypts the one before), so one call of a million blocks replays it.
    block = sm4_cbc_encrypt(KEY, bytes(16), KEY + bytes(16 * 999_999))[
        16 * 999_999 : 16 * 1_000_000
    ]
    assert block.hex() == "595298c7c6fd271f0402f804c33d3f66"


def test_sm4_gcm_gives_the_published_example() -> None:
    # RFC 8998, appendix A.1.
    nonce = bytes.fromhex("00001234567800000000abcd")
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    plaintext = bytes.fromhex(
        "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
        "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa"
    )
    sealed = sm4_gcm_seal(KEY, nonce, plaintext, associated)
    assert sealed.hex() == (
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        "83de3541e4c2b58177e065a9bf7b62ec"
    )
    assert sm4_gcm_open(KEY, nonce, sealed, associated) == plaintext


@given(keys, ivs, st.binary(min_size=1, max_size=100))
def test_cbc_text_comes_back_and_two_libraries_agree(key: bytes, iv: bytes, text: bytes) -> None:
    hidden = sm4_cbc_encrypt(key, iv, text)
    assert hidden == gmssl_pyx.sm4_cbc_padding_encrypt(key, iv, text)
    assert len(hidden) % 16 == 0
    assert sm4_cbc_decrypt(key, iv, hidden) == text


@given(keys, nonces, st.binary(max_size=100), st.binary(max_size=40))
def test_gcm_text_comes_back(key: bytes, nonce: bytes, text: bytes, associated: bytes) -> None:
    gcm = Sm4Gcm(key)
    sealed = gcm.seal(nonce, text, associated)
    assert len(sealed) == len(text) + 16
    assert gcm.open(nonce, sealed, associated) == text


@given(st.binary(max_size=60), st.integers(min_value=0), st.integers(0, 7))
def test_gcm_refuses_any_altered_bit(text: bytes, place: int, bit: int) -> None:
    sealed = bytearray(sm4_gcm_seal(KEY, bytes(12), text, b"context"))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(Refused) as refused:
        sm4_gcm_open(KEY, bytes(12), bytes(sealed), b"context")
    assert refused.value.code == "crypto.cannot_decrypt"


def test_gcm_refuses_another_context_another_nonce_and_a_cut_text() -> None:
    sealed = sm4_gcm_seal(KEY, bytes(12), b"text", b"context")
    for nonce, text, associated in (
        (bytes(12), sealed, b"another"),
        (b"\x01" * 12, sealed, b"context"),
        (bytes(12), sealed[:-1], b"context"),
        (bytes(12), sealed[:10], b"context"),
    ):
        with pytest.raises(Refused):
            sm4_gcm_open(KEY, nonce, text, associated)


@pytest.mark.parametrize("hidden", [b"", b"short", bytes(16), bytes(33)])
def test_cbc_refuses_every_broken_text_with_the_same_words(hidden: bytes) -> None:
    with pytest.raises(Refused) as refused:
        sm4_cbc_decrypt(KEY, bytes(16), hidden)
    assert (refused.value.code, "altered" in refused.value.detail) == (
        "crypto.cannot_decrypt",
        True,
    )


def test_keys_and_nonces_of_a_wrong_size_are_refused() -> None:
    for call in (
        lambda: sm4_cbc_encrypt(KEY[:15], bytes(16), b""),
        lambda: sm4_cbc_encrypt(KEY, bytes(12), b""),
        lambda: sm4_gcm_seal(KEY, bytes(16), b""),
        lambda: Sm4Gcm(KEY * 2),
    ):
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.code == "crypto.bad_size"
