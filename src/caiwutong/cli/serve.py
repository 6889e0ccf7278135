"""``caiwutong serve api|worker``: one process of the house, as the supervisor starts it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal

from caiwutong.cli.common import Shown, Subparsers, add, engine_urls, settings_of
from caiwutong.settings import Settings
from caiwutong.wiring import open_services
from caiwutong.worker.run import run_worker


def add_commands(subparsers: Subparsers) -> None:
    parser = add(subparsers, "serve", _serve, "Run one process of the house (used by `up`).")
    parser.add_argument("process", choices=["api", "worker"])
    parser.add_argument("--port", type=int, help="port of the API")


async def _serve(arguments: argparse.Namespace) -> Shown:
    logging.basicConfig(
        level=os.environ.get("CAIWUTONG_LOG", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    settings = settings_of(arguments)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    serve = _api if arguments.process == "api" else _worker
    await serve(settings, stop)
    return Shown({}, "")


async def _worker(settings: Settings, stop: asyncio.Event) -> None:
    async with open_services(settings, engine_urls(settings), name="worker", pool=12) as services:
        _collect_rarely()
        await run_worker(services, stop)


async def _api(settings: Settings, stop: asyncio.Event) -> None:
    from caiwutong.api.server import serve_api

    async with open_services(settings, engine_urls(settings), name="api", pool=12) as services:
        _collect_rarely()
        await serve_api(services, stop)


def _collect_rarely() -> None:
    """What stands now stays; and look for rubbish that refers to itself after many thousands of
    new objects, not hundreds: a batch alone makes as many, and lets go of them without help."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
