"""The messages of this style as frozen words: our names, and the bank's element as ``name=``.

Fields stand in the order of the elements; everything is text, as it is on the wire. Element names
are those that public programs use (M); where one is ours it says so. Read next: ``codec.py``.
"""

from __future__ import annotations

from msgspec import field

from caiwutong.rails.bank_direct.elements import Word

# ---- 4001 账户余额查询


class BalanceRequest(Word, frozen=True, kw_only=True):
    account: str = field(name="Account")
    currency: str = field(name="CcyCode")


class BalanceAnswer(Word, frozen=True, kw_only=True):
    account: str = field(name="Account")
    currency: str = field(name="CcyCode")
    name: str = field(name="AccountName", default="")
    available: str = field(name="Balance")
    """可用余额, authorised overdraft included."""
    booked: str = field(name="TotalAmount")
    """账面余额."""


# ---- 4004 企业单笔资金划转


class PayRequest(Word, frozen=True, kw_only=True):
    """One payment. The bank pays one voucher number once."""

    voucher: str = field(name="ThirdVoucher")
    own_number: str = field(name="CstInnerFlowNo")
    """客户自定义凭证号: comes back in the statement's lines. The voucher again."""
    currency: str = field(name="CcyCode")
    payer_account: str = field(name="OutAcctNo")
    payer_name: str = field(name="OutAcctName")
    payee_bank: str = field(name="InAcctBankNode", default="")
    """联行号. Without it a payment to another bank waits for a clerk."""
    payee_account: str = field(name="InAcctNo")
    payee_name: str = field(name="InAcctName")
    payee_bank_name: str = field(name="InAcctBankName")
    amount: str = field(name="TranAmount")
    use: str = field(name="UseEx", default="")
    inside: str = field(name="UnionFlag")
    """``1`` within the bank, ``0`` to another bank."""
    urgency: str = field(name="SysFlag")
    """``N`` ordinary, ``Y`` urgent."""
    distance: str = field(name="AddrFlag")
    """``1`` same city: the bank's advice where one cannot tell."""


class PayAnswer(Word, frozen=True, kw_only=True):
    """The bank has taken the payment."""

    voucher: str = field(name="ThirdVoucher")
    bank_reference: str = field(name="FrontLogNo")
    state: str = field(name="Stt", default="")
    """As in 4005 (own: the bank's documents name it for 4005 only)."""


# ---- 4018 企业大批量资金划转


class BatchPayment(Word, frozen=True, kw_only=True):
    voucher: str = field(name="SThirdVoucher")
    own_number: str = field(name="CstInnerFlowNo")
    payee_bank: str = field(name="InAcctBankNode", default="")
    payee_account: str = field(name="InAcctNo")
    payee_name: str = field(name="InAcctName")
    payee_bank_name: str = field(name="InAcctBankName")
    amount: str = field(name="TranAmount")
    use: str = field(name="UseEx", default="")
    inside: str = field(name="UnionFlag")
    distance: str = field(name="AddrFlag")


class BatchRequest(Word, frozen=True, kw_only=True):
    """Payments out of one account. The bank takes the message as a whole; each payment then ends by
    itself and is asked for by its own voucher."""

    batch: str = field(name="ThirdVoucher")
    count: str = field(name="totalCts")
    total: str = field(name="totalAmt")
    urgency: str = field(name="BSysFlag")
    currency: str = field(name="CcyCode")
    payer_account: str = field(name="OutAcctNo")
    payer_name: str = field(name="OutAcctName")
    payments: tuple[BatchPayment, ...] = field(name="HOResultSet4018R")


class BatchAnswer(Word, frozen=True, kw_only=True):
    """The bank has taken the batch; says nothing of any payment in it."""

    batch: str = field(name="ThirdVoucher")


# ---- 4005 单笔转账指令查询


class StatusRequest(Word, frozen=True, kw_only=True):
    voucher: str = field(name="OrigThirdVoucher")


class StatusAnswer(Word, frozen=True, kw_only=True):
    """How one payment stands: Stt decides, Yhcljg only describes."""

    voucher: str = field(name="OrigThirdVoucher")
    bank_reference: str = field(name="FrontLogNo")
    currency: str = field(name="CcyCode", default="")
    payer_account: str = field(name="OutAcctNo")
    payee_account: str = field(name="InAcctNo")
    amount: str = field(name="TranAmount")
    state: str = field(name="Stt")
    returned: str = field(name="IsBack", default="")
    """``1``: 退票."""
    reason: str = field(name="BackRem", default="")
    """Why it failed or came back."""
    result: str = field(name="Yhcljg", default="")
    """``六位代码:中文描述``."""


# ---- 4013 账户明细查询


class StatementRequest(Word, frozen=True, kw_only=True):
    account: str = field(name="AcctNo")
    currency: str = field(name="CcyCode")
    first: str = field(name="BeginDate")
    last: str = field(name="EndDate")
    page: str = field(name="PageNo")
    """From 1."""
    size: str = field(name="PageSize")
    order: str = field(name="OrderMode")
    """``001``: oldest first (M: the element; own: its values)."""


class Entry(Word, frozen=True, kw_only=True):
    day: str = field(name="AcctDate")
    """主机记账日期."""
    time: str = field(name="TxTime")
    line_id: str = field(name="HostTrace")
    """主机流水号: unique at the bank."""
    payer_account: str = field(name="OutAcctNo", default="")
    payer_name: str = field(name="OutAcctName", default="")
    payee_account: str = field(name="InAcctNo", default="")
    payee_name: str = field(name="InAcctName", default="")
    amount: str = field(name="TranAmount")
    side: str = field(name="DcFlag")
    kind: str = field(name="AbstractStr", default="")
    balance_after: str = field(name="AcctBalance")
    words: str = field(name="Purpose", default="")
    own_number: str = field(name="CVoucherNo", default="")
    """客户自定义凭证号: our voucher; of the original for a return (own)."""


class StatementAnswer(Word, frozen=True, kw_only=True):
    account: str = field(name="AcctNo")
    last_page: str = field(name="EndFlag")
    """``Y`` when nothing follows."""
    page: str = field(name="PageNo")
    entries: tuple[Entry, ...] = field(name="list", default=())


# ---- RCPT01 电子回单 (own)


class ReceiptRequest(Word, frozen=True, kw_only=True):
    account: str = field(name="AcctNo")
    day: str = field(name="AcctDate")
    line_id: str = field(name="HostTrace")


class ReceiptAnswer(Word, frozen=True, kw_only=True):
    line_id: str = field(name="HostTrace")
    receipt_id: str = field(name="ReceiptNo")
    check_code: str = field(name="CheckCode", default="")
    document: str = field(name="FileData")
    """Base64 of the PDF."""
