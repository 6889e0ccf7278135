"""What the bank's interface documents fix, as dated data with its source; never bare constants.

Everything here may change by notice of the bank: another bank of the same style is another
``Profile``. How sure each fact is stands beside it: **H** primary text, **M** secondary source,
**L** weak, **own** our choice where the documents are silent. Read next: ``envelope.py``.
"""

from __future__ import annotations

from datetime import date

import msgspec

from caiwutong.kernel.order import Priority
from caiwutong.rails.contract import ReportKind


class Meaning(msgspec.Struct, frozen=True):
    """A code of the bank: its words, and what it says of the payment."""

    zh: str
    en: str
    kind: ReportKind


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One edition of a bank's interface, as far as the rail depends on it."""

    edition: str
    source: str
    read_on: date
    accepted_code: str
    """Result code of a request the bank has received. Received is not paid (H)."""
    business_code: str
    """busCod of a payment (支付)."""
    currency_code: str
    """ccyNbr of CNY; the payment interface takes no other (H)."""
    batch_payments: int
    """Payments in one batch that is not sent in parts (M)."""
    batch_length: int
    """bthNbr (own)."""
    pay_concurrency: int
    """Payments under way at one moment (H)."""
    query_concurrency: int
    """Queries under way at one moment, shared by all query functions (M)."""
    statement_page_lines: int
    balance_accounts: int
    history_days: int
    """Span of one query for past balances (历史余额), both days counted."""
    statement_months: int
    """How far back a statement reaches without a special agreement."""
    signature_window_s: int
    """How far ``sigtim`` may lie from the bank's own time, either way (H)."""
    clock_allowance_s: int
    """How far our clock and the bank's may differ before an unknown reference is dead (own)."""
    reference_length: int
    reference_months: int
    """How long a reference (yurRef) stays unique (H)."""
    request_id_length: int
    instant_limit_fen: int
    """Above this the bank's super-online channel (超网, stlChn R) does not carry a payment (H)."""
    name_length: int
    text_length: int
    bank_name_length: int
    has_revocation: bool
    """Whether the interface has a message that takes a payment back. It has none (H)."""
    has_cancellation: bool
    """Whether a person may cancel on the bank's page (rtnFlg C) while AUT or NTE (M)."""
    has_return_request: bool
    """Whether the interface has a message asking the payee's bank for the money. None (H)."""


CMB_CLOUD = Profile(
    edition="cmb-cloud-2026-08",
    source="招商银行企业开放平台 云直联 文档中心: 支付结算, 账务查询 (更新 2026-08-27)",
    read_on=date(2026, 11, 23),
    accepted_code="SUC0000",
    business_code="N02030",
    currency_code="10",
    batch_payments=1_000,
    batch_length=20,
    pay_concurrency=50,
    query_concurrency=20,
    statement_page_lines=200,
    balance_accounts=30,
    history_days=31,
    statement_months=13,
    signature_window_s=3_600,
    clock_allowance_s=300,
    reference_length=30,
    reference_months=13,
    request_id_length=51,
    instant_limit_fen=1_000_000_00,
    name_length=100,
    text_length=100,
    bank_name_length=30,
    has_revocation=False,
    has_cancellation=True,
    has_return_request=False,
)

IDEMPOTENCY_RULE = (
    "The result code SUC0000 means received, not paid. On any error ask first (BB1PAYQR). Issue "
    "again only after a definite FIN with F, B, R, D or C, and with the same reference (yurRef); "
    "a reference stays unique for 13 months."
)
"""The bank's own rule (H), and the house's rule on every rail."""

# Function codes (FUNCODE), in the words of the documents.
PAY = "BB1PAYOP"
PAY_QUERY = "BB1PAYQR"
PAY_BATCH = "BB1PAYBH"
BATCH_LIST = "BB1QRYBT"
BATCH_DETAIL = "BB1QRYBD"
RETURNS_OF_ACCOUNT = "BB1PAYQB"
RETURNS_BY_DAY = "BB1QRYOB"
BALANCES = "NTQADINF"
PAST_BALANCES = "NTQABINF"
STATEMENT = "trsQryByBreakPoint"
RECEIPT = "DCSIGREC"
ACCOUNT_CHANGED = "YQN01010"
PAYMENT_RESULT = "YQN02030"

FUNCTIONS: dict[str, tuple[str, str]] = {
    PAY: ("企银支付单笔经办", "one payment"),
    PAY_BATCH: ("企银支付批量经办", "many payments in one message"),
    PAY_QUERY: ("企银支付业务查询", "what became of a payment, by reference"),
    BATCH_LIST: ("企银批量支付批次查询", "batches of payments"),
    BATCH_DETAIL: ("企银批量支付明细查询", "the payments of a batch"),
    RETURNS_OF_ACCOUNT: ("支付退票明细查询", "returned payments of an account"),
    RETURNS_BY_DAY: ("根据退票日期查询退票记录", "returned payments by the day of return"),
    BALANCES: ("批量查询余额", "balances now"),
    PAST_BALANCES: ("查询账户历史余额", "balances at the end of past days"),
    STATEMENT: ("账户交易信息查询", "statement lines, paged by break point"),
    RECEIPT: ("单笔回单查询", "the electronic receipt of one line"),
    ACCOUNT_CHANGED: ("账务变动通知", "notice: money moved on an account"),
    PAYMENT_RESULT: ("支付结果通知", "notice: a payment reached its end, or came back"),
}

_ACCEPTED, _DOUBT = ReportKind.ACCEPTED, ReportKind.IN_DOUBT

FINISHED = "FIN"

REQUEST_STATES: dict[str, Meaning] = {
    "AUT": Meaning("等待审批", "awaits approval at the bank", _ACCEPTED),
    "NTE": Meaning("终审完毕", "approved, not yet executed", _ACCEPTED),
    "BNK": Meaning("银行处理中", "being executed", _ACCEPTED),
    "OPR": Meaning("数据接收中", "being received", _ACCEPTED),
    "APW": Meaning("银行人工审批", "awaits a clerk of the bank", _ACCEPTED),
    "WRF": Meaning("可疑，状态未知，需人工介入", "suspect: the bank itself cannot say", _DOUBT),
    FINISHED: Meaning("完成", "finished: the result flag speaks", _DOUBT),
}
"""reqSts (H). WRF is doubt: the query document calls it "state unknown, needs a person"."""

RESULT_FLAGS: dict[str, Meaning] = {
    "S": Meaning("成功", "paid", ReportKind.SETTLED),
    "F": Meaning("失败", "failed at the bank", ReportKind.REJECTED),
    "B": Meaning("退票", "paid, and the money came back", ReportKind.RETURNED),
    "R": Meaning("否决", "refused by an approver", ReportKind.REJECTED),
    "D": Meaning("过期", "expired before approval", ReportKind.REJECTED),
    "C": Meaning("撤消", "cancelled by the enterprise at the bank", ReportKind.REJECTED),
    "U": Meaning("银行挂账", "parked in the bank's suspense account", _DOUBT),
}
"""rtnFlg; means something only with reqSts FIN (H)."""

CHANNEL_ORDINARY, CHANNEL_FAST, CHANNEL_INSTANT, CHANNEL_BANK_CHOOSES = "G", "Q", "R", "I"
CHANNELS: dict[str, tuple[str, str]] = {
    CHANNEL_ORDINARY: ("普通", "BEPS"),
    CHANNEL_FAST: ("快速", "HVPS"),
    CHANNEL_INSTANT: ("实时-超网", "IBPS"),
    CHANNEL_BANK_CHOOSES: ("智能路由", "the bank chooses"),
}
"""stlChn (H); which clearing system stands behind a letter is our reading (M)."""

LINE_KINDS: dict[str, str] = {
    "BPAY": "payment",
    "BRCV": "incoming",
    "BRTN": "return",
    "BFEE": "fee",
    "BINT": "interest",
    "BOPN": "opening",
    "BCOR": "other",
}
"""textCode → kind of a statement line. The bank's table A.9 is not public; these codes are the
sandbox's (own). An unlisted code falls back to the line's side and reference."""


def meaning_of(state: str, flag: str) -> Meaning:
    """What reqSts and rtnFlg say together. A code we do not know is doubt, never failure."""
    if state == FINISHED:
        return RESULT_FLAGS.get(flag) or Meaning(f"未知结果 {flag}", "unknown flag", _DOUBT)
    return REQUEST_STATES.get(state) or Meaning(f"未知状态 {state}", "unknown state", _DOUBT)


def channel_for(amount_fen: int, priority: Priority, profile: Profile = CMB_CLOUD) -> str:
    """stlChn for a payment to another bank: urgent ones go over the instant channel where it
    carries the amount, else fast; for the others the bank chooses."""
    if priority is not Priority.URGENT:
        return CHANNEL_BANK_CHOOSES
    return CHANNEL_INSTANT if amount_fen <= profile.instant_limit_fen else CHANNEL_FAST
