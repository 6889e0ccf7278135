"""The hub's own rails against the sandbox: what ``connections.json`` says is enough to speak."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
from tests.sandbox.conftest import Stage, stage

from caiwutong.kernel.clock import SystemRandomness
from caiwutong.kernel.ids import Ids, reference
from caiwutong.rails.bank_direct.connector import BankDirectRail
from caiwutong.rails.bank_direct.styles.catalog import read_connections
from caiwutong.rails.contract import NOT_FOUND, AccountAtBank, Attempt, Concerning, ReportKind
from caiwutong.rails.ibps.connector import IbpsConnection, IbpsRail
from caiwutong.sandbox.faults import FaultKind, Rule
from caiwutong.sandbox.world import OwnAccount, Payee


def attempt(s: Stage, rail: IbpsRail | BankDirectRail, payer: OwnAccount, payee: Payee) -> Attempt:
    number: UUID = uuid4()
    at = s.clock.now()
    return Attempt(
        tenant="demo",
        payment_id=uuid4(),
        attempt_id=number,
        rail=rail.name,
        reference=reference(at, number),
        payer=AccountAtBank(payer.name, payer.account, payer.bank_code, payer.bank_name),
        payee=AccountAtBank(payee.name, payee.account, payee.bank_code, payee.bank_name),
        amount_fen=1_234_56,
        created_at=at,
        valid_until=rail.valid_until(at),
        purpose="货款",
    )


def ibps(s: Stage) -> IbpsRail:
    connection = msgspec.convert(s.hub.connections["ibps"], IbpsConnection)
    return IbpsRail(connection, s.clock, Ids(s.clock, SystemRandomness()))


def direct(s: Stage) -> BankDirectRail:
    connections = read_connections(s.hub.connections["bank_direct"])
    return BankDirectRail(connections, clock=s.clock, randomness=SystemRandomness())


async def test_the_ibps_rail_pays_asks_reads_and_asks_for_a_return(folder: Path) -> None:
    async with stage(folder) as s:
        rail = ibps(s)
        one = attempt(s, rail, s.payer, s.payee())
        assert (await rail.enquire([one]))[0].code == NOT_FOUND
        (message,) = rail.encode_many([one])
        (report,) = rail.decode(await rail.send(message))
        assert (report.kind, report.reference) == (ReportKind.ACCEPTED, one.reference)
        await s.hub.admin("POST", "net")
        assert (await rail.enquire([one]))[0].kind is ReportKind.NETTED
        late = await rail.revoke(one)
        assert late[0].concerning is Concerning.REVOCATION
        asked = await rail.request_return(one, "付错了")
        assert asked[0].kind is ReportKind.ACCEPTED
        await s.hub.admin("POST", "net")
        page = await rail.statement(one.payer, "")
        assert [line.kind for line in page.lines] == ["opening", "payment", "return"]
        assert page.lines[2].reference == one.reference
        (balance,) = await rail.balances([one.payer])
        assert balance.balance_fen == page.lines[-1].balance_after_fen == s.payer.opening_fen
        nothing_new = await rail.statement(one.payer, page.cursor)
        assert (nothing_new.lines, nothing_new.cursor) == ((), page.cursor)
        await rail.close()


async def test_a_message_sent_on_a_later_day_is_a_definite_no_over_the_rail(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.LOST_REQUEST)) as s:
        rail = ibps(s)
        one = attempt(s, rail, s.payer, s.payee())
        s.clock.advance(timedelta(days=1).total_seconds())
        await s.hub.admin("PUT", "faults", {"profile": "none"})
        (message,) = rail.encode_many([one])
        (report,) = rail.decode(await rail.send(message))
        assert (report.kind, report.code) == (ReportKind.REJECTED, "RJ99")
        await rail.close()


async def test_the_bank_direct_rail_pays_and_reads_its_statement(folder: Path) -> None:
    async with stage(folder) as s:
        rail = direct(s)
        payer = next(a for a in s.world.accounts if "bank_direct" in a.access_modes)
        payee = next(
            p for p in s.world.payees if p.condition == "ok" and p.bank_code != payer.bank_code
        )
        one = attempt(s, rail, payer, payee)
        (message,) = rail.encode_many([one])
        (report,) = rail.decode(await rail.send(message))
        assert report.kind is ReportKind.ACCEPTED
        for _ in range(100):
            s.clock.advance(1)
            if (await rail.enquire([one]))[0].kind is ReportKind.SETTLED:
                break
            await asyncio.sleep(0.05)  # the bank works in real time as well
        assert (await rail.enquire([one]))[0].code == "FIN/S"
        page = await rail.statement(one.payer, "")
        assert [line.kind for line in page.lines] == ["opening", "payment", "fee"]
        assert not page.more
        (balance,) = await rail.balances([one.payer])
        assert balance.balance_fen == page.lines[-1].balance_after_fen
        again = await rail.statement(one.payer, page.cursor)
        assert again.lines == ()
        await rail.close()
