"""How attempts become packages, how a statement is read, and what a connection must be."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rails.bank_direct.icbc.test_icbc_codec import BANK, ENTRY, HUB, THEIRS, pub

from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.kernel.order import Priority
from caiwutong.rails.bank_direct.contract import Tools
from caiwutong.rails.bank_direct.styles.icbc import accounts, codec, envelope
from caiwutong.rails.bank_direct.styles.icbc import messages as m
from caiwutong.rails.bank_direct.styles.icbc.codec import Document
from caiwutong.rails.bank_direct.styles.icbc.connector import IcbcConnector, package_number
from caiwutong.rails.bank_direct.styles.icbc.link import IcbcConnection
from caiwutong.rails.bank_direct.styles.icbc.profile import ICBC_CMS
from caiwutong.rails.contract import AccountAtBank, Attempt, RailMessage, StatementLine

NOON = datetime(2026, 11, 24, 4, 0, 0, tzinfo=UTC)
PAYER = AccountAtBank("华东示例集团有限公司", "10290010000417", "102290091013", "国信银行")
OTHER = AccountAtBank("华东示例物流有限公司", "10290010000418", "102290091013", "国信银行")
PAYEE = AccountAtBank("恒瑞建材有限公司", "6222021001116245000", "103301091021", "国丰银行")


def connector(**changes: Any) -> IcbcConnector:
    fields: dict[str, Any] = {
        "name": "state-bank",
        "url": "http://127.0.0.1:9/",
        "bank_codes": ("102",),
        "customer_id": "N102000001",
        "user_id": "N102000001.c.0200",
        "signing_key": HUB.to_hex(),
        "bank_key": BANK.public.to_hex(),
        "batch_payments": 100,
    }
    connection = IcbcConnection(**(fields | changes))
    assert HUB.to_hex() not in repr(connection)
    return IcbcConnector(connection, Tools(ManualClock(NOON), SystemRandomness()))


def attempt(number: int, payer: AccountAtBank = PAYER, **changes: Any) -> Attempt:
    fields: dict[str, Any] = {
        "tenant": "t",
        "payment_id": UUID(int=number),
        "attempt_id": UUID(int=number),
        "rail": "bank_direct",
        "reference": f"20261124{number:012d}",
        "payer": payer,
        "payee": PAYEE,
        "amount_fen": 100 + number,
        "created_at": NOON,
        "valid_until": NOON + timedelta(hours=1),
        "purpose": "货款",
    }
    return Attempt(**(fields | changes))


def package(message: RailMessage) -> tuple[m.Pub, m.PayRequest]:
    _, document = envelope.opened_request(message.body, THEIRS.verifier)
    request = codec.decode_request(document)
    assert isinstance(request.body, m.PayRequest)
    return request.pub, request.body


def test_payments_of_one_account_and_moment_travel_together_up_to_a_hundred():
    later = NOON + timedelta(seconds=1)
    attempts = [attempt(n) for n in range(230)]
    attempts += [attempt(300, OTHER), attempt(301, created_at=later)]
    messages = connector().encode_many(attempts)
    assert [len(each.references) for each in messages] == [100, 100, 30, 1, 1]
    assert [r for each in messages for r in each.references] == [a.reference for a in attempts]
    _, body = package(messages[2])
    assert (body.count, body.total) == ("30", str(sum(100 + n for n in range(200, 230))))
    assert {order.payer_account for order in body.orders} == {PAYER.account}
    assert [package(each)[0].time for each in messages[-2:]] == ["120000000", "120001000"]


def test_a_package_of_one_has_the_number_of_its_payment_and_one_of_many_a_digest():
    [one] = connector(batch_payments=1).encode_many([attempt(1)])
    assert one.message_id == attempt(1).reference == package(one)[0].package
    two = [attempt(1), attempt(2)]
    [first], [again] = connector().encode_many(two), connector().encode_many(two)
    assert first.message_id == again.message_id == package(first)[0].package
    assert len(first.message_id) <= ICBC_CMS.reference_length
    [turned] = connector().encode_many(two[::-1])
    assert turned.message_id != first.message_id
    assert package_number(first.references) == first.message_id


def test_what_the_bank_reads_of_a_payment():
    inside = AccountAtBank("恒瑞", "1", "102100099996", "国信银行")
    urgent = attempt(1, payee=inside, priority=Priority.URGENT, purpose="", remark="合同\nA-7")
    [message] = connector().encode_many([urgent, attempt(2)])
    near, far = package(message)[1].orders
    assert (near.scope, near.pay_type, near.purpose, near.remark) == (
        "1",
        "1",
        "合同 A-7",
        "合同 A-7",
    )
    assert (far.scope, far.pay_type, far.amount, far.purpose) == ("2", "2", "102", "货款")


def test_a_rare_sign_of_a_name_is_refused_in_gbk_and_of_a_purpose_is_replaced():
    rare = msgspec.structs.replace(PAYEE, name="王䶮")
    with pytest.raises(Refused) as refused:
        connector().encode_many([attempt(1), attempt(2, payee=rare)])
    assert refused.value.code == "bank_direct.not_in_charset"
    assert "王" not in refused.value.detail and "U+4DAE" in refused.value.detail
    [message] = connector(charset="GB18030").encode_many([attempt(2, payee=rare)])
    assert package(message)[1].orders[0].payee_name == "王䶮"
    [message] = connector().encode_many([attempt(1, purpose="付王䶮货款")])
    assert package(message)[1].orders[0].purpose == "付王?货款"


def test_a_name_is_never_cut():
    for name in ("名" * 61, "a" * 121, "𠮷" * 31):
        long = msgspec.structs.replace(PAYEE, name=name)
        with pytest.raises(Refused) as refused:
            connector(charset="GB18030").encode_many([attempt(1, payee=long)])
        assert refused.value.code == "bank_direct.does_not_fit"


@pytest.mark.parametrize(
    "changes",
    [
        {"charset": "UTF-8"},
        {"batch_payments": 0},
        {"batch_payments": 101},
        {"customer_id": "C 1"},
        {"user_id": "<x>"},
        {"signing_key": "11"},
    ],
)
def test_an_entry_that_cannot_work_is_refused_at_the_start(changes: dict[str, Any]):
    with pytest.raises(Refused) as refused:
        connector(**changes)
    assert refused.value.cure


# ---- the statement


class PagingBank:
    """Pages by NextTag within a span of days, as the sandbox does."""

    profile = ICBC_CMS

    def __init__(self, page: int) -> None:
        self.page = page
        self.lines: list[m.Entry] = []
        self.questions = 0

    def book(self, day: date) -> None:
        number = len(self.lines) + 1
        entry = msgspec.structs.replace(ENTRY, line_id=f"A-{number}", day=f"{day:%Y%m%d}")
        self.lines.append(entry)

    async def ask_again(self, body: m.StatementRequest) -> Document:
        self.questions += 1
        after = int(body.next_tag or "0")
        found = [
            (n, each)
            for n, each in enumerate(self.lines, 1)
            if n > after and body.from_day <= each.day <= body.to_day
        ]
        page = found[: self.page]
        tag = str(page[-1][0]) if len(found) > len(page) else ""
        entries = tuple(each for _, each in page)
        return Document(
            pub("QHISD", "0"),
            m.StatementAnswer(account=body.account, next_tag=tag, entries=entries),
        )


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 3)), max_size=12))
async def test_a_statement_read_at_any_moments_has_every_line_once_and_in_order(
    story: list[tuple[int, int, int]],
):
    bank, now = PagingBank(page=4), NOON
    cursor, read = "", list[StatementLine]()
    for booked, days, pages in [*story, (0, 0, 99)]:
        for _ in range(booked):
            bank.book(now.date())
        for _ in range(pages):
            page = await accounts.statement(bank, "A", cursor, now)  # type: ignore[arg-type]
            read += page.lines
            cursor = page.cursor
            if not page.more:
                break
        now += timedelta(days=days)
    assert [line.line_id for line in read] == [each.line_id for each in bank.lines]


async def test_asking_again_of_a_long_account_stays_short():
    bank = PagingBank(page=100)
    for n in range(950):
        bank.book(NOON.date() - timedelta(days=9 - n // 100))
    cursor, more = "", True
    while more:
        page = await accounts.statement(bank, "A", cursor, NOON)  # type: ignore[arg-type]
        cursor, more = page.cursor, page.more
    for _ in range(3):
        page = await accounts.statement(bank, "A", cursor, NOON)  # type: ignore[arg-type]
        cursor = page.cursor
    before = bank.questions
    bank.book(NOON.date())
    page = await accounts.statement(bank, "A", cursor, NOON)  # type: ignore[arg-type]
    assert len(page.lines) == 1 and bank.questions == before + 1


async def test_a_bank_that_answers_about_another_account_is_not_believed():
    bank = PagingBank(page=4)
    bank.book(NOON.date())

    async def other(body: m.StatementRequest) -> Document:
        return Document(pub("QHISD", "0"), m.StatementAnswer(account="B"))

    bank.ask_again = other  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await accounts.statement(bank, "A", "", NOON)  # type: ignore[arg-type]
