"""The courier: carries attempts to their rails and brings back what was said at once.

Promises: an attempt was written down and committed before it is carried; what a rail cannot put
into words never left the house; an answer that is missing or cannot be trusted is no answer. Read
next: ``dispatch``, which sends first, and ``recovery``, which may send the very same again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Refused
from caiwutong.payments.intake import open_payee
from caiwutong.payments.model import PaymentRow
from caiwutong.payments.ports import OwnAccount, Rails, Seal
from caiwutong.payments.settlement import Applied, silence
from caiwutong.rails.contract import (
    SILENCE,
    AccountAtBank,
    Attempt,
    BadMessage,
    NotSent,
    Rail,
    RailMessage,
    RailReport,
    ReportKind,
    SentInDoubt,
)

Settle = Callable[[str, Sequence[RailReport]], Awaitable[Sequence[Applied]]]
"""Hands reports to settlement; returns when they are durable."""


Offload = Callable[..., Awaitable[Any]]
"""Runs signing away from the event loop: a thread, or in the simulator the loop itself."""


class Courier:
    """Carries attempts to their rails and brings back what was said at once. Shared by dispatch,
    which sends first, and recovery, which may send the very same message again."""

    def __init__(
        self,
        rails: Rails,
        settle: Settle,
        clock: Clock,
        *,
        at_once: int = 64,
        offload: Offload = asyncio.to_thread,
    ) -> None:
        self._rails = rails
        self._settle = settle
        self._clock = clock
        self._slots = asyncio.Semaphore(at_once)
        self._offload = offload

    async def carry(self, tenant: str, attempts: Sequence[Attempt], *, again: bool = False) -> None:
        """Send the attempts, batched as each rail wants, and settle the immediate answers.

        ``again`` when the same messages may have been sent before: then a message that cannot be
        written is no reason to call the payment rejected.
        """
        by_rail: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            by_rail.setdefault(attempt.rail, []).append(attempt)
        sends: list[Awaitable[None]] = []
        for name, group in by_rail.items():
            rail = self._rails[name]
            messages, unfit = await self._offload(_encode, rail, group)
            sends += [self._send(tenant, rail, message) for message in messages]
            if unfit and not again:
                sends.append(self._settle_all(tenant, unfit))
        await asyncio.gather(*sends)

    async def _settle_all(self, tenant: str, reports: list[RailReport]) -> None:
        await self._settle(tenant, reports)

    async def _send(self, tenant: str, rail: Rail, message: RailMessage) -> None:
        async with self._slots:
            reports = await self._answer(rail, message)
        if reports:
            await self._settle(tenant, reports)

    async def _answer(self, rail: Rail, message: RailMessage) -> list[RailReport]:
        try:
            return rail.decode(await rail.send(message))
        except NotSent:
            # Certainly not delivered. The enquiry that is due soon finds the reference unknown and
            # sends the same message again.
            return []
        except SentInDoubt as error:
            words = error.detail
        except BadMessage as error:
            # An answer we cannot trust is no answer.
            words = f"unreadable answer: {error.code}"
        now = self._clock.now()
        return [silence(rail.name, ref, SILENCE, now, words) for ref in message.references]


def _encode(rail: Rail, attempts: list[Attempt]) -> tuple[list[RailMessage], list[RailReport]]:
    """The messages, and a definite *no* for each attempt the rail cannot put into words: it never
    left the house. Halving finds it, so that a batched rail still sends the others in batches."""
    try:
        return rail.encode_many(attempts), []
    except Refused as error:
        if len(attempts) == 1:
            (alone,) = attempts
            no = RailReport(
                ReportKind.REJECTED,
                rail.name,
                alone.reference,
                error.code,
                alone.created_at,
                error.detail,
            )
            return [], [no]
    middle = len(attempts) // 2
    messages, unfit = _encode(rail, attempts[:middle])
    more, more_unfit = _encode(rail, attempts[middle:])
    return messages + more, unfit + more_unfit


def build_attempt(
    tenant: str,
    row: PaymentRow,
    account: OwnAccount,
    seal: Seal,
    *,
    attempt_id: UUID,
    rail: str,
    ref: str,
    created_at: datetime,
    valid_until: datetime,
    flag: str = "",
) -> Attempt:
    """The attempt as rails understand it. Built again from the same rows, it is the same."""
    payee = open_payee(seal, row)
    return Attempt(
        tenant=tenant,
        payment_id=row.payment_id,
        attempt_id=attempt_id,
        rail=rail,
        reference=ref,
        payer=AccountAtBank(account.name, account.account, account.bank_code, account.bank_name),
        payee=AccountAtBank(payee.name, payee.account, payee.bank_code, payee.bank_name),
        amount_fen=row.amount_fen,
        currency=row.currency,
        direction=row.direction,
        priority=row.priority,
        purpose=row.purpose,
        remark=row.remark,
        created_at=created_at,
        valid_until=valid_until,
        flag=flag,
    )
