"""What others ask about payments by the reference a bank names: which payment a fee line is for."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.payments.intake import open_payee
from caiwutong.payments.model import AttemptRow
from caiwutong.payments.ports import Seal
from caiwutong.payments.store import PaymentStore


class Sent(msgspec.Struct, frozen=True):
    """An attempt as far as its price goes."""

    payment_id: UUID
    bank_account_id: UUID
    rail: str
    flag: str
    """The clearing channel asked of the bank behind ``bank_direct``; empty: the bank's choice."""
    reference: str
    amount_fen: int
    payee_bank: str
    """联行号 of the payee's bank; empty where the order named none."""
    executed: bool
    """False: the rail said a definite no, or it was taken back."""


class SentPayments:
    """Looks attempts up. Read only."""

    def __init__(self, store: PaymentStore, seal: Seal) -> None:
        self._store = store
        self._seal = seal

    async def under(
        self, tx: Tx, tenant: str, rails: Collection[str], references: Collection[str]
    ) -> dict[str, Sent]:
        """The attempts with these references on any of these rails."""
        attempts = {
            reference: attempt
            for rail in sorted(rails)
            for reference, attempt in (
                await self._store.attempts_by_reference(tx, tenant, rail, references)
            ).items()
        }
        rows = await self._store.many(tx, tenant, {a.payment_id for a in attempts.values()})
        sent: dict[str, Sent] = {}
        for reference, attempt in attempts.items():
            row = rows.get(attempt.payment_id)
            if row is not None:
                sent[reference] = Sent(
                    row.payment_id, row.bank_account_id, attempt.rail, _flag(attempt), reference,
                    row.amount_fen,
                    open_payee(self._seal, row).bank_code,
                    attempt.outcome not in ("rejected", "revoked"),
                )  # fmt: skip
        return sent

    async def of(self, tx: Tx, tenant: str, payment_id: UUID) -> list[Sent]:
        """Every attempt of one payment, oldest first; empty when there is none."""
        found = await self._store.attempts_of(tx, tenant, [payment_id])
        attempts = found.get(payment_id, [])
        sent: list[Sent] = []
        for attempt in sorted(attempts, key=lambda a: a.number):
            under = await self.under(tx, tenant, [attempt.rail], [attempt.reference])
            sent += [s for s in under.values() if s.payment_id == payment_id]
        return sent


class _Kept(msgspec.Struct):
    choice: str = ""


def _flag(attempt: AttemptRow) -> str:
    """The flag in the kept route's ``choice``, ``rail/flag``; empty in routes from before flags."""
    try:
        return msgspec.json.decode(attempt.route, type=_Kept).choice.partition("/")[2]
    except msgspec.DecodeError:
        return ""
