"""A whole house for imports: identity, bank accounts, ledger, approvals, audit, vault and intake,
in memory or on PostgreSQL, with a group of 37 member units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from caiwutong.approvals.memory import MemoryApprovalStore
from caiwutong.approvals.service import Approvals
from caiwutong.approvals.store import PostgresApprovalStore
from caiwutong.audit.memory import MemoryAuditStore
from caiwutong.audit.service import Audit
from caiwutong.audit.store import PostgresAuditStore
from caiwutong.bank_accounts.memory import MemoryBankAccountStore
from caiwutong.bank_accounts.model import BankAccount, NewBankAccount
from caiwutong.bank_accounts.service import BankAccounts
from caiwutong.bank_accounts.store import PostgresBankAccountStore
from caiwutong.db.database import Database
from caiwutong.db.memory import MemoryDatabase
from caiwutong.identity.memory import MemoryIdentityStore
from caiwutong.identity.service import Identity
from caiwutong.identity.store import PostgresIdentityStore
from caiwutong.imports.directory import HouseDirectories, HouseFunds
from caiwutong.imports.memory import MemoryImportStore
from caiwutong.imports.model import Field
from caiwutong.imports.service import Imports
from caiwutong.imports.store import PostgresImportStore
from caiwutong.kernel.clock import Clock, ManualClock, SystemRandomness
from caiwutong.kernel.ids import Ids
from caiwutong.ledger.memory import MemoryLedgerStore
from caiwutong.ledger.service import Ledger
from caiwutong.ledger.store import PostgresLedgerStore
from caiwutong.payments.intake import Intake
from caiwutong.payments.memory import MemoryPaymentStore
from caiwutong.payments.model import Answer, PaymentRow, Submission
from caiwutong.payments.store import LAST_ID, Filter, PostgresPaymentStore
from caiwutong.vault import Vault

T = "demo"
START = datetime(2026, 7, 1, 1, 0, tzinfo=UTC)
UNITS = 37
OPENING_FEN = 1_000_000_00
RANDOM = SystemRandomness()


class Crash(BaseException):
    """The process ends here, as by ``kill -9``: nobody catches it."""


class Doorway:
    """Intake with a door that can be slammed: before or after the batch is taken in."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.calls = 0
        self.before: Callable[[int], None] = lambda call: None
        self.after: Callable[[int], None] = lambda call: None

    async def submit_many(
        self, tenant: str, submissions: Sequence[Submission], *, dry_run: bool = False
    ) -> list[Answer]:
        self.calls += 1
        self.before(self.calls)
        answers = await self._intake.submit_many(tenant, submissions, dry_run=dry_run)
        self.after(self.calls)
        return answers


class House:
    """Everything an import touches."""

    def __init__(self, database: Database, clock: Clock | None = None, vault: Vault | None = None):
        memory = isinstance(database, MemoryDatabase)
        self.database = database
        self.clock = clock or ManualClock(START)
        self.ids = Ids(self.clock, RANDOM)
        self.vault = vault or Vault.in_memory(RANDOM)
        self.ledger = Ledger(MemoryLedgerStore() if memory else PostgresLedgerStore())
        self.identity = Identity(
            MemoryIdentityStore() if memory else PostgresIdentityStore(),
            vault=self.vault,
            ids=self.ids,
            clock=self.clock,
            randomness=RANDOM,
        )
        self.accounts = BankAccounts(
            MemoryBankAccountStore() if memory else PostgresBankAccountStore(),
            ledger=self.ledger,
            units=self.identity,
            vault=self.vault,
            ids=self.ids,
            clock=self.clock,
        )
        self.log_store = MemoryAuditStore(self.clock) if memory else PostgresAuditStore()
        self.audit = Audit(self.log_store, database, self.ids, self.clock)
        self.approvals = Approvals(
            MemoryApprovalStore() if memory else PostgresApprovalStore(), self.identity
        )
        self.payments = MemoryPaymentStore() if memory else PostgresPaymentStore()
        self.door = Doorway(
            Intake(
                database=database,
                store=self.payments,
                ledger=self.ledger,
                accounts=self.accounts,
                consent=self.approvals,
                log=self.audit,
                seal=self.vault,
                rails=["ibps"],
                clock=self.clock,
                ids=self.ids,
            )
        )
        self.store = MemoryImportStore() if memory else PostgresImportStore()
        self.imports = self.new_imports()
        self.caller = self.ids.new()
        self.own: list[BankAccount] = []

    def new_imports(self) -> Imports:
        """Another runner on the same rows, as another process would have."""
        return Imports(
            database=self.database,
            store=self.store,
            intake=self.door,
            payments=self.payments,
            directories=HouseDirectories(self.database, self.accounts, self.identity),
            funds=HouseFunds(self.database, self.accounts, self.ledger, self.clock),
            seal=self.vault,
            log=self.audit,
            clock=self.clock,
            ids=self.ids,
        )

    async def settle(self) -> House:
        """Create the tenant, its units and their funded accounts."""
        async with self.database.transaction() as tx:
            await self.identity.create_tenant(tx, T, "某某集团", demo=True)
            group = await self.identity.create_group(tx, T, "g", "某某集团")
            entity = await self.identity.create_legal_entity(
                tx, T, group.group_id, "le01", "某某股份有限公司", "91110000600037341L"
            )
            for i in range(UNITS):
                unit = await self.identity.create_member_unit(
                    tx, T, entity.legal_entity_id, f"u{i:02d}", f"第{i}分公司"
                )
                self.own.append(
                    await self.accounts.create(
                        tx,
                        T,
                        NewBankAccount(
                            member_unit_id=unit.member_unit_id,
                            name=f"某某股份有限公司第{i}分公司",
                            account=f"02000620092{i:02d}176454",
                            bank_code="102100099996",
                            bank_name="中国工商银行" if i % 2 else "中国建设银行",
                            access_modes=("ibps",),
                            opening_balance_fen=OPENING_FEN,
                        ),
                    )
                )
        return self

    def row(self, i: int = 0, **changes: str) -> dict[Field, str]:
        """Row ``i`` of a month, spread over the units."""
        row = {
            Field.ROW_KEY: f"2026-{i:06d}",
            Field.MEMBER_UNIT: f"u{i % UNITS:02d}",
            Field.PAYER_ACCOUNT: self.own[i % UNITS].account,
            Field.PAYEE_NAME: f"供应商{i}有限公司",
            Field.PAYEE_ACCOUNT: f"62284804{i:06d}48917",
            Field.AMOUNT: f"{i % 900 + 1}.{i % 100:02d}",
            Field.PURPOSE: "货款",
        }
        return row | {Field(name): text for name, text in changes.items()}

    async def receive(self, data: bytes, name: str = "付款.csv", **more: str) -> UUID:
        record, _ = await self.imports.receive(
            T, data, file_name=name, caller=self.caller, actor="api-key:erp", **more
        )
        return record.import_id

    async def paid(self) -> list[PaymentRow]:
        """Every payment there is, oldest first."""
        rows: list[PaymentRow] = []
        before = LAST_ID
        while True:
            async with self.database.transaction() as tx:
                page = await self.payments.page(tx, T, Filter(), before, 1_000)
            rows += page
            if len(page) < 1_000:
                return rows[::-1]
            before = page[-1].payment_id

    async def held_fen(self) -> int:
        """What all accounts together hold for payments under way."""
        total = 0
        async with self.database.transaction() as tx:
            for account in self.own:
                balance = await self.ledger.balance(
                    tx, T, account.ledger_account_id, now=self.clock.now()
                )
                total += balance.held_fen
        return total
