"""Pure decisions of the engine: is an order well formed, when to ask again, what silence means."""

from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from caiwutong.kernel.clock import china_date, china_midnight
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.money import check_amount
from caiwutong.kernel.order import PaymentOrder, Priority, canonical_order
from caiwutong.payments.model import PaymentRow, Task, Work
from caiwutong.payments.ports import OwnAccount
from caiwutong.rails.contract import Attempt

HOLD_OUTLIVES = timedelta(days=7)
"""A hold ends by itself a week after its order was due, unless the order left the house: an order
nobody signs in that time is cancelled."""

FURTHEST_AHEAD = timedelta(days=366)
"""How far ahead a payment may be dated: a hold for longer than a year is surely a mistake."""

FIRST_ASK = timedelta(seconds=20)
LAST_ASK = timedelta(minutes=10)
"""The pauses between enquiries double from the first to the last."""

LONGEST_WAIT = timedelta(hours=1)
"""How long a rail that works in rounds may put the next enquiry off: one round and a margin."""

CERTAINTY = timedelta(minutes=1)
"""How long after ``valid_until`` an unknown reference becomes a definite no: covers clocks that
differ and messages already inside the network."""

_MAX = {"name": 120, "purpose": 140, "remark": 140, "bank_name": 120}


def order_digest(order: PaymentOrder) -> bytes:
    """The 32 bytes an idempotency key and every signature are bound to (SHA-256 of the canonical
    order)."""
    return hashlib.sha256(canonical_order(order)).digest()


def key_hash(caller: bytes, key: str) -> bytes:
    """Sixteen bytes that stand for a caller's key, so that keys kept for ever stay narrow."""
    return hashlib.sha256(caller + key.encode()).digest()[:16]


def check_order(order: PaymentOrder, key: str, now: datetime) -> Refusal | None:
    """Why this order is not well formed, or None. The first reason wins, in the order a person
    would read the form."""
    if not 1 <= len(key) <= 128 or not key.isprintable():
        return Refusal(
            "payment.bad_key",
            "The idempotency key is empty, longer than 128 characters, or not printable.",
            "Send your own number of the payment in the header Idempotency-Key.",
        )
    return (
        check_amount(order.amount_fen, order.currency)
        or _check_payee(order)
        or _check_words(order)
        or _check_day(order, now)
    )


def _check_payee(order: PaymentOrder) -> Refusal | None:
    payee = order.payee
    if not payee.name.strip():
        return Refusal(
            "payment.no_payee_name",
            "The payee's account name (户名) is empty.",
            "Write it exactly as on the payee's bank account.",
        )
    account = payee.account
    if not (5 <= len(account) <= 34 and account.isascii() and account.isalnum()):
        return Refusal(
            "payment.bad_payee_account",
            f"The payee account …{account[-4:]} has {len(account)} characters or a sign that no "
            "account number has.",
            "Write 5 to 34 digits and letters, without spaces.",
        )
    code = payee.bank_code
    if code and not (len(code) == 12 and code.isascii() and code.isdigit()):
        return Refusal(
            "payment.bad_bank_code",
            f"The bank code {code[:14]!r} is not a 联行号.",
            "Write its twelve digits, or leave it empty.",
        )
    return None


def _check_words(order: PaymentOrder) -> Refusal | None:
    texts = {
        "name": order.payee.name,
        "bank_name": order.payee.bank_name,
        "purpose": order.purpose,
        "remark": order.remark,
    }
    for field, text in texts.items():
        if len(text) > _MAX[field]:
            return Refusal(
                "payment.text_too_long",
                f"The {field} has {len(text)} characters; messages carry {_MAX[field]}.",
                "Shorten it.",
            )
        if not text.isprintable():
            return Refusal(
                "payment.unprintable",
                f"The {field} contains a control character.",
                "Remove line breaks, tabs and invisible characters.",
            )
    return None


def _check_day(order: PaymentOrder, now: datetime) -> Refusal | None:
    day = order.execute_on
    if day is None:
        return None
    today = china_date(now)
    if day < today:
        return Refusal(
            "payment.day_past",
            f"The execution day {day} is before today, {today}.",
            "Leave it empty to pay now, or name a coming day.",
        )
    if day - today > FURTHEST_AHEAD:
        return Refusal(
            "payment.day_too_far",
            f"The execution day {day} is more than a year ahead.",
            "Check the year.",
        )
    return None


def account_unfit(account: OwnAccount | None, account_id: UUID, currency: str) -> Refusal | None:
    """Why this account of ours may not pay now, or None."""
    if account is None:
        return Refusal(
            "bank_account.not_found",
            f"There is no bank account {account_id}.",
            "List your bank accounts and name one of them.",
        )
    masked = f"…{account.account[-4:]}"
    if account.state != "active":
        return Refusal(
            "bank_account.not_active",
            f"Bank account {masked} is {account.state}.",
            "Pay from another account, or have this one put back to use.",
        )
    if not account.outward:
        return Refusal(
            "bank_account.no_outward",
            f"Bank account {masked} may not make outward payments.",
            "Pay from another account, or have outward payment allowed.",
        )
    if account.currency != currency:
        return Refusal(
            "bank_account.other_currency",
            f"Bank account {masked} is kept in {account.currency}, not {currency}.",
            "Name an account of the same currency.",
        )
    return None


def due_at(execute_on: date | None, now: datetime) -> datetime:
    """When an authorised order goes out: now, or the first moment of its day in China."""
    return now if execute_on is None else max(now, china_midnight(execute_on))


def work_of(row: PaymentRow, task: Task, due: datetime) -> Work:
    """A due act for this payment, at the payment's own priority."""
    return Work(row.payment_id, task, due, urgent=row.priority is Priority.URGENT)


def next_ask(now: datetime, tries: int, news_at: datetime | None = None) -> datetime:
    """When to enquire after ``tries`` enquiries without an end. ``news_at``: when the rail said it
    would have news by itself; waiting for that is bounded too."""
    due = now + min(FIRST_ASK * 2 ** min(tries, 10), LAST_ASK)
    return due if news_at is None else max(due, min(news_at, now + LONGEST_WAIT))


class Unknown(StrEnum):
    """What to do when the rail does not know a reference."""

    SEND_AGAIN = "send_again"
    """The very same message, same reference: it was lost, and the network would still take it. If
    it did arrive after all, the rail's own duplicate check answers for the first."""
    ASK_AGAIN = "ask_again"
    """Too late to send, too early to be sure."""
    NEVER_HAPPENED = "never_happened"
    """The network can no longer accept the message: this is a definite no."""


def judge_unknown(attempt: Attempt, asked_at: datetime) -> Unknown:
    """Not knowing a reference is no failure: the message may still be on its way. Only after the
    moment at which the network refuses it for good does silence become a no."""
    if asked_at > attempt.valid_until + CERTAINTY:
        return Unknown.NEVER_HAPPENED
    if asked_at < attempt.valid_until - CERTAINTY:
        return Unknown.SEND_AGAIN
    return Unknown.ASK_AGAIN
