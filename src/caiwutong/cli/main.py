"""Reads the command line, runs the command, shows its result or its error."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

import msgspec

from caiwutong.benchmarks import cli as bench
from caiwutong.cli import (
    audit,
    bank_files,
    catalog,
    demo,
    fees,
    imports,
    init,
    ledger,
    migrate,
    payments,
    records,
    route,
    sandbox,
    serve,
    up,
)
from caiwutong.cli.common import Shown
from caiwutong.kernel.errors import CaiwutongError
from caiwutong.simulation import cli as simulate

_ROOMS = (
    up,
    init,
    records,
    demo,
    payments,
    route,
    imports,
    bank_files,
    ledger,
    audit,
    catalog,
    fees,
    migrate,
    sandbox,
    serve,
    simulate,
    bench,
)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    root = argparse.ArgumentParser(
        prog="caiwutong",
        description="财务通: a self-hosted payment hub and treasury platform.",
        allow_abbrev=False,
    )
    subparsers = root.add_subparsers(required=True, metavar="COMMAND")
    for room in _ROOMS:
        room.add_commands(subparsers)
    return root


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    arguments = parser().parse_args(argv)
    try:
        shown = _run(arguments)
    except CaiwutongError as error:
        _tell(error, as_json=arguments.json)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments.json:
        print(msgspec.json.encode(shown.data).decode())
    elif shown.words:
        print(shown.words)
    return shown.status


def _run(arguments: argparse.Namespace) -> Shown:
    work: Any = arguments.command(arguments)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def _tell(error: CaiwutongError, *, as_json: bool) -> None:
    if as_json:
        told = {"error": error.code, "detail": error.detail, "cure": error.cure}
        print(msgspec.json.encode(told).decode())
    else:
        print(f"{error.detail} {error.cure} [{error.code}]", file=sys.stderr)
