"""What the interface of a bank of this style fixes, as dated data with its source.

How sure each fact is stands beside it: **M** secondary source (public texts and programs that
speak it), **own** our choice, or general knowledge where no text was read. Read next:
``envelope.py``.
"""

from __future__ import annotations

from datetime import date

import msgspec

from caiwutong.rails.contract import ReportKind


class Meaning(msgspec.Struct, frozen=True):
    """A code of the bank: its words, and what it says of a payment."""

    zh: str
    en: str
    kind: ReportKind


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One edition of the interface, as far as the rail depends on it."""

    edition: str
    source: str
    read_on: date
    version: str
    """Field ``Version`` of the form (own)."""
    bank: str
    """``BankCode`` in every document (M)."""
    currency: str
    """``CurrType`` of CNY (own)."""
    package_payments: int
    """Payments in one PAYENT (own; that it takes several is M)."""
    query_references: int
    """References in one QPAYENT (own)."""
    balance_accounts: int
    """Accounts in one QACCBAL (own; that it takes several is M)."""
    page_lines: int
    """Lines of one QHISD page (own)."""
    statement_months: int
    """How far back a statement reaches (own)."""
    requests: int
    """Requests under way at one moment (own)."""
    package_window_s: int
    """How far ``TranDate`` and ``TranTime`` may lie from the bank's own time (own)."""
    clock_allowance_s: int
    """How far our clock and the bank's may differ before an unknown reference is dead (own)."""
    reference_length: int
    """``iSeqno`` and ``fSeqno`` (own)."""
    name_bytes: int
    """Bytes of a name in the bank's character set: a Chinese sign takes two, a rare one four
    (own)."""
    text_bytes: int
    """Bytes of ``UseCN`` and ``PostScript`` (own)."""


ICBC_CMS = Profile(
    edition="icbc-cms-gbk",
    source="工商银行 银企互联: public descriptions of PAYENT, QPAYENT, QACCBAL and QHISD; the"
    " manual of the bank itself was not read",
    read_on=date(2026, 11, 23),
    version="0.0.1.0",
    bank="102",
    currency="001",
    package_payments=100,
    query_references=100,
    balance_accounts=20,
    page_lines=100,
    statement_months=13,
    requests=10,
    package_window_s=3_600,
    clock_allowance_s=300,
    reference_length=35,
    name_bytes=120,
    text_bytes=100,
)

PAY = "PAYENT"
PAY_QUERY = "QPAYENT"
BALANCES = "QACCBAL"
STATEMENT = "QHISD"
RETURNS = "QPAYRET"
RECEIPT = "QRECEIPT"
NOTICE = "PAYNOTIFY"

TRANSACTIONS: dict[str, tuple[str, str]] = {
    PAY: ("企业支付", "payments, one or many in a package (M)"),
    PAY_QUERY: ("支付指令查询", "what became of payments (M)"),
    BALANCES: ("多账户余额查询", "balances now (M)"),
    STATEMENT: ("历史明细查询", "statement lines, paged by NextTag (M); up to today (own)"),
    RETURNS: ("退汇查询", "payments that came back, by day (own)"),
    RECEIPT: ("电子回单查询", "the electronic receipt of one line (own)"),
    NOTICE: ("支付结果通知", "posted by the bank when a payment ends or comes back (own)"),
}

DONE = "0"
"""RetCode and iRetCode of what the bank took in. Taken in is not paid."""
NO_SUCH = "EB0404"
"""iRetCode of QPAYENT for an instruction the bank does not have (own). Only this is NOT_FOUND: a
row that is missing from an answer says nothing."""
PAGE_ENDS = ""
"""NextTag of the last page."""

_ACCEPTED, _DOUBT, _NO = ReportKind.ACCEPTED, ReportKind.IN_DOUBT, ReportKind.REJECTED

RESULTS: dict[str, Meaning] = {
    "0": Meaning("提交成功，等待银行处理", "taken in, waits for the bank", _ACCEPTED),
    "1": Meaning("授权成功，等待银行处理", "authorised, waits for the bank", _ACCEPTED),
    "2": Meaning("等待授权", "waits for an authoriser", _ACCEPTED),
    "3": Meaning("等待二次授权", "waits for a second authoriser", _ACCEPTED),
    "4": Meaning("等待银行答复", "waits for the bank's answer", _ACCEPTED),
    "5": Meaning("主机返回待处理", "sent back by the host, waits", _ACCEPTED),
    "6": Meaning("被银行拒绝", "refused by the bank", _NO),
    "7": Meaning("处理成功", "paid", ReportKind.SETTLED),
    "8": Meaning("指令被拒绝授权", "refused by an authoriser", _NO),
    "9": Meaning("银行正在处理", "being executed", _ACCEPTED),
    "10": Meaning("预约指令", "dated ahead", _ACCEPTED),
    "11": Meaning("预约取消", "a dated order was cancelled", _NO),
    "86": Meaning("等待电话核实", "waits for a call back", _ACCEPTED),
    "95": Meaning("待核查", "to be looked into: the bank itself cannot say", _DOUBT),
    "98": Meaning("区域中心通讯可疑", "a line inside the bank is suspect", _DOUBT),
    "99": Meaning("已退汇", "paid, and the money came back", ReportKind.RETURNED),
}
"""``Result`` (general knowledge, no text of the bank was read; 99 is own). A code that is not here
is doubt, never failure."""

LINE_KINDS: dict[str, str] = {
    "PAY": "payment",
    "RCV": "incoming",
    "RTN": "return",
    "FEE": "fee",
    "INT": "interest",
    "OPN": "opening",
    "COR": "other",
}
"""``BusCode`` of a statement line → kind (own: the sandbox's). An unlisted code falls back to the
line's side and reference."""

GBK, GB18030 = "GBK", "GB18030"
CHARSETS = (GBK, GB18030)
"""What a connection may declare (GB18030-2022 holds every sign of GBK and the rare ones of
names)."""

URGENT, NORMAL, INSTANT = "1", "2", "3"
"""``PayType``: 加急, 普通, 跨行快汇 (general knowledge)."""


def meaning_of(result: str) -> Meaning:
    """What a ``Result`` says. A code we do not know is doubt."""
    return RESULTS.get(result) or Meaning(f"未知状态 {result[:8]}", "unknown result", _DOUBT)
