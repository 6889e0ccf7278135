"""The dated catalog, as routing asks it: one ``Standing`` for each way and moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from caiwutong.kernel.clock import china_date, china_midnight
from caiwutong.rails.catalog import limit_on
from caiwutong.routing.model import Standing, Why

TYPICAL_S: Mapping[str, float] = {
    "book": 2.0,
    "hvps": 20.0,
    "beps": 900.0,
    "ibps": 15.0,
    "bank_direct": 60.0,
    "bank_file": 7_200.0,
}
"""Seconds to arrival that are expected of a clearing before any was seen: own guesses after
DOMAIN facts (seconds for gross settlement and IBPS, the next half-hourly round for BEPS, a person
at the bank's page for files). What is learnt replaces them within some payments."""


class CatalogConditions:
    """What the shipped catalog says."""

    def standing(self, mode: str, bank: str, payee_bank: str, at: datetime) -> Standing:
        """Limits of the day. A rail the catalog knows nothing of is not used."""
        clearing = mode.rpartition("/")[2]
        typical = TYPICAL_S.get(clearing, 60.0)
        day = china_date(at)
        tomorrow = china_midnight(day + timedelta(days=1))
        if clearing == "book":
            return Standing(until=tomorrow, typical_seconds=typical)
        limit = limit_on(clearing, day)
        if limit is None:
            return Standing(
                until=tomorrow,
                unknown=Why(
                    "unknown",
                    f"The catalog knows no limit of {clearing} on {day}.",
                    f"目录中没有 {clearing} 在 {day} 的限额。",
                ),
            )
        return Standing(
            until=tomorrow,
            limit_fen=limit.per_payment_fen,
            limit_inclusive=limit.inclusive,
            typical_seconds=typical,
        )
