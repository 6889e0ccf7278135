"""An import as it is kept: its life, its report, its progress, and what became of each row.

The life: *received* → *checked* → *applying* → *finished*; *unusable* where the file as a whole
cannot be a payment file; *stopped* where applying was broken off and can go on. A row is applied
exactly once or reported, never both and never neither.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from caiwutong.imports.model import Problem
from caiwutong.kernel.errors import Refusal


class State(StrEnum):
    """Where an import stands."""

    RECEIVED = "received"
    """The file is kept; nothing was read."""
    CHECKING = "checking"
    CHECKED = "checked"
    """Every row was read and nothing applied; the report says what would happen."""
    UNUSABLE = "unusable"
    """The file as a whole cannot be read; ``error`` says why and what helps."""
    APPLYING = "applying"
    STOPPED = "stopped"
    """Applying broke off between two chunks; apply again and the rest is done."""
    FINISHED = "finished"


class Status(StrEnum):
    """Why a row is not simply applied."""

    BAD = "bad"
    """The row itself cannot be paid: its cells, its account, its key."""
    DUPLICATE = "duplicate"
    """It looks like a payment made before, and no key of its own says otherwise: held back."""
    REFUSED = "refused"
    """The payment was refused at intake (funds, a closed account): its key stays free."""
    ALREADY = "already"
    """Its own key was paid by an earlier import: this is that payment, not a new one."""
    NOTED = "noted"
    """Applied, or to be applied, with a repair or a warning."""
    LEFT_OUT = "left_out"
    """Not a payment: a total, a signature."""


class RowOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row worth telling of. Rows applied without a word are only in the chunks."""

    row_no: int
    status: Status
    problems: tuple[Problem, ...]
    key: str = ""
    payment_id: UUID | None = None


class Total(msgspec.Struct, frozen=True):
    """How many rows, and their fen."""

    rows: int = 0
    amount_fen: int = 0


class Shortfall(msgspec.Struct, frozen=True):
    """An account that does not have what the file asks of it, as the books stand now."""

    account: str
    """Masked."""
    unit: str
    needed_fen: int
    available_fen: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. ``good`` rows are those that would be sent to intake."""

    kind: str = ""
    good: Total = Total()
    bad: int = 0
    duplicates: int = 0
    left_out: int = 0
    noted: int = 0
    by_unit: dict[str, Total] = {}
    """Unit code → its good rows."""
    by_bank: dict[str, Total] = {}
    """Name of the bank that pays → its good rows."""
    by_account: dict[str, Total] = {}
    """Paying account, masked → its good rows."""
    shortfalls: tuple[Shortfall, ...] = ()
    """Not a fault: money may come in before applying; else intake refuses the rows beyond it."""
    first_problems: tuple[RowOutcome, ...] = ()
    faults: tuple[Refusal, ...] = ()
    """Why the file as a whole must not be applied."""
    notes: tuple[str, ...] = ()
    """What was assumed about the file."""


class Import(msgspec.Struct, kw_only=True):
    """One import. ``rows_done`` counts rows of the file, whatever became of them."""

    import_id: UUID
    digest: bytes
    """SHA-256 of the file and the sheet asked for: the same file is the same import."""
    file_name: str
    sheet: str
    size_bytes: int
    caller: UUID
    actor: str
    begun_on: date
    """The day in China on which the file came; rows are read as of this day for ever."""
    created_at: datetime
    state: State = State.RECEIVED
    fence: int = 0
    lease_until: datetime | None = None
    report: Report | None = None
    rows_total: int = 0
    rows_done: int = 0
    applied: int = 0
    applied_fen: int = 0
    awaiting: int = 0
    """Of the applied, those that wait for people's signatures."""
    already: int = 0
    not_applied: int = 0
    """Bad, duplicate and refused rows."""
    left_out: int = 0
    run_started_at: datetime | None = None
    run_from: int = 0
    """``rows_done`` when the present run began."""
    updated_at: datetime | None = None
    finished_at: datetime | None = None
    error: Refusal | None = None
    skip_bad: bool = False
    allow_duplicates: bool = False


class Chunk(msgspec.Struct, frozen=True):
    """Rows applied together and the payments they became, in the same order."""

    chunk_no: int
    row_nos: list[int]
    payment_ids: list[UUID]


class Progress(msgspec.Struct, frozen=True):
    """How far an import is. ``seconds_left`` is None until there is a rate to tell it by."""

    import_id: UUID
    state: State
    rows_done: int
    rows_total: int
    applied: int
    not_applied: int
    rows_per_second: float
    seconds_left: float | None


def progress_of(record: Import, real_seconds: float) -> Progress:
    """The progress; ``real_seconds`` is how long the present run really took up to its last
    written chunk. The rate is the run's average, so the estimate does not jump."""
    done = record.rows_done - record.run_from
    rate = done / real_seconds if done > 0 and real_seconds > 0 else 0.0
    rest = max(0, record.rows_total - record.rows_done)
    running = record.state in (State.CHECKING, State.APPLYING)
    left = None if not running or rate == 0.0 else rest / rate
    if record.state in (State.CHECKED, State.FINISHED):
        left = 0.0
    return Progress(
        record.import_id,
        record.state,
        record.rows_done,
        record.rows_total,
        record.applied,
        record.not_applied,
        rate,
        left,
    )
