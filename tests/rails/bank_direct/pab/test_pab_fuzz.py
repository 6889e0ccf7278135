"""Well-signed nonsense: the bank itself may write anything, and nothing but BadMessage comes of
it, nor ever a payment that is not ours."""

from __future__ import annotations

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caiwutong.rails.bank_direct import sent
from caiwutong.rails.bank_direct.styles.pab import codec, envelope, profile
from caiwutong.rails.bank_direct.styles.pab import messages as m
from caiwutong.rails.bank_direct.styles.pab.reports import balance_of, lines_of, report_of_status
from caiwutong.rails.contract import BadMessage, ReportKind
from rails.bank_direct.pab.test_pab_reports import connector
from support.pab_words import BANK, HUB, WORDS, attempt, head

PAYMENT = attempt()
CONNECTOR = connector()
DIGITS = st.text("0123456789", min_size=1, max_size=16)
CODES = st.sampled_from([profile.OK, profile.NO_RECORD, profile.DUPLICATE, "", "YQ9999"])
FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def nonsense(data: st.DataObject, name: str, message_id: str = "M1") -> bytes:
    """A frame of this kind with other digits and pieces in its body, well signed."""
    function = name.partition("-")[0]
    told = head(function, message_id=message_id, code=data.draw(CODES))
    _, raw = envelope.opened(codec.encode(head(function), WORDS[name], BANK.signer), HUB.verifier)
    start = raw.index(b"<Result>")
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(start, max(start, len(raw) - 1)))
        piece = data.draw(DIGITS.map(str.encode) | st.binary(max_size=4))
        raw = raw[:at] + piece + raw[at + data.draw(st.integers(0, 12)) :]
    return envelope.sealed(told, raw, BANK.signer)


@FUZZ
@given(st.data(), st.integers(1, 3))
def test_an_answer_to_a_payment(data: st.DataObject, count: int) -> None:
    attempts = [PAYMENT, *(attempt(f"R{n}") for n in range(1, count))]
    [message] = CONNECTOR.encode_many(attempts)
    name = "4018-rs" if count > 1 else "4004-rs"
    raw = nonsense(data, name, message.message_id)
    with contextlib.suppress(BadMessage):
        reports = CONNECTOR.decode(sent.joined(message, raw))
        assert [each.reference for each in reports] == [each.reference for each in attempts]
        assert {each.kind for each in reports} <= {ReportKind.ACCEPTED, ReportKind.IN_DOUBT}


@FUZZ
@given(st.data(), st.sampled_from(["4005-rs", "4013-rs", "4001-rs"]))
def test_an_answer_to_a_question(data: st.DataObject, name: str) -> None:
    with contextlib.suppress(BadMessage):
        frame = codec.decode(nonsense(data, name), HUB.verifier)
        if name == "4001-rs":
            balance_of(frame, "11007187041901")
        elif isinstance(frame.body, m.StatementAnswer):
            lines_of(frame.body, "11007187041901")
        else:
            report = report_of_status(frame, PAYMENT)
            assert report.reference == PAYMENT.reference
            assert report.amount_fen in (None, PAYMENT.amount_fen)
