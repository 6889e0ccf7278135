"""The counter of this room: everything the outer rooms use of bank files, made once."""

from __future__ import annotations

from dataclasses import dataclass

from caiwutong.bank_files.model import RELEASE
from caiwutong.bank_files.ports import Accounts, Consent, Log, Settle, Statements
from caiwutong.bank_files.releases import Releases
from caiwutong.bank_files.results import Results
from caiwutong.bank_files.service import BankFiles
from caiwutong.bank_files.statement_files import StatementFiles
from caiwutong.bank_files.views import BankFileViews
from caiwutong.payments.store import PaymentStore

__all__ = ["RELEASE", "BankFileDesk", "open_desk"]


@dataclass(slots=True, kw_only=True)
class BankFileDesk:
    """What can be done with bank files."""

    files: BankFiles
    results: Results
    releases: Releases
    statement_files: StatementFiles
    views: BankFileViews


def open_desk(
    files: BankFiles,
    *,
    settlement: Settle,
    payments: PaymentStore,
    consent: Consent,
    log: Log,
    statements: Statements,
    accounts: Accounts,
) -> BankFileDesk:
    """The desk over ``files``, which the engine knows already as its pages. Whoever wires it binds
    ``releases.decided`` to ``RELEASE``."""
    return BankFileDesk(
        files=files,
        results=Results(files, settlement),
        releases=Releases(files, payments=payments, consent=consent, log=log),
        statement_files=StatementFiles(
            files, statements=statements, accounts=accounts, settlement=settlement
        ),
        views=BankFileViews(files),
    )
