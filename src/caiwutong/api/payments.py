"""POST /v1/payments: one payment order in, one receipt out. The lean way in.

Owns no decision: the order is decoded into ``kernel/order.PaymentOrder``, gathered with its
neighbours by ``batching``, and decided by ``payments/intake``. The answer is sent after the order
is durable.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

import msgspec

from caiwutong.api.asgi import JSON, Send, answer
from caiwutong.api.batching import Batcher
from caiwutong.api.problems import BadRequest, Failed
from caiwutong.identity.model import Caller
from caiwutong.kernel.errors import CaiwutongError, Refusal, Refused
from caiwutong.kernel.order import PaymentOrder
from caiwutong.payments.model import Answer, Receipt, Submission
from caiwutong.payments.ports import TakesOrders
from caiwutong.payments.states import WORDS, State

PATH = "/v1/payments"


class Accepted(msgspec.Struct, frozen=True):
    """An order that was taken in. It is durable, its money is held."""

    id: UUID
    state: State
    state_zh: str
    replayed: bool
    """True when the same key and content were here before: this is the first answer again."""
    needs: str = ""
    """Why people must sign, when the state is ``awaiting_signatures``."""


class IntakeRefused(Refused):
    """Intake said no, and has recorded it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code, refusal.detail, refusal.cure)


_decode = msgspec.json.Decoder(PaymentOrder).decode
_encode = msgspec.json.Encoder().encode
_LOCATION = PATH.encode() + b"/"


def accepted(receipt: Receipt) -> Accepted:
    """A receipt as the caller sees it."""
    return Accepted(
        receipt.payment_id,
        receipt.state,
        WORDS[receipt.state][0],
        receipt.replayed,
        receipt.needs,
    )


def order_of(body: bytes) -> PaymentOrder:
    """The order in a body. Raises ``BadRequest``."""
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        raise not_valid(str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(error) from None


def not_valid(words: str) -> BadRequest:
    """It is JSON, but not what this address takes."""
    return BadRequest(
        "request.not_valid",
        words[:300],
        "Compare the body with the schema of this address in /openapi.json.",
    )


def malformed(error: BaseException) -> BadRequest:
    """It is not JSON."""
    deep = isinstance(error, RecursionError)
    return BadRequest(
        "request.malformed_json",
        "The JSON is nested too deep." if deep else str(error)[:300],
        "Send one JSON object in UTF-8.",
    )


def check_key(key: str) -> None:
    """Refuse a payment without the key that makes it safe to send again."""
    if not key:
        raise Failed(
            428,
            "payment.key_missing",
            "The header Idempotency-Key is missing.",
            "Send your own number of the payment as Idempotency-Key; sending it again is safe.",
        )


def submission_of(caller: Caller, key: str, order: PaymentOrder) -> Submission:
    """An order with who asks for it."""
    return Submission(
        key=key, order=order, caller=caller.api_key_id, actor=f"api-key:{caller.name}"
    )


class PaymentDoor:
    """The lean handler."""

    def __init__(self, intake: TakesOrders, batcher: Batcher) -> None:
        self._intake = intake
        self._batcher = batcher

    async def __call__(
        self, key: str, query: bytes, body: bytes, caller: Caller, send: Send
    ) -> None:
        """Answer one POST. Raises what ``problems`` turns into an answer."""
        check_key(key)
        submission = submission_of(caller, key, order_of(body))
        dry = dry_run(query)
        got = (
            (await self._intake.submit_many(caller.tenant, [submission], dry_run=True))[0]
            if dry
            else await self._batcher.submit(caller.tenant, submission)
        )
        receipt = taken(got)
        headers, told = receipt_words(receipt)
        await answer(send, 200 if dry else 202, told, headers[:2] if dry else headers)

    def begin(self, key: str, body: bytes, caller: Caller) -> asyncio.Future[Answer | Exception]:
        """Take one order in; the answer comes later. Raises what ``problems`` turns into one."""
        check_key(key)
        return self._batcher.begin(caller.tenant, submission_of(caller, key, order_of(body)))


def receipt_words(receipt: Receipt) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The headers and the body that tell of a receipt; where it can be found stands last."""
    where = _LOCATION + str(receipt.payment_id).encode()
    headers = [JSON, (b"cache-control", b"no-store"), (b"location", where)]
    return headers, _encode(accepted(receipt))


def taken(got: Answer) -> Receipt:
    """The receipt, or the refusal raised."""
    if isinstance(got, Refusal):
        raise IntakeRefused(got)
    return got


def dry_run(query: bytes) -> bool:
    """Whether the query asks for a rehearsal. Nothing but ``dry_run`` may stand in it."""
    if not query or query == b"dry_run=false":
        return False
    if query == b"dry_run=true":
        return True
    raise BadRequest(
        "request.not_valid",
        f"The query {query[:100].decode('latin-1')!r} is not understood here.",
        "Only dry_run=true or dry_run=false may be asked.",
    )


def recorded_by_intake(error: CaiwutongError) -> bool:
    """Whether this refusal is in the audit log already."""
    return isinstance(error, IntakeRefused)
