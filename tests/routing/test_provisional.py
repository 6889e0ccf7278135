"""A year whose holidays are not known: the route is found, and says that it is provisional."""

from __future__ import annotations

from datetime import UTC, datetime

from caiwutong.rails.catalog import shipped
from caiwutong.routing.beliefs import Beliefs
from caiwutong.routing.conditions import CatalogConditions
from caiwutong.routing.decide import decide
from caiwutong.routing.explain import explanation
from caiwutong.routing.model import Decision, Later
from routing.scene import ask, candidate

CATALOG = CatalogConditions(shipped())


def _way(at: datetime, rail: str = "hvps"):
    return decide(ask(), [candidate(rail)], CATALOG, Beliefs(), at)


def test_a_route_over_hvps_in_an_unknown_year_says_why_it_is_provisional() -> None:
    found = _way(datetime(2031, 3, 3, 2, tzinfo=UTC))  # a Monday, ten o'clock
    assert isinstance(found, Decision)
    assert "The holidays of 2031 are not known" in explanation(found).provisional


def test_waiting_for_an_opening_in_an_unknown_year_says_so_too() -> None:
    found = _way(datetime(2031, 3, 1, 2, tzinfo=UTC))  # a Saturday
    assert isinstance(found, Later)
    assert "2031 are not known" in found.note and "Provisional" in found.words.en
    assert "暂定" in found.words.zh


def test_a_known_year_and_a_rail_that_never_closes_are_certain() -> None:
    for at, rail in (
        (datetime(2026, 3, 3, 2, tzinfo=UTC), "hvps"),
        (datetime(2031, 3, 1, 2, tzinfo=UTC), "ibps"),
    ):
        found = _way(at, rail)
        assert isinstance(found, Decision) and explanation(found).provisional == ""
