"""Two people give rows up: the bank never got them, so their payments may go another way.

The one act of this room that opens a second way for a payment, and the one that a program never
does. Someone proposes and says why; two different others sign the very rows. In the transaction of
the second signature the rows are looked at once more: what the bank has answered meanwhile cannot
be given up. The payments are *validated* again and wait ``RECONSIDER`` before they go out, so that
people can cancel them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

import msgspec

from caiwutong.approvals.model import Subject
from caiwutong.audit.model import canonical_json
from caiwutong.bank_files.model import (
    NOT_UPLOADED,
    RECONSIDER,
    RELEASE,
    RELEASE_SIGNERS,
    BankFile,
    FileLine,
    FileState,
    LineState,
    Release,
    ReleaseView,
)
from caiwutong.bank_files.ports import Consent, Log
from caiwutong.bank_files.service import BankFiles
from caiwutong.db.database import Tx
from caiwutong.kernel.errors import Conflict, NotFound, Refused
from caiwutong.payments import rules
from caiwutong.payments.events import happened
from caiwutong.payments.model import PaymentRow, Task
from caiwutong.payments.states import Event, follow
from caiwutong.payments.store import PaymentStore


class Releases:
    """Proposes, signs and withdraws decisions to give rows up."""

    def __init__(
        self, files: BankFiles, *, payments: PaymentStore, consent: Consent, log: Log
    ) -> None:
        self._files = files
        self._payments = payments
        self._consent = consent
        self._log = log

    async def propose(
        self,
        tenant: str,
        file_id: UUID,
        *,
        maker: UUID,
        actor: str,
        reason: str,
        line_nos: Sequence[int] | None = None,
    ) -> ReleaseView:
        """Ask two people to sign that the bank never got these rows (None: the whole file was not
        uploaded). Raises NotFound, Conflict when the bank has answered a row, Refused."""
        words = " ".join(reason.split())
        if not 4 <= len(words) <= 200:
            raise Refused(
                "bank_file.no_reason",
                "A file is given up with a reason of 4 to 200 characters.",
                "Say how you know that the bank never got it, for example what its page shows.",
            )
        files = self._files
        async with files.database.transaction() as tx:
            file = await files.locked(tx, tenant, file_id)
            chosen = await self._chosen(tx, tenant, file, line_nos)
            now = files.clock.now()
            release_id = files.ids.new()
            release = Release(
                release_id=release_id,
                file_id=file_id,
                line_nos=tuple(line.line_no for line in chosen),
                reason=words,
                maker=maker,
                actor=actor,
                digest=_digest(release_id, file, chosen, words),
                proposed_at=now,
            )
            await files.store.insert_release(tx, tenant, release)
            subject = Subject(RELEASE, release_id, release.digest)
            await self._consent.request(tx, tenant, subject, RELEASE_SIGNERS, maker, now)
            await files.tell(tx, tenant, "bank_file.release_proposed", file, actor, _facts(release))
        return view_of(release)

    async def withdraw(self, tenant: str, release_id: UUID, actor: str) -> ReleaseView:
        """Take a proposal back; what is decided stays decided."""
        files = self._files
        async with files.database.transaction() as tx:
            # The signing request is locked before the file, as the last signature does it.
            await self._consent.withdraw(tx, tenant, RELEASE, release_id, files.clock.now())
            release = await self.got(tx, tenant, release_id)
            if release.state == "withdrawn":
                return view_of(release)
            if release.state != "proposed":
                raise Conflict(
                    "bank_file.release_decided",
                    "Two people have signed it already.",
                    "Cancel the payments it freed while they wait, if they are not to be paid.",
                )
            file = await files.locked(tx, tenant, release.file_id)
            release.state, release.ended_at = "withdrawn", files.clock.now()
            await files.store.save_release(tx, tenant, release)
            await files.tell(
                tx, tenant, "bank_file.release_withdrawn", file, actor, _facts(release)
            )
        return view_of(release)

    async def decided(self, tx: Tx, tenant: str, subject: Subject) -> None:
        """Two people have signed: free the rows. Called inside the transaction of the last
        signature. Raises Conflict when the bank has answered a row since it was proposed."""
        files, release = self._files, await self.got(tx, tenant, subject.id)
        lines = await self._lines(tx, tenant, release)
        rows = await self._payments.lock(tx, tenant, {line.payment_id for line in lines})
        file = await files.locked(tx, tenant, release.file_id)
        lines = await self._lines(tx, tenant, release)
        if _digest(release.release_id, file, lines, release.reason) != subject.digest:
            raise Conflict(
                "bank_file.changed_since",
                "The file was handed out, or its rows changed, since this was proposed.",
                "Withdraw the proposal, look at the bank's page, and propose it anew.",
            )
        for line in lines:
            row = rows[line.payment_id]
            free = follow(row.state, Event.NOT_UPLOADED) and row.reference == line.reference
            if line.state is not LineState.WAITING or not free:
                raise _answered(line)
        now = files.clock.now()
        release.state, release.ended_at = "decided", now
        release.signers = await self._signers(tx, tenant, release)
        await files.store.save_release(tx, tenant, release)
        for line in lines:
            line.state, line.code, line.said_at = LineState.FREED, NOT_UPLOADED, now
        await files.store.save_lines(tx, tenant, lines)
        await self._free(tx, tenant, release, lines, rows)
        await files.tell(tx, tenant, "bank_file.rows_freed", file, release.actor, _facts(release))
        await files.finish(tx, tenant, file, release.actor)

    async def _free(
        self,
        tx: Tx,
        tenant: str,
        release: Release,
        lines: Sequence[FileLine],
        rows: dict[UUID, PaymentRow],
    ) -> None:
        """The payments are validated again, their attempts over without the bank's word."""
        now = self._files.clock.now()
        attempts = await self._payments.attempts_of(tx, tenant, list(rows))
        by_reference = {line.reference for line in lines}
        closed = [
            msgspec.structs.replace(attempt, outcome="revoked", code=NOT_UPLOADED, closed_at=now)
            for kept in attempts.values()
            for attempt in kept
            if attempt.reference in by_reference
        ]
        await self._payments.close_attempts(tx, tenant, closed)
        for row in rows.values():
            step = follow(row.state, Event.NOT_UPLOADED)
            assert step is not None
            row.state, row.state_at = step.to, now
            row.reason_code, row.reason = NOT_UPLOADED, release.reason
            row.version += 1
        await self._payments.save(tx, tenant, rows.values())
        due = now + RECONSIDER
        work = [rules.work_of(row, Task.DISPATCH, due) for _, row in sorted(rows.items())]
        await self._payments.put_work(tx, tenant, work)
        events = [
            happened(
                self._files.ids,
                tenant,
                "payment.validated",
                row.payment_id,
                actor=release.actor,
                at=now,
                body={
                    "state": row.state.value,
                    "code": NOT_UPLOADED,
                    "reason": release.reason,
                    "release_id": str(release.release_id),
                    "signers": [str(who) for who in release.signers],
                    "goes_out_at": due.isoformat(),
                },
            )
            for row in rows.values()
        ]
        await self._log.append_many(tx, events)

    async def view(self, tenant: str, release_id: UUID) -> ReleaseView:
        """One proposal. Raises NotFound."""
        async with self._files.database.transaction() as tx:
            return view_of(await self.got(tx, tenant, release_id))

    async def got(self, tx: Tx, tenant: str, release_id: UUID) -> Release:
        """Raises NotFound."""
        found = await self._files.store.release(tx, tenant, release_id)
        if found is None:
            raise NotFound(
                "bank_file.no_such_release",
                f"There is no proposal {release_id}.",
                "Read the bank file: it names the proposals about it.",
            )
        return found

    async def _chosen(
        self, tx: Tx, tenant: str, file: BankFile, line_nos: Sequence[int] | None
    ) -> list[FileLine]:
        lines = await self._files.store.lines_of(tx, tenant, file.file_id)
        answered = [line for line in lines if line.state is not LineState.WAITING]
        if line_nos is None:
            if answered:
                raise _answered(answered[0])
            return lines
        wanted = set(line_nos)
        chosen = [line for line in lines if line.line_no in wanted]
        if not wanted or len(chosen) != len(wanted):
            raise Refused(
                "bank_file.no_such_row",
                "A row that was named is not in this file.",
                f"Name rows from 1 to {file.rows}.",
            )
        for line in chosen:
            if line.state is not LineState.WAITING:
                raise _answered(line)
        results = await self._files.store.results_of(tx, tenant, file.file_id)
        if file.state is FileState.EXPORTED and not (answered or results):
            raise Conflict(
                "bank_file.no_answer_yet",
                "The bank has answered no row of this file, so single rows cannot be missing.",
                "Import the result or the statement first, or say that the whole file was not "
                "uploaded.",
            )
        return chosen

    async def _lines(self, tx: Tx, tenant: str, release: Release) -> list[FileLine]:
        lines = await self._files.store.lines_of(tx, tenant, release.file_id)
        return [line for line in lines if line.line_no in release.line_nos]

    async def _signers(self, tx: Tx, tenant: str, release: Release) -> tuple[UUID, ...]:
        request = await self._consent.signing(tx, tenant, RELEASE, release.release_id)
        rows = await self._consent.signatures(tx, tenant, RELEASE, release.release_id)
        now = 0 if request is None else request.round
        return tuple(sorted({row.person_id for row in rows if row.round == now}))


def view_of(release: Release) -> ReleaseView:
    """A proposal as people see it."""
    return ReleaseView(
        release_id=release.release_id,
        file_id=release.file_id,
        line_nos=release.line_nos,
        reason=release.reason,
        state=release.state,
        signers=release.signers,
        proposed_at=release.proposed_at,
        ended_at=release.ended_at,
        digest=release.digest.hex(),
    )


def _digest(release_id: UUID, file: BankFile, lines: Sequence[FileLine], reason: str) -> bytes:
    """What a signature is bound to: the file, the very rows, and the reason."""
    said = {
        "release": str(release_id),
        "file": str(file.file_id),
        "content": "" if file.digest is None else file.digest.hex(),
        "rows": [[line.line_no, line.reference, line.amount_fen] for line in lines],
        "reason": reason,
    }
    return hashlib.sha256(canonical_json(said)).digest()


def _facts(release: Release) -> dict[str, object]:
    return {
        "release_id": str(release.release_id),
        "line_nos": list(release.line_nos),
        "reason": release.reason,
        "digest": release.digest.hex(),
        "signers": [str(who) for who in release.signers],
    }


def _answered(line: FileLine) -> Conflict:
    return Conflict(
        "bank_file.row_answered",
        f"Row {line.line_no} is {line.state.value}: the bank has got it.",
        "Only rows of which the bank knows nothing can be given up; name those rows alone.",
    )
