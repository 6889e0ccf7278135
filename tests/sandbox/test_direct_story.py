"""The life of a payment over a bank's direct interface, spoken with the rail's own codec."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.sandbox.conftest import Stage, stage, until

from caiwutong.kernel.money import yuan
from caiwutong.rails.bank_direct.styles.cmb import account_messages as a
from caiwutong.rails.bank_direct.styles.cmb import codec, reports
from caiwutong.rails.bank_direct.styles.cmb import messages as b
from caiwutong.rails.bank_direct.styles.cmb.envelope import read_form
from caiwutong.rails.bank_direct.styles.cmb.keys import load_keys
from caiwutong.rails.contract import BadMessage, ReportKind
from caiwutong.sandbox.entries import (
    Instruction,
)
from caiwutong.sandbox.faults import FaultKind, Rule
from caiwutong.sandbox.world import OwnAccount, Payee


class Teller:
    """The group's user at one direct bank."""

    def __init__(self, s: Stage) -> None:
        self.stage = s
        self.account: OwnAccount = next(
            each for each in s.world.accounts if "bank_direct" in each.access_modes
        )
        self.bank = self.account.bank_code
        link = next(c for c in s.hub.connections["bank_direct"] if self.bank in c["bank_codes"])
        self.url, self.user = link["url"], link["user_id"]
        self.keys = load_keys(link["signing_key"], link["bank_key"], link["sm4_key"])
        self._count = 0

    def reference(self) -> str:
        self._count += 1
        return f"20261123DIR{self._count:09d}"

    def request(self, payee: Payee | OwnAccount, amount_fen: int, reference: str) -> b.PayRequest:
        inside = payee.bank_code == self.bank
        detail = b.PayDetail(
            payer_account=self.account.account,
            payee_account=payee.account,
            payee_name=payee.name,
            payee_bank_name=payee.bank_name,
            payee_bank_code=payee.bank_code,
            currency="10",
            amount=yuan(amount_fen, grouped=False),
            in_bank="Y" if inside else "N",
            channel="" if inside else "I",
            purpose="货款",
            reference=reference,
        )
        return b.PayRequest(modes=(b.PayMode(mode="00001", business="N02030"),), payments=(detail,))

    async def say(self, body: Any, request_id: str = "20261123100000000SAME1") -> codec.Answer:
        raw = codec.encode_request(
            body,
            user_id=self.user,
            request_id=request_id,
            at=self.stage.clock.now(),
            keys=self.keys,
        )
        async with aiohttp.ClientSession() as http, http.post(self.url, data=raw) as answer:
            assert answer.status == 200, await answer.text()
            return codec.decode_answer(
                await answer.read(),
                user_id=self.user,
                function=read_form(raw).function,
                keys=self.keys,
            )

    async def pay(self, payee: Payee | OwnAccount, amount_fen: int) -> str:
        reference = self.reference()
        at = self.stage.clock.now()
        answer = await self.say(
            self.request(payee, amount_fen, reference), codec.pay_request_id(at, reference)
        )
        self.last = reports.reports_of_pay(answer)[0]
        return reference

    async def standing(self, reference: str) -> str:
        query = b.PayQueryRequest(queries=(b.PayQuery(business="N02030", reference=reference),))
        return reports.report_of_query(await self.say(query), reference).code

    def notices(self) -> list[codec.Notification]:
        return [
            codec.decode_notice(body, lambda _: self.keys) for _, body in self.stage.hub.notices
        ]

    async def advance_until(self, reference: str, code: str, seconds: float = 0.5) -> None:
        for _ in range(40):
            if await self.standing(reference) == code:
                return
            self.stage.clock.advance(seconds)
            self.stage.sandbox.network.timers.advance()
        raise AssertionError(f"{reference} stands at {await self.standing(reference)}")


async def test_a_payment_to_another_bank_walks_through_its_states_to_paid(folder: Path) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        payee = next(
            p for p in s.world.payees if p.condition == "ok" and p.bank_code != teller.bank
        )
        reference = await teller.pay(payee, 88_00)
        assert teller.last.kind is ReportKind.ACCEPTED and teller.last.code == "AUT"
        await teller.advance_until(reference, "NTE")
        await teller.advance_until(reference, "BNK")
        await teller.advance_until(reference, "FIN/S")
        await until(lambda: s.hub.notices)
        report = reports.reports_of_notice(teller.notices()[0])[0]
        assert (report.kind, report.reference, report.amount_fen) == (
            ReportKind.SETTLED,
            reference,
            88_00,
        )
        lines = await _lines(teller)
        assert [(line.kind, line.amount_fen) for line in lines] == [
            ("opening", teller.account.opening_fen),
            ("payment", -88_00),
            ("fee", -2_50),
        ]
        assert lines[1].reference == reference


async def test_a_payment_inside_the_bank_is_booked_at_once_and_free(folder: Path) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        payee = s.payee("ok", teller.bank)
        reference = await teller.pay(payee, 12_00)
        await teller.advance_until(reference, "FIN/S")
        assert [line.kind for line in await _lines(teller)] == ["opening", "payment"]
        assert s.sandbox.network.centre.counts() == {}


async def test_a_refused_payee_fails_and_the_payer_has_the_money_back(folder: Path) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        bad = next(p for p in s.world.payees if p.condition == "frozen")
        reference = await teller.pay(bad, 12_00)
        await teller.advance_until(reference, "FIN/F")
        balance = await teller.say(
            a.BalancesRequest(queries=(a.BalanceQuery(account=teller.account.account),))
        )
        found = reports.balances_of(balance)[0]
        assert found.balance_fen == found.available_fen == teller.account.opening_fen


async def test_the_same_reference_is_never_paid_twice(folder: Path) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        payee = s.payee("ok", teller.bank)
        request = teller.request(payee, 12_00, "SAME1")
        for _ in range(3):
            answer = await teller.say(request)
            assert reports.reports_of_pay(answer)[0].code == "AUT"
        other = await teller.say(teller.request(payee, 13_00, "SAME1"))
        assert reports.reports_of_pay(other)[0].kind is ReportKind.IN_DOUBT
        await teller.advance_until("SAME1", "FIN/S")
        again = reports.reports_of_pay(await teller.say(request))[0]
        assert again.kind is ReportKind.SETTLED
        facts = (await s.hub.admin("GET", "books/executions"))["executions"]
        assert [(f["reference"], f["debits"]) for f in facts] == [("SAME1", 1)]


async def test_an_unknown_reference_is_simply_not_there(folder: Path) -> None:
    async with stage(folder) as s:
        assert await Teller(s).standing("NEVERSENT") == "not_found"


async def test_a_silent_bank_goes_on_once_it_is_healed(folder: Path) -> None:
    silent = Rule(kind=FaultKind.SILENT, channel="bank_direct")
    async with stage(folder, silent) as s:
        teller = Teller(s)
        reference = await teller.pay(s.payee("ok", teller.bank), 12_00)
        for _ in range(5):
            s.clock.advance(60)
            s.sandbox.network.timers.advance()
        await teller.advance_until(reference, "NTE")
        healed = await s.hub.admin("POST", "heal", {})
        assert healed["rules_dropped"] == 1
        await teller.advance_until(reference, "FIN/S")


async def test_a_return_after_payment_turns_the_record_to_b_and_is_told(folder: Path) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        payee = next(
            p for p in s.world.payees if p.condition == "ok" and p.bank_code != teller.bank
        )
        reference = await teller.pay(payee, 30_00)
        await teller.advance_until(reference, "FIN/S")
        await s.hub.admin("POST", "returns", {"reference": reference})
        await teller.advance_until(reference, "FIN/B")
        await until(lambda: len(s.hub.notices) >= 3)
        kinds = [reports.reports_of_notice(n) for n in teller.notices()]
        assert [r[0].kind for r in kinds if r] == [ReportKind.SETTLED, ReportKind.RETURNED]
        returned = await teller.say(
            b.ReturnsRequest(
                queries=(
                    b.ReturnsQuery(
                        account=teller.account.account, from_day="20261101", to_day="20261130"
                    ),
                )
            )
        )
        assert isinstance(returned.body, b.ReturnsAnswer)
        assert [p.reference for p in returned.body.payments] == [reference]
        last = (await _lines(teller))[-1]
        assert (last.kind, last.reference, last.amount_fen) == ("return", reference, 30_00)


async def test_a_receipt_is_a_pdf_of_one_line(folder: Path) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        request = a.ReceiptRequest(
            account=teller.account.account,
            day="2026-11-23",
            line_id=f"{teller.account.account}-1",
        )
        answer = (await teller.say(request)).body
        assert isinstance(answer, a.ReceiptAnswer) and len(answer.check_code) == 12
        document = base64.b64decode(answer.document)
        assert document.startswith(b"%PDF-1.4") and document.rstrip().endswith(b"%%EOF")
        start = int(document.split(b"startxref\n")[1].split(b"\n")[0])
        assert document[start : start + 4] == b"xref"


async def _lines(teller: Teller) -> tuple[Any, ...]:
    query = a.StatementQuery(account=teller.account.account, from_day="20261101", to_day="20261130")
    answer = await teller.say(a.StatementRequest(queries=(query,)))
    assert isinstance(answer.body, a.StatementAnswer)
    return reports.lines_of(answer.body, teller.account.account)


async def test_lost_requests_and_replies_leave_the_truth_in_the_query(folder: Path) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        payee = s.payee("ok", teller.bank)
        for kind, standing in (("lost_request", "not_found"), ("lost_reply", "AUT")):
            await s.hub.admin("PUT", "faults", {"rules": [{"kind": kind}]})
            reference = teller.reference()
            request_id = codec.pay_request_id(s.clock.now(), reference)
            with pytest.raises(aiohttp.ClientError):
                await teller.say(teller.request(payee, 1_00, reference), request_id)
            assert await teller.standing(reference) == standing


async def test_a_late_message_is_taken_while_its_signature_is_fresh_and_not_after(
    folder: Path,
) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        payee = s.payee("ok", teller.bank)
        for delay_s, standing in ((1_800, "AUT"), (3_601, "not_found")):
            late = {"kind": "late", "delay_s": delay_s}
            await s.hub.admin("PUT", "faults", {"rules": [late]})
            reference = teller.reference()
            request_id = codec.pay_request_id(s.clock.now(), reference)
            with pytest.raises(aiohttp.ClientError):
                await teller.say(teller.request(payee, 1_00, reference), request_id)
            assert await teller.standing(reference) == "not_found"
            s.clock.advance(delay_s)
            s.sandbox.network.timers.advance()
            assert await teller.standing(reference) == standing


async def test_a_wrong_signature_on_the_answer_is_seen(folder: Path) -> None:
    async with stage(folder, Rule(kind=FaultKind.WRONG_SIGNATURE)) as s:
        teller = Teller(s)
        with pytest.raises(BadMessage) as seen:
            await teller.pay(s.payee("ok", teller.bank), 1_00)
        assert seen.value.code == "bank_direct.signature"
        assert await teller.standing("20261123DIR000000001") == "AUT"


@pytest.mark.parametrize(("kind", "count"), [("lost_notice", 0), ("duplicate", 2)])
async def test_notices_may_be_lost_or_come_twice(folder: Path, kind: str, count: int) -> None:
    async with stage(folder, Rule(kind=FaultKind(kind))) as s:
        teller = Teller(s)
        reference = await teller.pay(s.payee("ok", teller.bank), 1_00)
        await teller.advance_until(reference, "FIN/S")
        await until(lambda: len(s.hub.notices) == count)


async def test_a_stranger_and_a_stale_message_are_turned_away(folder: Path) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        request = teller.request(s.payee("ok", teller.bank), 1_00, "STALE")
        raw = codec.encode_request(
            request,
            user_id=teller.user,
            request_id="R",
            at=s.clock.now() - timedelta(hours=2),
            keys=teller.keys,
        )
        async with aiohttp.ClientSession() as http:
            for body in (raw, raw.replace(b"UID=N", b"UID=X"), b"nonsense"):
                async with http.post(teller.url, data=body) as answer:
                    assert answer.status == 400
        assert await teller.standing("STALE") == "not_found"


async def test_money_from_outside_is_booked_and_told(folder: Path) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        wish = {"payee_account": teller.account.account, "amount_fen": 9_00}
        await s.hub.admin("POST", "incoming", wish)
        await s.hub.admin("POST", "net")
        await until(lambda: s.hub.notices)
        event = teller.notices()[0].event
        assert isinstance(event, b.AccountChange)
        assert (event.side, event.amount) == ("C", "9.00")
        line = (await _lines(teller))[-1]
        assert (line.kind, line.amount_fen, line.reference) == ("incoming", 9_00, "")
        assert line.line_id == event.line_id


async def test_past_balances_and_long_statements_are_paged(folder: Path) -> None:
    async with stage(folder) as s:
        teller = Teller(s)
        book = s.sandbox.network.books[teller.bank]
        payee = s.payee("ok", teller.bank)
        for number in range(250):
            at = s.clock.now()
            order = Instruction(
                teller.bank,
                f"P{number}",
                teller.account.account,
                teller.account.name,
                payee.account,
                payee.name,
                teller.bank,
                1_00,
            )
            book.begin(order, at)
            book.complete(teller.bank, f"P{number}", at)
        query = a.StatementQuery(
            account=teller.account.account, from_day="20261101", to_day="20261130"
        )
        first = (await teller.say(a.StatementRequest(queries=(query,)))).body
        assert isinstance(first, a.StatementAnswer)
        assert len(first.entries) == 200 and first.control[0].more == "Y"
        rest = await teller.say(
            a.StatementRequest(queries=(query,), break_points=first.break_points)
        )
        assert isinstance(rest.body, a.StatementAnswer)
        assert len(rest.body.entries) == 51 and rest.body.control[0].more == "N"
        ids = [entry.line_id for entry in (*first.entries, *rest.body.entries)]
        assert len(set(ids)) == 251

        s.clock.advance(86_400)
        past = a.PastBalancesQuery(
            account=teller.account.account, from_day="20261122", to_day="20261123"
        )
        answer = (await teller.say(a.PastBalancesRequest(queries=(past,)))).body
        assert isinstance(answer, a.PastBalancesAnswer)
        assert [(p.day, p.balance) for p in answer.balances] == [
            ("20261123", yuan(teller.account.opening_fen - 250_00, grouped=False))
        ]
