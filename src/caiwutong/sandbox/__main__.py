"""``python -m caiwutong.sandbox``: the sandbox as a process of its own.

Prints one line ``sandbox ready on http://…`` once the port is open; ends clean on SIGTERM and
SIGINT. Killed otherwise, it finds everything it answered for when it starts again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
from pathlib import Path

import msgspec

from caiwutong.kernel.clock import Clock, SharedClock, SystemClock
from caiwutong.sandbox.faults import Plan, plan_named
from caiwutong.sandbox.server import open_sandbox


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m caiwutong.sandbox",
        description="Clearing centre, sponsor and banks with their own books, on loopback.",
    )
    parser.add_argument("--dir", type=Path, required=True, help="folder of world, keys and books")
    parser.add_argument("--port", type=int, default=0, help="port on loopback; 0 takes a free one")
    parser.add_argument("--hub", default="", help="where the hub listens, http://host:port")
    parser.add_argument("--clock", type=Path, help="file of the shared clock")
    parser.add_argument("--seed", type=int, default=1, help="seed of world and faults")
    parser.add_argument("--faults", default="none", help="profile name, or a JSON file with a plan")
    parser.add_argument("--netting-s", type=float, default=2.0, help="business s between rounds")
    parser.add_argument("--clearing-s", type=float, default=600.0, help="between clearing points")
    parser.add_argument(
        "--beps-round-s", type=float, default=0, help="between rounds of BEPS; 0: the catalog's"
    )
    return parser.parse_args()


def _plan(name: str, seed: int) -> Plan:
    if name.endswith(".json"):
        return msgspec.json.decode(Path(name).read_bytes(), type=Plan)
    return plan_named(name, seed)


async def _main(arguments: argparse.Namespace) -> None:
    clock: Clock = SharedClock(arguments.clock) if arguments.clock else SystemClock()
    sandbox = open_sandbox(
        arguments.dir,
        clock=clock,
        plan=_plan(arguments.faults, arguments.seed),
        port=arguments.port,
        hub_url=arguments.hub,
        seed=arguments.seed,
        netting_s=arguments.netting_s,
        clearing_s=arguments.clearing_s,
        beps_round_s=arguments.beps_round_s,
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    await sandbox.start()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    print(f"sandbox ready on http://{sandbox.host}:{sandbox.port}", flush=True)
    await stopping.wait()
    await sandbox.stop()


def main() -> None:
    """Run until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    arguments = _arguments()
    run = asyncio.run
    with contextlib.suppress(ImportError):
        import uvloop

        run = uvloop.run
    run(_main(arguments))


if __name__ == "__main__":
    main()
