"""A house with two entities and their accounts at a bank of paper, on either database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from caiwutong.approvals.model import Ask
from caiwutong.audit.memory import MemoryAuditStore
from caiwutong.audit.service import Audit
from caiwutong.audit.store import PostgresAuditStore
from caiwutong.bank_accounts.memory import MemoryBankAccountStore
from caiwutong.bank_accounts.model import BankAccount, NewBankAccount
from caiwutong.bank_accounts.service import BankAccounts
from caiwutong.bank_accounts.store import PostgresBankAccountStore
from caiwutong.db.database import Database, Tx
from caiwutong.db.memory import MemoryDatabase
from caiwutong.identity.model import LegalEntity, MemberUnit
from caiwutong.kernel.clock import ManualClock, SystemRandomness, china_date
from caiwutong.kernel.errors import NotFound, Unavailable
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.order import Party, PaymentOrder
from caiwutong.ledger.memory import MemoryLedgerStore
from caiwutong.ledger.service import Ledger
from caiwutong.ledger.store import PostgresLedgerStore
from caiwutong.payments.courier import Courier
from caiwutong.payments.dispatch import Dispatch
from caiwutong.payments.evidence import Evidence
from caiwutong.payments.intake import Intake
from caiwutong.payments.memory import MemoryPaymentStore
from caiwutong.payments.model import Receipt, Submission, Task
from caiwutong.payments.recovery import Recovery
from caiwutong.payments.routes import FirstThatCan
from caiwutong.payments.settlement import Settlement
from caiwutong.payments.store import PostgresPaymentStore
from caiwutong.rails.contract import (
    SILENCE,
    AccountAtBank,
    Attempt,
    BankBalance,
    RailMessage,
    RailReport,
    ReportKind,
    StatementLine,
    StatementPage,
)
from caiwutong.statements.memory import MemoryStatementStore
from caiwutong.statements.model import Drift, Explained, LineRow
from caiwutong.statements.reader import Reader
from caiwutong.statements.service import Statements
from caiwutong.statements.store import PostgresStatementStore
from caiwutong.vault.service import Vault

T = "demo"
RAIL = "bank_direct"
BANK = "308290092015"
OPENING = 1_000_000_00


class PaperBank:
    """A rail that keeps what it is sent, and a bank whose lines the test writes by hand."""

    def __init__(self, name: str, clock: ManualClock) -> None:
        self.name = name
        self.clock = clock
        self.books: dict[str, list[StatementLine]] = {}
        self.sent: dict[str, Attempt] = {}
        self.asked: list[str] = []
        self.page_lines = 3
        self.down: set[str] = set()

    def valid_until(self, at: datetime) -> datetime:
        return at + timedelta(days=1)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        self.sent |= {attempt.reference: attempt for attempt in attempts}
        return [RailMessage(a.reference, "paper", (a.reference,), b"") for a in attempts]

    async def send(self, message: RailMessage) -> bytes:
        return b""

    def decode(self, raw: bytes) -> list[RailReport]:
        return []

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        self.asked += [a.reference for a in attempts]
        return [self.report(ReportKind.IN_DOUBT, a.reference, SILENCE) for a in attempts]

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        raise NotImplementedError

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        raise NotImplementedError

    def report(self, kind: ReportKind, reference: str, code: str = "") -> RailReport:
        return RailReport(kind, self.name, reference, code or kind.value, self.clock.now())

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        return [
            BankBalance(a.account, self.stands(a.account), self.stands(a.account), self.clock.now())
            for a in accounts
            if a.account not in self.down
        ]

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        if account.account in self.down:
            raise Unavailable("paper.down", "The bank does not answer.")
        start = int(cursor or 0)
        lines = self.books.get(account.account, [])
        page = tuple(lines[start : start + self.page_lines])
        return StatementPage(page, str(start + len(page)), start + len(page) < len(lines))

    def stands(self, account: str) -> int:
        lines = self.books.get(account)
        return lines[-1].balance_after_fen if lines else 0

    def write(
        self,
        account: str,
        fen: int,
        kind: str,
        reference: str = "",
        words: str = "",
        other: str = "",
    ) -> StatementLine:
        lines = self.books.setdefault(account, [])
        now = self.clock.now()
        line = StatementLine(
            account=account,
            line_id=f"{account}-{len(lines) + 1}",
            booked_at=now.replace(microsecond=0),
            value_date=china_date(now),
            amount_fen=fen,
            balance_after_fen=self.stands(account) + fen,
            kind=kind,
            reference=reference,
            counterparty_name="远山建材有限公司" if other else "",
            counterparty_account=other,
            words=words,
        )
        lines.append(line)
        return line

    # What the bank does to a payment it was sent.

    def debit(self, reference: str) -> None:
        sent = self.sent[reference]
        self.write(sent.payer.account, -sent.amount_fen, "payment", reference)

    def give_back(self, reference: str) -> None:
        sent = self.sent[reference]
        self.write(sent.payer.account, sent.amount_fen, "other", reference, "冲正 RJ01")

    def credit(self, reference: str) -> None:
        sent = self.sent[reference]
        self.write(sent.payee.account, sent.amount_fen, "incoming", reference)

    def send_back(self, reference: str) -> None:
        sent = self.sent[reference]
        self.write(sent.payer.account, sent.amount_fen, "return", reference, "退汇")


class Units:
    """Two legal entities of one unit each."""

    def __init__(self, ids: Ids, at: datetime) -> None:
        self.entities: dict[UUID, LegalEntity] = {}
        self.units: dict[UUID, MemberUnit] = {}
        for n in (1, 2):
            entity = LegalEntity(ids.new(), ids.new(), f"le{n:02d}", f"示例{n}有限公司", "", 1, at)
            unit = MemberUnit(ids.new(), entity.legal_entity_id, f"u{n:02d}", entity.name, 1, at)
            self.entities[entity.legal_entity_id] = entity
            self.units[unit.member_unit_id] = unit

    async def member_unit(self, tx: Tx, tenant: str, member_unit_id: UUID) -> MemberUnit:
        if member_unit_id not in self.units:
            raise NotFound("identity.no_unit", "no unit")
        return self.units[member_unit_id]

    async def legal_entity(self, tx: Tx, tenant: str, legal_entity_id: UUID) -> LegalEntity:
        return self.entities[legal_entity_id]


class Yes:
    """Approvals that cover everything."""

    def __init__(self, ids: Ids) -> None:
        self.mandate = ids.new()

    async def decide_many(
        self, tx: Tx, tenant: str, asks: Sequence[Ask], now: datetime
    ) -> list[Any]:
        return [self.mandate for _ in asks]

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)


class House:
    """Everything between an order and its statement line, wired as the house wires it."""

    def __init__(
        self,
        database: Database,
        clock: ManualClock,
        rails: dict[str, Any],
        *,
        postgres: bool,
    ) -> None:
        self.database, self.clock, self.rails = database, clock, rails
        self.ids = ids = Ids(clock, SystemRandomness())
        self.vault = vault = Vault.in_memory(SystemRandomness())
        self.ledger = ledger = Ledger(PostgresLedgerStore() if postgres else MemoryLedgerStore())
        self.units = Units(ids, clock.now())
        self.bank_accounts = accounts = BankAccounts(
            PostgresBankAccountStore() if postgres else MemoryBankAccountStore(),
            ledger=ledger, units=self.units, vault=vault, ids=ids, clock=clock,
        )  # fmt: skip
        self.audit_store: Any = PostgresAuditStore() if postgres else MemoryAuditStore(clock)
        self.audit = log = Audit(self.audit_store, database, ids, clock)
        self.payments: Any = PostgresPaymentStore() if postgres else MemoryPaymentStore()
        self.settlement = Settlement(
            database=database, store=self.payments, ledger=ledger, log=log, clock=clock, ids=ids
        )
        courier = Courier(rails, self.settlement.apply_many, clock)
        self.intake = Intake(
            database=database, store=self.payments, ledger=ledger, accounts=accounts,
            consent=Yes(ids), log=log, seal=vault, rails=tuple(rails), clock=clock, ids=ids,
        )  # fmt: skip
        self.dispatch = Dispatch(
            database=database, store=self.payments, ledger=ledger, accounts=accounts, log=log,
            seal=vault, rails=rails, router=FirstThatCan(rails), courier=courier, clock=clock,
            ids=ids,
        )  # fmt: skip
        self.recovery = Recovery(
            database=database, store=self.payments, accounts=accounts, seal=vault, rails=rails,
            courier=courier, settle=self.settlement.apply_many, clock=clock,
        )  # fmt: skip
        self.store: Any = PostgresStatementStore() if postgres else MemoryStatementStore()
        self.statements = Statements(
            self.store, accounts=accounts, ledger=ledger, log=log, seal=vault, clock=clock, ids=ids
        )
        self.evidence = Evidence(
            database=database, store=self.payments, statements=self.statements,
            settlement=self.settlement, accounts=accounts, seal=vault, rails=rails, clock=clock,
        )  # fmt: skip
        self.reader = Reader(
            database=database, store=self.store, statements=self.statements, accounts=accounts,
            rails=rails, clock=clock,
        )  # fmt: skip
        self.accounts: list[BankAccount] = []

    async def add_account(
        self, number: str, *, unit: int = 0, opening_fen: int = OPENING, **more: Any
    ) -> BankAccount:
        new = NewBankAccount(
            member_unit_id=list(self.units.units)[unit],
            name=more.pop("name", "示例有限公司"),
            account=number,
            bank_code=more.pop("bank_code", BANK),
            bank_name="浦江银行",
            access_modes=more.pop("access_modes", (RAIL,)),
            opening_balance_fen=opening_fen,
            **more,
        )
        async with self.database.transaction() as tx:
            made = await self.bank_accounts.create(tx, T, new)
        self.accounts.append(made)
        return made

    async def pay(
        self,
        payer: BankAccount,
        payee: str,
        fen: int,
        *,
        name: str = "远山建材有限公司",
        bank_code: str = "",
    ) -> tuple[UUID, str]:
        """A payment sent to its rail: its id and the reference it carries."""
        party = Party(name, payee, bank_code)
        order = PaymentOrder(payer.bank_account_id, party, fen)
        key = str(self.ids.new())
        (answer,) = await self.intake.submit_many(
            T, [Submission(key, order, self.ids.new(), "api-key:test")]
        )
        assert isinstance(answer, Receipt), answer
        while await self.dispatch.run_once(T):
            pass
        return answer.payment_id, (await self.payment(answer.payment_id)).reference

    async def payment(self, payment_id: UUID) -> Any:
        async with self.database.transaction() as tx:
            return await self.payments.get(tx, T, payment_id)

    async def tell(self, *reports: RailReport) -> None:
        await self.settlement.apply_many(T, reports)

    async def read(self) -> None:
        """Read all accounts to the end and match what can be matched, a minute later."""
        self.clock.advance(61)
        while await self.reader.run_once(T):
            pass
        await self.match()

    async def match(self) -> None:
        while await self.evidence.run_once(T):
            pass

    async def drift(self, account: BankAccount) -> Drift:
        async with self.database.transaction() as tx:
            return await self.statements.drift(tx, T, account.bank_account_id)

    async def lines(self, account: BankAccount) -> list[LineRow]:
        async with self.database.transaction() as tx:
            return (await self.store.page(tx, T, account.bank_account_id, 1 << 62, 1000))[::-1]

    async def explained(self, account: BankAccount) -> list[Explained]:
        return [line.explained_by for line in await self.lines(account)]

    async def posted(self, ledger_account: UUID) -> int:
        async with self.database.transaction() as tx:
            found = await self.ledger.balance(tx, T, ledger_account, now=self.clock.now())
        return found.posted_fen

    async def books(self, account: BankAccount) -> Any:
        async with self.database.transaction() as tx:
            return await self.bank_accounts.entity_accounts(tx, T, account.legal_entity_id)

    async def told(self, subject: UUID) -> list[str]:
        async with self.database.transaction() as tx:
            events = await self.audit.timeline(tx, T, subject)
        return [event.kind for event in events]

    async def enquiries(self) -> dict[Task, tuple[int, datetime]]:
        async with self.database.transaction() as tx:
            return await self.payments.backlog(tx, T)

    async def settled(self, accounts: Collection[BankAccount] | None = None) -> None:
        """Book and bank agree on every account, and the ledger still sums to zero."""
        for account in accounts if accounts is not None else self.accounts:
            drift = await self.drift(account)
            assert drift.settled and drift.residue_fen == 0, drift
            assert not (drift.unexplained or drift.bank_first or drift.book_first), drift
        await self.proved()

    async def proved(self) -> None:
        async with self.database.transaction() as tx:
            for proof in await self.ledger.trial_balance(tx, T):
                assert proof.holds, proof


def memory_house(clock: ManualClock) -> tuple[House, PaperBank]:
    bank = PaperBank(RAIL, clock)
    return House(MemoryDatabase(), clock, {RAIL: bank}, postgres=False), bank
