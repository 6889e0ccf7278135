"""Hypothesis strategies for every IBPS word, and a few fixed samples."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from caiwutong.rails.contract import AccountAtBank
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps.shapes import BY_KIND, LINE_KINDS

SPONSOR = "313290000017"
CENTRE = "999900000012"
AT = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
PAYER = AccountAtBank("上海甲乙&丙有限公司（集团）", "31001234560000417", "313290000017", "甲银行")
PAYEE = AccountAtBank("ＡＢＣ供应链<华东>有限公司", "6222021234567890123", "102290012345")
ORIGINAL = m.Original("20261123ABCDEFGHIJKL", SPONSOR, "ibps.101.001.01")

SAMPLE: dict[str, m.Message] = {
    "ibps.101.001.01": m.CreditTransfer(
        1234_56, PAYER, PAYEE, purpose="货款", remark='合同 "2026-001" & 附件'
    ),
    "ibps.102.001.01": m.CreditAnswer(ORIGINAL, "PR09", 1234_56, reason="RJ02", words="户名不符"),
    "ibps.305.001.01": m.Enquiry(ORIGINAL),
    "ibps.306.001.01": m.EnquiryAnswer(
        "20261123QUERY0000001", ORIGINAL, "IB1I0000", "PR03", "", "", AT, "2026112307"
    ),
    "ibps.307.001.01": m.Revocation(ORIGINAL, "金额有误"),
    "ibps.308.001.01": m.RevocationAnswer("20261123QUERY0000001", ORIGINAL, "PR08"),
    "ibps.309.001.01": m.BalanceEnquiry(PAYER.account, PAYER.bank_code),
    "ibps.310.001.01": m.BalanceAnswer(
        "20261123QUERY0000001", PAYER.account, PAYER.bank_code, "IB1I0000", -5_00, 995_00, AT
    ),
    "ibps.311.001.01": m.DetailEnquiry(PAYER.account, PAYER.bank_code, "17", 50),
    "ibps.312.001.01": m.DetailAnswer(
        "20261123QUERY0000001",
        PAYER.account,
        PAYER.bank_code,
        "IB1I0000",
        "19",
        True,
        (
            m.DetailLine(
                "18", AT, date(2026, 11, 23), -1234_56, 100_00, "payment", ORIGINAL.message_id
            ),
            m.DetailLine("19", AT, date(2026, 11, 23), 7_00, 107_00, "incoming", "", "甲", "62"),
        ),
    ),
    "ibps.909.001.01": m.LimitChange("IBPS", 1_000_000_00, AT),
    "ccms.318.001.01": m.ReturnRequest(ORIGINAL, 1234_56, "重复付款"),
    "ccms.319.001.01": m.ReturnAnswer("20261123QUERY0000001", ORIGINAL, "PR10"),
    "saps.601.001.01": m.NettingNotice(
        "2026112307",
        AT,
        date(2026, 11, 23),
        -1000_00,
        (
            m.NettedPayment(ORIGINAL.message_id, SPONSOR, -1234_56, "ibps.101.001.01"),
            m.NettedPayment("20261123ZZZZZZZZZZZZ", "102290012345", 234_56, "ibps.101.001.01"),
        ),
    ),
    "saps.603.001.01": m.ClearingNotice(
        "2026112307",
        AT,
        date(2026, 11, 23),
        -1234_56,
        (m.NettedPayment(ORIGINAL.message_id, SPONSOR, -1234_56, "ibps.101.001.01"),),
    ),
    "ccms.900.001.01": m.ProcessingConfirm(ORIGINAL, "IB1I0000", "PR09", "RJ94", "额度不足"),
    "ccms.911.001.01": m.Discard(ORIGINAL, "IB1O0410"),
    "ccms.990.001.01": m.Acknowledgement(ORIGINAL),
}
"""One sample of each message, by its type."""
assert SAMPLE.keys() == BY_KIND.keys()

_CHARACTERS = st.characters(
    codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="|\ufffe\uffff"
) | st.sampled_from("财务通（）＆&<>\"'　Ａ０。，𠀀𬭯;#x")


def texts(most: int) -> st.SearchStrategy[str]:
    return (
        st.text(_CHARACTERS, min_size=1, max_size=min(most, 40))
        .map(lambda text: text.strip(" \t\r\n"))
        .filter(bool)
    )


maybe = st.just("")
ids = st.from_regex(r"[0-9A-Za-z]{1,20}", fullmatch=True)
participants = st.from_regex(r"[0-9]{12}", fullmatch=True)
account_numbers = st.from_regex(r"[0-9A-Za-z-]{1,34}", fullmatch=True)
positive = st.integers(0, 10**15 - 1)
signed = st.integers(-(10**15) + 1, 10**15 - 1)
seconds = st.integers(0, 100 * 365 * 86400).map(
    lambda n: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(seconds=n)
)
instants = seconds | st.builds(
    lambda at, us: at.replace(microsecond=us), seconds, st.integers(0, 999_999)
)
days = st.dates(date(1990, 1, 1), date(2099, 12, 31))
statuses = st.integers(0, 10).map(lambda n: f"PR{n:02d}")
reasons = maybe | st.integers(1, 99).map(lambda n: f"RJ{n:02d}")
results = st.from_regex(r"[A-Z0-9]{3}[IWOS][0-9A-Z]{4}", fullmatch=True)
kinds = st.sampled_from(["ibps.101.001.01", "hvps.111.001.01", "beps.121.001.01"])
originals = st.builds(m.Original, ids, participants, kinds, maybe | ids)
accounts = st.builds(AccountAtBank, texts(140), account_numbers, participants, maybe | texts(140))
netted = st.builds(m.NettedPayment, ids, participants, signed, kinds, maybe | ids)
lines = st.builds(
    m.DetailLine,
    texts(35).filter(lambda text: len(text) <= 35),
    instants,
    days,
    signed,
    signed,
    st.sampled_from(sorted(LINE_KINDS)),
    maybe | ids,
    maybe | texts(140),
    maybe | account_numbers,
    maybe | texts(280),
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "amount_fen": positive,
    "payer": accounts,
    "payee": accounts,
    "type_code": st.sampled_from(["A100", "A105", "C200"]),
    "category": st.from_regex(r"[0-9]{5}", fullmatch=True),
    "currency": st.just("CNY"),
    "purpose": maybe | texts(140),
    "remark": maybe | texts(280),
    "original": originals,
    "system": st.from_regex(r"[A-Z]{4}", fullmatch=True),
    "effective_from": instants,
    "effective_until": st.none() | instants,
    "status": statuses,
    "reason": reasons,
    "words": maybe | texts(280),
    "bank_reference": maybe | texts(35).map(lambda text: text[:35].strip()).filter(bool),
    "answers": ids,
    "result": results,
    "changed_at": st.none() | instants,
    "round_id": ids,
    "account": account_numbers,
    "bank_code": participants,
    "balance_fen": signed,
    "available_fen": signed,
    "at": instants,
    "cursor": maybe | texts(140),
    "limit": st.integers(1, 1000),
    "more": st.booleans(),
    "lines": st.lists(lines, max_size=3).map(tuple),
    "net_fen": signed,
    "clearing_day": days,
    "payments": st.lists(netted, max_size=4).map(tuple),
}
_OPTIONAL = {
    (m.CreditTransfer, "original"): st.none() | originals,
    (m.EnquiryAnswer, "status"): maybe | statuses,
    (m.EnquiryAnswer, "round_id"): maybe | ids,
    (m.BalanceAnswer, "at"): st.none() | instants,
}


def word_of(kind: str) -> st.SearchStrategy[m.Message]:
    """Any message of this type that can travel."""
    word = BY_KIND[kind].word
    return st.builds(
        word,
        **{name: _OPTIONAL.get((word, name), FIELDS[name]) for name in word.__struct_fields__},
    )
