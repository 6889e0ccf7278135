"""``caiwutong demo``: the main job without a person, and its proof.

A month of a group with 37 member units: 20,000 transfers, imported from a file this command writes,
sent on their days through a sandbox network that misbehaves, until every one has ended. Then the
banks' books judge: does every payment agree, was any paid twice, does the ledger sum to zero, does
the log verify?
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from caiwutong.cli.audit import audit_report
from caiwutong.cli.carrier import Carrier
from caiwutong.cli.common import Shown, Subparsers, add, settings_of
from caiwutong.cli.facts import payment_facts
from caiwutong.cli.month import Month, write_month
from caiwutong.cli.seed import load_credentials
from caiwutong.cli.up import everything
from caiwutong.engines.home import erase, free_port
from caiwutong.kernel.clock import CHINA, SharedClock, china_midnight, monotonic
from caiwutong.kernel.errors import Broken
from caiwutong.payments.states import TERMINAL
from caiwutong.sandbox.client import SandboxClient
from caiwutong.sandbox.judge import Judgement
from caiwutong.sandbox.world import load_world
from caiwutong.settings import Settings
from caiwutong.wiring import Services, open_services

SCALE = 10.0
"""How fast business time runs while payments are under way: a bank's silence of 20 s is 2 s."""

STRAGGLERS = 20
WAITING_SCALE = 120.0
"""How fast it runs when all of a day has left and at most ``STRAGGLERS`` payments wait for a slow
bank or the next enquiry: nobody needs to watch those ten minutes pass."""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo proves."""

    payments: int
    states: dict[str, int]
    bank_agreement: float
    """Share of payments on which the banks' books agree: 1.0."""
    ledger_sum_fen: int
    """Sum of all ledger balances, debit-positive: 0."""
    double_paid: int
    in_doubt: int
    audit_ok: bool
    seconds: float
    import_seconds: float
    events: int
    """Audit events sealed and verified."""
    faults: dict[str, int]
    """How often each kind of fault struck."""
    disagreements: list[str]

    @property
    def holds(self) -> bool:
        return (
            self.bank_agreement == 1.0
            and self.ledger_sum_fen == 0
            and self.double_paid == 0
            and self.in_doubt == 0
            and self.audit_ok
            and not self.disagreements
        )


def add_commands(subparsers: Subparsers) -> None:
    parser = add(subparsers, "demo", _demo, "A month of a group, with faults, and its proof.")
    parser.add_argument("--payments", type=int, default=20_000)
    parser.add_argument("--faults", default="demo", help="none, mild, demo, rough")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the demo's data folder")


async def _demo(arguments: argparse.Namespace) -> Shown:
    base = settings_of(arguments)
    folder = base.data_dir / "demo-month"
    await asyncio.to_thread(erase, folder)
    settings = Settings(
        data_dir=folder, port=free_port(18_480), tenant="demo",
        database_url=base.database_url, nats_url=base.nats_url,
    )  # fmt: skip
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    started = monotonic()
    say = _quiet if arguments.json else _say
    try:
        proof = await _run(settings, arguments, started, say)
    finally:
        if not arguments.keep:
            await asyncio.to_thread(erase, folder)
    return Shown(proof, _words(proof), 0 if proof.holds else 1)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _quiet(text: str) -> None:
    pass


async def _run(
    settings: Settings, arguments: argparse.Namespace, started: float, say: Callable[[str], None]
) -> Proof:
    clock = SharedClock(settings.clock_file)
    first_day = _next_month(clock.now())
    clock.set(at=china_midnight(first_day.date()) + timedelta(hours=8), scale=1)
    async with (
        everything(settings, faults=arguments.faults, seed=arguments.seed) as engines,
        open_services(settings, engines.urls, name="demo", pool=4) as services,
    ):
        world = load_world(settings.sandbox_dir / "world.json")
        file = settings.data_dir / "month.csv"
        days = write_month(Month(world, first_day.date(), arguments.payments, arguments.seed), file)
        say(f"wrote {arguments.payments:,} transfers for {len(days)} working days")
        before = monotonic()
        await _import(services, file)
        import_seconds = monotonic() - before
        say(f"imported in {import_seconds:.1f} s")
        carrier = Carrier(services, SandboxClient.at(settings.sandbox_dir))
        for day in days:
            clock.set(at=china_midnight(day) + timedelta(hours=9), scale=SCALE)
            await carrier.bring_back()
            await _settle_day(services, clock, patience_s=60)
            await carrier.upload_all()
            say(f"{day}: {await _line(services)}")
        await _heal_and_finish(services, clock, settings, carrier)
        return await _prove(services, settings, started, import_seconds)


def _next_month(now: datetime) -> datetime:
    local = now.astimezone(CHINA)
    return (local.replace(day=1) + timedelta(days=32)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )


async def _import(services: Services, file: Path) -> None:
    credentials = load_credentials(services.settings.data_dir)
    tenant, imports = services.settings.tenant, services.imports
    record, _ = await imports.receive(
        tenant,
        await asyncio.to_thread(file.read_bytes),
        file_name=file.name,
        caller=credentials.api_key_id,
        actor="cli:demo",
    )
    checked = await imports.check(tenant, record.import_id)
    applied = await imports.apply(tenant, record.import_id)
    if applied.not_applied:
        raise Broken(
            "demo.import_incomplete",
            f"{applied.not_applied} of {checked.rows_total} rows were not applied.",
            "Run with --keep and look at the import's rows.",
        )


async def _settle_day(services: Services, clock: SharedClock, *, patience_s: float) -> None:
    """Wait until what is due today has left and nothing is under way; stragglers in doubt are not
    waited for longer than ``patience_s`` real seconds."""
    views, tenant = services.payments.views, services.settings.tenant
    end = monotonic() + patience_s
    while monotonic() < end:
        await asyncio.sleep(0.2)
        if not await views.is_quiet(tenant, clock.now(), STRAGGLERS):
            continue
        if await views.is_quiet(tenant, clock.now()):
            return
        if clock.scale < WAITING_SCALE:
            clock.set(scale=WAITING_SCALE)


async def _line(services: Services) -> str:
    overview = await services.payments.views.overview(services.settings.tenant)
    return ", ".join(f"{n:,} {state}" for state, n in sorted(overview.states.items()))


async def _heal_and_finish(
    services: Services, clock: SharedClock, settings: Settings, carrier: Carrier
) -> None:
    """End the misbehaviour and let business days pass until every payment has ended."""
    client = SandboxClient.at(settings.sandbox_dir)
    for _ in range(8):
        await asyncio.to_thread(client.heal)
        await carrier.bring_back()
        await _settle_day(services, clock, patience_s=15)
        await carrier.upload_all()
        overview = await services.payments.views.overview(settings.tenant)
        if all(state in TERMINAL for state in overview.states):
            break
        clock.set(at=clock.now() + timedelta(hours=13), scale=SCALE)
    # Returns and clearing notices that are still on their way.
    clock.set(at=clock.now() + timedelta(hours=6), scale=SCALE)
    await asyncio.sleep(3)
    await carrier.bring_back()
    await asyncio.sleep(3)


async def _prove(
    services: Services, settings: Settings, started: float, import_seconds: float
) -> Proof:
    client = SandboxClient.at(settings.sandbox_dir)
    facts = await payment_facts(services)
    judgement: Judgement = await asyncio.to_thread(client.reconcile, facts)
    overview = await services.payments.views.overview(settings.tenant)
    async with services.database.transaction() as tx:
        proofs = await services.ledger.trial_balance(tx, settings.tenant)
    await asyncio.sleep(1.2)  # The sealer's last second.
    audit = await audit_report(settings)
    struck = (await asyncio.to_thread(client.faults)).get("struck", {})
    return Proof(
        payments=judgement.payments,
        states=overview.states,
        bank_agreement=judgement.agreement,
        ledger_sum_fen=sum(abs(p.balances_fen) + abs(p.entries_fen) for p in proofs),
        double_paid=judgement.double_paid,
        in_doubt=overview.states.get("in_doubt", 0),
        audit_ok=audit.ok,
        seconds=round(monotonic() - started, 1),
        import_seconds=round(import_seconds, 1),
        events=audit.events,
        faults=struck,
        disagreements=[f"{d.reason}: {d.payment_id}" for d in judgement.disagreements[:20]]
        + [f"unknown to the hub: {e.reference}" for e in judgement.unknown_to_hub[:20]],
    )


def _words(proof: Proof) -> str:
    states = ", ".join(f"{n:,} {state}" for state, n in sorted(proof.states.items()))
    faults = ", ".join(f"{n} {kind}" for kind, n in sorted(proof.faults.items())) or "none"
    audit = "verified" if proof.audit_ok else "BROKEN"
    lines = [
        f"payments         {proof.payments:>10,}  ({states})",
        f"bank agreement   {proof.bank_agreement:>10.2%}  of payments agree with the banks' books",
        f"ledger sum       {proof.ledger_sum_fen:>10,}  fen",
        f"paid twice       {proof.double_paid:>10,}",
        f"in doubt         {proof.in_doubt:>10,}",
        f"audit            {audit:>10}  {proof.events:,} events",
        f"faults                       {faults}",
        f"seconds          {proof.seconds:>10,.1f}  (import {proof.import_seconds:,.1f})",
        *proof.disagreements,
        "the month holds" if proof.holds else "THE MONTH DOES NOT HOLD",
    ]
    return "\n".join(lines)
