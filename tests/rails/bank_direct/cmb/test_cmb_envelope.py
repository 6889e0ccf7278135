"""What is signed, what is hidden, and what is refused at the door."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_to_bytes

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.crypto.gm import Sm2PrivateKey, sm4_cbc_decrypt
from caiwutong.rails.bank_direct import fields
from caiwutong.rails.bank_direct.styles.cmb import codec, envelope
from caiwutong.rails.bank_direct.styles.cmb.keys import load_keys
from caiwutong.rails.bank_direct.styles.cmb.messages import PayQuery, PayQueryRequest
from caiwutong.rails.contract import BadMessage
from support.cmb_bank import BANK, HUB, NOON, PLAIN, SHARED

USER = "N003261207"
QUERY = PayQueryRequest(queries=(PayQuery(business="N02030", reference="20261124ABCDEFGHIJKL"),))


def _form(keys: envelope.Keys = HUB) -> bytes:
    return codec.encode_request(QUERY, user_id=USER, request_id="R" * 20, at=NOON, keys=keys)


SEALED = _form()


def _code(raw: bytes, **now: datetime) -> str:
    with pytest.raises(BadMessage) as refused:
        codec.decode_request(raw, {USER: BANK}.get, **now)
    return refused.value.code


def test_canonical_json_sorts_keys_by_ascii_at_every_depth():
    value = {"b": [{"z": 1, "A": 2, "a": {"y": "", "x": "付款 <&/>"}}], "B": None, "_": True}
    assert envelope.canonical(value).decode() == (
        '{"B":null,"_":true,"b":[{"A":2,"a":{"x":"付款 <&/>","y":""},"z":1}]}'
    )


def test_the_iv_is_the_user_id_padded_with_zeros_to_sixteen():
    assert envelope.padded("N003261207") == b"N003261207000000"
    for wrong in ("", "N" * 17, "用户"):
        with pytest.raises(BadMessage):
            envelope.padded(wrong)


def test_the_sent_text_is_the_signed_text_with_the_signature_in_its_place():
    form = envelope.read_form(_form())
    text = sm4_cbc_decrypt(
        bytes.fromhex(SHARED), b"N003261207000000", base64.b64decode(form.data)
    ).decode()
    signature = msgspec.json.decode(text)["signature"]["sigdat"]
    assert len(signature) == 88
    assert text.replace(signature, "__signature_sigdat__") == (
        '{"request":{"body":{"bb1payqrx1":[{"busCod":"N02030","yurRef":"20261124ABCDEFGHIJKL"}]},'
        '"head":{"funcode":"BB1PAYQR","reqid":"RRRRRRRRRRRRRRRRRRRR","userid":"N003261207"}},'
        '"signature":{"sigdat":"__signature_sigdat__","sigtim":"20261124120000"}}'
    )


def test_the_form_has_four_fields_in_order():
    body = _form(PLAIN)
    assert [pair.split(b"=")[0] for pair in body.split(b"&")] == [
        b"UID",
        b"FUNCODE",
        b"ALG",
        b"DATA",
    ]
    assert body.startswith(b"UID=N003261207&FUNCODE=BB1PAYQR&ALG=SM&DATA=eyJ")


def test_words_that_look_like_the_placeholder_stay_words():
    sly = '"sigdat":"__signature_sigdat__"'
    query = PayQueryRequest(queries=(PayQuery(business=sly, reference="R"),))
    raw = codec.encode_request(query, user_id=USER, request_id="R", at=NOON, keys=HUB)
    assert codec.decode_request(raw, {USER: BANK}.get, now=NOON).body == query


def test_a_message_signed_an_hour_away_is_stale():
    codec.decode_request(_form(), {USER: BANK}.get, now=NOON + timedelta(minutes=60))
    assert _code(_form(), now=NOON + timedelta(minutes=61)) == "bank_direct.stale"
    assert _code(_form(), now=NOON - timedelta(minutes=61)) == "bank_direct.stale"


def test_another_key_another_user_another_function_are_refused():
    stranger = Sm2PrivateKey.from_hex("44" * 32)
    other = load_keys(stranger.to_hex(), stranger.public.to_hex(), SHARED)
    assert _code(_form(other)) == "bank_direct.signature"
    wrong_cipher = load_keys("11" * 32, stranger.public.to_hex(), "00" * 16)
    assert _code(_form(wrong_cipher)) in ("bank_direct.decrypt", "bank_direct.json")
    assert _code(_form().replace(b"BB1PAYQR", b"BB1PAYOP")) == "bank_direct.form"
    assert _code(_form().replace(b"UID=N0", b"UID=N1")) == "bank_direct.unknown_user"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_tampered_byte_is_never_read_as_another_message(data: st.DataObject):
    raw = bytearray(SEALED)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        # Only the spelling of the form itself may change, as %2b for %2B.
        assert codec.decode_request(bytes(raw), {USER: BANK}.get).body == QUERY
        assert unquote_to_bytes(bytes(raw)) == unquote_to_bytes(_form_like(raw))
    except BadMessage:
        pass


def _form_like(raw: bytearray) -> bytes:
    return envelope.write_form(envelope.read_form(bytes(raw)))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_tampered_byte_of_the_signed_text_is_refused(data: st.DataObject):
    form = envelope.read_form(_form(PLAIN))
    text = bytearray(base64.b64decode(form.data))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= data.draw(st.integers(1, 255))
    raw = envelope.write_form(envelope.Form(USER, form.function, base64.b64encode(bytes(text))))
    with pytest.raises(BadMessage):
        codec.decode_request(raw, {USER: PLAIN}.get)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "form"),
        (b"UID=N003261207&FUNCODE=BB1PAYQR&DATA=AAAA", "form"),
        (b"UID=N003261207&FUNCODE=BB1PAYQR&ALG=RSA&DATA=AAAA", "form"),
        (b"UID=N003261207&UID=N003261207&FUNCODE=F&ALG=SM&DATA=AAAA", "form"),
        (b"UID=N003261207&FUNCODE=BB1PAYQR&ALG=SM&DATA=%ff%fe", "form"),
        (b"UID=N003261207&FUNCODE=BB1PAYQR&ALG=SM&DATA=A", "base64"),
        (b"UID=N003261207&FUNCODE=BB1PAYQR&ALG=SM&DATA=AAAA", "decrypt"),
        (b"UID=&FUNCODE=BB1PAYQR&ALG=SM&DATA=AAAA", "form"),
        (b"x" * (envelope.MAX_BYTES + 1), "too_large"),
    ],
)
def test_what_is_no_message_is_refused_by_name(raw: bytes, code: str):
    assert _code(raw) == f"bank_direct.{code}"


@pytest.mark.parametrize(
    "text",
    [
        b'{"request":' + b"[" * 1_000_000,
        b'{"x":' + b'{"x":' * 500_000 + b"1" + b"}" * 500_001,
        b"[" * 2_000_000 + b"]" * 2_000_000,
        b'{"request":{},"signature":{"sigdat":"\\ud800","sigtim":"x"}}',
        b"\xff\xfe",
        b"null",
        b'{"request":1e999999}',
    ],
)
def test_deep_or_malformed_json_is_refused_quickly(text: bytes):
    data = base64.b64encode(text[:3_000_000])
    raw = envelope.write_form(envelope.Form(USER, "BB1PAYQR", data))
    started = time.perf_counter()
    with pytest.raises(BadMessage):
        codec.decode_request(raw, {USER: PLAIN}.get)
    with pytest.raises(BadMessage):
        codec.decode_notice(text, {USER: PLAIN}.get)
    assert time.perf_counter() - started < 1.0


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=400))
def test_only_bad_message_escapes_whatever_comes(noise: bytes, text: bytes):
    data = base64.b64encode(text)
    for raw in (
        noise,
        b"{" + noise,
        envelope.write_form(envelope.Form(USER, "BB1PAYQR", data)),
        msgspec.json.encode({"corpNbr": USER, "enptData": data.decode()}),
    ):
        for read in (
            lambda r: codec.decode_request(r, {USER: PLAIN}.get, now=NOON),
            lambda r: codec.decode_notice(r, {USER: PLAIN}.get),
            lambda r: codec.decode_answer(r, user_id=USER, function="BB1PAYQR", keys=PLAIN),
        ):
            with pytest.raises(BadMessage):
                read(raw)


def test_times_are_china_times_of_fourteen_digits():
    assert fields.bank_time(NOON) == "20261124120000"
    assert fields.instant("20261124120000") == datetime(2026, 11, 24, 4, tzinfo=UTC)
    for wrong in ("", "20261124", "20261324120000", "2026112412000a", "00000000000000", "２" * 14):
        with pytest.raises(BadMessage):
            fields.instant(wrong)
