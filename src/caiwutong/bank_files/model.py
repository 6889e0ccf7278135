"""The words of bank files: a file, its rows, what came back, and a decision to give rows up."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

RECONSIDER = timedelta(minutes=30)
"""How long a freed payment waits before it goes out again, so that people can still cancel it."""

RELEASE = "bank_file_release"
"""What people sign for, when they give rows of a file up."""
RELEASE_SIGNERS = 2

NOT_UPLOADED = "not_uploaded"
"""Code of an attempt that two people gave up: the bank never got its row."""


class FileState(StrEnum):
    """open → exported → done, or abandoned when two people say that it was never uploaded."""

    OPEN = "open"
    """Takes rows."""
    CLOSED = "closed"
    """Full, or its day is over: waits to be exported."""
    EXPORTED = "exported"
    """Handed out and frozen: the bank may execute it at any moment."""
    DONE = "done"
    """Every row has come to its end."""
    ABANDONED = "abandoned"
    """Never uploaded, by two people's word: every row was freed."""


class LineState(StrEnum):
    """Where one row of a file stands."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    """The bank works on it."""
    DOUBT = "doubt"
    """The bank said something that is neither yes nor no."""
    SETTLED = "settled"
    REJECTED = "rejected"
    FREED = "freed"
    """Two people signed that the bank never got it."""


ENDED = frozenset({LineState.SETTLED, LineState.REJECTED, LineState.FREED})
OVER = frozenset({FileState.DONE, FileState.ABANDONED})


class BankFile(msgspec.Struct, kw_only=True):
    """One batch of one account and day."""

    file_id: UUID
    bank_account_id: UUID
    template: str
    day: date
    """In China; with it the version of the template is known."""
    number: int
    """1 for the account's first file of the day."""
    state: FileState = FileState.OPEN
    rows: int = 0
    total_fen: int = 0
    opened_at: datetime
    exported_at: datetime | None = None
    exported_by: str = ""
    file_name: str = ""
    digest: bytes | None = None
    """SHA-256 of the bytes handed out."""
    content_sealed: bytes | None = None
    due_at: datetime
    """When people are asked what became of it."""
    reminded_at: datetime | None = None
    ended_at: datetime | None = None
    version: int = 0


class FileLine(msgspec.Struct, kw_only=True):
    """One row of a file: one attempt of one payment. The upper part never changes."""

    file_id: UUID
    line_no: int
    payment_id: UUID
    attempt_id: UUID
    reference: str
    amount_fen: int
    row_sealed: bytes
    """The attempt as it was written, sealed."""
    state: LineState = LineState.WAITING
    code: str = ""
    words: str = ""
    said_at: datetime | None = None


class Release(msgspec.Struct, kw_only=True):
    """A proposal to give rows up, because the bank never got them. Decided by two signatures."""

    release_id: UUID
    file_id: UUID
    line_nos: tuple[int, ...]
    reason: str
    maker: UUID
    """Who proposed it: never one of the signers."""
    actor: str
    digest: bytes
    state: str = "proposed"
    """``proposed``, ``decided`` or ``withdrawn``."""
    signers: tuple[UUID, ...] = ()
    proposed_at: datetime
    ended_at: datetime | None = None


class ResultFile(msgspec.Struct, frozen=True, kw_only=True):
    """A result file as it was handed in. Kept for ever: it is evidence."""

    result_id: UUID
    file_id: UUID
    digest: bytes
    file_name: str
    content_sealed: bytes
    rows: int
    actor: str
    received_at: datetime


class Exported(msgspec.Struct, frozen=True):
    """The bytes to carry, the same ones however often they are asked for."""

    file_id: UUID
    file_name: str
    content: bytes
    digest: str
    """SHA-256, hex: what a person compares before uploading."""
    again: bool
    """It was handed out before."""


class Doubtful(msgspec.Struct, frozen=True):
    """A row of the bank's that cannot be laid to one row of ours."""

    row_no: int
    why: str
    reference: str = ""
    amount_fen: int | None = None
    candidates: tuple[str, ...] = ()
    """References it may stand for."""


class ResultOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a result file said, and what followed."""

    file_id: UUID
    result_id: UUID
    rows: int
    settled: int
    rejected: int
    accepted: int
    doubt: int
    missing: tuple[int, ...]
    """Rows of ours of which neither this nor an earlier result says anything."""
    unclear: tuple[Doubtful, ...]
    replayed: bool = False
    """The very same file was here before."""


class Ambiguous(msgspec.Struct, frozen=True):
    """A line of a statement without our reference that may be one of several payments."""

    line_id: str
    day: date
    amount_fen: int
    payee: str
    candidates: tuple[str, ...]
    """References; choose one, or ``none``."""


class StatementOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement file brought. With ambiguous lines nothing was taken."""

    bank_account_id: UUID
    lines: int
    fresh: int
    matched: int
    """Lines without a reference that were laid to a payment."""
    settled: int
    taken_back: int
    """Payments the statement shows debited and given back: a definite no."""
    ambiguous: tuple[Ambiguous, ...]
    complete_to: date | None
    """The last day of which the statement is believed to show everything."""
    taken: bool


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    """A file for a screen."""

    file_id: UUID
    bank_account_id: UUID
    template: str
    day: date
    number: int
    state: FileState
    rows: int
    total_fen: int
    file_name: str
    digest: str
    opened_at: datetime
    exported_at: datetime | None
    exported_by: str
    ended_at: datetime | None
    due_at: datetime
    overdue: bool
    """Nobody has said in time what became of it: ask the bank's page, never send again."""
    needs: str
    """``export``, ``result`` or nothing."""
    lines: dict[str, int]
    """How many rows stand in each state; filled in for one file."""
    release_id: UUID | None = None
    """A proposal to give rows up that waits for signatures."""


class BankFileRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row for a screen, the account masked."""

    line_no: int
    payment_id: UUID
    reference: str
    amount_fen: int
    payee_name: str
    payee_account: str
    state: LineState
    code: str
    words: str
    said_at: datetime | None


class ReleaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal to give rows up."""

    release_id: UUID
    file_id: UUID
    line_nos: tuple[int, ...]
    reason: str
    state: str
    signers: tuple[UUID, ...]
    proposed_at: datetime
    ended_at: datetime | None
    digest: str
    """What a signature must be bound to, hex."""
