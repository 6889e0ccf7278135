"""``caiwutong up``: everything on this machine, from nothing, until Ctrl-C.

Engines, migrations, the sandbox network, the seeded demo group, workers and API, kept alive by one
supervisor that none of them outlives.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import socket
import sys
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from caiwutong.cli.common import Shown, Subparsers, add, settings_of
from caiwutong.cli.seed import load_credentials, seed_demo
from caiwutong.db.migrate import migrate
from caiwutong.engines import Engines, Health, ProcessSpec, until_told_to_stop
from caiwutong.engines.home import free_port
from caiwutong.kernel.clock import SharedClock
from caiwutong.kernel.errors import Refused
from caiwutong.sandbox.setup import prepare
from caiwutong.sandbox.world import load_world
from caiwutong.settings import Settings
from caiwutong.wiring import Services, open_services

SANDBOX_PORT = 18_090
_SANDBOX_PORTS = 400
"""Each folder has its own among so many ports: a sandbox that starts again must not find another
installation's in its place."""


def add_commands(subparsers: Subparsers) -> None:
    parser = add(subparsers, "up", _up, "Start everything: engines, sandbox, API, workers, demo.")
    parser.add_argument("--port", type=int, help="port of the API (default: 8080)")
    parser.add_argument("--faults", default="none", help="sandbox faults: none, mild, demo, rough")
    parser.add_argument("--no-sandbox", action="store_true", help="only real connections")


@asynccontextmanager
async def everything(
    settings: Settings,
    *,
    faults: str = "none",
    sandbox: bool = True,
    seed: int = 1,
    netting_s: float = 2.0,
    beps_round_s: float = 0.0,
) -> AsyncGenerator[Engines]:
    """The whole installation, running; ended when the block ends. ``netting_s`` and
    ``beps_round_s``: between the sandbox's rounds; 0 takes the catalog's half hour."""
    engines = Engines(
        settings.data_dir, settings.database_url, settings.nats_url, on_health=_tell_health
    )
    async with engines:
        _refuse_taken_port(settings)
        await asyncio.to_thread(migrate, engines.database_url)
        if sandbox:
            await _start_sandbox(engines, settings, faults, seed, (netting_s, beps_round_s))
            async with open_services(settings, engines.urls, name="seed", pool=2) as services:
                await seed_demo(services)
        await engines.supervisor.start(
            ProcessSpec(
                "worker", _own(settings, "worker"), nice=settings.worker_nice, cwd=str(Path.cwd())
            ),
            ProcessSpec(
                "api",
                _own(settings, "api"),
                ready=_answers(f"{settings.url}/healthz"),
                cwd=str(Path.cwd()),
            ),
        )
        yield engines


async def _start_sandbox(
    engines: Engines, settings: Settings, faults: str, seed: int, rounds_s: tuple[float, float]
) -> None:
    mark = zlib.crc32(str(settings.data_dir.resolve()).encode())
    port = free_port(SANDBOX_PORT + mark % _SANDBOX_PORTS)
    clock = SharedClock(settings.clock_file)
    prepared = await asyncio.to_thread(
        prepare, settings.sandbox_dir, port=port, clock=clock, seed=seed
    )
    argv = (
        sys.executable, "-m", "caiwutong.sandbox", "--dir", str(settings.sandbox_dir.resolve()),
        "--port", str(port), "--hub", settings.url, "--clock",
        str(settings.clock_file.resolve()), "--seed", str(seed), "--faults", faults,
        "--netting-s", str(rounds_s[0]), "--beps-round-s", str(rounds_s[1]),
    )  # fmt: skip
    await engines.supervisor.start(
        ProcessSpec(
            "sandbox",
            argv,
            # Only our own sandbox knows this token; another one may have taken the port.
            ready=_answers(f"http://127.0.0.1:{port}/admin/faults", prepared.admin_token),
            nice=settings.worker_nice,
        )
    )


def _refuse_taken_port(settings: Settings) -> None:
    """Whoever listens there already would answer in the API's place."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise Refused(
                "up.port_taken",
                f"Port {settings.port} on {settings.host} cannot be used ({error.strerror}).",
                "End the program that listens there, or choose another port with --port.",
            ) from error


def _own(settings: Settings, process: str) -> tuple[str, ...]:
    return (
        sys.executable, "-m", "caiwutong.cli", "serve", process, "--data-dir",
        str(settings.data_dir.resolve()), "--tenant", settings.tenant, "--port",
        str(settings.port),
    )  # fmt: skip


def _answers(url: str, token: str = ""):
    """A probe: something answers HTTP there (an answer of 401 is one too); with a ``token``, it
    must know it."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def probe() -> bool:
        timeout = aiohttp.ClientTimeout(total=2)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(url, headers=headers) as got,
            ):
                return got.status == 200 if token else got.status < 500
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    return probe


def _tell_health(health: Health) -> None:
    if os.environ.get("CAIWUTONG_LOG"):
        print(health, file=sys.stderr, flush=True)


async def curl_for(services: Services) -> str:
    """One command that makes a payment from the demo group's first account. An urgent one, so that
    it does not wait for a netting round when HVPS is closed."""
    credentials = load_credentials(services.settings.data_dir)
    async with services.database.transaction() as tx:
        accounts = await services.bank_accounts.all_for_rail(tx, services.settings.tenant, "ibps")
    world = load_world(services.settings.sandbox_dir / "world.json")
    payee = next(p for p in world.payees if p.condition == "ok")
    body = (
        f'{{"bank_account_id":"{accounts[0].bank_account_id}","amount_fen":123456,'
        f'"payee":{{"name":"{payee.name}","account":"{payee.account}",'
        f'"bank_code":"{payee.bank_code}","bank_name":"{payee.bank_name}"}},'
        '"purpose":"货款","priority":"urgent"}'
    )
    return (
        f"curl -s {services.settings.url}/v1/payments "
        f"-H 'Authorization: Bearer {credentials.bearer}' "
        "-H 'Idempotency-Key: first-payment' -H 'Content-Type: application/json' "
        f"-d {shlex.quote(body)}"
    )


async def _up(arguments: argparse.Namespace) -> Shown:
    settings = settings_of(arguments)
    told = asyncio.ensure_future(until_told_to_stop())
    await _announce(settings, arguments.faults, sandbox=not arguments.no_sandbox, told=told)
    return Shown({"stopped": True}, "")


async def _announce(
    settings: Settings, faults: str, *, sandbox: bool, told: asyncio.Future[str]
) -> None:
    print("Starting PostgreSQL, NATS, the sandbox network, workers and API …", flush=True)
    async with everything(settings, faults=faults, sandbox=sandbox) as engines:
        print(f"\n  Caiwutong 财务通 is ready: {settings.url}   (Ctrl-C stops everything)")
        if sandbox:
            async with open_services(settings, engines.urls, name="hello", pool=1) as services:
                print("\n  Make a payment:\n")
                print(f"    {await curl_for(services)}\n")
            print("  Watch it:    caiwutong payments\n  Misbehave:   caiwutong sandbox --help\n")
        elif not settings.connections_file.exists():
            print(
                "\n  No bank is connected yet: put connections.json into the data folder "
                "(see docs/rails) and start again.\n"
            )
        sys.stdout.flush()
        await told
        print("Stopping …", flush=True)
