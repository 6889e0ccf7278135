"""The simulated bank: true to its books, idempotent by reference, deaf to what comes too late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from caiwutong.rails.contract import NOT_FOUND, BadMessage, Concerning, ReportKind
from caiwutong.simulation.bank import Bank, BankAccount, Channel, Order
from caiwutong.simulation.chance import Chance
from caiwutong.simulation.loop import FIRST_MORNING, SimClock, SimLoop
from caiwutong.simulation.trace import Trace
from caiwutong.simulation.wire import (
    Ask,
    AskBack,
    Pay,
    PayOrder,
    Revoke,
    Say,
    Word,
    garbled,
    opened,
    sealed,
    signed_by_another,
)

IBPS = Channel("ibps", 3600, 300, 1, True)
DIRECT = Channel("bank_direct", 3600, 0, 5, False)


class Books:
    """Who watches, in a test."""

    def __init__(self) -> None:
        self.moved: list[str] = []
        self.lines: list[str] = []

    def executed(self, order: Order) -> None:
        self.moved.append(order.order.reference)

    def line_booked(self, number: str) -> None:
        self.lines.append(number)


class Desk:
    """A bank without faults, and whose notices are kept."""

    def __init__(self) -> None:
        trace = Trace()
        self.chance = Chance(1, trace)
        self.chance.healed = True
        self.loop = SimLoop(self.chance.loop)
        self.clock = SimClock(self.loop, FIRST_MORNING)
        self.books = Books()
        self.notices: list[Word] = []
        self.bank = Bank(
            self.loop, self.clock, self.chance, trace, self._notify, self.books, timedelta()
        )
        self.bank.accounts["P"] = BankAccount("P", "Payer", 1000)
        self.bank.accounts["Q"] = BankAccount("Q", "Payee", 0)
        self.order = PayOrder("R1", "P", "Q", "Payee", 600, self.clock.at(3600), "k1")

    def _notify(self, channel: Channel, word: Word, until_confirmed: bool) -> None:
        self.notices.append(word)

    def pay(self, channel: Channel = IBPS, **changes: object) -> Word:
        order = PayOrder(
            *[changes.get(f, getattr(self.order, f)) for f in PayOrder.__struct_fields__]
        )
        return self.bank.take(channel, Pay([order])).words[0]

    def ask(self, channel: Channel = IBPS, reference: str = "R1") -> Word:
        return self.bank.take(channel, Ask([reference])).words[0]

    def after(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def balance(self, number: str) -> int:
        return self.bank.accounts[number].balance_fen


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("caiwutong.simulation.bank._PAYEE_BANK_REFUSES", 0)
    monkeypatch.setattr("caiwutong.simulation.bank._RETURN_LIKELY", 0)
    return Desk()


def test_a_payment_is_accepted_then_netted_in_its_round_then_settled(desk: Desk) -> None:
    assert desk.pay().kind is ReportKind.ACCEPTED
    assert (desk.balance("P"), desk.balance("Q")) == (400, 0)
    desk.after(301)
    assert desk.ask().kind is ReportKind.NETTED
    assert (desk.balance("P"), desk.balance("Q")) == (400, 600)
    desk.after(3600)
    assert [word.code for word in desk.notices] == ["PR03", "PR04"]


def test_the_direct_rail_executes_at_once_and_sends_no_notice(desk: Desk) -> None:
    desk.pay(DIRECT)
    desk.after(10)
    assert desk.ask(DIRECT).code == "FIN/S"
    assert desk.notices == []


def test_the_same_reference_again_is_answered_for_the_first(desk: Desk) -> None:
    desk.pay()
    desk.after(301)
    assert desk.pay().kind is ReportKind.NETTED
    desk.after(3600)
    assert desk.books.moved == ["R1"]
    assert desk.balance("Q") == 600


def test_what_comes_after_its_time_is_refused_and_leaves_no_trace_in_the_books(desk: Desk) -> None:
    desk.after(3601)
    assert desk.pay().code == "RJ32"
    assert desk.ask().code == NOT_FOUND
    assert desk.balance("P") == 1000


def test_the_bank_judges_lateness_by_its_own_clock(desk: Desk) -> None:
    desk.bank.skew = timedelta(seconds=-20)
    desk.after(3610)
    assert desk.pay().kind is ReportKind.ACCEPTED


def test_an_unknown_reference_is_not_found(desk: Desk) -> None:
    assert desk.ask(reference="R9").code == NOT_FOUND


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda d: setattr(d.bank.accounts["P"], "state", "closed"), "RJ11"),
        (lambda d: setattr(d.bank.accounts["P"], "balance_fen", 599), "RJ03"),
        (lambda d: setattr(d.bank.accounts["Q"], "state", "closed"), "RJ01"),
        (lambda d: d.bank.accounts.pop("Q"), "RJ01"),
        (lambda d: setattr(d.bank.accounts["Q"], "name", "Another"), "RJ02"),
    ],
)
def test_a_rejected_payment_leaves_the_balances_as_they_were(
    desk: Desk, spoil: Callable[[Desk], object], code: str
) -> None:
    spoil(desk)
    before = desk.balance("P")
    desk.pay()
    desk.after(301)
    assert (desk.ask().kind, desk.ask().code) == (ReportKind.REJECTED, code)
    assert desk.balance("P") == before
    assert desk.books.moved == []


def test_an_overdraft_may_be_used_and_not_passed(desk: Desk) -> None:
    desk.bank.accounts["P"] = BankAccount("P", "Payer", 0, overdraft_fen=600)
    assert desk.pay().kind is ReportKind.ACCEPTED
    assert desk.pay(reference="R2", amount_fen=1).code == "RJ03"


def test_a_payment_is_revoked_before_netting_and_gives_the_money_back(desk: Desk) -> None:
    desk.pay()
    words = desk.bank.take(IBPS, Revoke("R1")).words
    assert [word.kind for word in words] == [ReportKind.ACCEPTED, ReportKind.REVOKED]
    desk.after(3600)
    assert desk.balance("P") == 1000
    assert desk.books.moved == []


def test_a_payment_is_not_revoked_after_netting(desk: Desk) -> None:
    desk.pay()
    desk.after(301)
    (word,) = desk.bank.take(IBPS, Revoke("R1")).words
    assert (word.kind, word.concerning) == (ReportKind.REJECTED, Concerning.REVOCATION)
    assert desk.ask().kind is ReportKind.NETTED


def test_returned_money_stands_on_the_payers_account_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caiwutong.simulation.bank._RETURN_LIKELY", 1)
    desk.pay()
    desk.after(86400)
    assert desk.ask().kind is ReportKind.RETURNED
    assert (desk.balance("P"), desk.balance("Q")) == (1000, 0)
    assert desk.books.moved == ["R1"]


def test_a_return_may_be_asked_for_only_after_settlement(desk: Desk) -> None:
    desk.pay()
    (word,) = desk.bank.take(IBPS, AskBack("R1")).words
    assert (word.kind, word.concerning) == (ReportKind.REJECTED, Concerning.RETURN_REQUEST)


def test_bytes_that_were_cut_changed_or_signed_by_another_are_noticed(desk: Desk) -> None:
    raw = sealed(Say([desk.ask()]))
    assert opened(raw) == Say([replace_word(desk.ask())])
    for bad in (garbled(raw), signed_by_another(raw), raw[:-1] + b"\x00", b""):
        with pytest.raises(BadMessage):
            opened(bad)


def replace_word(word: Word) -> Word:
    return Word(word.kind, word.reference, word.code, word.at)


def test_the_statement_tells_every_booking_in_order_with_the_balance_after_it(desk: Desk) -> None:
    desk.bank.open_account("S", "Own", 1000, 0)
    desk.pay(payer="S")
    desk.bank.take(IBPS, Revoke("R1"))
    desk.bank.charge("S", -5, "fee")
    lines = desk.bank.accounts["S"].lines or []
    assert [(i.kind, i.amount_fen, i.balance_after_fen, i.reference) for i in lines] == [
        ("opening", 1000, 1000, ""),
        ("payment", -600, 400, "R1"),
        ("other", 600, 1000, "R1"),
        ("fee", -5, 995, ""),
    ]
    assert len({line.line_id for line in lines}) == 4
    assert desk.books.lines == ["S"] * 4


def test_another_channel_is_another_book_of_references(desk: Desk) -> None:
    desk.pay(amount_fen=100)
    assert desk.ask(replace(DIRECT)).code == NOT_FOUND
