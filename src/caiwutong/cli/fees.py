"""``caiwutong fees audit``: the fees of a stretch of time, held against the dated tariffs."""

from __future__ import annotations

import argparse
from datetime import timedelta

from caiwutong.cli.common import Shown, Subparsers, add, house
from caiwutong.cli.ledger import moment
from caiwutong.fees.model import FeeReport, Finding
from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.money import yuan

_MONTH = timedelta(days=31)


def add_commands(subparsers: Subparsers) -> None:
    parser = add(subparsers, "fees", _fees, "Hold the banks' fees against their tariffs.")
    parser.add_argument("act", nargs="?", choices=["audit"], default="audit")
    parser.add_argument("--from", dest="start", default="", help="default: 31 days before")
    parser.add_argument("--until", default="", help="default: now")
    parser.add_argument("--limit", type=int, default=50, help="how many differences to list")


async def _fees(arguments: argparse.Namespace) -> Shown:
    async with house(arguments) as services:
        end = moment(arguments.until) if arguments.until else services.clock.now()
        start = moment(arguments.start) if arguments.start else end - _MONTH
        report = await services.fees.audit(
            services.settings.tenant, start, end, most=arguments.limit
        )
    return Shown(report, _words(report))


def _words(report: FeeReport) -> str:
    lines = [
        f"{report.start.astimezone(CHINA):%Y-%m-%d %H:%M} to "
        f"{report.end.astimezone(CHINA):%Y-%m-%d %H:%M}: {report.lines} fee lines, "
        f"{yuan(report.charged_fen)} charged, {yuan(report.expected_fen)} expected, "
        f"{yuan(report.too_much_fen)} too much"
    ]
    lines += [
        f"  {reason.value:<22} {tally.lines:>6} lines  {yuan(tally.charged_fen):>14}  "
        f"difference {yuan(tally.difference_fen)}"
        for reason, tally in report.by_reason.items()
    ]
    lines += [_finding(finding) for finding in report.findings]
    if report.left_out:
        lines.append(f"… and {report.left_out} more")
    return "\n".join(lines)


def _finding(f: Finding) -> str:
    expected = "?" if f.expected_fen is None else yuan(f.expected_fen)
    paid = "" if f.amount_fen is None else f" for {yuan(f.amount_fen)} over {f.channel}"
    note = f" ({f.note})" if f.note else ""
    return (
        f"{f.line.booked_at.astimezone(CHINA):%Y-%m-%d %H:%M}  {f.reason.value}: charged "
        f"{yuan(f.line.charged_fen)}, expected {expected}{paid}{note}  "
        f"line {f.line.line_id}  payment {f.payment_id or '-'}"
    )
