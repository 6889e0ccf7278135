"""What the sandbox answers over BEPS, message by message, over real sockets."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.sandbox.conftest import Stage, stage

from caiwutong.crypto.gm import Sm2PrivateKey, Sm2PublicKey
from caiwutong.rails.beps import messages as b
from caiwutong.rails.beps.codec import CODEC
from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.signing import PeerKey
from caiwutong.rails.contract import AccountAtBank
from caiwutong.sandbox import cli
from caiwutong.sandbox.client import SandboxClient
from caiwutong.sandbox.faults import FaultKind, Plan, Rule
from caiwutong.sandbox.world import Payee


class Speaking:
    """Says single BEPS messages as a hub would, right or wrong ones."""

    def __init__(self, s: Stage) -> None:
        self.s = s
        self.us = s.hub.connections["beps"]
        self.key = Sm2PrivateKey.from_hex(self.us["signing_key"])
        self.verifier = PeerKey(Sm2PublicKey.from_hex(self.us["centre_key"]))
        self.number = 0

    def credit(self, payee: Payee | None = None, fen: int = 10_00, **more: Any) -> b.Credit:
        self.number += 1
        payer, to = self.s.payer, payee or self.s.payee()
        return b.Credit(
            more.pop("transaction_id", f"20261123TX{self.number:010d}"),
            fen,
            AccountAtBank(payer.name, payer.account, more.pop("bank", payer.bank_code)),
            AccountAtBank(to.name, to.account, to.bank_code),
            **more,
        )

    def raw(self, word: Any, *, at: datetime | None = None) -> bytes:
        self.number += 1
        return CODEC.encode(
            word, sender=self.us["sponsor"], receiver=self.us["centre"], signer=self.key,
            at=at or self.s.clock.now(), message_id=f"20261123MSG{self.number:09d}",
        )  # fmt: skip

    async def post(self, raw: bytes) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.us["url"] + "/beps", data=raw) as answer,
        ):
            (frame,) = CODEC.decode_frames(await answer.read(), self.verifier)
            return frame.message

    async def say(self, word: Any, *, at: datetime | None = None) -> Any:
        return await self.post(self.raw(word, at=at))

    async def pay(self, *credits_: b.Credit, at: datetime | None = None) -> list[tuple[str, str]]:
        """Status and reason of each payment of a batch."""
        answer = await self.say(b.CustomerCredits.of(credits_), at=at)
        assert isinstance(answer, b.BatchConfirm), answer
        assert [o.transaction_id for o in answer.outcomes] == [c.transaction_id for c in credits_]
        return [(outcome.status, outcome.reason) for outcome in answer.outcomes]

    def paid_fen(self) -> int:
        account = self.s.sandbox.network.books[self.s.payer.bank_code].account(self.s.payer.account)
        assert account is not None
        return self.s.payer.opening_fen - account.balance_fen


@asynccontextmanager
async def speaking(folder: Path) -> AsyncIterator[Speaking]:
    async with stage(folder) as s:
        yield Speaking(s)


async def test_each_check_of_the_front_end_has_its_code_and_is_remembered(folder: Path) -> None:
    async with speaking(folder) as t:
        asked = {
            "the limit itself": (t.credit(fen=1_000_000_00), ("PR10", "")),
            "a fen above it": (t.credit(fen=1_000_000_01), ("PR09", "RJ04")),
            "another bank's account": (t.credit(bank="102290091014"), ("PR09", "RJ92")),
            "a return from us": (t.credit(type_code="A105"), ("PR09", "RJ91")),
            "no such payee": (
                t.credit(msgspec.structs.replace(t.s.payee(), account="6000000000")),
                ("PR09", "RJ01"),
            ),
            "no such bank": (
                t.credit(msgspec.structs.replace(t.s.payee(), bank_code="999999999999")),
                ("PR09", "RJ91"),
            ),
        }
        credits_ = [credit for credit, _ in asked.values()]
        expected = [outcome for _, outcome in asked.values()]
        assert await t.pay(*credits_) == expected
        assert await t.pay(*reversed(credits_)) == expected[::-1], "the same again, executed once"
        assert t.paid_fen() == 1_000_000_00


async def test_a_transaction_id_with_other_content_is_told_of_the_first(folder: Path) -> None:
    async with speaking(folder) as t:
        first = t.credit()
        assert await t.pay(first) == [("PR10", "")]
        other = t.credit(fen=99_00, transaction_id=first.transaction_id)
        assert await t.pay(other, t.credit()) == [("PR10", ""), ("PR10", "")]
        assert t.paid_fen() == 20_00


async def test_a_payment_of_another_business_date_is_never_executed(folder: Path) -> None:
    async with speaking(folder) as t:
        old, early = t.credit(), t.credit()
        yesterday = t.s.clock.now() - timedelta(days=1)
        assert await t.pay(old, at=yesterday) == [("PR09", "RJ99")]
        assert await t.pay(old) == [("PR09", "RJ99")], "the no is remembered"
        answer = await t.say(b.CustomerCredits.of([early]), at=t.s.clock.now() + timedelta(days=1))
        assert isinstance(answer, m.Discard) and answer.result == codes.WRONG_DATE
        assert not answer.reason, "it may still be taken on its day"
        assert await t.pay(early) == [("PR10", "")]
        assert t.paid_fen() == 10_00


async def test_what_was_yesterdays_and_known_keeps_its_state(folder: Path) -> None:
    async with speaking(folder) as t:
        one = t.credit()
        raw = t.raw(b.CustomerCredits.of([one]))
        first = await t.post(raw)
        t.s.clock.advance(timedelta(days=1).total_seconds())
        again = await t.post(raw)
        assert first.outcomes[0].status == "PR10" and again.outcomes[0].status in ("PR10", "PR03")
        assert t.paid_fen() == 10_00


async def test_a_batch_that_is_no_good_message_is_discarded_whole(folder: Path) -> None:
    async with speaking(folder) as t:
        raw = t.raw(b.CustomerCredits.of([t.credit(), t.credit()]))
        for find, replace, result in (
            (b">20.00</CtrlSum>", b">20.01</CtrlSum>", codes.BAD_FORMAT),
            (b"<NbOfTxs>2<", b"<NbOfTxs>1<", codes.BAD_FORMAT),
            (b"<CtgyPurpCd>02102<", b"<CtgyPurpCd>02103<", codes.BAD_SIGNATURE),
        ):
            assert find in raw
            answer = await t.post(raw.replace(find, replace))
            assert isinstance(answer, m.Discard) and answer.result == result
        assert t.paid_fen() == 0


async def test_an_institutions_credits_are_executed_like_customers(folder: Path) -> None:
    async with speaking(folder) as t:
        answer = await t.say(b.InstitutionCredits.of([t.credit(), t.credit(t.s.payee("closed"))]))
        assert [outcome.status for outcome in answer.outcomes] == ["PR10", "PR09"]
        assert t.paid_fen() == 10_00


async def test_a_real_time_credit_is_answered_at_once_or_acknowledged(folder: Path) -> None:
    async with speaking(folder) as t:
        yes = await t.say(b.RealTimeCredit(t.credit(t.s.payee(bank=t.s.world.banks[1].code))))
        assert isinstance(yes, b.RealTimeAnswer)
        assert (yes.status, yes.amount_fen) == ("PR10", 10_00)
        no = await t.say(b.RealTimeCredit(t.credit(t.s.payee("wrong_name"))))
        assert (no.status, no.reason) == ("PR09", "RJ02")
        rural = next(bank.code for bank in t.s.world.banks if bank.kind == "rural")
        t.s.sandbox.network.faults.put(Plan(rules=(Rule(kind=FaultKind.SILENT, bank=rural),)))
        waits = await t.say(b.RealTimeCredit(t.credit(t.s.payee(bank=rural))))
        assert isinstance(waits, m.Acknowledgement)


async def test_one_question_asks_about_many_payments(folder: Path) -> None:
    async with speaking(folder) as t:
        good, bad = t.credit(), t.credit(t.s.payee("frozen"))
        await t.pay(good, bad)
        ids = (good.transaction_id, "20261123NEVERSENT", bad.transaction_id)
        answer = await t.say(b.StatusPull(tuple(b.Asked(each) for each in ids)))
        assert isinstance(answer, b.StatusAnswer) and answer.sender == t.us["sponsor"]
        found = [(f.transaction_id, f.result, f.status, f.reason) for f in answer.payments]
        assert found == [
            (ids[0], codes.DONE, "PR10", ""),
            (ids[1], codes.UNKNOWN_ORIGINAL, "", ""),
            (ids[2], codes.DONE, "PR09", "RJ11"),
        ]
        await t.s.hub.admin("POST", "beps/round")
        (netted,) = (await t.say(b.StatusPull((b.Asked(ids[0]),)))).payments
        assert (netted.status, netted.round_id) == ("PR03", "202611231000")


async def test_words_probes_and_what_is_not_taken(folder: Path) -> None:
    async with speaking(folder) as t:
        one = t.credit()
        await t.pay(one)
        about = m.Original("ANY", t.us["sponsor"], "beps.121.001.01", one.transaction_id)
        told = await t.say(m.Question(about, "请问是否入账"))
        assert isinstance(told, m.QuestionAnswer) and "PR10" in told.content
        assert isinstance(await t.say(m.FreeText("您好")), m.Acknowledgement)
        assert isinstance(await t.say(m.Probe()), m.ProbeAnswer)
        refused = await t.say(m.Outage("BEPS", t.s.clock.now()))
        assert isinstance(refused, m.Discard) and refused.result == codes.BAD_FORMAT
        late = await t.say(m.Revocation(m.Original("NO", t.us["sponsor"], "beps.121.001.01", "NO")))
        assert isinstance(late, m.RevocationAnswer) and late.status == "PR09"


async def test_a_person_may_look_shorten_the_quota_stop_it_and_close_a_round(folder: Path) -> None:
    async with speaking(folder) as t:
        client = SandboxClient.at(folder)

        def tell(**more: Any) -> dict[str, Any]:
            asked = {"quota": None, "outage_until": None, "round": False} | more
            found = cli._beps(client, argparse.Namespace(**asked))  # pyright: ignore[reportPrivateUsage]
            assert isinstance(found.data, dict) and found.words
            return found.data

        assert await t.pay(t.credit(fen=30_00)) == [("PR10", "")]
        looked = await asyncio.to_thread(tell, quota="50.00")
        assert (looked["quota_fen"], looked["owed_fen"]) == (50_00, 30_00)
        assert await t.pay(t.credit(fen=30_00), t.credit(fen=20_00)) == [
            ("PR09", "RJ94"),
            ("PR10", ""),
        ]
        assert (await asyncio.to_thread(tell, round=True))["netted"] == 2
        stopped = await asyncio.to_thread(tell, outage_until="2026-11-23T12:00:00+08:00")
        assert stopped["out_of_service"] and len(stopped["outages"]) == 1
        assert await t.pay(t.credit(fen=1_00)) == [("PR09", "RJ91")]
        for wrong in ("2026-11-23T12:00:00", "2026-11-23T01:00:00+08:00"):
            with pytest.raises(Exception, match=r"sandbox\.(outage|bad_request)"):
                await asyncio.to_thread(tell, outage_until=wrong)
        with pytest.raises(Exception, match=r"sandbox\.quota"):
            await asyncio.to_thread(client.beps_quota, -1)
