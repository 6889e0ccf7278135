"""The engine with a rural bank that takes files, on either database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from caiwutong.approvals.memory import MemoryApprovalStore
from caiwutong.approvals.model import MandateTerms, Subject
from caiwutong.approvals.rules import signed_bytes
from caiwutong.approvals.service import Approvals
from caiwutong.approvals.store import PostgresApprovalStore
from caiwutong.audit.memory import MemoryAuditStore
from caiwutong.audit.service import Audit
from caiwutong.audit.store import PostgresAuditStore
from caiwutong.bank_accounts.memory import MemoryBankAccountStore
from caiwutong.bank_accounts.model import BankAccount, NewBankAccount
from caiwutong.bank_accounts.service import BankAccounts
from caiwutong.bank_accounts.store import PostgresBankAccountStore
from caiwutong.bank_files.desk import RELEASE, open_desk
from caiwutong.bank_files.memory import MemoryBankFileStore
from caiwutong.bank_files.model import FileView, ReleaseView, ResultOutcome
from caiwutong.bank_files.service import BankFiles
from caiwutong.bank_files.store import PostgresBankFileStore
from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.db.database import Database, Tx
from caiwutong.identity.memory import MemoryIdentityStore
from caiwutong.identity.model import KeyAlgorithm
from caiwutong.identity.service import Identity
from caiwutong.identity.store import PostgresIdentityStore
from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.order import Party, PaymentOrder
from caiwutong.ledger.memory import MemoryLedgerStore
from caiwutong.ledger.service import Ledger
from caiwutong.ledger.store import PostgresLedgerStore
from caiwutong.payments.dispatch import Courier, Dispatch
from caiwutong.payments.evidence import Evidence
from caiwutong.payments.intake import Intake
from caiwutong.payments.memory import MemoryPaymentStore
from caiwutong.payments.model import Receipt, Submission
from caiwutong.payments.recovery import Recovery
from caiwutong.payments.requests import Requests
from caiwutong.payments.routes import FirstThatCan
from caiwutong.payments.settlement import Settlement
from caiwutong.payments.states import State
from caiwutong.payments.store import PostgresPaymentStore
from caiwutong.payments.views import PaymentView, Views
from caiwutong.rails.bank_file.connector import BankFileRail
from caiwutong.rails.bank_file.counterpart import (
    ToldLine,
    ToldRow,
    Uploaded,
    read_upload,
    write_result,
    write_statement,
)
from caiwutong.rails.bank_file.template import BankFileConnection, Templates, shipped
from caiwutong.statements.memory import MemoryStatementStore
from caiwutong.statements.model import Drift
from caiwutong.statements.service import Statements
from caiwutong.statements.store import PostgresStatementStore
from caiwutong.vault.service import Vault

RURAL = "402452094013"
OPENING = 100_000_00
PAYEE = Party("南京恒瑞贸易有限公司", "6020000112345678", "102290091014", "国信银行")


class FileHouse:
    """One account of 100,000.00 at a bank that has only a web page."""

    def __init__(self, database: Database, clock: ManualClock, *, memory: bool) -> None:
        self.database, self.clock = database, clock
        randomness = SystemRandomness()
        self.ids = Ids(clock, randomness)
        self.tenant = f"t{self.ids.new().hex[-12:]}"
        self.vault = Vault.in_memory(randomness)
        self.ledger = Ledger(MemoryLedgerStore() if memory else PostgresLedgerStore())
        self.identity = Identity(
            MemoryIdentityStore() if memory else PostgresIdentityStore(),
            vault=self.vault, ids=self.ids, clock=clock, randomness=randomness,
        )  # fmt: skip
        self.accounts = BankAccounts(
            MemoryBankAccountStore() if memory else PostgresBankAccountStore(),
            ledger=self.ledger, units=self.identity, vault=self.vault, ids=self.ids, clock=clock,
        )  # fmt: skip
        self.approvals = Approvals(
            MemoryApprovalStore() if memory else PostgresApprovalStore(), self.identity
        )
        self.audit = Audit(
            MemoryAuditStore(clock) if memory else PostgresAuditStore(), database, self.ids, clock
        )
        self.store = MemoryPaymentStore() if memory else PostgresPaymentStore()
        self.template = next(t for t in shipped() if t.name == "rural-credit-batch")
        templates = Templates([BankFileConnection("402", self.template.name)], shipped())
        self.rail = BankFileRail(templates, clock)
        rails: dict[str, Any] = {"bank_file": self.rail}
        self.files = BankFiles(
            database=database, store=MemoryBankFileStore() if memory else PostgresBankFileStore(),
            formats=self.rail, log=self.audit, seal=self.vault, clock=clock, ids=self.ids,
        )  # fmt: skip
        self._engine(rails)
        statement_store = MemoryStatementStore() if memory else PostgresStatementStore()
        self.statements = Statements(
            statement_store, accounts=self.accounts, ledger=self.ledger, log=self.audit,
            seal=self.vault, clock=clock, ids=self.ids,
        )  # fmt: skip
        self.evidence = Evidence(
            database=database, store=self.store, statements=self.statements,
            settlement=self.settlement, accounts=self.accounts, seal=self.vault, rails=rails,
            clock=clock,
        )  # fmt: skip
        self.desk = open_desk(
            self.files, settlement=self.settlement, payments=self.store, consent=self.approvals,
            log=self.audit, statements=self.statements, accounts=self.accounts,
        )  # fmt: skip
        self.approvals.bind(RELEASE, self.desk.releases.decided)
        self.people: list[tuple[UUID, Sm2PrivateKey]] = []
        self.balance = OPENING
        self.lines: list[ToldLine] = []

    def _engine(self, rails: dict[str, Any]) -> None:
        shared: dict[str, Any] = {
            "database": self.database, "store": self.store, "clock": self.clock,
        }  # fmt: skip
        books: dict[str, Any] = {"ledger": self.ledger, "log": self.audit, "ids": self.ids}
        where: dict[str, Any] = {"accounts": self.accounts, "seal": self.vault}
        self.settlement = Settlement(**shared, **books, pages=self.files)
        settle = self.settlement.apply_many
        courier = Courier(rails, settle, self.clock)
        self.intake = Intake(**shared, **books, **where, consent=self.approvals, rails=tuple(rails))
        self.dispatch = Dispatch(
            **shared, **books, **where, rails=rails, router=FirstThatCan(rails), courier=courier,
            pages=self.files,
        )  # fmt: skip
        self.recovery = Recovery(**shared, **where, rails=rails, courier=courier, settle=settle)
        self.requests = Requests(
            **shared, **books, consent=self.approvals, rails=rails, recovery=self.recovery,
            settle=settle,
        )  # fmt: skip
        self.views = Views(
            database=self.database, store=self.store, log=self.audit, seal=self.vault
        )

    async def open(self) -> FileHouse:
        async with self.database.transaction() as tx:
            await self.identity.create_tenant(tx, self.tenant, "示例")
            group = await self.identity.create_group(tx, self.tenant, "g", "示例集团")
            entity = await self.identity.create_legal_entity(
                tx, self.tenant, group.group_id, "le", "示例有限公司", "91110000600037341L"
            )
            unit = await self.identity.create_member_unit(
                tx, self.tenant, entity.legal_entity_id, "u01", "第一分公司"
            )
            self.account: BankAccount = await self.accounts.create(
                tx,
                self.tenant,
                NewBankAccount(
                    member_unit_id=unit.member_unit_id,
                    name="示例有限公司",
                    account="402900112345678",
                    bank_code=RURAL,
                    bank_name="沂河农村商业银行",
                    access_modes=("bank_file",),
                    opening_balance_fen=OPENING,
                ),
            )
            for name in ("张敏", "王强", "赵磊"):
                key = Sm2PrivateKey.generate(SystemRandomness())
                person = await self.identity.create_person(
                    tx, self.tenant, name, "财务", KeyAlgorithm.SM2,
                    bytes.fromhex(key.public.to_hex()),
                )  # fmt: skip
                self.people.append((person.person_id, key))
            await self._mandate(tx)
        return self

    async def _mandate(self, tx: Tx) -> None:
        secrets = await self.identity.create_api_key(tx, self.tenant, "erp")
        self.key_id = secrets.api_key.api_key_id
        mandate = await self.approvals.propose_mandate(
            tx,
            self.tenant,
            self.ids.new(),
            MandateTerms(
                api_key_id=self.key_id,
                bank_account_ids=(self.account.bank_account_id,),
                payees="any",
                per_payment_fen=50_000_00,
                daily_fen=90_000_00,
                valid_from=self.clock.now(),
                valid_until=self.clock.now() + timedelta(days=400),
            ),
            self.people[0][0],
            self.clock.now(),
        )
        for signer in (1, 2):
            await self.sign_in(tx, self.approvals.subject_of(mandate), signer)

    async def sign_in(self, tx: Tx, subject: Subject, signer: int) -> Any:
        person_id, key = self.people[signer]
        signature = key.sign(signed_bytes(self.tenant, subject))
        return await self.approvals.sign(
            tx, self.tenant, subject, person_id, signature, self.clock.now()
        )

    # What callers and people do.

    async def pay(self, key: str, fen: int = 1_000_00, payee: Party = PAYEE) -> UUID:
        order = PaymentOrder(
            bank_account_id=self.account.bank_account_id,
            payee=payee,
            amount_fen=fen,
            purpose="货款",
        )
        submission = Submission(key, order, self.key_id, "api-key:erp")
        (answer,) = await self.intake.submit_many(self.tenant, [submission])
        assert isinstance(answer, Receipt), answer
        await self.dispatch.run_once(self.tenant)
        return answer.payment_id

    async def view(self, payment_id: UUID) -> PaymentView:
        return await self.views.get(self.tenant, payment_id)

    async def state(self, payment_id: UUID) -> State:
        return (await self.view(payment_id)).state

    async def the_file(self) -> FileView:
        """The newest file."""
        (newest, *_) = await self.desk.views.page(self.tenant)
        return await self.desk.views.get(self.tenant, newest.file_id)

    async def export(self, file_id: UUID | None = None) -> bytes:
        file_id = file_id or (await self.the_file()).file_id
        return (await self.files.export(self.tenant, file_id, "person:张敏")).content

    async def result(
        self, raw: bytes, told: dict[int, tuple[str, str]] | None = None, **more: Any
    ) -> ResultOutcome:
        """The bank's result for an exported file: every row a yes, but those told otherwise."""
        rows = read_upload(self.template, raw)
        words = told or {}
        result = write_result(
            self.template,
            [
                ToldRow(row, *words.get(n, ("成功", "")), f"B{n}")
                for n, row in enumerate(rows, start=1)
                if words.get(n) != ("", "")
            ],
        )
        return await self.hand_in(result, **more)

    async def hand_in(self, raw: bytes, file_id: UUID | None = None) -> ResultOutcome:
        file_id = file_id or (await self.the_file()).file_id
        return await self.desk.results.take(
            self.tenant, file_id, raw, file_name="result.csv", actor="person:张敏"
        )

    async def give_up(self, *line_nos: int) -> ReleaseView:
        file = await self.the_file()
        return await self.desk.releases.propose(
            self.tenant, file.file_id, maker=self.key_id, actor="api-key:erp",
            reason="网银页面无此批次", line_nos=line_nos or None,
        )  # fmt: skip

    async def sign(self, release: ReleaseView, signer: int) -> Any:
        subject = Subject(RELEASE, release.release_id, bytes.fromhex(release.digest))
        async with self.database.transaction() as tx:
            return await self.sign_in(tx, subject, signer)

    # What the bank's books show.

    def book(
        self, fen: int, words: str = "转账", *, row: Uploaded | None = None, **more: Any
    ) -> None:
        """A line in the bank's books; positive is money in."""
        self.balance += fen
        facts: dict[str, Any] = {
            "line_id": f"S{len(self.lines) + 1:04d}", "at": self.clock.now(), "amount_fen": fen,
            "balance_fen": self.balance, "words": words,
        }  # fmt: skip
        if row is not None:
            facts |= {
                "counterparty_name": row.payee_name,
                "counterparty_account": row.payee_account,
                "reference": row.reference,
            }
        self.lines.append(ToldLine(**(facts | more)))

    def statement(self) -> bytes:
        return write_statement(self.template, self.lines)

    async def take_statement(self, **more: Any) -> Any:
        outcome = await self.desk.statement_files.take(
            self.tenant, self.account.bank_account_id, self.statement(), actor="person:张敏", **more
        )
        await self.evidence.run_once(self.tenant)
        return outcome

    async def drift(self) -> Drift:
        for _ in range(8):
            self.clock.advance(3700)
            await self.evidence.run_once(self.tenant)
        async with self.database.transaction() as tx:
            return await self.statements.drift(tx, self.tenant, self.account.bank_account_id)

    async def money(self) -> tuple[int, int]:
        """Posted and held."""
        async with self.database.transaction() as tx:
            b = await self.ledger.balance(
                tx, self.tenant, self.account.ledger_account_id, now=self.clock.now()
            )
        return b.posted_fen, b.held_fen

    async def proved(self) -> None:
        async with self.database.transaction() as tx:
            assert all(p.holds for p in await self.ledger.trial_balance(tx, self.tenant))
