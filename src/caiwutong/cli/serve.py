"""``caiwutong serve api|worker``: one process of the house, as the supervisor starts it.

The API has a child of its own, ``serve intake``, which writes the orders that the API takes: two
processes, so that answering HTTP and writing batches each have a core.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator

from caiwutong.cli.common import Shown, Subparsers, add, engine_urls, settings_of
from caiwutong.kernel.errors import Refused
from caiwutong.payments.remote import RemoteIntake, Streams, serve_intake
from caiwutong.settings import Settings
from caiwutong.wiring import Services, open_services
from caiwutong.worker.run import run_worker


def add_commands(subparsers: Subparsers) -> None:
    parser = add(subparsers, "serve", _serve, "Run one process of the house (used by `up`).")
    parser.add_argument("process", choices=["api", "intake", "worker"])
    parser.add_argument("--port", type=int, help="port of the API")
    parser.add_argument("--socket", type=int, help=argparse.SUPPRESS)


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
    if arguments.process == "api":
        await _api(settings, stop)
    elif arguments.process == "worker":
        await _worker(settings, stop)
    else:
        await _intake(settings, arguments.socket)
    return Shown({}, "")


async def _worker(settings: Settings, stop: asyncio.Event) -> None:
    async with open_services(settings, engine_urls(settings), name="worker", pool=12) as services:
        _collect_rarely()
        await run_worker(services, stop)


async def _api(settings: Settings, stop: asyncio.Event) -> None:
    from caiwutong.api.server import serve_api

    async with open_services(settings, engine_urls(settings), name="api", pool=12) as services:
        _collect_rarely()
        async with _own_intake(services):
            await serve_api(services, stop)


async def _intake(settings: Settings, number: int | None) -> None:
    """The API's child: works until the API is gone, whatever signals the terminal sends."""
    if number is None:
        raise Refused(
            "serve.no_socket",
            "`serve intake` is started by `serve api`, which hands it a socket.",
            "Run `caiwutong up`.",
        )
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=number))
    async with open_services(settings, engine_urls(settings), name="intake", pool=4) as services:
        _collect_rarely()
        await serve_intake(services.payments.intake, reader, writer)


@contextlib.asynccontextmanager
async def _own_intake(services: Services) -> AsyncGenerator[None]:
    """Orders are taken in by a child of this process; where sockets cannot be inherited (Windows),
    by this process itself."""
    if sys.platform == "win32":
        yield
        return
    starter = _Starter(services.settings)
    remote = RemoteIntake(starter.start)
    services.payments.intake = remote
    running = asyncio.ensure_future(remote.run())
    try:
        await remote.ready()
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await starter.ended()


class _Starter:
    """Starts the intake process, and knows when it has ended."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> Streams:
        """A new child, and the streams to it. It ends by itself when they are closed."""
        await self.ended()
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            self._child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "caiwutong.cli", "serve", "intake", "--socket", str(number),
                "--data-dir", str(self._settings.data_dir.resolve()),
                "--tenant", self._settings.tenant,
                pass_fds=(number,), stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        return await asyncio.open_connection(sock=ours)

    async def ended(self) -> None:
        """Wait until the child is gone; it may be finishing a batch."""
        if self._child is not None:
            await self._child.wait()


def _collect_rarely() -> None:
    """What stands now stays; and look for rubbish that refers to itself after many thousands of
    new objects, not hundreds: a batch alone makes as many, and lets go of them without help."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
