"""The facts that come with the software, each with where it comes from.

*Read* is a primary text, *secondary* a decent report of one, *own* common knowledge without a text
at hand. What an installation learns later is recorded beside these and never changes them. Bank
direct interfaces and batch files take orders at any time and have no limit of the network's: when
the bank executes, and how much it carries, is the bank's own and recorded per bank.
"""

from __future__ import annotations

from datetime import date, datetime, time

from caiwutong.kernel.clock import china_midnight
from caiwutong.rails.catalog.model import (
    COUNTER,
    Band,
    Discount,
    Fact,
    Hours,
    Limit,
    NettingRounds,
    Tariff,
)


def _day(year: int, month: int, day: int) -> datetime:
    return china_midnight(date(year, month, day))


_NOTICE_2018_01 = "secondary: HVPS hours extended from 2018-01-22 (T-1 23:30 to 17:15)"
_NOTICE_2018_05 = (
    "secondary: HVPS hours extended from 2018-05-02 (natural day before 20:30 to 17:15, legal "
    "working days with the weekends worked in exchange)"
)
_MILLION = (
    "read: 1,000,000 CNY a payment, in force today and before 2020-01-24; its first day is not "
    "known, so earlier days answer with the lower limit before it. Whether exactly 1,000,000.00 "
    "passes is ambiguous in public texts: taken as yes"
)
_DIRECT = "the bank's interface takes orders at any time; when it executes them is the bank's own"

_HVPS_START = _day(2002, 10, 8)
_BEPS_START = _day(2006, 6, 26)
_IBPS_START = _day(2010, 8, 30)

LIMITS: tuple[Limit, ...] = (
    Limit(
        fact_id="hvps.limit", rail="hvps", valid_from=_HVPS_START, per_payment_fen=None,
        source="secondary: HVPS has no limit for a payment",
    ),
    Limit(
        fact_id="beps.limit.1", rail="beps", valid_from=_BEPS_START, per_payment_fen=20_000_00,
        source="secondary: 20,000 CNY at launch",
    ),
    Limit(
        fact_id="beps.limit.2", rail="beps", valid_from=_day(2010, 7, 1),
        per_payment_fen=50_000_00,
        source="secondary: 50,000 CNY; the first day is not known (own: 2010)",
    ),
    Limit(
        fact_id="beps.limit.3", rail="beps", valid_from=_day(2015, 7, 11),
        per_payment_fen=500_000_00,
        source="weak: 500,000 CNY at weekends from 2015; taken for every day, first day not known",
    ),
    Limit(
        fact_id="beps.limit.4", rail="beps", valid_from=_day(2020, 1, 24),
        per_payment_fen=1_000_000_00, source=_MILLION,
    ),
    Limit(
        fact_id="beps.limit.2020", rail="beps", valid_from=_day(2020, 1, 25),
        valid_until=_day(2020, 1, 31), per_payment_fen=500_000_000_00,
        source="secondary: 500,000,000 CNY for the days 2020-01-25 to 2020-01-30",
    ),
    Limit(
        fact_id="ibps.limit.1", rail="ibps", valid_from=_IBPS_START, per_payment_fen=50_000_00,
        source="own: 50,000 CNY at launch; no text read",
    ),
    Limit(
        fact_id="ibps.limit.2", rail="ibps", valid_from=_day(2020, 1, 24),
        per_payment_fen=1_000_000_00, source=_MILLION,
    ),
    Limit(
        fact_id="bank_direct.limit", rail="bank_direct", valid_from=_day(1990, 1, 1),
        per_payment_fen=None, source="the bank's own limits apply",
    ),
    Limit(
        fact_id="bank_file.limit", rail="bank_file", valid_from=_day(1990, 1, 1),
        per_payment_fen=None, source="the bank's own limits apply",
    ),
)  # fmt: skip

HOURS: tuple[Hours, ...] = (
    Hours(
        fact_id="hvps.hours.1", rail="hvps", valid_from=_HVPS_START, opens=time(8, 30),
        closes=time(17), clearing_until=time(17, 30),
        source="secondary: 08:30 to 17:00 on legal working days; clearing window own",
    ),
    Hours(
        fact_id="hvps.hours.2", rail="hvps", valid_from=_day(2018, 1, 22), opens=time(23, 30),
        opens_days_before=1, closes=time(17, 15), clearing_until=time(17, 30),
        source=_NOTICE_2018_01,
    ),
    Hours(
        fact_id="hvps.hours.3", rail="hvps", valid_from=_day(2018, 5, 2), opens=time(20, 30),
        opens_days_before=1, closes=time(17, 15), clearing_until=time(17, 30),
        source=_NOTICE_2018_05,
    ),
    Hours(
        fact_id="beps.hours", rail="beps", valid_from=_BEPS_START, around_the_clock=True,
        source="secondary: 7×24 with announced outages",
    ),
    Hours(
        fact_id="ibps.hours", rail="ibps", valid_from=_IBPS_START, around_the_clock=True,
        source="secondary: 7×24 with announced outages",
    ),
    Hours(
        fact_id="bank_direct.hours", rail="bank_direct", valid_from=_day(1990, 1, 1),
        around_the_clock=True, source=_DIRECT,
    ),
    Hours(
        fact_id="bank_file.hours", rail="bank_file", valid_from=_day(1990, 1, 1),
        around_the_clock=True, source="a file can be made at any time; a person uploads it",
    ),
)  # fmt: skip

NETTING: tuple[NettingRounds, ...] = (
    NettingRounds(
        fact_id="beps.rounds", rail="beps", valid_from=_BEPS_START, every_minutes=30,
        source="own: netted several times a day; half an hour is an assumption, no text read",
    ),
    NettingRounds(
        fact_id="ibps.rounds", rail="ibps", valid_from=_IBPS_START, every_minutes=1,
        source="own: netted as each payment is confirmed; a minute stands for at once",
    ),
)  # fmt: skip

TARIFFS: tuple[Tariff | Discount, ...] = (
    Tariff(
        fact_id="counter.tariff.2014", rail=COUNTER, valid_from=_day(2014, 8, 1),
        bands=(
            Band(up_to_fen=10_000_00, flat_fen=5_00),
            Band(up_to_fen=100_000_00, flat_fen=10_00),
            Band(up_to_fen=500_000_00, flat_fen=15_00),
            Band(up_to_fen=1_000_000_00, flat_fen=20_00),
            Band(rate_ppm=20, cap_fen=200_00),
        ),
        source="read: 发改价格〔2014〕268号, corporate transfer at the counter (an upper bound for "
        "banks); the first day, 2014-08-01, own",
    ),
    Discount(
        fact_id="counter.discount.2021", rail=COUNTER, valid_from=_day(2021, 9, 30),
        valid_until=_day(2025, 1, 1), percent_off=10, up_to_fen=100_000_00,
        source="read: 10 % off counter transfers up to 100,000 CNY, 2021-09-30 to 2024-12-31; "
        "whether it goes on is unverified",
    ),
)  # fmt: skip

SHIPPED: tuple[Fact, ...] = (*LIMITS, *HOURS, *NETTING, *TARIFFS)
