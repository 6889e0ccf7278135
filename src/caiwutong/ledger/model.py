"""The words of the ledger.

Amounts are integer fen. An account's balances are in its *normal* direction: ``posted`` rises by
debits on a debit-normal account and by credits on a credit-normal one; ``held`` is the part of it
that is promised (支付占用); ``available = posted − held``. Entries carry debit-positive amounts, so
that every currency sums to zero.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from uuid import UUID

import msgspec

from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.money import CNY


class NormalSide(IntEnum):
    """The side on which an account grows: +1 debit (asset, expense), −1 credit (the others)."""

    DEBIT = 1
    CREDIT = -1


class Account(msgspec.Struct, frozen=True):
    """A ledger account (核算账户) in our books; a bank account is another thing."""

    account_id: UUID
    code: str
    """Chart number and own part, unique per tenant: ``1002.b1`` (企业会计准则)."""
    name: str
    normal_side: NormalSide
    currency: str = CNY
    overdraft_fen: int | None = 0
    """How far *available* may fall below zero: the authorised overdraft (法人透支). None: no
    limit, for accounts that only mirror the outside (payables, equity, suspense)."""


class Balance(msgspec.Struct, frozen=True):
    """What stands on an account, in its normal direction, at one moment."""

    account_id: UUID
    currency: str
    posted_fen: int
    held_fen: int
    available_fen: int
    as_of: datetime
    seq: int
    """How many entries the account had then."""


class HoldState(StrEnum):
    HELD = "held"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Move an amount from the credit to the debit account, at once."""

    transfer_id: UUID
    debit: UUID
    credit: UUID
    amount_fen: int
    at: datetime
    kind: str
    """Why: ``opening``, ``payment``, ``return``, ``fee``, ``suspense``, ``correction`` …"""
    currency: str = CNY
    subject: UUID | None = None
    """The payment, statement line or transfer this one is about."""
    forced: bool = False
    """The bank has done it already (a fee, a charge): record it even beyond the overdraft."""
    linked: bool = False
    """All or none together with the operation after it."""


class Reserve(msgspec.Struct, frozen=True, kw_only=True):
    """Promise an amount of an account: it leaves *available* and stays in *posted*."""

    hold_id: UUID
    account: UUID
    amount_fen: int
    at: datetime
    currency: str = CNY
    expires_at: datetime | None = None
    """Business time at which the promise ends by itself; None: only by post or void."""
    linked: bool = False


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """Turn a hold, whole or in part, into a transfer to a counter account. What is left of the
    hold is released: a hold is posted once."""

    hold_id: UUID
    transfer_id: UUID
    counter: UUID
    at: datetime
    kind: str
    amount_fen: int | None = None
    """None: the whole hold."""
    subject: UUID | None = None
    linked: bool = False


class Void(msgspec.Struct, frozen=True, kw_only=True):
    """Release a hold: the money is available again."""

    hold_id: UUID
    at: datetime
    linked: bool = False
    expired: bool = False
    """True when time ended it, not a decision."""


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """Take the expiry off a hold, before the order behind it leaves the house: from then on only
    the bank's answer ends it. Refused when the hold is over or its time has come."""

    hold_id: UUID
    at: datetime
    linked: bool = False


Operation = Transfer | Reserve | Post | Void | Keep


class Done(msgspec.Struct, frozen=True):
    """The operation stands. ``again`` is true when it stood already: asking twice changes
    nothing."""

    again: bool = False


Outcome = Done | Refusal

DONE = Done()
DONE_BEFORE = Done(again=True)
