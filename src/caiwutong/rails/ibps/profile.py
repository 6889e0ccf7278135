"""What is known about IBPS from outside: limits, hours, windows and codes, each dated and sourced.

Nothing here is a law of nature: a notice of the central bank changes it, and then a line is added,
never overwritten. How sure we are stands with each fact: *read* (primary text), *secondary*, or
*own* (our reading of common knowledge, no text at hand).
Read next: ``reports.py``, which turns the status codes into the hub's words.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import msgspec

from caiwutong.kernel.clock import china_date, china_midnight

NAME = "ibps"


class Limit(msgspec.Struct, frozen=True):
    """The largest single payment from a day on. ``inclusive``: exactly this much still goes."""

    since: date
    amount_fen: int
    inclusive: bool
    source: str

    def allows(self, amount_fen: int) -> bool:
        return amount_fen < self.amount_fen or (self.inclusive and amount_fen == self.amount_fen)


LIMITS: tuple[Limit, ...] = (
    Limit(date(2010, 8, 30), 50_000_00, True, "own: the limit at launch; no text at hand"),
    Limit(
        date(2020, 1, 31),
        1_000_000_00,
        True,
        "read: 1,000,000 CNY per payment is the limit in force today; the day it began is not "
        "known (the date is the earliest one it is attested for). Whether exactly 1,000,000.00 "
        "still goes is ambiguous in public texts; taken as yes",
    ),
)


def limit_on(day: date) -> Limit | None:
    """The limit in force on a day in China, or None before the system began."""
    return next((limit for limit in reversed(LIMITS) if limit.since <= day), None)


class Hours(msgspec.Struct, frozen=True):
    """When the system takes payments."""

    since: date
    always: bool
    source: str


HOURS = (Hours(date(2010, 8, 30), True, "secondary: 7×24, but for announced outages (停运公告)"),)

ACCEPTANCE_GRACE = timedelta(minutes=30)
"""Own: how long after the business date a message of that date may still turn out to have been
accepted (queues inside the centre, clocks apart)."""


def valid_until(at: datetime) -> datetime:
    """Until when the network may accept a message made at ``at``: a message is accepted only on
    its own business date in China, so the end of that date and ``ACCEPTANCE_GRACE``."""
    return china_midnight(china_date(at) + timedelta(days=1)) + ACCEPTANCE_GRACE


class Meaning(msgspec.Struct, frozen=True):
    """A code in two languages."""

    zh: str
    en: str


STATUS: dict[str, Meaning] = {
    "PR00": Meaning("已转发", "passed on"),
    "PR01": Meaning("待认证", "waiting for authentication"),
    "PR02": Meaning("已付款", "paid by the payer's bank"),
    "PR03": Meaning("已轧差", "netted"),
    "PR04": Meaning("已清算", "settled"),
    "PR05": Meaning("已成功", "done"),
    "PR06": Meaning("待处理", "waiting to be processed"),
    "PR07": Meaning("已处理", "processed"),
    "PR08": Meaning("已撤销", "revoked"),
    "PR09": Meaning("已拒绝", "refused"),
    "PR10": Meaning("已确认", "confirmed by the payee's bank"),
}
"""Business status 业务状态. Source: read, CNAPS2 message standard."""

REJECT: dict[str, Meaning] = {
    "RJ01": Meaning("账号不存在", "no such account"),
    "RJ02": Meaning("账号、户名不符", "account and name do not match"),
    "RJ03": Meaning("账户余额不足", "not enough money on the account"),
    "RJ04": Meaning("超出限额", "above the limit"),
    "RJ08": Meaning("账户类型不符", "wrong type of account"),
    "RJ11": Meaning("账户状态错误", "the account's state does not allow it"),
    "RJ20": Meaning("业务已撤销", "already revoked"),
    "RJ35": Meaning("数字签名错误", "wrong signature"),
    "RJ90": Meaning("其他错误", "another reason"),
    "RJ91": Meaning("中心检查错误", "refused by the centre's checks"),
    "RJ92": Meaning("付款行拒绝", "refused by the payer's bank"),
    "RJ94": Meaning("轧差额度不足", "the netting quota is used up"),
    "RJ95": Meaning("收款行拒绝", "refused by the payee's bank"),
    "RJ99": Meaning("日终处理", "end of day"),
}
"""Reject codes 拒绝码. Source: read, CNAPS2 message standard."""

# Processing codes 处理码 have eight characters; the fourth says how grave: I information,
# W warning, O business error, S system error (read). The numbers below are our own.
DONE = "IB1I0000"
UNKNOWN_ORIGINAL = "IB1O0404"
"""The payment asked about is not known (yet)."""
DUPLICATE = "IB1O0409"
"""A message of this sender and id was taken before; the first one lives on."""
WRONG_DATE = "IB1O0410"
"""The message is not of the centre's business date."""
BAD_FORMAT = "IB1O0400"
BAD_SIGNATURE = "IB1O0401"
UNKNOWN_ACCOUNT = "IB1O0406"
"""An account asked about (309, 311) is not known or not the sender's to ask about."""
TOO_LATE = "IB1O0408"
"""Revocation after netting, or another request whose moment has passed."""
SYSTEM_ERROR = "IB1S0500"

RESULT: dict[str, Meaning] = {
    DONE: Meaning("处理成功", "done"),
    UNKNOWN_ORIGINAL: Meaning("原业务不存在", "the original payment is not known"),
    DUPLICATE: Meaning("报文重复", "a message with this id was taken before"),
    WRONG_DATE: Meaning("报文日期非当前工作日期", "not of the current business date"),
    BAD_FORMAT: Meaning("报文格式错误", "the message is malformed"),
    BAD_SIGNATURE: Meaning("验签失败", "the signature does not fit"),
    UNKNOWN_ACCOUNT: Meaning("账户不存在或无权查询", "no such account, or not yours to ask about"),
    TOO_LATE: Meaning("业务状态不允许", "the moment for this has passed"),
    SYSTEM_ERROR: Meaning("系统错误", "the system failed"),
}
"""Our own processing codes, spoken by hub and sandbox alike."""


def is_system_error(result: str) -> bool:
    """Whether a processing code says that the system failed: then nothing is known for sure."""
    return result[3:4] == "S"


def words_for(code: str, *, chinese: bool = True) -> str:
    """What a status, reject or processing code means; empty for one we do not know."""
    meaning = STATUS.get(code) or REJECT.get(code) or RESULT.get(code)
    if meaning is None:
        return ""
    return meaning.zh if chinese else meaning.en
