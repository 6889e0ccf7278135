"""One contract for both stores of statements: what the bank says is kept, explained once, and ends
with book and bank in agreement."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.statements.house import BANK, OPENING, RAIL, House, PaperBank, T, memory_house

from caiwutong.db.postgres import PostgresDatabase
from caiwutong.kernel.clock import ManualClock
from caiwutong.kernel.errors import Conflict, Refused
from caiwutong.payments.states import State
from caiwutong.rails.contract import ReportKind, StatementPage
from caiwutong.statements.model import Explained

A, B, STRANGER = "90730001000417", "90730002000518", "6202900012345678"
E = Explained


class Scene:
    """A house, its bank, and two accounts of two entities opened at both with the same balance."""

    def __init__(self, house: House, bank: PaperBank) -> None:
        self.house, self.bank = house, bank

    async def open(self) -> Scene:
        house, bank = self.house, self.bank
        for number in (A, B):
            bank.write(number, OPENING, "opening", words="期初余额")
        house.clock.advance(60)
        self.a = await house.add_account(A, unit=0)
        self.b = await house.add_account(B, unit=1)
        house.clock.advance(1)
        return self


@pytest.fixture(params=["memory", "postgres"])
async def scene(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Scene]:
    if request.param == "memory":
        house, bank = memory_house(clock)
    else:
        bank = PaperBank(RAIL, clock)
        url = request.getfixturevalue("database_url")
        database = await PostgresDatabase.connect(url, name="test")
        house = House(database, clock, {RAIL: bank}, postgres=True)
    yield await Scene(house, bank).open()
    if isinstance(house.database, PostgresDatabase):
        await house.database.close()


async def test_a_completed_payment_is_booked_once_and_its_debit_only_matched(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    payment, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    await h.tell(bank.report(ReportKind.NETTED, ref))
    before = await h.drift(scene.a)
    assert before.book_fen == OPENING - 300_00
    await h.read()
    assert await h.explained(scene.a) == [E.OPENING, E.PAYMENT]
    line = (await h.lines(scene.a))[1]
    assert (line.payment_id, line.open) == (payment, False)
    assert await h.posted(scene.a.ledger_account_id) == OPENING - 300_00
    await h.settled()


async def test_a_debit_before_the_rails_word_changes_no_state_and_is_in_transit(
    scene: Scene,
) -> None:
    h, bank = scene.house, scene.bank
    payment, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    await h.read()
    assert (await h.payment(payment)).state is State.SUBMITTED
    drift = await h.drift(scene.a)
    assert (drift.difference_fen, drift.bank_first_fen, drift.residue_fen) == (-300_00, -300_00, 0)
    assert drift.bank_first[0].payment_id == payment
    assert drift.held_fen == 300_00
    await h.tell(bank.report(ReportKind.SETTLED, ref))
    await h.settled()
    h.clock.advance(3600)
    await h.match()
    assert not (await h.lines(scene.a))[1].open


async def test_a_debit_of_a_payment_in_doubt_is_asked_about_at_once(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    payment, ref = await h.pay(scene.a, STRANGER, 300_00)
    await h.tell(bank.report(ReportKind.IN_DOUBT, ref))
    for _ in range(6):
        h.clock.advance(600)
        await h.recovery.run_once(T)
    asked = len(bank.asked)
    bank.debit(ref)
    await h.read()
    assert (await h.payment(payment)).state is State.IN_DOUBT
    await h.recovery.run_once(T)
    assert len(bank.asked) == asked + 1


async def test_a_book_entry_the_bank_has_not_shown_yet_is_in_transit(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    await h.read()
    payment, ref = await h.pay(scene.a, STRANGER, 40_00)
    await h.tell(bank.report(ReportKind.NETTED, ref))
    drift = await h.drift(scene.a)
    assert (drift.difference_fen, drift.book_first_fen, drift.residue_fen) == (40_00, -40_00, 0)
    assert (drift.book_first[0].subject, drift.book_first[0].kind) == (payment, "payment")
    bank.debit(ref)
    await h.read()
    await h.settled()


async def test_a_rejected_payments_debit_and_its_correction_explain_each_other(
    scene: Scene,
) -> None:
    h, bank = scene.house, scene.bank
    payment, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    await h.read()
    await h.tell(bank.report(ReportKind.REJECTED, ref, "RJ01"))
    drift = await h.drift(scene.a)
    assert (drift.book_fen, drift.bank_first_fen) == (OPENING, -300_00)
    bank.give_back(ref)
    await h.read()
    assert await h.explained(scene.a) == [E.OPENING, E.CORRECTION, E.CORRECTION]
    assert {line.payment_id for line in (await h.lines(scene.a))[1:]} == {payment}
    assert await h.posted(scene.a.ledger_account_id) == OPENING
    await h.settled()


async def test_a_correction_of_a_completed_payment_goes_to_suspense_in_sight(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    payment, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    await h.tell(bank.report(ReportKind.NETTED, ref))
    bank.give_back(ref)
    await h.read()
    assert await h.explained(scene.a) == [E.OPENING, E.PAYMENT, E.SUSPENSE]
    assert "statement.suspense" in await h.told(payment)
    drift = await h.drift(scene.a)
    assert drift.suspense_fen == 300_00
    await h.settled()


async def test_a_payment_the_bank_takes_twice_goes_to_suspense_in_sight(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    _, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    bank.debit(ref)
    await h.tell(bank.report(ReportKind.NETTED, ref))
    await h.read()
    assert await h.explained(scene.a) == [E.OPENING, E.PAYMENT, E.SUSPENSE]
    assert (await h.drift(scene.a)).suspense_fen == -300_00
    await h.settled()


@pytest.mark.parametrize("told_first", [True, False])
async def test_a_return_is_booked_once_whoever_tells_it_first(
    scene: Scene, told_first: bool
) -> None:
    h, bank = scene.house, scene.bank
    payment, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    await h.tell(bank.report(ReportKind.SETTLED, ref))
    if told_first:
        await h.tell(bank.report(ReportKind.RETURNED, ref))
    bank.send_back(ref)
    await h.read()
    await h.tell(bank.report(ReportKind.RETURNED, ref))
    row = await h.payment(payment)
    assert row.state is State.COMPLETED and row.returned_at is not None
    assert await h.explained(scene.a) == [E.OPENING, E.PAYMENT, E.RETURN]
    assert await h.posted(scene.a.ledger_account_id) == OPENING
    assert (await h.told(payment)).count("payment.returned") == 1
    await h.settled()


async def test_a_second_return_of_one_payment_goes_to_suspense(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    _, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    await h.tell(bank.report(ReportKind.SETTLED, ref))
    bank.send_back(ref)
    bank.send_back(ref)
    await h.read()
    assert (await h.explained(scene.a))[2:] == [E.RETURN, E.SUSPENSE]
    await h.settled()


async def test_money_between_our_own_accounts_is_no_income_and_no_suspense(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    payment, ref = await h.pay(scene.a, B, 500_00)
    bank.debit(ref)
    bank.credit(ref)
    await h.read()
    await h.tell(bank.report(ReportKind.SETTLED, ref))
    assert await h.explained(scene.b) == [E.OPENING, E.INTERNAL]
    assert (await h.lines(scene.b))[1].payment_id == payment
    assert await h.posted(scene.b.ledger_account_id) == OPENING + 500_00
    assert await h.posted(scene.a.counter_account_id) == 0
    await h.settled()


async def test_fees_and_interest_are_booked_by_themselves_even_beyond_the_balance(
    scene: Scene,
) -> None:
    h, bank = scene.house, scene.bank
    bank.write(A, -OPENING - 5_00, "fee", words="手续费")
    bank.write(A, 3_21, "interest", words="利息")
    bank.write(A, 1_00, "fee", words="手续费退还")
    await h.read()
    assert (await h.explained(scene.a))[1:] == [E.FEE, E.INTEREST, E.FEE]
    assert await h.posted(scene.a.ledger_account_id) == -5_00 + 4_21
    books = await h.books(scene.a)
    assert await h.posted(books.fees) == OPENING + 5_00 - 4_21
    assert "statement.explained" in await h.told(scene.a.bank_account_id)
    await h.settled()


async def test_the_bank_takes_back_its_own_fee_by_a_correction(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    bank.page_lines = 10
    bank.write(A, -5_00, "fee")
    bank.write(A, 5_00, "other", words="冲正 手续费")
    bank.write(A, 5_00, "other", words="冲正")
    await h.read()
    assert (await h.explained(scene.a))[1:] == [E.FEE, E.CORRECTION, E.SUSPENSE]
    assert (await h.lines(scene.a))[2].corrects == "@-2"
    assert await h.posted((await h.books(scene.a)).fees) == 0
    await h.settled()


async def test_money_nobody_knows_waits_in_suspense_until_someone_explains_it(
    scene: Scene,
) -> None:
    h, bank = scene.house, scene.bank
    bank.write(A, 77_00, "incoming", words="货款", other=STRANGER)
    bank.write(A, -9_00, "payment", "NOTOURS")
    await h.read()
    drift = await h.drift(scene.a)
    assert (drift.difference_fen, drift.suspense_fen) == (0, 68_00)
    fees = (await h.books(scene.a)).fees
    account = scene.a.bank_account_id
    for line_id, fen in (("@-2", 77_00), ("@-3", -9_00)):
        async with h.database.transaction() as tx:
            after = await h.statements.explain_later(
                tx, T, account, line_id, fees, actor="person:Chen", reason="seen"
            )
        assert after.amount_fen == fen and after.moved_by is not None
    assert await h.posted(scene.a.suspense_account_id) == 0
    assert await h.posted(fees) == -68_00
    assert (await h.told(account))[-1] == "statement.suspense_explained"
    assert (await h.drift(scene.a)).suspense == ()
    with pytest.raises(Conflict, match="not_in_suspense"):
        async with h.database.transaction() as tx:
            await h.statements.explain_later(tx, T, account, "@-2", fees, actor="person:Chen")
    await h.settled()


async def test_suspense_cannot_be_explained_by_itself(scene: Scene) -> None:
    scene.bank.write(A, 77_00, "incoming")
    await scene.house.read()
    for to in (scene.a.ledger_account_id, scene.a.suspense_account_id):
        with pytest.raises(Refused, match="same_place"):
            async with scene.house.database.transaction() as tx:
                await scene.house.statements.explain_later(
                    tx, T, scene.a.bank_account_id, "@-2", to, actor="person:Chen"
                )


async def test_reading_a_page_twice_changes_nothing(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    bank.write(A, -5_00, "fee")
    page = StatementPage(tuple(bank.books[A]), "2", False)
    for fresh in (2, 0, 0):
        async with h.database.transaction() as tx:
            taken = await h.statements.take_page(tx, T, scene.a, page, rail=RAIL)
        assert (taken.fresh, taken.breaks) == (fresh, 0)
    assert await h.posted(scene.a.ledger_account_id) == OPENING - 5_00
    await h.settled([scene.a])


async def test_a_line_the_bank_has_changed_is_told_and_not_taken(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    bank.write(A, -5_00, "fee")
    await h.read()
    other = msgspec.structs.replace(bank.books[A][1], amount_fen=-6_00)
    async with h.database.transaction() as tx:
        page = StatementPage((other,), "2", False)
        await h.statements.take_page(tx, T, scene.a, page, rail=RAIL)
    assert "statement.line_changed" in await h.told(scene.a.bank_account_id)
    await h.settled()


async def test_a_break_in_the_banks_chain_is_told_and_shown(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    bank.write(A, -5_00, "fee")
    del bank.books[A][1]
    bank.books[A].append(
        msgspec.structs.replace(
            bank.books[A][0], line_id="late", amount_fen=7_00, kind="incoming",
            balance_after_fen=OPENING + 2_00, booked_at=h.clock.now(),
        )
    )  # fmt: skip
    await h.read()
    drift = await h.drift(scene.a)
    assert (drift.gaps_fen, drift.difference_fen, drift.residue_fen) == (-5_00, -5_00, 0)
    assert "statement.chain_broken" in await h.told(scene.a.bank_account_id)
    view = await _views(scene)
    assert [v.gap_fen for v in view] == [-5_00, 0]


async def test_the_banks_opening_balance_corrects_ours(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    bank.write("90730003000619", 10, "incoming")
    bank.write("90730003000619", 600_00, "incoming", "OLDREF")
    h.clock.advance(60)
    account = await h.add_account("90730003000619", opening_fen=500_00)
    await h.read()
    assert await h.explained(account) == [E.OPENING, E.OPENING]
    assert await h.posted(account.ledger_account_id) == 600_10
    assert await h.posted((await h.books(account)).opening) == OPENING + 600_10
    await h.settled()


async def test_an_account_opened_after_its_books_begins_with_the_banks_opening_line(
    scene: Scene,
) -> None:
    h, bank = scene.house, scene.bank
    account = await h.add_account("90730004000720", opening_fen=0)
    h.clock.advance(5)
    bank.write("90730004000720", 800_00, "opening")
    bank.write("90730004000720", -1_00, "fee")
    await h.read()
    assert await h.explained(account) == [E.OPENING, E.FEE]
    assert await h.posted(account.ledger_account_id) == 799_00
    await h.settled()


async def test_the_other_side_of_a_line_is_sealed_and_shown_masked(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    bank.write(A, 77_00, "incoming", words=f"转入 {STRANGER}", other=STRANGER)
    await h.read()
    (row,) = (await h.lines(scene.a))[1:]
    assert STRANGER.encode() not in row.counterparty_sealed and A not in row.line_id
    assert row.counterparty_index == h.vault.blind_index("account", STRANGER)
    view = (await _views(scene))[0]
    assert view.counterparty_account == "…5678" and view.counterparty_name == "远山建材有限公司"
    assert STRANGER not in view.words


async def test_a_reader_that_lost_its_turn_writes_nothing(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    await h.read()
    bank.write(A, -5_00, "fee")
    page = StatementPage(tuple(bank.books[A][1:]), "2", False)
    async with h.database.transaction() as tx:
        taken = await h.statements.take_page(tx, T, scene.a, page, rail=RAIL, fence=0)
    assert taken.lost and taken.fresh == 0
    assert await h.posted(scene.a.ledger_account_id) == OPENING


async def test_a_bank_that_is_down_holds_up_nobody_and_is_asked_less_often(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    bank.down.add(A)
    await h.read()
    drift = await h.drift(scene.a)
    assert (drift.bank_fen, drift.trouble) == (None, "paper.down")
    await h.settled([scene.b])
    bank.down.clear()
    h.clock.advance(61)
    assert await h.reader.run_once(T) == 1  # B is due, A waits longer.
    h.clock.advance(61)
    await h.read()
    assert (await h.drift(scene.a)).trouble == ""
    await h.settled()


async def test_balances_are_kept_as_the_bank_says_them(scene: Scene) -> None:
    h = scene.house
    await h.read()
    drift = await h.drift(scene.a)
    assert (drift.said_fen, drift.said_available_fen) == (OPENING, OPENING)
    assert drift.said_at is not None and drift.read_at is not None


async def test_a_drift_reads_no_further_back_than_the_mark(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    for _ in range(3):
        _, ref = await h.pay(scene.a, STRANGER, 10_00)
        bank.debit(ref)
        await h.tell(bank.report(ReportKind.NETTED, ref))
    await h.read()
    _, late = await h.pay(scene.a, STRANGER, 20_00)
    await h.tell(bank.report(ReportKind.NETTED, late))
    h.clock.advance(4 * 86400)
    await h.read()
    async with h.database.transaction() as tx:
        cursor = (await h.store.cursors(tx, T, [scene.a.bank_account_id]))[scene.a.bank_account_id]
    drift = await h.drift(scene.a)
    assert cursor.matched_to == drift.book_first[0].at
    assert (drift.book_first_fen, drift.residue_fen) == (-20_00, 0)


async def test_an_account_reached_by_no_connected_rail_is_not_read(scene: Scene) -> None:
    h = scene.house
    other = await h.add_account("90730005000821", access_modes=("hvps",), bank_code=BANK)
    await h.read()
    assert (await h.drift(other)).bank_fen is None
    assert await h.lines(other) == []


async def _views(scene: Scene) -> list[Any]:
    async with scene.house.database.transaction() as tx:
        return await scene.house.statements.lines(tx, T, scene.a.bank_account_id)


async def test_a_return_of_a_payment_that_was_rejected_pairs_with_its_debit(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    payment, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    await h.tell(bank.report(ReportKind.REJECTED, ref, "RJ01"))
    bank.send_back(ref)
    await h.read()
    assert (await h.payment(payment)).state is State.REJECTED
    assert (await h.explained(scene.a))[1:] == [E.CORRECTION, E.CORRECTION]
    await h.settled()


async def test_a_return_of_another_amount_goes_to_suspense_and_books_no_return(
    scene: Scene,
) -> None:
    h, bank = scene.house, scene.bank
    payment, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    await h.tell(bank.report(ReportKind.SETTLED, ref))
    bank.write(A, 299_00, "return", ref)
    await h.read()
    assert (await h.payment(payment)).returned_at is None
    assert (await h.explained(scene.a))[1:] == [E.PAYMENT, E.SUSPENSE]
    await h.settled()


async def test_our_reference_on_money_that_is_not_our_payment_goes_to_suspense(
    scene: Scene,
) -> None:
    h, bank = scene.house, scene.bank
    _, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    await h.tell(bank.report(ReportKind.SETTLED, ref))
    bank.write(B, 300_00, "incoming", ref)  # The payee is a stranger, not this account.
    bank.write(B, -300_00, "payment", ref)
    await h.read()
    assert (await h.explained(scene.b))[1:] == [E.SUSPENSE, E.SUSPENSE]
    await h.settled()


async def test_a_new_try_after_a_rejection_has_its_own_debit(scene: Scene) -> None:
    h, bank = scene.house, scene.bank
    first, ref = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref)
    await h.tell(bank.report(ReportKind.REJECTED, ref, "RJ11"))
    again, ref2 = await h.pay(scene.a, STRANGER, 300_00)
    bank.debit(ref2)
    bank.give_back(ref)
    await h.tell(bank.report(ReportKind.NETTED, ref2))
    await h.read()
    assert (await h.explained(scene.a))[1:] == [E.CORRECTION, E.PAYMENT, E.CORRECTION]
    assert [line.payment_id for line in (await h.lines(scene.a))[1:]] == [first, again, first]
    await h.settled()
