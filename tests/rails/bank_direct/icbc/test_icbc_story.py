"""The ICBC style against its sandbox bank: what the shared suite cannot know."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs

import msgspec
import pytest
from tests.rails.bank_direct.icbc.test_icbc_connector import attempt
from tests.sandbox.conftest import Stage, stage

from caiwutong.kernel.clock import SystemRandomness
from caiwutong.rails.bank_direct.contract import Tools
from caiwutong.rails.bank_direct.styles.catalog import read_connections
from caiwutong.rails.bank_direct.styles.icbc.connector import IcbcConnector
from caiwutong.rails.bank_direct.styles.icbc.link import IcbcConnection
from caiwutong.rails.contract import (
    NOT_FOUND,
    AccountAtBank,
    Attempt,
    RailReport,
    ReportKind,
    SentInDoubt,
)


class Enterprise:
    """The group at the state bank, with connections that differ in one setting."""

    def __init__(self, s: Stage) -> None:
        self.stage = s
        entries = read_connections(s.hub.connections["bank_direct"])
        self.entry = next(each for each in entries if isinstance(each, IcbcConnection))
        own = next(a for a in s.world.accounts if a.bank_code in self.entry.bank_codes)
        payee = next(
            p for p in s.world.payees if p.condition == "ok" and p.bank_code != own.bank_code
        )
        self.payer = AccountAtBank(own.name, own.account, own.bank_code, own.bank_name)
        self.payee = AccountAtBank(payee.name, payee.account, payee.bank_code, payee.bank_name)
        self.open: list[IcbcConnector] = []

    def connector(self, payments: int, *, charset: str = "GBK") -> IcbcConnector:
        entry = msgspec.structs.replace(self.entry, batch_payments=payments, charset=charset)
        made = IcbcConnector(entry, Tools(self.stage.clock, SystemRandomness()))
        self.open.append(made)
        return made

    def attempt(self, number: int, **changes: object) -> Attempt:
        at = self.stage.clock.now()
        return attempt(number, self.payer, payee=self.payee, created_at=at, **changes)

    async def pay(self, cmb: IcbcConnector, *attempts: Attempt) -> list[RailReport]:
        return [
            report
            for message in cmb.encode_many(attempts)
            for report in cmb.decode(await cmb.send(message))
        ]

    async def close(self) -> None:
        for each in self.open:
            await each.close()


async def test_whoever_pays_one_by_one_now_still_finds_what_went_in_a_package(tmp_path: Path):
    async with stage(tmp_path / "s") as s:
        house = Enterprise(s)
        many, single = house.connector(50), house.connector(1)
        pair = [house.attempt(1), house.attempt(2)]
        await house.pay(many, *pair)
        assert [r.kind for r in await single.enquire(pair)] == [ReportKind.ACCEPTED] * 2
        [never] = await single.enquire([house.attempt(9)])
        assert (never.kind, never.code) == (ReportKind.IN_DOUBT, NOT_FOUND)
        await house.close()


async def test_one_reference_with_another_content_is_refused_and_the_first_goes_on(tmp_path: Path):
    async with stage(tmp_path / "s") as s:
        house = Enterprise(s)
        bank = house.connector(50)
        first, other = house.attempt(1), house.attempt(2)
        await house.pay(bank, first)
        changed = msgspec.structs.replace(first, amount_fen=first.amount_fen + 1)
        same, fresh = await house.pay(bank, changed, other)
        assert (same.reference, same.kind, same.code) == (
            first.reference,
            ReportKind.IN_DOUBT,
            "EB0003",
        )
        assert (fresh.reference, fresh.kind) == (other.reference, ReportKind.ACCEPTED)
        [asked] = await bank.enquire([first])
        assert (asked.kind, asked.amount_fen) == (ReportKind.ACCEPTED, first.amount_fen)
        await house.close()


async def test_a_package_of_another_hour_is_refused_whole_and_nothing_of_it_is_paid(tmp_path: Path):
    async with stage(tmp_path / "s") as s:
        house = Enterprise(s)
        bank = house.connector(50)
        old = [house.attempt(1), house.attempt(2)]
        s.clock.advance(3_601)
        reports = await house.pay(bank, *old)
        assert {(r.kind, r.code) for r in reports} == {(ReportKind.IN_DOUBT, "package/EB0001")}
        found = await bank.enquire(old)
        assert {r.code for r in found} == {NOT_FOUND}
        assert s.clock.now() < bank.valid_until(old[0].created_at)
        await house.close()


async def test_a_form_that_says_another_thing_than_its_document_is_turned_away(tmp_path: Path):
    async with stage(tmp_path / "s") as s:
        house = Enterprise(s)
        bank = house.connector(1)
        [message] = bank.encode_many([house.attempt(1)])
        assert parse_qs(message.body.decode())["PackageID"] == [message.message_id]
        torn = message.body.replace(b"PackageID=2026", b"PackageID=2027")
        with pytest.raises(SentInDoubt):
            await bank.send(msgspec.structs.replace(message, body=torn))
        [report] = await bank.enquire([house.attempt(1)])
        assert report.code == NOT_FOUND
        await house.close()


async def test_the_bank_answers_in_the_character_set_it_was_asked_in(tmp_path: Path):
    async with stage(tmp_path / "s") as s:
        house = Enterprise(s)
        for number, charset in enumerate(("GBK", "GB18030")):
            bank = house.connector(1, charset=charset)
            [report] = await house.pay(bank, house.attempt(number))
            assert report.kind is ReportKind.ACCEPTED
            page = await bank.statement(house.payer, "")
            assert page.lines[0].kind == "opening"
        await house.close()
