"""The composition root: every service of the house, made once and handed to API, workers and CLI.

Nothing below knows this file. What contexts need of each other beyond the layers is bound here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.approvals.catalog_changes import CatalogSignatures, record_signed
from caiwutong.approvals.model import Subject
from caiwutong.approvals.service import Approvals
from caiwutong.approvals.store import PostgresApprovalStore
from caiwutong.audit.heads import HeadsFile
from caiwutong.audit.seal import Sealer
from caiwutong.audit.service import Audit
from caiwutong.audit.store import PostgresAuditStore
from caiwutong.bank_accounts.payees import Payees
from caiwutong.bank_accounts.service import BankAccounts
from caiwutong.bank_accounts.store import PostgresBankAccountStore
from caiwutong.bank_files.desk import RELEASE, BankFileDesk, open_desk
from caiwutong.bank_files.service import BankFiles
from caiwutong.bank_files.store import PostgresBankFileStore
from caiwutong.db.database import Database, Tx
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.engines import EngineUrls
from caiwutong.erp.feed import AuditFeed
from caiwutong.erp.webhooks.rules import AddressPolicy
from caiwutong.erp.webhooks.service import Webhooks
from caiwutong.erp.webhooks.store import PostgresWebhookStore
from caiwutong.fees.service import FeeAudit
from caiwutong.identity.authentication import Authenticator
from caiwutong.identity.service import Identity
from caiwutong.identity.store import PostgresIdentityStore
from caiwutong.imports.directory import HouseDirectories, HouseFunds
from caiwutong.imports.service import Imports
from caiwutong.imports.store import PostgresImportStore
from caiwutong.kernel.clock import Clock, Randomness, SharedClock, SystemClock, SystemRandomness
from caiwutong.kernel.gathering import Gatherer
from caiwutong.kernel.ids import Ids
from caiwutong.ledger.service import Ledger
from caiwutong.ledger.store import PostgresLedgerStore
from caiwutong.payments.charged import SentPayments
from caiwutong.payments.courier import Courier, Settle
from caiwutong.payments.dispatch import Dispatch
from caiwutong.payments.evidence import Evidence
from caiwutong.payments.intake import SUBJECT, Intake
from caiwutong.payments.model import SWITCH
from caiwutong.payments.ports import TakesOrders
from caiwutong.payments.pressure import Pressure
from caiwutong.payments.recovery import Recovery
from caiwutong.payments.requests import Requests
from caiwutong.payments.routes import BestWay
from caiwutong.payments.settlement import Applied, Settlement
from caiwutong.payments.store import PostgresPaymentStore
from caiwutong.payments.switching import Switching
from caiwutong.payments.views import Views
from caiwutong.rails.bank_direct.connector import BankDirectRail
from caiwutong.rails.bank_direct.styles.catalog import read_connections
from caiwutong.rails.bank_file.codec import NAME as BANK_FILE
from caiwutong.rails.bank_file.connector import BankFileRail
from caiwutong.rails.bank_file.template import (
    BankFileConnection,
    Templates,
    own_templates,
    shipped,
)
from caiwutong.rails.beps.connector import BepsConnection, BepsRail
from caiwutong.rails.catalog.changes import SUBJECT as CATALOG
from caiwutong.rails.catalog.service import Catalogs
from caiwutong.rails.catalog.store import PostgresCatalogStore
from caiwutong.rails.contract import CARRIED_BY_PEOPLE, Rail, RailReport
from caiwutong.rails.hvps.connector import HvpsConnection, HvpsRail
from caiwutong.rails.ibps.connector import IbpsConnection, IbpsRail
from caiwutong.routing.service import Experience
from caiwutong.routing.store import PostgresNotebooks
from caiwutong.settings import Settings
from caiwutong.statements.reader import Reader
from caiwutong.statements.service import Statements
from caiwutong.statements.store import PostgresStatementStore
from caiwutong.statements.views import StatementViews
from caiwutong.telemetry import Metrics
from caiwutong.vault.service import Vault

BANK_TEMPLATES = "bank-templates"
"""Folder beside ``connections.json`` with an operator's own batch templates."""


LAST_LOOK_S = 5.0
"""How long a look into the catalog that is under way may take when a process ends."""


class Connections(msgspec.Struct, frozen=True):
    """``connections.json``: how this installation reaches its banks."""

    ibps: IbpsConnection | None = None
    beps: BepsConnection | None = None
    hvps: HvpsConnection | None = None
    bank_file: tuple[BankFileConnection, ...] = ()
    """Which template each bank without a link takes."""
    bank_direct: tuple[dict[str, Any], ...] = ()
    """One entry a bank; ``style`` says which shape it has (``styles/catalog.py``)."""

    def __repr__(self) -> str:
        sponsored = [name for name in ("ibps", "beps", "hvps") if getattr(self, name) is not None]
        return f"Connections({', '.join(sponsored)}, bank_direct={len(self.bank_direct)})"


@dataclass(slots=True, kw_only=True)
class Payments:
    """The payment engine's stages."""

    intake: TakesOrders
    dispatch: Dispatch
    recovery: Recovery
    settlement: Settlement
    settle: Settle
    requests: Requests
    switching: Switching
    pressure: Pressure
    views: Views
    due: asyncio.Event
    """Set when something in this process may be ready for dispatch."""


@dataclass(slots=True, kw_only=True)
class Services:
    """Everything the outer rooms use."""

    settings: Settings
    urls: EngineUrls
    clock: Clock
    randomness: Randomness
    ids: Ids
    vault: Vault
    database: PostgresDatabase
    identity: Identity
    authenticator: Authenticator
    ledger: Ledger
    bank_accounts: BankAccounts
    payees: Payees
    approvals: Approvals
    catalogs: Catalogs
    fees: FeeAudit
    audit: Audit
    sealer: Sealer
    rails: dict[str, Rail]
    payments: Payments
    experience: Experience
    imports: Imports
    feed: AuditFeed
    webhooks: Webhooks
    metrics: Metrics
    statements: Statements
    statement_views: StatementViews
    reader: Reader
    evidence: Evidence
    bank_files: BankFileDesk


@asynccontextmanager
async def open_services(
    settings: Settings, urls: EngineUrls, *, name: str, pool: int = 10
) -> AsyncGenerator[Services]:
    """The house on one database. ``name`` shows in the database's list of connections."""
    database = await PostgresDatabase.connect(urls.database_url, name=name, max_size=pool)
    clock = SharedClock(settings.clock_file)
    randomness = SystemRandomness()
    rails = open_rails(settings.connections_file, clock, randomness)
    try:
        services = wire(settings, urls, database, clock, randomness, rails)
        await services.catalogs.refresh()
        async with _learning(services.catalogs):
            yield services
    finally:
        for rail in rails.values():
            await close_rail(rail)
        await database.close()


@asynccontextmanager
async def _learning(catalogs: Catalogs) -> AsyncGenerator[None]:
    """Every process looks for what others recorded in the catalog."""
    stop = asyncio.Event()
    learning = asyncio.ensure_future(catalogs.keep_fresh(stop))
    try:
        yield
    finally:
        stop.set()
        # A look under way is finished, so that its connection is given back clean.
        await asyncio.wait({learning}, timeout=LAST_LOOK_S)
        learning.cancel()
        await asyncio.gather(learning, return_exceptions=True)


def wire(
    settings: Settings,
    urls: EngineUrls,
    database: PostgresDatabase,
    clock: Clock,
    randomness: Randomness,
    rails: dict[str, Rail],
) -> Services:
    """Bind every service to its neighbours."""
    ids = Ids(clock, randomness)
    vault = Vault.at(settings.key_dir, randomness)
    audit_store = PostgresAuditStore()
    sealer = Sealer(database, audit_store, vault, HeadsFile(settings.heads_dir), clock, idle_s=0.1)
    audit = Audit(audit_store, database, ids, clock, sealer.wake)
    ledger = Ledger(PostgresLedgerStore())
    identity_store = PostgresIdentityStore()
    identity = Identity(
        identity_store, vault=vault, ids=ids, clock=clock, randomness=randomness, audit=audit
    )
    accounts_store = PostgresBankAccountStore()
    bank_accounts = BankAccounts(
        accounts_store, ledger=ledger, units=identity, vault=vault, ids=ids, clock=clock,
        audit=audit,
    )  # fmt: skip
    approvals = Approvals(PostgresApprovalStore(), identity, audit, directory=identity)
    catalogs = _wire_catalogs(settings, database, approvals, audit, clock, ids, rails)
    files = _wire_files(database, rails, audit, vault, clock, ids)
    experience = Experience(database, PostgresNotebooks(), feed := AuditFeed(audit), clock)
    payments = _wire_payments(
        settings, database, ledger, bank_accounts, approvals, catalogs, audit, vault, rails,
        files, experience, clock, ids,
    )  # fmt: skip
    statement_store = PostgresStatementStore()
    statements = Statements(
        statement_store, accounts=bank_accounts, ledger=ledger, log=audit, seal=vault, clock=clock,
        ids=ids,
    )  # fmt: skip
    desk = _wire_desk(files, payments, approvals, audit, statements, bank_accounts)
    return Services(
        settings=settings, urls=urls, clock=clock, randomness=randomness, ids=ids, vault=vault,
        database=database, identity=identity,
        # Callers sign by the machine's time, not by a business clock that may run ahead.
        authenticator=Authenticator(database, identity_store, vault, SystemClock()), ledger=ledger,
        bank_accounts=bank_accounts,
        payees=Payees(accounts_store, vault=vault, ids=ids, clock=clock, audit=audit),
        approvals=approvals, catalogs=catalogs, audit=audit, sealer=sealer, rails=rails,
        payments=payments, experience=experience, feed=feed, statements=statements, bank_files=desk,
        fees=_fees(database, statements, bank_accounts, catalogs, vault, clock),
        statement_views=StatementViews(
            database=database, statements=statements, accounts=bank_accounts
        ),
        reader=_reader(database, statement_store, statements, bank_accounts, rails, clock),
        evidence=Evidence(
            database=database, store=PostgresPaymentStore(), statements=statements,
            settlement=payments.settlement, accounts=bank_accounts, seal=vault, rails=rails,
            clock=clock,
        ),
        imports=Imports(
            database=database, store=PostgresImportStore(), intake=payments.intake,
            payments=PostgresPaymentStore(),
            directories=HouseDirectories(database, bank_accounts, identity),
            funds=HouseFunds(database, bank_accounts, ledger, clock), seal=vault,
            log=audit, clock=clock, ids=ids,
        ),
        webhooks=Webhooks(
            PostgresWebhookStore(), feed, vault, clock, ids, randomness,
            policy=AddressPolicy(networks=tuple(map(ip_network, settings.webhook_networks))),
        ),
        metrics=Metrics(),
    )  # fmt: skip


def _fees(
    database: Database,
    statements: Statements,
    bank_accounts: BankAccounts,
    catalogs: Catalogs,
    vault: Vault,
    clock: Clock,
) -> FeeAudit:
    sent = SentPayments(PostgresPaymentStore(), vault)
    return FeeAudit(
        database=database, statements=statements, sent=sent, accounts=bank_accounts,
        catalog=catalogs.current, clock=clock,
    )  # fmt: skip


def _wire_catalogs(
    settings: Settings,
    database: Database,
    approvals: Approvals,
    audit: Audit,
    clock: Clock,
    ids: Ids,
    rails: Mapping[str, Rail],
) -> Catalogs:
    catalogs = Catalogs(
        PostgresCatalogStore(), database=database, audit=audit, ids=ids, clock=clock,
        signatures=CatalogSignatures(approvals),
    )  # fmt: skip
    approvals.bind(CATALOG, record_signed(catalogs))
    catalogs.tell_rails(rails.values(), settings.tenant)
    return catalogs


def _wire_files(
    database: Database, rails: dict[str, Rail], audit: Audit, vault: Vault, clock: Clock, ids: Ids
) -> BankFiles:
    formats = rails.get(BANK_FILE)
    return BankFiles(
        database=database, store=PostgresBankFileStore(),
        formats=formats if isinstance(formats, BankFileRail) else None,
        log=audit, seal=vault, clock=clock, ids=ids,
    )  # fmt: skip


def _wire_desk(
    files: BankFiles, payments: Payments, approvals: Approvals, audit: Audit,
    statements: Statements, bank_accounts: BankAccounts,
) -> BankFileDesk:  # fmt: skip
    desk = open_desk(
        files, settlement=payments.settlement, payments=PostgresPaymentStore(), consent=approvals,
        log=audit, statements=statements, accounts=bank_accounts,
    )  # fmt: skip
    approvals.bind(RELEASE, desk.releases.decided)
    return desk


def _reader(
    database: Database, store: PostgresStatementStore, statements: Statements,
    accounts: BankAccounts, rails: dict[str, Rail], clock: Clock,
) -> Reader:  # fmt: skip
    """Reads every account that a link reaches; the others' statements come by file."""
    linked = {name: rail for name, rail in rails.items() if name not in CARRIED_BY_PEOPLE}
    return Reader(
        database=database, store=store, statements=statements, accounts=accounts, rails=linked,
        clock=clock,
    )  # fmt: skip


def _wire_payments(
    settings: Settings,
    database: Database,
    ledger: Ledger,
    bank_accounts: BankAccounts,
    approvals: Approvals,
    catalogs: Catalogs,
    audit: Audit,
    vault: Vault,
    rails: dict[str, Rail],
    files: BankFiles,
    experience: Experience,
    clock: Clock,
    ids: Ids,
) -> Payments:
    due = asyncio.Event()
    store = PostgresPaymentStore()
    settlement = Settlement(
        database=database, store=store, ledger=ledger, log=audit, clock=clock, ids=ids, pages=files
    )
    settle = gathered(settlement)
    courier = Courier(rails, settle, clock)
    intake = Intake(
        database=database, store=store, ledger=ledger, accounts=bank_accounts,
        consent=approvals, log=audit, seal=vault, rails=tuple(rails),
        connected_tenant=settings.tenant, catalog=catalogs.current, clock=clock, ids=ids,
        wake=due.set,
    )  # fmt: skip
    router = BestWay(rails, vault, catalogs.current, experience.current)
    dispatch = Dispatch(
        database=database, store=store, ledger=ledger, accounts=bank_accounts, log=audit,
        seal=vault, rails=rails, router=router, courier=courier, pages=files, clock=clock,
        ids=ids,
    )  # fmt: skip
    recovery = Recovery(
        database=database, store=store, accounts=bank_accounts, seal=vault, rails=rails,
        courier=courier, settle=settle, clock=clock,
    )  # fmt: skip
    requests = Requests(
        database=database, store=store, ledger=ledger, consent=approvals, log=audit, rails=rails,
        recovery=recovery, settle=settle, clock=clock, ids=ids, wake=due.set,
    )  # fmt: skip
    switching = Switching(
        database=database, store=store, accounts=bank_accounts, consent=approvals, router=router,
        log=audit, clock=clock, ids=ids, wake=due.set,
    )  # fmt: skip
    approvals.bind(SUBJECT, _release_signed(requests, approvals))
    approvals.bind(SWITCH, switching.decided)
    return Payments(
        intake=intake,
        dispatch=dispatch,
        recovery=recovery,
        settlement=settlement,
        settle=settle,
        requests=requests,
        switching=switching,
        pressure=Pressure(database, store, clock, longest_backlog=settings.longest_backlog),
        views=Views(database=database, store=store, log=audit, seal=vault),
        due=due,
    )


REPORTS_AT_ONCE = 2_000
"""A transaction of this many reports takes about as long as a caller should wait for another."""


def _up_to(
    most: int, groups: Sequence[Sequence[RailReport]]
) -> Iterator[list[Sequence[RailReport]]]:
    """The groups in order, as many together as hold at most so many reports; never none."""
    together: list[Sequence[RailReport]] = []
    size = 0
    for group in groups:
        if together and size + len(group) > most:
            yield together
            together, size = [], 0
        together.append(group)
        size += len(group)
    yield together


def gathered(
    settlement: Settlement,
) -> Settle:
    """Settlement whose callers of one moment share a transaction, up to ``REPORTS_AT_ONCE``. What
    one caller brings, all outcomes of a batch, is never torn apart."""
    gatherers: dict[str, Gatherer[Sequence[RailReport], Sequence[Applied]]] = {}

    async def work(tenant: str, groups: Sequence[Sequence[RailReport]]) -> list[Sequence[Applied]]:
        parts: list[Sequence[Applied]] = []
        for together in _up_to(REPORTS_AT_ONCE, groups):
            flat = [report for group in together for report in group]
            applied = await settlement.apply_many(tenant, flat)
            at = 0
            for group in together:
                parts.append(applied[at : at + len(group)])
                at += len(group)
        return parts

    async def settle(tenant: str, reports: Sequence[RailReport]) -> Sequence[Applied]:
        if tenant not in gatherers:
            gatherers[tenant] = Gatherer(lambda groups: work(tenant, groups), in_flight=1)
        return await gatherers[tenant].call(reports)

    return settle


def _release_signed(requests: Requests, approvals: Approvals) -> Any:
    async def on_decided(tx: Tx, tenant: str, subject: Subject) -> None:
        signing = await approvals.signing(tx, tenant, subject.kind, subject.id)
        count = signing.needed if signing is not None else 0
        await requests.authorise(
            tx, tenant, UUID(bytes=subject.id.bytes), subject.digest, f"signatures:{count}"
        )

    return on_decided


def open_rails(path: Path, clock: Clock, randomness: Randomness) -> dict[str, Rail]:
    """The rails this installation is connected to; none when there is no connections file."""
    if not path.exists():
        return {}
    connections = msgspec.json.decode(path.read_bytes(), type=Connections)
    rails: dict[str, Rail] = {}
    if connections.bank_direct:
        rails["bank_direct"] = BankDirectRail(
            read_connections(connections.bank_direct), clock=clock, randomness=randomness
        )
    if connections.bank_file:
        own = own_templates(path.parent / BANK_TEMPLATES)
        rails[BANK_FILE] = BankFileRail(Templates(connections.bank_file, [*own, *shipped()]), clock)
    if connections.ibps is not None:
        rails["ibps"] = IbpsRail(connections.ibps, clock, Ids(clock, randomness))
    if connections.beps is not None:
        rails["beps"] = BepsRail(connections.beps, clock, Ids(clock, randomness))
    if connections.hvps is not None:
        rails["hvps"] = HvpsRail(connections.hvps, clock, Ids(clock, randomness))
    return rails


async def close_rail(rail: Rail) -> None:
    """Give a rail's connections back, where it has any."""
    close = getattr(rail, "close", None)
    if close is not None:
        await close()
