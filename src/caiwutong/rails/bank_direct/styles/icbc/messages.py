"""The documents of this style as frozen words, in the order of their elements.

Each field carries our name and, as ``name=``, the bank's. Amounts are text as on the wire: whole
fen, without a point. Days are ``yyyyMMdd``, times ``HHmmss``. Read next: ``codec.py``.
"""

from __future__ import annotations

from msgspec import field

from caiwutong.rails.bank_direct.elements import Word


class Pub(Word, frozen=True, kw_only=True):
    """pub: the head of every document. ``code`` and ``text`` stand in answers only."""

    transaction: str = field(name="TransCode")
    customer: str = field(name="CIS")
    """集团CIS号: who we are at the bank."""
    bank: str = field(name="BankCode")
    user: str = field(name="ID")
    """证书ID: whose certificate signs."""
    day: str = field(name="TranDate")
    time: str = field(name="TranTime")
    """``HHmmssSSS``."""
    package: str = field(name="fSeqno")
    """指令包序列号: our number of the package; echoed in the answer."""
    code: str = field(name="RetCode", default="")
    """``0``: the bank took the package in. Says nothing of the payments inside."""
    text: str = field(name="RetMsg", default="")


# ---- PAYENT 企业支付


class Order(Word, frozen=True, kw_only=True):
    """rd: one payment."""

    reference: str = field(name="iSeqno")
    """指令顺序号: our reference. The bank executes one of a number once, in whichever package it
    comes."""
    pay_type: str = field(name="PayType")
    payer_account: str = field(name="PayAccNo")
    payer_name: str = field(name="PayAccNameCN")
    payee_account: str = field(name="RecAccNo")
    payee_name: str = field(name="RecAccNameCN")
    scope: str = field(name="SysIOFlg")
    """``1`` the payee banks here too (系统内), ``2`` elsewhere (系统外)."""
    payee_bank_code: str = field(name="RecBankNo", default="")
    payee_bank_name: str = field(name="RecBankName", default="")
    currency: str = field(name="CurrType")
    amount: str = field(name="PayAmt")
    """Fen."""
    purpose: str = field(name="UseCN")
    remark: str = field(name="PostScript", default="")


class PayRequest(Word, frozen=True, kw_only=True):
    online: str = field(name="OnlBatF")
    """联机批量标志: ``1`` online."""
    settle_mode: str = field(name="SettleMode")
    """入账方式: ``0`` one line for each payment."""
    count: str = field(name="TotalNum")
    total: str = field(name="TotalAmt")
    """Fen, over all payments of the package."""
    signed_at: str = field(name="SignTime")
    """``yyyyMMddHHmmssSSS``."""
    orders: tuple[Order, ...] = field(name="rd")


class Outcome(Word, frozen=True, kw_only=True):
    """rd of an answer or a notice: how one payment stands."""

    reference: str = field(name="iSeqno")
    bank_reference: str = field(name="OrderNo", default="")
    """平台交易序号: the bank's own number."""
    amount: str = field(name="PayAmt", default="")
    result: str = field(name="Result", default="")
    code: str = field(name="iRetCode")
    text: str = field(name="iRetMsg", default="")
    returned_on: str = field(name="RetDate", default="")


class PayAnswer(Word, frozen=True, kw_only=True):
    outcomes: tuple[Outcome, ...] = field(name="rd", default=())


# ---- QPAYENT 支付指令查询


class PayQuery(Word, frozen=True, kw_only=True):
    row: str = field(name="iSeqno")
    """The row's number in this query."""
    reference: str = field(name="QryiSeqno")


class PayQueryRequest(Word, frozen=True, kw_only=True):
    package: str = field(name="QryfSeqno", default="")
    """The package, where the bank wants it named."""
    queries: tuple[PayQuery, ...] = field(name="rd")


class PayQueryAnswer(Word, frozen=True, kw_only=True):
    outcomes: tuple[Outcome, ...] = field(name="rd", default=())


# ---- QACCBAL 多账户余额查询


class BalanceQuery(Word, frozen=True, kw_only=True):
    row: str = field(name="iSeqno")
    account: str = field(name="AccNo")
    currency: str = field(name="CurrType")


class BalancesRequest(Word, frozen=True, kw_only=True):
    count: str = field(name="TotalNum")
    queries: tuple[BalanceQuery, ...] = field(name="rd")


class Balance(Word, frozen=True, kw_only=True):
    account: str = field(name="AccNo")
    currency: str = field(name="CurrType")
    balance: str = field(name="Balance", default="")
    """当前余额, fen."""
    usable: str = field(name="UsableBalance", default="")
    """可用余额, fen."""
    code: str = field(name="iRetCode")
    text: str = field(name="iRetMsg", default="")


class BalancesAnswer(Word, frozen=True, kw_only=True):
    balances: tuple[Balance, ...] = field(name="rd", default=())


# ---- QHISD 明细查询


class StatementRequest(Word, frozen=True, kw_only=True):
    account: str = field(name="AccNo")
    from_day: str = field(name="BeginDate")
    to_day: str = field(name="EndDate")
    next_tag: str = field(name="NextTag", default="")
    """Of the page before, as it came; empty asks for the first."""


class Entry(Word, frozen=True, kw_only=True):
    """rd: one line."""

    line_id: str = field(name="TimeStamp")
    """时间戳: unique in the account (own)."""
    side: str = field(name="Drcrf")
    """``1`` debit (money out), ``2`` credit (money in)."""
    amount: str = field(name="Amount")
    """Fen, without a sign."""
    balance_after: str = field(name="Balance")
    day: str = field(name="Date")
    time: str = field(name="Time")
    kind: str = field(name="BusCode", default="")
    reference: str = field(name="Ref", default="")
    """业务编号: our iSeqno where the line comes from one."""
    counterparty_account: str = field(name="RecipAccNo", default="")
    counterparty_name: str = field(name="RecipName", default="")
    summary: str = field(name="Summary", default="")


class StatementAnswer(Word, frozen=True, kw_only=True):
    account: str = field(name="AccNo")
    next_tag: str = field(name="NextTag", default="")
    """Empty on the last page."""
    entries: tuple[Entry, ...] = field(name="rd", default=())


# ---- QPAYRET 退汇查询


class ReturnsRequest(Word, frozen=True, kw_only=True):
    account: str = field(name="AccNo")
    from_day: str = field(name="BeginDate")
    to_day: str = field(name="EndDate")


class ReturnsAnswer(Word, frozen=True, kw_only=True):
    outcomes: tuple[Outcome, ...] = field(name="rd", default=())


# ---- QRECEIPT 电子回单查询


class ReceiptRequest(Word, frozen=True, kw_only=True):
    account: str = field(name="AccNo")
    line_id: str = field(name="TimeStamp")


class ReceiptAnswer(Word, frozen=True, kw_only=True):
    check_code: str = field(name="CheckCode")
    receipt_id: str = field(name="ReceiptNo")
    document: str = field(name="FileData")
    """Base64 of a PDF."""


# ---- PAYNOTIFY 支付结果通知, and an answer that only refuses


class Notice(Word, frozen=True, kw_only=True):
    outcomes: tuple[Outcome, ...] = field(name="rd")


class Refusal(Word, frozen=True, kw_only=True):
    """Nothing inside: RetCode and RetMsg of the head say it all."""
