"""Replays traffic under any policy and reports what would have come of it.

Generated traffic comes from a world, whose hidden side decides how each try ends. Recorded traffic
comes from the log of payments: there only the ends of the ways that were taken are known, so what
another way would have done is estimated by the beliefs learnt from the same log, and said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from caiwutong.benchmarks.worlds.model import World
from caiwutong.benchmarks.worlds.policies import House
from caiwutong.benchmarks.worlds.run import Stage, Tell
from caiwutong.benchmarks.worlds.score import Measures
from caiwutong.rails.catalog import Catalog
from caiwutong.routing.beliefs import Beliefs
from caiwutong.routing.conditions import CatalogConditions
from caiwutong.routing.decide import Router
from caiwutong.routing.experience import Happening, Notebook, Try, read_on, way_of
from caiwutong.routing.model import NIL, Ask, Candidate, Decision
from caiwutong.routing.policy import HOUSE, Policy


def replay_world(policies: Sequence[Policy], world: World, seed: int, tell: Tell) -> Any:
    """What each policy makes of the same generated payments; the house's own first."""
    stage = Stage(world, seed)
    rows: list[dict[str, Any]] = []
    for rules in (HOUSE, *policies):
        tell(f"{rules.name}: {world.traffic.payments:,} payments")
        measures, _ = stage.play(House(rules))
        rows.append({"policy": rules.name, **report(measures)})
    return {"traffic": world.name, "seed": seed, "simulated": True, "policies": rows}


def report(measures: Measures) -> dict[str, Any]:
    """Failure rate, arrival, fees and freezes of one run."""
    return {
        "payments": measures.payments,
        "first_failure": measures.first_failure,
        "final_failure": measures.final_failure,
        "urgent_p50_s": measures.urgent_p50_s,
        "urgent_p95_s": measures.urgent_p95_s,
        "normal_p50_s": measures.normal_p50_s,
        "normal_p95_s": measures.normal_p95_s,
        "fee_yuan": measures.fee_yuan,
        "freezes": measures.freezes,
        "double_payments": measures.double_payments,
        "by_way": measures.by_way,
    }


def words(found: Any) -> str:
    """The replay for people."""
    lines = [f"{found['traffic']} (simulated, seed {found['seed']})"]
    lines.append(
        f"{'policy':<16}{'first fail':>12}{'final fail':>12}{'p50 s':>9}{'p95 s':>9}{'fee':>8}"
        f"{'frozen':>8}"
    )
    for row in found["policies"]:
        lines.append(
            f"{row['policy']:<16}{row['first_failure']:>12.3%}{row['final_failure']:>12.3%}"
            f"{row['normal_p50_s']:>9.1f}{row['normal_p95_s']:>9.0f}{row['fee_yuan']:>8.2f}"
            f"{row['freezes']:>8}"
        )
    return "\n".join(lines)


class Sent(msgspec.Struct, frozen=True):
    """A recorded payment: its last try, and how that ended."""

    key: str
    way: Try
    failed: bool
    returned: bool
    seconds: float | None
    """Until it was complete; None: it failed."""


def sent_payments(events: Sequence[Happening]) -> list[Sent]:
    """The payments in a log whose end is known."""
    open_: dict[str, Try] = {}
    found: dict[str, Sent] = {}
    for event in events:
        one = way_of(event)
        if one is not None:
            open_[event.subject] = one
        elif event.kind in ("payment.completed", "payment.rejected", "payment.rerouted"):
            try_ = open_.pop(event.subject, None)
            if try_ is not None:
                good = event.kind == "payment.completed"
                took = (event.at - try_.sent_at).total_seconds() if good else None
                found[event.subject] = Sent(event.subject, try_, not good, False, took)
        elif event.kind == "payment.returned" and event.subject in found:
            found[event.subject] = msgspec.structs.replace(found[event.subject], returned=True)
    return list(found.values())


def replay_recorded(
    policies: Sequence[Policy], events: Sequence[Happening], catalog: Catalog, now: datetime
) -> Any:
    """What each policy would have made of the recorded payments. Where it takes the way that was
    taken, the recorded end counts; elsewhere what the beliefs learnt from this very log expect.
    Ways are those the log has seen from the same bank of ours; the catalog is today's."""
    payments = sent_payments(events)
    beliefs = read_on(Notebook(), events, now).beliefs
    modes: dict[str, set[str]] = {}
    for each in payments:
        modes.setdefault(each.way.bank, set()).add(each.way.mode)
    candidates = {
        bank: tuple(
            Candidate(account_id=NIL, rail=rail, flag=flag, bank=bank)
            for rail, _, flag in (mode.partition("/") for mode in sorted(seen))
        )
        for bank, seen in modes.items()
    }
    rows: list[dict[str, Any]] = []
    for rules in (HOUSE, *policies):
        router = Router(CatalogConditions(catalog), rules)
        rows.append(_estimate(rules.name, router, payments, candidates, beliefs))
    return {
        "traffic": "recorded",
        "payments": len(payments),
        "recorded_failure": _mean([float(each.failed) for each in payments]),
        "estimated": True,
        "policies": rows,
    }


def _estimate(
    name: str,
    router: Router,
    payments: Sequence[Sent],
    candidates: Mapping[str, Sequence[Candidate]],
    beliefs: Beliefs,
) -> dict[str, Any]:
    failed: list[float] = []
    frozen: list[float] = []
    seconds: list[float] = []
    fees: list[float] = []
    same = waiting = 0
    for each in payments:
        way = each.way
        ask = Ask(
            key=each.key, amount_fen=way.amount_fen, payee_bank=way.payee_bank,
            payee_kind=way.payee_kind,
        )  # fmt: skip
        (answer,) = router.decide_many([(ask, candidates[way.bank])], beliefs, way.sent_at)
        if not isinstance(answer, Decision):
            waiting += 1
            continue
        taken = answer.chosen.mode == way.mode
        same += taken
        failed.append(float(each.failed) if taken else 1.0 - answer.score.success)
        frozen.append(float(each.returned) if taken else answer.score.freeze)
        seconds.append(
            each.seconds if taken and each.seconds is not None else answer.score.arrival_s
        )
        fees.append(answer.score.fee_fen / 100)
    seconds.sort()
    return {
        "policy": name,
        "payments": len(payments),
        "same_way": same,
        "not_sent_at_once": waiting,
        "first_failure": _mean(failed),
        "p50_s": _at(seconds, 0.5),
        "p95_s": _at(seconds, 0.95),
        "fee_yuan": _mean(fees),
        "freezes": sum(frozen),
    }


def recorded_words(found: Any) -> str:
    """The estimate for people."""
    lines = [
        f"{found['payments']} recorded payments, of which "
        f"{found['recorded_failure']:.3%} of the last tries failed (other ways: estimated)",
        f"{'policy':<16}{'same way':>10}{'first fail':>12}{'p50 s':>9}{'p95 s':>9}{'fee':>8}"
        f"{'frozen':>8}",
    ]
    lines += [
        f"{row['policy']:<16}{row['same_way']:>10}{row['first_failure']:>12.3%}"
        f"{row['p50_s']:>9.1f}{row['p95_s']:>9.0f}{row['fee_yuan']:>8.2f}{row['freezes']:>8.1f}"
        for row in found["policies"]
    ]
    return "\n".join(lines)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
