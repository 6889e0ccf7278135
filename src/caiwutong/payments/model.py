"""The words of payments: the submission a caller makes, the payment row, its attempts and work."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.money import CNY
from caiwutong.kernel.order import Direction, PaymentOrder, Priority, References
from caiwutong.payments.states import State


class Submission(msgspec.Struct, frozen=True):
    """One order with the key that makes it safe to send again."""

    key: str
    """The caller's idempotency key, 1–128 characters; bound to the order's content for ever."""
    order: PaymentOrder
    caller: UUID
    """The API key or person that asks."""
    actor: str
    """The caller in words, for the log: ``api-key:erp`` or ``person:Chen``."""
    import_id: UUID | None = None


class Receipt(msgspec.Struct, frozen=True):
    """The answer to an accepted submission."""

    payment_id: UUID
    state: State
    replayed: bool = False
    """True when the same key and content were here before: this is the first answer again."""
    needs: str = ""
    """Why people must sign, when the state is *awaiting signatures*."""


Answer = Receipt | Refusal


class PaymentRow(msgspec.Struct, kw_only=True):
    """A payment as it is kept. The upper part never changes; the lower part is its progress."""

    payment_id: UUID
    direction: Direction
    bank_account_id: UUID
    ledger_account_id: UUID
    counter_account_id: UUID
    amount_fen: int
    currency: str = CNY
    priority: Priority = Priority.NORMAL
    execute_on: date | None = None
    channel: str = ""
    payee_sealed: bytes
    payee_index: bytes
    payee_last4: str
    purpose: str = ""
    remark: str = ""
    refs: References = References()
    caller: UUID
    actor: str
    key: str
    digest: bytes
    import_id: UUID | None = None
    created_at: datetime

    state: State = State.CREATED
    version: int = 0
    state_at: datetime
    authorised_by: str = ""
    """``mandate:<id>`` or ``signatures:<n>``; empty while nobody authorised it. The database
    refuses to let a payment leave the house without it."""
    reason_code: str = ""
    reason: str = ""
    rail: str = ""
    reference: str = ""
    attempts: int = 0
    alarm: str = ""
    """A rail contradicted itself about this payment: what people must look at. Empty: nothing."""
    completed_at: datetime | None = None
    settled_at: datetime | None = None
    returned_at: datetime | None = None


class AttemptRow(msgspec.Struct, kw_only=True):
    """One try on one rail. Open until the rail's definite word; at most one open per payment."""

    attempt_id: UUID
    payment_id: UUID
    number: int
    rail: str
    reference: str
    route: bytes
    """Why this rail: the routing explanation as JSON."""
    created_at: datetime
    valid_until: datetime
    outcome: str = ""
    """Empty while open; then ``completed``, ``rejected``, ``revoked``, or ``switched``: two people
    left it while it was in doubt."""
    code: str = ""
    closed_at: datetime | None = None
    later: str = ""
    """What the rail said of it after it was closed: a report kind, or empty."""
    later_code: str = ""
    later_at: datetime | None = None


SWITCHED = "switched"
SWITCH = "payment.switch"
"""What people sign for to leave an attempt, as ``approvals`` calls it; its id is the attempt's."""
FREED = ("rejected", "revoked", SWITCHED)
"""Outcomes of an attempt after which another one may be opened."""


WAITS = "payment.waits"
"""Reason code of a payment that waits for a channel to open."""

DISPATCH_LEASE = timedelta(minutes=1)
"""How long a claimed dispatch stays with its worker."""


class Task(StrEnum):
    """Work that waits for its time."""

    DISPATCH = "dispatch"
    ENQUIRE = "enquire"


class Work(msgspec.Struct, frozen=True):
    """A due act for one payment. ``fence`` grows with every claim: a worker that lost its lease
    cannot finish for the one that took over."""

    payment_id: UUID
    task: Task
    due_at: datetime
    tries: int = 0
    fence: int = 0
    urgent: bool = False
    """Claimed before whatever is not."""
