"""A request, its answer and a notice come out of the wire as they went in, with real keys."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.rails.bank_direct.styles.cmb import codec, profile
from caiwutong.rails.bank_direct.styles.cmb.keys import load_keys
from caiwutong.rails.bank_direct.styles.cmb.messages import (
    PayAnswer,
    PayDetail,
    PaymentFinished,
    PaymentRecord,
    PayMode,
    PayOutcome,
    PayRequest,
)
from caiwutong.rails.bank_direct.styles.cmb.reports import reports_of_answer, reports_of_notice
from caiwutong.rails.contract import BadMessage, ReportKind

USER = "N003261207"
AT = datetime(2026, 11, 24, 2, 30, 0, 123_000, tzinfo=UTC)
HUB_KEY = Sm2PrivateKey.from_hex("11" * 32)
BANK_KEY = Sm2PrivateKey.from_hex("22" * 32)
SHARED = "0123456789abcdeffedcba9876543210"
HUB = load_keys(HUB_KEY.to_hex(), BANK_KEY.public.to_hex(), SHARED)
BANK = load_keys(BANK_KEY.to_hex(), HUB_KEY.public.to_hex(), SHARED)
PAY = PayRequest(
    modes=(PayMode(mode="00001", business="N02030"),),
    payments=(
        PayDetail(
            payer_account="755915671610302",
            payee_account="6214850001234567",
            payee_name="深圳市示例科技有限公司",
            currency="10",
            amount="1234.56",
            in_bank="N",
            purpose="货款",
            reference="20261124ABCDEFGHIJKL",
        ),
    ),
)


def _request() -> codec.Request:
    raw = codec.encode_request(
        PAY,
        user_id=USER,
        request_id=codec.pay_request_id(AT, PAY.payments[0].reference),
        at=AT,
        keys=HUB,
    )
    return codec.decode_request(raw, {USER: BANK}.get, now=AT)


def test_a_payment_reaches_the_bank_as_it_was_written():
    request = _request()
    assert request.function == profile.PAY
    assert request.body == PAY
    assert codec.reference_of(request.request_id) == "20261124ABCDEFGHIJKL"


def test_received_is_not_paid():
    answer = codec.encode_answer(
        PayAnswer(outcomes=(PayOutcome(bank_reference="1028462934", state="NTE"),)),
        request=_request(),
        response_id="rsp-1",
        at=AT,
        keys=BANK,
    )
    [report] = reports_of_answer(
        codec.decode_answer(answer, user_id=USER, function=profile.PAY, keys=HUB)
    )
    assert report.kind is ReportKind.ACCEPTED
    assert report.reference == "20261124ABCDEFGHIJKL"
    assert report.bank_reference == "1028462934"


def test_a_notice_of_the_bank_settles():
    record = PaymentRecord(
        reference="20261124ABCDEFGHIJKL",
        state="FIN",
        flag="S",
        amount="1234.56",
        payer_account="755915671610302",
    )
    raw = codec.encode_notice(
        PaymentFinished(record=record), user_id=USER, number="9", at=AT, keys=BANK
    )
    [report] = reports_of_notice(codec.decode_notice(raw, {USER: HUB}.get))
    assert (report.kind, report.code, report.amount_fen) == (
        ReportKind.SETTLED,
        "FIN/S",
        123_456,
    )


def test_a_message_signed_by_another_key_is_refused():
    stranger = load_keys("33" * 32, BANK_KEY.public.to_hex(), SHARED)
    raw = codec.encode_request(PAY, user_id=USER, request_id="r", at=AT, keys=stranger)
    with pytest.raises(BadMessage) as refused:
        codec.decode_request(raw, {USER: BANK}.get, now=AT)
    assert refused.value.code == "bank_direct.signature"
