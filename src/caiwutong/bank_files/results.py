"""A result file (回盘文件) comes back: each row of the bank's is laid to one of ours, and
settlement is told. The same bytes again change nothing. A row nobody can lay stays with people, and
what the bank does not say of a row is not said by us either.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from uuid import UUID

import msgspec

from caiwutong.bank_files.model import (
    ENDED,
    BankFile,
    FileLine,
    FileState,
    LineState,
    ResultFile,
    ResultOutcome,
)
from caiwutong.bank_files.ports import Settle
from caiwutong.bank_files.rules import Laid, lay_results
from caiwutong.bank_files.service import BankFiles
from caiwutong.db.database import Tx
from caiwutong.kernel.errors import Conflict
from caiwutong.rails.bank_file import codec
from caiwutong.rails.contract import BadMessage, RailReport, ReportKind

_SAID = {ReportKind.ACCEPTED: LineState.ACCEPTED, ReportKind.IN_DOUBT: LineState.DOUBT}


class Results:
    """Takes result files in."""

    def __init__(self, files: BankFiles, settlement: Settle) -> None:
        self._files = files
        self._settlement = settlement

    async def take(
        self, tenant: str, file_id: UUID, raw: bytes, *, file_name: str, actor: str
    ) -> ResultOutcome:
        """Read a result and follow it. Raises NotFound, Conflict for a file that was never handed
        out, BadMessage for what is no result of this file."""
        files = self._files
        async with files.database.transaction() as tx:
            file = await files.got(tx, tenant, file_id)
        _check_state(file)
        template = files.formats.templates.named(file.template, file.day)
        _, rows = await asyncio.to_thread(files.formats.read_result, raw, [template])
        digest = hashlib.sha256(raw).digest()
        async with files.database.transaction() as tx:
            lines = {i.reference: i for i in await files.store.lines_of(tx, tenant, file_id)}
            attempts = {ref: files.row(tenant, line) for ref, line in lines.items()}
            laid = lay_results(rows, lines, attempts)
            if not laid.rows:
                raise _other_file(len(rows))
            known = await files.store.results_of(tx, tenant, file_id)
            before = next((r for r in known if r.digest == digest), None)
            reports = self._reports(laid, digest)
            # Payments are locked here, before the file: the order everyone keeps.
            await self._settlement.apply_in(tx, tenant, reports)
            file = await files.locked(tx, tenant, file_id)
            after = await self._note(tx, tenant, laid, file_id)
            result_id = before.result_id if before else files.ids.new()
            outcome = _outcome(file_id, result_id, laid, after, before is not None, len(rows))
            if before is None:
                await files.store.insert_result(
                    tx,
                    tenant,
                    ResultFile(
                        result_id=result_id,
                        file_id=file_id,
                        digest=digest,
                        file_name=file_name[:200],
                        content_sealed=files.seal_content(tenant, str(result_id), raw),
                        rows=len(rows),
                        actor=actor,
                        received_at=files.clock.now(),
                    ),
                )
                told = {"digest": digest.hex(), "unclear": len(laid.unclear)} | {
                    kind: getattr(outcome, kind)
                    for kind in ("settled", "rejected", "accepted", "doubt")
                }
                await files.tell(tx, tenant, "bank_file.result", file, actor, told)
            return outcome

    def _reports(self, laid: Laid, digest: bytes) -> list[RailReport]:
        now = self._files.clock.now()
        rows = [
            msgspec.structs.replace(row, reference=reference)
            for reference, row in sorted(laid.rows.items())
        ]
        return [
            msgspec.structs.replace(report, message_id=digest.hex()[:32])
            for report in codec.reports_of(rows, now)
        ]

    async def _note(self, tx: Tx, tenant: str, laid: Laid, file_id: UUID) -> list[FileLine]:
        """Keep what the bank said of rows that have not come to their end by it."""
        files = self._files
        lines = await files.store.lines_of(tx, tenant, file_id)
        changed: list[FileLine] = []
        for line in lines:
            row = laid.rows.get(line.reference)
            if row is None or line.state in ENDED:
                continue
            # A yes or a no that settlement did not follow speaks of another amount.
            line.state = _SAID.get(row.kind, LineState.DOUBT)
            line.code = row.code if row.kind in _SAID else "contradicted"
            line.words, line.said_at = row.words, files.clock.now()
            changed.append(line)
        await files.store.save_lines(tx, tenant, changed)
        return lines


def _check_state(file: BankFile) -> None:
    if file.state in (FileState.OPEN, FileState.CLOSED):
        raise Conflict(
            "bank_file.not_exported",
            "The file was never handed out, so no bank can have answered it.",
            "Export it and upload it first, or choose the file this result belongs to.",
        )


def _other_file(rows: int) -> BadMessage:
    return BadMessage(
        "bank_file.other_result",
        f"None of the {rows} rows speaks of a row of this file.",
        "Choose the bank file this result belongs to.",
    )


def _outcome(
    file_id: UUID,
    result_id: UUID,
    laid: Laid,
    lines: list[FileLine],
    replayed: bool,
    rows: int,
) -> ResultOutcome:
    count = Counter(line.state for line in lines)
    return ResultOutcome(
        file_id=file_id,
        result_id=result_id,
        rows=rows,
        settled=count[LineState.SETTLED],
        rejected=count[LineState.REJECTED],
        accepted=count[LineState.ACCEPTED],
        doubt=count[LineState.DOUBT],
        missing=tuple(line.line_no for line in lines if line.state is LineState.WAITING),
        unclear=laid.unclear,
        replayed=replayed,
    )
