"""Ledger benches: batches through the real service and store, every index and guard in place.

*transfers*: direct transfers between 10,000 accounts drawn uniformly. *hot*: every transfer
credits one and the same account. *reserve + post*: each piece is a hold taken in one batch and
posted in the next. Accounts may not be overdrawn, so every balance is judged. Afterwards the trial
balance must hold and every entry must be there.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from caiwutong.benchmarks.cpu import cpu_of_trees, per_piece
from caiwutong.benchmarks.results import Result, latency_of
from caiwutong.db.migrate import migrate
from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import SystemClock, SystemRandomness
from caiwutong.kernel.errors import Broken
from caiwutong.kernel.ids import Ids
from caiwutong.ledger.model import (
    DONE,
    Account,
    NormalSide,
    Operation,
    Post,
    Reserve,
    Transfer,
)
from caiwutong.ledger.service import Ledger
from caiwutong.ledger.store import PostgresLedgerStore

TENANT = "bench"
ACCOUNTS = 10_000
BATCH = 4_000

_FUNDS_FEN = 10_000_000_00


async def bench_ledger(
    url: str, postgres_pid: int, seconds: float, *, accounts: int = ACCOUNTS, batch: int = BATCH
) -> list[Result]:
    """The three rows, measured on a fresh database at ``url``."""
    await asyncio.to_thread(migrate, url)
    database = await PostgresDatabase.connect(url, name="bench-ledger", max_size=2)
    try:
        books = _Books(database, accounts, batch)
        await books.open()
        rows: list[Result] = []
        for name, make in (
            (f"ledger transfers ×{batch:,}", books.uniform),
            (f"ledger hot account ×{batch:,}", books.hot),
        ):
            rows.append(await _measure(name, books, make, postgres_pid, seconds))
        rows.append(await _measure_holds(books, postgres_pid, seconds))
        await books.prove()
        return rows
    finally:
        await database.close()


class _Books:
    """The ledger under test and who draws its operations."""

    def __init__(self, database: PostgresDatabase, accounts: int, batch: int) -> None:
        clock = SystemClock()
        self.database, self.batch = database, batch
        self.ledger = Ledger(PostgresLedgerStore())
        self.ids = Ids(clock, SystemRandomness())
        self.now: Callable[[], datetime] = clock.now
        self.accounts = [self.ids.new() for _ in range(accounts)]
        self.hot_account = self.ids.new()
        self.transfers = 0
        self._draw = random.Random(1)

    async def open(self) -> None:
        """Open and fund every account, so that its overdraft of zero is a real limit."""
        opening, at = self.ids.new(), self.now()
        accounts = [
            Account(account_id, f"1002.{number:05}", "bench", NormalSide.DEBIT)
            for number, account_id in enumerate([*self.accounts, self.hot_account])
        ]
        accounts.append(Account(opening, "3001", "opening", NormalSide.CREDIT, overdraft_fen=None))
        async with self.database.transaction() as tx:
            await self.ledger.open_accounts(tx, TENANT, accounts, at)
        everyone = [*self.accounts, self.hot_account]
        for start in range(0, len(everyone), 2_000):
            await self.apply(
                [self._transfer(a, opening, _FUNDS_FEN, at) for a in everyone[start : start + 2000]]
            )

    def uniform(self) -> list[Operation]:
        """A batch between accounts drawn uniformly."""
        at, draw = self.now(), self._draw.choices
        debits, credits_ = draw(self.accounts, k=self.batch), draw(self.accounts, k=self.batch)
        return [
            self._transfer(debit, self.hot_account if credit == debit else credit, 1_00, at)
            for debit, credit in zip(debits, credits_, strict=True)
        ]

    def hot(self) -> list[Operation]:
        """A batch that credits one account."""
        at, payers = self.now(), self._draw.choices(self.accounts, k=self.batch)
        return [self._transfer(debit, self.hot_account, 1, at) for debit in payers]

    def reserves(self) -> list[Reserve]:
        at, payers = self.now(), self._draw.choices(self.accounts, k=self.batch)
        return [
            Reserve(hold_id=self.ids.new(), account=payer, amount_fen=1_00, at=at)
            for payer in payers
        ]

    def posts(self, holds: Sequence[Reserve]) -> list[Operation]:
        """What turns these holds into transfers to other accounts."""
        at = self.now()
        counters = self._draw.choices(self.accounts, k=len(holds))
        return [
            Post(
                hold_id=hold.hold_id,
                transfer_id=self.ids.new(),
                counter=self.hot_account if counter == hold.account else counter,
                at=at,
                kind="bench",
            )
            for hold, counter in zip(holds, counters, strict=True)
        ]

    async def apply(self, operations: Sequence[Operation]) -> None:
        """One batch, durable. Raises Broken when any operation was refused."""
        async with self.database.transaction() as tx:
            outcomes = await self.ledger.apply_many(tx, TENANT, operations)
        refused = [outcome for outcome in outcomes if outcome != DONE]
        if refused:
            raise Broken("bench.refused", f"The ledger refused: {refused[0]}.", "See why.")
        self.transfers += sum(1 for each in operations if not isinstance(each, Reserve))

    async def prove(self) -> None:
        """Sums are zero, balances are what entries say, no transfer is missing."""
        async with self.database.transaction() as tx:
            proofs = await self.ledger.trial_balance(tx, TENANT)
            found = await tx.value(
                "SELECT count(*) FROM ledger_transfers WHERE tenant = $1", TENANT
            )
        if not all(proof.holds for proof in proofs) or found != self.transfers:
            raise Broken(
                "bench.wrong_books",
                f"{found} transfers of {self.transfers}, trial balance {proofs}.",
                "The figures of this run count for nothing; find the fault first.",
            )

    def _transfer(self, debit: UUID, credit: UUID, fen: int, at: datetime) -> Transfer:
        return Transfer(
            transfer_id=self.ids.new(),
            debit=debit,
            credit=credit,
            amount_fen=fen,
            at=at,
            kind="bench",
        )


async def _measure(
    name: str,
    books: _Books,
    make: Callable[[], list[Operation]],
    postgres_pid: int,
    seconds: float,
) -> Result:
    async def piece() -> int:
        operations = make()
        await books.apply(operations)
        return len(operations)

    return await _drive(name, "transfers", piece, postgres_pid, seconds)


async def _measure_holds(books: _Books, postgres_pid: int, seconds: float) -> Result:
    async def piece() -> int:
        holds = books.reserves()
        await books.apply(holds)
        await books.apply(books.posts(holds))
        return len(holds)

    name = f"ledger reserve + post ×{books.batch:,}"
    return await _drive(name, "payments", piece, postgres_pid, seconds)


async def _drive(
    name: str, unit: str, piece: Callable[[], Awaitable[int]], postgres_pid: int, seconds: float
) -> Result:
    """One piece after the other for this long; drawing them is part of the time. A second one at
    the same moment would only wait for the first one's locks."""
    await piece()  # Plans, caches and connections are warm before the clock starts.
    took: list[float] = []
    done, roots = 0, {"postgres": postgres_pid}
    before, start = cpu_of_trees(roots), time.perf_counter()
    while (began := time.perf_counter()) < start + seconds:
        done += await piece()
        took.append(time.perf_counter() - began)
    elapsed = time.perf_counter() - start
    cpu = per_piece(before, cpu_of_trees(roots), done)
    return Result(
        name=name,
        value=done / elapsed,
        unit=unit,
        latency=latency_of(took),
        cpu_us={"postgres": cpu["postgres"], "python": cpu["load generator"]},
        extra={"pieces": done, "seconds": round(elapsed, 2), "started": str(datetime.now(UTC))},
    )
