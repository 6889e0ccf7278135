"""Facts from files: read whole or not at all, every wrong row named."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.kernel.clock import china_midnight
from caiwutong.kernel.errors import Refused
from caiwutong.rails.catalog.files import COLUMNS, read_file
from caiwutong.rails.catalog.model import (
    Band,
    Discount,
    Hours,
    Limit,
    Maintenance,
    NettingRounds,
    SystemDay,
    Tariff,
)

CSV = """\
fact,rail,bank,valid_from,valid_until,source,amount,up_to,flat,rate_percent,cap,percent_off,words,\
opens,opens_days_before,closes,times,day,working
limit,beps,,2027-02-05,2027-02-12,通知,500000000,,,,,,,,,,,,
tariff,ibps,308,2026-01-01,,协议,,10000,5,,,,,,,,,,
tariff,ibps,308,2026-01-01,,协议,,,,0.002%,200,,,,,,,,
discount,ibps,308,2026-01-01,2026-07-01,协议,,100000,,,,10,,,,,,,
maintenance,ibps,308,2026-12-05 00:00,2026-12-05T08:00+08:00,公告,,,,,,,系统升级,,,,,,
hours,hvps,,2027-01-01,,通知,,,,,,,,20:30,1,17:15,,,
netting_rounds,beps,,2027-01-01,,通知,,,,,,,,,,,10:00 16:00,,
system_day,hvps,,2026-12-05,,通知,,,,,,,,,,,,2026-12-05,是
"""
DAY = china_midnight(date(2026, 1, 1))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_csv_file_with_one_fact_of_each_kind(encoding: str) -> None:
    limit, tariff, discount, outage, hours, rounds, day = read_file("a.csv", CSV.encode(encoding))
    assert isinstance(limit, Limit) and limit.per_payment_fen == 500_000_000_00
    assert limit.valid_from == china_midnight(date(2027, 2, 5))
    assert isinstance(tariff, Tariff)
    assert tariff.bands == (
        Band(up_to_fen=10_000_00, flat_fen=5_00), Band(rate_ppm=20, cap_fen=200_00),
    )  # fmt: skip
    assert isinstance(discount, Discount) and discount.percent_off == 10
    assert isinstance(outage, Maintenance) and outage.words == "系统升级"
    assert outage.valid_from == datetime(2026, 12, 4, 16, tzinfo=UTC)
    assert isinstance(hours, Hours) and (hours.opens, hours.opens_days_before) == (time(20, 30), 1)
    assert isinstance(rounds, NettingRounds) and rounds.times == (time(10), time(16))
    assert isinstance(day, SystemDay) and day.working


def test_a_json_file_as_the_api_takes_it() -> None:
    fact = {"fact": "limit", "rail": "ibps", "valid_from": "2026-01-01", "per_payment_fen": 5,
            "source": "x"}  # fmt: skip
    for body in ([fact], {"facts": [fact]}):
        (found,) = read_file("a.json", json.dumps(body).encode())
        assert found == Limit(rail="ibps", valid_from=DAY, per_payment_fen=5, source="x")


def test_every_wrong_row_is_named_and_nothing_is_read() -> None:
    text = (
        "fact,rail,valid_from,source,amount\n"
        "limit,ibps,2026-01-01,x,100\n"
        "limit,ibps,2026-13-01,x,100\n"
        "limit,ibps,2026-01-01,x,1.005\n"
        "limit,IBPS,2026-01-01,x,1\n"
        "quota,ibps,2026-01-01,x,1\n"
        "maintenance,ibps,2026-01-01,x,1\n"
    )
    with pytest.raises(Refused) as refused:
        read_file("a.csv", text.encode())
    assert refused.value.code == "catalog.bad_file"
    rows = refused.value.facts["rows"]
    assert [(row["row"], row["field"]) for row in rows] == [
        (3, "valid_from"), (4, "amount"), (5, "rail"), (6, "fact"), (7, "amount"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.csv", b""),
        ("a.csv", b"fact,amout\n"),
        ("a.csv", b"fact,rail\n\n"),
        ("a.csv", b"\xff\xff\xff"),
        ("a.json", b"{"),
        ("a.json", b"{}"),
        ("a.json", b'[{"fact": "limit"}]'),
        ("a.json", b'[7, {"fact": "nothing"}]'),
    ],
)
def test_a_file_without_facts_is_refused(name: str, raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        read_file(name, raw)
    assert refused.value.code == "catalog.bad_file"


CELLS = st.sampled_from(["", "limit", "tariff", "hours", "ibps", "1.5", "2026-01-01", "x"])


@given(st.lists(st.lists(CELLS, min_size=8, max_size=8), max_size=6))
def test_any_rows_are_facts_or_refused(rows: list[list[str]]) -> None:
    text = "\n".join([",".join(COLUMNS[:8]), *(",".join(row) for row in rows)])
    with contextlib.suppress(Refused):
        assert read_file("a.csv", text.encode())


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.json"]))
def test_any_bytes_are_facts_or_refused(raw: bytes, name: str) -> None:
    with contextlib.suppress(Refused):
        assert read_file(name, raw)
