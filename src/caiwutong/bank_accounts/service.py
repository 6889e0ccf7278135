"""What bank accounts do for everyone above: found quickly, added with their books, changed by
version. All calls run inside the caller's transaction and never commit.

Reads by id are kept in this process for five seconds at most, and dropped at once when this
process changes an account; so a stop made by another process works within five seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID
from weakref import WeakSet

from caiwutong.audit.service import Audit
from caiwutong.bank_accounts import rules
from caiwutong.bank_accounts.model import (
    AccountState,
    BankAccount,
    BankAccountChange,
    BankAccountRow,
    EntityAccounts,
    Nature,
    NewBankAccount,
)
from caiwutong.bank_accounts.store import BankAccountStore
from caiwutong.db.database import Tx
from caiwutong.identity.model import LegalEntity, MemberUnit
from caiwutong.identity.telling import SYSTEM, Teller
from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Conflict, NotFound, Refusal, Refused
from caiwutong.kernel.ids import Ids
from caiwutong.ledger.model import Account, NormalSide, Transfer
from caiwutong.ledger.service import Ledger

_FIRST = UUID(int=0)
_KEPT_S = 5.0
_EVERYTHING = 100_000
_RECORD_CLASS = "bank_account"

_ENTITY_BOOKS = (
    ("payables", "2202.{}", "应付账款", NormalSide.CREDIT),
    ("suspense", "1221.{}.suspense", "待查", NormalSide.DEBIT),
    ("opening", "3001.{}.opening", "期初", NormalSide.CREDIT),
    ("fees", "6603.{}", "财务费用 银行手续费", NormalSide.DEBIT),
    ("internal", "1221.{}.internal", "内部往来", NormalSide.DEBIT),
)


class Fields(rules.BlindIndex, Protocol):
    """The part of the vault that guards account numbers."""

    def seal(self, record_class: str, plaintext: bytes, context: bytes) -> bytes: ...

    def open(self, record_class: str, sealed: bytes, context: bytes) -> bytes: ...


class Units(Protocol):
    """The part of identity that knows the organisation."""

    async def member_unit(self, tx: Tx, tenant: str, member_unit_id: UUID) -> MemberUnit: ...

    async def legal_entity(self, tx: Tx, tenant: str, legal_entity_id: UUID) -> LegalEntity: ...


class BankAccounts:
    """Our accounts at banks over one store."""

    def __init__(
        self,
        store: BankAccountStore,
        *,
        ledger: Ledger,
        units: Units,
        vault: Fields,
        ids: Ids,
        clock: Clock,
        audit: Audit | None = None,
    ) -> None:
        self._store = store
        self._log = Teller(audit)
        self._ledger = ledger
        self._units = units
        self._vault = vault
        self._ids = ids
        self._clock = clock
        self._kept: dict[tuple[str, UUID], tuple[BankAccount, datetime]] = {}
        self._generation = 0
        self._writing: WeakSet[Tx] = WeakSet()

    async def find_many(self, tx: Tx, tenant: str, ids: Iterable[UUID]) -> dict[UUID, BankAccount]:
        """The accounts among these ids that this tenant has; the others are simply not there."""
        now = self._clock.now()
        found: dict[UUID, BankAccount] = {}
        missing: list[UUID] = []
        for i in set(ids):
            kept = self._kept.get((tenant, i))
            if kept is not None and self._fresh(kept[1], now) and tx not in self._writing:
                found[i] = kept[0]
            else:
                missing.append(i)
        if missing:
            generation = self._generation
            loaded = [self._open(tenant, r) for r in await self._store.by_id(tx, tenant, missing)]
            found.update((a.bank_account_id, a) for a in loaded)
            # Keep nothing that was read beside a change: it may be the old row, or one that
            # a rollback takes back.
            if generation == self._generation and tx not in self._writing:
                self._kept.update(((tenant, a.bank_account_id), (a, now)) for a in loaded)
        return found

    async def get(self, tx: Tx, tenant: str, bank_account_id: UUID) -> BankAccount:
        """One account, read from the store. Raises NotFound."""
        rows = await self._store.by_id(tx, tenant, [bank_account_id])
        if not rows:
            raise _not_found(bank_account_id)
        return self._open(tenant, rows[0])

    async def by_account(
        self, tx: Tx, tenant: str, numbers: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], BankAccount]:
        """Our accounts among these (bank code, account number) pairs, under the pair as asked."""
        asked = {(code, self._index(number)): (code, number) for code, number in numbers}
        rows = await self._store.by_index(tx, tenant, [index for _, index in asked])
        return {
            asked[key]: self._open(tenant, row)
            for row in rows
            if (key := (row.bank_code, row.account_index)) in asked
        }

    async def by_number(self, tx: Tx, tenant: str, account: str) -> list[BankAccount]:
        """Our accounts with this number, at whichever bank."""
        rows = await self._store.by_index(tx, tenant, [self._index(account)])
        return [self._open(tenant, row) for row in rows]

    async def page(
        self,
        tx: Tx,
        tenant: str,
        *,
        after: UUID | None = None,
        member_unit_id: UUID | None = None,
        limit: int = 100,
    ) -> list[BankAccount]:
        """A page in the order of creation, after an id."""
        rows = await self._store.page(tx, tenant, after or _FIRST, member_unit_id, None, limit)
        return [self._open(tenant, row) for row in rows]

    async def all_for_rail(self, tx: Tx, tenant: str, rail: str) -> list[BankAccount]:
        """Every account, not closed, that this rail reaches."""
        rows = await self._store.page(tx, tenant, _FIRST, None, rail, _EVERYTHING)
        return [self._open(tenant, row) for row in rows if row.state != AccountState.CLOSED]

    async def create(
        self, tx: Tx, tenant: str, new: NewBankAccount, *, actor: str = SYSTEM
    ) -> BankAccount:
        """Add an account with its ledger accounts and, if given, its opening entry.

        Raises Refused for what is not well formed, NotFound for an unknown unit, Conflict when
        the number stands already at this bank.
        """
        rules.check_new(new)
        number = rules.normalise_account(new.account)
        unit = await self._units.member_unit(tx, tenant, new.member_unit_id)
        entity = await self._units.legal_entity(tx, tenant, unit.legal_entity_id)
        now = self._clock.now()
        books = await self._entity_books(tx, tenant, entity, now)
        account_id, ledger_id = self._ids.new(), self._ids.new()
        row = BankAccountRow(
            bank_account_id=account_id,
            member_unit_id=unit.member_unit_id,
            legal_entity_id=unit.legal_entity_id,
            name=new.name,
            account_sealed=self._vault.seal(
                _RECORD_CLASS, number.encode(), _place(tenant, account_id)
            ),
            account_index=self._index(number),
            last_four=number[-4:],
            bank_code=new.bank_code,
            bank_name=new.bank_name,
            nature=new.nature,
            access_modes=new.access_modes,
            currency=new.currency,
            state=AccountState.ACTIVE,
            outward=new.outward,
            overdraft_fen=new.overdraft_fen,
            ledger_account_id=ledger_id,
            counter_account_id=books.payables,
            suspense_account_id=books.suspense,
            version=1,
            created_at=now,
        )
        self._changing(tx)
        if not await self._store.insert(tx, tenant, row):
            raise Conflict(
                "bank_accounts.exists",
                f"The account …{number[-4:]} at bank {new.bank_code} is here already.",
                "Read the existing account and change it.",
            )
        code = f"1002.{unit.code}.{number[-4:]}-{ledger_id.hex[-6:]}"
        book = Account(ledger_id, code, new.name, NormalSide.DEBIT, new.currency, new.overdraft_fen)
        await self._ledger.open_accounts(tx, tenant, [book], now)
        await self._enter_opening(tx, tenant, row, books, new.opening_balance_fen, now)
        await self._log.tell(
            tx, tenant, "bank_account.created", account_id, actor,
            _told(row) | {"opening_balance_fen": new.opening_balance_fen},
        )  # fmt: skip
        return self._open(tenant, row)

    async def update(
        self,
        tx: Tx,
        tenant: str,
        bank_account_id: UUID,
        version: int,
        change: BankAccountChange,
        *,
        actor: str = SYSTEM,
    ) -> BankAccount:
        """The account with these changes, one version on. Raises NotFound; Conflict when
        ``version`` is not the present one; Refused when it is closed, or uses more than the new
        overdraft."""
        rows = await self._store.by_id(tx, tenant, [bank_account_id])
        if not rows:
            raise _not_found(bank_account_id)
        row = rows[0]
        if row.version != version:
            raise _changed(row.last_four, row.version)
        after = rules.changed(row, change)
        self._changing(tx)
        if not await self._store.update(tx, tenant, after, version):
            raise _changed(row.last_four, None)
        if after.overdraft_fen != row.overdraft_fen:
            await self._ledger.change_overdraft(
                tx, tenant, row.ledger_account_id, after.overdraft_fen
            )
        await self._log.tell(
            tx, tenant, "bank_account.changed", bank_account_id, actor, _told(after)
        )
        return self._open(tenant, after)

    async def entity_accounts(self, tx: Tx, tenant: str, legal_entity_id: UUID) -> EntityAccounts:
        """The ledger accounts of a legal entity; opened when they are not there yet."""
        entity = await self._units.legal_entity(tx, tenant, legal_entity_id)
        return await self._entity_books(tx, tenant, entity, self._clock.now())

    def forget(self) -> None:
        """Drop what is kept in this process: someone else changed an account."""
        self._kept.clear()
        self._generation += 1

    async def _entity_books(
        self, tx: Tx, tenant: str, entity: LegalEntity, now: datetime
    ) -> EntityAccounts:
        accounts = [
            Account(
                self._ids.new(),
                code.format(entity.code),
                f"{name} {entity.name}",
                side,
                overdraft_fen=None,
            )
            for _, code, name, side in _ENTITY_BOOKS
        ]
        await self._ledger.open_accounts(tx, tenant, accounts, now)
        found = [(await self._ledger.account(tx, tenant, code=a.code)).account_id for a in accounts]
        return EntityAccounts(*found)

    async def _enter_opening(
        self,
        tx: Tx,
        tenant: str,
        row: BankAccountRow,
        books: EntityAccounts,
        opening_fen: int,
        now: datetime,
    ) -> None:
        if opening_fen == 0:
            return
        own, other = row.ledger_account_id, books.opening
        debit, credit = (own, other) if opening_fen > 0 else (other, own)
        transfer = Transfer(
            transfer_id=self._ids.new(),
            debit=debit,
            credit=credit,
            amount_fen=abs(opening_fen),
            currency=row.currency,
            at=now,
            kind="opening",
            subject=row.bank_account_id,
        )
        (outcome,) = await self._ledger.transfer_many(tx, tenant, [transfer])
        if isinstance(outcome, Refusal):
            raise Refused(outcome.code, outcome.detail, outcome.cure)

    def _index(self, number: str) -> bytes:
        return rules.account_index(self._vault, number)

    def _open(self, tenant: str, row: BankAccountRow) -> BankAccount:
        number = self._vault.open(
            _RECORD_CLASS, row.account_sealed, _place(tenant, row.bank_account_id)
        )
        return BankAccount(
            bank_account_id=row.bank_account_id,
            tenant=tenant,
            member_unit_id=row.member_unit_id,
            legal_entity_id=row.legal_entity_id,
            name=row.name,
            account=number.decode(),
            bank_code=row.bank_code,
            bank_name=row.bank_name,
            nature=Nature(row.nature),
            access_modes=row.access_modes,
            currency=row.currency,
            state=AccountState(row.state),
            outward=row.outward,
            overdraft_fen=row.overdraft_fen,
            ledger_account_id=row.ledger_account_id,
            counter_account_id=row.counter_account_id,
            suspense_account_id=row.suspense_account_id,
            version=row.version,
            created_at=row.created_at,
        )

    def _fresh(self, kept_at: datetime, now: datetime) -> bool:
        age = (now - kept_at).total_seconds()
        return 0 <= self._clock.real_seconds(age) <= _KEPT_S

    def _changing(self, tx: Tx) -> None:
        """This transaction sees rows that others do not: keep nothing it reads, and drop what is
        kept once it is durable."""
        self._writing.add(tx)
        tx.after_commit(self.forget)


def _told(row: BankAccountRow) -> dict[str, object]:
    """What the log is told: all but the number, of which only the last four."""
    hidden = {"bank_account_id", "account_sealed", "account_index", "created_at"}
    return {n: getattr(row, n) for n in row.__struct_fields__ if n not in hidden}


def _place(tenant: str, bank_account_id: UUID) -> bytes:
    return f"{tenant}/{bank_account_id}/account".encode()


def _not_found(bank_account_id: UUID) -> NotFound:
    return NotFound(
        "bank_accounts.not_found",
        f"There is no bank account {bank_account_id}.",
        "List the bank accounts and name one of them.",
    )


def _changed(last_four: str, version: int | None) -> Conflict:
    now = f"; it is version {version} now" if version is not None else ""
    return Conflict(
        "bank_accounts.changed",
        f"The account …{last_four} changed since it was read{now}.",
        "Read it again, look at what changed, and send the change with the new version.",
    )
