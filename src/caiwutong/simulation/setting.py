"""The stage of a run: the group, its accounts at the bank and in our books, people, mandates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caiwutong.approvals.model import MandateTerms, Subject
from caiwutong.approvals.rules import signed_bytes
from caiwutong.bank_accounts.model import NewBankAccount
from caiwutong.db.database import Tx
from caiwutong.identity.model import KeyAlgorithm
from caiwutong.kernel.order import Party
from caiwutong.simulation.bank import BankAccount
from caiwutong.simulation.house import House
from caiwutong.simulation.stores import TENANT
from caiwutong.simulation.world import World

_USCC = "91110000600037341L"
"""A number with a good check digit (the example of python-stdnum)."""

_OUR_BANK = "102100099996"
_THEIR_BANK = "105100000017"


@dataclass(frozen=True, slots=True)
class Signer:
    """A person with the private key in hand."""

    person_id: UUID
    key: Ed25519PrivateKey

    def sign(self, subject: Subject) -> bytes:
        return self.key.sign(signed_bytes(TENANT, subject))


@dataclass(frozen=True, slots=True)
class OurAccount:
    bank_account_id: UUID
    ledger_account_id: UUID
    number: str


@dataclass(frozen=True, slots=True)
class Setting:
    """Who and what the people of a run deal with."""

    accounts: tuple[OurAccount, ...]
    payees: tuple[Party, ...]
    """Good ones first, then the closed, the unknown, the misnamed and the one without a bank."""
    signers: tuple[Signer, ...]
    api_keys: tuple[UUID, ...]
    """With a wide mandate, with a narrow one, with none."""
    mandates: tuple[UUID, ...]


GOOD_PAYEES = 6


async def build(world: World, house: House) -> Setting:
    """Found the group in our books and at the bank."""
    payees = _payees(world)
    async with house.database.transaction() as tx:
        accounts = await _accounts(world, house, tx)
        signers = await _signers(world, house, tx)
        keys = [
            await house.identity.create_api_key(tx, TENANT, n) for n in ("wide", "narrow", "no")
        ]
    api_keys = tuple(k.api_key.api_key_id for k in keys)
    mandates = tuple(
        [
            await _mandate(world, house, signers, terms)
            for terms in _terms(world, accounts, api_keys, payees)
        ]
    )
    return Setting(accounts, payees, signers, api_keys, mandates)


async def _accounts(world: World, house: House, tx: Tx) -> tuple[OurAccount, ...]:
    identity = house.identity
    await identity.create_tenant(tx, TENANT, "Simulated group")
    group = await identity.create_group(tx, TENANT, "g", "Group")
    entity = await identity.create_legal_entity(tx, TENANT, group.group_id, "le", "Entity", _USCC)
    unit = await identity.create_member_unit(tx, TENANT, entity.legal_entity_id, "u", "Unit")
    made: list[OurAccount] = []
    for n, (modes, opening, overdraft) in enumerate(
        (
            (("ibps", "bank_direct", "hvps", "beps"), 90_000_000_00, 0),
            (("bank_direct", "ibps", "beps"), 60_000_000_00, 0),
            (("ibps", "hvps"), 900_000_00, 300_000_00),
            (("bank_direct",), 400_000_00, 0),
        )
    ):
        number = f"62220000000{n:05d}"
        account = await house.accounts.create(
            tx,
            TENANT,
            NewBankAccount(
                member_unit_id=unit.member_unit_id,
                name=f"Unit account {n}",
                account=number,
                bank_code=_OUR_BANK,
                bank_name="Our bank",
                access_modes=modes,
                overdraft_fen=overdraft,
                opening_balance_fen=opening,
            ),
        )
        # The bank lends the overdraft as our books expect it to.
        world.bank.open_account(number, account.name, opening, overdraft)
        world.our_accounts[account.bank_account_id] = number
        made.append(OurAccount(account.bank_account_id, account.ledger_account_id, number))
    return tuple(made)


def _payees(world: World) -> tuple[Party, ...]:
    parties: list[Party] = []
    for n in range(GOOD_PAYEES + 4):
        number, name = f"81550000{n:06d}", f"Payee {n}"
        code = "" if n == GOOD_PAYEES + 3 else _THEIR_BANK
        state = "closed" if n == GOOD_PAYEES else "active"
        known = "Another name" if n == GOOD_PAYEES + 2 else name
        if n != GOOD_PAYEES + 1:
            world.bank.accounts[number] = BankAccount(number, known, 0, state=state)
        parties.append(Party(name, number, code))
    return tuple(parties)


async def _signers(world: World, house: House, tx: Tx) -> tuple[Signer, ...]:
    signers: list[Signer] = []
    for n in range(4):
        key = Ed25519PrivateKey.from_private_bytes(world.chance.bytes(32))
        person = await house.identity.create_person(
            tx,
            TENANT,
            f"Person {n}",
            "treasury",
            KeyAlgorithm.ED25519,
            key.public_key().public_bytes_raw(),
        )
        signers.append(Signer(person.person_id, key))
    return tuple(signers)


def _terms(
    world: World,
    accounts: tuple[OurAccount, ...],
    api_keys: tuple[UUID, ...],
    payees: tuple[Party, ...],
) -> list[MandateTerms]:
    now = world.clock.now()
    draw = world.chance.people
    few = tuple(world.vault.blind_index("account", p.account) for p in payees[:3])
    return [
        MandateTerms(
            api_key_id=api_keys[0],
            bank_account_ids=tuple(a.bank_account_id for a in accounts),
            payees="any",
            per_payment_fen=2_000_000_00,
            daily_fen=draw.choice((8_000_000_00, 40_000_000_00)),
            valid_from=now,
            valid_until=now + timedelta(days=90),
        ),
        MandateTerms(
            api_key_id=api_keys[1],
            bank_account_ids=tuple(a.bank_account_id for a in accounts[:2]),
            payees=few,
            per_payment_fen=100_000_00,
            daily_fen=300_000_00,
            valid_from=now,
            valid_until=now + timedelta(hours=draw.uniform(1, 48)),
        ),
    ]


async def _mandate(
    world: World, house: House, signers: tuple[Signer, ...], terms: MandateTerms
) -> UUID:
    mandate_id = UUID(bytes=world.chance.bytes(16))
    now = world.clock.now()
    async with house.database.transaction() as tx:
        mandate = await house.approvals.propose_mandate(
            tx, TENANT, mandate_id, terms, signers[0].person_id, now
        )
        subject = house.approvals.subject_of(mandate)
        for signer in signers[1:3]:
            await house.approvals.sign(
                tx, TENANT, subject, signer.person_id, signer.sign(subject), now
            )
    return mandate_id
