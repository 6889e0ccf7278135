"""What the interface of a bank of this style fixes, as dated data with its source.

How sure each fact is stands beside it: **H** primary text, **M** secondary source (here: public
programs that speak to the bank and quote its document, read on the day below), **own** our choice
where no text was found. Read next: ``envelope.py``.
"""

from __future__ import annotations

from datetime import date

import msgspec

from caiwutong.rails.contract import ReportKind


class Meaning(msgspec.Struct, frozen=True):
    """A code of the bank: its words, and what it says of the payment."""

    zh: str
    en: str
    kind: ReportKind


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One edition of the interface, as far as the rail depends on it."""

    edition: str
    source: str
    read_on: date
    currency: str
    """CcyCode of CNY (M)."""
    voucher_length: int
    """ThirdVoucher (M)."""
    manual_above_fen: int
    """落地: a larger payment is handled by a clerk; exactly so much is not (M: "大于10000000")."""
    batch_payments: int
    """Payments in one 4018, all out of one account (M)."""
    at_once: int
    """Requests under way at one moment (own)."""
    page_lines: int
    """Lines of one 4013 page (own)."""
    statement_months: int
    """How far back a statement reaches (own)."""
    order_window_s: int
    """How far the time in a payment's head may lie from the bank's own (own)."""
    clock_allowance_s: int
    """How far our clock and the bank's may differ before an unknown voucher is dead (own)."""
    name_bytes: int
    """Bytes of a name in GBK (M: C(60))."""
    use_bytes: int
    """Bytes of UseEx in GBK (M: C(30))."""


PAB_DIRECT = Profile(
    edition="pab-direct-222",
    source="平安银行 银企直连: public programs that speak it; no text of the bank was read",
    read_on=date(2026, 11, 23),
    currency="RMB",
    voucher_length=20,
    manual_above_fen=10_000_000_00,
    batch_payments=500,
    at_once=10,
    page_lines=100,
    statement_months=13,
    order_window_s=3_600,
    clock_allowance_s=300,
    name_bytes=60,
    use_bytes=30,
)

BALANCE = "4001"
PAY = "4004"
STATUS = "4005"
STATEMENT = "4013"
BATCH = "4018"
RECEIPT = "RCPT01"
"""Own: the bank's receipts are files to fetch, in a way no public text describes."""

FUNCTIONS: dict[str, tuple[str, str]] = {
    BALANCE: ("账户余额查询", "the balance of one account now"),
    PAY: ("企业单笔资金划转", "one payment"),
    STATUS: ("单笔转账指令查询", "what became of a payment, by voucher"),
    STATEMENT: ("账户明细查询", "statement lines, paged by number"),
    BATCH: ("企业大批量资金划转", "many payments out of one account, taken as a whole"),
    RECEIPT: ("电子回单", "the electronic receipt of one line"),
}

OK = "000000"
"""交易受理成功 (M). Of a payment: taken, not paid."""
NO_RECORD = "MA0103"
"""没有满足条件记录 (M): the payment was not received, *or not yet whole*; nothing definite."""
DUPLICATE = "CW0101"
"""The voucher number is used already: the payment that has it lives (own)."""
STALE = "CW0102"
"""The time in the head is too far from the bank's: not taken (own)."""
BUSY = "CW0103"
"""Too many requests at once (own)."""

DONE, FAILED, WORKING, MANUAL = "20", "30", "10", "40"

_ACCEPTED = ReportKind.ACCEPTED

STATES: dict[str, Meaning] = {
    DONE: Meaning("转账交易成功", "paid", ReportKind.SETTLED),
    FAILED: Meaning("转账失败", "failed: not paid, and will not be", ReportKind.REJECTED),
    WORKING: Meaning("交易受理成功处理中", "being processed", _ACCEPTED),
    MANUAL: Meaning("交易受理成功，落地人工处理", "waits for a clerk of the bank", _ACCEPTED),
}
"""Stt (M: 20 成功, 30 失败, 其他为银行受理成功处理中; that 10 and 40 tell work and the clerk's
queue apart is own)."""

RETURNED_CODE = "STT/20/BACK"

OLDEST_FIRST = "001"
"""OrderMode of a statement (own)."""
OUT, IN = "D", "C"
"""DcFlag of a line: money out, money in (M)."""

LINE_KINDS: dict[str, str] = {
    "TRS": "payment",
    "RCV": "incoming",
    "RTN": "return",
    "FEE": "fee",
    "INT": "interest",
    "OPN": "opening",
    "COR": "other",
}
"""AbstractStr → kind of a statement line: that it is a code like TRS is M, the codes are own. An
unlisted one falls back to the side."""


def meaning_of(state: str) -> Meaning:
    """What Stt says. Any other number of two digits is the bank's *accepted, being processed*;
    anything else is doubt."""
    known = STATES.get(state)
    if known is not None:
        return known
    if len(state) == 2 and state.isascii() and state.isdigit():
        return Meaning("银行受理成功处理中", "accepted, being processed", _ACCEPTED)
    return Meaning(f"未知状态 {state}", "unknown state", ReportKind.IN_DOUBT)


def waits_for_a_clerk(amount_fen: int, *, inside: bool, payee_bank: str) -> bool:
    """Whether the bank handles this payment by hand (落地): above the limit, or to another bank
    whose number is missing (M)."""
    return amount_fen > PAB_DIRECT.manual_above_fen or not (inside or payee_bank)
