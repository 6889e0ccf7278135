"""What happens to payments that a person carries into a bank's page."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from tests.bank_files.house import OPENING, PAYEE, FileHouse

from caiwutong.bank_files.model import RECONSIDER, FileState, LineState
from caiwutong.kernel.errors import CaiwutongError, Conflict, Refused
from caiwutong.kernel.order import Party
from caiwutong.payments.states import State
from caiwutong.rails.bank_file.counterpart import ToldRow, read_upload, write_result
from caiwutong.rails.contract import BadMessage

S = State


async def three(house: FileHouse) -> list[UUID]:
    """Three payments of 1,000.00, 2,000.00 and 3,000.00 in one file."""
    return [await house.pay(f"k{n}", n * 1_000_00) for n in (1, 2, 3)]


async def states(house: FileHouse, payments: list[UUID]) -> list[State]:
    return [await house.state(payment) for payment in payments]


async def code(awaited: object) -> str:
    with pytest.raises(CaiwutongError) as caught:
        await awaited  # type: ignore[misc]
    assert caught.value.cure
    return caught.value.code


class TestOut:
    async def test_a_payment_waits_in_the_open_file_of_its_account(self, house: FileHouse) -> None:
        payments = await three(house)
        assert await states(house, payments) == [S.AWAITING_BANK_PAGE] * 3
        file = await house.the_file()
        assert (file.state, file.rows, file.total_fen) == (FileState.OPEN, 3, 6_000_00)
        assert file.needs == "export" and await house.money() == (OPENING, 6_000_00)

    async def test_nothing_is_sent_and_nobody_is_asked(self, house: FileHouse) -> None:
        payment = await house.pay("k1")
        for _ in range(100):
            house.clock.advance(3600)
            await house.dispatch.run_once(house.tenant)
            assert await house.recovery.run_once(house.tenant) == 0
            await house.requests.expire_due(house.tenant)
        assert await house.state(payment) is S.AWAITING_BANK_PAGE
        assert len(await house.desk.views.page(house.tenant)) == 1

    async def test_a_file_once_handed_out_is_frozen_and_always_the_same(
        self, house: FileHouse
    ) -> None:
        await house.pay("k1")
        first = await house.files.export(house.tenant, (await house.the_file()).file_id, "p")
        again = await house.files.export(house.tenant, first.file_id, "q")
        assert again.content == first.content and again.digest == first.digest
        assert (first.again, again.again) == (False, True)
        await house.pay("k2")
        assert (await house.the_file()).file_id != first.file_id
        assert (await house.the_file()).number == 2

    async def test_a_file_takes_no_more_rows_than_the_bank_and_belongs_to_one_day(
        self, house: FileHouse
    ) -> None:
        for template in house.rail.templates.all:
            if template.name == house.template.name:
                msgspec.structs.force_setattr(template, "max_rows", 2)
        await three(house)
        house.clock.advance(24 * 3600)
        await house.pay("k4")
        files = await house.desk.views.page(house.tenant)
        assert [file.rows for file in reversed(files)] == [2, 1, 1]
        assert [file.state for file in reversed(files)] == ["closed", "closed", "open"]

    @pytest.mark.parametrize("name", ["𠮷野家贸易有限公司", "=CMD()"])
    async def test_a_name_the_file_cannot_carry_is_refused_before_it_is_handed_out(
        self, house: FileHouse, name: str
    ) -> None:
        payment = await house.pay("k1", payee=Party(name, PAYEE.account, PAYEE.bank_code))
        view = await house.view(payment)
        assert view.state is S.REJECTED and view.reason_code.startswith("bank_file.c")
        assert await house.desk.views.page(house.tenant) == []
        assert await house.money() == (OPENING, 0)

    async def test_a_payment_that_awaits_the_page_cannot_be_cancelled(
        self, house: FileHouse
    ) -> None:
        payment = await house.pay("k1")
        assert (
            await code(house.requests.cancel(house.tenant, payment, "p")) == "payment.wrong_state"
        )
        assert await house.state(payment) is S.AWAITING_BANK_PAGE


class TestBack:
    async def test_every_row_a_yes_completes_the_payments_and_the_file(
        self, house: FileHouse
    ) -> None:
        payments = await three(house)
        outcome = await house.result(await house.export())
        assert (outcome.settled, outcome.missing, outcome.unclear) == (3, (), ())
        assert await states(house, payments) == [S.COMPLETED] * 3
        assert (await house.the_file()).state is FileState.DONE
        assert await house.money() == (OPENING - 6_000_00, 0)

    async def test_partial_rejects_end_only_their_own_payments(self, house: FileHouse) -> None:
        payments = await three(house)
        raw = await house.export()
        await house.result(raw, {2: ("失败", "收款账户不存在"), 3: ("处理中", "")})
        assert await states(house, payments) == [S.COMPLETED, S.REJECTED, S.CLEARING]
        assert (await house.the_file()).lines == {"settled": 1, "rejected": 1, "accepted": 1}
        await house.result(raw, {2: ("失败", "收款账户不存在")})
        assert await states(house, payments) == [S.COMPLETED, S.REJECTED, S.COMPLETED]
        assert (await house.the_file()).state is FileState.DONE

    async def test_an_unknown_word_is_doubt_until_the_bank_is_clear(self, house: FileHouse) -> None:
        payments = await three(house)
        raw = await house.export()
        await house.result(raw, {1: ("人工处理", ""), 2: ("未成功", "")})
        assert await states(house, payments) == [S.IN_DOUBT, S.IN_DOUBT, S.COMPLETED]
        await house.result(raw, {2: ("失败", "户名不符")})
        assert await states(house, payments) == [S.COMPLETED, S.REJECTED, S.COMPLETED]

    async def test_a_file_uploaded_twice_by_the_person_is_paid_and_told_once(
        self, house: FileHouse
    ) -> None:
        payments = await three(house)
        raw = await house.export()
        twice = {n: ("失败", "企业流水号重复") for n in (1, 2, 3)}
        await house.result(raw, twice)
        assert await states(house, payments) == [S.IN_DOUBT] * 3
        await house.result(raw)
        assert await states(house, payments) == [S.COMPLETED] * 3
        await house.result(raw, twice)
        assert await states(house, payments) == [S.COMPLETED] * 3
        assert await house.money() == (OPENING - 6_000_00, 0)

    async def test_the_same_result_again_changes_nothing(self, house: FileHouse) -> None:
        await three(house)
        raw = await house.export()
        first = await house.result(raw, {3: ("", "")})
        again = await house.result(raw, {3: ("", "")})
        assert (first.replayed, again.replayed) == (False, True)
        assert first.result_id == again.result_id and first.missing == (3,)

    async def test_another_amount_than_ours_settles_nothing(self, house: FileHouse) -> None:
        (payment, *_) = await three(house)
        rows = read_upload(house.template, await house.export())
        other = msgspec.structs.replace(rows[0], amount_fen=999_00)
        await house.hand_in(write_result(house.template, [ToldRow(other, "成功")]))
        assert await house.state(payment) is S.AWAITING_BANK_PAGE
        line = (await house.desk.views.lines(house.tenant, (await house.the_file()).file_id))[0]
        assert (line.state, line.code) == (LineState.DOUBT, "contradicted")

    async def test_rows_without_our_reference_are_laid_only_where_nothing_is_left_to_choose(
        self, house: FileHouse
    ) -> None:
        payments = [await house.pay(f"k{n}", fen) for n, fen in enumerate((5_00, 5_00, 7_00))]
        rows = read_upload(house.template, await house.export())
        bare = [msgspec.structs.replace(row, reference="") for row in rows]
        outcome = await house.hand_in(
            write_result(
                house.template,
                [
                    ToldRow(bare[0], "成功"),
                    ToldRow(bare[1], "失败", "户名不符"),
                    ToldRow(bare[2], "成功"),
                ],
            )
        )
        # Two equal rows with two different words: nobody can say which is which.
        assert await states(house, payments) == [
            S.AWAITING_BANK_PAGE, S.AWAITING_BANK_PAGE, S.COMPLETED,
        ]  # fmt: skip
        assert len(outcome.unclear) == 2 and len(outcome.unclear[0].candidates) == 2

    async def test_a_result_of_another_file_is_refused(self, house: FileHouse) -> None:
        await house.pay("k1")
        first = await house.export()
        await house.pay("k2")
        await house.export()
        with pytest.raises(BadMessage) as caught:
            await house.result(first)
        assert caught.value.code == "bank_file.other_result"

    async def test_a_file_that_was_never_handed_out_has_no_result(self, house: FileHouse) -> None:
        await house.pay("k1")
        assert await code(house.hand_in(b"x")) == "bank_file.not_exported"


class TestSilence:
    async def test_a_file_of_which_nobody_speaks_leads_to_people_and_to_nothing_else(
        self, house: FileHouse
    ) -> None:
        payment = await house.pay("k1")
        await house.export()
        house.clock.advance(25 * 3600)
        assert await house.files.remind(house.tenant) == 1
        assert await house.files.remind(house.tenant) == 0
        file = await house.the_file()
        assert file.overdue and file.needs == "result" and file.state is FileState.EXPORTED
        assert await house.state(payment) is S.AWAITING_BANK_PAGE

    async def test_two_people_give_a_file_up_and_its_payments_go_out_again_once(
        self, house: FileHouse
    ) -> None:
        payments = await three(house)
        await house.export()
        old = (await house.the_file()).file_id
        release = await house.give_up()
        await house.sign(release, 1)
        assert await states(house, payments) == [S.AWAITING_BANK_PAGE] * 3
        await house.sign(release, 2)
        assert await states(house, payments) == [S.VALIDATED] * 3
        assert (await house.desk.views.get(house.tenant, old)).state is FileState.ABANDONED
        assert await house.money() == (OPENING, 6_000_00)
        await house.dispatch.run_once(house.tenant)
        assert await states(house, payments) == [S.VALIDATED] * 3
        house.clock.advance(RECONSIDER.total_seconds() + 1)
        await house.dispatch.run_once(house.tenant)
        assert await states(house, payments) == [S.AWAITING_BANK_PAGE] * 3
        assert (await house.the_file()).file_id != old
        assert await code(house.export(old)) == "bank_file.abandoned"

    async def test_a_freed_payment_can_be_cancelled_while_it_waits(self, house: FileHouse) -> None:
        payment = await house.pay("k1")
        release = await house.give_up()
        await house.sign(release, 1)
        await house.sign(release, 2)
        await house.requests.cancel(house.tenant, payment, "person:张敏")
        assert await house.state(payment) is S.CANCELLED
        assert await house.money() == (OPENING, 0)

    async def test_one_person_twice_gives_nothing_up(self, house: FileHouse) -> None:
        payment = await house.pay("k1")
        release = await house.give_up()
        await house.sign(release, 1)
        await house.sign(release, 1)
        assert await house.state(payment) is S.AWAITING_BANK_PAGE

    async def test_what_the_bank_has_answered_cannot_be_given_up(self, house: FileHouse) -> None:
        await three(house)
        raw = await house.export()
        release = await house.give_up()
        await house.sign(release, 1)
        await house.result(raw, {2: ("", ""), 3: ("", "")})
        assert await code(house.sign(release, 2)) == "bank_file.row_answered"
        await house.desk.releases.withdraw(house.tenant, release.release_id, "p")
        assert await code(house.give_up()) == "bank_file.row_answered"

    async def test_rows_the_bank_never_got_are_given_up_by_themselves(
        self, house: FileHouse
    ) -> None:
        payments = await three(house)
        raw = await house.export()
        assert await code(house.give_up(3)) == "bank_file.no_answer_yet"
        await house.result(raw, {3: ("", "")})
        release = await house.give_up(3)
        await house.sign(release, 1)
        await house.sign(release, 2)
        assert await states(house, payments) == [S.COMPLETED, S.COMPLETED, S.VALIDATED]
        file = await house.the_file()
        assert file.state is FileState.DONE
        # Whoever uploads the old file now would pay the third row twice.
        assert await code(house.export(file.file_id)) == "bank_file.rows_freed"

    async def test_a_file_that_is_to_be_given_up_is_not_handed_out(self, house: FileHouse) -> None:
        await house.pay("k1")
        release = await house.give_up()
        assert await code(house.export()) == "bank_file.release_waits"
        await house.desk.releases.withdraw(house.tenant, release.release_id, "p")
        assert await house.export()

    async def test_a_late_yes_for_a_given_up_row_alarms_and_stops_the_second_one(
        self, house: FileHouse
    ) -> None:
        payment = await house.pay("k1")
        raw = await house.export()
        file_id = (await house.the_file()).file_id
        release = await house.give_up()
        await house.sign(release, 1)
        await house.sign(release, 2)
        await house.result(raw, file_id=file_id)
        kinds = [s.kind for s in (await house.views.timeline(house.tenant, payment)).steps]
        assert "payment.contradicted" in kinds
        assert await house.state(payment) is S.COMPLETED
        house.clock.advance(2 * RECONSIDER.total_seconds())
        await house.dispatch.run_once(house.tenant)
        assert len(await house.desk.views.page(house.tenant)) == 1

    async def test_a_reason_is_asked_for(self, house: FileHouse) -> None:
        await house.pay("k1")
        file = await house.the_file()
        with pytest.raises(Refused) as caught:
            await house.desk.releases.propose(
                house.tenant, file.file_id, maker=house.key_id, actor="p", reason=" "
            )
        assert caught.value.code == "bank_file.no_reason"


class TestTheStatement:
    async def test_the_statement_has_the_last_word_when_the_result_is_lost(
        self, house: FileHouse
    ) -> None:
        payments = await three(house)
        rows = read_upload(house.template, await house.export())
        for row in rows[:2]:
            house.book(-row.amount_fen, row=row)
        assert (await house.take_statement()).settled == 0
        assert await states(house, payments) == [S.AWAITING_BANK_PAGE] * 3
        house.clock.advance(24 * 3600)
        yesterday = house.lines[-1].at.date()
        outcome = await house.take_statement(complete_to=yesterday)
        assert (outcome.settled, outcome.fresh) == (2, 0)
        assert await states(house, payments) == [
            S.COMPLETED, S.COMPLETED, S.AWAITING_BANK_PAGE,
        ]  # fmt: skip
        drift = await house.drift()
        assert drift.difference_fen == 0 and drift.residue_fen == 0

    async def test_a_later_line_shows_that_the_day_before_is_whole(self, house: FileHouse) -> None:
        (payment,) = [await house.pay("k1")]
        (row,) = read_upload(house.template, await house.export())
        house.book(-row.amount_fen, row=row)
        house.clock.advance(24 * 3600)
        house.book(-5_00, "手续费")
        outcome = await house.take_statement()
        assert outcome.settled == 1 and await house.state(payment) is S.COMPLETED

    async def test_a_debit_that_the_bank_gave_back_is_a_no(self, house: FileHouse) -> None:
        payment = await house.pay("k1")
        (row,) = read_upload(house.template, await house.export())
        house.book(-row.amount_fen, row=row)
        house.book(row.amount_fen, "冲正", row=row)
        house.clock.advance(24 * 3600)
        house.book(-5_00, "手续费")
        outcome = await house.take_statement()
        assert (outcome.settled, outcome.taken_back) == (0, 1)
        assert await house.state(payment) is S.REJECTED
        assert (await house.drift()).difference_fen == 0

    async def test_lines_without_a_reference_are_laid_by_amount_payee_and_day(
        self, house: FileHouse
    ) -> None:
        payments = await three(house)
        rows = read_upload(house.template, await house.export())
        for row in reversed(rows):
            house.book(-row.amount_fen, row=row, reference="")
        house.clock.advance(24 * 3600)
        house.book(-5_00, "手续费")
        outcome = await house.take_statement()
        assert (outcome.matched, outcome.settled) == (3, 3)
        assert await states(house, payments) == [S.COMPLETED] * 3
        assert (await house.drift()).difference_fen == 0

    async def test_an_ambiguous_line_waits_for_a_person(self, house: FileHouse) -> None:
        payments = [await house.pay(f"k{n}", 8_00) for n in (1, 2)]
        rows = read_upload(house.template, await house.export())
        house.book(-8_00, row=rows[0], reference="")
        house.clock.advance(24 * 3600)
        house.book(-5_00, "手续费")
        assert await code(house.take_statement()) == "bank_file.statement_ambiguous"
        told = await house.take_statement(dry_run=True)
        (line,) = told.ambiguous
        assert not told.taken and set(line.candidates) == {row.reference for row in rows}
        chosen = {line.line_id: rows[1].reference}
        outcome = await house.take_statement(choices=chosen)
        assert outcome.taken and outcome.settled == 1
        assert await states(house, payments) == [S.AWAITING_BANK_PAGE, S.COMPLETED]

    async def test_a_line_chosen_to_be_none_of_ours_goes_to_suspense(
        self, house: FileHouse
    ) -> None:
        payment = await house.pay("k1", 8_00)
        (row,) = read_upload(house.template, await house.export())
        house.book(-8_00, row=row, reference="", counterparty_name="", counterparty_account="")
        (line,) = (await house.take_statement(dry_run=True)).ambiguous
        await house.take_statement(choices={line.line_id: "none"})
        assert await house.state(payment) is S.AWAITING_BANK_PAGE
        assert (await house.drift()).suspense_fen == -8_00

    async def test_a_debit_of_a_refused_row_alarms(self, house: FileHouse) -> None:
        payment = await house.pay("k1")
        raw = await house.export()
        await house.result(raw, {1: ("失败", "余额不足")})
        (row,) = read_upload(house.template, raw)
        house.book(-row.amount_fen, row=row)
        house.clock.advance(24 * 3600)
        house.book(-5_00, "手续费")
        for _ in range(2):
            await house.take_statement()
        kinds = [s.kind for s in (await house.views.timeline(house.tenant, payment)).steps]
        assert await house.state(payment) is S.REJECTED
        assert kinds.count("payment.contradicted") == 1

    async def test_a_freed_row_that_was_executed_completes_its_payment_before_it_goes_again(
        self, house: FileHouse
    ) -> None:
        payment = await house.pay("k1")
        (row,) = read_upload(house.template, await house.export())
        release = await house.give_up()
        await house.sign(release, 1)
        await house.sign(release, 2)
        house.book(-row.amount_fen, row=row)
        house.clock.advance(24 * 3600)
        house.book(-5_00, "手续费")
        await house.take_statement()
        assert await house.state(payment) is S.COMPLETED
        await house.dispatch.run_once(house.tenant)
        assert len(await house.desk.views.page(house.tenant)) == 1

    async def test_a_return_after_completion_is_a_linked_inflow(self, house: FileHouse) -> None:
        payment = await house.pay("k1")
        raw = await house.export()
        await house.result(raw)
        (row,) = read_upload(house.template, raw)
        house.book(-row.amount_fen, row=row)
        house.book(row.amount_fen, "退汇", row=row)
        await house.take_statement()
        view = await house.view(payment)
        assert view.state is S.COMPLETED and view.returned_at is not None
        assert await house.money() == (OPENING, 0)
        assert (await house.drift()).difference_fen == 0

    async def test_the_same_statement_again_and_an_overlapping_one_are_read_once(
        self, house: FileHouse
    ) -> None:
        house.book(-5_00, "手续费")
        house.book(70_00, "利息")
        assert (await house.take_statement()).fresh == 2
        assert (await house.take_statement()).fresh == 0
        house.book(-6_00, "手续费")
        assert (await house.take_statement()).fresh == 1
        assert (await house.drift()).difference_fen == 0

    async def test_a_statement_with_lines_missing_before_it_is_refused(
        self, house: FileHouse
    ) -> None:
        house.book(-5_00, "手续费")
        await house.take_statement()
        house.book(-1_00, "手续费")
        house.book(-2_00, "手续费")
        del house.lines[:2]
        with pytest.raises(Conflict) as caught:
            await house.take_statement()
        assert caught.value.code == "bank_file.statement_gap"

    async def test_a_day_that_is_not_over_proves_nothing(self, house: FileHouse) -> None:
        house.book(-5_00, "手续费")
        today = (house.clock.now() + timedelta(hours=8)).date()
        assert await code(house.take_statement(complete_to=today)) == "bank_file.day_not_over"
