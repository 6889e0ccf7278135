"""The reject codes the sandbox gives, with the words that go with them.

Codes are those of the CNAPS2 and IBPS message standards (RJ01–RJ99); the words are ours.
"""

from __future__ import annotations

NO_ACCOUNT = "RJ01"
NAME_MISMATCH = "RJ02"
INSUFFICIENT = "RJ03"
LIMIT = "RJ04"
ACCOUNT_TYPE = "RJ08"
ACCOUNT_STATE = "RJ11"
REVOKED_CODE = "RJ20"
BAD_SIGNATURE = "RJ35"
OTHER = "RJ90"
CENTRE_CHECK = "RJ91"
PAYER_BANK = "RJ92"
QUOTA = "RJ94"
PAYEE_BANK = "RJ95"
END_OF_DAY = "RJ99"

WORDS = {
    NO_ACCOUNT: "账号不存在",
    NAME_MISMATCH: "账号户名不符",
    INSUFFICIENT: "账户余额不足",
    LIMIT: "金额超限",
    ACCOUNT_TYPE: "账户类型不符",
    ACCOUNT_STATE: "账户状态错误",
    REVOKED_CODE: "业务已撤销",
    BAD_SIGNATURE: "数字签名错误",
    OTHER: "其他错误",
    CENTRE_CHECK: "网银中心检查错误",
    PAYER_BANK: "付款行拒绝",
    QUOTA: "轧差额度不足",
    PAYEE_BANK: "收款行拒绝",
    END_OF_DAY: "日终退回",
}


def words_of(code: str) -> str:
    """The words for a reject code; empty for none."""
    return WORDS.get(code, "")
