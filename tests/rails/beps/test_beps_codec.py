"""The BEPS dialect as a specification: every message there and back, batches that must add up."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.kernel.errors import Refused
from caiwutong.rails.beps import messages as b
from caiwutong.rails.beps.codec import CODEC
from caiwutong.rails.beps.shapes import BY_KIND
from caiwutong.rails.cnaps.signing import KeyRing, NoSignatures, PeerKey, Signer
from caiwutong.rails.contract import BadMessage
from support.beps_words import CREDIT, RETURN, SAMPLE, word_of
from support.ibps_words import AT, CENTRE, PAYEE, PAYER, SPONSOR, ids, participants, seconds
from support.mangled import mangled

NO = NoSignatures()
KINDS = sorted(BY_KIND)
KEY = Sm2PrivateKey.from_hex("11" * 32)
OTHER_KEY = Sm2PrivateKey.from_hex("22" * 32)


def written(message: Any, *, signer: Signer = NO) -> bytes:
    return CODEC.encode(
        message, sender=SPONSOR, receiver=CENTRE, signer=signer, at=AT, message_id="20261123MSG"
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
        assert (header.kind, header.message_id, header.sender_system) == (kind, message_id, "BEPS")

    law()


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_verifies_under_its_own_key_only(kind: str) -> None:
    raw = signed_sample(kind)
    assert CODEC.decode_frames(raw, PeerKey(KEY.public))[0].message == SAMPLE[kind]
    if not BY_KIND[kind].signed:
        return
    with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
        CODEC.decode_frames(raw, PeerKey(OTHER_KEY.public))
    with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
        CODEC.decode_frames(raw, KeyRing({CENTRE: KEY.public}))


def test_a_batch_has_these_very_bytes() -> None:
    raw = written(b.CustomerCredits.of([CREDIT]))
    assert raw[:5] == b"{H:02"
    assert raw[132:].decode() == (
        "{S:bm90IHNpZ25lZA==}\r\n"
        '<?xml version="1.0" encoding="UTF-8"?><Document><CstmrCdtTrf><GrpHdr>'
        "<MsgTp>beps.121.001.01</MsgTp><MsgId>20261123MSG</MsgId>"
        "<CreDtTm>2026-11-23T09:02:03</CreDtTm>"
        "<InstgDrctPty>313290000017</InstgDrctPty><InstdDrctPty>999900000012</InstdDrctPty>"
        '</GrpHdr><NbOfTxs>1</NbOfTxs><CtrlSum Ccy="CNY">1234.56</CtrlSum><Txs><Tx>'
        '<TxId>20261123ABCDEFGHIJKL</TxId><Amt Ccy="CNY">1234.56</Amt>'
        "<TxTpCd>A100</TxTpCd><CtgyPurpCd>02102</CtgyPurpCd>"
        "<Dbtr><Nm>上海甲乙&amp;丙有限公司（集团）</Nm></Dbtr>"
        "<DbtrAcct><Id>31001234560000417</Id></DbtrAcct>"
        "<DbtrAgt><Id>313290000017</Id><Nm>甲银行</Nm></DbtrAgt>"
        "<Cdtr><Nm>ＡＢＣ供应链&lt;华东&gt;有限公司</Nm></Cdtr>"
        "<CdtrAcct><Id>6222021234567890123</Id></CdtrAcct><CdtrAgt><Id>102290012345</Id></CdtrAgt>"
        "<Purp>货款</Purp></Tx></Txs></CstmrCdtTrf></Document>"
    )


@pytest.mark.parametrize(
    ("count", "total_fen", "payments"),
    [
        (1, 1234_56, (CREDIT, RETURN)),
        (2, 1234_56, (CREDIT, RETURN)),
        (2, 2469_12, (CREDIT, CREDIT)),
        (0, 0, ()),
    ],
)
def test_a_batch_that_does_not_add_up_cannot_be_made(
    count: int, total_fen: int, payments: tuple[b.Credit, ...]
) -> None:
    for word in (b.CustomerCredits, b.InstitutionCredits):
        with pytest.raises(ValueError, match=r"group header|twice"):
            word(count, total_fen, payments)


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        (b"<NbOfTxs>2<", b"<NbOfTxs>3<"),
        (b">1333.56<", b">1333.57<"),
        (b"<TxId>RT2611230001<", b"<TxId>20261123ABCDEFGHIJKL<"),
        (b">1234.56</Amt>", b">1234.55</Amt>"),
        (b"<NbOfTxs>2<", b"<NbOfTxs>02<"),
        (b"<TxTpCd>A100</TxTpCd>", b""),
    ],
)
def test_a_batch_that_does_not_add_up_is_refused_whole(find: bytes, replace: bytes) -> None:
    raw = written(SAMPLE["beps.121.001.01"])
    assert find in raw
    with pytest.raises(BadMessage):
        CODEC.decode_frames(raw.replace(find, replace, 1), NO)


def test_one_signature_stands_for_every_payment_of_a_batch() -> None:
    raw = signed_sample("beps.121.001.01")
    for find, replace in (
        (b">31001234560000417<", b">31001234560000418<"),
        ("退汇".encode(), "货款".encode()),
        (b"<TxId>RT2611230001<", b"<TxId>RT2611230002<"),
    ):
        assert find in raw
        with pytest.raises(BadMessage, match=r"cnaps\.bad_signature"):
            CODEC.decode_frames(raw.replace(find, replace, 1), PeerKey(KEY.public))


def test_five_hundred_payments_with_the_longest_texts_fit_one_notice_and_one_answer() -> None:
    outcomes = tuple(
        b.Outcome(f"20261123{n:012d}", "PR09", "RJ01", "账号不存在") for n in range(500)
    )
    confirm = b.BatchConfirm(
        SAMPLE["ccms.900.001.01"].original, "CB1I0000", "PR09", "", "", outcomes
    )
    assert CODEC.decode_frames(written(confirm), NO)[0].message == confirm
    credits_ = [
        b.Credit(f"20261123{n:012d}", n, PAYER, PAYEE, purpose="货" * 140, remark="款" * 140)
        for n in range(500)
    ]
    batch = b.CustomerCredits.of(credits_)
    assert CODEC.decode_frames(written(batch), NO)[0].message == batch


def test_a_batch_above_a_million_bytes_is_refused_before_it_is_sent() -> None:
    credits_ = [
        b.Credit(f"20261123{n:012d}", n, PAYER, PAYEE, remark="款" * 280) for n in range(900)
    ]
    with pytest.raises(Refused, match=r"cnaps\.cannot_be_written"):
        written(b.CustomerCredits.of(credits_))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_nothing_but_bad_message_escapes_from_hostile_bytes(data: st.DataObject) -> None:
    message = written(SAMPLE[data.draw(st.sampled_from(KINDS))])
    raw = mangled(data, message, b"0", b"24")
    if not raw:
        return
    try:
        CODEC.decode_frames(raw, NO)
    except BadMessage as error:
        assert error.code and error.detail
