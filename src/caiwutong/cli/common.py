"""What every command shares: settings, a running instance to talk to, and how results are shown."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from caiwutong.engines import EngineUrls, running
from caiwutong.kernel.errors import Unavailable
from caiwutong.settings import Settings, from_environment
from caiwutong.wiring import Services, open_services

Command = Callable[[argparse.Namespace], Awaitable["Shown"]]
Subparsers = Any
"""What argparse calls ``_SubParsersAction``."""


class Shown(msgspec.Struct, frozen=True):
    """What a command found: ``data`` for ``--json``, ``words`` for people, and its exit status."""

    data: Any
    words: str
    status: int = 0


def add(subparsers: Subparsers, name: str, command: Command, words: str) -> argparse.ArgumentParser:
    """One sub-command with the options all of them have."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=words, description=words, allow_abbrev=False
    )
    common_options(parser)
    parser.set_defaults(command=command)
    return parser


def common_options(parser: argparse.ArgumentParser) -> None:
    """The options every command takes."""
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    parser.add_argument("--data-dir", type=Path, help="data folder (default: ./data)")
    parser.add_argument("--tenant", help="tenant to act for (default: demo)")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings this command runs under."""
    return from_environment(
        os.environ,
        data_dir=getattr(arguments, "data_dir", None),
        tenant=getattr(arguments, "tenant", None),
        port=getattr(arguments, "port", None),
    )


def engine_urls(settings: Settings) -> EngineUrls:
    """Where the running instance's engines are. Raises Unavailable when there is none."""
    if settings.database_url and settings.nats_url:
        return EngineUrls(settings.database_url, settings.nats_url)
    urls = running(settings.data_dir)
    if urls is None:
        raise Unavailable(
            "cli.not_running",
            f"No Caiwutong is running on {settings.data_dir}.",
            "Start it with `make up` (or `caiwutong up`) in another terminal.",
        )
    return EngineUrls(
        settings.database_url or urls.database_url, settings.nats_url or urls.nats_url
    )


@asynccontextmanager
async def house(arguments: argparse.Namespace) -> AsyncGenerator[Services]:
    """The services of the running instance."""
    settings = settings_of(arguments)
    async with open_services(settings, engine_urls(settings), name="cli", pool=4) as services:
        yield services
