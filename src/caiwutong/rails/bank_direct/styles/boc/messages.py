"""The messages of this style as frozen words: our names, and the bank's element as ``name=``.

Fields stand in the order of the elements; everything is text, as it is on the wire. The element
names are those that public programs use (M); where an element is ours it says so.
Read next: ``codec.py``.
"""

from __future__ import annotations

from msgspec import field

from caiwutong.rails.bank_direct.elements import Word

# ---- the document


class Head(Word, frozen=True, kw_only=True):
    """What stands above every message."""

    terminal: str = field(name="termid")
    """Number of the enterprise's front end at the bank."""
    message_id: str = field(name="trnid")
    """报文编号: given by whoever asks; the answer repeats it."""
    customer: str = field(name="custid")
    operator: str = field(name="cusopr")
    function: str = field(name="trncod")
    token: str = ""
    """The session's token. Empty in a sign-in, and in an order until it is sent."""


class Status(Word, frozen=True, kw_only=True):
    code: str = field(name="rspcod")
    words: str = field(name="rspmsg", default="")


# ---- b2e0001 签到


class SignIn(Word, frozen=True, kw_only=True):
    at: str = field(name="custdt")
    """``yyyyMMddHHmmss`` in China."""
    proof: str = field(name="oprpwd")
    """SM3-HMAC of ``custdt`` under the operator's password, 64 hex digits (own: the password itself
    never travels)."""


class SignInRequest(Word, frozen=True, kw_only=True):
    sign_in: SignIn = field(name="b2e0001-rq")


class SignInAnswer(Word, frozen=True, kw_only=True):
    status: Status
    at: str = field(name="serverdt")
    token: str = ""


# ---- b2e0009 对公转账


class PayFrom(Word, frozen=True, kw_only=True):
    bank: str = field(name="fribkn", default="")
    account: str = field(name="actacn")
    name: str = field(name="actnam")


class PayTo(Word, frozen=True, kw_only=True):
    bank: str = field(name="toibkn", default="")
    """联行号."""
    account: str = field(name="actacn")
    name: str = field(name="toname")
    bank_name: str = field(name="tobknm", default="")


class Order(Word, frozen=True, kw_only=True):
    """One payment. ``insid`` is our reference: the bank executes one insid once."""

    reference: str = field(name="insid")
    payer: PayFrom = field(name="fractn")
    payee: PayTo = field(name="toactn")
    amount: str = field(name="trnamt")
    currency: str = field(name="trncur")
    urgent: str = field(name="priolv")
    """``0`` ordinary, ``1`` urgent (own reading)."""
    purpose: str = field(name="furinfo", default="")
    day: str = field(name="trfdate")
    """``yyyyMMdd`` in China: of the attempt, so the same attempt is the same order for ever."""
    time: str = field(name="trftime")
    """``HHmmss``."""


class PayRequest(Word, frozen=True, kw_only=True):
    orders: tuple[Order, ...] = field(name="b2e0009-rq")


class OrderStatus(Word, frozen=True, kw_only=True):
    """How one payment of the request stands."""

    status: Status
    reference: str = field(name="insid")
    bank_reference: str = field(name="obssid", default="")
    """网银划账流水号."""


class PayAnswer(Word, frozen=True, kw_only=True):
    status: Status
    """Of the message as a whole."""
    orders: tuple[OrderStatus, ...] = field(name="b2e0009-rs", default=())
    at: str = field(name="serverdt")


# ---- b2e0007 交易状态查询


class StatusQuery(Word, frozen=True, kw_only=True):
    reference: str = field(name="insid")


class StatusRequest(Word, frozen=True, kw_only=True):
    queries: tuple[StatusQuery, ...] = field(name="b2e0007-rq")


class PaymentStatus(Word, frozen=True, kw_only=True):
    """How one payment stands. Amount and accounts (own) let us see that it is the one we mean."""

    status: Status
    reference: str = field(name="insid")
    bank_reference: str = field(name="obssid", default="")
    amount: str = field(name="trnamt", default="")
    payer_account: str = field(name="fractacn", default="")
    payee_account: str = field(name="toactacn", default="")


class StatusAnswer(Word, frozen=True, kw_only=True):
    status: Status
    payments: tuple[PaymentStatus, ...] = field(name="b2e0007-rs", default=())
    at: str = field(name="serverdt")


class StatusNotice(Word, frozen=True, kw_only=True):
    """What the bank tells by itself: payments that reached an end, or came back (own: the bank has
    pushes of this shape for other business)."""

    payments: tuple[PaymentStatus, ...] = field(name="b2e0007-nt")
    at: str = field(name="serverdt")


# ---- b2e0005 余额查询


class AccountAt(Word, frozen=True, kw_only=True):
    bank: str = field(name="ibknum", default="")
    account: str = field(name="actacn")
    currency: str = field(name="curcde", default="")
    name: str = field(name="actname", default="")


class BalanceQuery(Word, frozen=True, kw_only=True):
    account: AccountAt


class BalancesRequest(Word, frozen=True, kw_only=True):
    queries: tuple[BalanceQuery, ...] = field(name="b2e0005-rq")


class Amounts(Word, frozen=True, kw_only=True):
    booked: str = field(name="bokbal")
    """账面余额."""
    available: str = field(name="avabal")
    """可用余额, authorised overdraft included."""
    stopped: str = field(name="stpamt", default="")
    overdraft: str = field(name="ovramt", default="")


class Balance(Word, frozen=True, kw_only=True):
    """One account; its own status says whether the bank answers for it."""

    status: Status
    account: AccountAt
    balance: Amounts | None = None
    at: str = field(name="baldat", default="")


class BalancesAnswer(Word, frozen=True, kw_only=True):
    status: Status
    balances: tuple[Balance, ...] = field(name="b2e0005-rs", default=())
    at: str = field(name="serverdt")


# ---- b2e0035 交易明细查询


class Days(Word, frozen=True, kw_only=True):
    first: str = field(name="from")
    last: str = field(name="to")


class StatementQuery(Word, frozen=True, kw_only=True):
    """Lines ``begnum`` to ``begnum + recnum − 1`` of these days, in the bank's order."""

    bank: str = field(name="ibknum", default="")
    account: str = field(name="actacn")
    days: Days = field(name="datescope")
    first_line: str = field(name="begnum")
    lines: str = field(name="recnum")


class StatementRequest(Word, frozen=True, kw_only=True):
    query: StatementQuery = field(name="b2e0035-rq")


class Counterparty(Word, frozen=True, kw_only=True):
    bank: str = field(name="toibkn", default="")
    account: str = field(name="actacn", default="")
    name: str = field(name="toname", default="")


class Entry(Word, frozen=True, kw_only=True):
    """One line. The other side of it stands in ``toactn`` whichever way the money went (own)."""

    counterparty: Counterparty = field(name="toactn")
    line_id: str = field(name="transid")
    """交易流水号: unique at the bank."""
    reference: str = field(name="insid", default="")
    """Ours, where the line comes from an order of ours; of the original for a return."""
    day: str = field(name="txndate")
    time: str = field(name="txntime")
    amount: str = field(name="txnamt")
    balance_after: str = field(name="acctbal")
    words: str = field(name="furinfo", default="")
    kind: str = field(name="transtype", default="")
    currency: str = field(name="trncur")
    direction: str
    value_day: str = field(name="valdat", default="")


class StatementAnswer(Word, frozen=True, kw_only=True):
    status: Status
    total: str = field(name="totalnum", default="")
    """Lines of these days altogether."""
    count: str = field(name="notenum", default="")
    """Lines of this page."""
    entries: tuple[Entry, ...] = field(name="b2e0035-rs", default=())
    at: str = field(name="serverdt")


# ---- b2e0500 电子回单


class ReceiptQuery(Word, frozen=True, kw_only=True):
    """One line's receipt, in the answer itself (own: the bank gives a file to fetch)."""

    account: str = field(name="actacn")
    day: str = field(name="txndate")
    line_id: str = field(name="transid")


class ReceiptRequest(Word, frozen=True, kw_only=True):
    query: ReceiptQuery = field(name="b2e0500-rq")


class ReceiptFile(Word, frozen=True, kw_only=True):
    line_id: str = field(name="transid")
    receipt_id: str = field(name="receiptno")
    check_code: str = field(name="checkcode", default="")
    document: str = field(name="filedata")
    """Base64 of the PDF."""


class ReceiptAnswer(Word, frozen=True, kw_only=True):
    status: Status
    receipt: ReceiptFile | None = field(name="b2e0500-rs", default=None)
    at: str = field(name="serverdt")


# ---- b2eerror


class ErrorAnswer(Word, frozen=True, kw_only=True):
    """The request was not looked into."""

    status: Status
    at: str = field(name="serverdt")
