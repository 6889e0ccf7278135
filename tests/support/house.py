"""The contexts below payments, wired on memory or on PostgreSQL, with a small group in them.

Take the fixture ``house`` to run a test on both; ``postgres_house`` where only a real database can
race. Import them into a folder's ``conftest.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caiwutong.approvals import rules as approval_rules
from caiwutong.approvals.memory import MemoryApprovalStore
from caiwutong.approvals.model import MandateTerms, Subject
from caiwutong.approvals.service import Approvals
from caiwutong.approvals.store import ApprovalStore, PostgresApprovalStore
from caiwutong.audit.memory import MemoryAuditStore
from caiwutong.audit.model import Event
from caiwutong.audit.service import Audit
from caiwutong.audit.store import AuditStore, PostgresAuditStore
from caiwutong.bank_accounts.memory import MemoryBankAccountStore
from caiwutong.bank_accounts.model import BankAccount, NewBankAccount
from caiwutong.bank_accounts.payees import Payees
from caiwutong.bank_accounts.service import BankAccounts
from caiwutong.bank_accounts.store import BankAccountStore, PostgresBankAccountStore
from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.identity.authentication import Authenticator
from caiwutong.identity.memory import MemoryIdentityStore
from caiwutong.identity.model import KeyAlgorithm, LegalEntity, MemberUnit, Person
from caiwutong.identity.service import Identity
from caiwutong.identity.store import IdentityStore, PostgresIdentityStore
from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.ids import Ids
from caiwutong.ledger.memory import MemoryLedgerStore
from caiwutong.ledger.service import Ledger
from caiwutong.ledger.store import LedgerStore, PostgresLedgerStore
from caiwutong.vault import Vault

T0 = datetime(2026, 11, 23, 2, tzinfo=UTC)
TENANT = "group"
BANK = "102100099996"
USCC = "91110000600037341L"


@dataclass
class House:
    """Services over one database. ``kind`` is ``memory`` or ``postgres``."""

    kind: str
    database: Any
    identity_store: IdentityStore
    ledger_store: LedgerStore
    account_store: BankAccountStore
    approval_store: ApprovalStore
    audit_store: AuditStore
    clock: ManualClock

    def __post_init__(self) -> None:
        randomness = SystemRandomness()
        self.ids = Ids(self.clock, randomness)
        self.vault = Vault.in_memory(randomness)
        self.audit = Audit(self.audit_store, self.database, self.ids, self.clock)
        self.identity = Identity(
            self.identity_store,
            vault=self.vault,
            ids=self.ids,
            clock=self.clock,
            randomness=randomness,
            audit=self.audit,
        )
        self.ledger = Ledger(self.ledger_store)
        self.accounts = self.another_process()
        self.payees = Payees(
            self.account_store, vault=self.vault, ids=self.ids, clock=self.clock, audit=self.audit
        )
        self.approvals = Approvals(
            self.approval_store, self.identity, self.audit, directory=self.identity
        )
        self.door = Authenticator(self.database, self.identity_store, self.vault, self.clock)
        self.keys: dict[UUID, Ed25519PrivateKey] = {}

    def another_process(self) -> BankAccounts:
        """Bank accounts over the same store, with nothing kept yet."""
        return BankAccounts(
            self.account_store,
            ledger=self.ledger,
            units=self.identity,
            vault=self.vault,
            ids=self.ids,
            clock=self.clock,
            audit=self.audit,
        )

    def transaction(self) -> Any:
        return self.database.transaction()

    async def found(self) -> None:
        """A tenant with one legal entity and one member unit; and an empty other tenant."""
        async with self.transaction() as tx:
            for tenant in (TENANT, "other"):
                await self.identity.create_tenant(tx, tenant, f"tenant {tenant}")
            group = await self.identity.create_group(tx, TENANT, "g", "华兴集团")
            self.entity: LegalEntity = await self.identity.create_legal_entity(
                tx, TENANT, group.group_id, "le01", "华兴贸易有限公司", USCC
            )
            self.unit: MemberUnit = await self.identity.create_member_unit(
                tx, TENANT, self.entity.legal_entity_id, "u01", "华兴贸易上海分公司"
            )

    async def told(self, subject_id: UUID, tenant: str = TENANT) -> list[Event]:
        """What the audit log was told of a subject, in order."""
        async with self.transaction() as tx:
            return await self.audit.timeline(tx, tenant, subject_id)

    def new_account(self, account: str = "6222 0212-0417", **more: Any) -> NewBankAccount:
        fields: dict[str, Any] = {
            "member_unit_id": self.unit.member_unit_id,
            "name": "华兴贸易有限公司",
            "account": account,
            "bank_code": BANK,
            "bank_name": "工商银行北京分行",
            "access_modes": ("ibps",),
        }
        return NewBankAccount(**(fields | more))

    async def open_account(self, account: str = "6222 0212-0417", **more: Any) -> BankAccount:
        async with self.transaction() as tx:
            return await self.accounts.create(tx, TENANT, self.new_account(account, **more))

    async def hire(self, *names: str) -> list[Person]:
        """People with Ed25519 keys that this house keeps for them."""
        people: list[Person] = []
        async with self.transaction() as tx:
            for name in names:
                key = Ed25519PrivateKey.generate()
                person = await self.identity.create_person(
                    tx, TENANT, name, "出纳", KeyAlgorithm.ED25519,
                    key.public_key().public_bytes_raw(),
                )  # fmt: skip
                self.keys[person.person_id] = key
                people.append(person)
        return people

    def signature(self, person: Person, subject: Subject, tenant: str = TENANT) -> bytes:
        return self.keys[person.person_id].sign(approval_rules.signed_bytes(tenant, subject))

    async def sign(self, person: Person, subject: Subject) -> Any:
        async with self.transaction() as tx:
            return await self.approvals.sign(
                tx, TENANT, subject, person.person_id, self.signature(person, subject),
                self.clock.now(),
            )  # fmt: skip

    async def give_mandate(self, terms: MandateTerms, signers: list[Person]) -> UUID:
        """A mandate proposed by a machine and signed by these people."""
        mandate_id = self.ids.new()
        async with self.transaction() as tx:
            mandate = await self.approvals.propose_mandate(
                tx, TENANT, mandate_id, terms, terms.api_key_id, self.clock.now()
            )
        for person in signers:
            await self.sign(person, self.approvals.subject_of(mandate))
        return mandate_id


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.engine)])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    """The same house on both stores: the contract they share."""
    if request.param == "memory":
        yield await _in_memory()
        return
    async with _postgres(request.getfixturevalue("database_url")) as made:
        yield made


@pytest.fixture
async def memory_house() -> House:
    """In memory only, for rules that no store decides."""
    return await _in_memory()


@pytest.fixture
async def postgres_house(database_url: str) -> AsyncIterator[House]:
    """On PostgreSQL only, where transactions really run side by side."""
    async with _postgres(database_url) as made:
        yield made


async def _in_memory() -> House:
    clock = ManualClock(T0)
    made = House(
        "memory",
        MemoryDatabase(),
        MemoryIdentityStore(),
        MemoryLedgerStore(),
        MemoryBankAccountStore(),
        MemoryApprovalStore(),
        MemoryAuditStore(clock),
        clock,
    )
    await made.found()
    return made


class _postgres:  # noqa: N801  a context manager, read like a function
    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> House:
        self._database = await PostgresDatabase.connect(self._url)
        made = House(
            "postgres",
            self._database,
            PostgresIdentityStore(),
            PostgresLedgerStore(),
            PostgresBankAccountStore(),
            PostgresApprovalStore(),
            PostgresAuditStore(),
            ManualClock(T0),
        )
        await made.found()
        return made

    async def __aexit__(self, *_: object) -> None:
        await self._database.close()
