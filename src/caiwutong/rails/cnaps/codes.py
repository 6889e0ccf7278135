"""The codes all CNAPS2 channels speak: status, reject, processing and system codes, with words.

Source: read, CNAPS2 message standard, where not marked *own*.
"""

from __future__ import annotations

import msgspec


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
"""Business status 业务状态."""

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
"""Reject codes 拒绝码."""

# Processing codes 处理码 have eight characters: the first three name the system (own: ``CB1`` here,
# ``IB1`` on IBPS), the fourth says how grave: I information, W warning, O business error, S system
# error (read). The numbers are our own.
DONE = "CB1I0000"
BAD_FORMAT = "CB1O0400"
BAD_SIGNATURE = "CB1O0401"
UNKNOWN_ORIGINAL = "CB1O0404"
"""The payment asked about is not known (yet)."""
UNKNOWN_ACCOUNT = "CB1O0406"
"""An account asked about (309, 311) is not known or not the sender's to ask about."""
TOO_LATE = "CB1O0408"
"""Revocation after netting or settlement, or another request whose moment has passed."""
DUPLICATE = "CB1O0409"
"""A message of this sender and id was taken before; the first one lives on."""
WRONG_DATE = "CB1O0410"
"""The message is not of the system's business date."""
CLOSED = "CB1O0411"
"""The system takes no payments at this hour."""
SYSTEM_ERROR = "CB1S0500"

_RESULT: dict[str, Meaning] = {
    "I0000": Meaning("处理成功", "done"),
    "O0400": Meaning("报文格式错误", "the message is malformed"),
    "O0401": Meaning("验签失败", "the signature does not fit"),
    "O0404": Meaning("原业务不存在", "the original payment is not known"),
    "O0406": Meaning("账户不存在或无权查询", "no such account, or not yours to ask about"),
    "O0408": Meaning("业务状态不允许", "the moment for this has passed"),
    "O0409": Meaning("报文重复", "a message with this id was taken before"),
    "O0410": Meaning("报文日期非当前工作日期", "not of the current business date"),
    "O0411": Meaning("非营业时间", "outside business hours"),
    "S0500": Meaning("系统错误", "the system failed"),
}

SYSTEM_STATUS: dict[str, Meaning] = {
    "00": Meaning("营业准备", "preparing"),
    "10": Meaning("日间", "open"),
    "20": Meaning("业务截止", "closed to payments"),
    "30": Meaning("清算窗口", "clearing window"),
    "40": Meaning("日终", "end of day"),
    "50": Meaning("停运", "out of service"),
}
"""State of a system in ccms.801. Numbers: own."""


def same(result: str, code: str) -> bool:
    """Whether two processing codes mean the same, whichever system speaks."""
    return result[3:] == code[3:]


def is_system_error(result: str) -> bool:
    """Whether a processing code says that the system failed: then nothing is known for sure."""
    return result[3:4] == "S"


def words_for(code: str, *, chinese: bool = True) -> str:
    """What a status, reject or processing code means; empty for one we do not know."""
    meaning = STATUS.get(code) or REJECT.get(code) or _RESULT.get(code[3:])
    if meaning is None:
        return ""
    return meaning.zh if chinese else meaning.en
