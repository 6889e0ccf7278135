"""The sandbox as a process: it starts, is told to misbehave, is killed, and forgets nothing."""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from tests.sandbox.conftest import CardboardHub, stage, until

from caiwutong.kernel.clock import SharedClock, SystemClock
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.rails.ibps import messages as m
from caiwutong.sandbox import cli
from caiwutong.sandbox.client import SandboxClient
from caiwutong.sandbox.faults import FaultKind, Rule
from caiwutong.sandbox.judge import PAID_TWICE, PaymentFact
from caiwutong.sandbox.setup import free_port


@contextmanager
def process(folder: Path, port: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "caiwutong.sandbox"),
            *("--dir", str(folder), "--port", str(port), "--netting-s", "0.2"),
            *more,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert run.stdout and run.stdout.readline().startswith("sandbox ready on http://")
        yield run
    finally:
        run.kill()
        run.wait()


def hub_for(folder: Path) -> CardboardHub:
    return CardboardHub(folder, SystemClock())  # type: ignore[arg-type]


async def test_killed_again_and_again_it_keeps_every_execution_it_answered(folder: Path) -> None:
    port = free_port()
    answered: set[str] = set()
    sent: list[str] = []
    with process(folder, port):
        hub = hub_for(folder)
    await hub.start()
    payers = [a for a in hub.world.accounts if "ibps" in a.access_modes]
    payees = [p for p in hub.world.payees if p.condition == "ok"]

    async def pay(number: int) -> None:
        reference = hub.reference()
        sent.append(reference)
        transfer = hub.transfer(payers[number % 37], payees[number % 100], 100 + number)
        try:
            answer = await hub.say(transfer, reference)
        except (aiohttp.ClientError, TimeoutError):
            return
        if isinstance(answer, m.CreditAnswer) and answer.status == "PR10":
            answered.add(reference)

    for burst in range(3):
        with process(folder, port, "--hub", hub.url) as run:
            work = [asyncio.create_task(pay(burst * 100 + n)) for n in range(100)]
            goal = len(answered) + 40
            await until(lambda goal=goal: len(answered) >= goal, 20)
            run.send_signal(signal.SIGKILL)
            await asyncio.gather(*work)

    with process(folder, port, "--hub", hub.url) as run:
        client = SandboxClient.at(folder)
        await until(lambda: answered <= _netted(hub), 20)
        facts = {fact.reference: fact for fact in await asyncio.to_thread(_executions, client)}
        assert answered <= facts.keys() <= set(sent)
        assert {fact.debits for fact in facts.values()} == {1}
        assert {fact.status for fact in facts.values()} == {"executed"}
        assert (set(sent) - answered) or len(answered) == 300
        sums = await asyncio.to_thread(client.sums)
        assert set(sums["banks"].values()) == {0} and sum(sums["positions_fen"].values()) == 0
        run.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(run.wait, 10) == 0
    await hub.stop()


def _executions(client: SandboxClient):
    return list(client.executions())


def _netted(hub: CardboardHub) -> set[str]:
    notices = hub.pushed(m.NettingNotice)
    return {payment.message_id for notice in notices for payment in notice.payments}


def test_it_starts_on_a_shared_clock_and_keeps_world_and_keys(folder: Path, tmp_path: Path) -> None:
    clock = SharedClock(tmp_path / "clock.json")
    clock.set(scale=60)
    port = free_port()
    with process(folder, port, "--clock", str(tmp_path / "clock.json"), "--faults", "demo"):
        client = SandboxClient.at(folder)
        first = client.health()
        assert first["faults"] == "demo" and first["business_time"].endswith("Z")
        world = (folder / "world.json").read_bytes()
        keys = (folder / "keys.json").read_bytes()
    with pytest.raises(Unavailable):
        client.health()
    with process(folder, port, "--seed", "5"):
        assert (folder / "world.json").read_bytes() == world
        assert (folder / "keys.json").read_bytes() == keys
    for name in ("keys.json", "connections.json", "admin.token"):
        assert (folder / name).stat().st_mode & 0o077 == 0


async def test_a_pause_refuses_connections_and_ends_by_itself(folder: Path) -> None:
    async with stage(folder) as s:
        client = SandboxClient.at(folder)
        await asyncio.to_thread(client.pause, 0.6)
        await asyncio.sleep(0.3)
        with pytest.raises(aiohttp.ClientConnectorError):
            await s.pay()
        await asyncio.sleep(0.6)
        await s.pay()
        assert isinstance(s.last, m.CreditAnswer)


async def test_the_client_sees_and_does_everything(folder: Path) -> None:
    async with stage(folder) as s:
        client = SandboxClient.at(folder)

        async def do(method, *values):
            return await asyncio.to_thread(method, *values)

        reference = await s.pay(10_00)
        assert await do(client.net) == 1
        assert await do(client.clear) == 1
        assert (await do(client.send_back, reference))["returned"] == reference
        with pytest.raises(Refused, match="not_returned"):
            await do(client.send_back, reference)
        paid = await do(client.incoming, s.payer.account, 5_00)
        assert paid["status"] == "pending"
        await do(client.net)
        own = next(b for b in await do(client.balances) if b.account == s.payer.account)
        assert own.balance_fen == s.payer.opening_fen + 5_00
        await do(client.set_account, s.payer.account, "frozen")
        await s.pay(10_00)
        assert isinstance(s.last, m.ProcessingConfirm) and s.last.reason == "RJ11"
        added = await do(client.add_rule, Rule(kind=FaultKind.SILENT))
        assert added["plan"]["name"] == "custom"
        assert (await do(client.heal))["rules_dropped"] == 1
        await do(client.answer_return_requests, "refuse")
        refused = await s.hub.say(m.ReturnRequest(s.hub.original(reference), 10_00))
        assert isinstance(refused, m.ReturnAnswer) and refused.status == "PR09"
        with pytest.raises(Refused):
            await do(client.misbehave, "nonsense")


async def test_every_command_answers_and_reconcile_can_fail(folder: Path) -> None:
    async with stage(folder) as s:
        reference = await s.pay(10_00)
        await s.hub.admin("POST", "net")
        said = PaymentFact(
            "p1", (reference,), 10_00, "completed", s.payer.account, s.payee().account
        )
        hub_says = [said]

        async def payments_of(_: argparse.Namespace) -> list[PaymentFact]:
            return hub_says

        parser = argparse.ArgumentParser()
        cli.add_commands(
            parser.add_subparsers(), folder_of=lambda _: folder, payments_of=payments_of
        )

        async def run(*words: str) -> cli.Told:
            arguments = parser.parse_args(["sandbox", *words])
            told = await arguments.command(arguments)
            assert told.words and msgspec.json.encode(told.data)
            return told

        agreed = await run("reconcile", "--json")
        assert agreed.status == 0 and agreed.data["agreement"] == 1.0
        hub_says.append(PaymentFact("p2", ("GONE",), 1, "completed", "A", "B"))
        told = await run("reconcile")
        assert told.status == 1
        assert "not_paid_though_the_hub_says_so: payment p2" in told.words
        hub_says[1] = PaymentFact("p2", (reference, reference), 1, "completed", "A", "B")
        told = await run("reconcile")
        assert told.status == 1 and told.data["by_reason"] == {PAID_TWICE: 1}
        for words in (
            ["status"],
            ["net"],
            ["clear"],
            ["books"],
            ["faults"],
            ["faults", "rough", "--seed", "3"],
            ["fault", "outage", "--bank", s.payee().bank_code, "--mode", "503"],
            ["heal", "--all"],
            ["incoming", s.payer.account, "12.34"],
            ["return", reference],
            ["clerk"],
            ["end-sessions"],
            ["account", s.payer.account, "active"],
        ):
            assert (await run(*words)).status == 0
