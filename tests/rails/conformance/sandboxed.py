"""A subject over the sandbox: its bank keeps its own books, and can be told to misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from tests.rails.conformance.subject import NAMES, Subject, Trait, Trouble
from tests.sandbox.conftest import Stage, stage

from caiwutong.api.callbacks import callback_of
from caiwutong.kernel.clock import SystemRandomness
from caiwutong.rails.bank_direct.connector import BankDirectRail
from caiwutong.rails.contract import AccountAtBank, Attempt, Rail
from caiwutong.sandbox.faults import FaultKind, Plan, Rule
from caiwutong.sandbox.world import OwnAccount, Payee, World, demo_world, save_world
from caiwutong.wiring import close_rail, open_rails

PAID = frozenset({"NETTED", "SETTLED"})
Factory = Callable[[Path], AbstractAsyncContextManager[Subject]]

NO_BANK = "999999999999"
NO_PAPERS = {
    Trait.RECEIPTS: "the clearing system gives no receipts: the sponsor's own channels do",
    Trait.RETURNED_PAYMENTS: "returns come as messages of their own",
}


class SandboxSubject(Subject):
    """A rail of ours facing the sandbox."""

    def __init__(self, s: Stage, rail: Rail, payer: OwnAccount, lacks: Mapping[Trait, str]) -> None:
        self.stage = s
        self.rail = rail
        self.clock = s.clock
        self.own = payer
        self.payer = AccountAtBank(payer.name, payer.account, payer.bank_code, payer.bank_name)
        self.lacks = lacks
        self._book = s.sandbox.network.books[payer.bank_code]

    def payee(self, name: str = "", *, closed: bool = False) -> AccountAtBank:
        condition = "closed" if closed else "ok"
        found = next(
            each
            for each in self.stage.world.payees
            if each.condition == condition
            and each.bank_code != self.payer.bank_code
            and (each.name == name if name else each.name not in NAMES)
        )
        if closed and self.rail.name == "hvps":
            # HVPS settles before the payee's bank is asked: a closed account's money comes back as
            # a payment of its own. What is refused there is a bank that does not exist.
            return AccountAtBank(found.name, found.account, NO_BANK)
        return AccountAtBank(found.name, found.account, found.bank_code, found.bank_name)

    async def work(self) -> None:
        await self.pass_time(3)
        await self.stage.hub.admin("POST", "net")
        self.stage.sandbox.network.timers.advance()

    async def pass_time(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)
        self.stage.sandbox.network.timers.advance()
        await asyncio.sleep(0)

    def trouble(self, kind: Trouble | None) -> None:
        delay_s = 120.0 if kind is Trouble.LATE else 0.0
        rules = () if kind is None else (Rule(kind=FaultKind(kind.value), delay_s=delay_s),)
        self.stage.sandbox.network.faults.put(Plan(1, "conformance", rules))

    def debits(self, reference: str) -> list[int]:
        lines = self._book.lines(self.payer.account, 0, 100_000)
        ours = [line for line in lines if line.reference == reference]
        out = [-line.amount_fen for line in ours if line.kind == "payment"]
        for correction in (line.amount_fen for line in ours if line.kind == "other"):
            out.remove(correction)
        return out

    def named(self, reference: str) -> str:
        execution = self._book.execution(self._originator(), reference)
        assert execution is not None
        return execution.payee_name

    def _originator(self) -> str:
        return self.payer.bank_code

    async def give_back(self, attempt: Attempt) -> None:
        await self.stage.hub.admin("POST", "returns", {"reference": attempt.reference})
        await self.work()

    async def notices(self) -> list[bytes]:
        before = -1
        while before != len(self.stage.hub.posts):
            before = len(self.stage.hub.posts)
            await asyncio.sleep(0.15)  # the bank posts in real time
        found: list[bytes] = []
        for path, body in self.stage.hub.posts:
            address = callback_of(path)
            assert address is not None, f"the bank posts to {path}, where nobody listens"
            if address.rail != self.rail.name:
                continue
            if address.connection:
                assert isinstance(self.rail, BankDirectRail)
                body = self.rail.tag(address.connection, body)
            found.append(body)
        return found


def sandboxed(
    rail: str,
    *,
    style: str = "",
    lacks: Mapping[Trait, str] | None = None,
    entry: Mapping[str, Any] | None = None,
) -> Factory:
    """A subject that pays over this rail of the sandbox (over a bank of this style, whose entry in
    ``connections.json`` is changed by ``entry``)."""

    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Subject]:
        write_world(folder)
        async with stage(folder) as s:
            path = folder / "connections.json"
            connections = msgspec.json.decode(path.read_bytes())
            for each in connections["bank_direct"]:
                each |= (entry or {}) if each["style"] == style else {}
            path.write_bytes(msgspec.json.encode(connections))
            rails = open_rails(path, s.clock, SystemRandomness())
            payer = next(
                each
                for each in s.world.accounts
                if rail in each.access_modes
                and style in ("", s.world.bank(each.bank_code).style)
                and each.overdraft_fen == 0
            )
            try:
                yield SandboxSubject(s, rails[rail], payer, lacks or {})
            finally:
                for each in rails.values():
                    await close_rail(each)

    return opened


def write_world(folder: Path) -> None:
    """The demo world, with payees of hard names at every bank."""
    world: World = demo_world(1)
    banks = [bank for bank in world.banks if bank.code != world.sponsor][:2]
    hard = tuple(
        Payee(
            name=name,
            account=f"62{number:02d}{at:02d}880000417{number}",
            bank_code=bank.code,
            bank_name=bank.name,
        )
        for at, bank in enumerate(banks)
        for number, name in enumerate(NAMES)
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_world(msgspec.structs.replace(world, payees=world.payees + hard), folder / "world.json")
