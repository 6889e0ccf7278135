"""``caiwutong sandbox``: look at the network, make it misbehave, and let its books judge us."""

from __future__ import annotations

import argparse
from pathlib import Path

from caiwutong.cli.common import Subparsers, common_options, house, settings_of
from caiwutong.cli.facts import payment_facts
from caiwutong.sandbox import cli
from caiwutong.sandbox.judge import PaymentFact


def add_commands(subparsers: Subparsers) -> None:
    cli.add_commands(subparsers, folder_of=_folder, payments_of=_payments, options=common_options)


def _folder(arguments: argparse.Namespace) -> Path:
    return settings_of(arguments).sandbox_dir


async def _payments(arguments: argparse.Namespace) -> list[PaymentFact]:
    async with house(arguments) as services:
        return await payment_facts(services)
