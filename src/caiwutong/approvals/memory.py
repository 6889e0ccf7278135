"""Mandates, requests and signatures in memory: the twin of ``store.PostgresApprovalStore``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec

from caiwutong.approvals.model import (
    Mandate,
    MandateState,
    NewRequest,
    PolicyStep,
    SignatureRow,
    SigningRequest,
    Usage,
)
from caiwutong.approvals.rules import Day, DayKey
from caiwutong.approvals.store import SubjectKey
from caiwutong.db.database import Tx
from caiwutong.db.memory import mem


class MemoryApprovalStore:
    """Dicts keyed by tenant and id; a subject is the tuple of its rounds."""

    def __init__(self) -> None:
        self._mandates: dict[tuple[str, UUID], Mandate] = {}
        self._days: dict[tuple[str, DayKey], tuple[int, int]] = {}
        self._policies: dict[tuple[str, str], tuple[PolicyStep, ...]] = {}
        self._requests: dict[tuple[str, SubjectKey], tuple[SigningRequest, ...]] = {}
        self._signatures: dict[tuple[str, SubjectKey], tuple[SignatureRow, ...]] = {}

    async def active_mandates(self, tx: Tx, tenant: str, api_key_ids: Iterable[UUID]) -> list[UUID]:
        keys = set(api_key_ids)
        return sorted(
            m.mandate_id
            for (owner, _), m in self._mandates.items()
            if owner == tenant and m.terms.api_key_id in keys and m.state is MandateState.ACTIVE
        )

    async def mandates_by_id(self, tx: Tx, tenant: str, ids: Sequence[UUID]) -> list[Mandate]:
        return [m for i in ids if (m := self._mandates.get((tenant, i)))]

    async def mandate(self, tx: Tx, tenant: str, mandate_id: UUID) -> Mandate | None:
        return self._mandates.get((tenant, mandate_id))

    async def mandates(self, tx: Tx, tenant: str, after: UUID, limit: int) -> list[Mandate]:
        own = [m for (owner, i), m in self._mandates.items() if owner == tenant and i > after]
        return sorted(own, key=lambda m: m.mandate_id)[:limit]

    async def insert_mandate(self, tx: Tx, tenant: str, mandate: Mandate) -> None:
        mem(tx).put(self._mandates, (tenant, mandate.mandate_id), mandate)

    async def set_mandate_state(
        self,
        tx: Tx,
        tenant: str,
        mandate_id: UUID,
        state: MandateState,
        revoked_at: datetime | None,
    ) -> None:
        key = (tenant, mandate_id)
        after = msgspec.structs.replace(self._mandates[key], state=state, revoked_at=revoked_at)
        mem(tx).put(self._mandates, key, after)

    async def lock_days(
        self, tx: Tx, tenant: str, keys: Iterable[DayKey], *, open_missing: bool
    ) -> dict[DayKey, Day]:
        days: dict[DayKey, Day] = {}
        for key in sorted(set(keys)):
            row = self._days.get((tenant, key))
            if row is None and open_missing:
                row = self._mandates[(tenant, key[0])].terms.daily_fen, 0
                mem(tx).put(self._days, (tenant, key), row)
            if row is not None:
                days[key] = Day(*row)
        return days

    async def save_days(self, tx: Tx, tenant: str, days: dict[DayKey, Day]) -> None:
        for key, day in days.items():
            if not 0 <= day.used_fen <= day.limit_fen:
                raise AssertionError(f"day {key} uses {day.used_fen} of {day.limit_fen}")
            mem(tx).put(self._days, (tenant, key), (day.limit_fen, day.used_fen))

    async def usage(self, tx: Tx, tenant: str, mandate_id: UUID, day: date) -> Usage | None:
        row = self._days.get((tenant, (mandate_id, day)))
        return None if row is None else Usage(mandate_id, day, row[1], row[0])

    async def policy(self, tx: Tx, tenant: str, kind: str) -> list[PolicyStep]:
        return list(self._policies.get((tenant, kind), ()))

    async def set_policy(
        self, tx: Tx, tenant: str, kind: str, steps: Sequence[PolicyStep], at: datetime
    ) -> None:
        ordered = tuple(sorted(steps, key=lambda s: s.from_fen))
        mem(tx).put(self._policies, (tenant, kind), ordered)

    def decided_by(self, tenant: str, kind: str, subject_id: UUID) -> int:
        """How many different people decided a subject; zero while it is not decided. Stores of
        other rooms ask it where the database would ask its own tables."""
        rounds = self._requests.get((tenant, (kind, subject_id)), ())
        if not rounds or rounds[-1].state != "decided":
            return 0
        signed = self._signatures.get((tenant, (kind, subject_id)), ())
        return len({s.person_id for s in signed if s.round == rounds[-1].round})

    async def lock_requests(
        self, tx: Tx, tenant: str, keys: Iterable[SubjectKey]
    ) -> dict[SubjectKey, SigningRequest]:
        return {k: rounds[-1] for k in keys if (rounds := self._requests.get((tenant, k)))}

    async def insert_requests(
        self, tx: Tx, tenant: str, rounds: Sequence[tuple[NewRequest, int]], at: datetime
    ) -> int:
        begun = 0
        for new, number in rounds:
            key = (tenant, (new.subject.kind, new.subject.id))
            before = self._requests.get(key, ())
            if len(before) >= number:
                continue
            row = SigningRequest(new.subject, number, new.needed, new.maker, "waiting", at)
            mem(tx).put(self._requests, key, (*before, row))
            begun += 1
        return begun

    async def end_requests(
        self,
        tx: Tx,
        tenant: str,
        requests: Sequence[SigningRequest],
        state: str,
        at: datetime,
    ) -> None:
        for request in requests:
            key = (tenant, (request.subject.kind, request.subject.id))
            rounds = tuple(
                msgspec.structs.replace(r, state=state, ended_at=at)
                if r.round == request.round
                else r
                for r in self._requests[key]
            )
            mem(tx).put(self._requests, key, rounds)

    async def request(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> SigningRequest | None:
        rounds = self._requests.get((tenant, (kind, subject_id)))
        return rounds[-1] if rounds else None

    async def waiting(self, tx: Tx, tenant: str, after: UUID, limit: int) -> list[SigningRequest]:
        found = [
            rounds[-1]
            for (owner, (_, subject_id)), rounds in self._requests.items()
            if owner == tenant and subject_id > after and rounds[-1].state == "waiting"
        ]
        return sorted(found, key=lambda r: r.subject.id)[:limit]

    async def signatures(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> list[SignatureRow]:
        return list(self._signatures.get((tenant, (kind, subject_id)), ()))

    async def insert_signature(self, tx: Tx, tenant: str, row: SignatureRow) -> None:
        key = (tenant, (row.kind, row.subject_id))
        mem(tx).put(self._signatures, key, (*self._signatures.get(key, ()), row))
