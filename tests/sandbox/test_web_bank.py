"""A bank that has only a web page: what a person uploads is executed once, and what the page says
may be incomplete, out of order and oddly worded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from uuid import UUID

import pytest
from tests.sandbox.conftest import Stage, stage

from caiwutong.kernel.ids import reference
from caiwutong.rails.bank_file import codec
from caiwutong.rails.bank_file.connector import BankFileRail
from caiwutong.rails.bank_file.template import BankFileConnection, Templates, shipped
from caiwutong.rails.contract import AccountAtBank, Attempt, BadMessage, RailReport, ReportKind
from caiwutong.sandbox.client import SandboxClient
from caiwutong.sandbox.faults import FaultKind, Plan, Rule
from caiwutong.sandbox.web_bank import WebBank


class Desk:
    """One of our accounts at the bank, and the person who carries its files."""

    def __init__(self, s: Stage) -> None:
        self.s = s
        self.own = next(a for a in s.world.accounts if "bank_file" in a.access_modes)
        self.page: WebBank = s.sandbox.web[self.own.bank_code]
        self.book = self.page.book
        connection = BankFileConnection(self.own.bank_code, self.page.template.name)
        self.rail = BankFileRail(Templates([connection], shipped()), s.clock)

    def attempts(self, count: int, *, condition: str = "ok") -> list[Attempt]:
        payee = next(p for p in self.s.world.payees if p.condition == condition)
        at = self.s.clock.now()
        return [
            Attempt(
                tenant="demo",
                payment_id=UUID(int=n),
                attempt_id=UUID(int=(7 << 76) | n * 1_000_003),
                rail="bank_file",
                reference=reference(at, UUID(int=(7 << 76) | n * 1_000_003)),
                payer=AccountAtBank(
                    self.own.name, self.own.account, self.own.bank_code, self.own.bank_name
                ),
                payee=AccountAtBank(payee.name, payee.account, payee.bank_code, payee.bank_name),
                amount_fen=1_000_00 + n,
                created_at=at,
                valid_until=self.rail.valid_until(at),
                purpose="服务费",
            )
            for n in range(1, count + 1)
        ]

    def upload(self, attempts: Sequence[Attempt]) -> int:
        raw = codec.encode(self.page.template, attempts)
        return int(self.page.upload("batch.csv", raw)["batch"])

    async def later(self) -> None:
        self.s.clock.advance(3)
        await self.s.hub.admin("POST", "net")

    def said(self, batch: int) -> list[RailReport]:
        return self.rail.decode(self.page.result(batch)[1])

    def kinds(self, batch: int, attempts: Sequence[Attempt]) -> list[ReportKind | None]:
        told = {report.reference: report.kind for report in self.said(batch)}
        return [told.get(attempt.reference) for attempt in attempts]

    def misbehave(self, kind: FaultKind, **more: object) -> None:
        self.s.sandbox.network.faults.put(Plan(1, "test", (Rule(kind=kind, **more),)))  # type: ignore[arg-type]

    def debits(self, attempt: Attempt) -> int:
        lines = self.book.lines(self.own.account, 0, 10_000)
        return sum(line.amount_fen for line in lines if line.reference == attempt.reference)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with stage(tmp_path) as s:
        yield Desk(s)


async def test_an_uploaded_file_is_executed_and_its_result_read_from_the_books(desk: Desk) -> None:
    attempts = desk.attempts(3)
    batch = desk.upload(attempts)
    assert desk.kinds(batch, attempts) == [ReportKind.ACCEPTED] * 3
    await desk.later()
    assert desk.kinds(batch, attempts) == [ReportKind.SETTLED] * 3
    assert [desk.debits(a) for a in attempts] == [-a.amount_fen for a in attempts]


async def test_a_file_uploaded_twice_is_executed_once_and_refused_as_a_duplicate(
    desk: Desk,
) -> None:
    attempts = desk.attempts(2)
    first, second = desk.upload(attempts), desk.upload(attempts)
    await desk.later()
    assert desk.kinds(first, attempts) == [ReportKind.SETTLED] * 2
    assert desk.kinds(second, attempts) == [ReportKind.IN_DOUBT] * 2
    assert [desk.debits(a) for a in attempts] == [-a.amount_fen for a in attempts]


async def test_rows_the_payees_bank_refuses_are_told_with_the_reason(desk: Desk) -> None:
    attempts = desk.attempts(1, condition="closed")
    batch = desk.upload(attempts)
    await desk.later()
    (report,) = desk.said(batch)
    assert report.kind is ReportKind.REJECTED and report.words.startswith("失败 ")
    assert desk.debits(attempts[0]) == 0


async def test_a_dropped_row_is_never_executed_and_a_missing_one_was(desk: Desk) -> None:
    attempts = desk.attempts(1)
    desk.misbehave(FaultKind.LOST_ROW)
    batch = desk.upload(attempts)
    await desk.later()
    assert desk.debits(attempts[0]) == 0
    desk.misbehave(FaultKind.MISSING_ROW)
    others = [a for a in desk.attempts(2) if a.reference != attempts[0].reference]
    other = desk.upload(others)
    await desk.later()
    assert desk.kinds(batch, attempts) == desk.kinds(other, others) == [None]
    assert desk.debits(others[0]) == -others[0].amount_fen


async def test_odd_words_are_doubt_and_another_order_changes_nothing(desk: Desk) -> None:
    attempts = desk.attempts(6)
    batch = desk.upload(attempts)
    await desk.later()
    desk.misbehave(FaultKind.ODD_WORD)
    assert desk.kinds(batch, attempts) == [ReportKind.IN_DOUBT] * 6
    desk.misbehave(FaultKind.REORDERED)
    told = [report.reference for report in desk.said(batch)]
    assert told != [a.reference for a in attempts] and len(told) == 6
    assert desk.kinds(batch, attempts) == [ReportKind.SETTLED] * 6


async def test_the_statement_export_is_the_banks_own_books(desk: Desk) -> None:
    attempts = desk.attempts(3)
    desk.upload(attempts)
    await desk.later()
    name, raw = desk.page.statement(desk.own.account, date(2000, 1, 1), date(2099, 12, 31))
    assert name.endswith(".csv")
    text = raw.decode("gb18030")
    assert all(a.reference in text for a in attempts) and "期初余额" in text


async def test_what_is_no_batch_file_is_refused(desk: Desk) -> None:
    for raw in (b"", b"\x00\x01", "序号,金额\r\n1,x\r\n".encode("gbk")):
        with pytest.raises(BadMessage):
            desk.page.upload("x.csv", raw)


async def test_the_page_over_http_takes_and_gives_files(desk: Desk) -> None:
    attempts = desk.attempts(1)
    raw = codec.encode(desk.page.template, attempts)
    client = SandboxClient.at(desk.s.hub.folder)
    done = await asyncio.to_thread(client.web_upload, "a.csv", raw)
    assert done["rows"] == 1
    listed = await desk.s.hub.admin("GET", "web/batches")
    assert [b["batch"] for b in listed["batches"]] == [done["batch"]]
    result = await asyncio.to_thread(client.web_result, done["batch"])
    statement = await asyncio.to_thread(client.web_statement, desk.own.account)
    assert result.file_name.endswith(".csv") and attempts[0].reference.encode() in result.content
    assert attempts[0].reference.encode() in statement.content
