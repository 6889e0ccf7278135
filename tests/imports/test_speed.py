"""20,000 rows over 37 units on PostgreSQL: every row paid once, the figures printed, memory flat.

No bound on time is asserted: read the printed figures (``pytest -s``).
"""

from __future__ import annotations

import gc
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from time import perf_counter

import pytest
from tests.imports.helpers import ACCOUNTS, BOOK, TODAY, payment
from tests.imports.house import House, T

from caiwutong.db.postgres import PostgresDatabase
from caiwutong.imports.model import AccountBook, Field, Line, OwnAccount, SourceRow
from caiwutong.imports.readers import open_source
from caiwutong.imports.records import Progress, State
from caiwutong.imports.rows import RowReader
from caiwutong.imports.template import encode
from caiwutong.kernel.clock import SystemClock

pytestmark = pytest.mark.slow


@pytest.mark.engine
@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
async def test_twenty_thousand_rows_are_paid_once_each(
    suffix: str, database: PostgresDatabase
) -> None:
    house = await House(database, SystemClock()).settle()
    data = encode(suffix, (house.row(i) for i in range(20_000)))
    import_id = await house.receive(data, f"付款{suffix}")
    heard: list[tuple[float, Progress]] = []
    began = perf_counter()

    def hear(progress: Progress) -> None:
        heard.append((perf_counter() - began, progress))

    await house.imports.check(T, import_id, hear=hear)
    checked = perf_counter() - began
    first = heard[0][0]
    heard.clear()
    began = perf_counter()
    record = await house.imports.apply(T, import_id, hear=hear)
    applied = perf_counter() - began
    off = max(
        abs(progress.seconds_left - (applied - at)) / applied
        for at, progress in heard
        if progress.seconds_left is not None and progress.rows_done >= 4_000
    )
    print(
        f"{suffix} {len(data) / 1e6:.1f} MB: first progress {first * 1000:.0f} ms, check "
        f"{checked:.2f} s, apply {applied:.2f} s ({20_000 / applied:,.0f} rows/s), estimate off "
        f"by at most {off:.0%} of the whole after 20 %"
    )
    assert record.state is State.FINISHED
    assert (record.applied, record.not_applied) == (20_000, 0)
    paid = await house.paid()
    assert len({row.key for row in paid}) == len(paid) == 20_000
    assert record.applied_fen == await house.held_fen()


def many(count: int) -> bytes:
    return encode(".csv", (payment(i) for i in range(count)))


def peak_of(data: bytes) -> int:
    """The most memory that reading all rows of the file takes, in bytes, beside the file."""
    gc.collect()
    tracemalloc.start()
    good = 0
    with closing(open_source(data)) as source:
        reader = RowReader.of(source, BOOK, TODAY)
        for row in source.rows():
            good += isinstance(row, SourceRow) and isinstance(reader.read(row), Line)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert good == source.total
    return peak


def test_reading_takes_no_more_memory_for_more_rows() -> None:
    small, large = peak_of(many(2_000)), peak_of(many(20_000))
    print(f"peak {small / 1e6:.1f} MB for 2,000 rows, {large / 1e6:.1f} MB for 20,000")
    assert large < small + 4_000_000


def test_two_hundred_thousand_rows_are_read() -> None:
    data = many(200_000)
    own = [OwnAccount(a.bank_account_id, a.number, a.unit_code, a.unit_name) for a in ACCOUNTS]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = perf_counter()
    with closing(open_source(data)) as source:
        reader = RowReader.of(source, AccountBook(own), TODAY)
        good = sum(isinstance(line, Line) for line in lines_of(reader, source.rows()))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{len(data) / 1e6:.0f} MB, 200,000 rows in {perf_counter() - began:.1f} s; resident "
        f"memory grew by {grown:.0f} MiB"
    )
    assert good == 200_000
    assert Field.AMOUNT in source.layout.fields


def lines_of(reader: RowReader, rows: Iterator[object]) -> Iterator[object]:
    for row in rows:
        if isinstance(row, SourceRow):
            yield reader.read(row)
