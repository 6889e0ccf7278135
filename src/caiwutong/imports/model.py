"""The words of a batch import: what a row is before and after it is understood.

A file becomes ``SourceRow``s (columns known, cells raw), a row becomes a ``Line`` (a frozen
``PaymentOrder`` with its row key) or a ``BadRow`` (every problem of the row, with cause and cure).
All of it is values; nothing here reads a file or touches a store. Next: ``sheets/cells.py`` for the
rules of cells, ``rows.py`` for the rules of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.order import PaymentOrder
from caiwutong.sheets.model import Raw


class Field(StrEnum):
    """What a column can mean."""

    PAYER_ACCOUNT = "payer_account"
    MEMBER_UNIT = "member_unit"
    PAYEE_NAME = "payee_name"
    PAYEE_ACCOUNT = "payee_account"
    BANK_NAME = "bank_name"
    BANK_CODE = "bank_code"
    AMOUNT = "amount"
    CURRENCY = "currency"
    PURPOSE = "purpose"
    REMARK = "remark"
    EXECUTE_ON = "execute_on"
    PRIORITY = "priority"
    CHANNEL = "channel"
    CONTRACT = "contract"
    INVOICE = "invoice"
    PROJECT = "project"
    BUDGET = "budget"
    ROW_KEY = "row_key"


class SourceRow(msgspec.Struct, frozen=True):
    """One row of a file with its columns named, before anything is believed."""

    row_no: int
    """As the user sees it: the row in Excel, or the position of the transaction in pain.001."""
    cells: dict[Field, Raw]
    refusals: tuple[Refusal, ...] = ()
    """What the reader itself already found wrong (pain.001: not a transfer, no plain amount)."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong or repaired in one row."""

    field: str
    code: str
    detail: str
    cure: str = ""


class Line(msgspec.Struct, frozen=True):
    """A row that can be paid."""

    row_no: int
    key: str
    """The caller's own row key (流水号), or empty."""
    order: PaymentOrder
    unit: str
    payer_account: str
    notes: tuple[Problem, ...] = ()
    """What was repaired, and warnings: nothing is changed silently."""


class BadRow(msgspec.Struct, frozen=True):
    """A row that cannot be paid, with every reason."""

    row_no: int
    key: str
    problems: tuple[Problem, ...]


class OwnAccount(msgspec.Struct, frozen=True):
    """One bank account of the enterprise, as an import needs to know it."""

    bank_account_id: UUID
    number: str
    unit_code: str
    unit_name: str
    bank_name: str = ""
    barred: str = ""
    """Why it cannot pay, in words that follow its name; empty when it can."""


class Directory(Protocol):
    """The enterprise's own accounts and member units (成员单位). Loaded once for an import."""

    def account(self, number: str) -> OwnAccount | None:
        """Our account with exactly this number, or None."""
        ...

    def accounts_of(self, unit: str) -> Sequence[OwnAccount] | None:
        """The accounts of the unit with this code or name; None when there is no such unit."""
        ...


class AccountBook:
    """A ``Directory`` over a list of accounts. Units are found by code or full name, whatever the
    case. A number that two banks share names neither: such a payer is refused, not guessed."""

    def __init__(self, accounts: Sequence[OwnAccount]) -> None:
        self._by_number: dict[str, OwnAccount] = {}
        self._by_unit: dict[str, list[OwnAccount]] = {}
        shared = set[str]()
        for account in accounts:
            if account.number in self._by_number:
                shared.add(account.number)
            self._by_number[account.number] = account
            for name in {account.unit_code.casefold(), account.unit_name.casefold()}:
                self._by_unit.setdefault(name, []).append(account)
        for number in shared:
            del self._by_number[number]

    def account(self, number: str) -> OwnAccount | None:
        return self._by_number.get(number)

    def accounts_of(self, unit: str) -> Sequence[OwnAccount] | None:
        return self._by_unit.get(unit.casefold())
