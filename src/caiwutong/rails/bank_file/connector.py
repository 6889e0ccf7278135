"""bank_file behind the common contract of rails. Nothing is sent here: a person carries the file.

``encode_many`` gives one message for each file of an account's day, ``decode`` reads a result file
by whichever template in use it fits. Whoever asks this rail what became of an attempt hears that it
does not know: only the bank's page, its result file and its statement do. Never a no.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from caiwutong.kernel.clock import Clock, china_date
from caiwutong.kernel.errors import Unavailable
from caiwutong.rails.bank_file import codec
from caiwutong.rails.bank_file.tables import rows_of
from caiwutong.rails.bank_file.template import BankTemplate, Templates
from caiwutong.rails.contract import (
    SILENCE,
    AccountAtBank,
    Attempt,
    BadMessage,
    BankBalance,
    Concerning,
    NotSent,
    RailMessage,
    RailReport,
    ReportKind,
    StatementPage,
)

VALID = timedelta(days=3650)
"""A file in somebody's folder can be uploaded any day: no silence ever becomes a no here."""

_ONLY_THE_PAGE = "Only the bank's page knows: import its result file or the statement."


class BankFileRail:
    """The bank_file rail: implements ``rails.contract.Rail``."""

    name = codec.NAME

    def __init__(self, templates: Templates, clock: Clock) -> None:
        self.templates = templates
        self._clock = clock

    def valid_until(self, at: datetime) -> datetime:
        return at + VALID

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """One message for each file: attempts of one account and one day in China, in order, cut
        at the template's limits. Raises Refused for the first attempt that cannot travel."""
        groups: dict[tuple[str, str, date], list[Attempt]] = {}
        for attempt in attempts:
            payer = attempt.payer
            day = china_date(attempt.created_at)
            groups.setdefault((payer.bank_code, payer.account, day), []).append(attempt)
        messages: list[RailMessage] = []
        for (bank_code, _, day), group in groups.items():
            template = self.templates.for_bank(bank_code, day)
            for batch in codec.batches(template, group):
                body = codec.encode(template, batch)
                messages.append(
                    RailMessage(
                        message_id=hashlib.sha256(body).hexdigest()[:32],
                        kind=template.name,
                        references=tuple(attempt.reference for attempt in batch),
                        body=body,
                    )
                )
        return messages

    async def send(self, message: RailMessage) -> bytes:
        """Never sends: the message is a file, and a person carries it."""
        raise NotSent(
            "bank_file.carried_by_people",
            f"The file {message.message_id[:12]} is carried into the bank's page by a person.",
            "Export the bank file, upload it there, and import the result file.",
        )

    def decode(self, raw: bytes) -> list[RailReport]:
        """The reports of a result file, for its rows that bear our reference. May take a moment
        (a workbook is read in a process of its own). Raises BadMessage."""
        _, rows = self.read_result(raw, self.templates.in_use())
        return codec.reports_of(rows, self._clock.now())

    def read_result(
        self, raw: bytes, templates: Iterable[BankTemplate]
    ) -> tuple[BankTemplate, list[codec.ResultRow]]:
        """Every row of a result file, and the template that understands it best. Raises
        BadMessage."""
        best: tuple[BankTemplate, list[codec.ResultRow]] | None = None
        trouble: BadMessage | None = None
        for template in templates:
            columns = {c.value: titles for c, titles in template.result.columns.items()}
            try:
                rows = codec.decode_result(template, rows_of(raw, columns))
            except BadMessage as error:
                trouble = trouble or error
                continue
            if best is None or _understood(rows) > _understood(best[1]):
                best = (template, rows)
        if best is None:
            raise trouble or BadMessage(
                "bank_file.no_template",
                "No bank template is in use here.",
                "Name the bank's template in connections.json (bank_file).",
            )
        return best

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        return [self._unknown(attempt, Concerning.PAYMENT) for attempt in attempts]

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        return [self._unknown(attempt, Concerning.REVOCATION)]

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        return [self._unknown(attempt, Concerning.RETURN_REQUEST)]

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        raise _no_link()

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        raise _no_link()

    def _unknown(self, attempt: Attempt, concerning: Concerning) -> RailReport:
        return RailReport(
            kind=ReportKind.IN_DOUBT,
            rail=self.name,
            reference=attempt.reference,
            code=SILENCE,
            at=self._clock.now(),
            words=_ONLY_THE_PAGE,
            concerning=concerning,
        )


def _understood(rows: Sequence[codec.ResultRow]) -> int:
    return sum(row.fault is None and row.code != codec.UNKNOWN_WORD for row in rows)


def _no_link() -> Unavailable:
    return Unavailable(
        "bank_file.no_link",
        "This account has no link to its bank.",
        "Import the statement file that the bank's page exports.",
    )
