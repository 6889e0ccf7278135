"""Proofs for people outside: of the log's growth, and of everything that happened to a payment."""

from __future__ import annotations

from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from caiwutong.api.http import Who, reply
from caiwutong.api.paging import Paging
from caiwutong.api.services import Services
from caiwutong.audit.heads import SignedHead
from caiwutong.audit.model import event_bytes
from caiwutong.audit.proof import GrowthProof
from caiwutong.payments.views import no_such_payment


class ProvedEvent(msgspec.Struct, frozen=True):
    """An event of the log with what proves it."""

    seq: int
    """Its number in the log of this tenant, from 1."""
    kind: str
    record: bytes
    """The exact bytes that were hashed (docs/audit.md), base64."""
    path: list[str]
    """The hashes beside its way to the head's root, hex, nearest first."""
    head: SignedHead


class Proofs(msgspec.Struct, frozen=True):
    """Everything told of one payment, proved."""

    payment_id: UUID
    events: list[ProvedEvent]
    public_key: str
    """Ed25519, hex. Have it told to you by another way as well."""


class Growth(msgspec.Struct, frozen=True):
    """That the log of now begins with an earlier one."""

    proof: GrowthProof
    public_key: str


def audit_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/audit, and a payment's proofs."""
    public_key = house.vault.head_public_key.hex()

    @get("/v1/audit/growth")
    async def prove_growth(caller: Who, size: FromQuery[int] = 0) -> Response[Growth]:
        """The newest signed head, and the proof that its log begins with the one that had `size`
        events when its head was signed (0: from the beginning)."""
        async with house.database.transaction() as tx:
            proof = await house.audit.prove_growth(tx, caller.tenant, max(0, size))
        return reply(Growth(proof, public_key))

    @get("/v1/payments/{payment_id:uuid}/proofs")
    async def prove_payment(payment_id: FromPath[UUID], caller: Who) -> Response[Proofs]:
        """Every event of a payment with its path to a signed head. Events of the last second are
        not sealed yet: then it answers 404 with `audit.not_sealed_yet`; ask again."""
        async with house.database.transaction() as tx:
            events = await house.audit.timeline(tx, caller.tenant, payment_id)
            if not events:
                raise no_such_payment(payment_id)
            proofs = [await house.audit.prove(tx, event) for event in events]
        told = [
            ProvedEvent(p.seq, p.event.kind, event_bytes(p.event), p.path, p.head) for p in proofs
        ]
        return reply(Proofs(payment_id, told, public_key))

    return [prove_growth, prove_payment]
