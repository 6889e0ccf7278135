"""Hypothesis strategies for every word of BEPS, and a fixed sample of each."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from caiwutong.rails.beps import messages as b
from caiwutong.rails.beps.shapes import BY_KIND
from caiwutong.rails.cnaps import messages as m
from support.ibps_words import (
    AT,
    PAYEE,
    PAYER,
    SPONSOR,
    account_numbers,
    accounts,
    days,
    ids,
    instants,
    lines,
    maybe,
    netted,
    originals,
    participants,
    positive,
    reasons,
    results,
    signed,
    statuses,
    texts,
)

QUESTION = "20261123QUERY0000001"
ORIGINAL = m.Original("20261123BATCH0000001", SPONSOR, "beps.121.001.01", "20261123ABCDEFGHIJKL")
BATCH_ORIGINAL = m.Original("20261123BATCH0000001", SPONSOR, "beps.121.001.01")
CREDIT = b.Credit("20261123ABCDEFGHIJKL", 1234_56, PAYER, PAYEE, purpose="货款")
RETURN = b.Credit(
    "RT2611230001", 99_00, PAYEE, PAYER, "A105", remark="退汇 账户信息有误", original=ORIGINAL
)

SAMPLE: dict[str, Any] = {
    "beps.121.001.01": b.CustomerCredits.of([CREDIT, RETURN]),
    "beps.122.001.01": b.InstitutionCredits.of([CREDIT]),
    "beps.123.001.01": b.RealTimeCredit(CREDIT),
    "beps.124.001.01": b.RealTimeAnswer(ORIGINAL, "PR09", 1234_56, reason="RJ02", words="户名不符"),
    "ccms.900.001.01": b.BatchConfirm(
        BATCH_ORIGINAL,
        "CB1I0000",
        "PR00",
        outcomes=(
            b.Outcome("20261123ABCDEFGHIJKL", "PR10"),
            b.Outcome("20261123ZZZZZZZZZZZZ", "PR09", "RJ01", "账号不存在"),
        ),
    ),
    "ccms.316.001.01": b.StatusPull((b.Asked("20261123ABCDEFGHIJKL"), b.Asked("X1"))),
    "ccms.317.001.01": b.StatusAnswer(
        QUESTION,
        SPONSOR,
        (
            b.Found("20261123ABCDEFGHIJKL", "CB1I0000", "PR03", "", AT, "202611231030"),
            b.Found("X1", "CB1O0404", words="无此业务"),
        ),
    ),
    "ibps.309.001.01": m.BalanceEnquiry(PAYER.account, PAYER.bank_code),
    "ibps.310.001.01": m.BalanceAnswer(
        QUESTION, PAYER.account, PAYER.bank_code, "CB1I0000", 5_00, 5_00, AT
    ),
    "ibps.311.001.01": m.DetailEnquiry(PAYER.account, PAYER.bank_code),
    "ibps.312.001.01": m.DetailAnswer(QUESTION, PAYER.account, PAYER.bank_code, "CB1I0000"),
    "ccms.303.001.01": m.FreeText("请核对昨日头寸", "对账"),
    "ccms.307.001.01": m.Revocation(ORIGINAL, "金额有误"),
    "ccms.308.001.01": m.RevocationAnswer(QUESTION, ORIGINAL, "PR09", "RJ90", "已轧差"),
    "ccms.314.001.01": m.Question(ORIGINAL, "请问该笔业务是否入账"),
    "ccms.315.001.01": m.QuestionAnswer(QUESTION, ORIGINAL, "已入账"),
    "ccms.318.001.01": m.ReturnRequest(ORIGINAL, 1234_56, "重复付款"),
    "ccms.319.001.01": m.ReturnAnswer(QUESTION, ORIGINAL, "PR10"),
    "saps.601.001.01": m.NettingNotice(
        "202611231030",
        AT,
        date(2026, 11, 23),
        -1234_56,
        (
            m.NettedPayment(
                "20261123BATCH0000001",
                SPONSOR,
                -1234_56,
                "beps.121.001.01",
                ORIGINAL.transaction_id,
            ),
        ),
    ),
    "saps.603.001.01": m.ClearingNotice("202611231030", AT, date(2026, 11, 23), 0, ()),
    "ccms.801.001.01": m.SystemDay(
        "BEPS", date(2026, 11, 22), date(2026, 11, 23), "10", AT, holiday=False
    ),
    "ccms.809.001.01": m.Outage("BEPS", AT, AT + timedelta(hours=8), "例行维护"),
    "ccms.926.001.01": m.LimitChange("BEPS", 1_000_000_00, AT),
    "ccms.911.001.01": m.Discard(BATCH_ORIGINAL, "CB1O0400"),
    "ccms.990.001.01": m.Acknowledgement(BATCH_ORIGINAL),
    "ccms.991.001.01": m.Probe(),
    "ccms.992.001.01": m.ProbeAnswer(QUESTION),
}
"""One sample of each message, by its type."""
assert SAMPLE.keys() == BY_KIND.keys()

credits_ = st.builds(
    b.Credit,
    ids,
    st.integers(0, 10**12),
    accounts,
    accounts,
    st.sampled_from(["A100", "A105", "C200"]),
    st.from_regex(r"[0-9]{5}", fullmatch=True),
    st.just("CNY"),
    maybe | texts(140),
    maybe | texts(280),
    st.none() | originals,
)
_many_credits = st.lists(
    credits_, min_size=1, max_size=4, unique_by=lambda each: each.transaction_id
)
_outcomes = st.builds(b.Outcome, ids, statuses, reasons, maybe | texts(280))
_asked = st.builds(b.Asked, ids)
_found = st.builds(
    b.Found,
    ids,
    results,
    maybe | statuses,
    reasons,
    st.none() | instants,
    maybe | ids,
    maybe | texts(280),
)
_system = st.sampled_from(["BEPS", "HVPS", "IBPS"])
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "account": account_numbers,
    "amount_fen": positive,
    "answers": ids,
    "at": instants,
    "available_fen": signed,
    "balance_fen": signed,
    "bank_code": participants,
    "bank_reference": maybe | texts(35).map(lambda text: text[:35].strip()).filter(bool),
    "clearing_day": days,
    "content": texts(280),
    "currency": st.just("CNY"),
    "cursor": maybe | texts(140),
    "day": days,
    "effective_from": instants,
    "effective_until": st.none() | instants,
    "holiday": st.booleans(),
    "limit": st.integers(1, 1000),
    "lines": st.lists(lines, max_size=3).map(tuple),
    "more": st.booleans(),
    "net_fen": signed,
    "original": originals,
    "outcomes": st.lists(_outcomes, max_size=4).map(tuple),
    "payment": credits_,
    "payments": st.lists(netted, max_size=4).map(tuple),
    "previous_day": days,
    "reason": reasons,
    "result": results,
    "round_id": ids,
    "sender": participants,
    "status": statuses,
    "system": _system,
    "title": maybe | texts(60),
    "words": maybe | texts(280),
}
_BY_WORD: dict[tuple[Any, str], st.SearchStrategy[Any]] = {
    (m.BalanceAnswer, "at"): st.none() | instants,
    (m.SystemDay, "status"): st.sampled_from(["00", "10", "50"]),
    (b.StatusPull, "payments"): st.lists(_asked, min_size=1, max_size=4).map(tuple),
    (b.StatusAnswer, "payments"): st.lists(_found, min_size=1, max_size=4).map(tuple),
}


def word_of(kind: str) -> st.SearchStrategy[Any]:
    """Any message of this type that can travel."""
    word = BY_KIND[kind].word
    if word in (b.CustomerCredits, b.InstitutionCredits):
        return _many_credits.map(word.of)
    return st.builds(
        word,
        **{name: _BY_WORD.get((word, name), _FIELDS.get(name)) for name in word.__struct_fields__},
    )
