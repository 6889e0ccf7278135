"""``caiwutong init``: an empty tenant for real use, with its first API key."""

from __future__ import annotations

import argparse

from caiwutong.cli.common import Shown, Subparsers, add, house


def add_commands(subparsers: Subparsers) -> None:
    parser = add(subparsers, "init", _init, "Start an empty tenant for real use.")
    parser.add_argument("name", help="the enterprise's name")
    parser.add_argument("--key-name", default="admin", help="name of the first API key")


async def _init(arguments: argparse.Namespace) -> Shown:
    async with house(arguments) as services, services.database.transaction() as tx:
        tenant = services.settings.tenant
        await services.identity.create_tenant(tx, tenant, arguments.name)
        secrets = await services.identity.create_api_key(
            tx, tenant, arguments.key_name, bearer=True
        )
    words = (
        f"Tenant {tenant} ({arguments.name}) is ready and empty.\n"
        f"API key {secrets.api_key.key_id}\n"
        f"  HMAC secret (shown once): {secrets.secret}\n"
        f"  bearer, on this machine only (shown once): {secrets.bearer}\n"
        "It may pay nothing without people's signatures until it has a mandate.\n"
        "Next: create legal entities, member units, bank accounts and people by the API "
        f"({services.settings.url}/openapi.json)."
    )
    data = {
        "tenant": tenant,
        "key_id": secrets.api_key.key_id,
        "secret": secrets.secret,
        "bearer": secrets.bearer,
    }
    return Shown(data, words)
