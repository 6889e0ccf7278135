"""Rough weather over the direct banks of the newer styles: whatever goes wrong, the rule *ask; send
the same again only when unknown* ends every payment once, and the judge finds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from caiwutong.rails.contract import (
    NOT_FOUND,
    Attempt,
    BadMessage,
    NotSent,
    RailReport,
    ReportKind,
    SentInDoubt,
)
from caiwutong.sandbox.faults import PROFILES, Plan
from caiwutong.sandbox.judge import PaymentFact, judge
from support.direct_desk import OPEN, DirectDesk, direct_desk

PAYMENTS = 60
_STATES = {
    ReportKind.SETTLED: "completed",
    ReportKind.RETURNED: "completed",
    ReportKind.REJECTED: "rejected",
}


async def _send(desk: DirectDesk, *attempts: Attempt) -> list[RailReport]:
    """Send once; what cannot be believed is no answer."""
    try:
        return await desk.pay(*attempts)
    except (NotSent, SentInDoubt, BadMessage):
        return []


@pytest.mark.parametrize("style", ["boc", "pab"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_in_rough_weather_every_payment_ends_once_as_the_books_say(
    folder: Path, style: str, seed: int
) -> None:
    async with direct_desk(folder, style) as desk:
        rules = tuple(each for each in PROFILES["rough"] if not each.delay_s)
        late = tuple(each for each in PROFILES["rough"] if each.kind == "late")
        desk.stage.sandbox.network.faults.put(Plan(seed, "rough", rules + late))
        attempts = [
            desk.attempt(100 + n, desk.payee("closed") if n % 10 == 9 else None)
            for n in range(PAYMENTS)
        ]
        ended: dict[str, RailReport] = {}
        for at in range(0, PAYMENTS, 6):
            for report in await _send(desk, *attempts[at : at + 6]):
                assert report.kind in (*OPEN, ReportKind.REJECTED)
        for round_ in range(400):
            waiting = [each for each in attempts if each.reference not in ended]
            if not waiting:
                break
            if round_ % 7 == 3:
                desk.bank.end_sessions()
            for attempt, report in zip(waiting, await desk.rail.enquire(waiting), strict=True):
                if report.kind not in OPEN:
                    ended[attempt.reference] = report
                elif report.code == NOT_FOUND:
                    await _send(desk, attempt)
            await desk.work(5)
        assert len(ended) == PAYMENTS
        await desk.work(700)
        facts = [
            PaymentFact(
                payment_id=each.reference,
                references=(each.reference,),
                amount_fen=each.amount_fen,
                state=_STATES[ended[each.reference].kind],
                payer_account=each.payer.account,
                payee_account=each.payee.account,
                returned=(await desk.ask(each)).kind is ReportKind.RETURNED,
            )
            for each in attempts
        ]
        verdict = judge(facts, desk.executions())
        assert verdict.clean and verdict.double_paid == 0, verdict
        assert 6 <= sum(each.kind is ReportKind.REJECTED for each in ended.values()) < 20
        assert desk.stage.sandbox.network.faults.struck, "something went wrong on the way"
