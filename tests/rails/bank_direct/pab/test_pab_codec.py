"""Frames of the voucher-number style: a head of 222 bytes, GBK, schemas, one signature over all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.styles.pab import codec, envelope, profile
from caiwutong.rails.bank_direct.styles.pab import messages as m
from caiwutong.rails.bank_direct.styles.pab.connector import pay_request
from caiwutong.rails.bank_direct.styles.pab.envelope import ANSWER, LENGTH, REQUEST
from caiwutong.rails.contract import AccountAtBank, BadMessage
from support.pab_words import BANK, HUB, NOON, STRANGER, WORDS, attempt, head

SERVICE = {"rq": REQUEST, "rs": ANSWER}
BAD_BODIES = (
    (b"<TranAmount>100.00<", b"<TranAmount>100<"),
    (b"<TranAmount>100.00<", b"<TranAmount>-100.00<"),
    (b"<CcyCode>RMB<", b"<CcyCode>USD<"),
    (b"<UnionFlag>0<", b"<UnionFlag>2<"),
    (b"<InAcctBankNode>102100099996<", b"<InAcctBankNode>1021<"),
    (b"<ThirdVoucher>", b"<ThirdVoucher><x/>"),
    (b"<OutAcctNo>", b"<OutAcctNo>1</OutAcctNo><OutAcctNo>"),
)


def framed(name: str) -> bytes:
    function, _, way = name.partition("-")
    signer = HUB.signer if way == "rq" else BANK.signer
    return codec.encode(head(function, SERVICE[way]), WORDS[name], signer)


def verifier_of(name: str):
    return BANK.verifier if name.endswith("-rq") else HUB.verifier


def test_every_message_has_a_sample() -> None:
    assert set(WORDS) == set(codec.MESSAGES)


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("forgiving", [True, False])
def test_a_message_comes_out_as_it_went_in(name: str, forgiving: bool) -> None:
    frame = codec.decode(framed(name), verifier_of(name), forgiving=forgiving)
    function, _, way = name.partition("-")
    assert frame == codec.Frame(head(function, SERVICE[way]), WORDS[name])


def test_the_head_has_222_bytes_and_says_how_long_the_body_is() -> None:
    raw = framed("4004-rq")
    assert LENGTH == 222
    assert raw[:10] == b"A001010102"
    assert raw[10:30] == b"N313000005".ljust(20)
    assert int(raw[30:40]) == len(raw) - LENGTH - 88
    assert raw[40:46] == b"4004  " and raw[51:53] == b"01"
    assert raw[53:67] == b"20261124120000"
    assert raw[197:211] == b"11SM2WITHSM3  "
    assert raw[LENGTH:].startswith(b'<?xml version="1.0" encoding="GBK"?><Result>')
    assert "货款".encode("gbk") in raw


def test_an_answer_that_says_no_has_a_code_words_and_no_body() -> None:
    told = head(profile.STATUS, code=profile.NO_RECORD, words="没有满足条件记录")
    frame = codec.decode(codec.encode(told, None, BANK.signer), HUB.verifier)
    assert frame == codec.Frame(told, None)


def test_the_description_is_cut_at_a_whole_character_and_nothing_else_is() -> None:
    told = head(profile.STATUS, code=profile.BUSY, words="忙" * 80)
    frame = codec.decode(codec.encode(told, None, BANK.signer), HUB.verifier)
    assert frame.head.words == "忙" * 49
    with pytest.raises(Refused):
        codec.encode(head(profile.STATUS, message_id="M" * 21), None, BANK.signer)


def test_an_element_the_bank_adds_tomorrow_is_forgotten_by_the_hub_and_refused_by_the_bank() -> (
    None
):
    opened, body = envelope.opened(framed("4005-rs"), HUB.verifier)
    grown = body.replace(b"<Stt>", b"<hostFlowNo>1</hostFlowNo><IsBack></IsBack><Stt>")
    raw = envelope.sealed(opened, grown, BANK.signer)
    read = codec.decode(raw, HUB.verifier).body
    assert isinstance(read, m.StatusAnswer) and read.state == "20"
    with pytest.raises(BadMessage):
        codec.decode(raw, HUB.verifier, forgiving=False)


@pytest.mark.parametrize(("old", "new"), BAD_BODIES)
def test_what_does_not_fit_the_schema_is_refused(old: bytes, new: bytes) -> None:
    opened, body = envelope.opened(framed("4004-rq"), BANK.verifier)
    assert old in body
    raw = envelope.sealed(opened, body.replace(old, new, 1), HUB.signer)
    with pytest.raises(BadMessage):
        codec.decode(raw, BANK.verifier, forgiving=False)


def test_no_byte_of_head_body_or_signature_can_be_changed_unnoticed() -> None:
    raw = framed("4005-rs")
    for at in range(0, len(raw), 5):
        changed = raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
        with pytest.raises(BadMessage):
            codec.decode(changed, HUB.verifier)
    for changed in (raw[:-1], raw + b" ", raw[: LENGTH - 1], b"", raw * 2):
        with pytest.raises(BadMessage):
            codec.decode(changed, HUB.verifier)
    forged = codec.encode(head(profile.STATUS), WORDS["4005-rs"], STRANGER.signer)
    with pytest.raises(BadMessage, match="signature"):
        codec.decode(forged, HUB.verifier)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(WORDS)), st.data())
def test_a_mangled_body_raises_nothing_but_bad_message(name: str, data: st.DataObject) -> None:
    """Signed by the right key all the same: the bank itself may write nonsense."""
    opened, body = envelope.opened(framed(name), verifier_of(name))
    mangled = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mangled) - 1))
        mangled[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=4))
    keys = HUB if name.endswith("-rq") else BANK
    with contextlib.suppress(BadMessage):
        codec.decode(envelope.sealed(opened, bytes(mangled), keys.signer), verifier_of(name))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_bytes_of_a_stranger_raise_nothing_but_bad_message(raw: bytes) -> None:
    start = framed("4005-rs")[:LENGTH]
    for each in (raw, start + raw):
        with pytest.raises(BadMessage):
            codec.decode(each, HUB.verifier)


# ---- names in GBK


def named(name: str) -> AccountAtBank:
    return AccountAtBank(name, "6222021001116245000", "102100099996", "国信银行")


@pytest.mark.parametrize("name", ["𠮷野家餐饮有限公司", "王䶮"])
def test_a_name_gbk_cannot_write_is_refused_and_never_spelt_otherwise(name: str) -> None:
    with pytest.raises(Refused) as refusal:
        pay_request(attempt(payee=named(name)), inside=False)
    assert refusal.value.code == "bank_direct.character_set"
    assert name not in refusal.value.detail and "U+" in refusal.value.detail


def test_a_name_of_sixty_bytes_fits_and_one_more_is_refused() -> None:
    assert pay_request(attempt(payee=named("甲" * 30)), inside=False).payee_name == "甲" * 30
    with pytest.raises(Refused, match="62 bytes"):
        pay_request(attempt(payee=named("甲" * 31)), inside=False)


def test_a_purpose_is_cut_at_a_whole_character_and_its_rare_ones_become_question_marks() -> None:
    long = replace(attempt(), purpose="款𠮷" + "货" * 40)
    request = pay_request(long, inside=False)
    assert request.use.startswith("款?货") and len(request.use.encode("gbk")) <= 30
    assert codec.encode(head(profile.PAY, REQUEST), request, HUB.signer)


def test_a_payee_whose_bank_is_not_named_at_all_is_refused_with_what_helps() -> None:
    nowhere = AccountAtBank("乙公司", "62220210")
    with pytest.raises(Refused) as refusal:
        pay_request(attempt(payee=nowhere), inside=False)
    assert refusal.value.code == "bank_direct.payee_bank_missing"
    without_number = replace(nowhere, bank_name="某农村信用社")
    request = pay_request(attempt(payee=without_number), inside=False)
    assert (request.payee_bank, request.payee_bank_name) == ("", "某农村信用社")
    assert attempt().created_at == NOON
