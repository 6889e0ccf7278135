"""Payment orders as the demo group would send them: many accounts, many payees, small amounts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from uuid import UUID

from caiwutong.kernel.order import Party, PaymentOrder
from caiwutong.sandbox.world import World, load_world
from caiwutong.wiring import Services


class Orders:
    """Draws orders that the sandbox's banks will pay, and a key for each."""

    def __init__(self, world: World, accounts: list[UUID], run: str, channel: str = "") -> None:
        """``channel``: the rail the orders ask for; empty lets routing choose."""
        self._draw = random.Random(7)
        self._accounts = accounts
        self._payees = [
            Party(p.name, p.account, p.bank_code, p.bank_name)
            for p in world.payees
            if p.condition == "ok"
        ]
        self._run = run
        self._channel = channel
        self._count = count(1)

    def new(self) -> tuple[str, PaymentOrder]:
        """One key and its order, 100.00 to 999.99."""
        draw = self._draw
        order = PaymentOrder(
            bank_account_id=draw.choice(self._accounts),
            payee=draw.choice(self._payees),
            amount_fen=draw.randrange(100_00, 1000_00),
            purpose="货款",
            remark="bench",
            channel=self._channel,
        )
        return f"{self._run}-{next(self._count):07}", order

    def __iter__(self) -> Iterator[tuple[str, PaymentOrder]]:
        while True:
            yield self.new()


async def orders_for(services: Services, rail: str, run: str, channel: str = "") -> Orders:
    """Orders from every account of the demo group that has this rail."""
    tenant = services.settings.tenant
    async with services.database.transaction() as tx:
        accounts = await services.bank_accounts.all_for_rail(tx, tenant, rail)
    world = load_world(services.settings.sandbox_dir / "world.json")
    return Orders(world, [account.bank_account_id for account in accounts], run, channel)
