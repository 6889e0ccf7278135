"""``caiwutong route explain``: which way a payment took, among which others, and why."""

from __future__ import annotations

import argparse
from typing import Any
from uuid import UUID

from caiwutong.cli.common import Shown, Subparsers, add, house
from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import yuan
from caiwutong.payments.views import RouteView, WayView


def add_commands(subparsers: Subparsers) -> None:
    route = add(subparsers, "route", _route, "Explain the way a payment took.")
    route.add_argument("act", choices=("explain",))
    route.add_argument("payment", help="payment id")


async def _route(arguments: argparse.Namespace) -> Shown:
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
