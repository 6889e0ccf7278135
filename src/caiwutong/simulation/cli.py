"""``caiwutong simulate``, also ``python -m caiwutong.simulation``."""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Any

import msgspec

from caiwutong.simulation.mutants import MUTANTS
from caiwutong.simulation.report import Found, Report, simulate
from caiwutong.simulation.run import Outcome, run_seed

_SHOWN = 3
"""How many violations are shown with what led to them."""


class Shown(msgspec.Struct, frozen=True):
    """What the command found: ``data`` for ``--json``, ``words`` for people, its exit status."""

    data: Any
    words: str
    status: int = 0


def add_commands(subparsers: Any) -> None:
    """Adds ``simulate`` to a command line; ``arguments.command(arguments)`` is awaited for its
    ``Shown``."""
    words = "The payments engine under simulated time, with every fault by seed."
    parser = subparsers.add_parser("simulate", help=words, description=words, allow_abbrev=False)
    add_options(parser)
    parser.set_defaults(command=run_command)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--seeds", type=_count, default=50, help="how many seeds (default: 50)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default: 1)")
    parser.add_argument("--jobs", type=_count, help="processes (default: one a core)")
    parser.add_argument("--no-mutants", action="store_true", help="leave the planted bugs out")
    parser.add_argument("--trace", type=int, metavar="SEED", help="show one seed, event by event")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="with --trace: this bug in it")
    parser.add_argument("--json", action="store_true", help="print one JSON value")


async def run_command(arguments: argparse.Namespace) -> Shown:
    """Simulate as asked. In a thread: the simulated loops are no business of this one."""
    return await asyncio.to_thread(shown, arguments)


def shown(arguments: argparse.Namespace) -> Shown:
    """Simulate as asked."""
    if arguments.trace is not None:
        return _one(arguments)
    report = simulate(
        arguments.seeds,
        first=arguments.first,
        mutants=() if arguments.no_mutants else None,
        jobs=arguments.jobs or os.cpu_count(),
    )
    return Shown(report, _words(report), 0 if report.ok else 1)


def _one(arguments: argparse.Namespace) -> Shown:
    parts = MUTANTS[arguments.mutant].planted() if arguments.mutant else None
    outcome = run_seed(arguments.trace, parts, full_trace=True)
    return Shown(outcome, _story(outcome), 1 if outcome.violations else 0)


def _story(outcome: Outcome) -> str:
    ends = [f"{v.name}: {v.words} {' '.join(v.subjects)}" for v in outcome.violations]
    summary = (
        f"seed {outcome.seed}: {outcome.terminal} of {outcome.payments} payments ended, "
        f"{outcome.fault_count} faults, {outcome.simulated_s / 3600:.1f} simulated hours, "
        f"digest {outcome.digest}"
    )
    return "\n".join([*outcome.trace, summary, *(ends or ["every promise holds"])])


def _words(report: Report) -> str:
    caught = sum(report.mutants.values())
    lines = [
        f"{report.seeds} seeds: {report.terminal} of {report.payments} payments ended, "
        f"{report.faults} faults of {len(report.faults_by_kind)} kinds, "
        f"{report.simulated_hours:,.0f} simulated hours in {report.cpu_seconds:.1f} CPU seconds "
        f"({report.payments_per_cpu_minute:,.0f} payments a CPU minute)",
        f"{caught} of {len(report.mutants)} planted bugs caught"
        + "".join(f"\n  {name}: {by}" for name, by in report.mutants_caught_by.items()),
        f"digest {report.digest}",
    ]
    lines += [_alarm(found) for found in report.violations[:_SHOWN]]
    lines += [
        f"VIOLATION in seed {found.seed}: {found.name}" for found in report.violations[_SHOWN:]
    ]
    lines.append("every promise holds" if report.ok else "NOT EVERY PROMISE HOLDS")
    return "\n".join(lines)


def _alarm(found: Found) -> str:
    head = f"VIOLATION in seed {found.seed}: {found.name}: {found.words}"
    return "\n".join([head, *found.trace, f"replay: {found.replay}"])


def main(argv: list[str] | None = None) -> int:
    """``python -m caiwutong.simulation``; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m caiwutong.simulation",
        description="The payments engine under simulated time, with every fault by seed.",
        allow_abbrev=False,
    )
    add_options(parser)
    arguments = parser.parse_args(argv)
    told = shown(arguments)
    print(msgspec.json.encode(told.data).decode() if arguments.json else told.words)
    return told.status


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number
