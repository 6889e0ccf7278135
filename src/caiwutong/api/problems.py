"""Errors as answers: the one place where our family of errors meets HTTP (RFC 9457).

Every answer from 400 on is ``application/problem+json`` with a stable ``code``, what happened, and
the ``cure``. Nothing of a stack trace, a query or another tenant is in it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from caiwutong.api.asgi import Send, answer
from caiwutong.kernel.errors import Broken, CaiwutongError, NotFound, Refusal, Refused

PROBLEM = "application/problem+json"

TITLES = {
    400: "The request is not well formed",
    401: "The caller is not known",
    403: "The caller may not do this",
    404: "Not found",
    405: "This method is not offered here",
    409: "The state of things does not allow it",
    412: "It changed since it was read",
    413: "The body is too large",
    415: "This kind of content is not read here",
    422: "Refused",
    428: "A precondition is missing",
    429: "Too many requests",
    500: "Something is broken here",
    503: "Not possible at this moment",
    504: "The outcome is not known",
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem (RFC 9457): ``code`` is for ever, ``detail`` and ``cure`` are for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    cure: str = ""
    instance: str = ""


class BadRequest(Refused):
    """The request itself is not well formed: nobody looked at what it means."""

    status = 400


class Failed(Refused):
    """A refusal that HTTP has its own status for (405, 415, 428 …)."""

    def __init__(self, status: int, code: str, detail: str, cure: str = "") -> None:
        super().__init__(code, detail, cure)
        self.status = status


class NotOffered(Failed):
    """405, with the methods that are offered."""

    def __init__(self, method: str, allowed: Iterable[str]) -> None:
        self.allowed = sorted(allowed)
        super().__init__(
            405,
            "request.method_not_offered",
            f"{method[:16]} is not offered at this address.",
            f"Use {' or '.join(self.allowed)}.",
        )


def status_of(code: str, status: int) -> int:
    """The HTTP status of an error. Three families of codes mean more than their class says: things
    that are not there, keys bound to other content, and versions that moved on."""
    if code.endswith((".not_found", ".unknown")):
        return 404
    if code.endswith(".key_reused"):
        return 409
    if code.endswith(".changed"):
        return 412
    return status


def problem_of(error: CaiwutongError | Refusal, instance: str) -> Problem:
    """The answer for an error of ours. A broken promise is told as broken, without its insides."""
    status = 422 if isinstance(error, Refusal) else error.status
    detail = error.detail
    if isinstance(error, Broken):
        detail = "A promise of this system does not hold. The request changed nothing."
    status = status_of(error.code, status)
    return Problem(
        type=f"urn:caiwutong:problem:{error.code}",
        title=TITLES.get(status, TITLES[422]),
        status=status,
        detail=detail,
        code=error.code,
        cure=error.cure,
        instance=instance,
    )


def unexpected(instance: str) -> Problem:
    """The answer for an error nobody foresaw: the log has the rest."""
    error = CaiwutongError(
        "server.unexpected",
        "Something failed here that should not. The log of this minute says what.",
        "Send the request again with the same idempotency key; report it if it stays.",
    )
    return problem_of(error, instance)


def no_route(path: str) -> NotFound:
    """There is no such address."""
    return NotFound(
        "request.no_such_address",
        f"There is nothing at {path[:200]}.",
        "See /openapi.json for what there is.",
    )


_encode = msgspec.json.Encoder().encode


def headers_of(problem: Problem, error: Exception) -> dict[str, str]:
    """The headers HTTP wants beside some statuses."""
    headers = {"content-type": PROBLEM, "cache-control": "no-store"}
    if problem.status == 401:
        headers["www-authenticate"] = 'Signature realm="caiwutong", Bearer'
    if problem.status == 503:
        facts = error.facts if isinstance(error, CaiwutongError) else {}
        headers["retry-after"] = str(facts.get("retry_after_s", 1))
    if isinstance(error, NotOffered):
        headers["allow"] = ", ".join(error.allowed)
    return headers


def wire_headers(problem: Problem, error: Exception) -> list[tuple[bytes, bytes]]:
    """The same as they go out."""
    return [(k.encode(), v.encode()) for k, v in headers_of(problem, error).items()]


def bytes_of(problem: Problem) -> bytes:
    """The body of a problem."""
    return _encode(problem)


async def answer_problem(send: Send, problem: Problem, error: Exception) -> None:
    """Send it."""
    await answer(send, problem.status, bytes_of(problem), wire_headers(problem, error))
