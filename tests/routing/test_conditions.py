"""What the catalog says reaches routing: hours, limits, outages of both ends, fees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from caiwutong.rails.catalog import Catalog, shipped
from caiwutong.rails.catalog.model import Band, Discount, Fact, Maintenance, Tariff
from caiwutong.routing.banks import payee_bank
from caiwutong.routing.conditions import CatalogConditions, fee_bands
from caiwutong.routing.judge import fee_of

LONG_AGO = datetime(2020, 2, 1, tzinfo=UTC)
FRIDAY_NOON = datetime(2026, 3, 6, 4, 0, tzinfo=UTC)


def conditions(*more: Fact) -> CatalogConditions:
    return CatalogConditions(shipped().with_facts(more))


@pytest.mark.parametrize(("minute", "open_"), [(14, True), (15, False)])  # 17:14 and 17:15 in China
def test_hvps_stands_open_until_a_quarter_past_five(minute: int, open_: bool) -> None:
    at = datetime(2026, 3, 6, 9, minute, 59, tzinfo=UTC)
    standing = conditions().standing("bank_direct/hvps", "102", "103", at)
    assert (standing.closed is None) is open_
    if open_:
        assert standing.closes_at == datetime(2026, 3, 6, 9, 15, tzinfo=UTC)
    else:
        assert standing.opens_at == datetime(2026, 3, 8, 12, 30, tzinfo=UTC)  # Sunday evening


def test_an_outage_announced_for_the_payees_bank_closes_only_the_way_to_it() -> None:
    outage = Maintenance(
        rail="ibps",
        bank="103",
        valid_from=FRIDAY_NOON,
        valid_until=FRIDAY_NOON + timedelta(hours=2),
        source="announced",
    )
    known = conditions(outage)
    shut = known.standing("ibps", "102", "103", FRIDAY_NOON)
    assert shut.closed is not None and shut.closed.code == "outage"
    assert shut.opens_at == outage.valid_until
    assert known.standing("ibps", "102", "104", FRIDAY_NOON).closed is None
    before = known.standing("ibps", "102", "103", FRIDAY_NOON - timedelta(hours=1))
    assert before.closed is None and before.until == FRIDAY_NOON


def test_a_way_the_catalog_does_not_know_is_not_used() -> None:
    assert conditions().standing("swift", "102", "103", FRIDAY_NOON).unknown is not None


def test_a_transfer_inside_a_bank_is_open_and_free() -> None:
    standing = conditions().standing("bank_direct/book", "102", "102", FRIDAY_NOON)
    assert standing.closed is None and standing.fees == () and standing.limit_fen is None


@pytest.mark.parametrize("up_to", [None, 700_000, 1_000_000, 5_000_000])
@pytest.mark.parametrize("amount", [1, 700_000, 700_001, 1_000_000, 1_000_001, 60_000_000])
def test_fee_bands_cost_what_the_catalog_says(up_to: int | None, amount: int) -> None:
    facts: tuple[Fact, ...] = (
        Tariff(
            rail="ibps", bank="102", valid_from=LONG_AGO, source="test", in_bank_free=False,
            bands=(
                Band(up_to_fen=1_000_000, flat_fen=500),
                Band(up_to_fen=10_000_000, flat_fen=1_000),
                Band(rate_ppm=20, cap_fen=20_000),
            ),
        ),
        Discount(
            rail="ibps", bank="102", valid_from=LONG_AGO, source="test", percent_off=35,
            up_to_fen=up_to,
        ),
    )  # fmt: skip
    catalog = Catalog(facts)
    found = catalog.fee("102", "ibps", amount, FRIDAY_NOON)
    bands = fee_bands(catalog, "102", "ibps", FRIDAY_NOON)
    assert fee_of(bands, amount) == getattr(found, "fen", None)


def test_where_no_tariff_is_known_the_counters_stands() -> None:
    standing = conditions().standing("ibps", "102", "103", FRIDAY_NOON)
    assert fee_of(standing.fees, 10_000_00) == 5_00
    assert fee_of(standing.fees, 50_000_000_00) == 200_00


@pytest.mark.parametrize(
    ("code", "bank", "kind"),
    [
        ("102100099996", "102", "state"),
        ("308584000013", "308", "joint_stock"),
        ("313290000017", "3132900", "city"),
        ("402100000018", "4021000", "rural"),
        ("", "", ""),
        ("31", "", ""),
    ],
)
def test_city_banks_share_three_digits_and_are_told_apart_by_seven(
    code: str, bank: str, kind: str
) -> None:
    assert payee_bank(code) == (bank, kind)
