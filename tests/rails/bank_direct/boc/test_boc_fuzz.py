"""Well-signed nonsense: the bank itself may write anything, and nothing but BadMessage comes of
it, nor ever a payment that is not ours."""

from __future__ import annotations

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.rails.bank_direct import sent
from caiwutong.rails.bank_direct.contract import Tools
from caiwutong.rails.bank_direct.styles.boc import codec, envelope
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc.connector import BocConnector
from caiwutong.rails.bank_direct.styles.boc.reports import (
    balances_of,
    lines_of,
    report_of_status,
    reports_of_notice,
)
from caiwutong.rails.contract import BadMessage, ReportKind
from rails.bank_direct.boc.test_boc_codec import WORDS, head
from support.boc_bank import BANK, NOON, ScriptedBank, attempt

PAYMENT = attempt("20261124ABCDEFGHIJKL")
DIGITS = st.text("0123456789", min_size=1, max_size=16)
FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def connector() -> BocConnector:
    connection = ScriptedBank().connection(url="http://127.0.0.1:9/")
    return BocConnector(connection, Tools(ManualClock(NOON), SystemRandomness()))


def nonsense(data: st.DataObject, name: str, message_id: str = "M1") -> bytes:
    """A document of this kind with other digits and pieces in it."""
    raw = codec.encode(head(WORDS[name], message_id), WORDS[name])
    start = raw.index(b"<trans>")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(start, max(start, len(raw) - 1)))
        piece = data.draw(DIGITS.map(str.encode) | st.binary(max_size=4))
        raw = raw[:at] + piece + raw[at + data.draw(st.integers(0, 12)) :]
    return raw


CONNECTOR = connector()


@FUZZ
@given(st.data(), st.sampled_from(["b2e0009-rs", "b2eerror-rs", "b2e0007-rs"]))
def test_an_answer_to_a_payment(data: st.DataObject, name: str) -> None:
    [message] = CONNECTOR.encode_many([PAYMENT])
    raw = envelope.sealed(nonsense(data, name, message.message_id), BANK.signer)
    with contextlib.suppress(BadMessage):
        for report in CONNECTOR.decode(sent.joined(message, raw)):
            assert report.reference == PAYMENT.reference
            assert report.kind in (ReportKind.ACCEPTED, ReportKind.IN_DOUBT, ReportKind.REJECTED)


@FUZZ
@given(st.data())
def test_a_notice(data: st.DataObject) -> None:
    raw = envelope.sealed(nonsense(data, "b2e0007-nt"), BANK.signer)
    with contextlib.suppress(BadMessage):
        assert all(each.reference for each in CONNECTOR.decode(raw))


@FUZZ
@given(st.data(), st.sampled_from(["b2e0007-rs", "b2eerror-rs", "b2e0035-rs", "b2e0005-rs"]))
def test_an_answer_to_a_question(data: st.DataObject, name: str) -> None:
    with contextlib.suppress(BadMessage):
        document = codec.decode(nonsense(data, name))
        match document.body:
            case m.StatementAnswer():
                lines_of(document.body, "10390001200001")
            case m.BalancesAnswer():
                balances_of(document.body, ["10390001200001"])
            case m.StatusNotice():
                reports_of_notice(document)
            case _:
                report = report_of_status(document, PAYMENT)
                assert report.reference == PAYMENT.reference
                assert report.amount_fen in (None, PAYMENT.amount_fen)
