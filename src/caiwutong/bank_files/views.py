"""What people and callers see of bank files: lists, one file, its rows, its proposals. Read only,
account numbers masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import msgspec

from caiwutong.bank_files.model import (
    OVER,
    BankFile,
    BankFileRow,
    FileState,
    FileView,
    ReleaseView,
)
from caiwutong.bank_files.releases import view_of
from caiwutong.bank_files.service import BankFiles
from caiwutong.bank_files.store import LAST_ID
from caiwutong.kernel.masking import mask_account


class BankFileViews:
    """Each call opens its own transaction."""

    def __init__(self, files: BankFiles) -> None:
        self._files = files

    async def page(
        self,
        tenant: str,
        *,
        states: Sequence[FileState] | None = None,
        bank_account_id: UUID | None = None,
        before: UUID | None = None,
        limit: int = 100,
    ) -> list[FileView]:
        """Newest first."""
        async with self._files.database.transaction() as tx:
            found = await self._files.store.page_files(
                tx,
                tenant,
                states=states,
                bank_account_id=bank_account_id,
                before=before or LAST_ID,
                limit=limit,
            )
        return [_view(file) for file in found]

    async def get(self, tenant: str, file_id: UUID) -> FileView:
        """One file with its rows counted. Raises NotFound."""
        async with self._files.database.transaction() as tx:
            file = await self._files.got(tx, tenant, file_id)
            lines = await self._files.store.lines_of(tx, tenant, file_id)
            releases = await self._files.store.releases_of(tx, tenant, file_id)
        waiting = next((r.release_id for r in releases if r.state == "proposed"), None)
        return msgspec.structs.replace(
            _view(file),
            lines=dict(Counter(line.state.value for line in lines)),
            release_id=waiting,
        )

    async def lines(
        self, tenant: str, file_id: UUID, *, after: int = 0, limit: int = 500
    ) -> list[BankFileRow]:
        """Rows after a row number. Raises NotFound."""
        async with self._files.database.transaction() as tx:
            await self._files.got(tx, tenant, file_id)
            lines = await self._files.store.lines_of(tx, tenant, file_id)
        views: list[BankFileRow] = []
        for line in [i for i in lines if i.line_no > after][:limit]:
            payee = self._files.row(tenant, line).payee
            views.append(
                BankFileRow(
                    line_no=line.line_no,
                    payment_id=line.payment_id,
                    reference=line.reference,
                    amount_fen=line.amount_fen,
                    payee_name=payee.name,
                    payee_account=mask_account(payee.account),
                    state=line.state,
                    code=line.code,
                    words=line.words,
                    said_at=line.said_at,
                )
            )
        return views

    async def releases(self, tenant: str, file_id: UUID) -> list[ReleaseView]:
        """Every proposal about a file, oldest first. Raises NotFound."""
        async with self._files.database.transaction() as tx:
            await self._files.got(tx, tenant, file_id)
            found = await self._files.store.releases_of(tx, tenant, file_id)
        return [view_of(release) for release in found]


def _view(file: BankFile) -> FileView:
    needs = ""
    if file.state not in OVER:
        needs = "result" if file.state is FileState.EXPORTED else "export"
    return FileView(
        file_id=file.file_id,
        bank_account_id=file.bank_account_id,
        template=file.template,
        day=file.day,
        number=file.number,
        state=file.state,
        rows=file.rows,
        total_fen=file.total_fen,
        file_name=file.file_name,
        digest="" if file.digest is None else file.digest.hex(),
        opened_at=file.opened_at,
        exported_at=file.exported_at,
        exported_by=file.exported_by,
        ended_at=file.ended_at,
        due_at=file.due_at,
        overdue=file.reminded_at is not None and file.state not in OVER,
        needs=needs,
        lines={},
    )
