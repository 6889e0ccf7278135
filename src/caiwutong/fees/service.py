"""The fee audit: reads the statements' fee lines of a stretch of time, and judges each.

Read only. A page of lines at a time, each with everything charged under its reference, whenever
that was: a second charge is found across the end of a month too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from caiwutong.db.database import Database, Tx
from caiwutong.fees import rules
from caiwutong.fees.model import (
    DIFFERENT,
    FeeLine,
    FeeReason,
    FeeReport,
    Finding,
    PaymentFees,
    Tally,
)
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Refused
from caiwutong.payments.charged import Sent, SentPayments
from caiwutong.rails.catalog.model import Unknown
from caiwutong.rails.catalog.rules import Catalog
from caiwutong.statements.model import LineRow
from caiwutong.statements.service import Statements

_PAGE = 500
MOST_FINDINGS = 1000


class Account(Protocol):
    """A bank account of ours."""

    @property
    def bank_code(self) -> str: ...


class Accounts(Protocol):
    """Finds our bank accounts."""

    async def find_many(
        self, tx: Tx, tenant: str, ids: Collection[UUID]
    ) -> Mapping[UUID, Account]: ...


class FeeAudit:
    """Judges fees over statements, payments and the catalog."""

    def __init__(
        self,
        *,
        database: Database,
        statements: Statements,
        sent: SentPayments,
        accounts: Accounts,
        catalog: Callable[[str], Catalog],
        clock: Clock,
    ) -> None:
        self._database = database
        self._statements = statements
        self._sent = sent
        self._accounts = accounts
        self._catalog = catalog
        self._clock = clock

    async def audit(
        self, tenant: str, start: datetime, end: datetime, *, most: int = MOST_FINDINGS
    ) -> FeeReport:
        """The fees booked from ``start`` to before ``end``. Raises Refused for an empty stretch."""
        if end <= start:
            raise Refused(
                "fees.bad_period",
                "The stretch of time ends before it begins.",
                "Give from before until.",
            )
        findings: list[Finding] = []
        after: tuple[UUID, int] | None = None
        while True:
            async with self._database.transaction() as tx:
                page = await self._statements.fees(tx, tenant, start, end, after=after, limit=_PAGE)
                findings += await self._judge(tx, tenant, page)
            if len(page) < _PAGE:
                return _report(start, end, findings, most)
            after = page[-1].bank_account_id, page[-1].position

    async def of_payment(self, tenant: str, payment_id: UUID) -> PaymentFees:
        """What a payment should cost over the channel it went last, and what was taken for it."""
        catalog, now = self._catalog(tenant), self._clock.now()
        async with self._database.transaction() as tx:
            attempts = await self._sent.of(tx, tenant, payment_id)
            if not attempts:
                return PaymentFees(payment_id, None, None, "", "not sent yet", 0, ())
            accounts = await self._accounts.find_many(
                tx, tenant, {a.bank_account_id for a in attempts}
            )
            places = {(a.bank_account_id, a.reference) for a in attempts}
            groups = await self._statements.fees_under(tx, tenant, places)
        last = attempts[-1]
        bank = accounts[last.bank_account_id].bank_code
        by_reference = {a.reference: a for a in attempts}
        findings = [
            finding
            for (_, reference), rows in sorted(groups.items())
            for finding in rules.judge(_lines(rows), by_reference[reference], bank, catalog)
        ]
        booked = findings[0].line.booked_at if findings else now
        fee = rules.expected(last, bank, catalog, booked)
        known = None if isinstance(fee, Unknown) else fee
        return PaymentFees(
            payment_id,
            known.fen if known else None,
            known.list_fen if known else None,
            last.rail,
            fee.why if isinstance(fee, Unknown) else "",
            sum(finding.line.charged_fen for finding in findings),
            tuple(findings),
        )

    async def _judge(self, tx: Tx, tenant: str, page: Sequence[LineRow]) -> list[Finding]:
        """Findings for the lines of this page, each judged among all of its reference."""
        catalog = self._catalog(tenant)
        places = {(row.bank_account_id, row.reference) for row in page if row.reference}
        groups = await self._statements.fees_under(tx, tenant, places) if places else {}
        references = {reference for _, reference in places}
        sent: dict[str, Sent] = {}
        if references:
            sent = await self._sent.under(tx, tenant, catalog.rails, references)
        accounts = await self._accounts.find_many(tx, tenant, {row.bank_account_id for row in page})
        wanted = {(row.bank_account_id, row.line_id) for row in page}
        single = {
            (row.bank_account_id, f"line/{row.line_id}"): [row] for row in page if not row.reference
        }
        findings: list[Finding] = []
        for (account, reference), rows in (groups | single).items():
            attempt = sent.get(reference)
            if attempt is not None and attempt.bank_account_id != account:
                attempt = None
            bank = accounts[account].bank_code
            findings += rules.judge(_lines(rows), attempt, bank, catalog)
        return [f for f in findings if (f.line.bank_account_id, f.line.line_id) in wanted]


def _lines(rows: Sequence[LineRow]) -> list[FeeLine]:
    return [
        FeeLine(
            row.bank_account_id, row.line_id, row.position, row.booked_at, -row.amount_fen,
            row.reference, row.words,
        )
        for row in rows
    ]  # fmt: skip


def _report(start: datetime, end: datetime, findings: Sequence[Finding], most: int) -> FeeReport:
    by_reason: dict[FeeReason, Tally] = {}
    for finding in findings:
        before = by_reason.get(finding.reason, Tally(0, 0, 0))
        by_reason[finding.reason] = Tally(
            before.lines + 1,
            before.charged_fen + finding.line.charged_fen,
            before.difference_fen + finding.difference_fen,
        )
    different = sorted(
        (f for f in findings if f.reason in DIFFERENT),
        key=lambda f: (-f.difference_fen, f.line.bank_account_id, f.line.position),
    )
    kept = different[: max(0, most)]
    return FeeReport(
        start=start,
        end=end,
        lines=len(findings),
        charged_fen=sum(f.line.charged_fen for f in findings),
        expected_fen=sum(f.expected_fen or 0 for f in findings),
        too_much_fen=sum(f.difference_fen for f in findings if f.difference_fen > 0),
        by_reason=dict(sorted(by_reason.items())),
        findings=tuple(kept),
        left_out=len(different) - len(kept),
    )
