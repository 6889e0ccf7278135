"""What a well-formed account and payee are, how numbers are normalised, what may follow what. Pure.

Corporate account numbers have no check digit that all banks share: never run Luhn on them. A bank
code's check digit is a warning elsewhere, not a reason to refuse (no public text defines it).
"""

from __future__ import annotations

import re
from typing import Protocol

import msgspec

from caiwutong.bank_accounts.model import (
    AccountState,
    BankAccountChange,
    BankAccountRow,
    NewBankAccount,
)
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import CURRENCIES, MAX_AMOUNT_FEN, yuan

_ACCOUNT = re.compile(r"[0-9A-Z]{5,32}")
_BANK_CODE = re.compile(r"[0-9]{12}")
_RAIL = re.compile(r"[a-z][a-z0-9_]{1,31}")
_SPACING = str.maketrans("", "", " -\u3000\u00a0")
_NAME_CHARS = 120
"""GB/T 20543.2 and CNAPS2 ``Nm``: 60 Chinese characters; some banks take 120 bytes."""


class BlindIndex(Protocol):
    """The part of the vault that makes blind indexes."""

    def blind_index(self, kind: str, normalised: str) -> bytes: ...


def normalise_account(text: str) -> str:
    """The number as it is compared: no spaces or hyphens, capitals. Raises Refused."""
    number = text.translate(_SPACING).upper()
    if _ACCOUNT.fullmatch(number) is None:
        raise Refused(
            "bank_accounts.bad_account",
            f"The account number ending {number[-4:]!r} is not 5 to 32 digits and capital letters.",
            "Write the account number as it stands on the bank's statement.",
        )
    return number


def account_index(vault: BlindIndex, account: str) -> bytes:
    """16 bytes by which rows about one account number find each other, whoever's account it is:
    what ``payee_index`` of an order and of a mandate is."""
    return vault.blind_index("account", account.translate(_SPACING).upper())


def check_bank_code(bank_code: str) -> None:
    """Refuse what cannot be a 联行号: it has twelve digits."""
    if _BANK_CODE.fullmatch(bank_code) is None:
        raise Refused(
            "bank_accounts.bad_bank_code",
            f"The bank code {bank_code[:16]!r} does not have twelve digits.",
            "Write the 联行号 of the branch, twelve digits.",
        )


def check_name(name: str, what: str) -> None:
    """Refuse an empty or endless name, and one with control characters."""
    if not name.strip() or len(name) > _NAME_CHARS or not name.isprintable():
        raise Refused(
            "bank_accounts.bad_name",
            f"The {what} name has {len(name)} characters, or some that cannot be printed.",
            f"Write the name as the bank knows it, 1 to {_NAME_CHARS} printable characters.",
        )


def check_new(new: NewBankAccount) -> None:
    """Refuse a bank account that cannot be one."""
    check_name(new.name, "account")
    check_bank_code(new.bank_code)
    _check_access_modes(new.access_modes)
    _check_overdraft(new.overdraft_fen)
    if new.currency not in CURRENCIES:
        raise Refused(
            "money.unknown_currency",
            f"Currency {new.currency[:8]!r} is not kept here.",
            "Use CNY; domestic clearing carries CNY only.",
        )
    if not -new.overdraft_fen <= new.opening_balance_fen <= MAX_AMOUNT_FEN:
        raise Refused(
            "bank_accounts.bad_opening_balance",
            f"The opening balance {yuan(new.opening_balance_fen)} is below the overdraft "
            f"{yuan(new.overdraft_fen)} or above {yuan(MAX_AMOUNT_FEN)}.",
            "Give what the bank's statement shows, in fen, and the authorised overdraft.",
        )


def changed(row: BankAccountRow, change: BankAccountChange) -> BankAccountRow:
    """The next version of an account. Raises Refused for what may not follow."""
    if row.state == AccountState.CLOSED:
        raise Refused(
            "bank_accounts.closed",
            f"The account …{row.last_four} is closed; a closed account does not change.",
            "Add the account again if the bank has opened a new one.",
        )
    if change.name is not None:
        check_name(change.name, "account")
    if change.access_modes is not None:
        _check_access_modes(change.access_modes)
    if change.overdraft_fen is not None:
        _check_overdraft(change.overdraft_fen)
    given = {
        name: value
        for name in change.__struct_fields__
        if (value := getattr(change, name)) is not None
    }
    return msgspec.structs.replace(row, **given, version=row.version + 1)


def _check_access_modes(access_modes: tuple[str, ...]) -> None:
    for mode in access_modes:
        if _RAIL.fullmatch(mode) is None:
            raise Refused(
                "bank_accounts.bad_access_mode",
                f"{mode[:32]!r} is not the name of a rail.",
                "Name rails as the house does, for example ibps or bank_direct.",
            )


def _check_overdraft(overdraft_fen: int) -> None:
    if not 0 <= overdraft_fen <= MAX_AMOUNT_FEN:
        raise Refused(
            "bank_accounts.bad_overdraft",
            f"The authorised overdraft {yuan(overdraft_fen)} is not between zero and "
            f"{yuan(MAX_AMOUNT_FEN)}.",
            "Give the overdraft the bank has authorised, in fen; zero where there is none.",
        )
