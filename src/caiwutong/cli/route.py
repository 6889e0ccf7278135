"""``caiwutong route``: why a payment went its way, and what other rules would have made of many."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

from caiwutong.cli.common import Shown, Subparsers, add, house
from caiwutong.erp.feed import FeedEvent
from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import yuan
from caiwutong.payments.views import RouteView, WayView
from caiwutong.routing.policy import read_policy
from caiwutong.wiring import Services

_PAGE = 5_000


def add_commands(subparsers: Subparsers) -> None:
    route = add(
        subparsers,
        "route",
        _route,
        "Why a payment went its way; replay traffic under rules.",
    )
    route.add_argument("act", choices=("explain", "replay"))
    route.add_argument("payment", nargs="?", default="", help="of explain: payment id")
    route.add_argument(
        "--policy", type=Path, action="append", default=[], metavar="FILE",
        help="of replay: routing rules as JSON, beside the house's (may be repeated)",
    )  # fmt: skip
    traffic = route.add_mutually_exclusive_group()
    traffic.add_argument("--world", type=Path, metavar="FILE", help="of replay: generated traffic")
    traffic.add_argument(
        "--recorded", action="store_true", help="of replay: what this installation has paid"
    )
    route.add_argument("--seed", type=int, default=1, help="of a world (default: 1)")
    route.add_argument("--short", type=int, metavar="N", help="so many payments of the world")


async def _route(arguments: argparse.Namespace) -> Shown:
    return await (_replay if arguments.act == "replay" else _explain)(arguments)


async def _replay(arguments: argparse.Namespace) -> Shown:
    # Worlds are wanted here only; other commands start without them.
    from caiwutong.benchmarks.worlds import replay
    from caiwutong.benchmarks.worlds.command import shortened
    from caiwutong.benchmarks.worlds.default import FOLDER
    from caiwutong.benchmarks.worlds.model import read_world

    policies = [read_policy(path) for path in arguments.policy]
    if arguments.recorded:
        async with house(arguments) as services:
            events = await _log_of(services)
            catalog = services.catalogs.current(services.settings.tenant)
            found = replay.replay_recorded(policies, events, catalog, services.clock.now())
        return Shown(found, replay.recorded_words(found))
    path = arguments.world or FOLDER / "routing-month.json"
    world = shortened(read_world(path), arguments.short)
    found = replay.replay_world(
        policies,
        world,
        arguments.seed,
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    return Shown(found, replay.words(found))


async def _log_of(services: Services) -> list[FeedEvent]:
    found: list[FeedEvent] = []
    async with services.database.transaction() as tx:
        while page := await services.feed.read(
            tx, services.settings.tenant, found[-1].seq if found else 0, _PAGE
        ):
            found += page
    return found


async def _explain(arguments: argparse.Namespace) -> Shown:
    try:
        payment_id = UUID(arguments.payment)
    except ValueError as error:
        raise Refused(
            "cli.bad_id", f"{arguments.payment[:40]!r} is no payment id.", "Copy it whole."
        ) from error
    async with house(arguments) as services:
        view = await services.payments.views.route(services.settings.tenant, payment_id)
    return Shown(view, "\n".join(_lines(view)))


def _lines(view: RouteView) -> list[str]:
    lines = [f"{view.payment_id} is {view.state.value}"]
    for way in view.ways:
        lines += _way(way)
    if view.waits:
        lines.append(view.waits)
        lines += [f"    {_candidate(each)}" for each in view.waits_because or ()]
    return lines


def _way(way: WayView) -> list[str]:
    at = way.created_at.astimezone(CHINA)
    ended = " ".join(
        filter(None, (way.outcome or "open", way.code, way.fault and f"({way.fault})"))
    )
    lines = [f"{way.number}. {at:%m-%d %H:%M:%S}  {way.mode}  {way.reference}  {ended}"]
    if way.later:
        lines.append(f"   later: {way.later} {way.later_code}")
    explanation: dict[str, Any] = way.explanation or {}
    if words := explanation.get("words"):
        lines.append(f"   {words['en']}")
    lines += [f"    {_candidate(each)}" for each in explanation.get("considered", ())]
    return lines


def _candidate(each: dict[str, Any]) -> str:
    name = "/".join(filter(None, (each["rail"], each.get("flag", ""))))
    dropped, score = each.get("dropped"), each.get("score")
    if dropped:
        return f"{name:<18} dropped: {dropped['en']}"
    if not score:
        return f"{name:<18} possible"
    front = "on the front" if each.get("on_front") else "dominated"
    return (
        f"{name:<18} {front}: {score['success'] * 100:.2f} % in {score['arrival_s']:.0f} s, "
        f"fee {yuan(score['fee_fen'])}, loss {score['loss']:.4f}"
    )
