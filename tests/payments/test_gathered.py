"""Callers of one moment share a transaction; the outcomes of one message are never torn apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from caiwutong.payments.settlement import Applied
from caiwutong.rails.contract import RailReport, ReportKind
from caiwutong.wiring import REPORTS_AT_ONCE, gathered

AT = datetime(2026, 11, 23, 2, tzinfo=UTC)


class Counting:
    """A settlement that only notes what each transaction was given."""

    def __init__(self) -> None:
        self.transactions: list[list[str]] = []

    async def apply_many(self, tenant: str, reports: Sequence[RailReport]) -> list[Applied]:
        self.transactions.append([report.reference for report in reports])
        await asyncio.sleep(0.01)
        return [Applied(None, None, changed=report.reference.endswith("7")) for report in reports]


def message(number: int, outcomes: int) -> list[RailReport]:
    return [
        RailReport(ReportKind.NETTED, "beps", f"M{number}-{n}", "PR03", AT) for n in range(outcomes)
    ]


async def test_a_message_is_settled_whole_and_a_transaction_keeps_to_its_size() -> None:
    counting = Counting()
    settle = gathered(cast(Any, counting))
    messages = [message(number, 500) for number in range(11)]
    answers = await asyncio.gather(*[settle("t", each) for each in messages])
    for reports, applied in zip(messages, answers, strict=True):
        assert [each.changed for each in applied] == [r.reference.endswith("7") for r in reports]
    for transaction in counting.transactions:
        assert len(transaction) <= REPORTS_AT_ONCE
        whole = {reference.partition("-")[0] for reference in transaction}
        assert len(transaction) == 500 * len(whole), "every message is in it whole"
    assert len(counting.transactions) < len(messages), "callers of a moment share one"


async def test_one_message_larger_than_the_bound_is_still_one_transaction() -> None:
    counting = Counting()
    settle = gathered(cast(Any, counting))
    await settle("t", message(1, REPORTS_AT_ONCE + 500))
    assert [len(transaction) for transaction in counting.transactions] == [REPORTS_AT_ONCE + 500]
