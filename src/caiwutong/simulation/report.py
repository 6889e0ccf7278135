"""Many seeds and every mutant, over as many processes as there are cores; one report."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import msgspec

from caiwutong.simulation.mutants import MUTANTS, Caught, hunt
from caiwutong.simulation.run import FAULTS_AT_LEAST, PAYMENTS_AT_LEAST, Outcome, run_seed
from caiwutong.simulation.watch import Violation

A = TypeVar("A")
R = TypeVar("R")


class Found(msgspec.Struct, frozen=True):
    """A violation of a run, with what is needed to look at it again."""

    seed: int
    name: str
    words: str
    subjects: tuple[str, ...]
    replay: str
    """The command that shows the whole run again."""
    trace: list[str]
    """The last lines around the payment."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation showed; what ``--json`` prints."""

    seeds: int
    payments: int
    terminal: int
    """How many of them reached an end: all, or there is a violation."""
    faults: int
    faults_by_kind: dict[str, int]
    simulated_hours: float
    cpu_seconds: float
    """Of the seeds, without the mutants."""
    payments_per_cpu_minute: float
    violations: list[Found]
    mutants: dict[str, bool]
    mutants_caught_by: dict[str, str]
    digest: str
    """Over the digests of all seeds: the same command gives the same."""

    @property
    def ok(self) -> bool:
        return not self.violations and all(self.mutants.values())


def simulate(
    seeds: int, *, first: int = 1, mutants: Sequence[str] | None = None, jobs: int | None = None
) -> Report:
    """Run ``seeds`` seeds from ``first`` on, and hunt the mutants (None: all of them).

    ``jobs``: how many processes; None takes one for each core.
    """
    names = list(MUTANTS) if mutants is None else list(mutants)
    jobs = min(jobs or os.cpu_count() or 1, seeds + len(names))
    with _mapping(jobs) as mapped:
        caught = mapped(hunt, names, 1)
        outcomes = mapped(run_seed, range(first, first + seeds), 8)
        return _report(list(outcomes), list(caught))


class _mapping:  # noqa: N801
    """``map`` over processes, or in this one where one is enough."""

    def __init__(self, jobs: int) -> None:
        # Children begin anew: a forked one would inherit threads and open engines.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(jobs, mp_context=context) if jobs > 1 else None

    def __enter__(self) -> Callable[[Callable[[Any], R], Sequence[Any], int], Iterator[R]]:
        pool = self._pool
        if pool is None:
            return lambda act, items, chunk: map(act, items)
        return lambda act, items, chunk: pool.map(act, items, chunksize=chunk)

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()


def _report(outcomes: list[Outcome], caught: list[Caught]) -> Report:
    kinds: Counter[str] = Counter()
    for outcome in outcomes:
        kinds.update(outcome.faults)
    terminal = sum(o.terminal for o in outcomes)
    cpu = sum(o.cpu_s for o in outcomes)
    together = hashlib.sha256("".join(o.digest for o in outcomes).encode())
    return Report(
        seeds=len(outcomes),
        payments=sum(o.payments for o in outcomes),
        terminal=terminal,
        faults=kinds.total(),
        faults_by_kind=dict(sorted(kinds.items())),
        simulated_hours=round(sum(o.simulated_s for o in outcomes) / 3600, 1),
        cpu_seconds=round(cpu, 2),
        payments_per_cpu_minute=round(terminal / cpu * 60, 1) if cpu else 0.0,
        violations=[found for o in outcomes for found in _found(o)],
        mutants={c.name: c.caught for c in caught},
        mutants_caught_by={
            c.name: f"{c.by}, seed {c.seed}" if c.caught else f"NOT by {c.by}" for c in caught
        },
        digest=together.hexdigest(),
    )


def _found(outcome: Outcome) -> list[Found]:
    violations = list(outcome.violations)
    enough = outcome.payments >= PAYMENTS_AT_LEAST and outcome.fault_count >= FAULTS_AT_LEAST
    if not violations and not enough:
        words = f"{outcome.payments} payments and {outcome.fault_count} faults are too few."
        violations.append(Violation("enough_happens", words))
    return [
        Found(
            outcome.seed,
            v.name,
            v.words,
            v.subjects,
            f"caiwutong simulate --trace {outcome.seed}",
            outcome.trace,
        )
        for v in violations
    ]
