"""Documents of the ICBC style: round trips in both character sets, and what is not read."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.signing import load_keys
from caiwutong.rails.bank_direct.styles.icbc import codec, envelope, profile
from caiwutong.rails.bank_direct.styles.icbc import messages as m
from caiwutong.rails.contract import BadMessage

HUB, BANK = (Sm2PrivateKey.from_hex(digit * 64) for digit in "12")
OURS = load_keys(HUB.to_hex(), BANK.public.to_hex())
THEIRS = load_keys(BANK.to_hex(), HUB.public.to_hex())

ORDER = m.Order(
    reference="20261124R1",
    pay_type="2",
    payer_account="10290010000417",
    payer_name="华东示例集团有限公司",
    payee_account="6222021001116245000",
    payee_name="上海（自贸区）恒瑞 & <建材> 有限公司",
    scope="2",
    payee_bank_code="103100000018",
    payee_bank_name="国丰银行",
    currency="001",
    amount="123456",
    purpose="货款",
)
OUTCOME = m.Outcome(
    reference="20261124R1",
    bank_reference="0000000001",
    amount="123456",
    result="7",
    code="0",
    text="处理成功",
)
ENTRY = m.Entry(
    line_id="A-7",
    side="1",
    amount="123456",
    balance_after="-5",
    day="20261124",
    time="120000",
    kind="PAY",
    reference="20261124R1",
    counterparty_name="某某",
)

REQUESTS: list[Word] = [
    m.PayRequest(
        online="1",
        settle_mode="0",
        count="2",
        total="246912",
        signed_at="20261124120000000",
        orders=(ORDER, msgspec.structs.replace(ORDER, reference="20261124R2", remark="附言")),
    ),
    m.PayQueryRequest(package="P1", queries=(m.PayQuery(row="1", reference="R1"),)),
    m.BalancesRequest(count="1", queries=(m.BalanceQuery(row="1", account="A", currency="001"),)),
    m.StatementRequest(account="A", from_day="20261101", to_day="20261124", next_tag="100"),
    m.ReturnsRequest(account="A", from_day="20261101", to_day="20261124"),
    m.ReceiptRequest(account="A", line_id="A-7"),
]
ANSWERS: dict[str, Word] = {
    "PAYENT": m.PayAnswer(outcomes=(OUTCOME,)),
    "QPAYENT": m.PayQueryAnswer(outcomes=(OUTCOME, OUTCOME)),
    "QACCBAL": m.BalancesAnswer(
        balances=(m.Balance(account="A", currency="001", balance="-7", usable="0", code="0"),)
    ),
    "QHISD": m.StatementAnswer(account="A", next_tag="100", entries=(ENTRY,)),
    "QPAYRET": m.ReturnsAnswer(outcomes=(msgspec.structs.replace(OUTCOME, result="99"),)),
    "QRECEIPT": m.ReceiptAnswer(check_code="AB12", receipt_id="R1", document="JVBERi0="),
    "PAYNOTIFY": m.Notice(outcomes=(OUTCOME,)),
}


def pub(transaction: str, code: str = "") -> m.Pub:
    return m.Pub(
        transaction=transaction,
        customer="C1",
        bank="102",
        user="C1.c.0200",
        day="20261124",
        time="120000000",
        package="P1",
        code=code,
        text="错误" if code not in ("", "0") else "",
    )


@pytest.mark.parametrize("charset", profile.CHARSETS)
@pytest.mark.parametrize("body", REQUESTS, ids=lambda body: type(body).__name__)
def test_every_request_is_read_as_it_was_written(body: Word, charset: str):
    head = pub(codec.transaction_of(body))
    raw = codec.encode_request(head, body, charset)
    assert raw.startswith(f'<?xml version="1.0" encoding="{charset}"?>'.encode())
    raw.decode(charset)
    assert codec.decode_request(raw) == codec.Document(head, body)


@pytest.mark.parametrize("charset", profile.CHARSETS)
@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_is_read_as_it_was_written(name: str, charset: str):
    head = pub(name, "0")
    raw = codec.encode_answer(head, ANSWERS[name], charset)
    assert codec.decode_answer(raw) == codec.Document(head, ANSWERS[name])


def test_there_is_a_sample_and_a_schema_for_every_transaction():
    assert {codec.transaction_of(body) for body in REQUESTS} == set(codec.REQUESTS)
    assert set(ANSWERS) == set(codec.ANSWERS)
    names = {path.stem for path in codec.SCHEMAS.glob("*.xsd")}
    wanted = {f"{name.lower()}-in" for name in codec.REQUESTS}
    wanted |= {f"{name.lower()}-out" for name in codec.ANSWERS}
    assert names == wanted | {"refusal-out", "types"}


def test_a_refusal_has_only_a_head_whatever_else_stands_in_it():
    raw = codec.encode_answer(pub("PAYENT", "0"), ANSWERS["PAYENT"], "GBK")
    refused = raw.replace(b"<RetCode>0</RetCode>", b"<RetCode>B0001</RetCode>")
    document = codec.decode_answer(refused)
    assert isinstance(document.body, m.Refusal) and document.pub.code == "B0001"


def test_elements_a_bank_adds_are_forgotten_and_ours_are_never_doubled():
    raw = codec.encode_answer(pub("PAYENT", "0"), ANSWERS["PAYENT"], "GBK")
    more = raw.replace(b"</fSeqno>", b"</fSeqno><News>1</News>").replace(
        b"</rd>", b"<Rem1>x</Rem1></rd>"
    )
    assert codec.decode_answer(more).body == ANSWERS["PAYENT"]
    twice = raw.replace(b"<Result>7</Result>", b"<Result>6</Result><Result>7</Result>")
    with pytest.raises(BadMessage):
        codec.decode_answer(twice)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<PayAmt>123456</PayAmt>", b"<PayAmt>1234.56</PayAmt>"),
        (b"<PayAmt>123456</PayAmt>", b"<PayAmt>-1</PayAmt>"),
        (b"<PayAmt>123456</PayAmt>", b"<PayAmt>1e9</PayAmt>"),
        (b"<iSeqno>20261124R1</iSeqno>", b""),
        (b"<TransCode>PAYENT</TransCode>", b"<TransCode>OTHER</TransCode>"),
        (b"</eb></CMS>", b"</eb><eb/></CMS>"),
        (b"<CMS>", b"<!DOCTYPE x><CMS>"),
        (b'encoding="GBK"', b'encoding="UTF-7"'),
    ],
)
def test_a_document_that_is_not_as_its_schema_says_is_refused(old: bytes, new: bytes):
    raw = codec.encode_answer(pub("PAYENT", "0"), ANSWERS["PAYENT"], "GBK")
    assert old in raw
    with pytest.raises(BadMessage):
        codec.decode_answer(raw.replace(old, new))


def test_a_bank_takes_no_element_it_does_not_know():
    raw = codec.encode_request(pub("PAYENT"), REQUESTS[0], "GBK")
    with pytest.raises(BadMessage):
        codec.decode_request(raw.replace(b"</rd>", b"<Rem1>x</Rem1></rd>"))


# ---- the character set


def test_every_sign_of_gbk_is_read_back_as_itself_and_every_other_is_refused():
    held = 0
    for number in (*range(0x20, 0x7F), *range(0xA1, 0xD800), *range(0xE000, 0x30000)):
        sign = chr(number)
        try:
            raw = envelope.encoded(sign, "GBK")
        except Refused as refused:
            assert f"U+{number:04X}" in refused.detail and "GB18030" in refused.cure
            assert envelope.encoded(sign, "GB18030").decode("gb18030") == sign
        else:
            assert raw.decode("gb18030") == sign
            held += 1
    assert held > 21_000, "GBK has 21,003 Chinese signs"


@given(st.text(max_size=30), st.integers(0, 40))
def test_a_text_that_may_be_cut_always_fits(text: str, most: int):
    for charset in profile.CHARSETS:
        fitted = envelope.fitting(text, charset, most)
        assert len(envelope.encoded(fitted, charset)) <= most
        assert all(sign in text or sign == "?" for sign in fitted)


# ---- the form


def test_the_form_says_what_the_document_says_and_carries_its_signature():
    document = codec.encode_request(pub("PAYENT"), REQUESTS[0], "GB18030")
    form = envelope.Form("PAYENT", "C1", "C1.c.0200", "P1")
    raw = envelope.sealed(document, OURS.signer, form)
    assert re.match(rb"Version=0\.0\.1\.0&TransCode=PAYENT&BankCode=102&GroupCIS=C1&ID=", raw)
    assert envelope.opened_request(raw, THEIRS.verifier) == (form, document)
    with pytest.raises(BadMessage) as refused:
        envelope.opened_request(raw, OURS.verifier)
    assert refused.value.code == "bank_direct.signature"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"Sign=&reqData=",
        b"Sign=a&Sign=b&reqData=c",
        b"reqData=PENNUz4=",
        b"Sign=x&reqData=PENNUz4=&More=1",
        b"\xff=1",
        "Sign=名&reqData=名".encode(),
        b"Sign=%E5%90%8D&reqData=PENNUz4%3D",
    ],
)
def test_a_form_that_is_none_is_refused(raw: bytes):
    with pytest.raises(BadMessage):
        envelope.opened(raw, OURS.verifier)
