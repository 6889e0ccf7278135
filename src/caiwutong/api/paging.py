"""Pages and their cursors. A cursor is opaque, signed, and belongs to one list of one tenant."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Generic, Protocol, TypeVar
from uuid import UUID

import msgspec
from litestar.params import QueryParameter

from caiwutong.api.problems import BadRequest

T = TypeVar("T")

Limit = Annotated[
    int, QueryParameter(ge=1, le=500, description="How many items a page has at most.")
]
Cursor = Annotated[
    str | None,
    QueryParameter(
        max_length=512, description="`next` of the page before; leave out for the first."
    ),
]

_MARK = 8
_EARLIEST, _LATEST = 1970, 2200


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A page of a list."""

    items: list[T]
    next: str | None
    """Hand it back as ``cursor`` to go on; null at the end."""


class Index(Protocol):
    """The keyed hash that signs cursors: the vault's blind index."""

    def blind_index(self, kind: str, normalised: str) -> bytes: ...


class Paging:
    """Makes and checks cursors."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def page(
        self, tenant: str, name: str, limit: int, found: Sequence[T], place: Callable[[T], str]
    ) -> Page[T]:
        """A page of ``found``, which was read with ``limit + 1``."""
        items = list(found[:limit])
        more = len(found) > limit
        return Page(items, self.cursor(tenant, name, place(items[-1])) if more else None)

    def cursor(self, tenant: str, name: str, place: str) -> str:
        """The cursor that stands after this place of the list ``name``."""
        raw = self._mark(tenant, name, place) + place.encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def place(self, tenant: str, name: str, cursor: str | None) -> str | None:
        """The place a cursor stands at. Raises ``request.bad_cursor`` for one that is not ours."""
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
            place = raw[_MARK:].decode()
        except (binascii.Error, ValueError):
            raise _bad_cursor() from None
        if not hmac.compare_digest(raw[:_MARK], self._mark(tenant, name, place)):
            raise _bad_cursor()
        return place

    def id_after(self, tenant: str, name: str, cursor: str | None) -> UUID | None:
        """The id a cursor stands at."""
        place = self.place(tenant, name, cursor)
        return None if place is None else UUID(place)

    def _mark(self, tenant: str, name: str, place: str) -> bytes:
        return self._index.blind_index("cursor", f"{tenant}\n{name}\n{place}")[:_MARK]


def instant(at: datetime | None, name: str) -> datetime | None:
    """A time from outside, if it can be one. Raises ``request.bad_time``."""
    if at is None:
        return None
    if at.tzinfo is None or not _EARLIEST <= at.year <= _LATEST:
        raise BadRequest(
            "request.bad_time",
            f"{name} has no offset, or lies outside the years {_EARLIEST} to {_LATEST}.",
            "Write RFC 3339 with an offset: 2026-11-02T09:00:00+08:00.",
        )
    return at


def _bad_cursor() -> BadRequest:
    return BadRequest(
        "request.bad_cursor",
        "The cursor is not one that this list gave out.",
        "Begin again without a cursor.",
    )
