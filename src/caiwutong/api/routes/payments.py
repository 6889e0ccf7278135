"""Payments that exist: find them, look at them, ask something of them. And the batch way in."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter

from caiwutong.api.http import PROBLEMS, TAKES, Body, DryRun, Who, actor, decode, reply
from caiwutong.api.paging import Cursor, Limit, Page, Paging, instant
from caiwutong.api.payments import Accepted, accepted, check_key, submission_of
from caiwutong.api.problems import BadRequest, Problem, problem_of
from caiwutong.api.services import Services
from caiwutong.approvals.model import Subject
from caiwutong.approvals.rules import signed_bytes
from caiwutong.bank_accounts.rules import account_index
from caiwutong.kernel.clock import china_midnight
from caiwutong.kernel.errors import Conflict, Refusal
from caiwutong.kernel.order import PaymentOrder
from caiwutong.payments.intake import SUBJECT
from caiwutong.payments.states import AT_THE_RAIL, State
from caiwutong.payments.store import LAST_ID, Filter
from caiwutong.payments.views import PaymentView, Timeline

MOST_IN_A_BATCH = 1000
_MOST_FEN = 2**62
_Fen = Annotated[int | None, QueryParameter(ge=0, le=_MOST_FEN)]


class KeyedOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One order of a batch with its own idempotency key."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    order: PaymentOrder


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Orders to be taken in together; each is decided for itself."""

    orders: Annotated[list[KeyedOrder], msgspec.Meta(min_length=1, max_length=MOST_IN_A_BATCH)]


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one order of a batch: exactly one of the two."""

    accepted: Accepted | None = None
    refused: Problem | None = None


class Outcomes(msgspec.Struct, frozen=True):
    """One outcome for each order, in order."""

    outcomes: list[Outcome]
    accepted: int
    refused: int


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why, in words that travel to the other bank."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=140)]


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's signature over ``to_sign``, in base64."""

    person_id: UUID
    signature: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class Given(msgspec.Struct, frozen=True):
    """One signature that was given."""

    person_id: UUID
    signed_at: datetime
    algorithm: str


class Signing(msgspec.Struct, frozen=True):
    """Where the signing of something stands."""

    state: str
    """``not_needed``, ``waiting``, ``decided`` or ``void``."""
    needed: int
    missing: int
    given: list[Given]
    digest: str
    """What stands for the content, hex."""
    to_sign: str
    """The exact bytes a person signs, base64."""


def payment_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/payments, but for the lean single POST."""
    views, requests = house.payments.views, house.payments.requests

    @post("/v1/payments/batch", status_code=200, opt={TAKES: Batch})
    async def pay_batch(body: Body, caller: Who, dry_run: DryRun = False) -> Response[Outcomes]:
        """Take many orders in at once. Each is answered in its place: accepted or refused."""
        batch = decode(Batch, body)
        house.payments.pressure.check(caller.tenant)
        submissions = [submission_of(caller, o.key, o.order) for o in batch.orders]
        for submission in submissions:
            check_key(submission.key)
        answers = await house.payments.intake.submit_many(
            caller.tenant, submissions, dry_run=dry_run
        )
        outcomes = [
            Outcome(refused=problem_of(got, f"/orders/{place}"))
            if isinstance(got, Refusal)
            else Outcome(accepted=accepted(got))
            for place, got in enumerate(answers)
        ]
        refused = sum(each.refused is not None for each in outcomes)
        return reply(Outcomes(outcomes, len(outcomes) - refused, refused))

    @get("/v1/payments")
    async def find_payments(
        caller: Who,
        states: Annotated[list[State] | None, QueryParameter(name="state")] = None,
        bank_account_id: FromQuery[list[UUID] | None] = None,
        member_unit_id: FromQuery[UUID | None] = None,
        created_from: FromQuery[date | None] = None,
        created_until: FromQuery[date | None] = None,
        at_least_fen: _Fen = None,
        at_most_fen: _Fen = None,
        payee_account: Annotated[str | None, QueryParameter(max_length=64)] = None,
        payee_last4: Annotated[str | None, QueryParameter(pattern="^[0-9A-Za-z]{4}$")] = None,
        import_id: FromQuery[UUID | None] = None,
        alarmed: FromQuery[bool | None] = None,
        q: Annotated[
            str | None,
            QueryParameter(
                max_length=100,
                description="Part of purpose, remark, key or reference; four digits: the end of "
                "the payee's account.",
            ),
        ] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[Page[PaymentView]]:
        """Payments, newest first. Days are days in China; `created_until` is included.
        `alarmed`: those about which a network contradicted itself."""
        accounts = await _accounts(house, caller, bank_account_id, member_unit_id)
        last4 = payee_last4 or (q if q and len(q) == 4 and q.isdigit() else None)
        narrow = Filter(
            states=tuple(states) if states else None,
            bank_account_ids=accounts,
            payee_index=account_index(house.vault, payee_account) if payee_account else None,
            payee_last4=last4,
            at_least_fen=at_least_fen,
            at_most_fen=at_most_fen,
            created_from=_day(created_from, 0, "created_from"),
            created_before=_day(created_until, 1, "created_until"),
            text=q if q and not last4 else None,
            import_id=import_id,
            alarmed=alarmed,
        )
        before = paging.id_after(caller.tenant, "payments", cursor) or LAST_ID
        found = await views.page(caller.tenant, narrow, before, limit + 1)
        return reply(paging.page(caller.tenant, "payments", limit, found, lambda p: str(p.id)))

    @get("/v1/payments/{payment_id:uuid}")
    async def read_payment(payment_id: FromPath[UUID], caller: Who) -> Response[PaymentView]:
        """One payment as it stands."""
        return _reply_view(await views.get(caller.tenant, payment_id))

    @get("/v1/payments/{payment_id:uuid}/timeline")
    async def read_timeline(payment_id: FromPath[UUID], caller: Who) -> Response[Timeline]:
        """Everything that happened to a payment, with when it took effect and when it was
        recorded, and every attempt with why this channel."""
        return reply(await views.timeline(caller.tenant, payment_id))

    @post("/v1/payments/{payment_id:uuid}/enquiries", status_code=200, opt={PROBLEMS: (409,)})
    async def enquire(payment_id: FromPath[UUID], caller: Who) -> Response[PaymentView]:
        """Ask the network now what became of a payment that is on its way."""
        await requests.enquire(caller.tenant, payment_id)
        return _reply_view(await views.get(caller.tenant, payment_id))

    @post("/v1/payments/{payment_id:uuid}/revocations", status_code=200, opt={PROBLEMS: (409,)})
    async def revoke(
        payment_id: FromPath[UUID], caller: Who, dry_run: DryRun = False
    ) -> Response[PaymentView]:
        """撤销: ask the network to take a payment back before it is netted. The answer shows
        whether it was granted."""
        if dry_run:
            await _would(house, caller, payment_id, AT_THE_RAIL, "revoked")
        else:
            await requests.revoke(caller.tenant, payment_id, actor(caller))
        return _reply_view(await views.get(caller.tenant, payment_id))

    @post(
        "/v1/payments/{payment_id:uuid}/return-requests",
        status_code=200,
        opt={TAKES: Reason, PROBLEMS: (409,)},
    )
    async def ask_back(
        payment_id: FromPath[UUID], body: Body, caller: Who, dry_run: DryRun = False
    ) -> Response[PaymentView]:
        """申请退回: ask the payee's bank for settled money. What comes back is a payment of its
        own (退汇)."""
        why = decode(Reason, body)
        if dry_run:
            await _would(house, caller, payment_id, {State.COMPLETED}, "asked back")
        else:
            await requests.request_return(caller.tenant, payment_id, why.reason, actor(caller))
        return _reply_view(await views.get(caller.tenant, payment_id))

    @post("/v1/payments/{payment_id:uuid}/cancel", status_code=200, opt={PROBLEMS: (409,)})
    async def cancel(
        payment_id: FromPath[UUID], caller: Who, dry_run: DryRun = False
    ) -> Response[PaymentView]:
        """作废: the payment never leaves the house, and its money is free again."""
        row = await requests.cancel(caller.tenant, payment_id, actor(caller), dry_run=dry_run)
        return _reply_view(views.view(row))

    @get("/v1/payments/{payment_id:uuid}/signatures")
    async def read_signing(payment_id: FromPath[UUID], caller: Who) -> Response[Signing]:
        """Who signed, how many are missing, and the exact bytes to sign."""
        view = await views.get(caller.tenant, payment_id)
        subject = Subject(SUBJECT, payment_id, bytes.fromhex(view.digest))
        return reply(await signing_of(house, caller, subject))

    @post(
        "/v1/payments/{payment_id:uuid}/signatures",
        status_code=200,
        opt={TAKES: Signature, PROBLEMS: (409, 412)},
    )
    async def sign(payment_id: FromPath[UUID], body: Body, caller: Who) -> Response[Signing]:
        """Hand in a person's signature. With the last one needed the payment goes."""
        given = decode(Signature, body)
        view = await views.get(caller.tenant, payment_id)
        subject = Subject(SUBJECT, payment_id, bytes.fromhex(view.digest))
        return reply(await take_signature(house, caller, subject, given))

    return [
        pay_batch, find_payments, read_payment, read_timeline, enquire, revoke, ask_back, cancel,
        read_signing, sign,
    ]  # fmt: skip


async def take_signature(
    house: Services, caller: Who, subject: Subject, given: Signature
) -> Signing:
    """Take a signature under a subject; where its signing stands afterwards."""
    try:
        raw = base64.b64decode(given.signature, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(
            "request.not_valid", "The signature is not base64.", "Send the raw bytes in base64."
        ) from None
    async with house.database.transaction() as tx:
        now = house.clock.now()
        await house.approvals.sign(tx, caller.tenant, subject, given.person_id, raw, now)
    return await signing_of(house, caller, subject)


async def signing_of(house: Services, caller: Who, subject: Subject) -> Signing:
    """Where the signing of a subject stands."""
    async with house.database.transaction() as tx:
        request = await house.approvals.signing(tx, caller.tenant, subject.kind, subject.id)
        rows = await house.approvals.signatures(tx, caller.tenant, subject.kind, subject.id)
    given = [
        Given(row.person_id, row.signed_at, row.algorithm)
        for row in rows
        if request is not None and row.round == request.round
    ]
    needed = request.needed if request else 0
    return Signing(
        state=request.state if request else "not_needed",
        needed=needed,
        missing=max(needed - len(given), 0) if request and request.state == "waiting" else 0,
        given=given,
        digest=subject.digest.hex(),
        to_sign=base64.b64encode(signed_bytes(caller.tenant, subject)).decode(),
    )


def _reply_view(view: PaymentView) -> Response[PaymentView]:
    return reply(view, version=view.version)


async def _accounts(
    house: Services, caller: Who, named: list[UUID] | None, member_unit_id: UUID | None
) -> tuple[UUID, ...] | None:
    if member_unit_id is None:
        return tuple(named) if named else None
    async with house.database.transaction() as tx:
        of_unit = await house.bank_accounts.page(
            tx, caller.tenant, member_unit_id=member_unit_id, limit=1000
        )
    ids = {account.bank_account_id for account in of_unit}
    return tuple(ids & set(named) if named else ids)


def _day(day: date | None, later: int, name: str) -> datetime | None:
    if day is None:
        return None
    instant(datetime(day.year, 6, 1, tzinfo=UTC), name)
    return china_midnight(day + timedelta(days=later))


async def _would(
    house: Services,
    caller: Who,
    payment_id: UUID,
    states: frozenset[State] | set[State],
    done: str,
) -> None:
    """The refusal a real request would get for the state the payment is in."""
    view = await house.payments.views.get(caller.tenant, payment_id)
    if view.state not in states:
        raise Conflict(
            "payment.wrong_state",
            f"Payment {payment_id} is {view.state.value}; it cannot be {done} now.",
            "Before it leaves, cancel it; on its way, revoke it; after completion, ask it back.",
        )
