"""The rows of bank files in PostgreSQL, and the port both stores keep."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from caiwutong.bank_files.model import BankFile, FileLine, FileState, Release, ResultFile
from caiwutong.db.database import Tx
from caiwutong.db.postgres import Row, pg
from caiwutong.db.queries import load as load_queries
from caiwutong.kernel.errors import Broken, Conflict

_sql = load_queries(__package__ or "")
_T = TypeVar("_T")

LAST_ID = UUID(int=(1 << 128) - 1)
"""Above every id: where a newest-first page begins."""


class BankFileStore(Protocol):
    """Rows of bank files: one for PostgreSQL, one in memory, one contract suite for both."""

    async def lock_open(self, tx: Tx, tenant: str, bank_account_id: UUID) -> BankFile | None:
        """The account's open file; nobody else opens one until this transaction ends."""
        ...

    async def last_number(self, tx: Tx, tenant: str, bank_account_id: UUID, day: date) -> int: ...

    async def insert_file(self, tx: Tx, tenant: str, file: BankFile) -> None:
        """Raises Broken when the account has an open file."""
        ...

    async def lock_files(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> dict[UUID, BankFile]: ...

    async def get_file(self, tx: Tx, tenant: str, file_id: UUID) -> BankFile | None: ...

    async def save_file(self, tx: Tx, tenant: str, file: BankFile) -> None:
        """Write the progress of a locked file; its version must be one above the stored one.
        Raises Broken for what the guards refuse."""
        ...

    async def page_files(
        self,
        tx: Tx,
        tenant: str,
        *,
        states: Sequence[FileState] | None = None,
        bank_account_id: UUID | None = None,
        before: UUID = LAST_ID,
        limit: int = 100,
    ) -> list[BankFile]: ...

    async def due_files(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[BankFile]: ...

    async def insert_lines(self, tx: Tx, tenant: str, lines: Sequence[FileLine]) -> None:
        """Raises Broken when a payment is in a live file already, or a file takes no more."""
        ...

    async def lines_of(self, tx: Tx, tenant: str, file_id: UUID) -> list[FileLine]: ...

    async def lines_by_reference(
        self, tx: Tx, tenant: str, references: Collection[str]
    ) -> dict[str, FileLine]: ...

    async def live_lines(self, tx: Tx, tenant: str, bank_account_id: UUID) -> list[FileLine]:
        """Rows of the account's exported files that have not come to their end."""
        ...

    async def save_lines(self, tx: Tx, tenant: str, lines: Sequence[FileLine]) -> None:
        """Raises Broken for what the guards refuse."""
        ...

    async def insert_release(self, tx: Tx, tenant: str, release: Release) -> None:
        """Raises Conflict when another one of this file waits for signatures."""
        ...

    async def release(self, tx: Tx, tenant: str, release_id: UUID) -> Release | None: ...

    async def releases_of(self, tx: Tx, tenant: str, file_id: UUID) -> list[Release]: ...

    async def save_release(self, tx: Tx, tenant: str, release: Release) -> None: ...

    async def insert_result(self, tx: Tx, tenant: str, result: ResultFile) -> None:
        """Raises Conflict when the same bytes are here for this file."""
        ...

    async def results_of(self, tx: Tx, tenant: str, file_id: UUID) -> list[ResultFile]: ...


_GUARDS = (asyncpg.RestrictViolationError, asyncpg.IntegrityConstraintViolationError)


class PostgresBankFileStore:
    """Bank files in PostgreSQL."""

    async def lock_open(self, tx: Tx, tenant: str, bank_account_id: UUID) -> BankFile | None:
        await pg(tx).execute(_sql["hold_account"], tenant, str(bank_account_id))
        row = await pg(tx).fetch_one(_sql["lock_open"], tenant, bank_account_id)
        return None if row is None else _read(row, BankFile)

    async def last_number(self, tx: Tx, tenant: str, bank_account_id: UUID, day: date) -> int:
        return int(await pg(tx).value(_sql["last_number"], tenant, bank_account_id, day))

    async def insert_file(self, tx: Tx, tenant: str, file: BankFile) -> None:
        await self._write(
            tx,
            "insert_file",
            tenant,
            file.file_id,
            file.bank_account_id,
            file.template,
            file.day,
            file.number,
            file.state,
            file.rows,
            file.total_fen,
            file.opened_at,
            file.due_at,
        )

    async def lock_files(self, tx: Tx, tenant: str, ids: Collection[UUID]) -> dict[UUID, BankFile]:
        rows = await pg(tx).fetch(_sql["lock_files"], tenant, list(ids))
        return {row["file_id"]: _read(row, BankFile) for row in rows}

    async def get_file(self, tx: Tx, tenant: str, file_id: UUID) -> BankFile | None:
        row = await pg(tx).fetch_one(_sql["get_file"], tenant, file_id)
        return None if row is None else _read(row, BankFile)

    async def save_file(self, tx: Tx, tenant: str, file: BankFile) -> None:
        await self._write(
            tx,
            "save_file",
            tenant,
            file.file_id,
            file.state,
            file.rows,
            file.total_fen,
            file.exported_at,
            file.exported_by,
            file.file_name,
            file.digest,
            file.content_sealed,
            file.due_at,
            file.reminded_at,
            file.ended_at,
            file.version,
        )

    async def page_files(
        self,
        tx: Tx,
        tenant: str,
        *,
        states: Sequence[FileState] | None = None,
        bank_account_id: UUID | None = None,
        before: UUID = LAST_ID,
        limit: int = 100,
    ) -> list[BankFile]:
        wanted = None if states is None else [state.value for state in states]
        rows = await pg(tx).fetch(
            _sql["page_files"], tenant, before, wanted, bank_account_id, limit
        )
        return [_read(row, BankFile) for row in rows]

    async def due_files(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[BankFile]:
        rows = await pg(tx).fetch(_sql["due_files"], tenant, now, limit)
        return [_read(row, BankFile) for row in rows]

    async def insert_lines(self, tx: Tx, tenant: str, lines: Sequence[FileLine]) -> None:
        await self._write(
            tx,
            "insert_lines",
            tenant,
            [line.file_id for line in lines],
            [line.line_no for line in lines],
            [line.payment_id for line in lines],
            [line.attempt_id for line in lines],
            [line.reference for line in lines],
            [line.amount_fen for line in lines],
            [line.row_sealed for line in lines],
            [line.state.value for line in lines],
        )

    async def lines_of(self, tx: Tx, tenant: str, file_id: UUID) -> list[FileLine]:
        rows = await pg(tx).fetch(_sql["lines_of"], tenant, file_id)
        return [_read(row, FileLine) for row in rows]

    async def lines_by_reference(
        self, tx: Tx, tenant: str, references: Collection[str]
    ) -> dict[str, FileLine]:
        rows = await pg(tx).fetch(_sql["lines_by_reference"], tenant, list(references))
        return {row["reference"]: _read(row, FileLine) for row in rows}

    async def live_lines(self, tx: Tx, tenant: str, bank_account_id: UUID) -> list[FileLine]:
        rows = await pg(tx).fetch(_sql["live_lines"], tenant, bank_account_id)
        return [_read(row, FileLine) for row in rows]

    async def save_lines(self, tx: Tx, tenant: str, lines: Sequence[FileLine]) -> None:
        await self._write(
            tx,
            "save_lines",
            tenant,
            [line.file_id for line in lines],
            [line.line_no for line in lines],
            [line.state.value for line in lines],
            [line.code for line in lines],
            [line.words for line in lines],
            [line.said_at for line in lines],
        )

    async def insert_release(self, tx: Tx, tenant: str, release: Release) -> None:
        try:
            await pg(tx).execute(
                _sql["insert_release"],
                tenant,
                release.release_id,
                release.file_id,
                list(release.line_nos),
                release.reason,
                release.maker,
                release.actor,
                release.digest,
                release.state,
                release.proposed_at,
            )
        except asyncpg.UniqueViolationError as error:
            raise another_waits() from error

    async def release(self, tx: Tx, tenant: str, release_id: UUID) -> Release | None:
        row = await pg(tx).fetch_one(_sql["release"], tenant, release_id)
        return None if row is None else _read(row, Release)

    async def releases_of(self, tx: Tx, tenant: str, file_id: UUID) -> list[Release]:
        rows = await pg(tx).fetch(_sql["releases_of"], tenant, file_id)
        return [_read(row, Release) for row in rows]

    async def save_release(self, tx: Tx, tenant: str, release: Release) -> None:
        await self._write(
            tx,
            "save_release",
            tenant,
            release.release_id,
            release.state,
            list(release.signers),
            release.ended_at,
        )

    async def insert_result(self, tx: Tx, tenant: str, result: ResultFile) -> None:
        try:
            await pg(tx).execute(
                _sql["insert_result"],
                tenant,
                result.result_id,
                result.file_id,
                result.digest,
                result.file_name,
                result.content_sealed,
                result.rows,
                result.actor,
                result.received_at,
            )
        except asyncpg.UniqueViolationError as error:
            raise result_here() from error

    async def results_of(self, tx: Tx, tenant: str, file_id: UUID) -> list[ResultFile]:
        rows = await pg(tx).fetch(_sql["results_of"], tenant, file_id)
        return [_read(row, ResultFile) for row in rows]

    async def _write(self, tx: Tx, query: str, *values: Any) -> None:
        try:
            await pg(tx).execute(_sql[query], *values)
        except _GUARDS as error:
            raise guarded(str(error)) from error


def _read(row: Row, kind: type[_T]) -> _T:
    return msgspec.convert(dict(row), kind, builtin_types=(bytes, datetime, date, UUID))


def guarded(what: str) -> Broken:
    """A guard of the database (or of its twin) has held."""
    return Broken(
        "bank_file.guarded",
        f"The database refused what would have carried a payment twice: {what[:200]}",
        "Nothing was written; look at the file and its rows.",
    )


def another_waits() -> Conflict:
    """A second proposal about one file."""
    return Conflict(
        "bank_file.release_waits",
        "A proposal to give this file up waits for signatures.",
        "Sign that one, or withdraw it first.",
    )


def result_here() -> Conflict:
    """The same bytes were handed in meanwhile."""
    return Conflict(
        "bank_file.result_here",
        "The very same result file was handed in at the same moment.",
        "Read the bank file again.",
    )
