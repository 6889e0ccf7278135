"""The messages about payments: what is asked, what the bank answers, and its notices.

Frozen words only: each field carries our name and, as ``name=``, the bank's. Fields without a
default must be there; fields the bank adds are ignored. Amounts are text as on the wire (15.2
digits, yuan); ``reports.py`` turns them into fen. Read next: ``account_messages.py``, ``codec.py``.
"""

from __future__ import annotations

import msgspec
from msgspec import field


class Wire(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A JSON object on the wire. Empty fields are left out."""


# ---- BB1PAYOP 企银支付单笔经办


class PayMode(Wire, frozen=True, kw_only=True):
    """bb1paybmx1: under which agreement the enterprise pays."""

    mode: str = field(name="busMod")
    business: str = field(name="busCod")


class PayDetail(Wire, frozen=True, kw_only=True):
    """bb1payopx1: the payment itself."""

    payer_account: str = field(name="dbtAcc")
    payee_account: str = field(name="crtAcc")
    payee_name: str = field(name="crtNam")
    payee_bank_name: str = field(name="crtBnk", default="")
    payee_bank_code: str = field(name="brdNbr", default="")
    """联行号."""
    currency: str = field(name="ccyNbr")
    amount: str = field(name="trsAmt")
    in_bank: str = field(name="bnkFlg", default="")
    """``Y`` the payee banks here too, ``N`` elsewhere."""
    channel: str = field(name="stlChn", default="")
    purpose: str = field(name="nusAge")
    """用途, printed on the receipt."""
    remark: str = field(name="busNar", default="")
    reference: str = field(name="yurRef")
    """业务参考号: our reference, at most 30 characters, unique for 13 months."""
    sub_account: str = field(name="dmaNbr", default="")
    """记账子单元编号."""


class PayRequest(Wire, frozen=True, kw_only=True):
    """One payment: both lists have exactly one element."""

    modes: tuple[PayMode, ...] = field(name="bb1paybmx1")
    payments: tuple[PayDetail, ...] = field(name="bb1payopx1")


class PayOutcome(Wire, frozen=True, kw_only=True):
    """bb1payopz1: the bank has it, and in which state. It does not echo our reference."""

    bank_reference: str = field(name="reqNbr", default="")
    """流程实例号: the bank's own number."""
    state: str = field(name="reqSts")
    flag: str = field(name="rtnFlg", default="")
    error_code: str = field(name="errCod", default="")
    error_text: str = field(name="errTxt", default="")
    hint: str = field(name="msgTxt", default="")
    event: str = field(name="evtIst", default="")


class PayAnswer(Wire, frozen=True, kw_only=True):
    outcomes: tuple[PayOutcome, ...] = field(name="bb1payopz1", default=())


# ---- BB1PAYQR 企银支付业务查询


class PayQuery(Wire, frozen=True, kw_only=True):
    business: str = field(name="busCod")
    reference: str = field(name="yurRef")


class PayQueryRequest(Wire, frozen=True, kw_only=True):
    queries: tuple[PayQuery, ...] = field(name="bb1payqrx1")


class PaymentRecord(Wire, frozen=True, kw_only=True):
    """bb1payqrz1: a payment as the bank keeps it. The same shape comes in the result notice."""

    bank_reference: str = field(name="reqNbr", default="")
    reference: str = field(name="yurRef")
    state: str = field(name="reqSts")
    flag: str = field(name="rtnFlg", default="")
    reason: str = field(name="rtnNar", default="")
    """失败原因, in the bank's words."""
    amount: str = field(name="trsAmt")
    currency: str = field(name="ccyNbr", default="10")
    payer_account: str = field(name="dbtAcc")
    payer_name: str = field(name="dbtNam", default="")
    payee_account: str = field(name="crtAcc", default="")
    payee_name: str = field(name="crtNam", default="")
    payee_bank_name: str = field(name="crtBnk", default="")
    payee_bank_code: str = field(name="rcvBrd", default="")
    in_bank: str = field(name="bnkFlg", default="")
    channel: str = field(name="stlChn", default="")
    purpose: str = field(name="nusAge", default="")
    remark: str = field(name="busNar", default="")
    business: str = field(name="busCod", default="")
    mode: str = field(name="busMod", default="")
    submitted_on: str = field(name="oprDat", default="")
    ledger_line: str = field(name="trxSeq", default="")
    """账务流水: the statement line of the payment."""
    returned_line: str = field(name="trxSeqBackward", default="")
    """退票的记账流水号."""
    returned_on: str = field(name="backwardDay", default="")


class PayQueryAnswer(Wire, frozen=True, kw_only=True):
    """Empty where the bank does not know the reference."""

    records: tuple[PaymentRecord, ...] = field(name="bb1payqrz1", default=())


# ---- BB1PAYBH 企银支付批量经办


class BatchMode(Wire, frozen=True, kw_only=True):
    """bb1bmdbhx1: the batch as a whole. Field names from public programs that send it (M)."""

    mode: str = field(name="busMod")
    business: str = field(name="busCod")
    batch: str = field(name="bthNbr")
    """批次编号, ours."""
    count: str = field(name="dtlNbr")
    """总明细笔数."""
    continued: str = field(name="ctnFlg", default="N")
    """续传标志: more than 1,000 payments would come in parts; ours never do."""


class BatchPayRequest(Wire, frozen=True, kw_only=True):
    """Many payments, each with its own reference."""

    modes: tuple[BatchMode, ...] = field(name="bb1bmdbhx1")
    payments: tuple[PayDetail, ...] = field(name="bb1paybhx1")


class BatchOutcome(Wire, frozen=True, kw_only=True):
    """bb1paybhz1: how the batch stands. Says nothing of the payments inside."""

    batch: str = field(name="bthNbr", default="")
    state: str = field(name="reqSts", default="")
    flag: str = field(name="rtnFlg", default="")
    error_code: str = field(name="errCod", default="")
    error_text: str = field(name="errTxt", default="")
    hint: str = field(name="msgTxt", default="")


class BatchPayAnswer(Wire, frozen=True, kw_only=True):
    outcomes: tuple[BatchOutcome, ...] = field(name="bb1paybhz1", default=())


# ---- BB1QRYBT / BB1QRYBD 企银批量支付


class BatchListQuery(Wire, frozen=True, kw_only=True):
    from_day: str = field(name="begDat")
    """yyyyMMdd."""
    to_day: str = field(name="endDat")
    state: str = field(name="autStr", default="")
    flag: str = field(name="rtnStr", default="")


class BatchListRequest(Wire, frozen=True, kw_only=True):
    queries: tuple[BatchListQuery, ...] = field(name="bb1qrybtx1")


class BatchSummary(Wire, frozen=True, kw_only=True):
    batch: str = field(name="bthNbr")
    submitted_on: str = field(name="trsDat", default="")
    submitted_at: str = field(name="trsTim", default="")
    state: str = field(name="reqSts")
    flag: str = field(name="rtnFlg", default="")
    error_text: str = field(name="errTxt", default="")
    amount: str = field(name="dtlAmt", default="")
    count: str = field(name="dtlNum", default="")
    accepted_amount: str = field(name="sucAmt", default="")
    accepted_count: str = field(name="sucNum", default="")


class BatchListAnswer(Wire, frozen=True, kw_only=True):
    batches: tuple[BatchSummary, ...] = field(name="bb1qrybtz1", default=())


class BatchDetailQuery(Wire, frozen=True, kw_only=True):
    batch: str = field(name="bthNbr")
    state: str = field(name="autStr", default="")
    flag: str = field(name="rtnStr", default="")
    continuation: str = field(name="ctnKey", default="")


class BatchDetailRequest(Wire, frozen=True, kw_only=True):
    queries: tuple[BatchDetailQuery, ...] = field(name="bb1qrybdy1")


class BatchLine(Wire, frozen=True, kw_only=True):
    batch: str = field(name="bthNbr")
    bank_reference: str = field(name="reqNbr", default="")
    reference: str = field(name="yurRef")
    state: str = field(name="reqSts")
    flag: str = field(name="rtnFlg", default="")
    error_text: str = field(name="errTxt", default="")
    amount: str = field(name="trsAmt")
    payer_account: str = field(name="dbtAcc")
    payee_account: str = field(name="crtAcc", default="")
    payee_name: str = field(name="crtNam", default="")
    ledger_line: str = field(name="trxSeq", default="")


class BatchDetailAnswer(Wire, frozen=True, kw_only=True):
    """``next_queries`` holds a continuation key where more lines wait."""

    lines: tuple[BatchLine, ...] = field(name="bb1qrybdz1", default=())
    next_queries: tuple[BatchDetailQuery, ...] = field(name="bb1qrybdy1", default=())


# ---- BB1PAYQB / BB1QRYOB 退票


class ReturnsQuery(Wire, frozen=True, kw_only=True):
    account: str = field(name="accNbr")
    from_day: str = field(name="bgnDat")
    to_day: str = field(name="endDat")
    bank_reference: str = field(name="reqNbr", default="")
    continuation: str = field(name="ctnKey", default="")


class ReturnsRequest(Wire, frozen=True, kw_only=True):
    queries: tuple[ReturnsQuery, ...] = field(name="bb1payqby1")


class ReturnedPayment(Wire, frozen=True, kw_only=True):
    """A payment that was paid and came back (退票). The same shape comes in the return notice."""

    bank_reference: str = field(name="reqNbr", default="")
    reference: str = field(name="yurRef")
    amount: str = field(name="trsAmt")
    currency: str = field(name="ccyNbr", default="10")
    payer_account: str = field(name="sndEac", default="")
    payee_account: str = field(name="rcvEac", default="")
    payee_name: str = field(name="rcvEan", default="")
    reason: str = field(name="narTxt", default="")
    submitted_on: str = field(name="isuDat", default="")
    ledger_line: str = field(name="refNbr", default="")


class ReturnsAnswer(Wire, frozen=True, kw_only=True):
    payments: tuple[ReturnedPayment, ...] = field(name="bb1payqbz1", default=())
    next_queries: tuple[ReturnsQuery, ...] = field(name="bb1payqby1", default=())


class ReturnsByDayQuery(Wire, frozen=True, kw_only=True):
    from_day: str = field(name="startDate")
    to_day: str = field(name="endDate")
    continuation: str = field(name="continueKey", default="")


class ReturnsByDayRequest(Wire, frozen=True, kw_only=True):
    queries: tuple[ReturnsByDayQuery, ...] = field(name="bb1qryoby1")


class ReturnsByDayAnswer(Wire, frozen=True, kw_only=True):
    """The name of the answer's list follows the interface's pattern; no sample was seen (L)."""

    payments: tuple[ReturnedPayment, ...] = field(name="bb1qryobz1", default=())
    next_queries: tuple[ReturnsByDayQuery, ...] = field(name="bb1qryoby1", default=())


# ---- YQN01010 / YQN02030 notices, sent by the bank


class AccountChange(Wire, frozen=True, kw_only=True):
    """YQN01010: money moved on one of our accounts."""

    account: str = field(name="accnbr")
    account_name: str = field(name="accnam", default="")
    day: str = field(name="trsdat")
    time: str = field(name="trstim", default="")
    amount: str = field(name="c_trsamt")
    side: str = field(name="amtcdr")
    """``C`` money in, ``D`` money out."""
    line_id: str = field(name="refnbr")
    balance_after: str = field(name="blvamt", default="")
    reference: str = field(name="yurref", default="")
    counterparty_account: str = field(name="rpyacc", default="")
    counterparty_name: str = field(name="rpynam", default="")
    summary: str = field(name="naryur", default="")


class PaymentFinished(Wire, frozen=True, kw_only=True):
    """YQN02030, FINS: a payment has reached its end."""

    record: PaymentRecord = field(name="trsInfo")


class PaymentCameBack(Wire, frozen=True, kw_only=True):
    """YQN02030, FINB: a paid payment was returned."""

    payment: ReturnedPayment = field(name="backInfo")


Notice = AccountChange | PaymentFinished | PaymentCameBack
