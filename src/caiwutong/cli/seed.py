"""Fills the demo tenant from the sandbox's world.

The group, its units and accounts, an API key with a standing mandate, and the people who signed it.

The demo people's private keys lie in ``data/demo/people.json``: for the demo tenant only, where the
command line signs in their place until the identity system gives people their own devices.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from caiwutong.approvals.model import MandateTerms, Subject
from caiwutong.approvals.rules import signed_bytes
from caiwutong.bank_accounts.model import Nature, NewBankAccount
from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.db.database import Tx
from caiwutong.identity.model import ApiKeySecrets, KeyAlgorithm
from caiwutong.kernel.clock import china_date, china_midnight
from caiwutong.kernel.errors import NotFound, Refused
from caiwutong.rails.catalog.model import Band, Fact, Tariff
from caiwutong.rails.catalog.rules import bank_digits
from caiwutong.sandbox.world import World, load_world
from caiwutong.wiring import Services

PER_PAYMENT_FEN = 1_000_000_00
DAILY_FEN = 10_000_000_000_00
MANDATE_DAYS = 400

_PEOPLE = (
    ("张敏", "出纳"),
    ("李娜", "会计"),
    ("王强", "财务主管"),
    ("赵磊", "财务总监"),
)


class DemoPerson(msgspec.Struct, frozen=True):
    """A person of the demo tenant, with the key the command line signs with."""

    person_id: UUID
    name: str
    role: str
    secret: str

    def __repr__(self) -> str:
        return f"DemoPerson({self.name})"


class DemoCredentials(msgspec.Struct, frozen=True):
    """What the demo's machine caller proves itself with."""

    api_key_id: UUID
    key_id: str
    secret: str
    bearer: str

    def __repr__(self) -> str:
        return f"DemoCredentials({self.key_id})"


async def seed_demo(services: Services) -> bool:
    """Create the demo tenant unless it is there; whether it was created now."""
    settings = services.settings
    async with services.database.transaction() as tx:
        try:
            await services.identity.tenant(tx, settings.tenant)
            return False
        except NotFound:
            pass
        world = load_world(settings.sandbox_dir / "world.json")
        secrets, people = await _tenant(tx, services, world)
    await services.catalogs.propose(
        settings.tenant, _tariffs(services, world), reason="示例集团与各行的协议价",
        maker=people[0].person_id, actor=f"person:{people[0].person_id}",
    )  # fmt: skip
    folder = settings.data_dir / "demo"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _keep(folder / "people.json", people)
    credentials = DemoCredentials(
        secrets.api_key.api_key_id, secrets.api_key.key_id, secrets.secret, secrets.bearer
    )
    _keep(folder / "credentials.json", credentials)
    return True


def _tariffs(services: Services, world: World) -> list[Fact]:
    """What the sandbox's banks take, as the group agreed it with them: for the fee audit and for
    routing."""
    day = china_midnight(china_date(services.clock.now()))
    return [
        Tariff(
            rail=mode,
            bank=bank_digits(bank.code),
            valid_from=day - timedelta(days=MANDATE_DAYS),
            bands=tuple(Band(up_to_fen=b.up_to_fen, flat_fen=b.fee_fen) for b in bank.fees),
            source=f"协议价, {bank.name}",
        )
        for bank in world.banks
        if bank.fees
        for mode in sorted(
            {mode for a in world.accounts if a.bank_code == bank.code for mode in a.access_modes}
        )
    ]


async def _tenant(
    tx: Tx, services: Services, world: World
) -> tuple[ApiKeySecrets, list[DemoPerson]]:
    tenant, identity = services.settings.tenant, services.identity
    await identity.create_tenant(tx, tenant, world.group, demo=True)
    group = await identity.create_group(tx, tenant, "g01", world.group)
    entities = {
        e.key: await identity.create_legal_entity(
            tx, tenant, group.group_id, e.key.lower(), e.name, e.uscc
        )
        for e in world.entities
    }
    units: dict[str, UUID] = {}
    for u in world.units:
        unit = await identity.create_member_unit(
            tx, tenant, entities[u.entity].legal_entity_id, u.key.lower(), u.name
        )
        await identity.create_accounting_entity(
            tx, tenant, unit.member_unit_id, u.key.lower(), u.name
        )
        units[u.key] = unit.member_unit_id
    accounts = [
        await services.bank_accounts.create(
            tx,
            tenant,
            NewBankAccount(
                member_unit_id=units[a.unit],
                name=a.name,
                account=a.account,
                bank_code=a.bank_code,
                bank_name=a.bank_name,
                nature=Nature(a.nature),
                access_modes=a.access_modes,
                overdraft_fen=a.overdraft_fen,
                opening_balance_fen=a.opening_fen,
            ),
        )
        for a in world.accounts
    ]
    people = [await _person(tx, services, name, role) for name, role in _PEOPLE]
    secrets = await identity.create_api_key(tx, tenant, "demo-erp", bearer=True)
    await _mandate(tx, services, secrets, [a.bank_account_id for a in accounts], people)
    return secrets, people


async def _person(tx: Tx, services: Services, name: str, role: str) -> DemoPerson:
    key = Sm2PrivateKey.generate(services.randomness)
    person = await services.identity.create_person(
        tx,
        services.settings.tenant,
        name,
        role,
        KeyAlgorithm.SM2,
        bytes.fromhex(key.public.to_hex()),
    )
    return DemoPerson(person.person_id, name, role, key.to_hex())


async def _mandate(
    tx: Tx,
    services: Services,
    secrets: ApiKeySecrets,
    accounts: list[UUID],
    people: list[DemoPerson],
) -> None:
    """The cashier proposes what the machine may pay; supervisor and CFO sign it."""
    tenant, now = services.settings.tenant, services.clock.now()
    mandate = await services.approvals.propose_mandate(
        tx,
        tenant,
        services.ids.new(),
        MandateTerms(
            api_key_id=secrets.api_key.api_key_id,
            bank_account_ids=tuple(accounts),
            payees="any",
            per_payment_fen=PER_PAYMENT_FEN,
            daily_fen=DAILY_FEN,
            valid_from=now,
            valid_until=now + timedelta(days=MANDATE_DAYS),
        ),
        people[0].person_id,
        now,
    )
    subject = services.approvals.subject_of(mandate)
    for signer in people[2:4]:
        await sign_as(tx, services, subject, signer)


async def sign_as(tx: Tx, services: Services, subject: Subject, person: DemoPerson) -> Any:
    """Sign a subject with a demo person's key, as their device would."""
    tenant = services.settings.tenant
    signature = Sm2PrivateKey.from_hex(person.secret).sign(signed_bytes(tenant, subject))
    return await services.approvals.sign(
        tx, tenant, subject, person.person_id, signature, services.clock.now()
    )


def load_people(data_dir: Path) -> list[DemoPerson]:
    """The demo people. Raises Refused where there is no demo tenant."""
    return msgspec.json.decode(_read(data_dir / "demo" / "people.json"), type=list[DemoPerson])


def load_credentials(data_dir: Path) -> DemoCredentials:
    """The demo API key. Raises Refused where there is no demo tenant."""
    return msgspec.json.decode(_read(data_dir / "demo" / "credentials.json"), type=DemoCredentials)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Refused(
            "demo.not_here",
            f"There is no demo tenant in this data folder ({path.name} is missing).",
            "Run `make up` once, or use a real person's device.",
        ) from error


def _keep(path: Path, value: object) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=1))
