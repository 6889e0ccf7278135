"""What the API needs of the house, as the composition root hands it over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from caiwutong.approvals.service import Approvals
from caiwutong.audit.service import Audit
from caiwutong.bank_accounts.payees import Payees
from caiwutong.bank_accounts.service import BankAccounts
from caiwutong.bank_files.desk import BankFileDesk
from caiwutong.db.database import Database
from caiwutong.erp.feed import Feed
from caiwutong.erp.webhooks.service import Webhooks
from caiwutong.fees.service import FeeAudit
from caiwutong.identity.authentication import Authenticator
from caiwutong.identity.service import Identity
from caiwutong.imports.service import Imports
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.ids import Ids
from caiwutong.ledger.service import Ledger
from caiwutong.payments.courier import Settle
from caiwutong.payments.ports import TakesOrders
from caiwutong.payments.pressure import Pressure
from caiwutong.payments.requests import Requests
from caiwutong.payments.switching import Switching
from caiwutong.payments.views import Views
from caiwutong.rails.catalog.service import Catalogs
from caiwutong.rails.contract import Rail
from caiwutong.settings import Settings
from caiwutong.statements.views import StatementViews
from caiwutong.telemetry import Metrics
from caiwutong.vault import Vault


class Payments(Protocol):
    """The payment engine's stages."""

    @property
    def intake(self) -> TakesOrders: ...
    @property
    def requests(self) -> Requests: ...
    @property
    def pressure(self) -> Pressure: ...
    @property
    def switching(self) -> Switching: ...
    @property
    def settle(self) -> Settle: ...
    @property
    def views(self) -> Views: ...


class Services(Protocol):
    """The house, wired."""

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def ids(self) -> Ids: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def feed(self) -> Feed: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def identity(self) -> Identity: ...
    @property
    def authenticator(self) -> Authenticator: ...
    @property
    def bank_accounts(self) -> BankAccounts: ...
    @property
    def payees(self) -> Payees: ...
    @property
    def approvals(self) -> Approvals: ...
    @property
    def catalogs(self) -> Catalogs: ...
    @property
    def fees(self) -> FeeAudit: ...
    @property
    def rails(self) -> Mapping[str, Rail]: ...
    @property
    def payments(self) -> Payments: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def imports(self) -> Imports: ...
    @property
    def bank_files(self) -> BankFileDesk: ...
    @property
    def statement_views(self) -> StatementViews: ...
