"""The whole house wired on a fresh database, with one tenant and a rail that answers as told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caiwutong.approvals.model import MandateTerms, Subject
from caiwutong.approvals.rules import signed_bytes
from caiwutong.bank_accounts.model import NewBankAccount
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.engines import EngineUrls
from caiwutong.identity.model import ApiKeySecrets, KeyAlgorithm
from caiwutong.kernel.clock import Clock, SystemClock, SystemRandomness
from caiwutong.rails.contract import (
    AccountAtBank,
    Attempt,
    BadMessage,
    BankBalance,
    RailMessage,
    RailReport,
    ReportKind,
    StatementPage,
)
from caiwutong.settings import Settings
from caiwutong.wiring import Services, wire

USCC = "91310000MA1FL0CX45"
OPENING_FEN = 800_000_00


@dataclass
class ToldRail:
    """A rail whose answers a test decides. Callback bytes are ``reference:kind``."""

    clock: Clock
    name: str = "ibps"
    sent: list[Attempt] = field(default_factory=list)
    balance_fen: int = OPENING_FEN
    revoked: bool = False

    def valid_until(self, at: datetime) -> datetime:
        return at + timedelta(minutes=10)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        self.sent.extend(attempts)
        return [RailMessage(a.reference, "told", (a.reference,), b"x") for a in attempts]

    async def send(self, message: RailMessage) -> bytes:
        return b"".join(f"{r}:accepted\n".encode() for r in message.references)

    def decode(self, raw: bytes) -> list[RailReport]:
        lines = raw.decode("ascii", "replace").split()
        if not lines or any(":" not in line for line in lines):
            raise BadMessage("rail.bad_message", "It is not reference:kind.", "")
        return [self._report(*line.split(":", 1)) for line in lines]

    def acknowledge(self, raw: bytes) -> bytes:
        return b"taken"

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        return [self._report(a.reference, "in_doubt") for a in attempts]

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        self.revoked = True
        return [self._report(attempt.reference, "revoked")]

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        return []

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        now = self.clock.now()
        return [BankBalance(a.account, self.balance_fen, self.balance_fen, now) for a in accounts]

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        return StatementPage((), cursor, False)

    def _report(self, reference: str, kind: str) -> RailReport:
        try:
            known = ReportKind(kind)
        except ValueError:
            raise BadMessage("rail.bad_message", f"No report kind {kind[:20]!r}.", "") from None
        return RailReport(known, self.name, reference, "TOLD", self.clock.now())


@dataclass
class House:
    """The wired services and what a caller of tenant ``acme`` needs."""

    services: Services
    rail: ToldRail
    tenant: str
    secrets: ApiKeySecrets
    accounts: list[UUID]
    unit: UUID
    people: list[tuple[UUID, Ed25519PrivateKey]]

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.secrets.bearer}"}

    def order(self, **changes: Any) -> dict[str, Any]:
        """A payment order inside the mandate."""
        return {
            "bank_account_id": str(self.accounts[0]),
            "payee": {"name": "上海示例贸易有限公司", "account": "6222000012340417"},
            "amount_fen": 123_45,
            "purpose": "货款",
            **changes,
        }

    def sign(self, place: int, subject: Subject) -> bytes:
        """A person's signature over a subject."""
        return self.people[place][1].sign(signed_bytes(self.tenant, subject))


async def open_house(
    database_url: str,
    folder: Path,
    tenant: str = "acme",
    clock: Clock | None = None,
    nats_url: str = "nats://127.0.0.1:1",
) -> House:
    """Wire everything and add the tenant."""
    settings = Settings(data_dir=folder, tenant=tenant)
    database = await PostgresDatabase.connect(database_url, name="test", max_size=8)
    clock = clock or SystemClock()
    rail = ToldRail(clock)
    urls = EngineUrls(database_url, nats_url)
    services = wire(settings, urls, database, clock, SystemRandomness(), {"ibps": rail})
    return await add_tenant(services, rail, tenant)


async def add_tenant(services: Services, rail: ToldRail, tenant: str) -> House:
    """One more enterprise: an entity, a unit, two accounts, three people, a key with a mandate of
    50,000.00 CNY a payment."""
    s = services
    async with s.database.transaction() as tx:
        await s.identity.create_tenant(tx, tenant, f"Tenant {tenant}", demo=True)
        group = await s.identity.create_group(tx, tenant, "g1", "示例集团")
        entity = await s.identity.create_legal_entity(
            tx, tenant, group.group_id, "le1", "示例有限公司", USCC
        )
        unit = await s.identity.create_member_unit(
            tx, tenant, entity.legal_entity_id, "u1", "一分公司"
        )
        accounts = [
            (
                await s.bank_accounts.create(
                    tx,
                    tenant,
                    NewBankAccount(
                        member_unit_id=unit.member_unit_id,
                        name="示例有限公司",
                        account=f"3100001234560{n}",
                        bank_code="102290000019",
                        bank_name="示例银行",
                        access_modes=("ibps",),
                        opening_balance_fen=OPENING_FEN,
                    ),
                )
            ).bank_account_id
            for n in (1, 2)
        ]
        people: list[tuple[UUID, Ed25519PrivateKey]] = []
        for name in ("出纳", "主管", "财务总监"):
            key = Ed25519PrivateKey.generate()
            person = await s.identity.create_person(
                tx, tenant, name, name, KeyAlgorithm.ED25519, key.public_key().public_bytes_raw()
            )
            people.append((person.person_id, key))
        secrets = await s.identity.create_api_key(tx, tenant, "erp", bearer=True)
        house = House(s, rail, tenant, secrets, accounts, unit.member_unit_id, people)
        await _mandate(tx, house)
    return house


async def _mandate(tx: Any, house: House) -> None:
    s, now = house.services, house.services.clock.now()
    terms = MandateTerms(
        api_key_id=house.secrets.api_key.api_key_id,
        bank_account_ids=tuple(house.accounts),
        payees="any",
        per_payment_fen=50_000_00,
        daily_fen=900_000_00,
        valid_from=now - timedelta(days=1),
        valid_until=now + timedelta(days=365),
    )
    mandate = await s.approvals.propose_mandate(
        tx, house.tenant, s.ids.new(), terms, house.people[0][0], now
    )
    subject = s.approvals.subject_of(mandate)
    for place in (1, 2):
        signature = house.sign(place, subject)
        person = house.people[place][0]
        await s.approvals.sign(tx, house.tenant, subject, person, signature, now)
