"""What approvals do, for everyone above: mandates that cover orders, requests that people sign.

All calls run inside the caller's transaction and never commit. Locks never circle when callers keep
this order: ledger accounts, then mandate days; and a signing request before the thing it is about,
because a signature locks the request and then, when it decides, the thing. So whoever cancels a
thing calls ``withdraw`` before locking it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from caiwutong.approvals import rules
from caiwutong.approvals.model import (
    Ask,
    Mandate,
    MandateState,
    MandateTerms,
    Subject,
    Taken,
    Usage,
)
from caiwutong.approvals.signing import People, Signing
from caiwutong.approvals.store import ApprovalStore
from caiwutong.audit.service import Audit
from caiwutong.db.database import Tx
from caiwutong.identity.model import KeyAlgorithm, Person, PersonState
from caiwutong.identity.rules import person_digest
from caiwutong.identity.telling import SYSTEM
from caiwutong.kernel.errors import Broken, NotFound, Refusal

_FIRST = UUID(int=0)


class Directory(Protocol):
    """The part of identity that takes new people in."""

    async def propose_person(
        self,
        tx: Tx,
        tenant: str,
        name: str,
        role: str,
        algorithm: KeyAlgorithm,
        public_key: bytes,
        *,
        actor: str = SYSTEM,
    ) -> Person: ...

    async def activate_person(
        self, tx: Tx, tenant: str, person_id: UUID, digest: bytes
    ) -> Person: ...


class Approvals(Signing):
    """Mandates and new people, which people sign, and everything else they sign."""

    def __init__(
        self,
        store: ApprovalStore,
        people: People,
        audit: Audit | None = None,
        *,
        directory: Directory | None = None,
    ) -> None:
        """``directory``: who takes new people in; without it nobody can be proposed."""
        super().__init__(store, people, audit)
        self._directory = directory
        self.bind(rules.PERSON, self._person_decided)
        self._covers: dict[tuple[str, UUID], rules.Cover] = {}
        self.bind(rules.MANDATE, self._mandate_decided)

    async def decide_many(
        self, tx: Tx, tenant: str, asks: Sequence[Ask], now: datetime
    ) -> list[UUID | Refusal]:
        """For each ask, in order: the mandate that covers it, its amount taken from the day's
        limit; or why none does, and the order waits for people.

        Pass only orders that hold their money already: what is taken stays taken until
        ``give_back_many``. Exact under concurrency.
        """
        if not asks:
            return []
        active = await self._active(tx, tenant, {a.api_key_id for a in asks})
        planned = rules.plan(active, asks, now)
        wanted = rules.days_of(planned, asks)
        days = await self._store.lock_days(tx, tenant, wanted, open_missing=True)
        before = {key: day.used_fen for key, day in days.items()}
        outcomes = rules.take(planned, days, asks)
        changed = {key: day for key, day in days.items() if day.used_fen != before[key]}
        await self._store.save_days(tx, tenant, changed)
        return outcomes

    async def _active(self, tx: Tx, tenant: str, api_key_ids: Iterable[UUID]) -> list[rules.Cover]:
        """The active mandates of these keys. Whether they are active is asked every time; their
        terms never change, so they are read once a process."""
        ids = await self._store.active_mandates(tx, tenant, api_key_ids)
        missing = [i for i in ids if (tenant, i) not in self._covers]
        if missing:
            for mandate in await self._store.mandates_by_id(tx, tenant, missing):
                self._covers[(tenant, mandate.mandate_id)] = rules.cover(mandate)
        return [self._covers[(tenant, i)] for i in ids]

    async def give_back_many(self, tx: Tx, tenant: str, taken: Sequence[Taken]) -> None:
        """Undo what cancelled orders took of their day. Call once an order, where it becomes
        cancelled."""
        if not taken:
            return
        keys = {(t.mandate_id, t.day) for t in taken}
        days = await self._store.lock_days(tx, tenant, keys, open_missing=False)
        for t in taken:
            day = days.get((t.mandate_id, t.day))
            if day is None or day.used_fen < t.amount_fen:
                raise Broken(
                    "approvals.gave_back_too_much",
                    f"Mandate {t.mandate_id} did not take so much on {t.day}.",
                    "An order gave back twice, or under a mandate it was not covered by.",
                )
            day.used_fen -= t.amount_fen
        await self._store.save_days(tx, tenant, days)

    async def propose_mandate(
        self,
        tx: Tx,
        tenant: str,
        mandate_id: UUID,
        terms: MandateTerms,
        maker: UUID,
        now: datetime,
        *,
        actor: str = SYSTEM,
    ) -> Mandate:
        """Write the terms down and ask two people for their signatures; the mandate works once
        both have signed ``subject_of`` it. The maker cannot be one of them."""
        terms = rules.checked_terms(terms)
        digest = rules.mandate_digest(mandate_id, terms)
        mandate = Mandate(
            mandate_id=mandate_id,
            tenant=tenant,
            terms=terms,
            state=MandateState.PROPOSED,
            maker=maker,
            digest=digest,
            proposed_at=now,
        )
        await self._store.insert_mandate(tx, tenant, mandate)
        subject = self.subject_of(mandate)
        await self.request(tx, tenant, subject, rules.MANDATE_SIGNERS, maker, now)
        await self._log.tell(
            tx, tenant, "mandate.proposed", mandate_id, actor,
            {"maker": maker, "digest": digest.hex(), "terms": terms},
        )  # fmt: skip
        return mandate

    async def revoke_mandate(
        self, tx: Tx, tenant: str, mandate_id: UUID, now: datetime, *, actor: str = SYSTEM
    ) -> Mandate:
        """End a mandate for good, at once and without signatures: less power needs nobody."""
        await self.withdraw(tx, tenant, rules.MANDATE, mandate_id, now)
        mandate = await self._store.mandate(tx, tenant, mandate_id)
        if mandate is None:
            raise _no_mandate(mandate_id)
        if mandate.state is not MandateState.REVOKED:
            await self._store.set_mandate_state(tx, tenant, mandate_id, MandateState.REVOKED, now)
            await self._log.tell(tx, tenant, "mandate.revoked", mandate_id, actor, {})
        return await self.mandate(tx, tenant, mandate_id)

    async def mandate(self, tx: Tx, tenant: str, mandate_id: UUID) -> Mandate:
        """One mandate. Raises NotFound."""
        found = await self._store.mandate(tx, tenant, mandate_id)
        if found is None:
            raise _no_mandate(mandate_id)
        return found

    async def mandates(
        self, tx: Tx, tenant: str, after: UUID | None = None, limit: int = 100
    ) -> list[Mandate]:
        """A page in the order of proposal."""
        return await self._store.mandates(tx, tenant, after or _FIRST, limit)

    async def usage(self, tx: Tx, tenant: str, mandate_id: UUID, day: date) -> Usage:
        """How much of a day's limit is used."""
        found = await self._store.usage(tx, tenant, mandate_id, day)
        if found is not None:
            return found
        mandate = await self.mandate(tx, tenant, mandate_id)
        return Usage(mandate_id, day, 0, mandate.terms.daily_fen)

    @staticmethod
    def subject_of(mandate: Mandate) -> Subject:
        """What people sign for a mandate."""
        return Subject(rules.MANDATE, mandate.mandate_id, mandate.digest)

    async def _mandate_decided(self, tx: Tx, tenant: str, subject: Subject) -> None:
        mandate = await self.mandate(tx, tenant, subject.id)
        if rules.mandate_digest(subject.id, mandate.terms) != subject.digest:
            raise Broken(
                "approvals.mandate_altered",
                f"The terms of mandate {subject.id} are not those that people signed.",
                "Someone changed the row; look at the audit trail, and propose the mandate again.",
            )
        if mandate.state is MandateState.PROPOSED:
            await self._store.set_mandate_state(tx, tenant, subject.id, MandateState.ACTIVE, None)
            await self._log.tell(tx, tenant, "mandate.activated", subject.id, SYSTEM, {})

    async def propose_person(
        self,
        tx: Tx,
        tenant: str,
        name: str,
        role: str,
        algorithm: KeyAlgorithm,
        public_key: bytes,
        maker: UUID,
        now: datetime,
        *,
        actor: str = SYSTEM,
    ) -> Person:
        """Propose someone who shall sign. Two people here sign ``subject_of_person`` first: whoever
        could add signers alone could move money alone. A tenant's first two need nobody."""
        person = await self._people_in().propose_person(
            tx, tenant, name, role, algorithm, public_key, actor=actor
        )
        if person.state is PersonState.PROPOSED:
            subject = self.subject_of_person(person)
            await self.request(tx, tenant, subject, rules.PERSON_SIGNERS, maker, now)
        return person

    @staticmethod
    def subject_of_person(person: Person) -> Subject:
        """What people sign for a new person: name, role and key."""
        return Subject(rules.PERSON, person.person_id, person_digest(person))

    async def _person_decided(self, tx: Tx, tenant: str, subject: Subject) -> None:
        await self._people_in().activate_person(tx, tenant, subject.id, subject.digest)

    def _people_in(self) -> Directory:
        if self._directory is None:
            raise Broken(
                "approvals.no_directory",
                "Nobody takes new people in.",
                "Give the directory where the house is wired.",
            )
        return self._directory


def _no_mandate(mandate_id: UUID) -> NotFound:
    return NotFound(
        "approvals.no_such_mandate",
        f"There is no mandate {mandate_id}.",
        "List the mandates and name one of them.",
    )
