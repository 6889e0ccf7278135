"""The rows of payments in PostgreSQL, and the port both stores keep."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import msgspec

from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, columns, pg
from caiwutong.db.queries import load as load_queries
from caiwutong.kernel.errors import Conflict
from caiwutong.kernel.order import Direction, Priority, References
from caiwutong.payments.model import AttemptRow, PaymentRow, Task, Work
from caiwutong.payments.states import State

_sql = load_queries(__package__ or "")
_refs_encoder = msgspec.json.Encoder()
_refs_decoder = msgspec.json.Decoder(References)
_no_refs = _refs_encoder.encode(References())

_KEY = ("tenant", "key_hash", "digest", "payment_id")
_WORK = ("tenant", "payment_id", "task", "due_at", "tries", "urgent")
_PAYMENT = (
    "tenant", "payment_id", "direction", "bank_account_id", "ledger_account_id",
    "counter_account_id", "amount_fen", "currency", "priority", "execute_on", "channel",
    "payee_sealed", "payee_index", "payee_last4", "purpose", "remark", "refs", "caller", "actor",
    "key", "digest", "import_id", "created_at", "state", "version", "state_at", "authorised_by",
    "reason_code", "reason", "rail", "reference", "attempts", "completed_at", "settled_at",
    "returned_at",
)  # fmt: skip

LAST_ID = UUID(int=(1 << 128) - 1)
"""Above every id: where a newest-first page begins."""


class KnownKey(msgspec.Struct, frozen=True):
    """What a key is bound to."""

    digest: bytes
    payment_id: UUID


class Filter(msgspec.Struct, frozen=True):
    """What a list of payments may be narrowed by; None leaves it open."""

    states: tuple[State, ...] | None = None
    bank_account_ids: tuple[UUID, ...] | None = None
    payee_index: bytes | None = None
    payee_last4: str | None = None
    at_least_fen: int | None = None
    at_most_fen: int | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    text: str | None = None
    """Part of purpose, remark, caller's key or rail reference."""
    import_id: UUID | None = None
    alarmed: bool | None = None
    """Whether a rail contradicted itself about it."""


class PaymentStore(Protocol):
    """Rows of payments: one for PostgreSQL, one in memory, one contract suite for both."""

    async def known_keys(
        self, tx: Tx, tenant: str, hashes: Collection[bytes]
    ) -> dict[bytes, KnownKey]: ...

    async def insert(
        self,
        tx: Tx,
        tenant: str,
        rows: Sequence[PaymentRow],
        keys: Sequence[bytes],
        work: Sequence[Work] = (),
    ) -> None:
        """Bind the keys, write the rows and what is to be done for them. Raises Conflict when a
        key was bound meanwhile."""
        ...

    async def states_of(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, tuple[State, str]]:
        """Each payment's state and the reason kept with it."""
        ...

    async def lock(self, tx: Tx, tenant: str, ids: Collection[UUID]) -> dict[UUID, PaymentRow]: ...

    async def get(self, tx: Tx, tenant: str, payment_id: UUID) -> PaymentRow | None: ...

    async def many(self, tx: Tx, tenant: str, ids: Collection[UUID]) -> dict[UUID, PaymentRow]:
        """These payments as they stand, without a lock."""
        ...

    async def save(self, tx: Tx, tenant: str, rows: Iterable[PaymentRow]) -> None:
        """Write the progress of locked rows; the version must be one above the stored one."""
        ...

    async def insert_attempts(
        self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]
    ) -> None: ...

    async def attempts_by_reference(
        self, tx: Tx, tenant: str, rail: str, references: Collection[str]
    ) -> dict[str, AttemptRow]: ...

    async def attempts_of(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, list[AttemptRow]]: ...

    async def payment_of(self, tx: Tx, tenant: str, attempt_id: UUID) -> UUID | None:
        """Which payment an attempt is of."""
        ...

    async def close_attempts(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None: ...

    async def note_later(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        """Keep what a rail said of closed attempts afterwards."""
        ...

    async def put_work(self, tx: Tx, tenant: str, work: Sequence[Work]) -> None: ...

    async def drop_work(self, tx: Tx, tenant: str, done: Collection[tuple[UUID, Task]]) -> None: ...

    async def claim_work(
        self, tx: Tx, tenant: str, task: Task, now: datetime, limit: int, lease: datetime
    ) -> list[Work]:
        """Take up to ``limit`` due works, urgent ones first, until ``lease``; and on top up to a
        tenth of that which is not urgent, however much is."""
        ...

    async def finish_work(self, tx: Tx, tenant: str, work: Sequence[Work]) -> None:
        """Move claimed work to its next due time; a lost fence changes nothing."""
        ...

    async def next_due(self, tx: Tx, tenant: str, task: Task) -> datetime | None: ...

    async def due_up_to(self, tx: Tx, tenant: str, task: Task, now: datetime, most: int) -> int:
        """How much work is due now; counted no further than ``most``."""
        ...

    async def backlog(self, tx: Tx, tenant: str) -> dict[Task, tuple[int, datetime]]:
        """Per task: how much waits, and since when."""
        ...

    async def count_states(self, tx: Tx, tenant: str) -> dict[State, tuple[int, int]]:
        """Per state: how many payments, and their fen."""
        ...

    async def page(
        self, tx: Tx, tenant: str, narrow: Filter, before: UUID, limit: int
    ) -> list[PaymentRow]: ...


class PostgresPaymentStore:
    """Payments in PostgreSQL, set-based: a batch costs the same few statements, however long."""

    async def known_keys(
        self, tx: Tx, tenant: str, hashes: Collection[bytes]
    ) -> dict[bytes, KnownKey]:
        rows = await pg(tx).fetch(_sql["known_keys"], tenant, list(hashes))
        return {r["key_hash"]: KnownKey(r["digest"], r["payment_id"]) for r in rows}

    async def insert(
        self,
        tx: Tx,
        tenant: str,
        rows: Sequence[PaymentRow],
        keys: Sequence[bytes],
        work: Sequence[Work] = (),
    ) -> None:
        if not rows:
            return
        try:
            await pg(tx).copy_records(
                "payment_keys",
                _KEY,
                [(tenant, k, r.digest, r.payment_id) for k, r in zip(keys, rows, strict=True)],
            )
        except asyncpg.UniqueViolationError as error:
            raise Conflict(
                "payment.key_raced",
                "A key of this batch was bound by another request in the same moment.",
                "Send it again: it is answered once.",
            ) from error
        await pg(tx).copy_records("payments", _PAYMENT, [(tenant, *_values(row)) for row in rows])
        await pg(tx).copy_records(
            "payment_work",
            _WORK,
            [(tenant, w.payment_id, w.task, w.due_at, w.tries, w.urgent) for w in work],
        )

    async def states_of(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, tuple[State, str]]:
        rows = await pg(tx).fetch(_sql["states_of"], tenant, list(ids))
        return {r[0]: (State(r[1]), r[2]) for r in rows}

    async def lock(self, tx: Tx, tenant: str, ids: Collection[UUID]) -> dict[UUID, PaymentRow]:
        rows = await pg(tx).fetch(_sql["lock_payments"], tenant, list(ids))
        return {row["payment_id"]: _payment(row) for row in rows}

    async def get(self, tx: Tx, tenant: str, payment_id: UUID) -> PaymentRow | None:
        row = await pg(tx).fetch_one(_sql["payment"], tenant, payment_id)
        return None if row is None else _payment(row)

    async def many(self, tx: Tx, tenant: str, ids: Collection[UUID]) -> dict[UUID, PaymentRow]:
        rows = await pg(tx).fetch(_sql["many"], tenant, list(ids))
        return {row["payment_id"]: _payment(row) for row in rows}

    async def save(self, tx: Tx, tenant: str, rows: Iterable[PaymentRow]) -> None:
        values = [
            (
                r.payment_id, r.state.value, r.version, r.state_at, r.authorised_by,
                r.reason_code, r.reason, r.rail, r.reference, r.attempts, r.completed_at,
                r.settled_at, r.returned_at, r.alarm,
            )
            for r in rows
        ]  # fmt: skip
        if values:
            await pg(tx).execute(_sql["update_payments"], tenant, *columns(values, 14))

    async def insert_attempts(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        values = [
            (
                a.attempt_id, a.payment_id, a.number, a.rail, a.reference, a.route,
                a.created_at, a.valid_until,
            )
            for a in attempts
        ]  # fmt: skip
        if values:
            await pg(tx).execute(_sql["insert_attempts"], tenant, *columns(values, 8))

    async def attempts_by_reference(
        self, tx: Tx, tenant: str, rail: str, references: Collection[str]
    ) -> dict[str, AttemptRow]:
        rows = await pg(tx).fetch(_sql["attempts_by_reference"], tenant, rail, list(references))
        return {row["reference"]: _attempt(row) for row in rows}

    async def attempts_of(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, list[AttemptRow]]:
        found: dict[UUID, list[AttemptRow]] = {payment_id: [] for payment_id in ids}
        for row in await pg(tx).fetch(_sql["attempts_of"], tenant, list(ids)):
            found[row["payment_id"]].append(_attempt(row))
        return found

    async def payment_of(self, tx: Tx, tenant: str, attempt_id: UUID) -> UUID | None:
        return await pg(tx).value(_sql["payment_of"], tenant, attempt_id)

    async def close_attempts(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        values = [(a.attempt_id, a.outcome, a.code, a.closed_at) for a in attempts]
        if values:
            await pg(tx).execute(_sql["close_attempts"], tenant, *columns(values, 4))

    async def note_later(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        values = [(a.attempt_id, a.later, a.later_code, a.later_at) for a in attempts]
        if values:
            await pg(tx).execute(_sql["note_later"], tenant, *columns(values, 4))

    async def put_work(self, tx: Tx, tenant: str, work: Sequence[Work]) -> None:
        values = [(w.payment_id, w.task.value, w.due_at, w.tries, w.urgent) for w in work]
        if values:
            await pg(tx).execute(_sql["put_work"], tenant, *columns(values, 5))

    async def drop_work(self, tx: Tx, tenant: str, done: Collection[tuple[UUID, Task]]) -> None:
        values = sorted((payment_id, task.value) for payment_id, task in done)
        if values:
            await pg(tx).execute(_sql["drop_work"], tenant, *columns(values, 2))

    async def claim_work(
        self, tx: Tx, tenant: str, task: Task, now: datetime, limit: int, lease: datetime
    ) -> list[Work]:
        rows = await pg(tx).fetch(_sql["claim_work"], tenant, task.value, now, limit, lease)
        return [Work(r[0], task, r[1], r[2], r[3], r[4]) for r in rows]

    async def finish_work(self, tx: Tx, tenant: str, work: Sequence[Work]) -> None:
        values = [(w.payment_id, w.task.value, w.fence, w.due_at) for w in work]
        if values:
            await pg(tx).execute(_sql["finish_work"], tenant, *columns(values, 4))

    async def next_due(self, tx: Tx, tenant: str, task: Task) -> datetime | None:
        return await pg(tx).value(_sql["next_due"], tenant, task.value)

    async def due_up_to(self, tx: Tx, tenant: str, task: Task, now: datetime, most: int) -> int:
        return await pg(tx).value(_sql["due_up_to"], tenant, task.value, now, most)

    async def backlog(self, tx: Tx, tenant: str) -> dict[Task, tuple[int, datetime]]:
        rows = await pg(tx).fetch(_sql["backlog"], tenant)
        return {Task(r[0]): (r[1], r[2]) for r in rows}

    async def count_states(self, tx: Tx, tenant: str) -> dict[State, tuple[int, int]]:
        rows = await pg(tx).fetch(_sql["count_states"], tenant)
        return {State(r[0]): (r[1], r[2]) for r in rows}

    async def page(
        self, tx: Tx, tenant: str, narrow: Filter, before: UUID, limit: int
    ) -> list[PaymentRow]:
        like = None if narrow.text is None else f"%{_escape(narrow.text)}%"
        rows = await pg(tx).fetch(
            _sql["page"],
            tenant,
            before,
            None if narrow.states is None else [s.value for s in narrow.states],
            None if narrow.bank_account_ids is None else list(narrow.bank_account_ids),
            narrow.payee_index,
            narrow.payee_last4,
            narrow.at_least_fen,
            narrow.at_most_fen,
            narrow.created_from,
            narrow.created_before,
            like,
            narrow.import_id,
            limit,
            narrow.alarmed,
        )
        return [_payment(row) for row in rows]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _values(r: PaymentRow) -> tuple[Any, ...]:
    return (
        r.payment_id, r.direction, r.bank_account_id, r.ledger_account_id,
        r.counter_account_id, r.amount_fen, r.currency, r.priority, r.execute_on,
        r.channel, r.payee_sealed, r.payee_index, r.payee_last4, r.purpose, r.remark,
        _no_refs if r.refs == _EMPTY else _refs_encoder.encode(r.refs), r.caller, r.actor,
        r.key, r.digest, r.import_id, r.created_at, r.state, r.version, r.state_at,
        r.authorised_by, r.reason_code, r.reason, r.rail, r.reference, r.attempts,
        r.completed_at, r.settled_at, r.returned_at,
    )  # fmt: skip


_EMPTY = References()


def _payment(row: Row) -> PaymentRow:
    fields: dict[str, Any] = dict(row.items())
    fields["direction"] = Direction(fields["direction"])
    fields["priority"] = Priority(fields["priority"])
    fields["state"] = State(fields["state"])
    refs = fields["refs"]
    fields["refs"] = _EMPTY if refs == _no_refs else _refs_decoder.decode(refs)
    return PaymentRow(**fields)


def _attempt(row: Row) -> AttemptRow:
    return AttemptRow(**dict(row.items()))
