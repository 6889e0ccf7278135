"""A statement file (交易明细) of an account without a link becomes its statement, and has the last
word on what its files carried.

Lines without our reference are laid to payments by amount, payee and day where that leaves no
choice; otherwise nothing is taken, and a person chooses. What the statement shows debited is a yes
once it shows the whole of that day: banks give back the same day what they could not send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID

from caiwutong.bank_accounts.model import BankAccount
from caiwutong.bank_files.model import FileLine, LineState, StatementOutcome
from caiwutong.bank_files.ports import Accounts, Settle, Statements
from caiwutong.bank_files.rules import NONE, Found, find_payments, proven
from caiwutong.bank_files.service import BankFiles
from caiwutong.db.database import Tx
from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import Conflict, Refused
from caiwutong.rails.bank_file import codec
from caiwutong.rails.bank_file.statement import decode_statement
from caiwutong.rails.bank_file.tables import rows_of
from caiwutong.rails.contract import (
    Attempt,
    RailReport,
    ReportKind,
    StatementLine,
    StatementPage,
)

_TAKEN_FOR_OVER = frozenset({LineState.REJECTED, LineState.FREED})

STATEMENT = "statement"
"""Report code of our own: the statement shows it."""


class StatementFiles:
    """Takes statement files in."""

    def __init__(
        self, files: BankFiles, *, statements: Statements, accounts: Accounts, settlement: Settle
    ) -> None:
        self._files = files
        self._statements = statements
        self._accounts = accounts
        self._settlement = settlement

    async def take(
        self,
        tenant: str,
        bank_account_id: UUID,
        raw: bytes,
        *,
        actor: str,
        choices: Mapping[str, str] | None = None,
        complete_to: date | None = None,
        dry_run: bool = False,
    ) -> StatementOutcome:
        """Take the lines that are new, and settle what they prove.

        ``choices``: a person's word on ambiguous lines (line → reference, or ``none``).
        ``complete_to``: the last day in China of which the file shows everything; left out, the day
        before its last line. Raises BadMessage, Conflict when lines are ambiguous (nothing is
        taken; ``dry_run`` tells which) or lines before these are missing.
        """
        files = self._files
        async with files.database.transaction() as tx:
            account = await self._accounts.get(tx, tenant, bank_account_id)
        lines = await asyncio.to_thread(self._read, raw, account)
        shown_to = self._complete(lines, complete_to)
        async with files.database.transaction() as tx:
            known = await self._statements.known(
                tx, tenant, account, {line.line_id for line in lines}
            )
            fresh = [line for line in lines if line.line_id not in known]
            await self._check_order(tx, tenant, account, fresh)
            found = find_payments(
                fresh, await self._waiting(tx, tenant, bank_account_id), choices or {}
            )
            _check_choices(found, choices or {}, fresh)
            if found.ambiguous or dry_run:
                if not dry_run:
                    raise _ambiguous(found)
                return _outcome(bank_account_id, lines, fresh, found, shown_to, taken=False)
            # An old line may have been laid to a payment when it was read: leave those as they are.
            page = StatementPage(found.lines, lines[-1].line_id if lines else "", more=False)
            await self._statements.take_page(tx, tenant, account, page, rail=codec.NAME)
        told = await self._settle(tenant, account, shown_to, {line.reference for line in lines})
        return _outcome(
            bank_account_id,
            lines,
            fresh,
            found,
            shown_to,
            taken=True,
            settled=sum(kind is ReportKind.SETTLED for kind in told),
            taken_back=sum(kind is ReportKind.REJECTED for kind in told),
        )

    def _read(self, raw: bytes, account: BankAccount) -> list[StatementLine]:
        today = china_date(self._files.clock.now())
        template = self._files.formats.templates.for_bank(account.bank_code, today)
        columns = {c.value: titles for c, titles in template.statement.columns.items()}
        return decode_statement(template, rows_of(raw, columns), account.account)

    def _complete(self, lines: Sequence[StatementLine], said: date | None) -> date | None:
        today = china_date(self._files.clock.now())
        if said is not None and said >= today:
            raise Refused(
                "bank_file.day_not_over",
                f"The day {said} is not over: no statement shows all of it yet.",
                "Name yesterday at the latest.",
            )
        if said is not None or not lines:
            return said
        return min(lines[-1].value_date, today) - timedelta(days=1)

    async def _waiting(
        self, tx: Tx, tenant: str, bank_account_id: UUID
    ) -> dict[str, tuple[Attempt, date]]:
        """What may be debited: rows handed out, of which no line bears the reference yet."""
        files = self._files
        live = await files.store.live_lines(tx, tenant, bank_account_id)
        seen = await self._statements.under(
            tx, tenant, {(bank_account_id, line.reference) for line in live}
        )
        days = await self._exported_on(tx, tenant, live)
        return {
            line.reference: (files.row(tenant, line), days[line.file_id])
            for line in live
            if (bank_account_id, line.reference) not in seen
        }

    async def _exported_on(
        self, tx: Tx, tenant: str, lines: Sequence[FileLine]
    ) -> dict[UUID, date]:
        days: dict[UUID, date] = {}
        for file_id in sorted({line.file_id for line in lines}):
            file = await self._files.got(tx, tenant, file_id)
            days[file_id] = china_date(file.exported_at or file.opened_at)
        return days

    async def _check_order(
        self, tx: Tx, tenant: str, account: BankAccount, fresh: Sequence[StatementLine]
    ) -> None:
        """New lines follow the last one that is here: nothing is missing between."""
        newest = await self._statements.newest(tx, tenant, account.bank_account_id)
        if newest is None or not fresh:
            return
        booked_at, balance_fen = newest
        first = fresh[0]
        before = first.balance_after_fen - first.amount_fen
        if first.value_date < china_date(booked_at) or before != balance_fen:
            raise Conflict(
                "bank_file.statement_gap",
                f"The first new line, of {first.value_date}, does not follow the last one that is "
                f"here, of {china_date(booked_at)}: lines between are missing.",
                "Import the export that begins on the day of the last line, then this one.",
            )

    async def _settle(
        self, tenant: str, account: BankAccount, shown_to: date | None, named: set[str]
    ) -> list[ReportKind]:
        """Tell settlement what the statement proves, in a transaction of its own: it locks payments
        first, statements lock the account's cursor first. ``named``: references in the file; a row
        that was taken for over and stands debited all the same is told too."""
        if shown_to is None:
            return []
        files, own = self._files, account.bank_account_id
        async with files.database.transaction() as tx:
            live = await files.store.live_lines(tx, tenant, own)
            known = await files.store.lines_by_reference(tx, tenant, sorted(named - {""}))
            live += [line for line in known.values() if line.state in _TAKEN_FOR_OVER]
            under = await self._statements.under(
                tx, tenant, {(own, line.reference) for line in live}
            )
            reports: list[RailReport] = []
            for line in live:
                rows = under.get((own, line.reference), [])
                kind = proven(rows, line.amount_fen, shown_to)
                over = line.state in _TAKEN_FOR_OVER
                if kind is ReportKind.SETTLED or (kind is not None and not over):
                    reports.append(
                        RailReport(
                            kind=kind,
                            rail=codec.NAME,
                            reference=line.reference,
                            code=STATEMENT,
                            at=rows[-1].booked_at,
                            words=rows[-1].words[:200],
                            amount_fen=line.amount_fen,
                            message_id=rows[-1].line_id[:60],
                        )
                    )
            applied = await self._settlement.apply_in(tx, tenant, reports)
        return [report.kind for report, did in zip(reports, applied, strict=True) if did.changed]


def _check_choices(
    found: Found, choices: Mapping[str, str], fresh: Sequence[StatementLine]
) -> None:
    lines = {line.line_id for line in fresh}
    for line_id, reference in choices.items():
        if line_id not in lines or (reference != NONE and not codec.REFERENCE.fullmatch(reference)):
            raise Refused(
                "bank_file.bad_choice",
                f"The choice {line_id[-12:]} = {reference[:24]} names no new line or no reference.",
                "Choose among the candidates of the dry run, or none.",
            )


def _ambiguous(found: Found) -> Conflict:
    first = found.ambiguous[0]
    return Conflict(
        "bank_file.statement_ambiguous",
        f"{len(found.ambiguous)} line(s) may be one of several payments; the first is "
        f"{first.line_id} of {first.day}.",
        "Nothing was taken. Look at them with a dry run, and choose a reference or none for each.",
    )


def _outcome(
    bank_account_id: UUID,
    lines: Sequence[StatementLine],
    fresh: Sequence[StatementLine],
    found: Found,
    complete_to: date | None,
    *,
    taken: bool,
    settled: int = 0,
    taken_back: int = 0,
) -> StatementOutcome:
    return StatementOutcome(
        bank_account_id=bank_account_id,
        lines=len(lines),
        fresh=len(fresh),
        matched=found.matched,
        settled=settled,
        taken_back=taken_back,
        ambiguous=found.ambiguous,
        complete_to=complete_to,
        taken=taken,
    )
