"""The rows of bank files in memory: the twin of ``store.PostgresBankFileStore``, with the same
guards, for the simulator and fast tests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec

from caiwutong.bank_files.model import (
    ENDED,
    BankFile,
    FileLine,
    FileState,
    LineState,
    Release,
    ResultFile,
)
from caiwutong.bank_files.store import LAST_ID, another_waits, guarded, result_here
from caiwutong.db.database import Tx
from caiwutong.db.memory import mem

_F, _L = FileState, LineState
_STEPS = {
    (_F.OPEN, _F.CLOSED),
    (_F.OPEN, _F.EXPORTED),
    (_F.CLOSED, _F.EXPORTED),
    (_F.EXPORTED, _F.DONE),
    (_F.OPEN, _F.ABANDONED),
    (_F.CLOSED, _F.ABANDONED),
    (_F.EXPORTED, _F.ABANDONED),
}
_NOT_LIVE = (_L.REJECTED, _L.FREED)
_replace = msgspec.structs.replace


class MemoryBankFileStore:
    """Dicts keyed by (tenant, id)."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, UUID], BankFile] = {}
        self._lines: dict[tuple[str, UUID, int], FileLine] = {}
        self._releases: dict[tuple[str, UUID], Release] = {}
        self._results: dict[tuple[str, UUID, bytes], ResultFile] = {}

    # Files.

    async def lock_open(self, tx: Tx, tenant: str, bank_account_id: UUID) -> BankFile | None:
        for file in self._of(tenant):
            if file.bank_account_id == bank_account_id and file.state is _F.OPEN:
                return _replace(file)
        return None

    async def last_number(self, tx: Tx, tenant: str, bank_account_id: UUID, day: date) -> int:
        return max(
            (
                file.number
                for file in self._of(tenant)
                if file.bank_account_id == bank_account_id and file.day == day
            ),
            default=0,
        )

    async def insert_file(self, tx: Tx, tenant: str, file: BankFile) -> None:
        if await self.lock_open(tx, tenant, file.bank_account_id) is not None:
            raise guarded("the account has an open file")
        mem(tx).put(self._files, (tenant, file.file_id), _replace(file))

    async def lock_files(self, tx: Tx, tenant: str, ids: Collection[UUID]) -> dict[UUID, BankFile]:
        return {
            i: _replace(file) for i in sorted(set(ids)) if (file := self._files.get((tenant, i)))
        }

    async def get_file(self, tx: Tx, tenant: str, file_id: UUID) -> BankFile | None:
        file = self._files.get((tenant, file_id))
        return None if file is None else _replace(file)

    async def save_file(self, tx: Tx, tenant: str, file: BankFile) -> None:
        before = self._files[(tenant, file.file_id)]
        self._check_file(tenant, before, file)
        mem(tx).put(self._files, (tenant, file.file_id), _replace(file))

    def _check_file(self, tenant: str, before: BankFile, after: BankFile) -> None:
        if after.version != before.version + 1:
            raise guarded("the file changed since it was read")
        rows = (before.rows, before.total_fen) != (after.rows, after.total_fen)
        if rows and before.state is not _F.OPEN:
            raise guarded("a file that takes no more rows is frozen")
        if before.digest is not None and _handed_out(before) != _handed_out(after):
            raise guarded("a file that was handed out is frozen")
        if after.state is not before.state and (before.state, after.state) not in _STEPS:
            raise guarded(f"a file cannot go from {before.state} to {after.state}")
        if after.state in (_F.EXPORTED, _F.DONE) and (
            after.digest is None or after.content_sealed is None or after.exported_at is None
        ):
            raise guarded("an exported file has its bytes")
        states = {line.state for line in self._rows(tenant, after.file_id)}
        if after.state is _F.DONE and states - ENDED:
            raise guarded("the file still waits for rows")
        if after.state is _F.ABANDONED and states - {_L.FREED}:
            raise guarded("the file has rows nobody freed")

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
        found = [
            _replace(file, content_sealed=None)
            for file in self._of(tenant)
            if file.file_id < before
            and (states is None or file.state in states)
            and (bank_account_id is None or file.bank_account_id == bank_account_id)
        ]
        return sorted(found, key=lambda file: file.file_id, reverse=True)[:limit]

    async def due_files(self, tx: Tx, tenant: str, now: datetime, limit: int) -> list[BankFile]:
        waiting = (_F.OPEN, _F.CLOSED, _F.EXPORTED)
        found = [f for f in self._of(tenant) if f.due_at <= now and f.state in waiting]
        return [_replace(f) for f in sorted(found, key=lambda f: f.file_id)[:limit]]

    def _of(self, tenant: str) -> list[BankFile]:
        return [file for (owner, _), file in self._files.items() if owner == tenant]

    # Rows.

    async def insert_lines(self, tx: Tx, tenant: str, lines: Sequence[FileLine]) -> None:
        for line in lines:
            file = self._files.get((tenant, line.file_id))
            if file is None or file.state is not _F.OPEN:
                raise guarded("the file takes no more rows")
            for other in self._all(tenant):
                live = other.state not in _NOT_LIVE
                if live and other.payment_id == line.payment_id:
                    raise guarded("the payment is in a live file")
                if other.reference == line.reference:
                    raise guarded("the reference is in a file")
            mem(tx).put(self._lines, (tenant, line.file_id, line.line_no), _replace(line))

    async def lines_of(self, tx: Tx, tenant: str, file_id: UUID) -> list[FileLine]:
        return [_replace(line) for line in self._rows(tenant, file_id)]

    async def lines_by_reference(
        self, tx: Tx, tenant: str, references: Collection[str]
    ) -> dict[str, FileLine]:
        wanted = set(references)
        return {
            line.reference: _replace(line) for line in self._all(tenant) if line.reference in wanted
        }

    async def live_lines(self, tx: Tx, tenant: str, bank_account_id: UUID) -> list[FileLine]:
        files = {
            file.file_id
            for file in self._of(tenant)
            if file.bank_account_id == bank_account_id and file.state is _F.EXPORTED
        }
        found = [
            line for line in self._all(tenant) if line.file_id in files and line.state not in ENDED
        ]
        return [_replace(i) for i in sorted(found, key=lambda i: (i.file_id, i.line_no))]

    async def save_lines(self, tx: Tx, tenant: str, lines: Sequence[FileLine]) -> None:
        for line in lines:
            key = (tenant, line.file_id, line.line_no)
            self._check_line(tenant, self._lines[key], line)
            mem(tx).put(self._lines, key, _replace(line))

    def _check_line(self, tenant: str, before: FileLine, after: FileLine) -> None:
        if before.state in ENDED or (after.state is _L.WAITING and before.state is not _L.WAITING):
            raise guarded(f"a row cannot go from {before.state} to {after.state}")
        if after.state is _L.FREED:
            decided = any(
                release.file_id == after.file_id
                and release.state == "decided"
                and after.line_no in release.line_nos
                for (owner, _), release in self._releases.items()
                if owner == tenant
            )
            if before.state is not _L.WAITING or not decided:
                raise guarded("the row was not freed by two people")

    def _all(self, tenant: str) -> list[FileLine]:
        return [line for (owner, _, _), line in self._lines.items() if owner == tenant]

    def _rows(self, tenant: str, file_id: UUID) -> list[FileLine]:
        found = [line for line in self._all(tenant) if line.file_id == file_id]
        return sorted(found, key=lambda line: line.line_no)

    # Decisions and results.

    async def insert_release(self, tx: Tx, tenant: str, release: Release) -> None:
        waiting = [r for r in await self.releases_of(tx, tenant, release.file_id)]
        if any(r.state == "proposed" for r in waiting):
            raise another_waits()
        mem(tx).put(self._releases, (tenant, release.release_id), _replace(release))

    async def release(self, tx: Tx, tenant: str, release_id: UUID) -> Release | None:
        found = self._releases.get((tenant, release_id))
        return None if found is None else _replace(found)

    async def releases_of(self, tx: Tx, tenant: str, file_id: UUID) -> list[Release]:
        found = [
            _replace(release)
            for (owner, _), release in self._releases.items()
            if owner == tenant and release.file_id == file_id
        ]
        return sorted(found, key=lambda release: release.release_id)

    async def save_release(self, tx: Tx, tenant: str, release: Release) -> None:
        before = self._releases[(tenant, release.release_id)]
        if before.state != "proposed":
            raise guarded("a release is written down for good")
        if release.state == "decided" and (
            release.maker in release.signers or len(set(release.signers)) < 2
        ):
            raise guarded("a release is signed by two other people")
        mem(tx).put(self._releases, (tenant, release.release_id), _replace(release))

    async def insert_result(self, tx: Tx, tenant: str, result: ResultFile) -> None:
        for (owner, _, digest), other in self._results.items():
            if (owner, digest, other.file_id) == (tenant, result.digest, result.file_id):
                raise result_here()
        mem(tx).put(self._results, (tenant, result.result_id, result.digest), result)

    async def results_of(self, tx: Tx, tenant: str, file_id: UUID) -> list[ResultFile]:
        found = [
            result
            for (owner, _, _), result in self._results.items()
            if owner == tenant and result.file_id == file_id
        ]
        return sorted(found, key=lambda result: result.result_id)


def _handed_out(file: BankFile) -> tuple[object, ...]:
    return (
        file.digest,
        file.content_sealed,
        file.file_name,
        file.exported_at,
        file.exported_by,
    )
