"""Well-signed nonsense: a bank's own broken texts raise nothing but BadMessage or Unavailable.

Fuzzing the wire mostly ends at the cipher. Here the text is changed first, then signed and sealed
with the bank's keys, so that everything behind the signature is reached.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.rails.bank_direct.contract import Tools
from caiwutong.rails.bank_direct.styles.cmb import codec, envelope, profile, reports
from caiwutong.rails.bank_direct.styles.cmb.account_messages import StatementAnswer
from caiwutong.rails.bank_direct.styles.cmb.connector import CmbConnector, batch_number
from caiwutong.rails.contract import BadMessage, RailReport
from support.cmb_bank import BANK, HUB, NOON, LocalBank

USER = "N003261207"
LINE = {"transSequenceIdn": "L1", "transDate": "20261124", "transTime": "120000"}
BODIES: dict[str, dict[str, Any]] = {
    "BB1PAYOP": {"bb1payopz1": [{"reqNbr": "7", "reqSts": "NTE", "errCod": "SUC0000"}]},
    "BB1PAYBH": {"bb1paybhz1": [{"bthNbr": "B1", "reqSts": "OPR", "errCod": "SUC0000"}]},
    "BB1PAYQR": {
        "bb1payqrz1": [
            {"yurRef": "R1", "reqSts": "FIN", "rtnFlg": "S", "trsAmt": "1.00", "dbtAcc": "1"}
        ]
    },
    "BB1QRYBD": {
        "bb1qrybdz1": [
            {"bthNbr": "B1", "yurRef": "R1", "reqSts": "BNK", "trsAmt": "1.00", "dbtAcc": "1"}
        ]
    },
    "NTQADINF": {"ntqadinfz": [{"accnbr": "1", "onlblv": "1.00", "avlblv": "0.50"}]},
    "trsQryByBreakPoint": {
        "TRANSQUERYBYBREAKPOINT_Y1": [
            {"acctNbr": "1", "transDate": "20261124", "expectNextSequence": "2"}
        ],
        "TRANSQUERYBYBREAKPOINT_Z1": [{"ctnFlag": "N"}],
        "TRANSQUERYBYBREAKPOINT_Z2": [
            LINE | {"loanCode": "C", "transAmount": "1.00", "acctOnlineBal": "1.00"}
        ],
    },
}
WORDS = st.sampled_from(
    ["", " ", "FIN", "S", "-0.00", "1e9", "20260230", "99999999999999999", "\0"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def bent(data: st.DataObject, value: Any) -> Any:
    """The value with one thing inside it replaced, or left out."""
    if not isinstance(value, dict | list) or not value or data.draw(st.integers(0, 4)) == 0:
        return data.draw(ANYTHING)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = data.draw(st.sampled_from(keys))
    copy: Any = value.copy()
    if isinstance(copy, dict) and data.draw(st.integers(0, 5)) == 0:
        del copy[key]
    else:
        copy[key] = bent(data, copy[key])
    return copy


def answer(function: str, body: Any, request_id: str) -> dict[str, Any]:
    head = {
        "bizcode": "",
        "funcode": function,
        "userid": USER,
        "reqid": request_id,
        "rspid": "p",
        "resultcode": "SUC0000",
        "resultmsg": "",
    }
    return {"response": {"body": body, "head": head}}


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_bent_answer_is_read_or_refused_by_name(data: st.DataObject):
    function = data.draw(st.sampled_from(sorted(BODIES)))
    request_id = codec.pay_request_id(NOON, "R1")
    whole = bent(data, answer(function, BODIES[function], request_id))
    iv = envelope.padded(USER)
    document = whole if isinstance(whole, dict) else {"response": whole}
    raw = envelope.seal(document, iv=iv, identity=iv, at=NOON, keys=BANK)
    try:
        read = codec.decode_answer(raw, user_id=USER, function=function, keys=HUB)
        found: list[Any] = reports.reports_of_answer(read)
        found += reports.reports_of_batch(read, ["R1"]) if function == profile.PAY_BATCH else []
        found += [*reports.reports_of_lines(read), reports.report_of_query(read, "R1")]
        found += reports.balances_of(read)
        if isinstance(read.body, StatementAnswer):
            found += reports.lines_of(read.body, "1")
    except BadMessage as refused:
        assert refused.code.startswith("bank_direct.")
        return
    assert all(each.at.tzinfo is not None for each in found if isinstance(each, RailReport))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_bent_answer_to_a_batch_speaks_of_its_payments_only(data: st.DataObject):
    cmb = CmbConnector(
        LocalBank(USER, "308").connection(), Tools(ManualClock(NOON), SystemRandomness())
    )
    request_id = codec.pay_request_id(NOON, batch_number(["R1", "R2"]))
    body = bent(data, BODIES["BB1PAYBH"])
    iv = envelope.padded(USER)
    sealed = envelope.seal(
        answer("BB1PAYBH", body, request_id), iv=iv, identity=iv, at=NOON, keys=BANK
    )
    form = envelope.write_form(envelope.Form(USER, "BB1PAYBH", sealed))
    try:
        found = cmb.decode(b"?R1,R2\n" + form)
    except BadMessage:
        return
    assert [each.reference for each in found] == ["R1", "R2"]
    assert {each.kind.value for each in found} <= {"accepted", "in_doubt"}
