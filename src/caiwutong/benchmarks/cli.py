"""``caiwutong bench``: how fast this machine is, beside the database it stands on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from caiwutong.benchmarks.plan import BENCHES, Plan
from caiwutong.cli.common import Shown, Subparsers, add


def add_commands(subparsers: Subparsers) -> None:
    parser = add(
        subparsers, "bench", _bench, "Intake, ledger and life cycle beside pgbench, in one run."
    )
    parser.add_argument(
        "what", nargs="*", metavar="WHAT",
        help=f"any of {', '.join(BENCHES)}; or routing, by itself: a simulated month",
    )  # fmt: skip
    parser.add_argument(
        "--world", type=Path, action="append", default=[], metavar="FILE",
        help="of routing: a world to run instead of the shipped ones (may be repeated)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="of routing (default: 1)")
    parser.add_argument(
        "--short", type=int, metavar="N", help="of routing: so many payments instead of the file's"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each row (default: 10)")
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[256, 512, 1024], metavar="N",
        help="of the intake's rows (default: 256 512 1024)",
    )  # fmt: skip
    parser.add_argument(
        "--payments", type=int, default=4_000, help="of the life cycle (default: 4000)"
    )
    parser.add_argument("--scale", type=int, default=50, help="of pgbench (default: 50)")
    parser.add_argument("--own-generator", action="store_true", help="even where wrk is present")


async def _bench(arguments: argparse.Namespace) -> Shown:
    # The run takes in the whole house; other commands start without it.
    from caiwutong.benchmarks.results import table
    from caiwutong.benchmarks.run import run

    if arguments.what == ["routing"]:
        return _routing(arguments)
    unknown = [name for name in arguments.what if name not in BENCHES]
    if unknown:
        return Shown(
            {"error": f"unknown: {unknown}"}, f"Choose among {', '.join(BENCHES)}.", status=2
        )
    plan = Plan(
        benches=arguments.what or BENCHES,
        seconds=arguments.seconds,
        connections=arguments.connections,
        payments=arguments.payments,
        scale=arguments.scale,
        own_generator=arguments.own_generator,
    )
    found = await run(plan, lambda words: print(words, file=sys.stderr, flush=True))
    return Shown(found, table(found))


def _routing(arguments: argparse.Namespace) -> Shown:
    from caiwutong.benchmarks.worlds.command import run_routing, words

    found = run_routing(
        arguments.world,
        arguments.seed,
        arguments.short,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    return Shown(found, words(found))
