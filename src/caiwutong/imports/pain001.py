"""ISO 20022 pain.001 (customer credit transfer initiation), versions .001.001.03 to .12.

Reads any namespace, national variants included: elements are known by their local names. What is
not pain.001 is refused by its right name (a pain.002 status report, a camt.053 statement). The
number of transactions and the control sum are checked where the file states them. Each transaction
becomes a row of named cells and goes through the same rules as a row of a table (``rows.py``), so
that a transaction in EUR is refused with the reason a row in EUR is. Element names and their
meaning: ISO 20022 message definition reports, Payments Initiation, pain.001.001.03 and later.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from caiwutong.imports.columns import Layout
from caiwutong.imports.model import Field, SourceRow
from caiwutong.kernel.errors import Refusal, Refused
from caiwutong.rails.contract import BadMessage
from caiwutong.rails.xml import parse
from caiwutong.sheets.model import DateOrder, Raw

Element = Any
"""An lxml element; lxml ships no types."""

MAX_BYTES = 64 << 20

_KNOWN = {
    "CstmrPmtStsRpt": ("pain.002", "a payment status report"),
    "CstmrPmtRvsl": ("pain.007", "a payment reversal"),
    "CstmrDrctDbtInitn": ("pain.008", "a direct debit initiation"),
    "CdtrPmtActvtnReq": ("pain.013", "a request to pay"),
    "BkToCstmrAcctRpt": ("camt.052", "an account report"),
    "BkToCstmrStmt": ("camt.053", "a bank statement"),
    "BkToCstmrDbtCdtNtfctn": ("camt.054", "a debit and credit notification"),
    "FIToFICstmrCdtTrf": ("pacs.008", "a transfer between banks"),
    "FIToFIPmtStsRpt": ("pacs.002", "a status report between banks"),
    "PmtRtr": ("pacs.004", "a payment return"),
}
_METHODS = {"TRF", "TRA"}
"""Credit transfer, and credit transfer with advice: both move money to an account. CHK writes a
cheque and is refused."""


class Pain001(msgspec.Struct, frozen=True):
    """A pain.001 file as rows, and what is wrong with it as a whole."""

    version: str
    """The namespace's message name where it has one: ``pain.001.001.03``."""
    message_id: str
    rows: list[SourceRow]
    faults: list[Refusal]


class Pain001Source:
    """A pain.001 file as a ``Source``."""

    kind = "pain.001"
    typed = True
    layout = Layout(0, {}, {})
    date_order = DateOrder.UNKNOWN
    rounded: frozenset[Field] = frozenset()

    def __init__(self, message: Pain001) -> None:
        self._message = message
        self.total = len(message.rows)
        self.faults = message.faults
        self.notes = [f"{message.version or 'pain.001'} message {message.message_id[:35]} is read."]

    def rows(self) -> Iterator[SourceRow]:
        yield from self._message.rows

    def close(self) -> None:
        pass


def read(data: bytes, *, max_transactions: int = 200_000) -> Pain001:
    """The transactions of the message. Raises Refused for XML that is hostile, broken, or not a
    pain.001; what does not add up is told in ``faults``."""
    root = _parse(data)
    message = _message_of(root)
    header = _child(message, "GrpHdr")
    rows: list[SourceRow] = []
    faults: list[Refusal] = []
    for group in _children(message, "PmtInf"):
        first = len(rows)
        for transaction in _children(group, "CdtTrfTxInf"):
            if len(rows) == max_transactions:
                raise Refused(
                    "imports.too_many_rows",
                    f"The message has more than {max_transactions:,} transactions.",
                    "Split it into several messages.",
                )
            rows.append(_row(len(rows) + 1, group, transaction))
        name = f"PmtInf {_value(group, 'PmtInfId')[:35]}"
        faults += _sums(name, group, rows[first:])
    if header is not None:
        faults += _sums("The message", header, rows)
    if not rows:
        faults.append(
            Refusal("imports.empty", "The message holds no transaction.", "Export it again.")
        )
    return Pain001(_version(root), _value(header, "MsgId"), rows, faults)


def _parse(data: bytes) -> Element:
    try:
        return parse(data, max_bytes=MAX_BYTES, comments_between=True)
    except BadMessage as error:
        raise Refused(error.code, error.detail, error.cure) from error


def _message_of(root: Element) -> Element:
    names = [_local(root)] + [_local(child) for child in root]
    if names[0] == "Document" and "CstmrCdtTrfInitn" in names:
        return _child(root, "CstmrCdtTrfInitn")
    if "pain.001.001.02" in names:
        raise Refused(
            "imports.pain001_old",
            "The message is pain.001.001.02, older than the versions read here.",
            "Export it as pain.001.001.03 or later.",
        )
    for name in names:
        if name in _KNOWN:
            message, what = _KNOWN[name]
            raise Refused(
                "imports.not_pain001",
                f"The file is {message}, {what}, not a pain.001 with payments to make.",
                "Choose the pain.001 your system exports; statements and reports are read "
                "elsewhere.",
                message=message,
            )
    if names[0] == "Workbook":
        raise Refused(
            "imports.not_a_list",
            "The file is an XML spreadsheet of 2003.",
            "Open it in your spreadsheet program and save it as .xlsx.",
        )
    raise Refused(
        "imports.not_pain001",
        f"The XML begins with {names[0][:40]}; it is not an ISO 20022 pain.001.",
        "Choose the pain.001 your system exports, or save the payments as .xlsx or CSV.",
    )


def _version(root: Element) -> str:
    space = str(root.tag).partition("}")[0]
    at = space.find("pain.001")
    return space[at : at + 15] if at >= 0 else ""


# ---------------------------------------------------------------------------------- one transaction


def _row(number: int, group: Element, transaction: Element) -> SourceRow:
    refusals: list[Refusal] = []
    amount, currency = _amount(transaction, refusals)
    method = _value(group, "PmtMtd")
    if method not in _METHODS:
        refusals.append(
            Refusal(
                "imports.payment_method",
                f"The payment method {method[:8] or '(none)'} is not a transfer.",
                "Only TRF and TRA move money to an account.",
            )
        )
    agent = _child(transaction, "CdtrAgt", "FinInstnId")
    cells: dict[Field, Raw] = {
        Field.PAYER_ACCOUNT: _account(_child(group, "DbtrAcct", "Id")),
        Field.PAYEE_NAME: _value(transaction, "Cdtr", "Nm"),
        Field.PAYEE_ACCOUNT: _account(_child(transaction, "CdtrAcct", "Id")),
        Field.BANK_CODE: _bank_code(agent),
        Field.BANK_NAME: _value(agent, "Nm"),
        Field.AMOUNT: amount,
        Field.CURRENCY: currency,
        Field.PURPOSE: _purpose(group, transaction),
        Field.REMARK: _remittance(transaction),
        Field.EXECUTE_ON: _day(_child(group, "ReqdExctnDt")),
        Field.PRIORITY: _priority(group, transaction),
        Field.ROW_KEY: _key(transaction),
        Field.INVOICE: _value(transaction, "RmtInf", "Strd", "RfrdDocInf", "Nb"),
    }
    return SourceRow(number, cells, tuple(refusals))


def _amount(transaction: Element, refusals: list[Refusal]) -> tuple[str, str]:
    instructed = _child(transaction, "Amt", "InstdAmt")
    if instructed is not None:
        return _text(instructed), str(instructed.get("Ccy", ""))[:8] or "(none)"
    equivalent = _child(transaction, "Amt", "EqvtAmt")
    currency = _value(equivalent, "CcyOfTrf")
    refusals.append(
        Refusal(
            "imports.amount_equivalent",
            f"The amount is an equivalent in another currency ({currency[:3] or 'none'}), "
            "not an instructed amount.",
            "Give InstdAmt in CNY; the hub does not exchange money.",
        )
        if equivalent is not None
        else Refusal(
            "imports.amount_blank", "The transaction has no amount.", "Give InstdAmt in CNY."
        )
    )
    amount = _child(equivalent, "Amt")
    return _text(amount), str(amount.get("Ccy", ""))[:8] if amount is not None else ""


def _account(holder: Element) -> str:
    return _value(holder, "IBAN") or _value(holder, "Othr", "Id")


def _bank_code(agent: Element) -> str:
    """The clearing member id when it is a 联行号 of twelve digits (scheme CNAPS or unnamed)."""
    member = _value(agent, "ClrSysMmbId", "MmbId") or _value(agent, "Othr", "Id")
    return member if member.isdigit() and len(member) in (11, 12) else ""


def _purpose(group: Element, transaction: Element) -> str:
    return (
        _value(transaction, "Purp", "Prtry")
        or _value(transaction, "Purp", "Cd")
        or _value(transaction, "PmtTpInf", "CtgyPurp", "Prtry")
        or _value(transaction, "PmtTpInf", "CtgyPurp", "Cd")
        or _value(group, "PmtTpInf", "CtgyPurp", "Prtry")
        or _value(group, "PmtTpInf", "CtgyPurp", "Cd")
    )


def _remittance(transaction: Element) -> str:
    information = _child(transaction, "RmtInf")
    if information is None:
        return ""
    words = [_text(line) for line in _children(information, "Ustrd")]
    words += [_value(part, "CdtrRefInf", "Ref") for part in _children(information, "Strd")]
    return " ".join(word for word in words if word)


def _priority(group: Element, transaction: Element) -> str:
    return _value(transaction, "PmtTpInf", "InstrPrty") or _value(group, "PmtTpInf", "InstrPrty")


def _day(day: Element) -> str:
    """``ReqdExctnDt`` is a date up to version 07 and a choice of Dt or DtTm from 08 on."""
    if day is None:
        return ""
    return (_value(day, "Dt") or _value(day, "DtTm") or _text(day)).partition("+")[0][:19]


def _key(transaction: Element) -> str:
    for name in ("EndToEndId", "InstrId"):
        key = _value(transaction, "PmtId", name)
        if key and key.upper().replace(" ", "") not in ("NOTPROVIDED", "NONREF"):
            return key
    return ""


# ---------------------------------------------------------------------------------- sums


def _sums(name: str, holder: Element, rows: list[SourceRow]) -> list[Refusal]:
    """Why the stated number or control sum of this part does not fit its transactions. The sum is
    over the amounts as numbers, whatever their currencies (ISO 20022, ControlSum)."""
    faults: list[Refusal] = []
    told = _value(holder, "NbOfTxs")
    if told and told.strip() != str(len(rows)) and _number(told) != len(rows):
        faults.append(
            Refusal(
                "imports.transaction_count",
                f"{name} says {told[:15]} transactions and holds {len(rows)}.",
                "The file is incomplete or was changed by hand; export it again.",
            )
        )
    told = _value(holder, "CtrlSum")
    amounts = [_number(str(row.cells[Field.AMOUNT])) for row in rows]
    known = [amount for amount in amounts if amount is not None]
    if told and len(known) == len(rows) and _number(told) != sum(known):
        faults.append(
            Refusal(
                "imports.control_sum",
                f"{name} says a control sum of {told[:20]}; its transactions sum to {sum(known)}.",
                "The file is incomplete or was changed by hand; export it again.",
            )
        )
    return faults


def _number(words: str) -> Decimal | None:
    try:
        number = Decimal(words)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


# ---------------------------------------------------------------------------------- elements


def _local(element: Element) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _children(element: Element, name: str) -> Iterator[Element]:
    for child in element if element is not None else ():
        if _local(child) == name:
            yield child


def _child(element: Element, *path: str) -> Element | None:
    for name in path:
        if element is None:
            return None
        element = next(_children(element, name), None)
    return element


def _text(element: Element) -> str:
    return (element.text or "").strip() if element is not None else ""


def _value(element: Element, *path: str) -> str:
    return _text(_child(element, *path))
