"""The payment engine on either database, with a bank that does what a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
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
from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.db.database import Database, Tx
from caiwutong.db.memory import MemoryDatabase
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
from caiwutong.payments.courier import Courier
from caiwutong.payments.dispatch import Dispatch
from caiwutong.payments.intake import SUBJECT, Intake
from caiwutong.payments.memory import MemoryPaymentStore
from caiwutong.payments.model import SWITCH, Answer, AttemptRow, Receipt, Submission
from caiwutong.payments.recovery import Recovery
from caiwutong.payments.requests import Requests
from caiwutong.payments.routes import BestWay, FirstThatCan
from caiwutong.payments.settlement import Settlement
from caiwutong.payments.states import State
from caiwutong.payments.store import PostgresPaymentStore
from caiwutong.payments.switching import Switching
from caiwutong.payments.views import PaymentView, Views
from caiwutong.rails.catalog import shipped
from caiwutong.rails.contract import (
    NOT_FOUND,
    AccountAtBank,
    Attempt,
    BankBalance,
    Concerning,
    NotSent,
    RailMessage,
    RailReport,
    ReportKind,
    SentInDoubt,
    StatementPage,
)
from caiwutong.vault.service import Vault

SPONSOR = "907301090010"
OPENING = 10_000_00


class TestRail:
    """A rail whose bank answers as told. Messages are the reference; every send is counted."""

    __test__ = False

    def __init__(self, clock: ManualClock, name: str = "ibps") -> None:
        self._clock = clock
        self.name = name
        self.sent: list[str] = []
        self.asked: list[str] = []
        self.on_send: ReportKind | Exception = ReportKind.ACCEPTED
        self.on_enquiry: tuple[ReportKind, str] = (ReportKind.IN_DOUBT, NOT_FOUND)
        self.on_revoke: ReportKind = ReportKind.REVOKED

    def report(self, kind: ReportKind, reference: str, code: str = "", **more: Any) -> RailReport:
        return RailReport(kind, self.name, reference, code or kind.value, self._clock.now(), **more)

    def valid_until(self, at: datetime) -> datetime:
        return at + timedelta(hours=2)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        return [
            RailMessage(a.reference, "test", (a.reference,), a.reference.encode()) for a in attempts
        ]

    async def send(self, message: RailMessage) -> bytes:
        self.sent.append(message.references[0])
        if isinstance(self.on_send, Exception):
            raise self.on_send
        return message.body

    def decode(self, raw: bytes) -> list[RailReport]:
        assert not isinstance(self.on_send, Exception)
        return [self.report(self.on_send, raw.decode())]

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        self.asked += [a.reference for a in attempts]
        kind, code = self.on_enquiry
        return [self.report(kind, a.reference, code) for a in attempts]

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        concerning = (
            Concerning.PAYMENT if self.on_revoke is ReportKind.REVOKED else Concerning.REVOCATION
        )
        return [self.report(self.on_revoke, attempt.reference, concerning=concerning)]

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        return [
            self.report(
                ReportKind.ACCEPTED, attempt.reference, concerning=Concerning.RETURN_REQUEST
            )
        ]

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        return []

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        return StatementPage((), cursor, False)


LOST = SentInDoubt("rail.silence", "No answer came in time.", "Ask.")
REFUSED_CONNECTION = NotSent("rail.unreachable", "Nobody listens.", "Try later.")


class House:
    """The engine, one member unit with one account of 10,000.00 that has these access modes, an API
    key with a mandate up to 1,000.00 a payment and 5,000.00 a day, and three people."""

    def __init__(
        self,
        database: Database,
        clock: ManualClock,
        *,
        memory: bool,
        modes: tuple[str, ...] = ("ibps",),
        rails: dict[str, Any] | None = None,
        own: dict[str, Any] | None = None,
        routed: bool = False,
    ) -> None:
        """``rails`` instead of those that do what a test tells them; ``own`` says what is
        different about the account that pays. ``routed``: by routing with all it knows; else the
        first mode that can carry it."""
        self.database, self.clock, self.modes = database, clock, modes
        self._own = own or {}
        self.catalog = shipped()
        randomness = SystemRandomness()
        self.ids = Ids(clock, randomness)
        self.tenant = f"t{self.ids.new().hex[-12:]}"
        """Of this house alone, so that many houses share one database."""
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
        signing = MemoryApprovalStore()
        self.approvals = Approvals(signing if memory else PostgresApprovalStore(), self.identity)
        self.audit = Audit(
            MemoryAuditStore(clock) if memory else PostgresAuditStore(), database, self.ids, clock
        )
        self.store = (
            MemoryPaymentStore(lambda tenant, a: signing.decided_by(tenant, SWITCH, a) >= 2)
            if memory
            else PostgresPaymentStore()
        )
        self.rail, self.other = TestRail(clock), TestRail(clock, "bank_direct")
        self.hvps = TestRail(clock, "hvps")
        rails = rails or {rail.name: rail for rail in (self.rail, self.other, self.hvps)}
        shared: dict[str, Any] = {"database": database, "store": self.store, "clock": clock}
        books: dict[str, Any] = {"ledger": self.ledger, "log": self.audit, "ids": self.ids}
        self.settlement = Settlement(**shared, **books)
        settle = self.settlement.apply_many
        courier = Courier(rails, settle, clock)
        catalog: Any = lambda tenant: self.catalog  # noqa: E731
        router = BestWay(rails, self.vault, catalog) if routed else FirstThatCan(rails, catalog)
        where: dict[str, Any] = {"accounts": self.accounts, "seal": self.vault}
        self.intake = Intake(**shared, **books, **where, consent=self.approvals, rails=tuple(rails))
        self.dispatch = Dispatch(
            **shared, **books, **where, rails=rails, router=router, courier=courier
        )
        self.recovery = Recovery(**shared, **where, rails=rails, courier=courier, settle=settle)
        self.requests = Requests(
            **shared, **books, consent=self.approvals, rails=rails, recovery=self.recovery,
            settle=settle,
        )  # fmt: skip
        self.views = Views(database=database, store=self.store, log=self.audit, seal=self.vault)
        self.switching = Switching(
            **shared, accounts=self.accounts, consent=self.approvals, router=router,
            log=self.audit, ids=self.ids,
        )  # fmt: skip
        self.approvals.bind(SUBJECT, self._signed)
        self.approvals.bind(SWITCH, self.switching.decided)
        self.people: list[tuple[UUID, Sm2PrivateKey]] = []

    async def _signed(self, tx: Tx, tenant: str, subject: Subject) -> None:
        await self.requests.authorise(tx, tenant, subject.id, subject.digest, "signatures:2")

    async def open(self) -> House:
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
                    **{
                        "member_unit_id": unit.member_unit_id,
                        "name": "示例有限公司",
                        "account": "6000100020003",
                        "bank_code": SPONSOR,
                        "bank_name": "示例财务公司",
                        "access_modes": self.modes,
                        "opening_balance_fen": OPENING,
                        **self._own,
                    }
                ),
            )
            for name in ("张敏", "王强", "赵磊"):
                key = Sm2PrivateKey.generate(SystemRandomness())
                person = await self.identity.create_person(
                    tx,
                    self.tenant,
                    name,
                    "财务",
                    KeyAlgorithm.SM2,
                    bytes.fromhex(key.public.to_hex()),
                )
                self.people.append((person.person_id, key))
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
                    per_payment_fen=1_000_00,
                    daily_fen=5_000_00,
                    valid_from=self.clock.now(),
                    valid_until=self.clock.now() + timedelta(days=400),
                ),
                self.people[0][0],
                self.clock.now(),
            )
            for signer in (1, 2):
                await self.sign_in(tx, self.approvals.subject_of(mandate), signer)
        return self

    async def sign_in(self, tx: Tx, subject: Subject, signer: int) -> Any:
        person_id, key = self.people[signer]
        signature = key.sign(signed_bytes(self.tenant, subject))
        return await self.approvals.sign(
            tx, self.tenant, subject, person_id, signature, self.clock.now()
        )

    async def sign(self, payment_id: UUID, signer: int) -> Any:
        view = await self.views.get(self.tenant, payment_id)
        async with self.database.transaction() as tx:
            subject = Subject(SUBJECT, payment_id, bytes.fromhex(view.digest))
            return await self.sign_in(tx, subject, signer)

    async def sign_switch(self, payment_id: UUID, signer: int) -> Any:
        subject = await self.switching.subject(self.tenant, payment_id)
        async with self.database.transaction() as tx:
            return await self.sign_in(tx, subject, signer)

    async def attempts(self, payment_id: UUID) -> list[AttemptRow]:
        async with self.database.transaction() as tx:
            return (await self.store.attempts_of(tx, self.tenant, [payment_id]))[payment_id]

    def order(self, fen: int = 100_00, **more: Any) -> PaymentOrder:
        return PaymentOrder(
            bank_account_id=more.pop("bank_account_id", self.account.bank_account_id),
            payee=more.pop("payee", Party("收款公司", "622200010001", "102290091014")),
            amount_fen=fen,
            purpose="货款",
            **more,
        )

    def submission(self, key: str, order: PaymentOrder) -> Submission:
        return Submission(key, order, self.key_id, "api-key:erp")

    async def submit(self, key: str = "k1", fen: int = 100_00, **more: Any) -> Answer:
        order = self.order(fen, **more)
        return (await self.intake.submit_many(self.tenant, [self.submission(key, order)]))[0]

    async def pay(self, key: str = "k1", fen: int = 100_00, **more: Any) -> UUID:
        """Submit, expect a receipt, dispatch once."""
        answer = await self.submit(key, fen, **more)
        assert isinstance(answer, Receipt), answer
        await self.dispatch.run_once(self.tenant)
        return answer.payment_id

    async def say(self, kind: ReportKind, payment_id: UUID, code: str = "", **more: Any) -> None:
        """The rail says this about the payment's present attempt."""
        view = await self.views.get(self.tenant, payment_id)
        rail = next(r for r in (self.rail, self.other, self.hvps) if r.name == view.rail)
        await self.settlement.apply_many(
            self.tenant, [rail.report(kind, view.reference, code, **more)]
        )

    async def state(self, payment_id: UUID) -> State:
        return (await self.views.get(self.tenant, payment_id)).state

    async def view(self, payment_id: UUID) -> PaymentView:
        return await self.views.get(self.tenant, payment_id)

    async def kinds(self, payment_id: UUID) -> list[str]:
        return [step.kind for step in (await self.views.timeline(self.tenant, payment_id)).steps]

    async def money(self) -> tuple[int, int, int]:
        """Posted, held, available of the bank account."""
        async with self.database.transaction() as tx:
            b = await self.ledger.balance(
                tx, self.tenant, self.account.ledger_account_id, now=self.clock.now()
            )
        return b.posted_fen, b.held_fen, b.available_fen

    async def proved(self) -> None:
        async with self.database.transaction() as tx:
            assert all(p.holds for p in await self.ledger.trial_balance(tx, self.tenant))

    async def settle_down(self, hours: float = 3) -> None:
        """Let business time pass and every worker do what is due."""
        end = self.clock.now() + timedelta(hours=hours)
        while self.clock.now() < end:
            self.clock.advance(30)
            await self.dispatch.run_once(self.tenant)
            await self.recovery.run_once(self.tenant)
            await self.requests.expire_due(self.tenant)
            await asyncio.sleep(0)


def memory_house() -> House:
    clock = ManualClock(datetime(2026, 11, 2, 1, 0, tzinfo=UTC))
    return House(MemoryDatabase(), clock, memory=True)
