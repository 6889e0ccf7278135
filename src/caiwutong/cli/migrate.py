"""``caiwutong migrate``: bring the database to this version."""

from __future__ import annotations

import argparse
import asyncio

from caiwutong.cli.common import Shown, Subparsers, add, engine_urls, settings_of
from caiwutong.db.migrate import migrate


def add_commands(subparsers: Subparsers) -> None:
    add(subparsers, "migrate", _migrate, "Apply missing database migrations.")


async def _migrate(arguments: argparse.Namespace) -> Shown:
    urls = engine_urls(settings_of(arguments))
    names = await asyncio.to_thread(migrate, urls.database_url)
    words = "\n".join(f"applied {name}" for name in names) or "nothing to apply"
    return Shown({"applied": names}, words)
