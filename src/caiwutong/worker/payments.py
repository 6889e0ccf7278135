"""The worker's payment loops: dispatch, recovery, expiry, old nonces, and the sealer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from caiwutong.payments.turns import Turns
from caiwutong.wiring import Services
from caiwutong.worker.loops import keep_doing

DISPATCHERS = 3
"""Rounds of dispatch under way at once: while one waits for a slow bank, others go on."""

_AT_ONCE = 100


def payment_loops(services: Services, stop: asyncio.Event) -> list[Awaitable[None]]:
    """Every loop that moves payments of this installation's tenant."""
    tenant = services.settings.tenant
    # One tenant's connections are held here; who wires several gives each its weight.
    turns = Turns({tenant: 1})
    dispatchers = [
        keep_doing(
            f"dispatch-{n}",
            lambda: services.payments.dispatch.run_fair(turns, _AT_ONCE),
            stop,
            idle_s=0.05,
            wake=services.payments.due if n == 0 else None,
        )
        for n in range(DISPATCHERS)
    ]
    return [
        *dispatchers,
        keep_doing(
            "recovery",
            lambda: services.payments.recovery.run_once(tenant, _AT_ONCE),
            stop,
            idle_s=0.1,
        ),
        keep_doing(
            "expiry",
            lambda: services.payments.requests.expire_due(tenant, _AT_ONCE),
            stop,
            idle_s=1.0,
        ),
        keep_doing(
            "nonces",
            lambda: services.authenticator.forget_nonces(tenant),
            stop,
            idle_s=60.0,
        ),
        keep_doing("experience", services.experience.run_once, stop, idle_s=1.0),
        services.sealer.run(stop),
        *statement_loops(services, stop),
    ]


def statement_loops(services: Services, stop: asyncio.Event) -> list[Awaitable[None]]:
    """What the banks' statements say: read, explained, and matched to payments."""
    tenant = services.settings.tenant
    return [
        keep_doing("statements", lambda: services.reader.run_once(tenant), stop, idle_s=1.0),
        keep_doing("evidence", lambda: services.evidence.run_once(tenant), stop, idle_s=1.0),
        keep_doing(
            "bank-files", lambda: services.bank_files.files.remind(tenant), stop, idle_s=30.0
        ),
        keep_doing("imports", lambda: _resume_imports(services), stop, idle_s=5.0),
    ]


async def _resume_imports(services: Services) -> int:
    return len(await services.imports.resume(services.settings.tenant))
