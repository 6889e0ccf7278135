"""The shared CNAPS2 codec in a V02 dialect, as a specification: header places, the signature
block, and what is refused. The words of each channel are tested beside that channel."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.codec import Codec, Dialect, replies_with
from caiwutong.rails.cnaps.header import V02
from caiwutong.rails.cnaps.shapes import SHARED
from caiwutong.rails.cnaps.signing import NoSignatures, PeerKey
from caiwutong.rails.contract import BadMessage

AT = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
SPONSOR, CENTRE = "313290000017", "999900000012"
KEY = Sm2PrivateKey.from_hex("11" * 32)
NO = NoSignatures()
CODEC = Codec(Dialect("HVPS", V02, tuple(SHARED.values()), replies_with()))
ORIGINAL = m.Original("20261123ABCDEFGHIJKL", SPONSOR, "hvps.111.001.01")


def written(message: object, *, key: Sm2PrivateKey | NoSignatures = KEY) -> bytes:
    return CODEC.encode(
        message, sender=SPONSOR, receiver=CENTRE, signer=key, at=AT, message_id="20261123MSG"
    )


def test_the_v02_header_stands_at_exact_places() -> None:
    header = written(m.Discard(ORIGINAL, "CB1O0409"))[: V02.length].decode()
    assert V02.length == 132
    assert [
        header[0:3],
        header[3:5],
        header[5:19],
        header[19:23],
        header[23:37],
        header[37:41],
        header[41:49],
        header[49:55],
        header[55:58],
        header[58:78],
        header[78:98],
        header[98:118],
        header[118],
        header[119],
        header[120:129],
        header[129:132],
    ] == [
        "{H:",
        "02",
        f"{SPONSOR}  ",
        "HVPS",
        f"{CENTRE}  ",
        "HVPS",
        "20261123",
        "090203",
        "XML",
        "ccms.911.001.01     ",
        "20261123MSG         ",
        "20261123ABCDEFGHIJKL",
        "3",
        "U",
        " " * 9,
        "}\r\n",
    ]


def test_the_signature_stands_in_a_block_between_header_and_body() -> None:
    (frame,) = CODEC.split_frames(written(m.Enquiry(ORIGINAL), key=NO))
    assert frame.block == b"{S:bm90IHNpZ25lZA==}\r\n"
    assert frame.body.startswith(b"<?xml") and b"Sgntr" not in frame.body


def test_only_the_senders_own_key_fits() -> None:
    raw = written(m.Enquiry(ORIGINAL))
    assert CODEC.decode_frames(raw, PeerKey(KEY.public))[0].message == m.Enquiry(ORIGINAL)
    stranger = Sm2PrivateKey.from_hex("22" * 32)
    with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
        CODEC.decode_frames(raw, PeerKey(stranger.public))


def test_a_signature_missing_or_in_another_place_is_refused() -> None:
    raw = written(m.Enquiry(ORIGINAL), key=NO)
    block = b"{S:bm90IHNpZ25lZA==}\r\n"
    element = b"<Sgntr>bm90IHNpZ25lZA==</Sgntr></TxQry>"
    without = raw.replace(block, b"")
    for forged in (
        without,
        without.replace(b"</TxQry>", element),
        raw.replace(b"</TxQry>", element),
    ):
        with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
            CODEC.decode_frames(forged, NO)
    unsigned = written(m.Acknowledgement(ORIGINAL))
    assert CODEC.decode_frames(unsigned, NO)
    with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
        CODEC.decode_frames(unsigned[:132] + block + unsigned[132:], NO)


@pytest.mark.parametrize("block", [b"{S:}\r\n", b"{S:bm90}", b"{S:b m90}\r\n", b"{S:bm90}\r\n" * 2])
def test_a_broken_signature_block_is_refused(block: bytes) -> None:
    raw = written(m.Enquiry(ORIGINAL), key=NO).replace(b"{S:bm90IHNpZ25lZA==}\r\n", block)
    with pytest.raises(BadMessage):
        CODEC.decode_frames(raw, NO)


def test_glued_frames_with_and_without_a_block_are_cut_exactly() -> None:
    raws = [
        written(each, key=NO)
        for each in (m.Enquiry(ORIGINAL), m.Probe(), m.ProbeAnswer("Q1"), m.FreeText("您好"))
    ]
    frames = CODEC.decode_frames(b"".join(raws), NO)
    assert [frame.raw for frame in frames] == raws
