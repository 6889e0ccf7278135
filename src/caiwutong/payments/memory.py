"""The rows of payments in memory: the twin of ``store.PostgresPaymentStore``, with the same
guards, for the simulator and fast tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from caiwutong.db.database import Tx
from caiwutong.db.memory import mem
from caiwutong.kernel.errors import Broken, Conflict
from caiwutong.payments.failover import YES, told
from caiwutong.payments.model import FREED, SWITCHED, AttemptRow, PaymentRow, Task, Work
from caiwutong.payments.states import TABLE, State
from caiwutong.payments.store import Filter, KnownKey

Key = tuple[str, UUID]
_TRANSITIONS = {(state, step.to) for (state, _), step in TABLE.items()}
_NO_MONEY_YET = (State.CREATED, State.AWAITING_SIGNATURES, State.CANCELLED, State.REJECTED)
_SENT = (State.COMPLETED, State.IN_DOUBT)
_UNPAID = (State.REJECTED, State.CANCELLED, State.REVERSED)


class MemoryPaymentStore:
    """Dicts keyed by (tenant, id).

    ``may_leave(tenant, attempt_id)``: whether two people signed for leaving this attempt, which the
    database asks its own tables.
    """

    def __init__(
        self, may_leave: Callable[[str, UUID], bool] = lambda tenant, attempt_id: False
    ) -> None:
        self._may_leave = may_leave
        self._keys: dict[tuple[str, bytes], KnownKey] = {}
        self._payments: dict[Key, PaymentRow] = {}
        self._attempts: dict[Key, list[AttemptRow]] = {}
        self._references: dict[tuple[str, str, str], tuple[UUID, int]] = {}
        self._work: dict[tuple[str, Task], dict[UUID, Work]] = {}

    async def known_keys(
        self, tx: Tx, tenant: str, hashes: Collection[bytes]
    ) -> dict[bytes, KnownKey]:
        return {h: known for h in hashes if (known := self._keys.get((tenant, h)))}

    async def insert(
        self,
        tx: Tx,
        tenant: str,
        rows: Sequence[PaymentRow],
        keys: Sequence[bytes],
        work: Sequence[Work] = (),
    ) -> None:
        for row, key in zip(rows, keys, strict=True):
            if (tenant, key) in self._keys:
                raise Conflict("payment.key_raced", "A key was bound meanwhile.", "Send it again.")
            mem(tx).put(self._keys, (tenant, key), KnownKey(row.digest, row.payment_id))
            self._check(row)
            mem(tx).put(self._payments, (tenant, row.payment_id), msgspec.structs.replace(row))
        await self.put_work(tx, tenant, work)

    async def states_of(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, tuple[State, str]]:
        return {i: (row.state, row.reason) for i in ids if (row := self._payments.get((tenant, i)))}

    async def lock(self, tx: Tx, tenant: str, ids: Collection[UUID]) -> dict[UUID, PaymentRow]:
        return {
            i: msgspec.structs.replace(row)
            for i in sorted(set(ids))
            if (row := self._payments.get((tenant, i)))
        }

    async def get(self, tx: Tx, tenant: str, payment_id: UUID) -> PaymentRow | None:
        row = self._payments.get((tenant, payment_id))
        return None if row is None else msgspec.structs.replace(row)

    async def many(self, tx: Tx, tenant: str, ids: Collection[UUID]) -> dict[UUID, PaymentRow]:
        found = {i: row for i in ids if (row := self._payments.get((tenant, i)))}
        return {i: msgspec.structs.replace(row) for i, row in found.items()}

    async def save(self, tx: Tx, tenant: str, rows: Iterable[PaymentRow]) -> None:
        for row in rows:
            before = self._payments[(tenant, row.payment_id)]
            if row.version != before.version + 1:
                raise Broken("payment.stale", f"{row.payment_id} changed since it was read.")
            if row.state is not before.state and (before.state, row.state) not in _TRANSITIONS:
                raise Broken(
                    "payment.no_such_step",
                    f"{row.payment_id} cannot go from {before.state} to {row.state}.",
                )
            if row.state is not before.state:
                self._check_attempts(tenant, row)
                if before.state is State.VALIDATED and row.state in _SENT and not row.attempts:
                    raise Broken("payment.never_sent", f"{row.payment_id} was never sent.")
            self._check(row)
            mem(tx).put(self._payments, (tenant, row.payment_id), msgspec.structs.replace(row))

    def _check_attempts(self, tenant: str, row: PaymentRow) -> None:
        """On the way to another attempt, and at an end as unpaid, nothing that may pay is open."""
        unpaid = row.state in _UNPAID
        if not unpaid and row.state is not State.VALIDATED:
            return
        for a in self._attempts.get((tenant, row.payment_id), []):
            left = a.outcome == SWITCHED and not a.later
            if a.outcome in ("", "completed") or (unpaid and (left or a.later in YES)):
                raise Broken(
                    "payment.may_be_paid",
                    f"{row.payment_id} cannot become {row.state}: {a.reference} may have paid it.",
                )

    @staticmethod
    def _check(row: PaymentRow) -> None:
        if not row.authorised_by and row.state not in _NO_MONEY_YET:
            raise Broken("payment.alone", f"{row.payment_id} left the house unauthorised.")

    async def insert_attempts(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        for attempt in attempts:
            reference = (tenant, attempt.rail, attempt.reference)
            if reference in self._references:
                raise Broken("payment.reference_taken", f"{attempt.reference} is taken.")
            earlier = self._attempts.get((tenant, attempt.payment_id), [])
            if any(a.outcome not in FREED for a in earlier):
                raise Broken("payment.two_ways", f"{attempt.payment_id} has an open attempt.")
            mem(tx).put(self._references, reference, (attempt.payment_id, len(earlier)))
            mem(tx).put(self._attempts, (tenant, attempt.payment_id), [*earlier, attempt])

    async def attempts_by_reference(
        self, tx: Tx, tenant: str, rail: str, references: Collection[str]
    ) -> dict[str, AttemptRow]:
        found: dict[str, AttemptRow] = {}
        for reference in references:
            place = self._references.get((tenant, rail, reference))
            if place is not None:
                found[reference] = self._attempts[(tenant, place[0])][place[1]]
        return found

    async def attempts_of(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, list[AttemptRow]]:
        return {i: list(self._attempts.get((tenant, i), [])) for i in ids}

    async def payment_of(self, tx: Tx, tenant: str, attempt_id: UUID) -> UUID | None:
        for (owner, payment_id), attempts in self._attempts.items():
            if owner == tenant and any(a.attempt_id == attempt_id for a in attempts):
                return payment_id
        return None

    async def close_attempts(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        for closed in attempts:
            rows = list(self._attempts[(tenant, closed.payment_id)])
            at = next(n for n, a in enumerate(rows) if a.attempt_id == closed.attempt_id)
            if rows[at].outcome:
                raise Broken("payment.attempt_over", f"{closed.reference} is over already.")
            if closed.outcome == SWITCHED and not self._may_leave(tenant, closed.attempt_id):
                raise Broken("payment.left_alone", f"Nobody signed to leave {closed.reference}.")
            rows[at] = closed
            mem(tx).put(self._attempts, (tenant, closed.payment_id), rows)

    async def note_later(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        for noted in attempts:
            rows = list(self._attempts[(tenant, noted.payment_id)])
            at = next(n for n, a in enumerate(rows) if a.attempt_id == noted.attempt_id)
            kept = rows[at]
            if not kept.outcome or told(noted.later) <= told(kept.later):
                raise Broken("payment.attempt_over", f"{noted.reference} is told already.")
            rows[at] = msgspec.structs.replace(
                kept, later=noted.later, later_code=noted.later_code, later_at=noted.later_at
            )
            mem(tx).put(self._attempts, (tenant, noted.payment_id), rows)

    def _queue(self, tenant: str, task: Task) -> dict[UUID, Work]:
        return self._work.setdefault((tenant, task), {})

    async def put_work(self, tx: Tx, tenant: str, work: Sequence[Work]) -> None:
        for w in work:
            queue = self._queue(tenant, w.task)
            before = queue.get(w.payment_id)
            fence = 0 if before is None else before.fence + 1
            mem(tx).put(queue, w.payment_id, msgspec.structs.replace(w, fence=fence))

    async def drop_work(self, tx: Tx, tenant: str, done: Collection[tuple[UUID, Task]]) -> None:
        for payment_id, task in done:
            queue = self._queue(tenant, task)
            if payment_id in queue:
                mem(tx).remove(queue, payment_id)

    async def claim_work(
        self, tx: Tx, tenant: str, task: Task, now: datetime, limit: int, lease: datetime
    ) -> list[Work]:
        queue = self._queue(tenant, task)
        due = sorted((w for w in queue.values() if w.due_at <= now), key=lambda w: w.due_at)
        urgent = [w for w in due if w.urgent][:limit]
        normal = [w for w in due if not w.urgent][: max(limit - len(urgent), limit // 10)]
        claimed = [
            Work(w.payment_id, task, lease, w.tries + 1, w.fence + 1, w.urgent)
            for w in (*urgent, *normal)
        ]
        for w in claimed:
            mem(tx).put(queue, w.payment_id, w)
        return claimed

    async def finish_work(self, tx: Tx, tenant: str, work: Sequence[Work]) -> None:
        for w in work:
            queue = self._queue(tenant, w.task)
            before = queue.get(w.payment_id)
            if before is not None and before.fence == w.fence:
                mem(tx).put(queue, w.payment_id, msgspec.structs.replace(before, due_at=w.due_at))

    async def next_due(self, tx: Tx, tenant: str, task: Task) -> datetime | None:
        return min((w.due_at for w in self._queue(tenant, task).values()), default=None)

    async def due_up_to(self, tx: Tx, tenant: str, task: Task, now: datetime, most: int) -> int:
        return min(most, sum(w.due_at <= now for w in self._queue(tenant, task).values()))

    async def backlog(self, tx: Tx, tenant: str) -> dict[Task, tuple[int, datetime]]:
        return {
            task: (len(queue), min(w.due_at for w in queue.values()))
            for task in Task
            if (queue := self._queue(tenant, task))
        }

    async def count_states(self, tx: Tx, tenant: str) -> dict[State, tuple[int, int]]:
        counts: dict[State, tuple[int, int]] = {}
        for (owner, _), row in self._payments.items():
            if owner == tenant:
                n, fen = counts.get(row.state, (0, 0))
                counts[row.state] = (n + 1, fen + row.amount_fen)
        return counts

    async def page(
        self, tx: Tx, tenant: str, narrow: Filter, before: UUID, limit: int
    ) -> list[PaymentRow]:
        rows = [
            row
            for (owner, payment_id), row in self._payments.items()
            if owner == tenant and payment_id < before and _matches(row, narrow)
        ]
        rows.sort(key=lambda row: row.payment_id, reverse=True)
        return [msgspec.structs.replace(row) for row in rows[:limit]]


def _matches(row: PaymentRow, narrow: Filter) -> bool:
    text = None if narrow.text is None else narrow.text.lower()
    return (
        (narrow.states is None or row.state in narrow.states)
        and (narrow.bank_account_ids is None or row.bank_account_id in narrow.bank_account_ids)
        and (narrow.payee_index is None or row.payee_index == narrow.payee_index)
        and (narrow.payee_last4 is None or row.payee_last4 == narrow.payee_last4)
        and (narrow.at_least_fen is None or row.amount_fen >= narrow.at_least_fen)
        and (narrow.at_most_fen is None or row.amount_fen <= narrow.at_most_fen)
        and (narrow.created_from is None or row.created_at >= narrow.created_from)
        and (narrow.created_before is None or row.created_at < narrow.created_before)
        and (narrow.import_id is None or row.import_id == narrow.import_id)
        and (narrow.alarmed is None or bool(row.alarm) is narrow.alarmed)
        and (
            text is None
            or any(text in t.lower() for t in (row.purpose, row.remark, row.key, row.reference))
        )
    )
