"""What the sandbox answers the hub's rail over HVPS: each request once, and what is refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from tests.sandbox.conftest import Stage, stage, until

from caiwutong.crypto.gm import Sm2PrivateKey, Sm2PublicKey
from caiwutong.kernel.clock import SystemRandomness
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.kernel.ids import Ids, reference
from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.signing import PeerKey
from caiwutong.rails.contract import (
    NOT_FOUND,
    AccountAtBank,
    Attempt,
    BadMessage,
    Concerning,
    NotSent,
    Rail,
    ReportKind,
    SentInDoubt,
)
from caiwutong.rails.hvps import messages as h
from caiwutong.rails.hvps.codec import CODEC
from caiwutong.rails.hvps.connector import HvpsConnection, HvpsRail
from caiwutong.sandbox.client import SandboxClient
from caiwutong.sandbox.faults import FaultKind, Rule
from caiwutong.sandbox.setup import CALLBACK_HVPS


def rail_of(s: Stage, **changes: object) -> HvpsRail:
    connection = msgspec.convert(s.hub.connections["hvps"], HvpsConnection)
    connection = msgspec.structs.replace(connection, **changes)
    return HvpsRail(connection, s.clock, Ids(s.clock, SystemRandomness()))


def attempt(s: Stage, rail: HvpsRail, fen: int = 3_000_000_00, **changes: Any) -> Attempt:
    number, at, payee = uuid4(), s.clock.now(), s.payee()
    facts: dict[str, Any] = {
        "tenant": "demo",
        "payment_id": uuid4(),
        "attempt_id": number,
        "rail": rail.name,
        "reference": reference(at, number),
        "payer": AccountAtBank(s.payer.name, s.payer.account, s.payer.bank_code),
        "payee": AccountAtBank(payee.name, payee.account, payee.bank_code, payee.bank_name),
        "amount_fen": fen,
        "created_at": at,
        "valid_until": rail.valid_until(at),
        "purpose": "货款",
    }
    return Attempt(**(facts | changes))


async def say(s: Stage, message: Any, number: str = "", key: str = "", **more: Any) -> Any:
    """One message of the hub, by hand; the centre's answer."""
    connection = s.hub.connections["hvps"]
    raw = CODEC.encode(
        message,
        sender=connection["sponsor"],
        receiver=connection["centre"],
        signer=Sm2PrivateKey.from_hex(key or connection["signing_key"]),
        at=more.pop("at", s.clock.now()),
        message_id=number or s.hub.reference(),
    )
    rail = rail_of(s)
    try:
        body = await rail._exchange.post(raw)
    finally:
        await rail.close()
    verifier = PeerKey(Sm2PublicKey.from_hex(connection["centre_key"]))
    (frame,) = CODEC.decode_frames(body, verifier)
    return frame.message


def transfer(s: Stage, fen: int = 3_000_000_00, **changes: Any) -> h.CreditTransfer:
    payer, payee = s.payer, s.payee()
    return h.CreditTransfer(
        amount_fen=fen,
        payer=AccountAtBank(payer.name, payer.account, payer.bank_code),
        payee=AccountAtBank(payee.name, payee.account, payee.bank_code),
        **changes,
    )


async def test_the_hvps_rail_pays_asks_reads_and_asks_for_a_return(folder: Path) -> None:
    async with stage(folder) as s:
        rail = rail_of(s)
        contract: Rail = rail
        one = attempt(s, rail)
        assert (await contract.enquire([one]))[0].code == NOT_FOUND
        assert await rail.ask_payee_bank(one, "是否入账") == "我行未收到该笔来账"
        (message,) = contract.encode_many([one])
        assert (message.kind, message.references) == ("hvps.111.001.01", (one.reference,))
        (report,) = contract.decode(await contract.send(message))
        assert (report.kind, report.code) == (ReportKind.SETTLED, "PR04")
        assert (await contract.enquire([one]))[0].kind is ReportKind.SETTLED
        assert await rail.ask_payee_bank(one, "是否入账") == "已入收款人账"
        (late,) = await contract.revoke(one)
        assert (late.kind, late.concerning) == (ReportKind.REJECTED, Concerning.REVOCATION)
        (asked,) = await contract.request_return(one, "付错了")
        assert asked.kind is ReportKind.ACCEPTED
        page = await contract.statement(one.payer, "")
        assert [line.kind for line in page.lines] == ["opening", "payment", "return"]
        assert page.lines[2].reference == one.reference
        (balance,) = await contract.balances([one.payer])
        assert balance.balance_fen == page.lines[-1].balance_after_fen == s.payer.opening_fen
        with pytest.raises(Unavailable):
            await contract.balances([AccountAtBank("-", "62", s.payer.bank_code)])
        await rail.close()


async def test_the_same_message_again_gives_the_present_state_and_pays_once(folder: Path) -> None:
    async with stage(folder) as s:
        rail = rail_of(s)
        one = attempt(s, rail)
        for _ in range(3):
            (message,) = rail.encode_many([one])
            (report,) = rail.decode(await rail.send(message))
            assert report.kind is ReportKind.SETTLED
        other = msgspec.structs.replace(one, amount_fen=5_00)
        (report,) = rail.decode(await rail.send(rail.encode_many([other])[0]))
        assert codes.same(report.code, codes.DUPLICATE)
        page = await rail.statement(one.payer, "")
        assert [line.kind for line in page.lines] == ["opening", "payment"]
        await rail.close()


async def test_a_message_of_another_business_day_is_refused(folder: Path) -> None:
    async with stage(folder) as s:
        yesterday = s.clock.now() - timedelta(days=4)
        late = await say(s, transfer(s), at=yesterday)
        assert isinstance(late, m.ProcessingConfirm)
        assert (late.status, late.reason) == ("PR09", "RJ99"), "it can never be taken: a no"
        early = await say(s, transfer(s), at=s.clock.now() + timedelta(days=1))
        assert isinstance(early, m.Discard) and not early.reason, "this copy says nothing definite"


async def test_a_strangers_signature_is_discarded_and_nothing_is_paid(folder: Path) -> None:
    async with stage(folder) as s:
        answer = await say(s, transfer(s), "FORGED1", key="33" * 32)
        assert isinstance(answer, m.Discard)
        assert codes.same(answer.result, codes.BAD_SIGNATURE)
        original = m.Original("FORGED1", s.world.sponsor, "hvps.111.001.01")
        known = await say(s, m.Enquiry(original))
        assert codes.same(known.result, codes.UNKNOWN_ORIGINAL)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payee": AccountAtBank("甲", "62", "999999999999")}, "RJ91"),
        ({"payer": AccountAtBank("甲", "62", "102290091013")}, "RJ92"),
        ({"type_code": "A105"}, "RJ91"),
        ({"amount_fen": 10**14}, "RJ03"),
    ],
)
async def test_what_cannot_be_paid_is_a_definite_no(
    folder: Path, changes: dict[str, Any], reason: str
) -> None:
    async with stage(folder) as s:
        answer = await say(s, msgspec.structs.replace(transfer(s), **changes))
        assert isinstance(answer, m.ProcessingConfirm)
        assert (answer.status, answer.reason) == ("PR09", reason)


async def test_what_all_channels_share_is_answered_here_too(folder: Path) -> None:
    async with stage(folder) as s:
        assert isinstance(await say(s, m.Probe(), "PROBE1"), m.ProbeAnswer)
        assert isinstance(await say(s, m.FreeText("您好")), m.Acknowledgement)
        refused = await say(s, m.Outage("HVPS", s.clock.now()))
        assert isinstance(refused, m.Discard), "the hub announces nothing"
        sponsor, other = s.world.sponsor, s.world.banks[1].code
        moved = await say(s, h.InstitutionTransfer(5_00, sponsor, other), "MOVE1")
        again = await say(s, h.InstitutionTransfer(5_00, sponsor, other), "MOVE1")
        assert moved.status == again.status == "PR04"
        theirs = await say(s, h.InstitutionTransfer(5_00, other, sponsor))
        assert (theirs.status, theirs.reason) == ("PR09", "RJ92")
        # Once, though it was sent twice.
        accounts = s.sandbox.network.accounts
        opened = -sum(account.balance_fen for account in accounts.all())
        assert opened == -sum(a.opening_fen for a in (*s.world.accounts, *s.world.payees))


async def test_a_queue_answered_and_pushed_is_acknowledged_message_by_message(
    folder: Path,
) -> None:
    async with stage(folder) as s:
        rail = rail_of(s)
        await s.hub.admin("PUT", "hvps/funds", {"usable_fen": 0})
        one = attempt(s, rail)
        (report,) = rail.decode(await rail.send(rail.encode_many([one])[0]))
        assert (report.kind, report.code) == (ReportKind.ACCEPTED, "PR06")
        (revoked,) = await rail.revoke(one)
        assert revoked.kind is ReportKind.REVOKED
        two = attempt(s, rail)
        rail.decode(await rail.send(rail.encode_many([two])[0]))
        await s.hub.admin("PUT", "hvps/funds", {})
        await until(lambda: s.sandbox.pushes.waiting() == 0)
        bodies = [body for path, body in s.hub.posts if path == CALLBACK_HVPS]
        reports = [each for body in bodies for each in rail.decode(body)]
        assert [(r.kind, r.reference) for r in reports] == [(ReportKind.SETTLED, two.reference)]
        acknowledged = CODEC.read_headers(rail.acknowledge(bodies[-1]))
        assert {each.kind for each in acknowledged} == {"ccms.990.001.01"}
        with pytest.raises(BadMessage):
            rail.decode(bodies[-1].replace(b"PR04", b"PR08"))
        await rail.close()


@pytest.mark.parametrize("mode", ["reset", "503", "blackhole"])
async def test_an_unreachable_door_is_doubt_and_never_a_no(folder: Path, mode: str) -> None:
    rule = Rule(kind=FaultKind.OUTAGE, channel="hvps", mode=mode)
    async with stage(folder, rule) as s:
        rail = rail_of(s, timeout_s=0.3, connect_timeout_s=0.3, least_timeout_s=0.1)
        one = attempt(s, rail)
        with pytest.raises(SentInDoubt):
            await rail.send(rail.encode_many([one])[0])
        (asked,) = await rail.enquire([one])
        assert asked.kind is ReportKind.IN_DOUBT
        await rail.close()
        gone = rail_of(s, url="http://127.0.0.1:9")
        with pytest.raises(NotSent):
            await gone.send(gone.encode_many([one])[0])
        await gone.close()


async def test_a_persons_hand_on_hvps(folder: Path) -> None:
    async with stage(folder) as s:
        client = SandboxClient.at(folder)

        async def hand(act: Any, *arguments: Any, **named: Any) -> Any:
            return await asyncio.to_thread(lambda: act(*arguments, **named))

        sponsor = s.world.sponsor
        looked = await hand(client.hvps)
        assert (looked["open"], looked["business_day"]) == (True, "2026-11-23")
        short = await hand(client.hvps_funds, 7_00)
        (account,) = [each for each in short["accounts"] if each["bank"] == sponsor]
        assert account["usable_fen"] == 7_00
        fed = await hand(client.hvps_fund, 5_00, s.world.banks[2].code)
        (account,) = [each for each in fed["accounts"] if each["bank"] == sponsor]
        assert account["usable_fen"] == 12_00
        held = await hand(client.hvps_outside_hours, "hold")
        assert held["outside_hours"] == "hold"
        free = await hand(client.hvps_day, "2026-11-23", working=False)
        assert not free["open"]
        for wrong in (
            lambda: client.hvps_funds(-1),
            lambda: client.hvps_fund(0),
            lambda: client.hvps_fund(1, sponsor),
            lambda: client.hvps_outside_hours("perhaps"),
            lambda: client.hvps_outage(until="2020-01-01T00:00:00+08:00"),
            lambda: client.hvps_outage(until="2030-01-01T00:00:00"),
            lambda: client.announce_limit("abcd", 1),
            lambda: client.hvps_funds(1, "000000000000"),
        ):
            with pytest.raises(Refused):
                await hand(wrong)
