"""The words of bank accounts and payees.

A *bank account* (银行账户) is at a bank; a *ledger account* is in our books. A *payee* (收款人) is
a counterparty whose data we keep, checked once and used often.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from caiwutong.kernel.money import CNY


class Nature(StrEnum):
    """账户性质 (人民币银行结算账户管理办法, PBoC 2003, articles 3 and 11 to 14)."""

    BASIC = "basic"
    """基本存款账户: wages and cash; one per entity."""
    GENERAL = "general"
    """一般存款账户: loans and settlement."""
    SPECIAL = "special"
    """专用存款账户: earmarked money; never swept."""
    TEMPORARY = "temporary"
    """临时存款账户: for a limited time."""


class AccountState(StrEnum):
    """active → stopped 停用 → active; closed 销户 is the end."""

    ACTIVE = "active"
    STOPPED = "stopped"
    CLOSED = "closed"


class BankAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account of ours at a bank, with its place in our books."""

    bank_account_id: UUID
    tenant: str
    member_unit_id: UUID
    legal_entity_id: UUID
    name: str
    """户名, as the bank knows it."""
    account: str
    """The account number in clear. In memory only: at rest it is sealed."""
    bank_code: str
    """联行号, twelve digits."""
    bank_name: str
    nature: Nature
    access_modes: tuple[str, ...]
    """The rails that reach it, by name: ``ibps``, ``bank_direct`` …"""
    currency: str
    state: AccountState
    outward: bool
    """Whether payments may leave it (a collection account may not)."""
    overdraft_fen: int
    """法人透支, as the bank authorised it."""
    ledger_account_id: UUID
    """1002 银行存款: what we believe stands there."""
    counter_account_id: UUID
    """2202 应付账款 of its legal entity: the other side of a payment."""
    suspense_account_id: UUID
    """1221 待查 of its legal entity: bank lines nobody has explained yet."""
    version: int
    created_at: datetime

    @property
    def masked(self) -> str:
        """How messages and screens name it: ``…0417``."""
        return f"…{self.account[-4:]}"


class NewBankAccount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is needed to add one. With an opening balance, an opening entry is booked."""

    member_unit_id: UUID
    name: str
    account: str
    bank_code: str
    bank_name: str
    nature: Nature = Nature.GENERAL
    access_modes: tuple[str, ...] = ()
    currency: str = CNY
    outward: bool = True
    overdraft_fen: int = 0
    opening_balance_fen: int = 0
    """What the bank says stands there as the books begin; below zero when it is overdrawn."""


class BankAccountChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change; None leaves a field as it is. Number and bank never change: another number
    is another account."""

    name: str | None = None
    bank_name: str | None = None
    nature: Nature | None = None
    access_modes: tuple[str, ...] | None = None
    state: AccountState | None = None
    outward: bool | None = None
    overdraft_fen: int | None = None


class EntityAccounts(msgspec.Struct, frozen=True):
    """The ledger accounts a legal entity has once, whatever number of bank accounts."""

    payables: UUID
    """2202 应付账款, credit-normal."""
    suspense: UUID
    """1221 待查 (其他应收款), debit-normal."""
    opening: UUID
    """3001 opening entries (期初), credit-normal."""
    fees: UUID
    """6603 财务费用: bank fees and interest, debit-normal."""
    internal: UUID
    """1221 内部往来, debit-normal."""


class PayeeState(StrEnum):
    ACTIVE = "active"
    STOPPED = "stopped"


class Payee(msgspec.Struct, frozen=True, kw_only=True):
    """Someone we pay, in one version of their data."""

    payee_id: UUID
    name: str
    account: str
    """In clear, in memory only."""
    bank_code: str
    """联行号, or empty where the rail finds the bank."""
    bank_name: str
    state: PayeeState
    index: bytes
    """The blind index of the account: what a mandate names."""
    version: int
    created_at: datetime
    changed_at: datetime

    @property
    def masked(self) -> str:
        return f"…{self.account[-4:]}"


class NewPayee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is needed to keep a payee."""

    name: str
    account: str
    bank_code: str = ""
    bank_name: str = ""


class PayeeChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change; None leaves a field as it is. Each change is a new version."""

    name: str | None = None
    account: str | None = None
    bank_code: str | None = None
    bank_name: str | None = None
    state: PayeeState | None = None


class BankAccountRow(msgspec.Struct, frozen=True):
    """A bank account as it is kept: the number sealed, found by its blind index."""

    bank_account_id: UUID
    member_unit_id: UUID
    legal_entity_id: UUID
    name: str
    account_sealed: bytes
    account_index: bytes
    last_four: str
    bank_code: str
    bank_name: str
    nature: str
    access_modes: tuple[str, ...]
    currency: str
    state: str
    outward: bool
    overdraft_fen: int
    ledger_account_id: UUID
    counter_account_id: UUID
    suspense_account_id: UUID
    version: int
    created_at: datetime


class PayeeRow(msgspec.Struct, frozen=True):
    """One version of a payee as it is kept."""

    payee_id: UUID
    version: int
    name: str
    account_sealed: bytes
    account_index: bytes
    last_four: str
    bank_code: str
    bank_name: str
    state: str
    created_at: datetime
    changed_at: datetime
