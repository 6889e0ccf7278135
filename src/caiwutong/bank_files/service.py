"""Rows go into the open file of their account; a file is exported once and frozen.

``take_many`` and ``ended_many`` are what the engine calls inside its own transactions
(``payments.ports.Pages``); a person calls ``export``. Nothing here sends anything, and nothing but
the bank's word (``results``, ``statement_files``) or two people's (``releases``) moves a row on. A
file of which nobody says anything leads to a reminder, never to a second file.
Locks: payments first, then files in id order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.audit.model import Event, canonical_json
from caiwutong.bank_files.model import (
    ENDED,
    OVER,
    BankFile,
    Exported,
    FileLine,
    FileState,
    LineState,
)
from caiwutong.bank_files.ports import Formats, Log, Seal
from caiwutong.bank_files.store import BankFileStore
from caiwutong.db.database import Database, Tx
from caiwutong.kernel.clock import Clock, china_date
from caiwutong.kernel.errors import Conflict, NotFound, Refused
from caiwutong.kernel.ids import Ids
from caiwutong.payments.model import AttemptRow
from caiwutong.rails.bank_file import codec
from caiwutong.rails.bank_file.template import BankTemplate, file_name
from caiwutong.rails.contract import CARRIED_BY_PEOPLE, Attempt

_ROW = "bank_file_row"
_CONTENT = "bank_file_content"
"""The vault's record classes of a row and of the bytes handed out."""

_LINE_OF = {
    "completed": LineState.SETTLED,
    "rejected": LineState.REJECTED,
    "revoked": LineState.REJECTED,
}


class BankFiles:
    """The files of this installation's banks. Implements ``payments.ports.Pages``."""

    def __init__(
        self,
        *,
        database: Database,
        store: BankFileStore,
        formats: Formats | None,
        log: Log,
        seal: Seal,
        clock: Clock,
        ids: Ids,
    ) -> None:
        """``formats``: None where no bank of this installation takes files."""
        self.database = database
        self.store = store
        self._formats = formats
        self._log = log
        self._seal = seal
        self.clock = clock
        self.ids = ids

    @property
    def formats(self) -> Formats:
        """How the banks' files look. Raises Refused where no bank takes any."""
        if self._formats is None:
            raise Refused(
                "bank_file.not_connected",
                "No bank of this installation takes files.",
                "Name the bank's template in connections.json (bank_file) and start again.",
            )
        return self._formats

    # What the engine calls.

    async def take_many(
        self, tx: Tx, tenant: str, attempts: Sequence[tuple[UUID, Attempt]]
    ) -> Collection[UUID]:
        """See ``payments.ports.Pages``."""
        if self._formats is None:
            return ()
        by_account: dict[UUID, list[Attempt]] = {}
        for account, attempt in attempts:
            if attempt.rail in CARRIED_BY_PEOPLE:
                by_account.setdefault(account, []).append(attempt)
        taken: set[UUID] = set()
        for account in sorted(by_account):
            for template, group in self._fitting(by_account[account]):
                await self._add(tx, tenant, account, template, group)
                taken |= {attempt.attempt_id for attempt in group}
        return taken

    def _fitting(self, attempts: Iterable[Attempt]) -> list[tuple[BankTemplate, list[Attempt]]]:
        """The attempts a template of their bank can carry, by template."""
        groups: dict[str, tuple[BankTemplate, list[Attempt]]] = {}
        for attempt in attempts:
            day = china_date(attempt.created_at)
            try:
                template = self.formats.templates.for_bank(attempt.payer.bank_code, day)
            except Refused:
                continue
            if codec.check(template, attempt) is None:
                groups.setdefault(template.name, (template, []))[1].append(attempt)
        return list(groups.values())

    async def _add(
        self,
        tx: Tx,
        tenant: str,
        account: UUID,
        template: BankTemplate,
        attempts: Sequence[Attempt],
    ) -> None:
        file = await self.store.lock_open(tx, tenant, account)
        lines: list[FileLine] = []
        for attempt in attempts:
            day = china_date(attempt.created_at)
            if file is None or not _takes(file, template, attempt):
                if file is not None:
                    await self._fill(tx, tenant, file, lines)
                    await self._save(tx, tenant, file, state=FileState.CLOSED)
                lines = []
                number = await self.store.last_number(tx, tenant, account, day) + 1
                file = await self._open(tx, tenant, account, template, attempt, number)
            file.rows += 1
            file.total_fen += attempt.amount_fen
            lines.append(
                FileLine(
                    file_id=file.file_id,
                    line_no=file.rows,
                    payment_id=attempt.payment_id,
                    attempt_id=attempt.attempt_id,
                    reference=attempt.reference,
                    amount_fen=attempt.amount_fen,
                    row_sealed=self._seal.seal(
                        _ROW, msgspec.json.encode(attempt), _place(tenant, attempt.reference)
                    ),
                )
            )
        if file is not None:
            await self._fill(tx, tenant, file, lines)

    async def _open(
        self,
        tx: Tx,
        tenant: str,
        account: UUID,
        template: BankTemplate,
        attempt: Attempt,
        number: int,
    ) -> BankFile:
        now = self.clock.now()
        file = BankFile(
            file_id=self.ids.new(),
            bank_account_id=account,
            template=template.name,
            day=china_date(attempt.created_at),
            number=number,
            opened_at=now,
            due_at=now + timedelta(hours=template.answer_within_hours),
        )
        await self.store.insert_file(tx, tenant, file)
        await self.tell(tx, tenant, "bank_file.opened", file, "worker:dispatch", {})
        return file

    async def _fill(self, tx: Tx, tenant: str, file: BankFile, lines: Sequence[FileLine]) -> None:
        if lines:
            await self.store.insert_lines(tx, tenant, lines)
            await self._save(tx, tenant, file)

    async def ended_many(self, tx: Tx, tenant: str, attempts: Sequence[AttemptRow]) -> None:
        """See ``payments.ports.Pages``."""
        over = {a.reference: a for a in attempts if a.rail in CARRIED_BY_PEOPLE}
        if not over:
            return
        found = await self.store.lines_by_reference(tx, tenant, list(over))
        files = await self.store.lock_files(tx, tenant, {line.file_id for line in found.values()})
        changed: list[FileLine] = []
        for reference, line in found.items():
            attempt = over[reference]
            state = _LINE_OF.get(attempt.outcome)
            if line.state not in ENDED and state is not None:
                line.state, line.code, line.said_at = state, attempt.code, attempt.closed_at
                changed.append(line)
        await self.store.save_lines(tx, tenant, changed)
        for file in files.values():
            await self.finish(tx, tenant, file, "system:settlement")

    async def finish(self, tx: Tx, tenant: str, file: BankFile, actor: str) -> None:
        """Mark a locked file as over when every row has come to its end."""
        states = {line.state for line in await self.store.lines_of(tx, tenant, file.file_id)}
        if file.state in OVER or states - ENDED:
            return
        freed = states == {LineState.FREED}
        if not freed and file.state is not FileState.EXPORTED:
            return
        file.ended_at = self.clock.now()
        state = FileState.ABANDONED if freed else FileState.DONE
        await self._save(tx, tenant, file, state=state)
        await self.tell(tx, tenant, f"bank_file.{state}", file, actor, {})

    # What a person calls.

    async def export(self, tenant: str, file_id: UUID, actor: str) -> Exported:
        """The bytes to carry to the bank's page. The first call freezes the file: from then on the
        bank may execute it at any moment. Every later call gives the same bytes. Raises NotFound,
        Conflict for a file that was given up."""
        async with self.database.transaction() as tx:
            file = await self.locked(tx, tenant, file_id)
            if file.state is FileState.ABANDONED:
                raise Conflict(
                    "bank_file.abandoned",
                    "Two people signed that this file was not uploaded; its payments are in other "
                    "hands now.",
                    "Never upload it. Export the file in which its payments are today.",
                )
            await self._may_be_carried(tx, tenant, file)
            again = file.digest is not None
            if not again:
                await self._freeze(tx, tenant, file, actor)
            kind = "bank_file.downloaded" if again else "bank_file.exported"
            assert file.digest is not None and file.content_sealed is not None
            content = self._seal.open(
                _CONTENT, file.content_sealed, _place(tenant, str(file.file_id))
            )
            digest = hashlib.sha256(content).digest()
            if digest != file.digest:
                raise Conflict(
                    "bank_file.altered",
                    "The kept bytes are not those that were handed out.",
                    "Do not upload anything; look at the audit trail of this file.",
                )
            await self.tell(tx, tenant, kind, file, actor, {"digest": digest.hex()})
        return Exported(file.file_id, file.file_name, content, digest.hex(), again)

    async def _may_be_carried(self, tx: Tx, tenant: str, file: BankFile) -> None:
        """A file of which people say that it was not uploaded must not be uploaded any more."""
        releases = await self.store.releases_of(tx, tenant, file.file_id)
        if any(release.state == "decided" for release in releases):
            raise Conflict(
                "bank_file.rows_freed",
                "Rows of this file were given up; whoever uploads it now pays them twice.",
                "Never upload it again. What it still waits for comes with the statement.",
            )
        if any(release.state == "proposed" for release in releases):
            raise Conflict(
                "bank_file.release_waits",
                "A proposal to give this file up waits for signatures.",
                "Withdraw the proposal first, if the file is to be uploaded after all.",
            )

    async def _freeze(self, tx: Tx, tenant: str, file: BankFile, actor: str) -> None:
        template = self.formats.templates.named(file.template, file.day)
        lines = await self.store.lines_of(tx, tenant, file.file_id)
        attempts = [self.row(tenant, line) for line in lines]
        content = codec.encode(template, attempts)
        file.digest = hashlib.sha256(content).digest()
        file.content_sealed = self._seal.seal(_CONTENT, content, _place(tenant, str(file.file_id)))
        file.file_name = file_name(template, attempts[0].payer.account, file.day, file.number)
        file.exported_at, file.exported_by = self.clock.now(), actor
        file.due_at = file.exported_at + timedelta(hours=template.answer_within_hours)
        file.reminded_at = None
        await self._save(tx, tenant, file, state=FileState.EXPORTED)

    async def remind(self, tenant: str, limit: int = 50) -> int:
        """Ask people about files of which nobody has said in time what became of them; how many.
        That is all that follows: no silence ever frees or repeats a row."""
        async with self.database.transaction() as tx:
            now = self.clock.now()
            due = await self.store.due_files(tx, tenant, now, limit)
            for file in due:
                waited = file.due_at - (file.exported_at or file.opened_at)
                file.reminded_at = now
                file.due_at = now + max(waited, timedelta(hours=1))
                await self._save(tx, tenant, file)
                needs = "result" if file.exported_at else "export"
                await self.tell(
                    tx, tenant, "bank_file.overdue", file, "worker:bank-files", {"needs": needs}
                )
        return len(due)

    # What the other modules of this room share.

    async def locked(self, tx: Tx, tenant: str, file_id: UUID) -> BankFile:
        """The file, locked. Raises NotFound."""
        file = (await self.store.lock_files(tx, tenant, [file_id])).get(file_id)
        return file or _missing(file_id)

    async def got(self, tx: Tx, tenant: str, file_id: UUID) -> BankFile:
        """The file. Raises NotFound."""
        return await self.store.get_file(tx, tenant, file_id) or _missing(file_id)

    def row(self, tenant: str, line: FileLine) -> Attempt:
        """The attempt of a row, opened: in memory only."""
        opened = self._seal.open(_ROW, line.row_sealed, _place(tenant, line.reference))
        return msgspec.json.decode(opened, type=Attempt)

    def seal_content(self, tenant: str, what: str, content: bytes) -> bytes:
        """Bytes of a person's file, sealed for their place."""
        return self._seal.seal(_CONTENT, content, _place(tenant, what))

    async def _save(
        self, tx: Tx, tenant: str, file: BankFile, *, state: FileState | None = None
    ) -> None:
        file.state = state or file.state
        file.version += 1
        await self.store.save_file(tx, tenant, file)

    async def tell(
        self,
        tx: Tx,
        tenant: str,
        kind: str,
        file: BankFile,
        actor: str,
        body: dict[str, Any],
        at: datetime | None = None,
    ) -> None:
        """One event of a file's life. No name and no account number is in it."""
        event = Event(
            tenant=tenant,
            event_id=self.ids.new(),
            kind=kind,
            subject_kind="bank_file",
            subject_id=file.file_id,
            actor=actor,
            at=at or self.clock.now(),
            body=canonical_json(
                {
                    "bank_account_id": str(file.bank_account_id),
                    "state": file.state.value,
                    "rows": file.rows,
                    "total_fen": file.total_fen,
                    **body,
                }
            ),
        )
        await self._log.append_many(tx, [event])


def _takes(file: BankFile, template: BankTemplate, attempt: Attempt) -> bool:
    return (
        file.template == template.name
        and file.day == china_date(attempt.created_at)
        and codec.fits_in(template, file.rows, file.total_fen, attempt.amount_fen)
    )


def _place(tenant: str, what: str) -> bytes:
    return f"{tenant}/bank_file/{what}".encode()


def _missing(file_id: UUID) -> Any:
    raise NotFound(
        "bank_file.not_found",
        f"There is no bank file {file_id}.",
        "List the bank files and name one of them.",
    )
