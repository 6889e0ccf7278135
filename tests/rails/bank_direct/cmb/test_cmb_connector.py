"""The rail against real HTTP servers: what it carries, whom it asks, what it makes of silence."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.kernel.order import Priority
from caiwutong.rails.bank_direct.connector import BankDirectRail
from caiwutong.rails.bank_direct.contract import UNREADABLE, UNSUPPORTED
from caiwutong.rails.bank_direct.fields import months_before
from caiwutong.rails.bank_direct.styles.cmb import codec, messages
from caiwutong.rails.bank_direct.styles.cmb.account_messages import StatementEntry
from caiwutong.rails.bank_direct.styles.cmb.envelope import Form, write_form
from caiwutong.rails.contract import (
    NOT_FOUND,
    SILENCE,
    AccountAtBank,
    Attempt,
    BadMessage,
    Concerning,
    NotSent,
    RailReport,
    ReportKind,
    SentInDoubt,
    StatementLine,
)
from support.cmb_bank import BANK, NOON, STRANGER, LocalBank

CMB = AccountAtBank("示例集团", "755915671610302", "308584000013", "招商银行深圳分行")
CITY = AccountAtBank("示例集团", "110090109020417", "313331000014", "杭州银行")
PAYEE = AccountAtBank("供应商有限公司", "6222021001116245000", "102100099996", "中国工商银行")
LEFT_OUT = AccountAtBank("示例集团", "1", "105100000017")


def attempt(number: int = 1, payer: AccountAtBank = CMB, **changes: object) -> Attempt:
    fields: dict[str, object] = {
        "tenant": "t",
        "payment_id": UUID(int=number),
        "attempt_id": UUID(int=number),
        "rail": "bank_direct",
        "reference": f"20261124{number:012d}",
        "payer": payer,
        "payee": PAYEE,
        "amount_fen": 123_456,
        "created_at": NOON,
        "valid_until": NOON + timedelta(hours=1),
        "purpose": "货款",
    }
    return Attempt(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
async def banks() -> AsyncIterator[tuple[LocalBank, LocalBank]]:
    pair = LocalBank("N003261207", "308"), LocalBank("U000000417", "313331")
    for bank in pair:
        await bank.start()
    yield pair
    for bank in pair:
        await bank.stop()


@pytest.fixture
async def rail(banks: tuple[LocalBank, LocalBank]) -> AsyncIterator[BankDirectRail]:
    rail = _rail(*(bank.connection() for bank in banks))
    yield rail
    await rail.close()


def _rail(*connections: object) -> BankDirectRail:
    return BankDirectRail(
        connections,  # type: ignore[arg-type]
        clock=ManualClock(NOON),
        randomness=SystemRandomness(),
        least_real_timeout_s=0.3,
    )


async def _pay(rail: BankDirectRail, one: Attempt) -> RailReport:
    [message] = rail.encode_many([one])
    [report] = rail.decode(await rail.send(message))
    return report


def _bare(raw: bytes) -> bytes:
    """Without the tag of the connection: as the bank gets it."""
    return raw.partition(b"\n")[2]


async def _ask(rail: BankDirectRail, one: Attempt) -> RailReport:
    [report] = await rail.enquire([one])
    return report


# ---- paying


async def test_a_payment_is_accepted_then_settled_by_the_banks_own_word(rail, banks):
    one = attempt()
    first = await _pay(rail, one)
    assert (first.kind, first.reference) == (ReportKind.ACCEPTED, one.reference)
    assert (await _ask(rail, one)).kind is ReportKind.ACCEPTED
    banks[0].settle(one.reference, "FIN", "S")
    last = await _ask(rail, one)
    assert (last.kind, last.code, last.amount_fen) == (ReportKind.SETTLED, "FIN/S", 123_456)
    assert last.bank_reference == "1000000000"


async def test_each_payer_is_served_by_its_own_bank(rail, banks):
    await _pay(rail, attempt(1, CMB))
    await _pay(rail, attempt(2, CITY))
    assert [list(bank.payments) for bank in banks] == [
        [attempt(1).reference],
        [attempt(2).reference],
    ]
    assert rail.serves(CMB) and rail.serves(CITY) and not rail.serves(LEFT_OUT)
    with pytest.raises(Refused) as refused:
        rail.encode_many([attempt(3, LEFT_OUT)])
    assert refused.value.code == "bank_direct.no_connection"


async def test_the_longest_bank_code_wins():
    wide, narrow = LocalBank("W", "313"), LocalBank("N", "313331", "313332")
    rail = _rail(wide.connection(), narrow.connection())
    [near] = rail.encode_many([attempt(1, CITY)])
    other = AccountAtBank("示例集团", "1", "313100000013")
    [far] = rail.encode_many([attempt(1, other)])
    assert near.body.startswith(b"@N\nUID=N&") and far.body.startswith(b"@W\nUID=W&")


async def test_the_same_attempt_is_the_same_message_again(rail):
    [first] = rail.encode_many([attempt()])
    [second] = rail.encode_many([attempt()])
    assert first.message_id == second.message_id
    assert first.references == second.references == (attempt().reference,)
    assert first.kind == "BB1PAYOP"


async def test_what_the_bank_reads(rail):
    urgent = attempt(priority=Priority.URGENT, remark="合同 A-7")
    [message] = rail.encode_many([urgent])
    body = codec.decode_request(_bare(message.body), {"N003261207": BANK}.get, now=NOON).body
    assert isinstance(body, messages.PayRequest)
    [detail] = body.payments
    assert (detail.amount, detail.currency, detail.in_bank) == ("1234.56", "10", "N")
    assert (detail.channel, detail.purpose, detail.remark) == ("R", "货款", "合同 A-7")
    assert (detail.payee_bank_code, detail.reference) == ("102100099996", urgent.reference)
    inside = attempt(payee=CMB, purpose="")
    [message] = rail.encode_many([inside])
    body = codec.decode_request(_bare(message.body), {"N003261207": BANK}.get, now=NOON).body
    assert isinstance(body, messages.PayRequest)
    detail = body.payments[0]
    assert (detail.in_bank, detail.channel, detail.purpose) == ("Y", "", "转账")


async def test_a_name_is_never_cut(rail):
    long = AccountAtBank("名" * 101, "6222021001116245000", "102100099996")
    with pytest.raises(Refused) as refused:
        rail.encode_many([attempt(payee=long)])
    assert refused.value.code == "bank_direct.does_not_fit"


async def test_the_bank_takes_no_message_after_valid_until(rail, banks):
    one = attempt()
    [message] = rail.encode_many([one])
    banks[0].now = lambda: NOON + timedelta(minutes=61)
    with pytest.raises(SentInDoubt):
        await rail.send(message)
    assert not banks[0].payments
    assert rail.valid_until(NOON) > NOON + timedelta(minutes=61)


async def test_no_more_than_the_allowed_payments_are_under_way_at_once(banks):
    banks[0].fault = "busy"
    rail = _rail(banks[0].connection(concurrency=3, timeout_s=5.0))
    await asyncio.gather(*(_pay(rail, attempt(n)) for n in range(12)))
    await rail.close()
    assert banks[0].most_at_once == 3
    assert len(banks[0].payments) == 12


# ---- when it goes wrong


async def test_a_closed_door_means_certainly_not_sent():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        bank = LocalBank("N003261207", "308")
        bank.url = f"http://127.0.0.1:{taken.getsockname()[1]}/api/v2"
        rail = _rail(bank.connection())
        [message] = rail.encode_many([attempt()])
        with pytest.raises(NotSent):
            await rail.send(message)
        report = await _ask(rail, attempt())
        assert (report.kind, report.code) == (ReportKind.IN_DOUBT, SILENCE)
        with pytest.raises(Unavailable):
            await rail.balances([CMB])
        await rail.close()


@pytest.mark.parametrize("fault", ["slow", "cut", "refuse"])
async def test_silence_after_sending_is_doubt_and_the_question_finds_the_payment(
    rail, banks, fault
):
    one = attempt()
    [message] = rail.encode_many([one])
    banks[0].fault = fault
    with pytest.raises(SentInDoubt):
        await rail.send(message)
    report = await _ask(rail, one)
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, SILENCE)
    banks[0].fault = ""
    # The bank had it all the time: a second sending under another reference would have paid twice.
    assert list(banks[0].payments) == [one.reference]
    assert (await _ask(rail, one)).kind is ReportKind.ACCEPTED


@pytest.mark.parametrize("fault", ["stranger", "garbage"])
async def test_an_answer_not_signed_by_the_bank_is_not_believed(rail, banks, fault):
    banks[0].fault = fault
    [message] = rail.encode_many([attempt()])
    raw = await rail.send(message)
    with pytest.raises(BadMessage):
        rail.decode(raw)
    report = await _ask(rail, attempt())
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, UNREADABLE)


async def test_an_error_of_the_bank_is_doubt_until_asked(rail, banks):
    banks[0].fault = "error"
    report = await _pay(rail, attempt())
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, "CDC0099")
    banks[0].fault = ""
    asked = await _ask(rail, attempt())
    assert (asked.kind, asked.code) == (ReportKind.IN_DOUBT, NOT_FOUND)


async def test_a_payment_sent_twice_is_paid_once(rail, banks):
    one = attempt()
    await _pay(rail, one)
    again = await _pay(rail, one)
    assert (again.kind, again.code) == (ReportKind.IN_DOUBT, "CDC0013")
    assert (await _ask(rail, one)).kind is ReportKind.ACCEPTED
    assert len(banks[0].payments) == 1


async def test_an_acknowledged_payment_the_bank_forgot_stays_in_doubt(rail, banks):
    banks[0].fault = "deaf"
    assert (await _pay(rail, attempt())).kind is ReportKind.ACCEPTED
    report = await _ask(rail, attempt())
    assert (report.kind, report.code) == (ReportKind.IN_DOUBT, NOT_FOUND)


async def test_enquiries_come_back_one_each_in_order_whatever_each_bank_does(rail, banks):
    await _pay(rail, attempt(1))
    banks[0].settle(attempt(1).reference, "FIN", "R")
    banks[1].fault = "cut"
    asked = [attempt(1), attempt(2, CITY), attempt(3, LEFT_OUT), attempt(4)]
    reports = await rail.enquire(asked)
    assert [each.reference for each in reports] == [each.reference for each in asked]
    assert [(each.kind, each.code) for each in reports] == [
        (ReportKind.REJECTED, "FIN/R"),
        (ReportKind.IN_DOUBT, SILENCE),
        (ReportKind.IN_DOUBT, "bank_direct.no_connection"),
        (ReportKind.IN_DOUBT, NOT_FOUND),
    ]


# ---- notices


def _notice(keys, flag: str, user: str = "N003261207") -> bytes:
    record = messages.PaymentRecord(
        reference="R1", state="FIN", flag=flag, amount="1.00", payer_account="1"
    )
    event = messages.PaymentFinished(record=record)
    return codec.encode_notice(event, user_id=user, number="n", at=NOON, keys=keys)


async def test_a_notice_of_any_of_our_banks_is_read(rail):
    for user in ("N003261207", "U000000417"):
        [report] = rail.decode(_notice(BANK, "S", user))
        assert (report.kind, report.reference) == (ReportKind.SETTLED, "R1")


async def test_a_forged_notice_is_refused(rail):
    for raw in (_notice(STRANGER, "S"), _notice(BANK, "S", "X"), b'{"corpNbr":1}', b"", b"{"):
        with pytest.raises(BadMessage):
            rail.decode(raw)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_bytes_come_only_bad_message_escapes(data: st.DataObject):
    rail = _rail(LocalBank("N003261207", "308").connection())
    whole = data.draw(st.sampled_from(WHOLE))
    cut = data.draw(st.integers(0, len(whole)))
    raw = (
        whole[:cut] + data.draw(st.binary(max_size=8)) + whole[cut + data.draw(st.integers(0, 9)) :]
    )
    try:
        assert rail.decode(raw) == rail.decode(whole)
    except BadMessage as refused:
        assert refused.code.startswith("bank_direct.")


def _answer_form() -> bytes:
    request = codec.Request(
        "N003261207", "BB1PAYOP", codec.pay_request_id(NOON, "R1"), NOON, messages.PayAnswer()
    )
    outcome = messages.PayOutcome(state="NTE", bank_reference="7")
    body = messages.PayAnswer(outcomes=(outcome,))
    raw = codec.encode_answer(body, request=request, response_id="p", at=NOON, keys=BANK)
    return write_form(Form("N003261207", "BB1PAYOP", raw))


WHOLE = [_notice(BANK, "S"), _answer_form()]


async def test_a_notice_taken_in_is_acknowledged_without_words(rail):
    assert rail.acknowledge(_notice(BANK, "S")) == b""


# ---- what the style cannot do


async def test_revoking_is_honestly_unsupported_and_tells_how_the_payment_stands(rail, banks):
    one = attempt()
    await _pay(rail, one)
    banks[0].settle(one.reference, "NTE")
    payment, refusal = await rail.revoke(one)
    assert (payment.kind, payment.concerning) == (ReportKind.ACCEPTED, Concerning.PAYMENT)
    assert (refusal.kind, refusal.concerning, refusal.code) == (
        ReportKind.REJECTED,
        Concerning.REVOCATION,
        UNSUPPORTED,
    )
    assert "bank's own page" in refusal.words


async def test_asking_for_a_return_is_honestly_unsupported(rail):
    [refusal] = await rail.request_return(attempt(), "paid the wrong firm")
    assert (refusal.kind, refusal.concerning, refusal.code) == (
        ReportKind.REJECTED,
        Concerning.RETURN_REQUEST,
        UNSUPPORTED,
    )


# ---- accounts


async def test_balances_are_asked_thirty_at_a_time_from_every_bank(rail, banks):
    ours = [AccountAtBank("g", f"7559{n:04d}0", CMB.bank_code) for n in range(70)]
    refused = AccountAtBank("g", "75599999", CMB.bank_code)
    found = await rail.balances([*ours, refused, CITY])
    assert len(found) == 71
    assert (found[0].balance_fen, found[0].available_fen) == (10_050, -50)
    assert len(banks[0].seen) == 3 and len(banks[1].seen) == 1


def _entries(count: int, start: int = 0) -> list[StatementEntry]:
    return [
        StatementEntry(
            line_id=f"L{n}", day="20261124", side="C", amount="1.00", balance_after=f"{n + 1}.00"
        )
        for n in range(start, start + count)
    ]


async def test_a_statement_is_read_page_by_page_and_goes_on_where_it_stopped(rail, banks):
    banks[0].entries = _entries(450)
    cursor, more, lines = "", True, []
    sizes: list[int] = []
    while more:
        page = await rail.statement(CMB, cursor)
        sizes.append(len(page.lines))
        lines += page.lines
        cursor, more = page.cursor, page.more
    assert sizes == [200, 200, 50]
    assert [line.line_id for line in lines] == [f"L{n}" for n in range(450)]
    assert not (await rail.statement(CMB, cursor)).lines
    banks[0].entries += _entries(2, 450)
    page = await rail.statement(CMB, cursor)
    assert [line.line_id for line in page.lines] == ["L450", "L451"]


async def test_a_strange_cursor_is_refused(rail):
    for cursor in ("x", "bnVsbA==", "****"):
        with pytest.raises(Refused) as refused:
            await rail.statement(CMB, cursor)
        assert refused.value.code == "bank_direct.bad_cursor"


async def test_a_statement_with_an_impossible_line_is_unavailable_and_not_half_read(rail, banks):
    banks[0].entries = _entries(2)
    banks[0].entries[1] = messages.msgspec.structs.replace(banks[0].entries[1], amount="1e9")
    with pytest.raises(Unavailable):
        await rail.statement(CMB, "")


async def test_returned_payments_are_found_page_by_page(rail, banks):
    for number in (1, 2, 3):
        await _pay(rail, attempt(number))
        banks[0].settle(attempt(number).reference, "FIN", "B" if number != 2 else "S")
    found = await rail.returned_payments(CMB, NOON.date(), NOON.date())
    assert [(each.kind, each.reference) for each in found] == [
        (ReportKind.RETURNED, attempt(1).reference),
        (ReportKind.RETURNED, attempt(3).reference),
    ]
    assert found[0].words == "账号户名不符"


async def test_past_balances_and_receipts(rail):
    cmb = rail.connector(rail.connection_of(CMB))
    [day] = await cmb.past_balances(CMB, NOON.date() - timedelta(days=3), 3)
    assert (day.day.isoformat(), day.balance_fen) == ("2026-11-21", 700)
    with pytest.raises(Refused):
        await cmb.past_balances(CMB, NOON.date(), 32)
    line = StatementLine("1", "L1", NOON, NOON.date(), -1, 0, "payment")
    [receipt] = await rail.receipts(CMB, [line])
    assert (receipt.document, receipt.check_code) == (b"%PDF-", "AB12")


async def test_any_trouble_with_a_question_about_accounts_is_unavailable(rail, banks):
    for fault in ("slow", "cut", "refuse", "stranger", "garbage", "error"):
        banks[0].fault = fault
        with pytest.raises(Unavailable):
            await rail.balances([CMB])


def test_months_are_counted_back_to_days_that_exist():
    assert months_before(NOON.date(), 13).isoformat() == "2025-10-24"
    assert months_before(NOON.date().replace(month=3, day=31), 13).isoformat() == "2025-02-28"
    assert months_before(NOON.date().replace(month=1, day=1), 13).isoformat() == "2024-12-01"


# ---- configuration


async def test_two_connections_cannot_share_a_name():
    bank = LocalBank("N003261207", "308")
    with pytest.raises(Refused) as refused:
        _rail(bank.connection(), bank.connection())
    assert refused.value.code == "bank_direct.name_twice"


async def test_bad_keys_and_codes_are_refused_at_the_start_and_never_shown():
    bank = LocalBank("N003261207", "308")
    for changes in ({"sm4_key": "zz"}, {"signing_key": "11"}, {"bank_codes": ("30",)}):
        with pytest.raises(Refused):
            _rail(bank.connection(**changes))
    shown = repr(bank.connection())
    assert "11" * 32 not in shown and bank.connection().sm4_key not in shown
