"""Well-signed nonsense: a bank's own broken documents raise nothing but BadMessage.

The shared suite's fuzz mostly ends at the signature. Here the document is changed first and signed
by the bank afterwards, so that everything behind the signature is reached.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rails.bank_direct.icbc.test_icbc_codec import ANSWERS, THEIRS, pub
from tests.rails.bank_direct.icbc.test_icbc_connector import connector

from caiwutong.rails.bank_direct.styles.icbc import codec, envelope, reports
from caiwutong.rails.bank_direct.styles.icbc import messages as m
from caiwutong.rails.contract import BadMessage, RailReport, ReportKind

DOCUMENTS = {
    name: codec.encode_answer(pub(name, "0"), body, "GB18030") for name, body in ANSWERS.items()
}
_TEXT = re.compile(rb">([^<]+)<")
_ELEMENT = re.compile(rb"<([A-Za-z]+)>[^<]*</\1>")
VALUES = st.one_of(
    st.sampled_from(
        [
            b"",
            b" ",
            b"0",
            b"-1",
            b"1e9",
            b"99999999999999999999",
            b"7 ",
            b"20260230",
            b"&#0;",
            b"\n",
        ]
    ),
    st.text(max_size=12).map(lambda text: text.encode("gb18030", "ignore").replace(b"<", b"")),
    st.binary(max_size=6),
)


def bent(data: st.DataObject, document: bytes) -> bytes:
    """The document with one thing wrong: a value, an element gone, doubled or cut, or bytes."""
    match data.draw(st.sampled_from(["value", "gone", "twice", "bytes"])):
        case "value":
            place = data.draw(st.sampled_from(list(_TEXT.finditer(document))))
            return document[: place.start(1)] + data.draw(VALUES) + document[place.end(1) :]
        case "gone":
            place = data.draw(st.sampled_from(list(_ELEMENT.finditer(document))))
            return document[: place.start()] + document[place.end() :]
        case "twice":
            place = data.draw(st.sampled_from(list(_ELEMENT.finditer(document))))
            return document[: place.end()] + place[0] + document[place.end() :]
        case _:
            at = data.draw(st.integers(0, len(document)))
            skip = data.draw(st.integers(0, 12))
            return document[:at] + data.draw(st.binary(max_size=8)) + document[at + skip :]


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_a_bent_document_is_read_or_refused_by_name(data: st.DataObject):
    name = data.draw(st.sampled_from(sorted(DOCUMENTS)))
    try:
        document = codec.decode_answer(bent(data, DOCUMENTS[name]))
        body: Any = document.body
        found: list[Any] = [reports.report_of(document, "20261124R1")]
        if isinstance(body, m.Notice):
            found += reports.reports_of_notice(document)
        found += reports.returned_of(document)
        found += reports.balances_of(document)
        if isinstance(body, m.StatementAnswer):
            found += reports.lines_of(body)
    except BadMessage as refused:
        assert refused.code.split(".")[0] in ("bank_direct", "xml")
        return
    for each in found:
        if isinstance(each, RailReport):
            assert each.kind in ReportKind and each.at.tzinfo is not None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_well_signed_bent_answer_never_ends_a_payment_it_does_not_name(data: st.DataObject):
    bank = connector()
    document = DOCUMENTS["PAYENT"].replace(b"<fSeqno>P1<", b"<fSeqno>20261124R2<")
    document = document.replace(b"<CIS>C1<", b"<CIS>N102000001<")
    raw = envelope.sealed(bent(data, document), THEIRS.signer)
    try:
        found = bank.decode(b"?20261124R2 20261124R2\n" + raw)
    except BadMessage:
        return
    # The document speaks of R1; whatever else is wrong with it, of R2 it says nothing.
    assert [each.reference for each in found] == ["20261124R2"]
    assert found[0].kind in (ReportKind.IN_DOUBT, ReportKind.ACCEPTED) or (
        b"20261124R2</iSeqno>" in raw
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_only_a_notice_may_be_posted(name: str):
    document = DOCUMENTS[name].replace(b"<CIS>C1<", b"<CIS>N102000001<")
    raw = envelope.sealed(document, THEIRS.signer)
    if name == "PAYNOTIFY":
        [report] = connector().decode(raw)
        assert report.kind is ReportKind.SETTLED
    else:
        with pytest.raises(BadMessage):
            connector().decode(raw)
