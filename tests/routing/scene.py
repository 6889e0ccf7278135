"""Candidates, asks and a catalog for routing's tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from caiwutong.routing.model import Ask, Candidate, FeeBand, Standing

ACCOUNT = UUID(int=7)


class FakeCatalog:
    """A standing for each mode, the same at every moment."""

    def __init__(self, standings: Mapping[str, Standing] | None = None) -> None:
        self.standings = dict(standings or {})

    @classmethod
    def two_ways(cls) -> FakeCatalog:
        """One way is fast and dear, the other slow and free."""
        return cls(
            {
                "fast": Standing(typical_seconds=2, fees=(FeeBand(None, 1_000),)),
                "slow": Standing(typical_seconds=600),
            }
        )

    def standing(self, mode: str, bank: str, payee_bank: str, at: datetime) -> Standing:
        return self.standings.get(mode, Standing())


def candidate(rail: str, flag: str = "", **fields: Any) -> Candidate:
    """A way of the one account, at bank 102 unless said otherwise."""
    return Candidate(
        account_id=ACCOUNT, rail=rail, flag=flag, bank=fields.pop("bank", "102"), **fields
    )


def ask(**fields: Any) -> Ask:
    """A payment of 1,000 CNY to a state bank, unless said otherwise."""
    settled: dict[str, Any] = {
        "key": "p1", "amount_fen": 100_000, "payee_bank": "103", "payee_kind": "state",
    }  # fmt: skip
    return Ask(**(settled | fields))
