"""Every question of the catalog: tables checked by hand, and laws for any moment from 1990 to 2100.

HVPS: the natural day before 20:30 to 17:15 on legal working days, worked weekends included, since
2018-05-02 (DOMAIN: secondary). 2026 working weekends by the notice 国办发明电〔2025〕7号.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caiwutong.kernel.clock import CHINA, china_date, china_midnight
from caiwutong.rails.catalog import Catalog, Closed, Open, Unknown, shipped, within
from caiwutong.rails.catalog.model import (
    Band,
    Discount,
    Fee,
    Limit,
    Maintenance,
    NettingRounds,
    Tariff,
    Withdrawal,
)
from caiwutong.rails.catalog.rules import same_bank
from caiwutong.rails.catalog.views import look

NOW = shipped()
RAILS = st.sampled_from(["hvps", "beps", "ibps", "bank_direct", "bank_file", "nothing"])
MOMENTS = st.datetimes(
    datetime(1990, 1, 2), datetime(2100, 12, 30), timezones=st.just(UTC)
)  # fmt: skip


def t(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=CHINA)


@pytest.mark.parametrize(
    ("at", "answer"),
    [
        ("2026-11-23 17:14:59", "until 2026-11-23 17:15"),  # Monday
        ("2026-11-23 17:15:00", "clearing_window 2026-11-23 20:30"),
        ("2026-11-23 17:29:59", "clearing_window 2026-11-23 20:30"),
        ("2026-11-23 17:30:00", "hours 2026-11-23 20:30"),
        ("2026-11-23 20:29:59", "hours 2026-11-23 20:30"),
        ("2026-11-23 20:30:00", "until 2026-11-24 17:15"),
        ("2026-11-27 20:30:00", "hours 2026-11-29 20:30"),  # Friday evening
        ("2026-11-28 12:00:00", "holiday 2026-11-29 20:30"),
        ("2026-11-29 20:30:00", "until 2026-11-30 17:15"),  # Sunday evening
        # 2026: worked 01-04, 02-14, 02-28, 05-09, 09-20, 10-10
        ("2026-01-04 10:00:00", "until 2026-01-04 17:15"),  # Sunday, worked
        ("2026-01-03 20:30:00", "until 2026-01-04 17:15"),
        ("2026-02-14 17:14:59", "until 2026-02-14 17:15"),  # Saturday, worked
        ("2026-02-14 20:30:00", "hours 2026-02-23 20:30"),  # Spring Festival follows
        ("2026-02-23 20:29:59", "holiday 2026-02-23 20:30"),
        ("2026-02-28 09:00:00", "until 2026-02-28 17:15"),
        ("2026-05-09 09:00:00", "until 2026-05-09 17:15"),
        ("2026-05-01 09:00:00", "holiday 2026-05-05 20:30"),
        ("2026-09-20 09:00:00", "until 2026-09-20 17:15"),  # Sunday, worked
        ("2026-10-10 09:00:00", "until 2026-10-10 17:15"),  # Saturday, worked
        ("2026-10-11 09:00:00", "holiday 2026-10-11 20:30"),
        ("2018-05-01 20:30:00", "until 2018-05-02 17:15"),  # the first evening of the new hours
        ("2018-04-26 22:00:00", "hours 2018-04-26 23:30"),
        ("2018-04-26 23:30:00", "until 2018-04-27 17:15"),
        ("2017-11-23 08:29:59", "hours 2017-11-23 08:30"),
        ("2017-11-23 16:59:59", "until 2017-11-23 17:00"),
    ],
)
def test_when_hvps_is_open(at: str, answer: str) -> None:
    found = NOW.open_at("hvps", t(at))
    assert not isinstance(found, Unknown) and found.until is not None and not found.provisional
    said = "until" if isinstance(found, Open) else found.why
    assert f"{said} {found.until.astimezone(CHINA):%Y-%m-%d %H:%M}" == answer


def test_a_year_without_a_notice_is_answered_as_provisional() -> None:
    for at in ("2031-03-03 10:00", "2031-03-03 19:00", "2031-03-01 10:00"):
        found = NOW.open_at("hvps", t(at))
        assert isinstance(found, Open | Closed) and found.provisional
        assert "2031" in found.note


def test_the_last_evening_of_a_known_year_opens_into_an_unknown_one() -> None:
    found = NOW.open_at("hvps", t("2026-12-31 18:00"))
    assert isinstance(found, Closed) and found.provisional


@pytest.mark.parametrize(
    ("at", "cutoff"),
    [
        ("2026-11-23 09:00", "2026-11-23 17:15"),
        ("2026-11-23 17:15", None),
        ("2026-11-23 21:00", None),  # the evening books on Tuesday
        ("2026-11-28 12:00", None),
        ("2026-09-20 00:30", "2026-09-20 17:15"),
    ],
)
def test_the_last_moment_for_todays_date(at: str, cutoff: str | None) -> None:
    assert NOW.cutoff("hvps", t(at)) == (t(cutoff) if cutoff else None)
    assert NOW.cutoff("beps", t(at)) == china_midnight(china_date(t(at)) + timedelta(days=1))


@pytest.mark.parametrize(
    ("rail", "day", "fen"),
    [
        ("beps", "2020-01-24", 1_000_000_00),
        ("beps", "2020-01-25", 500_000_000_00),
        ("beps", "2020-01-30", 500_000_000_00),
        ("beps", "2020-01-31", 1_000_000_00),
        ("beps", "2008-01-01", 20_000_00),
        ("ibps", "2012-01-01", 50_000_00),
        ("ibps", "2026-01-01", 1_000_000_00),
    ],
)
def test_the_limit_of_a_day(rail: str, day: str, fen: int) -> None:
    found = NOW.limit_on(rail, t(day))
    assert found is not None and found.per_payment_fen == fen
    assert within(found, fen) and not within(found, fen + 1)


def test_the_tighter_of_the_networks_and_the_banks_limit_counts() -> None:
    def banks(fen: int) -> Catalog:
        return NOW.with_facts(
            [Limit(rail="ibps", bank="308", valid_from=t("2026-01-01"), per_payment_fen=fen,
                   source="x")]
        )  # fmt: skip

    at = t("2026-06-01")
    for fen, counts in ((200_000_00, 200_000_00), (9_000_000_00, 1_000_000_00)):
        found = banks(fen).limit_on("ibps", at, "308290092018")
        assert found is not None and found.per_payment_fen == counts
        other = banks(fen).limit_on("ibps", at, "102100099996")
        assert other is not None and other.per_payment_fen == 1_000_000_00


def test_exactly_the_limit_passes_where_the_fact_says_so() -> None:
    limit = Limit(rail="x", valid_from=t("2026-01-01"), per_payment_fen=100, source="x")
    assert within(limit, 100)
    outside = Limit(
        rail="x", valid_from=t("2026-01-01"), per_payment_fen=100, inclusive=False, source="x"
    )
    assert within(outside, 99) and not within(outside, 100)


@pytest.mark.parametrize(
    ("amount_fen", "at", "fee_fen", "list_fen"),
    [
        (1, "2026-01-01", 5_00, 5_00),
        (10_000_00, "2026-01-01", 5_00, 5_00),
        (10_000_01, "2026-01-01", 10_00, 10_00),
        (100_000_00, "2026-01-01", 10_00, 10_00),
        (500_000_00, "2026-01-01", 15_00, 15_00),
        (1_000_000_00, "2026-01-01", 20_00, 20_00),
        (1_000_000_01, "2026-01-01", 20_00, 20_00),
        (1_234_567_89, "2026-01-01", 24_69, 24_69),
        (10_000_000_00, "2026-01-01", 200_00, 200_00),
        (99_000_000_00, "2026-01-01", 200_00, 200_00),
        (100_000_00, "2023-01-01", 9_00, 10_00),
        (100_000_01, "2023-01-01", 15_00, 15_00),
        (100_000_00, "2024-12-31", 9_00, 10_00),
        (100_000_00, "2025-01-01", 10_00, 10_00),
        (100_000_00, "2021-09-29", 10_00, 10_00),
    ],
)
def test_the_counter_tariff(amount_fen: int, at: str, fee_fen: int, list_fen: int) -> None:
    """发改价格〔2014〕268号, and 10 % off up to 100,000 from 2021-09-30 to 2024-12-31."""
    found = NOW.fee("102100099996", "counter", amount_fen, t(at))
    assert isinstance(found, Fee) and (found.fen, found.list_fen) == (fee_fen, list_fen)


def test_a_fee_nobody_recorded_is_unknown() -> None:
    assert isinstance(NOW.fee("308", "ibps", 1, t("2026-01-01")), Unknown)
    assert isinstance(NOW.fee("308", "counter", 1, t("2010-01-01")), Unknown)
    short = Tariff(
        rail="ibps", valid_from=t("2026-01-01"), bands=(Band(up_to_fen=5, flat_fen=1),), source="x"
    )
    assert isinstance(NOW.with_facts([short]).fee("308", "ibps", 6, t("2026-01-02")), Unknown)


def test_a_banks_own_tariff_and_discount_stand_before_the_general_ones() -> None:
    start = t("2026-01-01")
    own = [
        Tariff(rail="ibps", valid_from=start, bands=(Band(flat_fen=500),), source="all"),
        Tariff(rail="ibps", bank="308", valid_from=start, bands=(Band(flat_fen=300),), source="m"),
        Discount(rail="ibps", bank="308", valid_from=start, percent_off=50, source="m"),
    ]
    catalog = NOW.with_facts(own)
    fees = [catalog.fee(bank, "ibps", 100, start) for bank in ("308290000001", "102100099996")]
    assert [fee.fen for fee in fees if isinstance(fee, Fee)] == [150, 500]
    free = catalog.fee("308290000001", "ibps", 100, start, "308110000003")
    assert isinstance(free, Fee) and free.fen == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("308290092018", "308110000003", True),
        ("308290092018", "102100099996", False),
        ("313301093019", "313301093027", True),
        ("313301093019", "313330093022", False),  # two city banks share 313
        ("", "", False),
    ],
)
def test_which_codes_are_one_bank(one: str, other: str, same: bool) -> None:
    assert same_bank(one, other) is same


def test_netting_rounds() -> None:
    start = t("2026-01-01")
    two = NettingRounds(rail="x", valid_from=start, times=(time(16), time(10)), source="x")
    catalog = NOW.with_facts([two])
    assert catalog.rounds("x", t("2026-03-01")) == (t("2026-03-01 10:00"), t("2026-03-01 16:00"))
    assert catalog.next_round("x", t("2026-03-01 16:00")) == t("2026-03-02 10:00")
    assert NOW.rounds("hvps", start) == ()
    assert NOW.next_round("hvps", start) is None
    assert isinstance(NOW.rounds("nothing", start), Unknown)
    half_hours = NOW.rounds("beps", start)
    assert not isinstance(half_hours, Unknown) and len(half_hours) == 48
    assert NOW.next_round("beps", t("2026-03-01 23:45")) == t("2026-03-02 00:00")


def test_facts_are_as_they_were_known() -> None:
    outage = Maintenance(
        fact_id="m", rail="beps", valid_from=t("2026-12-05"), valid_until=t("2026-12-06"),
        source="x", recorded_at=t("2026-12-01"),
    )  # fmt: skip
    off = Withdrawal(
        fact_id="w", rail="", valid_from=t("2026-12-04"), withdraws="m", source="x",
        recorded_at=t("2026-12-04"),
    )  # fmt: skip
    catalog = NOW.with_facts([outage, off])
    at = t("2026-12-05 10:00")
    assert isinstance(catalog.open_at("beps", at), Open)
    assert isinstance(catalog.known_at(t("2026-12-03")).open_at("beps", at), Closed)
    assert isinstance(catalog.known_at(t("2026-11-30")).open_at("beps", at), Open)
    known = catalog.known_at(t("2026-12-03"))
    assert known.maintenance("beps", t("2026-12-02")) == (outage,)
    assert known.maintenance("beps", t("2026-12-02"), announced=t("2026-11-30")) == ()


@given(RAILS, MOMENTS)
def test_every_question_has_an_answer_for_any_moment(rail: str, at: datetime) -> None:
    view = look(NOW, at, at)
    assert [each.rail for each in view.rails] == sorted(each.rail for each in view.rails)
    NOW.open_at(rail, at)
    NOW.cutoff(rail, at)
    NOW.rounds(rail, at)
    NOW.next_round(rail, at)
    NOW.limit_on(rail, at)
    NOW.fee("308", rail, 123_45, at)


@given(RAILS, MOMENTS)
def test_the_next_opening_is_open_and_nothing_before_it_is(rail: str, at: datetime) -> None:
    opening = NOW.next_opening(rail, at)
    if isinstance(opening, Unknown):
        assert not isinstance(NOW.open_at(rail, at), Open)
        return
    assert isinstance(NOW.open_at(rail, opening), Open)
    assert opening >= at
    for part in (1, 2, 3):
        between = at + (opening - at) * part / 4
        if between < opening:
            assert isinstance(NOW.open_at(rail, between), Closed)
    if opening > at:
        just_before = opening - timedelta(microseconds=1)
        assert isinstance(NOW.open_at(rail, just_before), Closed)


@given(MOMENTS, st.integers(0, 1), st.integers(1, 72))
def test_open_lasts_exactly_until_it_says(at: datetime, gap_h: int, hours: int) -> None:
    outage = Maintenance(
        rail="beps", valid_from=at + timedelta(hours=gap_h),
        valid_until=at + timedelta(hours=gap_h + hours), source="x",
    )  # fmt: skip
    catalog = NOW.with_facts([outage])
    for rail in ("beps", "hvps"):
        found = catalog.open_at(rail, at)
        if isinstance(found, Unknown) or found.until is None:
            continue
        assert found.until > at
        after = catalog.open_at(rail, found.until)
        assert isinstance(after, Open) != isinstance(found, Open)
        before = catalog.open_at(rail, found.until - timedelta(microseconds=1))
        assert isinstance(before, Open) == isinstance(found, Open)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(1, 10**9)),
                max_size=6), st.integers(0, 120))  # fmt: skip
def test_what_is_known_at_a_time_is_what_was_recorded_until_then(
    facts: list[tuple[int, int, int]], known_day: int
) -> None:
    """Against the naive reading: of the facts recorded by then and begun, the latest begun and
    latest recorded counts."""
    zero = china_midnight(date(2027, 1, 1))
    limits = [
        Limit(
            fact_id=str(n), rail="x", valid_from=zero + timedelta(days=start),
            per_payment_fen=fen, source="x", recorded_at=zero + timedelta(days=recorded),
        )
        for n, (recorded, start, fen) in enumerate(sorted(facts))
    ]  # fmt: skip
    known = NOW.with_facts(limits).known_at(zero + timedelta(days=known_day))
    for day in (0, 50, 100, 130):
        at = zero + timedelta(days=day)
        naive = [
            f for f in limits
            if f.recorded_at <= zero + timedelta(days=known_day) and f.valid_from <= at
        ]  # fmt: skip
        best = max(naive, key=lambda f: (f.valid_from, limits.index(f)), default=None)
        assert known.limit_on("x", at) == best
