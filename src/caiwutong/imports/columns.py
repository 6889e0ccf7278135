"""Header recognition: which column means what, in the words finance staff really write.

Headers are compared after folding: full-width to half-width, no spaces, 帐 as 账, marks such as
``*`` and （必填） gone. A *strong* name always means its field; a *weak* one (账号, 备注) only
where no strong one stands for the same field. Missing and doubled columns are named in one refusal.
Next: ``template.py`` writes a file this module recognises.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import msgspec

from caiwutong.imports.model import Field
from caiwutong.kernel.errors import Refusal
from caiwutong.sheets.cells import text
from caiwutong.sheets.model import Raw

TITLES: dict[Field, str] = {
    Field.ROW_KEY: "流水号",
    Field.MEMBER_UNIT: "成员单位",
    Field.PAYER_ACCOUNT: "付款账号",
    Field.PAYEE_NAME: "收款户名",
    Field.PAYEE_ACCOUNT: "收款账号",
    Field.BANK_NAME: "开户行",
    Field.BANK_CODE: "联行号",
    Field.AMOUNT: "金额(元)",
    Field.CURRENCY: "币种",
    Field.PURPOSE: "用途",
    Field.REMARK: "附言",
    Field.EXECUTE_ON: "付款日期",
    Field.PRIORITY: "加急",
    Field.CHANNEL: "支付渠道",
    Field.CONTRACT: "合同号",
    Field.INVOICE: "发票号",
    Field.PROJECT: "项目",
    Field.BUDGET: "预算",
}
"""The header our own template writes for each field."""

_STRONG: dict[Field, str] = {
    Field.PAYER_ACCOUNT: "付款账号 付方账号 付款人账号 付款方账号 付款账户 付款卡号 付款银行账号 "
    "付款单位账号 转出账号 转出账户 借方账号 本方账号 付款账户号 payeraccount debitaccount "
    "fromaccount debtoraccount payeraccountno payeraccountnumber debitaccountnumber",
    Field.MEMBER_UNIT: "成员单位 单位编码 单位代码 成员单位编码 成员单位代码 成员单位名称 付款单位 "
    "付款单位编码 付款单位名称 memberunit unitcode unit",
    Field.PAYEE_NAME: "收款人 收款户名 收款人户名 收款人名称 "
    "收款方名称 收款方户名 收款单位 收款人姓名 "
    "收款单位名称 收款方 收款账户名称 收款账户名 "
    "收款账号名称 收方户名 收方名称 收款人全称 收款单位全称 "
    "对方户名 对方名称 贷方户名 payeename payee beneficiary beneficiaryname creditorname "
    "recipientname recipient",
    Field.PAYEE_ACCOUNT: "收款账号 收方账号 收款人账号 收款方账号 收款账户 收款卡号 收款银行账号 "
    "收款单位账号 收款人银行账号 收款人账户 收款账户号 "
    "转入账号 转入账户 对方账号 贷方账号 payeeaccount "
    "beneficiaryaccount creditaccount toaccount creditoraccount recipientaccount payeeaccountno "
    "payeeaccountnumber beneficiaryaccountnumber",
    Field.BANK_NAME: "开户行 开户银行 收款开户行 收款银行 收款人开户行 收款方开户行 收款人开户银行 "
    "收款行 收款行名称 开户行名称 开户银行名称 收款银行名称 收方开户行 收款人银行 收款开户银行 "
    "收款单位开户行 收款方开户行名称 开户网点 bankname beneficiarybank payeebank payeebankname "
    "beneficiarybankname",
    Field.BANK_CODE: "联行号 行号 收款行号 收款行联行号 开户行行号 开户行号 开户行联行号 大额行号 "
    "支付行号 银行联行号 收款联行号 收款人行号 收款方行号 收款银行行号 人行行号 人行联行号 cnaps "
    "cnapscode bankcode banknumber payeebankcode beneficiarybankcode",
    Field.AMOUNT: "金额 付款金额 支付金额 转账金额 交易金额 实付金额 应付金额 本次付款金额 付款额 "
    "金额小写 小写金额 实发金额 amount paymentamount payamount",
    Field.CURRENCY: "币种 币别 货币 currency ccy",
    Field.PURPOSE: "用途 付款用途 资金用途 转账用途 付款事由 款项用途 purpose usage",
    Field.REMARK: "附言 付款附言 转账附言 客户附言 remark message postscript",
    Field.EXECUTE_ON: "执行日期 付款日期 支付日期 预约日期 期望付款日期 计划付款日期 预约付款日期 "
    "转账日期 期望日期 executeon executiondate paymentdate paydate valuedate",
    Field.PRIORITY: "加急 是否加急 优先级 紧急程度 加急标志 priority urgent",
    Field.CHANNEL: "渠道 支付渠道 汇路 付款渠道 channel rail",
    Field.CONTRACT: "合同号 合同编号 合同 contract contractno contractnumber",
    Field.INVOICE: "发票号 发票号码 发票编号 发票 invoice invoiceno invoicenumber",
    Field.PROJECT: "项目 项目编号 项目号 项目代码 项目名称 project projectcode",
    Field.BUDGET: "预算 预算编号 预算科目 预算号 预算项目 预算代码 budget budgetcode",
    Field.ROW_KEY: "流水号 业务编号 业务流水号 付款编号 "
    "付款单号 单据编号 单据号 支付编号 企业流水号 "
    "客户流水号 业务参考号 参考号 付款流水号 rowkey reference businessno businessnumber key "
    "endtoendid paymentreference",
}
_WEAK: dict[Field, str] = {
    Field.PAYEE_NAME: "户名 账户名 账户名称 姓名 名称 name accountname",
    Field.PAYEE_ACCOUNT: "账号 卡号 银行账号 银行卡号 账户 account accountno accountnumber",
    Field.BANK_NAME: "银行 银行名称 bank",
    Field.PURPOSE: "摘要 事由 款项说明 description summary",
    Field.REMARK: "备注 说明 note notes memo",
    Field.EXECUTE_ON: "日期 date",
    Field.MEMBER_UNIT: "单位 单位名称 公司 分公司 subsidiary company",
    Field.ROW_KEY: "编号 单号 id",
}

_UNITS: dict[str, int] = (
    dict.fromkeys(("元", "人民币元", "人民币", "cny", "rmb", "yuan", "\u00a5"), 100)
    | dict.fromkeys(("分", "fen"), 1)
    | {"角": 10, "百元": 10_000, "千元": 100_000, "万元": 1_000_000, "万": 1_000_000}
    | {"百万元": 100_000_000, "亿元": 10_000_000_000}
)
"""What 1 is worth, in fen, in an amount column of this unit."""
_FOREIGN = {
    "美元",
    "usd",
    "欧元",
    "eur",
    "港币",
    "港元",
    "hkd",
    "日元",
    "jpy",
    "英镑",
    "gbp",
    "外币",
}
_MARKS = re.compile(r"[*※:·'\"`]|\((?:必填|选填|必输|选输|可选|required|optional|文本格式|文本)\)")

REQUIRED = (Field.PAYEE_NAME, Field.PAYEE_ACCOUNT, Field.AMOUNT)


class Layout(msgspec.Struct, frozen=True):
    """A recognised header: where each field stands and what 1 in the amount column is worth."""

    header_row: int
    """Row number of the header as the user sees it."""
    fields: dict[Field, int]
    """Field → index of its cell in the row."""
    titles: dict[Field, str]
    """Field → the header as the file writes it, for messages."""
    unit_fen: int = 100
    ignored: tuple[str, ...] = ()
    """Headers that mean nothing to a payment; said, so that nothing is dropped in silence."""


def folded(header: Raw) -> str:
    """A header as it is compared."""
    plain = unicodedata.normalize("NFKC", text(header)).lower()
    plain = re.sub(r"[\s_\-/.]+", "", plain)
    plain = plain.replace("帐", "账").replace("賬", "账").replace("戶", "户")
    return _MARKS.sub("", plain)


def _index(table: dict[Field, str]) -> dict[str, Field]:
    return {folded(name): field for field, names in table.items() for name in names.split()}


_STRONG_NAMES = _index(_STRONG)
_WEAK_NAMES = _index(_WEAK)


def _split_unit(name: str) -> tuple[str, int | None, bool]:
    """``金额(万元)`` → (金额, 1,000,000 fen, not foreign)."""
    match = re.fullmatch(r"(.+?)[(\[【](.+?)[)\]】]", name) or re.fullmatch(r"(.*金额)(.+)", name)
    if match is None:
        return name, None, False
    base, unit = match[1], re.sub(r"^(单位|币种)", "", match[2])
    if unit in _UNITS:
        return base, _UNITS[unit], False
    if unit in _FOREIGN:
        return base, None, True
    return name, None, False


def meaning(header: Raw) -> tuple[Field, bool] | None:
    """The field a header names and whether the name is strong, or None."""
    name = folded(header)
    base = _split_unit(name)[0]
    for candidate in (name, base):
        if candidate in _STRONG_NAMES:
            return _STRONG_NAMES[candidate], True
    bare = re.sub(r"\(.*?\)", "", name)  # 收款账号(对公)
    if bare in _STRONG_NAMES:
        return _STRONG_NAMES[bare], True
    for candidate in (name, bare):
        if candidate in _WEAK_NAMES:
            return _WEAK_NAMES[candidate], False
    return None


def likeness(row: Sequence[Raw]) -> int:
    """How many different fields this row names: the header is the row that names most."""
    found = {m[0] for cell in row if isinstance(cell, str) and (m := meaning(cell))}
    return len(found)


def recognise(row: Sequence[Raw], header_row: int) -> Layout | Refusal:
    """The layout of a file from its header row, or every missing and doubled column by name."""
    strong: dict[Field, list[int]] = {}
    weak: dict[Field, list[int]] = {}
    ignored: list[str] = []
    for at, cell in enumerate(row):
        found = meaning(cell)
        if found is None:
            if text(cell):
                ignored.append(text(cell)[:40])
        else:
            (strong if found[1] else weak).setdefault(found[0], []).append(at)
    fields: dict[Field, int] = {}
    doubled: list[str] = []
    for field in Field:
        places = strong.get(field) or weak.get(field) or []
        if len(places) > 1:
            doubled.append("、".join(text(row[at]) for at in places))
        if places:
            fields[field] = places[0]
        if field in strong:
            ignored += [text(row[at])[:40] for at in weak.get(field, [])]
    if refusal := _incomplete(fields, doubled, header_row):
        return refusal
    return _with_unit(row, header_row, fields, tuple(ignored))


def _incomplete(fields: dict[Field, int], doubled: list[str], header_row: int) -> Refusal | None:
    missing = [TITLES[field] for field in REQUIRED if field not in fields]
    if Field.PAYER_ACCOUNT not in fields and Field.MEMBER_UNIT not in fields:
        missing.append(f"{TITLES[Field.PAYER_ACCOUNT]} or {TITLES[Field.MEMBER_UNIT]}")
    if not missing and not doubled:
        return None
    parts: list[str] = []
    if missing:
        parts.append(f"missing: {', '.join(missing)}")
    if doubled:
        parts.append(f"doubled: {'; '.join(doubled)}")
    return Refusal(
        "imports.columns",
        f"The header in row {header_row} cannot be used: {' — '.join(parts)}.",
        "Give each column one header once, as in the template "
        "(`caiwutong import --template FILE.xlsx`).",
    )


def _with_unit(
    row: Sequence[Raw], header_row: int, fields: dict[Field, int], ignored: tuple[str, ...]
) -> Layout | Refusal:
    header = row[fields[Field.AMOUNT]]
    _, unit, foreign = _split_unit(folded(header))
    if foreign:
        return Refusal(
            "imports.currency_not_cny",
            f"The amount column {text(header)[:40]} is not in CNY.",
            "Domestic clearing carries CNY only.",
        )
    titles = {field: text(row[at])[:40] for field, at in fields.items()}
    return Layout(header_row, fields, titles, unit or 100, ignored)
