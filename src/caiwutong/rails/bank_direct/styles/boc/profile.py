"""What the interface of a bank of this style fixes, as dated data with its source.

How sure each fact is stands beside it: **H** primary text, **M** secondary source (here: public
programs that speak to the bank, read on the day below), **own** our choice where no text was found.
Read next: ``envelope.py``.
"""

from __future__ import annotations

from datetime import date

import msgspec

from caiwutong.rails.contract import ReportKind


class Meaning(msgspec.Struct, frozen=True):
    """A code of the bank: its words, and what it says of a payment that was asked about."""

    zh: str
    en: str
    kind: ReportKind


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One edition of the interface, as far as the rail depends on it."""

    edition: str
    source: str
    read_on: date
    version: str
    """Attribute ``version`` of the document (M)."""
    currency: str
    """trncur of CNY (M)."""
    session_requests: int
    """Requests under way in one session at one moment (own)."""
    batch_payments: int
    """Payments in one b2e0009 (own; that it takes several is M)."""
    query_references: int
    """References in one b2e0007 (own; that it takes several is M)."""
    balance_accounts: int
    """Accounts in one b2e0005 (own)."""
    page_lines: int
    """Lines of one b2e0035 page, ``recnum`` (own)."""
    statement_months: int
    """How far back a statement reaches (own)."""
    order_window_s: int
    """How far ``trfdate`` and ``trftime`` of an order may lie from the bank's own time (own)."""
    clock_allowance_s: int
    """How far our clock and the bank's may differ before an unknown reference is dead (own)."""
    reference_length: int
    """``insid`` (own)."""
    name_length: int
    """Characters of a name (own)."""
    text_length: int
    """``furinfo``: what the payment is for (own)."""


BOC_B2E = Profile(
    edition="boc-b2e-120",
    source="中国银行 银企对接 b2e: public programs that speak it; no text of the bank was read",
    read_on=date(2026, 11, 23),
    version="120",
    currency="CNY",
    session_requests=10,
    batch_payments=50,
    query_references=50,
    balance_accounts=20,
    page_lines=100,
    statement_months=13,
    order_window_s=3_600,
    clock_allowance_s=300,
    reference_length=20,
    name_length=100,
    text_length=100,
)

SIGN_IN = "b2e0001"
BALANCES = "b2e0005"
STATUS = "b2e0007"
PAY = "b2e0009"
STATEMENT = "b2e0035"
RECEIPT = "b2e0500"
ERROR = "b2eerror"
"""What a request is answered with that the bank did not look into (M: ``trn-b2eerror-rs``)."""

FUNCTIONS: dict[str, tuple[str, str]] = {
    SIGN_IN: ("签到", "sign in: gives the token of a session"),
    BALANCES: ("余额查询", "balances now"),
    STATUS: ("交易状态查询", "what became of payments, by insid"),
    PAY: ("对公转账", "one payment or several, each with its own status"),
    STATEMENT: ("交易明细查询", "statement lines, paged by number"),
    RECEIPT: ("电子回单", "the electronic receipt of one line"),
}

OK = "B001"
"""Success (M). As the status of a payment just sent it is read as *received*, never as *paid*."""
UNKNOWN = "B063"
"""The bank does not know the reference (own)."""
OTHER_CONTENT = "B064"
"""The reference is known, with other content (own)."""
SESSION_OVER = "B070"
"""The token is no longer good: the request was not looked into (own)."""
SESSION_FULL = "B071"
"""Too many requests of the session are under way: this one was not looked into (own)."""
STALE = "B072"
"""The order's time is too far from the bank's: it was not taken (own)."""

NOT_LOOKED_INTO = frozenset({SESSION_OVER, SESSION_FULL})
"""Codes of ``b2eerror`` after which the same message may go again at once: with a signature of the
bank under them they say that nothing was done."""

_ACCEPTED, _REJECTED = ReportKind.ACCEPTED, ReportKind.REJECTED
_DOUBT = ReportKind.IN_DOUBT

STATES: dict[str, Meaning] = {
    OK: Meaning("交易成功", "paid", ReportKind.SETTLED),
    "B002": Meaning("成功，未完", "received, not finished", _ACCEPTED),
    "B054": Meaning("处理中", "being processed", _ACCEPTED),
    "B059": Meaning("已提交", "submitted", _ACCEPTED),
    "B061": Meaning("交易失败", "failed: not paid, and will not be", _REJECTED),
    "B062": Meaning("已退汇", "paid, and the money came back", ReportKind.RETURNED),
    OTHER_CONTENT: Meaning("指令ID重复且内容不同", "the reference is another payment's", _DOUBT),
    STALE: Meaning("指令时间超出受理范围", "too old or too far ahead: not taken", _REJECTED),
}
"""Status of a payment in b2e0007: B001, B002, B054, B059 are M, the others own. A code that is not
here is doubt, never failure."""

FAILED, CAME_BACK, WORKING, SUBMITTED = "B061", "B062", "B054", "B059"

OUT, IN = "1", "2"
"""``direction`` of a line: money out, money in (own; the bank's own values were not seen)."""

LINE_KINDS: dict[str, str] = {
    "ZZ": "payment",
    "LZ": "incoming",
    "TH": "return",
    "SX": "fee",
    "LX": "interest",
    "KH": "opening",
    "QT": "other",
}
"""``transtype`` → kind of a statement line (own). An unlisted one falls back to the direction."""


def meaning_of(code: str) -> Meaning:
    """What the status of a payment says. A code we do not know is doubt."""
    return STATES.get(code) or Meaning(f"未知状态 {code}", "unknown code", _DOUBT)
