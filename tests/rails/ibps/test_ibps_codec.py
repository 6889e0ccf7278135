"""The IBPS codec as a specification: what is written is read back, what is changed is refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.kernel.errors import Refused
from caiwutong.rails.cnaps.header import V01
from caiwutong.rails.cnaps.signing import KeyRing, NoSignatures, PeerKey, Signer
from caiwutong.rails.contract import BadMessage
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps.codec import MAX_BODY, decode_frames, encode, read_headers, split_frames
from caiwutong.rails.ibps.shapes import BY_KIND
from support.ibps_words import (
    AT,
    CENTRE,
    ORIGINAL,
    SAMPLE,
    SPONSOR,
    ids,
    participants,
    seconds,
    word_of,
)
from support.mangled import mangled

LENGTH = V01.length
NO = NoSignatures()
KINDS = sorted(BY_KIND)
KEY = Sm2PrivateKey.from_hex("11" * 32)
OTHER_KEY = Sm2PrivateKey.from_hex("22" * 32)
KEYS = PeerKey(KEY.public)


def written(message: m.Message, *, signer: Signer = NO, message_id: str = "20261123MSG") -> bytes:
    return encode(
        message, sender=SPONSOR, receiver=CENTRE, signer=signer, at=AT, message_id=message_id
    )


@cache
def signed_sample(kind: str) -> bytes:
    return written(SAMPLE[kind], signer=KEY)


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_is_read_back_as_it_was_written(kind: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(word_of(kind), ids, participants, participants, seconds, st.sampled_from("UD"))
    def law(
        message: m.Message, message_id: str, sender: str, receiver: str, at: datetime, way: str
    ) -> None:
        raw = encode(
            message,
            sender=sender,
            receiver=receiver,
            signer=NO,
            at=at,
            message_id=message_id,
            direction=way,
            priority=2,
        )
        (frame,) = decode_frames(raw, NO)
        assert frame.message == message
        assert frame.raw == raw
        header = frame.header
        assert (header.sender, header.receiver, header.at) == (sender, receiver, at)
        assert (header.kind, header.message_id) == (kind, message_id)
        assert (header.direction, header.priority) == (way, 2)

    law()


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_verifies_under_its_own_key_only(kind: str) -> None:
    raw = signed_sample(kind)
    assert decode_frames(raw, KEYS)[0].message == SAMPLE[kind]
    if not BY_KIND[kind].signed:
        return
    with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
        decode_frames(raw, PeerKey(OTHER_KEY.public))
    with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
        decode_frames(raw, KeyRing({CENTRE: KEY.public}))
    assert decode_frames(raw, KeyRing({SPONSOR: KEY.public}))


def test_the_header_stands_at_exact_places() -> None:
    raw = written(SAMPLE["ibps.102.001.01"])
    header = raw[:LENGTH].decode()
    fields = {
        "open": header[0:3],
        "version": header[3:5],
        "sender": header[5:17],
        "sender system": header[17:21],
        "receiver": header[21:33],
        "receiver system": header[33:37],
        "date": header[37:45],
        "time": header[45:51],
        "format": header[51:54],
        "type": header[54:74],
        "id": header[74:94],
        "answers": header[94:114],
        "priority": header[114],
        "direction": header[115],
        "reserve": header[116:125],
        "close": header[125:128],
    }
    assert fields == {
        "open": "{H:",
        "version": "01",
        "sender": SPONSOR,
        "sender system": "IBPS",
        "receiver": CENTRE,
        "receiver system": "IBPS",
        "date": "20261123",
        "time": "090203",
        "format": "XML",
        "type": "ibps.102.001.01     ",
        "id": "20261123MSG         ",
        "answers": "20261123ABCDEFGHIJKL",
        "priority": "3",
        "direction": "U",
        "reserve": " " * 9,
        "close": "}\r\n",
    }


def test_a_credit_transfer_has_these_very_bytes() -> None:
    assert written(SAMPLE["ibps.101.001.01"])[LENGTH:].decode() == (
        '<?xml version="1.0" encoding="UTF-8"?><Document><CstmrCdtTrf><GrpHdr>'
        "<MsgTp>ibps.101.001.01</MsgTp><MsgId>20261123MSG</MsgId>"
        "<CreDtTm>2026-11-23T09:02:03</CreDtTm>"
        "<InstgDrctPty>313290000017</InstgDrctPty><InstdDrctPty>999900000012</InstdDrctPty>"
        "</GrpHdr><TxTpCd>A100</TxTpCd><CtgyPurpCd>02102</CtgyPurpCd>"
        '<InstdAmt Ccy="CNY">1234.56</InstdAmt>'
        "<Dbtr><Nm>上海甲乙&amp;丙有限公司（集团）</Nm></Dbtr>"
        "<DbtrAcct><Id>31001234560000417</Id></DbtrAcct>"
        "<DbtrAgt><Id>313290000017</Id><Nm>甲银行</Nm></DbtrAgt>"
        "<Cdtr><Nm>ＡＢＣ供应链&lt;华东&gt;有限公司</Nm></Cdtr>"
        "<CdtrAcct><Id>6222021234567890123</Id></CdtrAcct><CdtrAgt><Id>102290012345</Id></CdtrAgt>"
        "<Purp>货款</Purp><RmtInf>合同 &quot;2026-001&quot; &amp; 附件</RmtInf>"
        "<Sgntr>bm90IHNpZ25lZA==</Sgntr></CstmrCdtTrf></Document>"
    )


def test_the_signed_string_keeps_the_place_of_what_is_absent() -> None:
    class Witness:
        data = b""

        def sign(self, data: bytes) -> bytes:
            self.data = data
            return b"witness"

    witness = Witness()
    written(m.CreditTransfer(1_00, SAMPLE_PAYER, SAMPLE_PAYER, remark="附言"), signer=witness)
    assert witness.data.decode() == (
        "ibps.101.001.01|20261123MSG|2026-11-23T09:02:03|313290000017|999900000012|"
        "A100|02102|CNY1.00|甲|62|102290012345||甲|62|102290012345|||附言|||||"
    )


SAMPLE_PAYER = m.AccountAtBank("甲", "62", "102290012345")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if BY_KIND[kind].signed])
def test_any_single_byte_changed_in_the_body_is_refused(kind: str) -> None:
    raw = bytearray(signed_sample(kind))
    places = range(LENGTH, len(raw))
    # Every value byte with a neighbour, and every seventh byte of markup with a blank or a digit.
    for at in places:
        original = raw[at]
        for change in (original ^ 1, original ^ 2) if at % 7 else (0x20, 0x39):
            if change == original:
                continue
            raw[at] = change
            try:
                (frame,) = decode_frames(bytes(raw), KEYS)
            except BadMessage:
                continue
            finally:
                raw[at] = original
            # Only blanks inside markup may differ: the values are the ones that were signed.
            assert frame.message == SAMPLE[kind]


def test_a_signed_body_under_another_header_is_refused() -> None:
    raw = signed_sample("ibps.102.001.01")
    header = V01.read(raw[:LENGTH])
    changed = {
        "sender": "102290012345",
        "receiver": "102290012345",
        "message_id": "20261123OTHER",
        "answers": "20261123OTHER",
        "at": datetime(2026, 11, 24, tzinfo=UTC),
    }
    for name, value in changed.items():
        values = {field: getattr(header, field) for field in m.Header.__struct_fields__}
        forged = V01.write(m.Header(**(values | {name: value}))) + raw[LENGTH:]
        with pytest.raises(BadMessage, match=r"cnaps\.header_differs"):
            decode_frames(forged, KEYS)


def test_a_body_of_one_type_is_not_taken_for_another() -> None:
    raw = signed_sample("saps.601.001.01").replace(b"saps.601", b"saps.603", 1)
    with pytest.raises(BadMessage, match=r"xml\.not_in_schema"):
        decode_frames(raw, KEYS)
    whole = signed_sample("saps.601.001.01").replace(b"saps.601", b"saps.603")
    with pytest.raises(BadMessage):
        decode_frames(whole.replace(b"NetgNtfctn", b"ClrNtfctn"), KEYS)


def test_glued_frames_are_cut_exactly() -> None:
    raws = [written(SAMPLE[kind], message_id=f"M{n}") for n, kind in enumerate(KINDS)]
    glued = b"".join(raws)
    frames = decode_frames(glued, NO)
    assert [frame.raw for frame in frames] == raws
    assert [frame.message for frame in frames] == [SAMPLE[kind] for kind in KINDS]
    assert [header.message_id for header in read_headers(glued)] == [
        f"M{n}" for n in range(len(KINDS))
    ]
    assert decode_frames(b"", NO) == []


def test_a_frame_cut_short_anywhere_is_refused() -> None:
    raw = written(SAMPLE["ibps.101.001.01"])
    for end in range(1, len(raw)):
        with pytest.raises(BadMessage):
            decode_frames(raw + raw[:end], NO)


def test_an_end_tag_inside_a_value_does_not_end_the_frame() -> None:
    words = "</Document>{H:01 <!-- ]]> -->"
    raw = written(m.Revocation(ORIGINAL, words))
    assert len(split_frames(raw + raw)) == 2
    assert decode_frames(raw, NO)[0].message == m.Revocation(ORIGINAL, words)


@pytest.mark.parametrize(
    "words",
    ["a|b", " leading", "trailing\t", "two\nlines", "\x00", "\ud800", "\ufffe", "长" * 281],
)
def test_a_text_that_cannot_travel_is_refused_before_it_is_sent(words: str) -> None:
    with pytest.raises(Refused, match=r"cnaps\.cannot_be_written"):
        written(m.Revocation(ORIGINAL, words))


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        (b">1234.56<", b">1234.5<"),
        (b">1234.56<", b">01234.56<"),
        (b">1234.56<", b">-1234.56<"),
        (b">1234.56<", b"> 1234.56<"),
        (b'Ccy="CNY"', b'Ccy="USD"'),
        (b'Ccy="CNY"', b'Ccy="CNY" x="1"'),
        (b"<TxTpCd>A100</TxTpCd>", b""),
        (b"<TxTpCd>A100</TxTpCd>", b"<TxTpCd>A100</TxTpCd><TxTpCd>A100</TxTpCd>"),
        (b"2026-11-23T09:02:03<", b"2026-02-30T09:02:03<"),
        (b"2026-11-23T09:02:03<", b"2026-11-23T09:02:03Z<"),
        (b">1234.56<", b">1234<!-- -->.56<"),
        (b">1234.56<", b">1234<?x?>.56<"),
        (b">1234.56<", b"><![CDATA[1234.56]]><"),
        (b'<?xml version="1.0" encoding="UTF-8"?>', b"\xef\xbb\xbf"),
        (b'encoding="UTF-8"', b'encoding="UTF-16"'),
        (b'<?xml version="1.0" encoding="UTF-8"?>', b'<!DOCTYPE Document SYSTEM "file:///x">'),
    ],
)
def test_a_body_outside_the_schema_is_refused(find: bytes, replace: bytes) -> None:
    raw = written(SAMPLE["ibps.101.001.01"])
    assert find in raw
    with pytest.raises(BadMessage):
        decode_frames(raw.replace(find, replace, 1), NO)


def test_a_body_of_a_million_bytes_is_refused_both_ways() -> None:
    many = tuple(m.NettedPayment(f"M{n}", SPONSOR, n, "ibps.101.001.01") for n in range(6000))
    notice = m.NettingNotice("1", AT, AT.date(), 0, many)
    with pytest.raises(Refused, match=r"cnaps\.cannot_be_written"):
        written(notice)
    raw = written(SAMPLE["ibps.305.001.01"])
    padded = raw.replace(b"<OrgnlGrpHdr>", b" " * MAX_BODY + b"<OrgnlGrpHdr>")
    with pytest.raises(BadMessage, match=r"xml\.too_large"):
        decode_frames(padded, NO)


def test_four_thousand_payments_fit_one_notice() -> None:
    many = tuple(
        m.NettedPayment(f"20261123{n:012d}", SPONSOR, -n, "ibps.101.001.01") for n in range(4000)
    )
    notice = m.NettingNotice("1", AT, AT.date(), 0, many)
    assert decode_frames(written(notice), NO)[0].message == notice


@pytest.mark.parametrize(
    "body",
    [
        b"<Document>" + b"<a>" * 300_000,
        b"<Document>" + b"<a>" * 200 + b"</a>" * 200,
        b"<Document " + b" ".join(b'x%d=""' % n for n in range(90_000)) + b">",
        b'<Document x="' + b"y" * 900_000 + b'">',
        b'<!DOCTYPE Document [<!ENTITY a "haha"><!ENTITY b "&a;&a;">]><Document>&b;',
        b'<!DOCTYPE Document SYSTEM "file:///etc/passwd"><Document>',
        b"<Document><CstmrCdtTrf>" + b"<GrpHdr/>" * 90_000 + b"</CstmrCdtTrf>",
        b"<Document>" + b"a " * 400_000 + b"|",
    ],
)
def test_a_hostile_body_is_refused_within_a_second(body: bytes) -> None:
    raw = written(SAMPLE["ibps.101.001.01"])[:LENGTH] + body + b"</Document>"
    begun = time.perf_counter()
    with pytest.raises(BadMessage):
        decode_frames(raw, NO)
    assert time.perf_counter() - begun < 1


def test_an_error_names_no_account_and_no_name() -> None:
    raw = written(SAMPLE["ibps.101.001.01"]).replace(b"6222021234567890123", b"6222 0212345678901")
    with pytest.raises(BadMessage) as caught:
        decode_frames(raw, NO)
    assert "/Document/CstmrCdtTrf/CdtrAcct/Id" in str(caught.value)
    assert "6222" not in str(caught.value)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_nothing_but_bad_message_escapes_from_hostile_bytes(data: st.DataObject) -> None:
    message = written(SAMPLE[data.draw(st.sampled_from(KINDS))])
    raw = mangled(data, message, b"24:00:00")
    if not raw:
        return
    try:
        decode_frames(raw, NO)
    except BadMessage as error:
        assert error.code and error.detail


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_empty(noise: bytes) -> None:
    for raw in (noise, b"{H:01" + noise, written(SAMPLE["ibps.305.001.01"])[:LENGTH] + noise):
        if raw:
            with pytest.raises(BadMessage):
                decode_frames(raw, NO)
