"""Hypothesis strategies for every HVPS word, and a fixed sample of each message."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.hvps import messages as h
from caiwutong.rails.hvps.shapes import BY_KIND
from support.ibps_words import (
    AT,
    CENTRE,
    FIELDS,
    PAYEE,
    PAYER,
    SPONSOR,
    days,
    maybe,
    originals,
    participants,
    texts,
)
from support.ibps_words import SAMPLE as IBPS_SAMPLE

__all__ = ["AT", "CENTRE", "ORIGINAL", "PAYEE", "PAYER", "SAMPLE", "SPONSOR", "word_of"]

TRANSFER = "hvps.111.001.01"
ORIGINAL = m.Original("20261123ABCDEFGHIJKL", SPONSOR, TRANSFER)
PAID = (m.NettedPayment(ORIGINAL.message_id, SPONSOR, -1_234_567_89, TRANSFER),)
TOMORROW = AT + timedelta(days=1)

SAMPLE: dict[str, Any] = {
    kind: IBPS_SAMPLE[kind] for kind in BY_KIND if kind.startswith("ibps.")
} | {
    TRANSFER: h.CreditTransfer(1_234_567_89, PAYER, PAYEE, 2, purpose="货款", remark="合同 & 附件"),
    "hvps.112.001.01": h.InstitutionTransfer(5_000_000_00, "102290012345", SPONSOR, words="头寸"),
    "ccms.303.001.01": m.FreeText("请协助查询来账", "查询"),
    "ccms.307.001.01": m.Revocation(ORIGINAL, "金额有误"),
    "ccms.308.001.01": m.RevocationAnswer("20261123QUERY0000001", ORIGINAL, "PR08"),
    "ccms.314.001.01": m.Question(ORIGINAL, "款项是否已入账"),
    "ccms.315.001.01": m.QuestionAnswer("20261123QUERY0000001", ORIGINAL, "已入账"),
    "ccms.316.001.01": m.Enquiry(ORIGINAL),
    "ccms.317.001.01": m.EnquiryAnswer(
        "20261123QUERY0000001", ORIGINAL, "CB1I0000", "PR04", "", "", AT
    ),
    "ccms.318.001.01": m.ReturnRequest(ORIGINAL, 1_234_567_89, "重复付款"),
    "ccms.319.001.01": m.ReturnAnswer("20261123QUERY0000001", ORIGINAL, "PR10"),
    "saps.601.001.01": m.NettingNotice("1", AT, date(2026, 11, 23), -1_234_567_89, PAID),
    "saps.603.001.01": m.ClearingNotice("1", AT, date(2026, 11, 23), -1_234_567_89, PAID),
    "ccms.801.001.01": m.SystemDay(
        "HVPS", date(2026, 11, 23), date(2026, 11, 24), "10", AT, words="营业开始"
    ),
    "ccms.809.001.01": m.Outage("HVPS", AT, TOMORROW, "系统停运维护"),
    "ccms.926.001.01": m.LimitChange("BEPS", 1_000_000_00, AT, None, words="限额调整"),
    "ccms.900.001.01": m.ProcessingConfirm(ORIGINAL, "CB1I0000", "PR04"),
    "ccms.911.001.01": m.Discard(ORIGINAL, "CB1O0411", "RJ90"),
    "ccms.990.001.01": m.Acknowledgement(ORIGINAL),
    "ccms.991.001.01": m.Probe(),
    "ccms.992.001.01": m.ProbeAnswer("20261123QUERY0000001"),
}
"""One sample of each message, by its type."""
assert SAMPLE.keys() == BY_KIND.keys()

_FIELDS: dict[str, st.SearchStrategy[Any]] = FIELDS | {
    "priority": st.sampled_from([1, 2, 3]),
    "content": texts(280),
    "title": maybe | texts(140),
    "previous_day": days,
    "day": days,
    "holiday": st.booleans(),
}
_OWN: dict[tuple[Any, str], st.SearchStrategy[Any]] = {
    (h.CreditTransfer, "original"): st.none() | originals,
    (h.InstitutionTransfer, "payer"): participants,
    (h.InstitutionTransfer, "payee"): participants,
    (m.SystemDay, "status"): st.sampled_from(["00", "10", "20", "30", "40", "50"]),
    (m.EnquiryAnswer, "status"): maybe | FIELDS["status"],
    (m.EnquiryAnswer, "round_id"): maybe | FIELDS["round_id"],
    (m.BalanceAnswer, "at"): st.none() | FIELDS["at"],
}


def word_of(kind: str) -> st.SearchStrategy[Any]:
    """Any message of this type that can travel."""
    word = BY_KIND[kind].word
    return st.builds(
        word,
        **{name: _OWN.get((word, name), _FIELDS.get(name)) for name in word.__struct_fields__},
    )
