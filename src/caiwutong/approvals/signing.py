"""People's signatures: who must sign a subject, who did, and when that is enough.

Read next: ``service``, which adds the mandates of machine callers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from caiwutong.approvals import rules
from caiwutong.approvals.model import (
    Decided,
    NewRequest,
    OnDecided,
    PolicyStep,
    SignatureRow,
    SigningRequest,
    Subject,
    Waiting,
)
from caiwutong.approvals.store import ApprovalStore
from caiwutong.audit.model import NO_SUBJECT
from caiwutong.audit.service import Audit
from caiwutong.db.database import Tx
from caiwutong.identity.model import Person, PersonState
from caiwutong.identity.signatures import verify
from caiwutong.identity.telling import SYSTEM, Teller
from caiwutong.kernel.errors import Broken, Conflict, NotFound, Refused

_FIRST = UUID(int=0)
_TRIES = 3


class People(Protocol):
    """The part of identity that knows people."""

    async def person(self, tx: Tx, tenant: str, person_id: UUID) -> Person:
        """Raises NotFound."""
        ...


class Signing:
    """Requests and signatures over one store."""

    def __init__(self, store: ApprovalStore, people: People, audit: Audit | None = None) -> None:
        self._store = store
        self._log = Teller(audit)
        self._people = people
        self._on_decided: dict[str, OnDecided] = {}

    def bind(self, kind: str, on_decided: OnDecided) -> None:
        """Who hears, inside the signing transaction, that a subject of this kind is decided."""
        if kind in self._on_decided:
            raise ValueError(f"{kind} is bound already")
        self._on_decided[kind] = on_decided

    async def policy(self, tx: Tx, tenant: str, amount_fen: int, kind: str = "payment") -> int:
        """How many different people an amount of this kind needs."""
        return rules.needed_people(await self.policy_steps(tx, tenant, kind), amount_fen)

    async def policy_steps(
        self, tx: Tx, tenant: str, kind: str = "payment"
    ) -> Sequence[PolicyStep]:
        """The tenant's steps, or the default; read once for a batch, then ``needed_people``."""
        return await self._store.policy(tx, tenant, kind) or rules.DEFAULT_POLICY

    async def set_policy(
        self,
        tx: Tx,
        tenant: str,
        kind: str,
        steps: Sequence[PolicyStep],
        now: datetime,
        *,
        actor: str = SYSTEM,
    ) -> None:
        """Replace the steps of a kind. Requests already made keep the number they were made
        with."""
        rules.check_policy(steps)
        await self._store.set_policy(tx, tenant, kind, steps, now)
        body = {"kind": kind, "steps": list(steps)}
        await self._log.tell(tx, tenant, "policy.changed", NO_SUBJECT, actor, body)

    async def request_many(
        self, tx: Tx, tenant: str, requests: Sequence[NewRequest], now: datetime
    ) -> None:
        """Ask people to sign. The same subject and digest again changes nothing; another digest
        voids the signatures given so far and begins a new round."""
        wanted = {(r.subject.kind, r.subject.id): r for r in requests}
        for _ in range(_TRIES):
            if not wanted:
                return
            current = await self._store.lock_requests(tx, tenant, wanted)
            rounds = [
                (new, before.round + 1 if before else 1)
                for key, new in wanted.items()
                if (before := current.get(key)) is None or not _same(before, new)
            ]
            stale = [
                before
                for new, _ in rounds
                if (before := current.get((new.subject.kind, new.subject.id)))
                and before.state == "waiting"
            ]
            if stale:
                await self._store.end_requests(tx, tenant, stale, "void", now)
            if not rounds or await self._store.insert_requests(tx, tenant, rounds, now) == len(
                rounds
            ):
                return
        raise Conflict(
            "approvals.changed",
            "Others asked for signatures under the same subjects at the same moment.",
            "Send the request again.",
        )

    async def request(
        self,
        tx: Tx,
        tenant: str,
        subject: Subject,
        needed: int,
        maker: UUID,
        now: datetime,
    ) -> None:
        """``request_many`` of one."""
        await self.request_many(tx, tenant, [NewRequest(subject, needed, maker)], now)

    async def withdraw(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID, now: datetime
    ) -> None:
        """Nobody needs to sign any more: the subject was cancelled."""
        current = await self._store.lock_requests(tx, tenant, [(kind, subject_id)])
        stale = [r for r in current.values() if r.state == "waiting"]
        if stale:
            await self._store.end_requests(tx, tenant, stale, "void", now)

    async def sign(
        self,
        tx: Tx,
        tenant: str,
        subject: Subject,
        person_id: UUID,
        signature: bytes,
        now: datetime,
    ) -> Decided | Waiting:
        """Take a person's signature over ``rules.signed_bytes(tenant, subject)``.

        The same person twice counts once. When enough different people have signed, whoever is
        bound to the kind is called in this transaction, exactly once. Raises NotFound (nobody
        asks, no such person), Conflict (the subject changed), Refused (maker, left, bad signature).
        """
        current = await self._store.lock_requests(tx, tenant, [(subject.kind, subject.id)])
        request = current.get((subject.kind, subject.id))
        _check_request(request, subject)
        assert request is not None
        person = await self._people.person(tx, tenant, person_id)
        _check_signer(tenant, request, subject, person, signature)
        if request.state == "decided":
            return Decided(again=True)
        rows = await self._store.signatures(tx, tenant, subject.kind, subject.id)
        signed = {row.person_id for row in rows if row.round == request.round}
        if person_id not in signed:
            row = SignatureRow(
                subject.kind, subject.id, request.round, person_id, subject.digest,
                person.algorithm, person.public_key, signature, now,
            )  # fmt: skip
            await self._store.insert_signature(tx, tenant, row)
            signed.add(person_id)
            await self._log.tell(
                tx,
                tenant,
                "signature.given",
                subject.id,
                f"person:{person_id}",
                {
                    "digest": subject.digest.hex(),
                    "round": request.round,
                    "algorithm": person.algorithm,
                    "signature": signature.hex(),
                    "missing": max(0, request.needed - len(signed)),
                },
                subject_kind=subject.kind,
            )
        if len(signed) < request.needed:
            return Waiting(request.needed - len(signed))
        await self._store.end_requests(tx, tenant, [request], "decided", now)
        on_decided = self._on_decided.get(subject.kind)
        if on_decided is None:
            raise Broken(
                "approvals.nobody_hears",
                f"Nobody is bound to decisions about {subject.kind}.",
                "Bind the kind where the house is wired.",
            )
        await on_decided(tx, tenant, subject)
        return Decided()

    async def signing(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> SigningRequest | None:
        """Where the newest round of a subject stands, or None when nobody was ever asked."""
        return await self._store.request(tx, tenant, kind, subject_id)

    async def signers(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> list[tuple[UUID, str]]:
        """Who signed the newest round of a subject: person and name, in order of signing."""
        request = await self.signing(tx, tenant, kind, subject_id)
        rows = await self._store.signatures(tx, tenant, kind, subject_id)
        people = [row.person_id for row in rows if request and row.round == request.round]
        return [(i, (await self._people.person(tx, tenant, i)).name) for i in people]

    async def waiting(
        self, tx: Tx, tenant: str, after: UUID | None = None, limit: int = 100
    ) -> list[SigningRequest]:
        """What waits for people, in id order."""
        return await self._store.waiting(tx, tenant, after or _FIRST, limit)

    async def signatures(
        self, tx: Tx, tenant: str, kind: str, subject_id: UUID
    ) -> list[SignatureRow]:
        """Every signature ever given under a subject, oldest first, all rounds."""
        return await self._store.signatures(tx, tenant, kind, subject_id)


def _same(before: SigningRequest, new: NewRequest) -> bool:
    return before.state != "void" and before.subject.digest == new.subject.digest


def _check_request(request: SigningRequest | None, subject: Subject) -> None:
    if request is None or request.state == "void":
        raise NotFound(
            "approvals.not_requested",
            f"Nobody asks for signatures under {subject.kind} {subject.id}.",
            "Look at what is waiting; the order may have been cancelled.",
        )
    if request.subject.digest != subject.digest:
        raise Conflict(
            "approvals.changed",
            f"The {subject.kind} {subject.id} is not what was signed.",
            "Read it again, look at what changed, and sign it as it is now.",
        )


def _check_signer(
    tenant: str, request: SigningRequest, subject: Subject, person: Person, signature: bytes
) -> None:
    if request.maker == person.person_id:
        raise Refused(
            "approvals.maker_may_not_sign",
            f"{person.name} made this {subject.kind} and may not sign it.",
            "Let another person sign.",
        )
    if person.state is not PersonState.ACTIVE:
        raise Refused(
            "approvals.person_may_not_sign",
            f"{person.name} is {person.state} and may not sign.",
            "Let a person who is active sign.",
        )
    message = rules.signed_bytes(tenant, subject)
    if not verify(person.algorithm, person.public_key, message, signature):
        raise Refused(
            "approvals.bad_signature",
            f"The signature is not {person.name}'s over this {subject.kind}.",
            "Sign the canonical bytes of the subject with the key that is registered.",
        )
