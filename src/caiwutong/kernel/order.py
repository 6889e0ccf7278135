"""The payment order: what a caller asks for, frozen from the moment it is well formed.

Everything after intake carries this one object. Its canonical bytes are what an idempotency key,
a mandate and a signature are bound to; a field added later must have a default, so that the bytes
of older orders stay the same.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from uuid import UUID

import msgspec

from caiwutong.kernel.money import CNY


class Direction(StrEnum):
    """PUSH pays out of our account; PULL collects into it by agreement (built in TOP-UP)."""

    PUSH = "push"
    PULL = "pull"


class Priority(StrEnum):
    """How pressing the order is: CNAPS 特急, 紧急, 普通 map onto these two."""

    NORMAL = "normal"
    URGENT = "urgent"


class Party(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Someone with an account at a bank: the payee of a push (收款人)."""

    name: str
    """Account name (户名) as the bank knows it."""
    account: str
    """Account or card number, digits and letters only."""
    bank_code: str = ""
    """联行号, twelve digits; may be empty where the rail finds the bank itself."""
    bank_name: str = ""


class References(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where the order comes from in the enterprise's own books."""

    contract: str = ""
    invoice: str = ""
    project: str = ""
    budget: str = ""
    attachment: str = ""


class PaymentOrder(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One instruction to move money between a bank account of ours and a counterparty."""

    bank_account_id: UUID
    """Our own account: the payer of a push, the beneficiary of a pull."""
    payee: Party
    amount_fen: int
    currency: str = CNY
    direction: Direction = Direction.PUSH
    purpose: str = ""
    """用途: why, for the payer's own books and the bank."""
    remark: str = ""
    """附言: words that travel to the payee."""
    priority: Priority = Priority.NORMAL
    execute_on: date | None = None
    """Day in China on which to pay; None is now. The hold is taken at intake all the same."""
    channel: str = ""
    """A rail asked for by name; empty lets routing choose."""
    references: References = References()


_canonical = msgspec.json.Encoder(order="sorted")


def canonical_order(order: PaymentOrder) -> bytes:
    """The bytes that stand for this order for ever: sorted JSON, defaults left out."""
    return _canonical.encode(order)
