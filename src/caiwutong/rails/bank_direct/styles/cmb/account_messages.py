"""The messages about accounts: balances now and past, statement lines, the electronic receipt.

Frozen words as in ``messages.py``: our names, and the bank's as ``name=``. Read next: ``codec.py``.
"""

from __future__ import annotations

from msgspec import field

from caiwutong.rails.bank_direct.styles.cmb.messages import Wire

# ---- NTQADINF 批量查询余额


class BalanceQuery(Wire, frozen=True, kw_only=True):
    account: str = field(name="accnbr")
    branch: str = field(name="bbknbr", default="")
    currency: str = field(name="ccynbr", default="")


class BalancesRequest(Wire, frozen=True, kw_only=True):
    """At most 30 accounts."""

    queries: tuple[BalanceQuery, ...] = field(name="ntqadinfx")


class Balance(Wire, frozen=True, kw_only=True):
    """One account. A failing account says so in ``error_code`` and does not spoil the others."""

    account: str = field(name="accnbr")
    account_name: str = field(name="accnam", default="")
    currency: str = field(name="ccynbr", default="10")
    online: str = field(name="onlblv", default="")
    """联机余额: what stands on the account."""
    available: str = field(name="avlblv", default="")
    """可用余额: online, less frozen, plus the overdraft limit."""
    frozen: str = field(name="hldblv", default="")
    overdraft_limit: str = field(name="lmtovr", default="")
    status: str = field(name="stscod", default="")
    """``A`` active, ``B`` frozen, ``C`` closed."""
    error_code: str = field(name="errcod", default="")
    error_text: str = field(name="errtxt", default="")


class BalancesAnswer(Wire, frozen=True, kw_only=True):
    balances: tuple[Balance, ...] = field(name="ntqadinfz", default=())


# ---- NTQABINF 查询账户历史余额


class PastBalancesQuery(Wire, frozen=True, kw_only=True):
    """Days before today, at most 31."""

    account: str = field(name="accnbr")
    from_day: str = field(name="bgndat")
    to_day: str = field(name="enddat")
    branch: str = field(name="bbknbr", default="")
    continuation: str = field(name="ctnkey", default="")


class PastBalancesRequest(Wire, frozen=True, kw_only=True):
    queries: tuple[PastBalancesQuery, ...] = field(name="ntqabinfy")


class PastBalance(Wire, frozen=True, kw_only=True):
    account: str = field(name="accnbr")
    day: str = field(name="trsdat")
    balance: str = field(name="balamt")


class PastBalancesAnswer(Wire, frozen=True, kw_only=True):
    balances: tuple[PastBalance, ...] = field(name="ntqabinfz", default=())
    next_queries: tuple[PastBalancesQuery, ...] = field(name="ntqabinfy", default=())


# ---- trsQryByBreakPoint 账户交易信息查询


class StatementQuery(Wire, frozen=True, kw_only=True):
    """X1. ``continue_account`` is taken from the last answer while it says there is more."""

    account: str = field(name="cardNbr")
    from_day: str = field(name="beginDate")
    to_day: str = field(name="endDate")
    first_sequence: str = field(name="transactionSequence", default="")
    currency: str = field(name="currencyCode", default="")
    continue_account: str = field(name="queryAcctNbr", default="")
    side: str = field(name="loanCode", default="")


class BreakPoint(Wire, frozen=True, kw_only=True):
    """Y1: where to go on. Handed back as it came, also later: then it brings what is new."""

    account: str = field(name="acctNbr")
    day: str = field(name="transDate")
    next_sequence: str = field(name="expectNextSequence")


class StatementRequest(Wire, frozen=True, kw_only=True):
    queries: tuple[StatementQuery, ...] = field(name="TRANSQUERYBYBREAKPOINT_X1")
    break_points: tuple[BreakPoint, ...] = field(name="TRANSQUERYBYBREAKPOINT_Y1", default=())


class StatementControl(Wire, frozen=True, kw_only=True):
    """Z1: whether there is more, and the sums of this page."""

    more: str = field(name="ctnFlag")
    """``Y`` or ``N``."""
    continue_account: str = field(name="queryAcctNbr", default="")
    debit_count: str = field(name="debitNums", default="")
    debit_amount: str = field(name="debitAmount", default="")
    credit_count: str = field(name="creditNums", default="")
    credit_amount: str = field(name="creditAmount", default="")


class StatementEntry(Wire, frozen=True, kw_only=True):
    """Z2: one line."""

    line_id: str = field(name="transSequenceIdn")
    """流水号: unique at the bank."""
    day: str = field(name="transDate")
    time: str = field(name="transTime", default="")
    value_day: str = field(name="valueDate", default="")
    side: str = field(name="loanCode")
    """``C`` credit (money in), ``D`` debit (money out)."""
    amount: str = field(name="transAmount")
    """The bank writes debits with a minus; the side decides."""
    currency: str = field(name="currencyNbr", default="10")
    balance_after: str = field(name="acctOnlineBal")
    kind: str = field(name="textCode", default="")
    reversal: str = field(name="reversalFlag", default="")
    """``*`` 冲帐, ``X`` 补帐."""
    remark: str = field(name="remarkTextClt", default="")
    summary: str = field(name="businessText", default="")
    counterparty_account: str = field(name="ctpAcctNbr", default="")
    counterparty_name: str = field(name="ctpAcctName", default="")
    counterparty_bank: str = field(name="ctpBankName", default="")
    bank_reference: str = field(name="requestNbr", default="")
    reference: str = field(name="yurRef", default="")


class StatementAnswer(Wire, frozen=True, kw_only=True):
    """At most 200 lines."""

    break_points: tuple[BreakPoint, ...] = field(name="TRANSQUERYBYBREAKPOINT_Y1", default=())
    control: tuple[StatementControl, ...] = field(name="TRANSQUERYBYBREAKPOINT_Z1")
    entries: tuple[StatementEntry, ...] = field(name="TRANSQUERYBYBREAKPOINT_Z2", default=())


# ---- DCSIGREC 单笔回单查询


class ReceiptRequest(Wire, frozen=True, kw_only=True):
    """The receipt of one statement line; flat, without a list."""

    account: str = field(name="eacnbr")
    day: str = field(name="quedat")
    """yyyy-MM-dd, unlike every other message here."""
    line_id: str = field(name="trsseq")
    form: str = field(name="primod", default="PDF")
    """``PDF`` or ``OFDEX``."""


class ReceiptAnswer(Wire, frozen=True, kw_only=True):
    check_code: str = field(name="checod", default="")
    """验证码: with it anyone can check the receipt at the bank."""
    document: str = field(name="fildat")
    """Base64 of the PDF or OFD file."""
    receipt_id: str = field(name="istnbr", default="")
