"""Our accounts at banks, with the drift between our book and the bank; and the payee book."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from caiwutong.api.http import PROBLEMS, TAKES, Body, IfMatch, Who, actor, decode, reply, version_in
from caiwutong.api.paging import Cursor, Limit, Page, Paging
from caiwutong.api.services import Services
from caiwutong.bank_accounts.model import (
    AccountState,
    BankAccount,
    BankAccountChange,
    Nature,
    NewBankAccount,
    NewPayee,
    Payee,
    PayeeChange,
    PayeeState,
)
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.rails.contract import AccountAtBank, BankBalance


class BankAccountView(msgspec.Struct, frozen=True):
    """An account of ours at a bank; the number is masked."""

    bank_account_id: UUID
    member_unit_id: UUID
    legal_entity_id: UUID
    name: str
    account: str
    bank_code: str
    bank_name: str
    nature: Nature
    access_modes: tuple[str, ...]
    currency: str
    state: AccountState
    outward: bool
    overdraft_fen: int
    ledger_account_id: UUID
    version: int
    created_at: datetime


class BankDrift(msgspec.Struct, frozen=True):
    """What we believe stands on an account, beside what its bank says now."""

    bank_account_id: UUID
    rail: str
    """Which channel asked the bank."""
    book_posted_fen: int
    book_held_fen: int
    bank_balance_fen: int
    bank_available_fen: int
    bank_at: datetime
    drift_fen: int
    """Bank minus book. Payments on their way explain part of it until they are posted."""


class PayeeView(msgspec.Struct, frozen=True):
    """Someone we pay; the number is masked."""

    payee_id: UUID
    name: str
    account: str
    bank_code: str
    bank_name: str
    state: PayeeState
    index: str
    """What a mandate names: the blind index of the account, hex."""
    version: int
    created_at: datetime
    changed_at: datetime


def bank_account_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/bank-accounts."""
    accounts = house.bank_accounts

    @post("/v1/bank-accounts", opt={TAKES: NewBankAccount, PROBLEMS: (404, 409)})
    async def create_bank_account(body: Body, caller: Who) -> Response[BankAccountView]:
        """Add an account of ours; its ledger accounts and opening entry come with it."""
        new = decode(NewBankAccount, body)
        async with house.database.transaction() as tx:
            made = await accounts.create(tx, caller.tenant, new, actor=actor(caller))
        where = f"/v1/bank-accounts/{made.bank_account_id}"
        return reply(_account(made), status=201, version=made.version, location=where)

    @get("/v1/bank-accounts")
    async def find_bank_accounts(
        caller: Who,
        member_unit_id: FromQuery[UUID | None] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[Page[BankAccountView]]:
        """Our accounts in order of creation, of all member units or of one."""
        after = paging.id_after(caller.tenant, "bank_accounts", cursor)
        async with house.database.transaction() as tx:
            found = await accounts.page(
                tx, caller.tenant, after=after, member_unit_id=member_unit_id, limit=limit + 1
            )
        page = paging.page(
            caller.tenant, "bank_accounts", limit, found, lambda a: str(a.bank_account_id)
        )
        return reply(Page([_account(a) for a in page.items], page.next))

    @get("/v1/bank-accounts/{bank_account_id:uuid}")
    async def read_bank_account(
        bank_account_id: FromPath[UUID], caller: Who
    ) -> Response[BankAccountView]:
        """One account of ours."""
        async with house.database.transaction() as tx:
            found = await accounts.get(tx, caller.tenant, bank_account_id)
        return reply(_account(found), version=found.version)

    @patch(
        "/v1/bank-accounts/{bank_account_id:uuid}",
        opt={TAKES: BankAccountChange, PROBLEMS: (412, 428)},
    )
    async def change_bank_account(
        bank_account_id: FromPath[UUID], body: Body, caller: Who, if_match: IfMatch = None
    ) -> Response[BankAccountView]:
        """Change what may change. Number and bank never do: another number is another account."""
        change, version = decode(BankAccountChange, body), version_in(if_match)
        async with house.database.transaction() as tx:
            done = await accounts.update(
                tx, caller.tenant, bank_account_id, version, change, actor=actor(caller)
            )
        return reply(_account(done), version=done.version)

    @get("/v1/bank-accounts/{bank_account_id:uuid}/drift", opt={PROBLEMS: (503, 504)})
    async def read_drift(bank_account_id: FromPath[UUID], caller: Who) -> Response[BankDrift]:
        """Ask the bank what stands on the account, and compare it with our book."""
        async with house.database.transaction() as tx:
            account = await accounts.get(tx, caller.tenant, bank_account_id)
        rail, told = await _ask_bank(house, account)
        async with house.database.transaction() as tx:
            book = await house.ledger.balance(
                tx, caller.tenant, account.ledger_account_id, now=house.clock.now()
            )
        return reply(
            BankDrift(
                bank_account_id, rail, book.posted_fen, book.held_fen, told.balance_fen,
                told.available_fen, told.at, told.balance_fen - book.posted_fen,
            )
        )  # fmt: skip

    return [
        create_bank_account, find_bank_accounts, read_bank_account, change_bank_account,
        read_drift,
    ]  # fmt: skip


def payee_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/payees."""
    payees = house.payees

    @post("/v1/payees", opt={TAKES: NewPayee})
    async def create_payee(body: Body, caller: Who) -> Response[PayeeView]:
        """Keep a payee."""
        new = decode(NewPayee, body)
        async with house.database.transaction() as tx:
            made = await payees.create(tx, caller.tenant, new, actor=actor(caller))
        where = f"/v1/payees/{made.payee_id}"
        return reply(_payee(made), status=201, version=made.version, location=where)

    @get("/v1/payees")
    async def find_payees(
        caller: Who,
        account: Annotated[str | None, msgspec.Meta(max_length=64)] = None,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> Response[Page[PayeeView]]:
        """Payees in order of creation, or those with one account number."""
        async with house.database.transaction() as tx:
            if account:
                found = await payees.by_account(tx, caller.tenant, account)
                return reply(Page([_payee(p) for p in found], None))
            after = paging.id_after(caller.tenant, "payees", cursor)
            found = await payees.page(tx, caller.tenant, after, limit + 1)
        page = paging.page(caller.tenant, "payees", limit, found, lambda p: str(p.payee_id))
        return reply(Page([_payee(p) for p in page.items], page.next))

    @get("/v1/payees/{payee_id:uuid}")
    async def read_payee(payee_id: FromPath[UUID], caller: Who) -> Response[PayeeView]:
        """The newest version of a payee."""
        async with house.database.transaction() as tx:
            found = await payees.get(tx, caller.tenant, payee_id)
        return reply(_payee(found), version=found.version)

    @patch("/v1/payees/{payee_id:uuid}", opt={TAKES: PayeeChange, PROBLEMS: (412, 428)})
    async def change_payee(
        payee_id: FromPath[UUID], body: Body, caller: Who, if_match: IfMatch = None
    ) -> Response[PayeeView]:
        """A new version of a payee; the ones before stay."""
        change, version = decode(PayeeChange, body), version_in(if_match)
        async with house.database.transaction() as tx:
            done = await payees.update(
                tx, caller.tenant, payee_id, version, change, actor=actor(caller)
            )
        return reply(_payee(done), version=done.version)

    return [create_payee, find_payees, read_payee, change_payee]


async def _ask_bank(house: Services, account: BankAccount) -> tuple[str, BankBalance]:
    at_bank = AccountAtBank(account.name, account.account, account.bank_code, account.bank_name)
    for mode in account.access_modes:
        rail = house.rails.get(mode)
        if rail is None:
            continue
        for told in await rail.balances([at_bank]):
            if told.account == account.account:
                return mode, told
        raise Unavailable(
            "bank_accounts.no_balance",
            f"The bank gave no balance for {account.masked}.",
            "Ask again later.",
        )
    raise Refused(
        "bank_accounts.no_access",
        f"No connected channel reaches the account {account.masked}.",
        "Add an access mode that is connected here.",
    )


def _account(a: BankAccount) -> BankAccountView:
    return BankAccountView(
        a.bank_account_id, a.member_unit_id, a.legal_entity_id, a.name, a.masked, a.bank_code,
        a.bank_name, a.nature, a.access_modes, a.currency, a.state, a.outward, a.overdraft_fen,
        a.ledger_account_id, a.version, a.created_at,
    )  # fmt: skip


def _payee(p: Payee) -> PayeeView:
    return PayeeView(
        p.payee_id, p.name, p.masked, p.bank_code, p.bank_name, p.state, p.index.hex(), p.version,
        p.created_at, p.changed_at,
    )  # fmt: skip
