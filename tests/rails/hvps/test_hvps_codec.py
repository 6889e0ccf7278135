"""The HVPS codec as a specification: what is written is read back, what is changed is refused."""

from __future__ import annotations

import re
import time
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.kernel.errors import Refused
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.codec import MAX_BODY
from caiwutong.rails.cnaps.header import V02
from caiwutong.rails.cnaps.signing import KeyRing, NoSignatures, PeerKey, Signer
from caiwutong.rails.contract import BadMessage
from caiwutong.rails.hvps import messages as h
from caiwutong.rails.hvps.codec import CODEC
from caiwutong.rails.hvps.shapes import BY_KIND
from support.hvps_words import AT, CENTRE, ORIGINAL, PAYEE, PAYER, SAMPLE, SPONSOR, word_of
from support.ibps_words import ids, participants, seconds
from support.mangled import mangled

NO = NoSignatures()
KINDS = sorted(BY_KIND)
SIGNED = [kind for kind in KINDS if BY_KIND[kind].signed]
KEY = Sm2PrivateKey.from_hex("11" * 32)
KEYS = PeerKey(KEY.public)
BLOCK = re.compile(rb"\{S:[A-Za-z0-9+/=]+\}\r\n")


def written(message: Any, *, signer: Signer = NO, message_id: str = "20261123MSG") -> bytes:
    return CODEC.encode(
        message, sender=SPONSOR, receiver=CENTRE, signer=signer, at=AT, message_id=message_id
    )


@cache
def signed_sample(kind: str) -> bytes:
    return written(SAMPLE[kind], signer=KEY)


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_is_read_back_as_it_was_written(kind: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(word_of(kind), ids, participants, participants, seconds, st.sampled_from("UD"))
    def law(
        message: Any, message_id: str, sender: str, receiver: str, at: datetime, way: str
    ) -> None:
        raw = CODEC.encode(
            message,
            sender=sender,
            receiver=receiver,
            signer=NO,
            at=at,
            message_id=message_id,
            direction=way,
        )
        (frame,) = CODEC.decode_frames(raw, NO)
        assert frame.message == message
        assert frame.raw == raw
        header = frame.header
        assert (header.sender, header.receiver, header.at) == (sender, receiver, at)
        assert (header.kind, header.message_id, header.direction) == (kind, message_id, way)
        assert header.priority == getattr(message, "priority", 3)
        assert header.answers == CODEC.answered_id(message)

    law()


@pytest.mark.parametrize("kind", SIGNED)
def test_every_signed_message_verifies_under_its_own_key_only(kind: str) -> None:
    raw = signed_sample(kind)
    assert CODEC.decode_frames(raw, KEYS)[0].message == SAMPLE[kind]
    stranger = Sm2PrivateKey.from_hex("22" * 32)
    for ring in (PeerKey(stranger.public), KeyRing({CENTRE: KEY.public})):
        with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
            CODEC.decode_frames(raw, ring)
    bare = BLOCK.sub(b"", raw)
    with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
        CODEC.decode_frames(bare, KEYS)


def test_a_credit_transfer_has_these_very_bytes() -> None:
    raw = written(SAMPLE["hvps.111.001.01"])
    assert raw[: V02.length].decode() == (
        "{H:02313290000017  HVPS999900000012  HVPS20261123090203XMLhvps.111.001.01     "
        "20261123MSG                             2U         }\r\n"
    )
    assert raw[V02.length :].decode() == (
        "{S:bm90IHNpZ25lZA==}\r\n"
        '<?xml version="1.0" encoding="UTF-8"?><Document><FIToFICstmrCdtTrf><GrpHdr>'
        "<MsgTp>hvps.111.001.01</MsgTp><MsgId>20261123MSG</MsgId>"
        "<CreDtTm>2026-11-23T09:02:03</CreDtTm>"
        "<InstgDrctPty>313290000017</InstgDrctPty><InstdDrctPty>999900000012</InstdDrctPty>"
        "</GrpHdr><PmtTpInf><TxTpCd>A100</TxTpCd><CtgyPurpCd>02102</CtgyPurpCd></PmtTpInf>"
        '<IntrBkSttlmAmt Ccy="CNY">1234567.89</IntrBkSttlmAmt><SttlmPrty>HIGH</SttlmPrty>'
        "<Dbtr><Nm>上海甲乙&amp;丙有限公司（集团）</Nm></Dbtr>"
        "<DbtrAcct><Id>31001234560000417</Id></DbtrAcct>"
        "<DbtrAgt><Id>313290000017</Id><Nm>甲银行</Nm></DbtrAgt>"
        "<Cdtr><Nm>ＡＢＣ供应链&lt;华东&gt;有限公司</Nm></Cdtr>"
        "<CdtrAcct><Id>6222021234567890123</Id></CdtrAcct><CdtrAgt><Id>102290012345</Id></CdtrAgt>"
        "<Purp>货款</Purp><RmtInf>合同 &amp; 附件</RmtInf></FIToFICstmrCdtTrf></Document>"
    )


def test_the_signed_string_holds_amount_priority_and_both_parties() -> None:
    class Witness:
        data = b""

        def sign(self, data: bytes) -> bytes:
            self.data = data
            return b"witness"

    witness = Witness()
    written(h.CreditTransfer(1_00, PAYER, PAYEE, 1, remark="附言"), signer=witness)
    assert witness.data.decode() == (
        "hvps.111.001.01|20261123MSG|2026-11-23T09:02:03|313290000017|999900000012|"
        "A100|02102|CNY1.00|URGT|上海甲乙&丙有限公司（集团）|31001234560000417|313290000017|甲银行|"
        "ＡＢＣ供应链<华东>有限公司|6222021234567890123|102290012345|||附言|||||"
    )


def test_a_priority_changed_in_the_unsigned_header_is_refused() -> None:
    raw = bytearray(signed_sample("hvps.111.001.01"))
    assert raw[118:119] == b"2"
    raw[118:119] = b"1"
    with pytest.raises(BadMessage, match=r"cnaps\.header_differs"):
        CODEC.decode_frames(bytes(raw), KEYS)


@pytest.mark.parametrize("kind", SIGNED)
def test_any_single_byte_changed_in_the_body_is_refused(kind: str) -> None:
    raw = bytearray(signed_sample(kind))
    for at in range(V02.length, len(raw), 3):
        original = raw[at]
        for change in (original ^ 1, 0x39):
            if change == original:
                continue
            raw[at] = change
            try:
                (frame,) = CODEC.decode_frames(bytes(raw), KEYS)
            except BadMessage:
                continue
            finally:
                raw[at] = original
            # Only blanks inside markup may differ: the values are the ones that were signed.
            assert frame.message == SAMPLE[kind]


def test_a_body_of_one_type_is_not_taken_for_another() -> None:
    raw = signed_sample("saps.601.001.01").replace(b"saps.601", b"saps.603", 1)
    with pytest.raises(BadMessage, match=r"xml\.not_in_schema"):
        CODEC.decode_frames(raw, KEYS)


def test_glued_frames_are_cut_exactly() -> None:
    raws = [written(SAMPLE[kind], message_id=f"M{n}") for n, kind in enumerate(KINDS)]
    frames = CODEC.decode_frames(b"".join(raws), NO)
    assert [frame.raw for frame in frames] == raws
    assert [frame.message for frame in frames] == [SAMPLE[kind] for kind in KINDS]
    headers = CODEC.read_headers(b"".join(raws))
    assert [each.message_id for each in headers] == [f"M{n}" for n in range(len(KINDS))]


def test_a_frame_cut_short_anywhere_is_refused() -> None:
    raw = written(SAMPLE["hvps.111.001.01"])
    for end in range(1, len(raw)):
        with pytest.raises(BadMessage):
            CODEC.decode_frames(raw + raw[:end], NO)


@pytest.mark.parametrize("words", ["a|b", " leading", "two\nlines", "\x00", "\ud800", "长" * 281])
def test_a_text_that_cannot_travel_is_refused_before_it_is_sent(words: str) -> None:
    with pytest.raises(Refused, match=r"cnaps\.cannot_be_written"):
        written(m.Revocation(ORIGINAL, words))


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        (b">1234567.89<", b">1234567.8<"),
        (b">1234567.89<", b">-1234567.89<"),
        (b'Ccy="CNY"', b'Ccy="USD"'),
        (b">HIGH<", b">SOON<"),
        (b"<SttlmPrty>HIGH</SttlmPrty>", b""),
        (b"<TxTpCd>A100</TxTpCd>", b"<TxTpCd>A100</TxTpCd><TxTpCd>A100</TxTpCd>"),
        (b"2026-11-23T09:02:03<", b"2026-02-30T09:02:03<"),
        (b">1234567.89<", b">1234567<!-- -->.89<"),
        (b">1234567.89<", b"><![CDATA[1234567.89]]><"),
        (b'<?xml version="1.0" encoding="UTF-8"?>', b"\xef\xbb\xbf"),
        (b'<?xml version="1.0" encoding="UTF-8"?>', b'<!DOCTYPE Document SYSTEM "file:///x">'),
    ],
)
def test_a_body_outside_the_schema_is_refused(find: bytes, replace: bytes) -> None:
    raw = written(SAMPLE["hvps.111.001.01"])
    assert find in raw
    with pytest.raises(BadMessage):
        CODEC.decode_frames(raw.replace(find, replace, 1), NO)


def test_a_body_of_a_million_bytes_is_refused_both_ways() -> None:
    many = tuple(m.NettedPayment(f"M{n}", SPONSOR, n, "hvps.111.001.01") for n in range(6000))
    with pytest.raises(Refused, match=r"cnaps\.cannot_be_written"):
        written(m.ClearingNotice("1", AT, AT.date(), 0, many))
    raw = written(SAMPLE["ccms.316.001.01"])
    padded = raw.replace(b"<OrgnlGrpHdr>", b" " * MAX_BODY + b"<OrgnlGrpHdr>")
    with pytest.raises(BadMessage, match=r"xml\.too_large"):
        CODEC.decode_frames(padded, NO)


@pytest.mark.parametrize(
    "body",
    [
        b"<Document>" + b"<a>" * 300_000,
        b"<Document " + b" ".join(b'x%d=""' % n for n in range(90_000)) + b">",
        b'<!DOCTYPE Document [<!ENTITY a "haha"><!ENTITY b "&a;&a;">]><Document>&b;',
        b'<!DOCTYPE Document SYSTEM "file:///etc/passwd"><Document>',
        b"<Document><FIToFICstmrCdtTrf>" + b"<GrpHdr/>" * 90_000 + b"</FIToFICstmrCdtTrf>",
        b"{S:" + b"A" * 900_000 + b"}\r\n<Document>",
    ],
)
def test_a_hostile_body_is_refused_within_a_second(body: bytes) -> None:
    raw = written(SAMPLE["hvps.111.001.01"])[: V02.length] + body + b"</Document>"
    begun = time.perf_counter()
    with pytest.raises(BadMessage):
        CODEC.decode_frames(raw, NO)
    assert time.perf_counter() - begun < 1


def test_an_error_names_no_account_and_no_name() -> None:
    raw = written(SAMPLE["hvps.111.001.01"]).replace(b"6222021234567890123", b"6222 021234567890")
    with pytest.raises(BadMessage) as caught:
        CODEC.decode_frames(raw, NO)
    assert "/Document/FIToFICstmrCdtTrf/CdtrAcct/Id" in str(caught.value)
    assert "6222" not in str(caught.value)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_nothing_but_bad_message_escapes_from_mutated_messages(data: st.DataObject) -> None:
    message = written(SAMPLE[data.draw(st.sampled_from(KINDS))])
    raw = mangled(data, message, b"{S:}\r\n")
    if not raw:
        return
    try:
        CODEC.decode_frames(raw, NO)
    except BadMessage as error:
        assert error.code and error.detail


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(noise: bytes) -> None:
    head = written(SAMPLE["ccms.316.001.01"])[: V02.length]
    for raw in (noise, b"{H:02" + noise, head + noise, head + b"{S:" + noise):
        if raw:
            with pytest.raises(BadMessage):
                CODEC.decode_frames(raw, NO)
