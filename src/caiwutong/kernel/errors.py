"""The family of errors, drawn as a tree.

    CaiwutongError
    ├── Refused       the request cannot be done as asked; tell the user what helps
    │   └── Unauthorised  the caller did not prove who it is, or may not do this
    ├── Conflict      the world moved on, or a key is taken; read again
    ├── NotFound      there is no such thing for this tenant
    ├── Unavailable   nothing was done; try again later
    ├── InDoubt       it may or may not have happened; ask the rail, never repeat
    └── Broken        a promise does not hold; wake us

An error says what happened, with which (masked) values, and what helps. The ``code`` is for ever;
the wording is not. Outcomes inside a batch are values (see ``Refusal``), never exceptions.
"""

from __future__ import annotations

from typing import Any

import msgspec


class CaiwutongError(Exception):
    """A named thing that went wrong: ``code`` for machines, ``detail`` and ``cure`` for people."""

    status = 500

    def __init__(self, code: str, detail: str, cure: str = "", **facts: Any) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.cure = cure
        self.facts = facts

    def as_refusal(self) -> Refusal:
        """The same news as a value, for a place in a batch."""
        return Refusal(self.code, self.detail, self.cure)


class Refused(CaiwutongError):
    """The request cannot be done as asked."""

    status = 422


class Unauthorised(Refused):
    """The caller did not prove who it is (401) or may not do this (403)."""

    status = 401

    def __init__(
        self, code: str, detail: str, cure: str = "", *, status: int = 401, **facts: Any
    ) -> None:
        super().__init__(code, detail, cure, **facts)
        self.status = status


class Conflict(CaiwutongError):
    """The thing changed since it was read, or the key is bound to other content."""

    status = 409


class NotFound(CaiwutongError):
    """There is no such thing for this tenant. Another tenant's things are not found either."""

    status = 404


class Unavailable(CaiwutongError):
    """Nothing was done; the same request may be sent again later."""

    status = 503


class InDoubt(CaiwutongError):
    """It may or may not have happened. Ask before doing anything else; never repeat."""

    status = 504


class Broken(CaiwutongError):
    """A promise of the house does not hold. Nothing was done; someone must look."""

    status = 500


class Refusal(msgspec.Struct, frozen=True):
    """A refusal as a value: one place in the outcomes of a batch."""

    code: str
    detail: str
    cure: str = ""

    def raise_(self) -> None:
        """Turn the value back into the exception, for a batch of one."""
        raise Refused(self.code, self.detail, self.cure)
