"""Mandates, requests and signatures in PostgreSQL, and the port both stores keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from caiwutong.approvals.model import (
    Mandate,
    MandateState,
    MandateTerms,
    NewRequest,
    PolicyStep,
    SignatureRow,
    SigningRequest,
    Subject,
    Usage,
)
from caiwutong.approvals.rules import Day, DayKey
from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, columns, pg
from caiwutong.db.queries import load as load_queries

_sql = load_queries(__package__ or "")

SubjectKey = tuple[str, UUID]
"""Kind and id of a subject."""


class ApprovalStore(Protocol):
    """Rows of approvals: one for PostgreSQL, one in memory, one contract suite for both."""

    async def active_mandates(self, tx: Tx, tenant: str, api_key_ids: Iterable[UUID]) -> list[UUID]:
        """The ids of the active mandates of these API keys, in order."""
        ...

    async def mandates_by_id(self, tx: Tx, tenant: str, ids: Sequence[UUID]) -> list[Mandate]: ...

    async def mandate(self, tx: Tx, tenant: str, mandate_id: UUID) -> Mandate | None:
        """Locked until the transaction ends."""
        ...

    async def mandates(self, tx: Tx, tenant: str, after: UUID, limit: int) -> list[Mandate]: ...

    async def insert_mandate(self, tx: Tx, tenant: str, mandate: Mandate) -> None: ...

    async def set_mandate_state(
        self,
        tx: Tx,
        tenant: str,
        mandate_id: UUID,
        state: MandateState,
        revoked_at: datetime | None,
    ) -> None: ...

    async def lock_days(
        self, tx: Tx, tenant: str, keys: Iterable[DayKey], *, open_missing: bool
    ) -> dict[DayKey, Day]:
        """These days' usage, locked in order until the transaction ends. ``open_missing`` starts
        the days not used yet, for active mandates."""
        ...

    async def save_days(self, tx: Tx, tenant: str, days: dict[DayKey, Day]) -> None: ...

    async def usage(self, tx: Tx, tenant: str, mandate_id: UUID, day: date) -> Usage | None: ...

    async def policy(self, tx: Tx, tenant: str, kind: str) -> list[PolicyStep]: ...

    async def set_policy(
        self, tx: Tx, tenant: str, kind: str, steps: Sequence[PolicyStep], at: datetime
    ) -> None: ...

    async def lock_requests(
        self, tx: Tx, tenant: str, keys: Iterable[SubjectKey]
    ) -> dict[SubjectKey, SigningRequest]:
        """The newest round of each subject, locked until the transaction ends."""
        ...

    async def insert_requests(
        self, tx: Tx, tenant: str, rounds: Sequence[tuple[NewRequest, int]], at: datetime
    ) -> int:
        """Begin these rounds; how many were begun (another transaction may have been first)."""
        ...

    async def end_requests(
        self,
        tx: Tx,
        tenant: str,
        requests: Sequence[SigningRequest],
        state: str,
        at: datetime,
    ) -> None: ...

    async def request(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> SigningRequest | None:
        """The newest round, without a lock."""
        ...

    async def waiting(
        self, tx: Tx, tenant: str, after: UUID, limit: int
    ) -> list[SigningRequest]: ...

    async def signatures(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> list[SignatureRow]:
        """All rounds, oldest first."""
        ...

    async def insert_signature(self, tx: Tx, tenant: str, row: SignatureRow) -> None: ...


class PostgresApprovalStore:
    """Set-based statements; what is decided is decided under row locks."""

    async def active_mandates(self, tx: Tx, tenant: str, api_key_ids: Iterable[UUID]) -> list[UUID]:
        rows = await pg(tx).fetch(_sql["active_mandates"], tenant, list(api_key_ids))
        return [row[0] for row in rows]

    async def mandates_by_id(self, tx: Tx, tenant: str, ids: Sequence[UUID]) -> list[Mandate]:
        rows = await pg(tx).fetch(_sql["mandates_by_id"], tenant, list(ids))
        return [_mandate(tenant, row) for row in rows]

    async def mandate(self, tx: Tx, tenant: str, mandate_id: UUID) -> Mandate | None:
        row = await pg(tx).fetch_one(_sql["mandate"], tenant, mandate_id)
        return None if row is None else _mandate(tenant, row)

    async def mandates(self, tx: Tx, tenant: str, after: UUID, limit: int) -> list[Mandate]:
        rows = await pg(tx).fetch(_sql["mandates"], tenant, after, limit)
        return [_mandate(tenant, row) for row in rows]

    async def insert_mandate(self, tx: Tx, tenant: str, mandate: Mandate) -> None:
        terms = mandate.terms
        await pg(tx).execute(
            _sql["insert_mandate"], tenant, mandate.mandate_id, terms.api_key_id,
            list(terms.bank_account_ids), None if terms.payees == "any" else list(terms.payees),
            terms.per_payment_fen, terms.daily_fen, terms.valid_from, terms.valid_until,
            mandate.digest, mandate.maker, mandate.proposed_at,
        )  # fmt: skip

    async def set_mandate_state(
        self,
        tx: Tx,
        tenant: str,
        mandate_id: UUID,
        state: MandateState,
        revoked_at: datetime | None,
    ) -> None:
        await pg(tx).execute(_sql["set_mandate_state"], tenant, mandate_id, state, revoked_at)

    async def lock_days(
        self, tx: Tx, tenant: str, keys: Iterable[DayKey], *, open_missing: bool
    ) -> dict[DayKey, Day]:
        wanted = sorted(set(keys))
        if not wanted:
            return {}
        locked = await self._lock_days(tx, tenant, wanted)
        if open_missing and len(locked) < len(wanted):
            # Opening waits for another's opening of the same day, so the whole set is locked
            # again: all rows are then ours. Locks already held stay held.
            missing = [key for key in wanted if key not in locked]
            await pg(tx).execute(_sql["open_days"], tenant, *columns(missing, 2))
            locked = await self._lock_days(tx, tenant, wanted)
        return locked

    async def _lock_days(self, tx: Tx, tenant: str, keys: list[DayKey]) -> dict[DayKey, Day]:
        rows = await pg(tx).fetch(_sql["lock_days"], tenant, *columns(keys, 2))
        return {(r[0], r[1]): Day(limit_fen=r[3], used_fen=r[2]) for r in rows}

    async def save_days(self, tx: Tx, tenant: str, days: dict[DayKey, Day]) -> None:
        if days:
            rows = [(m, d, day.used_fen) for (m, d), day in sorted(days.items())]
            await pg(tx).execute(_sql["save_days"], tenant, *columns(rows, 3))

    async def usage(self, tx: Tx, tenant: str, mandate_id: UUID, day: date) -> Usage | None:
        row = await pg(tx).fetch_one(_sql["usage"], tenant, mandate_id, day)
        return None if row is None else Usage(*row)

    async def policy(self, tx: Tx, tenant: str, kind: str) -> list[PolicyStep]:
        return [PolicyStep(*r) for r in await pg(tx).fetch(_sql["policy"], tenant, kind)]

    async def set_policy(
        self, tx: Tx, tenant: str, kind: str, steps: Sequence[PolicyStep], at: datetime
    ) -> None:
        await pg(tx).execute(_sql["clear_policy"], tenant, kind)
        rows = [(s.from_fen, s.needed) for s in steps]
        await pg(tx).execute(_sql["insert_policy"], tenant, kind, *columns(rows, 2), at)

    async def lock_requests(
        self, tx: Tx, tenant: str, keys: Iterable[SubjectKey]
    ) -> dict[SubjectKey, SigningRequest]:
        rows = await pg(tx).fetch(_sql["lock_requests"], tenant, *columns(sorted(set(keys)), 2))
        return {(r["kind"], r["subject_id"]): _request(r) for r in rows}

    async def insert_requests(
        self, tx: Tx, tenant: str, rounds: Sequence[tuple[NewRequest, int]], at: datetime
    ) -> int:
        rows = [
            (new.subject.kind, new.subject.id, number, new.subject.digest, new.needed, new.maker)
            for new, number in rounds
        ]
        return await pg(tx).execute(_sql["insert_requests"], tenant, *columns(rows, 6), at)

    async def end_requests(
        self,
        tx: Tx,
        tenant: str,
        requests: Sequence[SigningRequest],
        state: str,
        at: datetime,
    ) -> None:
        rows = [(r.subject.kind, r.subject.id, r.round) for r in requests]
        await pg(tx).execute(_sql["end_requests"], tenant, *columns(rows, 3), state, at)

    async def request(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> SigningRequest | None:
        row = await pg(tx).fetch_one(_sql["request"], tenant, kind, subject_id)
        return None if row is None else _request(row)

    async def waiting(self, tx: Tx, tenant: str, after: UUID, limit: int) -> list[SigningRequest]:
        rows = await pg(tx).fetch(_sql["waiting"], tenant, after, limit)
        return [_request(row) for row in rows]

    async def signatures(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> list[SignatureRow]:
        rows = await pg(tx).fetch(_sql["signatures"], tenant, kind, subject_id)
        return [SignatureRow(*row) for row in rows]

    async def insert_signature(self, tx: Tx, tenant: str, row: SignatureRow) -> None:
        values = [getattr(row, name) for name in row.__struct_fields__]
        await pg(tx).execute(_sql["insert_signature"], tenant, *values)


def _mandate(tenant: str, row: Row) -> Mandate:
    payees = row["payees"]
    return Mandate(
        mandate_id=row["mandate_id"],
        tenant=tenant,
        terms=MandateTerms(
            api_key_id=row["api_key_id"],
            bank_account_ids=tuple(row["bank_account_ids"]),
            payees="any" if payees is None else tuple(payees),
            per_payment_fen=row["per_payment_fen"],
            daily_fen=row["daily_fen"],
            valid_from=row["valid_from"],
            valid_until=row["valid_until"],
        ),
        state=MandateState(row["state"]),
        maker=row["maker"],
        digest=row["digest"],
        proposed_at=row["proposed_at"],
        revoked_at=row["revoked_at"],
    )


def _request(row: Row) -> SigningRequest:
    kind, subject_id, digest, *rest = row
    return SigningRequest(Subject(kind, subject_id, digest), *rest)
