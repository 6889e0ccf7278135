"""Rows in PostgreSQL's binary COPY format: the way in for many rows at once.

Beside ``unnest`` over arrays it halves the work of both sides: no element is looked at twice, and
the server writes whole pages of rows. Constraints and statement triggers hold all the same. Hot
stores pack their rows with the pieces below, each a value with its length before it; others hand
tuples to ``PostgresTx.copy_records``. Format: PostgreSQL documentation, COPY, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

NULL = b"\xff\xff\xff\xff"


def sliced(rows: Iterable[bytes], size: int = 500) -> Iterator[bytes]:
    """The rows as one COPY, a slice at a time: the server writes one while the next is packed."""
    yield _HEAD
    rows = iter(rows)
    while slice_ := b"".join(islice(rows, size)):
        yield slice_
    yield _END


def head(columns: int) -> bytes:
    """What each row begins with."""
    return columns.to_bytes(2)


def text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(4) + data


def uuid_or_null(value: UUID | None) -> bytes:
    return NULL if value is None else b"\0\0\0\x10" + value.bytes


def micros(at: datetime) -> int:
    """An instant as the server keeps it: microseconds since 2000, UTC."""
    return (at - _EPOCH) // _MICROSECOND


class Words(dict[str, bytes]):
    """``text`` of words that come again and again."""

    def __missing__(self, word: str) -> bytes:
        packed = self[word] = text(word)
        return packed


class Moments:
    """``micros`` that remembers the last instant: the rows of a batch mostly share one."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._micros = 0

    def __call__(self, at: datetime) -> int:
        if at is not self._at:
            self._at, self._micros = at, micros(at)
        return self._micros
