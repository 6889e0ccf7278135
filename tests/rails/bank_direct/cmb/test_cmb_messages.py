"""Every message comes out of the wire as it went in; unknown fields pass, missing ones do not."""

from __future__ import annotations

import base64
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.rails.bank_direct.styles.cmb import codec, envelope, messages, profile
from caiwutong.rails.bank_direct.styles.cmb.messages import Wire
from caiwutong.rails.contract import BadMessage
from support.cmb_bank import NOON, PLAIN

USER = "N003261207"
KEYS_OF = {USER: PLAIN}.get
WORDS = st.text(st.characters(codec="utf-8"), max_size=12).map(lambda each: each.strip(" "))


def words_of(kind: type[Wire]) -> st.SearchStrategy[Any]:
    """Any value of a message type: text in every field, one to three elements in every list."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for each in msgspec.structs.fields(kind):
        inner = typing.get_args(each.type)
        if inner:
            fields[each.name] = st.lists(words_of(inner[0]), min_size=1, max_size=3).map(tuple)
        elif each.type is str:
            fields[each.name] = WORDS
        else:
            fields[each.name] = words_of(each.type)
    return st.builds(kind, **fields)


@pytest.mark.parametrize("function", sorted(codec.REQUESTS))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_request_comes_out_as_it_went_in(function: str, data: st.DataObject):
    body = data.draw(words_of(codec.REQUESTS[function]))
    raw = codec.encode_request(body, user_id=USER, request_id="r1", at=NOON, keys=PLAIN)
    read = codec.decode_request(raw, KEYS_OF, now=NOON)
    assert (read.body, read.function, read.request_id) == (body, function, "r1")


@pytest.mark.parametrize("function", sorted(codec.ANSWERS))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_an_answer_comes_out_as_it_went_in(function: str, data: st.DataObject):
    body = data.draw(words_of(codec.ANSWERS[function]))
    request = codec.Request(USER, function, "r1", NOON, messages.PayAnswer())
    raw = codec.encode_answer(body, request=request, response_id="p1", at=NOON, keys=PLAIN)
    read = codec.decode_answer(raw, user_id=USER, function=function, keys=PLAIN)
    assert (read.body, read.request_id, read.response_id, read.accepted) == (body, "r1", "p1", True)


@pytest.mark.parametrize("kind", typing.get_args(messages.Notice))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_notice_comes_out_as_it_went_in(kind: type[Wire], data: st.DataObject):
    event = data.draw(words_of(kind))
    raw = codec.encode_notice(event, user_id=USER, number="n1", at=NOON, keys=PLAIN)
    read = codec.decode_notice(raw, KEYS_OF)
    assert (read.event, read.number, read.signed_at) == (event, "n1", NOON)


def _answer_text(function: str, body: dict[str, Any], code: str = "SUC0000") -> bytes:
    """A signed answer with any body, also one our own types would not write."""
    head = {"funcode": function, "userid": USER, "reqid": "r" * 20, "rspid": "p"}
    document = {"response": {"head": head | {"resultcode": code}, "body": body}}
    iv = envelope.padded(USER)
    return envelope.seal(document, iv=iv, identity=iv, at=NOON, keys=PLAIN)


def _read(raw: bytes, function: str = profile.PAY_QUERY) -> codec.Answer:
    return codec.decode_answer(raw, user_id=USER, function=function, keys=PLAIN)


RECORD = {"yurRef": "R1", "reqSts": "FIN", "rtnFlg": "S", "trsAmt": "1.00", "dbtAcc": "75590"}


def test_fields_the_bank_adds_are_ignored():
    body = {"bb1payqrz1": [RECORD | {"newFld": {"deep": [1, 2]}}], "bb1payqrz9": "news"}
    answer = _read(_answer_text(profile.PAY_QUERY, body))
    assert isinstance(answer.body, messages.PayQueryAnswer)
    assert answer.body.records[0].reference == "R1"


@pytest.mark.parametrize("missing", ["yurRef", "reqSts", "trsAmt", "dbtAcc"])
def test_a_missing_field_is_refused_by_its_path(missing: str):
    record = {name: value for name, value in RECORD.items() if name != missing}
    with pytest.raises(BadMessage, match=missing) as refused:
        _read(_answer_text(profile.PAY_QUERY, {"bb1payqrz1": [record]}))
    assert refused.value.code == "bank_direct.shape"


@pytest.mark.parametrize(
    "body",
    [
        {"bb1payqrz1": [RECORD | {"trsAmt": 1.0}]},
        {"bb1payqrz1": RECORD},
        {"bb1payqrz1": [None]},
        {"bb1payqrz1": "FIN"},
    ],
)
def test_a_field_of_another_type_is_refused(body: dict[str, Any]):
    with pytest.raises(BadMessage):
        _read(_answer_text(profile.PAY_QUERY, body))


def test_padding_spaces_of_the_bank_are_cut():
    record = {name: value + "   " for name, value in RECORD.items()}
    answer = _read(_answer_text(profile.PAY_QUERY, {"bb1payqrz1": [record]}))
    assert isinstance(answer.body, messages.PayQueryAnswer)
    assert answer.body.records[0].state == "FIN"


def test_an_answer_to_another_function_is_refused():
    with pytest.raises(BadMessage):
        _read(_answer_text(profile.PAY, {}), profile.PAY_QUERY)


def test_an_answer_with_an_error_code_has_no_body_to_believe():
    answer = _read(_answer_text(profile.PAY_QUERY, {"bb1payqrz1": "whatever"}, "CDC0099"))
    assert (answer.accepted, answer.body) == (False, None)


def test_a_notice_of_an_unknown_kind_is_refused():
    text = {"sigtim": "20261124120000", "sigdat": envelope.PLACEHOLDER, "nottyp": "YQSYSTEM"}
    text["notdat"] = '{"msgtyp":"MAINT","msgdat":{}}'
    data = envelope.seal_text(
        envelope.canonical(text), iv=b"", identity=b"1234567812345678", keys=PLAIN
    )
    raw = msgspec.json.encode({"corpNbr": USER, "enptData": data.decode()})
    with pytest.raises(BadMessage) as refused:
        codec.decode_notice(raw, KEYS_OF)
    assert refused.value.code == "bank_direct.unknown_notice"


def test_a_request_of_an_unknown_function_is_refused():
    iv = envelope.padded(USER)
    head = {"funcode": "BB9FREE", "userid": USER, "reqid": "r"}
    document = {"request": {"head": head, "body": {}}}
    data = envelope.seal(document, iv=iv, identity=iv, at=NOON, keys=PLAIN)
    with pytest.raises(BadMessage) as refused:
        codec.decode_request(envelope.write_form(envelope.Form(USER, "BB9FREE", data)), KEYS_OF)
    assert refused.value.code == "bank_direct.unknown_function"


def test_the_request_id_carries_time_and_reference():
    request_id = codec.pay_request_id(NOON.replace(microsecond=7_999), "20261124ABCDEFGHIJKL")
    assert request_id == "2026112412000000720261124ABCDEFGHIJKL"
    assert len(request_id) <= profile.CMB_CLOUD.request_id_length
    assert codec.reference_of(request_id) == "20261124ABCDEFGHIJKL"
    with pytest.raises(BadMessage):
        codec.reference_of("20261124120000007")


def test_every_function_has_a_name_in_both_languages_and_both_sides():
    assert codec.REQUESTS.keys() == codec.ANSWERS.keys() < profile.FUNCTIONS.keys()
    assert all(zh and en for zh, en in profile.FUNCTIONS.values())
    assert base64.b64decode(_answer_text(profile.PAY, {})).startswith(b'{"response":')
