"""Our books, read only: accounts, balances as of any time, entries, the proof of sums."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery

from caiwutong.api.http import Who, reply
from caiwutong.api.paging import Cursor, Limit, Page, Paging, instant
from caiwutong.api.services import Services
from caiwutong.ledger.model import Account, Balance
from caiwutong.ledger.rules import EntryRow

_LATEST = (datetime(9000, 1, 1, tzinfo=UTC), 2**62)


class LedgerAccountView(msgspec.Struct, frozen=True):
    """A ledger account (核算账户)."""

    id: UUID
    code: str
    name: str
    normal_side: str
    """``debit`` or ``credit``: the side on which it grows."""
    currency: str
    overdraft_fen: int | None
    """How far *available* may fall below zero; null: no limit."""


class EntryView(msgspec.Struct, frozen=True):
    """One entry, debit positive, with the balances after it in the account's normal direction."""

    at: datetime
    seq: int
    cause: UUID
    """The transfer or hold behind it."""
    amount_fen: int
    held_fen: int
    posted_after_fen: int
    held_after_fen: int
    currency: str


class TrialView(msgspec.Struct, frozen=True):
    """试算平衡 of one currency: three zeroes, or something is broken."""

    currency: str
    balances_fen: int
    entries_fen: int
    accounts_off: int
    holds: bool


class TrialBalances(msgspec.Struct, frozen=True):
    """One proof per currency."""

    currencies: list[TrialView]


def ledger_routes(house: Services, paging: Paging) -> list[HTTPRouteHandler]:
    """The handlers under /v1/ledger."""
    ledger = house.ledger

    @get("/v1/ledger/accounts")
    async def find_ledger_accounts(
        caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[LedgerAccountView]]:
        """Ledger accounts by code."""
        after = paging.place(caller.tenant, "ledger", cursor) or ""
        async with house.database.transaction() as tx:
            found = await ledger.accounts(tx, caller.tenant, after, limit + 1)
        page = paging.page(caller.tenant, "ledger", limit, found, lambda a: a.code)
        return reply(Page([_account(a) for a in page.items], page.next))

    @get("/v1/ledger/accounts/{account_id:uuid}")
    async def read_ledger_account(
        account_id: FromPath[UUID], caller: Who
    ) -> Response[LedgerAccountView]:
        """One ledger account."""
        async with house.database.transaction() as tx:
            return reply(_account(await ledger.account(tx, caller.tenant, account_id=account_id)))

    @get("/v1/ledger/accounts/{account_id:uuid}/balance")
    async def read_balance(
        account_id: FromPath[UUID], caller: Who, as_of: FromQuery[datetime | None] = None
    ) -> Response[Balance]:
        """Posted, held and available: now, or as of any moment."""
        moment = instant(as_of, "as_of")
        async with house.database.transaction() as tx:
            balance = await ledger.balance(
                tx, caller.tenant, account_id, now=house.clock.now(), as_of=moment
            )
        return reply(balance)

    @get("/v1/ledger/accounts/{account_id:uuid}/entries")
    async def find_entries(
        account_id: FromPath[UUID], caller: Who, limit: Limit = 100, cursor: Cursor = None
    ) -> Response[Page[EntryView]]:
        """An account's entries, newest first."""
        name = f"entries/{account_id}"
        place = paging.place(caller.tenant, name, cursor)
        before = _LATEST
        if place is not None:
            at, _, seq = place.rpartition(" ")
            before = (datetime.fromisoformat(at), int(seq))
        async with house.database.transaction() as tx:
            await ledger.account(tx, caller.tenant, account_id=account_id)
            found = await ledger.entries(tx, caller.tenant, account_id, before, limit + 1)
        page = paging.page(
            caller.tenant, name, limit, found, lambda e: f"{e.at.isoformat()} {e.seq}"
        )
        return reply(Page([_entry(e) for e in page.items], page.next))

    @get("/v1/ledger/trial-balance")
    async def read_trial_balance(caller: Who) -> Response[TrialBalances]:
        """The proof that no fen was made or lost."""
        async with house.database.transaction() as tx:
            proofs = await ledger.trial_balance(tx, caller.tenant)
        return reply(
            TrialBalances(
                [
                    TrialView(p.currency, p.balances_fen, p.entries_fen, p.accounts_off, p.holds)
                    for p in proofs
                ]
            )
        )

    return [
        find_ledger_accounts, read_ledger_account, read_balance, find_entries, read_trial_balance,
    ]  # fmt: skip


def _account(a: Account) -> LedgerAccountView:
    side = "debit" if a.normal_side > 0 else "credit"
    return LedgerAccountView(a.account_id, a.code, a.name, side, a.currency, a.overdraft_fen)


def _entry(e: EntryRow) -> EntryView:
    return EntryView(
        e.at, e.seq, e.cause, e.amount_fen, e.held_fen, e.posted_after, e.held_after, e.currency
    )
