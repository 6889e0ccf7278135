"""Documents of the token-session style: out as they went in, by their schemas, believed only when
signed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from caiwutong.kernel.errors import Refused
from caiwutong.rails import xml
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.styles.boc import codec, envelope
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc.connector import order_of
from caiwutong.rails.contract import BadMessage
from support.boc_bank import BANK, HUB, STAMP, STRANGER, attempt, status_of

HEAD = {"terminal": "E103000001", "customer": "80000001", "operator": "90000001"}
OK = m.Status(code="B001", words="交易成功")
PAYMENT = attempt("20261124ABCDEFGHIJKL")
ACCOUNT = m.AccountAt(bank="103301091025", account="10390001200001", currency="CNY", name="甲公司")
ENTRY = m.Entry(
    counterparty=m.Counterparty(bank="102100099996", account="62220210", name="乙<&>公司"),
    line_id="10390001200001-7",
    reference="20261124ABCDEFGHIJKL",
    day="20261124",
    time="120001",
    amount="100.00",
    balance_after="-5.20",
    words="货款",
    kind="ZZ",
    currency="CNY",
    direction="1",
    value_day="20261124",
)
WORDS: dict[str, Word] = {
    "b2e0001-rq": m.SignInRequest(sign_in=m.SignIn(at=STAMP, proof="ab" * 32)),
    "b2e0001-rs": m.SignInAnswer(status=OK, at=STAMP, token="Token_1-x"),
    "b2e0005-rq": m.BalancesRequest(
        queries=(m.BalanceQuery(account=m.AccountAt(account="10390001200001")),)
    ),
    "b2e0005-rs": m.BalancesAnswer(
        status=OK,
        balances=(
            m.Balance(
                status=OK,
                account=ACCOUNT,
                balance=m.Amounts(booked="12.00", available="10.00", stopped="2.00"),
                at="20261124",
            ),
            m.Balance(status=m.Status(code="B099", words="无权"), account=ACCOUNT),
        ),
        at=STAMP,
    ),
    "b2e0007-rq": m.StatusRequest(queries=(m.StatusQuery(reference="R1"),)),
    "b2e0007-rs": m.StatusAnswer(status=OK, payments=(status_of(PAYMENT, "B054"),), at=STAMP),
    "b2e0007-nt": m.StatusNotice(payments=(status_of(PAYMENT, "B001"),), at=STAMP),
    "b2e0009-rq": m.PayRequest(orders=(order_of(PAYMENT), order_of(attempt("R2", 1)))),
    "b2e0009-rs": m.PayAnswer(
        status=OK, orders=(m.OrderStatus(status=OK, reference="R1", bank_reference="O1"),), at=STAMP
    ),
    "b2e0035-rq": m.StatementRequest(
        query=m.StatementQuery(
            account="10390001200001",
            days=m.Days(first="20261101", last="20261124"),
            first_line="1",
            lines="100",
        )
    ),
    "b2e0035-rs": m.StatementAnswer(status=OK, total="1", count="1", entries=(ENTRY,), at=STAMP),
    "b2e0500-rq": m.ReceiptRequest(
        query=m.ReceiptQuery(account="10390001200001", day="20261124", line_id="10390001200001-7")
    ),
    "b2e0500-rs": m.ReceiptAnswer(
        status=OK,
        receipt=m.ReceiptFile(line_id="1-7", receipt_id="R9", document="JVBERg=="),
        at=STAMP,
    ),
    "b2eerror-rs": m.ErrorAnswer(status=m.Status(code="B070"), at=STAMP),
}


def head(body: Word, message_id: str = "M1") -> m.Head:
    return m.Head(**HEAD, message_id=message_id, function=codec.function_of(body))


def test_every_message_has_a_sample_here() -> None:
    assert set(WORDS) == set(codec.MESSAGES)


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("forgiving", [True, False])
def test_a_message_comes_out_as_it_went_in(name: str, forgiving: bool) -> None:
    body = WORDS[name]
    read = codec.decode(codec.encode(head(body), body), forgiving=forgiving)
    assert read == codec.Document(head(body), body)


def test_an_element_the_bank_adds_tomorrow_is_forgotten_by_the_hub_and_refused_by_the_bank() -> (
    None
):
    body = WORDS["b2e0007-rs"]
    raw = codec.encode(head(body), body)
    grown = raw.replace(b"<insid>", b"<newthing><x>1</x></newthing><insid>")
    assert codec.decode(grown).body == body
    with pytest.raises(BadMessage, match="does not fit"):
        codec.decode(grown, forgiving=False)


def test_an_empty_element_that_might_be_missing_is_missing() -> None:
    body = WORDS["b2e0007-rs"]
    raw = codec.encode(head(body), body).replace(b"<obssid>OB1</obssid>", b"<obssid> </obssid>")
    read = codec.decode(raw).body
    assert isinstance(read, m.StatusAnswer) and read.payments[0].bank_reference == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<trnamt>100.00<", b"<trnamt>100.000<"),
        (b"<trnamt>100.00<", b"<trnamt>1e2<"),
        (b"<trnamt>100.00<", b"<trnamt>-100.00<"),
        (b"<trncur>CNY<", b"<trncur>USD<"),
        (b"<trfdate>20261124<", b"<trfdate>2026-11-24<"),
        (b"<insid>20261124ABCDEFGHIJKL<", b"<insid><"),
        (b"<toname>", b"<toname><b/>"),
        (b"</bocb2e>", b"<trans/></bocb2e>"),
        (b"<trncod>b2e0009<", b"<trncod>b2e0007<"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused(old: bytes, new: bytes) -> None:
    body = WORDS["b2e0009-rq"]
    raw = codec.encode(head(body), body)
    assert old in raw
    with pytest.raises(BadMessage):
        codec.decode(raw.replace(old, new, 1), forgiving=False)


@pytest.mark.parametrize("name", ["甲\x00公司", "甲\x1b公司", "甲" * 101, " ", "\ud800"])
def test_a_name_that_cannot_travel_is_refused_before_anything_is_sent(name: str) -> None:
    order = m.PayTo(account="62220210", name=name)
    body = m.PayRequest(orders=(replace(order_of(PAYMENT), payee=order),))
    with pytest.raises(Refused) as refusal:
        codec.encode(head(body), body)
    assert refusal.value.code == "bank_direct.does_not_fit"


def test_the_token_is_put_in_when_the_order_is_sent() -> None:
    body = WORDS["b2e0009-rq"]
    document = codec.encode(head(body), body)
    assert b"token" not in document
    frame = envelope.sealed(document, HUB.signer, token="T-1_x")
    read = codec.decode(envelope.opened(frame, BANK.verifier), forgiving=False)
    assert read.head.token == "T-1_x" and read.body == body


def test_no_byte_of_a_frame_can_be_changed_unnoticed() -> None:
    body = WORDS["b2e0007-rs"]
    frame = envelope.sealed(codec.encode(head(body), body), BANK.signer)
    assert codec.decode(envelope.opened(frame, HUB.verifier)).body == body
    for at in range(0, len(frame), 7):
        changed = frame[:at] + bytes((frame[at] ^ 1,)) + frame[at + 1 :]
        with pytest.raises(BadMessage):
            codec.decode(envelope.opened(changed, HUB.verifier))
    with pytest.raises(BadMessage, match="signature"):
        envelope.opened(envelope.sealed(b"<x/>", STRANGER.signer), HUB.verifier)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_bytes_of_a_stranger_raise_nothing_but_bad_message(raw: bytes) -> None:
    frame = envelope.MARK + b"A" * 88 + b"\n" + raw
    for each in (raw, frame):
        with pytest.raises(BadMessage):
            envelope.opened(each, HUB.verifier)
    with pytest.raises(BadMessage):
        codec.decode(raw)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(WORDS)), st.data())
def test_a_mangled_document_raises_nothing_but_bad_message(name: str, data: st.DataObject) -> None:
    raw = bytearray(codec.encode(head(WORDS[name]), WORDS[name]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=4))
    with contextlib.suppress(BadMessage):
        codec.decode(bytes(raw))


def test_a_document_with_an_entity_or_a_comment_is_refused() -> None:
    raw = codec.encode(head(WORDS["b2e0007-rq"]), WORDS["b2e0007-rq"])
    hostile = raw.replace(b"?>", b'?><!DOCTYPE x [<!ENTITY a "b">]>', 1)
    for each in (hostile, raw.replace(b"<trans>", b"<trans><!-- x -->")):
        with pytest.raises(BadMessage):
            codec.decode(each)
    assert xml.parse(raw).tag == "bocb2e"
