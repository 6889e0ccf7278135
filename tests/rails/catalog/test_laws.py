"""Whatever one person proposes alone, never more passes than before: random changes, asked at every
edge of time; and two processes that follow each other's changes know the same."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.db.database import Tx
from caiwutong.db.memory import MemoryDatabase
from caiwutong.kernel.clock import ManualClock, SystemRandomness, china_midnight
from caiwutong.kernel.ids import Ids
from caiwutong.rails.catalog import Catalog, Open, within
from caiwutong.rails.catalog.changes import Change, ChangeState
from caiwutong.rails.catalog.memory import MemoryCatalogStore
from caiwutong.rails.catalog.model import Fact, Hours, Limit, Maintenance, SystemDay, Withdrawal
from caiwutong.rails.catalog.service import Catalogs

T = "group"
ZERO = china_midnight(date(2026, 12, 1))
DAYS = st.integers(-5, 25)
BANKS = st.sampled_from(["", "308", "30829"])
AMOUNTS = st.sampled_from([None, 1, 50, 100, 10**6, 10**12])


class NobodySigns:
    """Proposals are written down and wait for ever."""

    async def ask(self, tx: Tx, tenant: str, change: Change, needed: int, now: datetime) -> None:
        assert needed == 1 and change.because

    async def withdraw(self, tx: Tx, tenant: str, change_id: UUID, now: datetime) -> None: ...

    async def withdrawn(self, tx: Tx, tenant: str, change_id: UUID) -> bool:
        return False


def day(number: int) -> datetime:
    return ZERO + timedelta(days=number)


@st.composite
def facts(draw: st.DrawFn) -> Fact | int:
    """A fact about rail x or hvps; a number is a withdrawal of the so-manieth fact that stands."""
    start, length = draw(DAYS), draw(st.integers(1, 20))
    end = None if draw(st.booleans()) else day(start + length)
    head = {"valid_from": day(start), "valid_until": end, "source": "x", "bank": draw(BANKS)}
    kind = draw(st.sampled_from(["limit", "limit", "limit", "withdrawal", "outage", "day"]))
    if kind == "limit":
        return Limit(
            rail=draw(st.sampled_from(["ibps", "hvps"])), per_payment_fen=draw(AMOUNTS),
            inclusive=draw(st.booleans()), **head,
        )  # type: ignore[arg-type]  # fmt: skip
    if kind == "outage":
        return Maintenance(rail="hvps", **head)  # type: ignore[arg-type]
    if kind == "day":
        on = (ZERO + timedelta(days=start, hours=12)).date()
        return SystemDay(rail="hvps", day=on, working=draw(st.booleans()), **head)  # type: ignore[arg-type]
    return draw(st.integers(0, 30))


def passes(catalog: Catalog, now: datetime) -> dict[tuple[str, str, int, int], bool]:
    """Which amounts pass from now on, at every half day and for every kind of bank."""
    found: dict[tuple[str, str, int, int], bool] = {}
    for half in range(80):
        at = now + timedelta(hours=12 * half, minutes=7)
        for rail in ("ibps", "hvps"):
            for bank in ("102100099996", "308290092018", "308110000003"):
                limit = catalog.limit_on(rail, at, bank)
                is_open = isinstance(catalog.open_at(rail, at, bank), Open)
                for fen in (1, 50, 51, 100, 10**6, 10**8, 10**8 + 1, 10**13):
                    through = is_open and limit is not None and within(limit, fen)
                    found[(rail, bank, half, fen)] = through
    return found


def a_house() -> tuple[Catalogs, Catalogs]:
    """Two processes over one store."""
    clock = ManualClock(ZERO)
    store, database, ids = MemoryCatalogStore(), MemoryDatabase(), Ids(clock, SystemRandomness())
    one, other = (
        Catalogs(store, database=database, audit=None, ids=ids, clock=clock,
                 signatures=NobodySigns())
        for _ in range(2)
    )  # fmt: skip
    return one, other


@settings(max_examples=60)
@given(st.lists(facts(), min_size=1, max_size=6))
def test_one_person_alone_never_lets_more_through(changes: list[Fact | int]) -> None:
    async def story() -> None:
        one, other = a_house()
        for number, drawn in enumerate(changes):
            process = (one, other)[number % 2]
            await process.refresh()
            before = process.current(T)
            if isinstance(drawn, int):
                standing = [
                    f for f in before.standing if isinstance(f, Limit | Maintenance | Hours)
                ]
                gone = standing[drawn % len(standing)].fact_id
                fact: Fact = Withdrawal(rail="", valid_from=ZERO, withdraws=gone, source="x")
            else:
                fact = drawn
            allowed = passes(before, ZERO)
            change = await process.propose(T, [fact], reason="r", maker=UUID(int=5), actor="a")
            after = process.current(T)
            if change.state is ChangeState.WAITING:
                assert after.version == before.version
            now_allowed = passes(after, ZERO)
            more = [key for key, through in now_allowed.items() if through and not allowed[key]]
            assert not more, (fact, more[:3])
        await one.refresh()
        await other.refresh()
        assert one.current(T).facts == other.current(T).facts

    asyncio.run(story())
