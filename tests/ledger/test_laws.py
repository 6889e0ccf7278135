"""Laws of the ledger: whatever is asked of it, in whatever order, both stores answer and count
exactly like the naive books, no fen is made or lost, and nothing is spent that is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from caiwutong.db.database import Database
from caiwutong.db.memory import MemoryDatabase
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.errors import Refusal
from caiwutong.ledger.memory import MemoryLedgerStore
from caiwutong.ledger.model import (
    Account,
    Keep,
    NormalSide,
    Operation,
    Outcome,
    Post,
    Reserve,
    Transfer,
    Void,
)
from caiwutong.ledger.service import Ledger
from caiwutong.ledger.store import PostgresLedgerStore
from ledger.naive_books import NaiveBooks

START = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)
"""Late on the last evening of November in China: two hours later another period has begun."""


def _id(n: int) -> UUID:
    return UUID(int=0x0190_0000_0000_7000_8000_000000000000 + n)


BANK, LOAN, MEMBER, PAYABLE, DOLLARS, NOWHERE = (_id(n) for n in range(6))
ACCOUNTS = [
    Account(BANK, "1002.1", "a bank account", NormalSide.DEBIT),
    Account(LOAN, "1002.2", "one with 法人透支", NormalSide.DEBIT, overdraft_fen=60),
    Account(MEMBER, "2241", "a member unit's deposit", NormalSide.CREDIT),
    Account(PAYABLE, "2202", "payables", NormalSide.CREDIT, overdraft_fen=None),
    Account(DOLLARS, "1002.3", "dollars", NormalSide.DEBIT, "USD", overdraft_fen=None),
]
HOLDS = [_id(100 + n) for n in range(4)]
TRANSFERS = [_id(200 + n) for n in range(6)]


class Expire(msgspec.Struct, frozen=True):
    """The clock reaches this moment, and what is over is ended."""

    at: datetime


class Close(msgspec.Struct, frozen=True):
    """The accountants close a period."""

    period: int


Act = list[Operation] | Expire | Close

moments = st.integers(0, 180).map(lambda minutes: START + timedelta(minutes=minutes))
accounts = st.sampled_from([BANK, LOAN, MEMBER, PAYABLE] * 3 + [DOLLARS, NOWHERE])
amounts = st.one_of(st.integers(1, 120), st.sampled_from([40, 40, 60, 100, 0, -1]))
currencies = st.sampled_from(["CNY"] * 9 + ["USD"])
linked = st.sampled_from([False, False, True])

transfers = st.builds(
    Transfer,
    transfer_id=st.sampled_from(TRANSFERS),
    debit=accounts,
    credit=accounts,
    amount_fen=amounts,
    at=moments,
    kind=st.just("law"),
    currency=currencies,
    forced=st.sampled_from([False, False, False, True]),
    linked=linked,
)
funding = st.builds(
    Transfer,
    transfer_id=st.sampled_from(TRANSFERS),
    debit=st.sampled_from([BANK, LOAN]),
    credit=st.sampled_from([MEMBER, PAYABLE]),
    amount_fen=st.sampled_from([100, 200, 300]),
    at=moments,
    kind=st.just("funding"),
    linked=linked,
)
reserves = st.builds(
    Reserve,
    hold_id=st.sampled_from(HOLDS),
    account=st.sampled_from([BANK, BANK, LOAN, MEMBER, PAYABLE, NOWHERE]),
    amount_fen=amounts,
    at=moments,
    currency=currencies,
    expires_at=st.none() | moments,
    linked=linked,
)
posts = st.builds(
    Post,
    hold_id=st.sampled_from(HOLDS),
    transfer_id=st.sampled_from(TRANSFERS),
    counter=accounts,
    at=moments,
    kind=st.just("law"),
    amount_fen=st.none() | amounts,
    linked=linked,
)
voids = st.builds(Void, hold_id=st.sampled_from(HOLDS), at=moments, linked=linked)
keeps = st.builds(Keep, hold_id=st.sampled_from(HOLDS), at=moments, linked=linked)


@st.composite
def batches(draw: st.DrawFn) -> list[Operation]:
    """A few operations; sometimes one of them is asked again."""
    operations = draw(
        st.lists(
            st.one_of(funding, transfers, reserves, reserves, posts, posts, voids, keeps),
            min_size=1,
            max_size=7,
        )
    )
    if draw(st.booleans()):
        operations.append(draw(st.sampled_from(operations)))
    return operations


acts: st.SearchStrategy[Act] = st.one_of(
    batches(),
    batches(),
    batches(),
    st.builds(Expire, at=moments),
    st.builds(Close, period=st.sampled_from([202611, 202612])),
)
stories = st.lists(acts, min_size=1, max_size=6)


def word(outcome: Outcome) -> str:
    if isinstance(outcome, Refusal):
        assert outcome.detail and outcome.cure, "a refusal says what, and what helps"
        return outcome.code
    return "again" if outcome.again else "done"


class Books:
    """A real ledger beside the naive one."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self.database, self.ledger = database, ledger
        self.tenant = f"t{uuid4().hex[-16:]}"
        self.naive = NaiveBooks(ACCOUNTS)

    async def live(self, story: Sequence[Act]) -> None:
        async with self.database.transaction() as tx:
            await self.ledger.open_accounts(tx, self.tenant, ACCOUNTS, START)
        for act in story:
            await self._act(act)
            await self._same_figures()
            await self._laws()

    async def _act(self, act: Act) -> None:
        async with self.database.transaction() as tx:
            if isinstance(act, Expire):
                ended = await self.ledger.expire_due(tx, self.tenant, act.at, 100)
                assert set(ended) == self.naive.expire(act.at)
            elif isinstance(act, Close):
                await self.ledger.close_period(tx, self.tenant, act.period, START, "law")
                self.naive.closed.add(act.period)
            else:
                outcomes = await self.ledger.apply_many(tx, self.tenant, act)
                assert [word(o) for o in outcomes] == self.naive.run(act)

    async def _same_figures(self) -> None:
        """Now, and as of moments before, between and after the changes: what a replay says."""
        seen = sorted({c.at for c in self.naive.state.changes})
        probes = [None, START - timedelta(minutes=1), *seen[::2], START + timedelta(days=9)]
        async with self.database.transaction() as tx:
            for account in self.naive.accounts:
                for moment in probes:
                    found = await self.ledger.balance(
                        tx, self.tenant, account, now=START, as_of=moment
                    )
                    figures = (found.posted_fen, found.held_fen)
                    assert figures == self.naive.figures(account, moment), (account, moment)
                    assert found.available_fen == found.posted_fen - found.held_fen

    async def _laws(self) -> None:
        async with self.database.transaction() as tx:
            for proof in await self.ledger.trial_balance(tx, self.tenant):
                assert proof.holds, proof
            for account in ACCOUNTS:
                found = await self.ledger.balance(tx, self.tenant, account.account_id, now=START)
                assert found.held_fen >= 0
                if (
                    account.overdraft_fen is not None
                    and account.account_id not in self.naive.forced
                ):
                    assert found.available_fen >= -account.overdraft_fen
            for hold_id, hold in self.naive.state.holds.items():
                kept = await self.ledger.hold(tx, self.tenant, hold_id)
                assert kept is not None and kept.posted_fen == hold.posted
                assert (kept.state == "held") == (hold.state == "held")


FUND = Transfer(
    transfer_id=TRANSFERS[0], debit=BANK, credit=PAYABLE, amount_fen=100, at=START, kind="funding"
)
HOLD = Reserve(hold_id=HOLDS[0], account=BANK, amount_fen=100, at=START)
FEE = Transfer(
    transfer_id=TRANSFERS[1], debit=PAYABLE, credit=BANK, amount_fen=40, at=START, kind="fee",
    forced=True,
)  # fmt: skip
PAID = Post(hold_id=HOLDS[0], transfer_id=TRANSFERS[2], counter=PAYABLE, at=START, kind="payment")


@given(stories)
@example([[FUND, HOLD], [FEE], [PAID]])
@example([[FUND, msgspec.structs.replace(HOLD, linked=True), PAID, PAID]])
@settings(max_examples=200)
def test_the_memory_ledger_counts_like_the_naive_books(story: list[Act]) -> None:
    asyncio.run(Books(MemoryDatabase(), Ledger(MemoryLedgerStore())).live(story))


@given(stories)
@example([[FUND, HOLD], [FEE], [PAID]])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_ledger_in_postgres_counts_like_the_naive_books(
    shared_database_url: str, story: list[Act]
) -> None:
    async def live() -> None:
        database = await PostgresDatabase.connect(shared_database_url)
        try:
            await Books(database, Ledger(PostgresLedgerStore())).live(story)
        finally:
            await database.close()

    asyncio.run(live())


@given(st.lists(batches(), min_size=1, max_size=4))
@settings(max_examples=60)
def test_one_batch_or_many_is_the_same(many: list[list[Operation]]) -> None:
    """Where a batch ends decides nothing but where a linked chain must end."""
    unlinked = [[msgspec.structs.replace(op, linked=False) for op in batch] for batch in many]

    async def words(split: Sequence[Sequence[Operation]]) -> list[str]:
        database, ledger = MemoryDatabase(), Ledger(MemoryLedgerStore())
        said: list[str] = []
        async with database.transaction() as tx:
            await ledger.open_accounts(tx, "one", ACCOUNTS, START)
        for batch in split:
            async with database.transaction() as tx:
                said += [word(o) for o in await ledger.apply_many(tx, "one", batch)]
        return said

    together = [op for batch in unlinked for op in batch]
    one_by_one = [[op] for op in together]
    assert (
        asyncio.run(words(unlinked))
        == asyncio.run(words([together]))
        == asyncio.run(words(one_by_one))
    )
