"""What a run is worth: measures, the weighed loss, regret, and the share of the gap that is closed.

All figures are of a simulation. Faults in the payee's data (wrong name, closed account) fail
everywhere and are counted apart from every other failure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from caiwutong.benchmarks.worlds.hub import Record
from caiwutong.benchmarks.worlds.model import Scoring
from caiwutong.benchmarks.worlds.oracle import Losses
from caiwutong.benchmarks.worlds.traffic import Payment
from caiwutong.routing.judge import fee_of
from caiwutong.routing.model import FeeBand

NEVER_S = 7 * 86_400.0
"""What a payment that never arrives counts as."""


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """One policy over one world. Shares are of the payments without data faults."""

    payments: int
    data_faults: int
    first_failure: float
    final_failure: float
    urgent_p50_s: float
    urgent_p95_s: float
    normal_p50_s: float
    normal_p95_s: float
    fee_yuan: float
    """Mean of a payment."""
    freezes: int
    freeze_share: float
    double_payments: int
    regret: float | None
    """Mean expected loss above the oracle's, of a first try; None: not worked out."""
    explored: int
    arrival: float
    """Mean log10(1 + seconds), urgent and normal weighed as the scoring says, over its weight for
    normal payments."""
    loss: float
    """Σ weight × measure / unit: less is better."""
    by_way: dict[str, float]
    """Share of arrived payments by the clearing they travelled through."""


def measure(
    payments: Sequence[Payment],
    records: Sequence[Record],
    fees: Mapping[tuple[str, str], Sequence[FeeBand]],
    scoring: Scoring,
    *,
    losses: Losses | None = None,
    best: Mapping[int, float] | None = None,
) -> Measures:
    """The figures of one run. ``fees``: by (clearing, own bank)."""
    count = faults = failed = lost = frozen = double = explored = 0
    fee = weighed = regret = 0.0
    seconds: dict[bool, list[float]] = {True: [], False: []}
    ways: dict[str, int] = {}
    for payment, record in zip(payments, records, strict=True):
        double += record.executed > 1
        if record.data_fault:
            faults += 1
            continue
        count += 1
        failed += record.first_failed
        frozen += record.frozen
        explored += record.explored
        took = NEVER_S
        if record.way is None:
            lost += 1
        else:
            took = max(0.0, record.arrived_at - payment.at)
            clearing = record.way.clearing
            ways[clearing] = ways.get(clearing, 0) + 1
            fee += fee_of(fees.get((clearing, record.way.bank), ()), payment.amount_fen)
        seconds[payment.urgent].append(took)
        share = scoring.urgent_arrival / scoring.arrival if payment.urgent else 1.0
        weighed += share * math.log10(1.0 + took)
        if losses is not None and best is not None and record.first is not None:
            bands = fees.get((record.first.clearing, record.first.bank), ())
            mine = losses.of(payment, record.first, bands, record.sent_at)
            regret += max(0.0, mine - best.get(payment.number, mine))
    count = max(count, 1)
    values = (failed / count, weighed / count, fee / count, frozen / count)
    return Measures(
        payments=count,
        data_faults=faults,
        first_failure=values[0],
        final_failure=lost / count,
        urgent_p50_s=_quantile(seconds[True], 0.50),
        urgent_p95_s=_quantile(seconds[True], 0.95),
        normal_p50_s=_quantile(seconds[False], 0.50),
        normal_p95_s=_quantile(seconds[False], 0.95),
        fee_yuan=values[2] / 100,
        freezes=frozen,
        freeze_share=values[3],
        double_payments=double,
        regret=None if losses is None else regret / count,
        explored=explored,
        arrival=values[1],
        loss=_loss(values, scoring),
        by_way={way: n / count for way, n in sorted(ways.items())},
    )


def _loss(values: tuple[float, float, float, float], scoring: Scoring) -> float:
    failure, arrival, fee, freeze = values
    return (
        scoring.failure * failure / scoring.failure_unit
        + scoring.arrival * arrival / scoring.arrival_unit
        + scoring.fee * fee / scoring.fee_unit_fen
        + scoring.freeze * freeze / scoring.freeze_unit
    )


def gap_closed(ours: Measures, baselines: Sequence[Measures], oracle: Measures) -> float | None:
    """How much of the way from the best baseline to the oracle: 1 is the oracle. None where no
    baseline is worse than the oracle."""
    best = min(each.loss for each in baselines)
    return (best - ours.loss) / (best - oracle.loss) if best > oracle.loss else None


def city_arrival(
    payments: Sequence[Payment], records: Sequence[Record], generic: Sequence[Record]
) -> dict[str, Any]:
    """Arrival at city banks beside the always-generic baseline, and where the difference comes
    from: medians in seconds, their ratio, and the ways taken."""
    ours: list[float] = []
    theirs: list[float] = []
    ways: dict[str, int] = {}
    for payment, record, other in zip(payments, records, generic, strict=True):
        if payment.payee_kind != "city" or record.way is None or other.way is None:
            continue
        ours.append(record.arrived_at - payment.at)
        theirs.append(other.arrived_at - payment.at)
        ways[record.way.clearing] = ways.get(record.way.clearing, 0) + 1
    total = max(1, len(ours))
    mine, generic_s = _quantile(ours, 0.5), _quantile(theirs, 0.5)
    return {
        "p50_s": mine,
        "generic_p50_s": generic_s,
        "ratio": generic_s / mine if mine else None,
        "mean_decades_faster": sum(
            math.log10((1 + b) / (1 + a)) for a, b in zip(ours, theirs, strict=True)
        )
        / total,
        "ways": {way: n / total for way, n in sorted(ways.items())},
        "simulated": True,
    }


def _quantile(values: list[float], share: float) -> float:
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
