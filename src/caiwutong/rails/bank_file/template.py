"""A bank's batch template (批量模板) as dated data: columns, words, limits; nothing of it is code.

Banks change their templates by notice, so each has the days it is good for and its source. The
ones that come with the house are in ``templates/``; an operator's own lie as files of the same form
in the data folder and go before ours. What cannot work is refused when it is read, with the place.
Next: ``codec.py``, which writes and reads by a template.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from caiwutong.kernel.errors import Refused

_SHIPPED = Path(__file__).with_name("templates")
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
_Words = tuple[_Text, ...]


class Field(StrEnum):
    """What a column of a batch template holds."""

    SEQUENCE = "sequence"
    """序号: 1, 2, 3 …"""
    DAY = "day"
    PAYER_ACCOUNT = "payer_account"
    PAYER_NAME = "payer_name"
    PAYEE_ACCOUNT = "payee_account"
    PAYEE_NAME = "payee_name"
    PAYEE_BANK_CODE = "payee_bank_code"
    PAYEE_BANK_NAME = "payee_bank_name"
    IN_BANK = "in_bank"
    """行内 or 跨行, in the template's two words."""
    URGENT = "urgent"
    """加急 or 普通, in the template's two words."""
    AMOUNT = "amount"
    CURRENCY = "currency"
    PURPOSE = "purpose"
    REMARK = "remark"
    REFERENCE = "reference"
    """企业流水号: our reference, in a column of its own."""
    CONSTANT = "constant"
    """The same words in every row."""


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column, in the order of the bank's template."""

    field: Field
    title: _Text
    required: bool = False
    max_chars: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 120
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=4000)] | None = None
    """In the file's encoding; banks that count 汉字 as two mean this."""
    value: str = ""
    """CONSTANT: the words. CURRENCY: what CNY is called."""
    yes: str = ""
    no: str = ""
    """IN_BANK and URGENT: the two words."""


class ResultColumn(StrEnum):
    """What a column of a result file can mean."""

    REFERENCE = "reference"
    PAYEE_ACCOUNT = "payee_account"
    PAYEE_NAME = "payee_name"
    AMOUNT = "amount"
    STATUS = "status"
    REASON = "reason"
    BANK_REFERENCE = "bank_reference"
    REMARK = "remark"


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bank's result file (回盘文件): its header words, and what its status words mean.

    A word that stands nowhere here is doubt, never a no.
    """

    columns: dict[ResultColumn, _Words]
    settled: _Words
    rejected: _Words
    accepted: _Words = ()
    doubtful_reasons: _Words = ("重复", "已存在", "已受理", "超时", "通讯", "通信", "未知", "可疑")
    """A no with one of these in its reason is no definite no: the row may have been executed, by an
    earlier upload of the same file or after all."""


class StatementColumn(StrEnum):
    """What a column of a statement export (交易明细) can mean."""

    LINE_ID = "line_id"
    DAY = "day"
    TIME = "time"
    PAID_OUT = "paid_out"
    """支出 / 借方发生额"""
    PAID_IN = "paid_in"
    """收入 / 贷方发生额"""
    AMOUNT = "amount"
    """One column for both directions; needs DIRECTION or a sign."""
    DIRECTION = "direction"
    BALANCE = "balance"
    COUNTERPARTY_NAME = "counterparty_name"
    COUNTERPARTY_ACCOUNT = "counterparty_account"
    REFERENCE = "reference"
    SUMMARY = "summary"
    REMARK = "remark"


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bank's statement export: its header words, and how it says in and out."""

    columns: dict[StatementColumn, _Words]
    out_words: _Words = ("借", "支出", "出", "往账", "D")
    in_words: _Words = ("贷", "收入", "入", "来账", "C")
    fee_words: _Words = ("手续费", "服务费", "工本费", "年费")
    interest_words: _Words = ("利息", "结息")
    return_words: _Words = ("退汇", "退票", "退回")
    correction_words: _Words = ("冲正", "冲销", "抹账")


class BankTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bank's formats for some time."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
    title: _Text
    valid_from: date
    valid_until: date | None = None
    """The last day; None: until another one is put beside it."""
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    """Where it is from and how sure we are."""
    format: Literal["csv", "xlsx"]
    encoding: Literal["gbk", "gb18030", "utf-8", "utf-8-sig"] = "gbk"
    """Of a CSV. A workbook holds every character; there it says what the bank can keep."""
    delimiter: Literal[",", "\t", "|", ";"] = ","
    line_end: Literal["\r\n", "\n"] = "\r\n"
    sheet: _Text = "Sheet1"
    file_name: _Text
    """Pattern with {account4}, {day}, {number}; unique for an account's day."""
    top: tuple[tuple[str, ...], ...] = ()
    """Rows above the header; {rows}, {total}, {day}, {payer_account}, {payer_name} are filled
    in."""
    header: bool = True
    columns: tuple[Column, ...]
    reference_in: Field = Field.REFERENCE
    """The column that carries our reference: one of its own, or PURPOSE or REMARK, where it stands
    before the words."""
    amount: Literal["yuan", "fen"] = "yuan"
    max_rows: Annotated[int, msgspec.Meta(ge=1, le=5000)]
    max_total_fen: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_amount_fen: Annotated[int, msgspec.Meta(ge=1)] | None = None
    answer_within_hours: Annotated[int, msgspec.Meta(ge=1, le=24 * 30)] = 24
    """After the export; then people are asked what became of it. Nothing else follows."""
    result: Result
    statement: Statement

    def good_on(self, day: date) -> bool:
        """Whether the bank takes this template on a day in China."""
        return self.valid_from <= day and (self.valid_until is None or day <= self.valid_until)

    def column(self, field: Field) -> Column | None:
        """The column of this field, or None."""
        return next((each for each in self.columns if each.field is field), None)


def read_template(raw: bytes, where: str) -> BankTemplate:
    """The template in this JSON. Raises Refused, naming ``where`` and the fault."""
    try:
        template = msgspec.json.decode(raw, type=BankTemplate)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _bad(where, str(error)[:200]) from error
    if fault := _fault(template):
        raise _bad(where, fault)
    return template


def _fault(template: BankTemplate) -> str:
    fields = [column.field for column in template.columns]
    for needed in (Field.PAYEE_ACCOUNT, Field.PAYEE_NAME, Field.AMOUNT, template.reference_in):
        if needed not in fields:
            return f"no column holds {needed.value}"
    once = [field for field in fields if field is not Field.CONSTANT]
    if len(once) != len(set(once)):
        return "two columns hold the same field"
    if template.reference_in not in (Field.REFERENCE, Field.PURPOSE, Field.REMARK):
        return f"the reference cannot travel in {template.reference_in.value}"
    carrier = template.column(template.reference_in)
    if carrier is not None and min(carrier.max_chars, carrier.max_bytes or 20) < 20:
        return "the column of the reference holds fewer than its 20 characters"
    if template.valid_until is not None and template.valid_until < template.valid_from:
        return "it ends before it begins"
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template.file_name) if name}
        if names - {"account4", "day", "number"} or "number" not in names:
            return "file_name knows {account4}, {day} and {number}, and must have {number}"
        file_name(template, "0000", date(2026, 1, 1), 1)
        for row in template.top:
            for cell in row:
                cell.format(rows=1, total="", day="", payer_account="", payer_name="")
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        return f"a pattern cannot be filled in ({str(error)[:60]})"
    return _fault_of_results(template)


def _fault_of_results(template: BankTemplate) -> str:
    result, statement = template.result, template.statement
    if ResultColumn.STATUS not in result.columns:
        return "the result has no column of the status"
    carried = {ResultColumn.REFERENCE, ResultColumn.REMARK} & set(result.columns)
    if not carried:
        return "the result echoes our reference nowhere (reference or remark)"
    words = [plain(w) for w in (*result.settled, *result.rejected, *result.accepted)]
    if len(words) != len(set(words)):
        return "one status word means two things"
    if not {StatementColumn.DAY, StatementColumn.BALANCE} <= set(statement.columns):
        return "the statement needs the columns day and balance"
    if StatementColumn.AMOUNT not in statement.columns and not (
        {StatementColumn.PAID_OUT, StatementColumn.PAID_IN} <= set(statement.columns)
    ):
        return "the statement needs amount, or paid_out and paid_in"
    return ""


def _bad(where: str, fault: str) -> Refused:
    return Refused(
        "bank_file.bad_template",
        f"The bank template {where[:80]} cannot be used: {fault}.",
        "Compare it with the templates that come with the house; see docs/rails/bank-file.md.",
    )


_SPACE = re.compile(r"\s+")


def plain(words: str) -> str:
    """Words as status words and headers are compared: full-width forms folded, no spaces."""
    return _SPACE.sub("", unicodedata.normalize("NFKC", words)).strip("*:").lower()


def file_name(template: BankTemplate, account: str, day: date, number: int) -> str:
    """The name under which a batch is handed out."""
    name = template.file_name.format(account4=account[-4:], day=f"{day:%Y%m%d}", number=number)
    suffix = f".{template.format}"
    return name if name.lower().endswith(suffix) else name + suffix


def shipped() -> list[BankTemplate]:
    """The templates that come with the house."""
    return [read_template(p.read_bytes(), p.name) for p in sorted(_SHIPPED.glob("*.json"))]


def own_templates(folder: Path) -> list[BankTemplate]:
    """An operator's templates in this folder (none where it is missing). Raises Refused."""
    if not folder.is_dir():
        return []
    return [read_template(p.read_bytes(), p.name) for p in sorted(folder.glob("*.json"))]


class BankFileConnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which template a bank takes: one entry of ``bank_file`` in ``connections.json``."""

    bank: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{3,12}$")]
    """联行号 or its beginning: three digits are the whole bank. The longest that fits counts."""
    template: str
    """Name of the template; its version is the one good on the day."""


class Templates:
    """Which template to use for a bank on a day."""

    def __init__(
        self, connections: Iterable[BankFileConnection], templates: Sequence[BankTemplate]
    ) -> None:
        """``templates``: what is found first goes before what comes later, so an operator's own
        stand before the shipped ones. Raises Refused when a connection names none of them."""
        self._connections = sorted(connections, key=lambda c: -len(c.bank))
        self.all = tuple(templates)
        for connection in self._connections:
            if all(t.name != connection.template for t in templates):
                raise Refused(
                    "bank_file.no_such_template",
                    f"Bank {connection.bank} is to use template {connection.template[:40]!r}, "
                    "which is not here.",
                    "Name one of: " + ", ".join(sorted({t.name for t in templates})) + ".",
                )

    def for_bank(self, bank_code: str, day: date) -> BankTemplate:
        """The template this bank takes on this day. Raises Refused when there is none."""
        names = [c.template for c in self._connections if bank_code.startswith(c.bank)]
        for template in self.all:
            if names and template.name == names[0] and template.good_on(day):
                return template
        why = f"template {names[0]} is not good on {day}" if names else "no template is named"
        raise Refused(
            "bank_file.no_template",
            f"For bank {bank_code or '(no 联行号)'} {why}.",
            "Put its template beside the others and name it in connections.json (bank_file).",
        )

    def named(self, name: str, day: date) -> BankTemplate:
        """The version of a template good on a day. Raises Refused."""
        for template in self.all:
            if template.name == name and template.good_on(day):
                return template
        raise Refused(
            "bank_file.no_template",
            f"Template {name[:40]!r} is not good on {day}.",
            "Put the version of that day beside the others.",
        )

    def in_use(self) -> list[BankTemplate]:
        """Every version of every template some bank takes."""
        names = {c.template for c in self._connections}
        return [t for t in self.all if t.name in names]
