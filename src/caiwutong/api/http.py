"""What all routes share: strict bodies, versions as ETags, and answers."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter, RawBody

from caiwutong.api.gate import CALLER
from caiwutong.api.payments import malformed, not_valid
from caiwutong.api.problems import BadRequest, Failed
from caiwutong.audit.service import Audit
from caiwutong.db.database import Tx
from caiwutong.identity.model import Caller

T = TypeVar("T")

TAKES = "takes"
"""Where in a handler's ``opt`` the type of its body stands."""

PROBLEMS = "problems"
"""Where in a handler's ``opt`` the statuses stand that it answers beyond the common ones."""

IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        required=False,
        description="The ETag of what you read; the change is refused if it changed since.",
    ),
]
DryRun = Annotated[bool, QueryParameter(description="Answer as if it were done, and do nothing.")]
Who = NamedDependency[Caller]
"""Who is calling, as the gate proved it."""
Body = RawBody
"""The exact bytes of the body."""

_ETAG = re.compile(r'(?:W/)?"([0-9]{1,9})"')


def caller_of(request: Request[Any, Any, Any]) -> Caller:
    """Who is calling, as the gate proved it."""
    return request.scope[CALLER]  # type: ignore[literal-required]


def decode(kind: type[T], body: bytes) -> T:
    """The body as this type, strictly. Raises ``BadRequest``."""
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise not_valid(str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(error) from None


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def version_in(if_match: str | None) -> int:
    """The version an update is meant for. Raises 428 without one."""
    if not if_match:
        raise Failed(
            428,
            "request.version_missing",
            "The header If-Match is missing.",
            "Read the thing first, and send its ETag as If-Match.",
        )
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise BadRequest(
            "request.bad_version", "If-Match is not an ETag of ours.", 'Send it as read: "3".'
        )
    return int(match[1])


def reply(
    value: T, *, status: int = 200, version: int | None = None, location: str = ""
) -> Response[T]:
    """An answer with what HTTP wants beside it."""
    headers = {"cache-control": "no-store"}
    if version is not None:
        headers["etag"] = f'"{version}"'
    if location:
        headers["location"] = location
    return Response(value, status_code=status, headers=headers)


def actor(caller: Caller) -> str:
    """The caller in words, for the log."""
    return f"api-key:{caller.name}"


async def tell(
    audit: Audit,
    tx: Tx,
    caller: Caller,
    kind: str,
    subject_kind: str,
    subject_id: Any,
    **facts: Any,
) -> None:
    """Write down, in the same transaction, what this caller changed. ``facts`` are masked."""
    event = audit.event(
        caller.tenant,
        kind,
        actor=actor(caller),
        subject_kind=subject_kind,
        subject_id=subject_id,
        body=facts,
    )
    await audit.append_many(tx, [event])
