"""The life of payments at the voucher-number bank: duplicates, and the clerk's queue."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from msgspec.structs import replace

from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.styles.pab import profile
from caiwutong.rails.bank_direct.styles.pab.reports import OTHER_PAYMENT
from caiwutong.rails.contract import NOT_FOUND, ReportKind, SentInDoubt
from caiwutong.sandbox import cli
from caiwutong.sandbox.direct_pab import CLERK_S
from caiwutong.sandbox.faults import FaultKind
from support.direct_desk import DirectDesk, changed, direct_desk

K = ReportKind
LIMIT = 10_000_000_00
WITH_A_CLERK = f"STT/{profile.MANUAL}"


def kept(desk: DirectDesk) -> list[str]:
    return [each.reference for each in desk.bank.with_the_clerk()]


async def test_a_payment_of_exactly_ten_million_goes_through_at_once(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        one = desk.attempt(LIMIT)
        [taken] = await desk.pay(one)
        assert (taken.kind, taken.code) == (K.ACCEPTED, f"STT/{profile.WORKING}")
        assert (await desk.end_of(one)).kind is K.SETTLED
        assert desk.debits(one) == [LIMIT]


@pytest.mark.parametrize("inside", [False, True])
async def test_one_fen_more_waits_for_a_clerk_and_is_paid_when_he_has_looked(
    folder: Path, inside: bool
) -> None:
    async with direct_desk(folder, "pab") as desk:
        one = desk.attempt(LIMIT + 1, desk.payee(inside=inside))
        [taken] = await desk.pay(one)
        assert (taken.kind, taken.code) == (K.ACCEPTED, WITH_A_CLERK)
        assert "落地" in taken.words
        waiting = await desk.end_of(one)
        assert (waiting.kind, waiting.code) == (K.ACCEPTED, WITH_A_CLERK)
        assert "落地" in waiting.words
        assert (kept(desk), desk.debits(one)) == ([one.reference], [])
        assert desk.balance_fen() == desk.opening_fen, "nothing is debited before he has looked"
        await desk.work(CLERK_S)
        assert (await desk.end_of(one)).kind is K.SETTLED
        assert (kept(desk), desk.debits(one)) == ([], [LIMIT + 1])


async def test_a_clerk_may_be_hurried_or_refuse(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        yes, no = desk.attempt(LIMIT + 1), desk.attempt(LIMIT + 2)
        await desk.pay(yes, no)
        await desk.work()
        listed = await desk.stage.hub.admin("GET", "clerk")
        assert [each["reference"] for each in listed["payments"]] == [yes.reference, no.reference]
        decide = {"reference": yes.reference, "decision": "release"}
        assert (await desk.stage.hub.admin("POST", "clerk", decide))["bank"] == desk.bank.code
        decide = {"reference": no.reference, "decision": "refuse", "reason": "合同未提供"}
        await desk.stage.hub.admin("POST", "clerk", decide)
        assert (await desk.end_of(yes)).kind is K.SETTLED
        refused = await desk.end_of(no)
        assert (refused.kind, refused.code) == (K.REJECTED, f"STT/{profile.FAILED}")
        assert refused.words == "合同未提供"
        assert (desk.debits(yes), desk.debits(no)) == ([LIMIT + 1], [])
        await desk.work(CLERK_S + 1)
        assert (await desk.ask(no)).kind is K.REJECTED, "time changes nothing any more"


async def test_the_commands_show_the_clerks_queue_and_decide(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        parser = argparse.ArgumentParser()
        cli.add_commands(parser.add_subparsers(), folder_of=lambda _: folder)

        async def run(*words: str) -> cli.Told:
            arguments = parser.parse_args(["sandbox", "clerk", *words])
            told = await arguments.command(arguments)
            assert isinstance(told, cli.Told)
            return told

        assert (await run()).words == "no payment is with a clerk"
        one = desk.attempt(LIMIT + 1)
        await desk.pay(one)
        await desk.work()
        listed = await run("--json")
        assert [each["reference"] for each in listed.data["payments"]] == [one.reference]
        assert "10,000,000.01" in listed.words and one.payee.name in listed.words
        assert (await run("release", one.reference)).data["decision"] == "release"
        with pytest.raises(Refused, match="No clerk keeps"):
            await run("refuse", one.reference)
        assert (await desk.end_of(one)).kind is K.SETTLED


async def test_what_no_clerk_has_cannot_be_decided(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        one = desk.attempt()
        await desk.pay(one)
        for decision in ("release", "refuse"):
            with pytest.raises(AssertionError, match="not_with_a_clerk"):
                wish = {"reference": one.reference, "decision": decision}
                await desk.stage.hub.admin("POST", "clerk", wish)
        assert (await desk.end_of(one)).kind is K.SETTLED


async def test_without_the_payees_bank_number_a_clerk_looks_it_up(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        known = desk.payee()
        one = desk.attempt(9_00, replace(known, bank_code=""))
        [taken] = await desk.pay(one)
        assert (taken.kind, taken.code) == (K.ACCEPTED, WITH_A_CLERK)
        await desk.work()
        assert desk.bank.release(one.reference)
        assert (await desk.end_of(one)).kind is K.SETTLED
        execution = desk.bank.book.execution(desk.bank.code, one.reference)
        assert execution is not None and execution.payee_bank == known.bank_code


async def test_a_payment_stays_with_the_clerk_when_the_bank_is_restarted(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        one = desk.attempt(LIMIT + 1)
        await desk.pay(one)
        await desk.work()
        assert kept(desk) == [one.reference]
        clock = desk.clock
    async with direct_desk(folder, "pab", clock=clock) as desk:
        assert (await desk.ask(one)).code == WITH_A_CLERK
        await desk.work(CLERK_S)
        assert (await desk.end_of(one)).kind is K.SETTLED
        assert desk.debits(one) == [LIMIT + 1]


async def test_a_voucher_used_already_is_told_so_and_paid_once(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        one = desk.attempt()
        [message] = desk.rail.encode_many([one])
        desk.trouble(FaultKind.LOST_REPLY)
        with pytest.raises(SentInDoubt):
            await desk.rail.send(message)
        for _ in range(2):
            [report] = desk.rail.decode(await desk.rail.send(message))
            assert (report.kind, report.code) == (K.ACCEPTED, profile.DUPLICATE)
            await desk.work()
        assert (await desk.end_of(one)).kind is K.SETTLED
        assert desk.debits(one) == [one.amount_fen]


async def test_a_voucher_that_is_another_payments_is_never_taken_for_ours(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        one = desk.attempt(10_00)
        await desk.pay(one)
        for other in (
            changed(one, amount_fen=99_00),
            changed(one, payee=desk.payee("closed")),
        ):
            [report] = await desk.pay(other)
            assert report.code == profile.DUPLICATE
            await desk.end_of(one)
            asked = await desk.ask(other)
            assert (asked.kind, asked.code) == (K.IN_DOUBT, OTHER_PAYMENT)
        assert desk.debits(one) == [10_00]


async def test_a_batch_is_taken_as_a_whole_and_each_payment_ends_by_itself(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        good, large = desk.attempt(1_00), desk.attempt(LIMIT + 1)
        closed = desk.attempt(2_00, desk.payee("closed"))
        nameless = desk.attempt(3_00, replace(desk.payee(), bank_code=""))
        batch = [good, large, closed, nameless]
        [message] = desk.rail.encode_many(batch)
        assert message.kind == profile.BATCH
        reports = desk.rail.decode(await desk.rail.send(message))
        assert [(each.kind, each.code) for each in reports] == [(K.ACCEPTED, profile.OK)] * 4
        ends = [await desk.end_of(each) for each in batch]
        assert [(each.kind, each.code) for each in ends] == [
            (K.SETTLED, "STT/20"),
            (K.ACCEPTED, WITH_A_CLERK),
            (K.REJECTED, "STT/30"),
            (K.ACCEPTED, WITH_A_CLERK),
        ]
        assert "RJ11" in ends[2].words
        [again] = desk.rail.encode_many(batch)
        assert {each.code for each in desk.rail.decode(await desk.rail.send(again))} == {
            profile.DUPLICATE
        }
        await desk.work(CLERK_S)
        assert [(await desk.end_of(each)).kind for each in (large, nameless)] == [K.SETTLED] * 2
        assert [desk.debits(each) for each in batch] == [[1_00], [LIMIT + 1], [], [3_00]]


async def test_an_old_payment_is_not_taken_and_stays_unknown(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        late = desk.attempt()
        await desk.work(2 * 3_600)
        [report] = await desk.pay(late)
        assert (report.kind, report.code) == (K.IN_DOUBT, profile.STALE)
        assert (await desk.ask(late)).code == NOT_FOUND
        assert desk.clock.now() > late.valid_until and desk.debits(late) == []


async def test_money_that_comes_back_is_told_by_4005(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        one = desk.attempt(6_00)
        await desk.pay(one)
        await desk.end_of(one)
        await desk.stage.hub.admin("POST", "returns", {"reference": one.reference})
        await desk.work()
        report = await desk.ask(one)
        assert (report.kind, report.code) == (K.RETURNED, profile.RETURNED_CODE)
        assert report.amount_fen == 6_00
        assert desk.stage.hub.notices == [], "this bank posts nothing by itself"


async def test_a_long_reference_is_packed_into_its_voucher_and_kept_whole_in_the_books(
    folder: Path,
) -> None:
    async with direct_desk(folder, "pab") as desk:
        one = changed(desk.attempt(4_00), reference="20261123ABCDEFGHIJKLMNOP")
        [taken] = await desk.pay(one)
        assert taken.reference == one.reference
        assert (await desk.end_of(one)).kind is K.SETTLED
        assert desk.debits(one) == [4_00]
        page = await desk.rail.statement(desk.payer, "")
        assert next(x.amount_fen for x in page.lines if x.reference == one.reference) == -4_00


async def test_money_from_a_name_gbk_cannot_write_leaves_the_statement_readable(
    folder: Path,
) -> None:
    async with direct_desk(folder, "pab") as desk:
        network, elsewhere = desk.stage.sandbox.network, desk.payee().bank_code
        network.books[elsewhere].open_account(
            "6222999000000001", "𠮷野家（䶮）有限公司", opening_fen=900_00, at=desk.clock.now()
        )
        network.incoming("6222999000000001", desk.payer.account, 7_77, "货款𠮷")
        await desk.work()
        page = await desk.rail.statement(desk.payer, "")
        [line] = [each for each in page.lines if each.kind == "incoming"]
        assert (line.amount_fen, line.reference) == (7_77, "")
        assert line.counterparty_name == "?野家（?）有限公司"
        assert line.words == "货款?"


async def test_revoking_a_payment_that_is_with_a_clerk_says_whom_to_call(folder: Path) -> None:
    async with direct_desk(folder, "pab") as desk:
        one = desk.attempt(LIMIT + 1)
        await desk.pay(one)
        await desk.work()
        standing, refused = await desk.rail.revoke(one)
        assert standing.code == WITH_A_CLERK
        assert (refused.kind, refused.code) == (K.REJECTED, "unsupported")
        assert "call the bank" in refused.words
