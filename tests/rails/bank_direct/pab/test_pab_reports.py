"""What the bank's answers mean, as a table."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.order import Priority
from caiwutong.rails.bank_direct.contract import Tools
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.styles.pab import messages as m
from caiwutong.rails.bank_direct.styles.pab import profile
from caiwutong.rails.bank_direct.styles.pab.codec import Frame
from caiwutong.rails.bank_direct.styles.pab.connector import PabConnector
from caiwutong.rails.bank_direct.styles.pab.link import PabConnection
from caiwutong.rails.bank_direct.styles.pab.reports import (
    OTHER_PAYMENT,
    balance_of,
    lines_of,
    report_of_status,
    reports_of_pay,
)
from caiwutong.rails.contract import NOT_FOUND, BadMessage, ReportKind
from support.pab_words import BANK_KEY, ENTRY, HUB_KEY, NOON, WORDS, attempt, head, status

K = ReportKind
PAYMENT = attempt()
REFERENCE = PAYMENT.reference


def frame(body: Word | None, function: str, **fields: str) -> Frame:
    return Frame(head(function, **fields), body)


@pytest.mark.parametrize(
    ("state", "returned", "kind", "code"),
    [
        ("20", "", K.SETTLED, "STT/20"),
        ("20", "0", K.SETTLED, "STT/20"),
        ("20", "1", K.RETURNED, "STT/20/BACK"),
        ("30", "", K.REJECTED, "STT/30"),
        ("30", "1", K.IN_DOUBT, "STT/30/BACK"),
        ("10", "", K.ACCEPTED, "STT/10"),
        ("40", "", K.ACCEPTED, "STT/40"),
        ("01", "", K.ACCEPTED, "STT/01"),
        ("AB", "", K.IN_DOUBT, "STT/AB"),
        ("200", "", K.IN_DOUBT, "STT/200"),
    ],
)
def test_only_stt_says_how_a_payment_ended(
    state: str, returned: str, kind: ReportKind, code: str
) -> None:
    body = status(state, returned=returned, result="000000:转账交易成功")
    report = report_of_status(frame(body, profile.STATUS), PAYMENT)
    assert (report.kind, report.code, report.amount_fen) == (kind, code, 100_00)


@pytest.mark.parametrize("state", ["", "10", "20", "30", "40"])
def test_the_yes_to_a_payment_is_acceptance_whatever_it_says(state: str) -> None:
    body = m.PayAnswer(voucher=REFERENCE, bank_reference="7", state=state)
    [report] = reports_of_pay(frame(body, profile.PAY), [REFERENCE])
    assert (report.kind, report.bank_reference) == (K.ACCEPTED, "7")
    assert report.code == (f"STT/{state}" if state else profile.OK)


def test_a_payment_with_a_clerk_says_so_in_its_words() -> None:
    body = m.PayAnswer(voucher=REFERENCE, bank_reference="7", state=profile.MANUAL)
    assert "落地" in reports_of_pay(frame(body, profile.PAY), [REFERENCE])[0].words
    asked = report_of_status(frame(status(profile.MANUAL), profile.STATUS), PAYMENT)
    assert "落地" in asked.words


@pytest.mark.parametrize(
    ("amount_fen", "inside", "bank", "waits"),
    [
        (10_000_000_00, False, "102100099996", False),
        (10_000_000_01, False, "102100099996", True),
        (10_000_000_01, True, "", True),
        (1, False, "", True),
        (1, True, "", False),
    ],
)
def test_a_clerk_sees_what_is_large_or_lacks_the_banks_number(
    amount_fen: int, inside: bool, bank: str, waits: bool
) -> None:
    assert profile.waits_for_a_clerk(amount_fen, inside=inside, payee_bank=bank) is waits


def test_no_record_is_doubt_and_so_is_every_error() -> None:
    for code, told in ((profile.NO_RECORD, NOT_FOUND), ("YQ9999", "YQ9999")):
        report = report_of_status(frame(None, profile.STATUS, code=code), PAYMENT)
        assert (report.kind, report.code) == (K.IN_DOUBT, told)
    for function in (profile.PAY, profile.BATCH):
        for code in ("YQ9999", profile.STALE, profile.BUSY):
            reports = reports_of_pay(frame(None, function, code=code), ["R1", "R2"])
            assert [(r.reference, r.kind, r.code) for r in reports] == [
                ("R1", K.IN_DOUBT, code),
                ("R2", K.IN_DOUBT, code),
            ]


def test_a_duplicate_says_that_the_first_one_lives() -> None:
    [report] = reports_of_pay(frame(None, profile.PAY, code=profile.DUPLICATE), [REFERENCE])
    assert (report.kind, report.code) == (K.ACCEPTED, profile.DUPLICATE)


@pytest.mark.parametrize("field", ["amount", "payer_account", "payee_account"])
def test_another_payment_under_our_voucher_is_doubt_and_never_paid(field: str) -> None:
    body = status("20", **{field: "1.00"[: 4 if field == "amount" else 1]})
    report = report_of_status(frame(body, profile.STATUS), PAYMENT)
    assert (report.kind, report.code) == (K.IN_DOUBT, OTHER_PAYMENT)


def test_an_answer_about_another_voucher_is_not_believed() -> None:
    with pytest.raises(BadMessage):
        report_of_status(frame(status("20", voucher="R9"), profile.STATUS), PAYMENT)
    other = m.PayAnswer(voucher="R9", bank_reference="7")
    with pytest.raises(BadMessage):
        reports_of_pay(frame(other, profile.PAY), [REFERENCE])
    with pytest.raises(BadMessage):
        reports_of_pay(frame(WORDS["4001-rs"], profile.BALANCE), [REFERENCE])


def test_a_line_bears_our_reference_and_its_sign() -> None:
    def line(**changes: str) -> tuple[int, str, str, str]:
        body = m.StatementAnswer(
            account="1", last_page="Y", page="1", entries=(replace(ENTRY, **changes),)
        )
        [found] = lines_of(body, "1")
        return found.amount_fen, found.kind, found.reference, found.counterparty_account

    ours, theirs = ENTRY.payer_account, ENTRY.payee_account
    assert line() == (-100_00, "payment", REFERENCE, theirs)
    assert line(side="C", kind="RTN") == (100_00, "return", REFERENCE, ours)
    assert line(side="C", kind="", own_number="") == (100_00, "incoming", "", ours)
    assert line(kind="??", own_number="账单-1") == (-100_00, "other", "", theirs)
    packed = line(own_number="Z7MN" + "A" * 13)
    assert packed[2].endswith("A" * 13) and len(packed[2]) == 21


def test_a_balance_in_another_currency_or_refused_is_left_out() -> None:
    body = WORDS["4001-rs"]
    assert isinstance(body, m.BalanceAnswer)
    found = balance_of(frame(body, profile.BALANCE), body.account)
    assert found is not None
    assert (found.balance_fen, found.available_fen) == (12_00, 10_00)
    dollars = replace(body, currency="USD")
    assert balance_of(frame(dollars, profile.BALANCE), body.account) is None
    assert balance_of(frame(None, profile.BALANCE, code="YQ1"), body.account) is None
    with pytest.raises(BadMessage):
        balance_of(frame(body, profile.BALANCE), "2")


# ---- messages


def connector(batch_payments: int = 500) -> PabConnector:
    connection = PabConnection(
        batch_payments=batch_payments,
        name="linjiang",
        url="http://127.0.0.1:9/",
        bank_codes=("313301093012",),
        customer_id="N313000005",
        signing_key=HUB_KEY.to_hex(),
        bank_key=BANK_KEY.public.to_hex(),
    )
    return PabConnector(connection, Tools(ManualClock(NOON), SystemRandomness()))


def test_one_alone_is_4004_and_several_of_one_account_are_4018() -> None:
    one, two = attempt("R1"), attempt("R2")
    other = replace(attempt("R3"), payer=replace(PAYMENT.payer, account="11007187041999"))
    urgent = replace(attempt("R4"), priority=Priority.URGENT)
    messages = connector().encode_many([one, other, urgent, two])
    assert [(each.kind, each.references) for each in messages] == [
        (profile.BATCH, ("R1", "R2")),
        (profile.PAY, ("R3",)),
        (profile.PAY, ("R4",)),
    ]
    many = connector().encode_many([attempt(f"R{n}") for n in range(501)])
    assert [len(each.references) for each in many] == [500, 1]


def test_unless_the_bank_was_asked_about_batches_every_payment_goes_alone() -> None:
    assert PabConnection.__struct_fields__[-1] == "batch_payments"
    assert PabConnection.__struct_defaults__[-1] == 1
    messages = connector(1).encode_many([attempt("R1"), attempt("R2")])
    assert [(each.kind, each.references) for each in messages] == [
        (profile.PAY, ("R1",)),
        (profile.PAY, ("R2",)),
    ]
    for wrong in (0, 501):
        with pytest.raises(Refused):
            connector(wrong)


def test_within_the_bank_is_told_by_the_payees_bank_number() -> None:
    def flag(bank_code: str) -> bytes:
        payee = replace(PAYMENT.payee, bank_code=bank_code)
        [message] = connector().encode_many([attempt(payee=payee)])
        return message.body[message.body.index(b"<UnionFlag>") + 11 :][:1]

    assert (flag("313301093012"), flag("313301093020"), flag("")) == (b"1", b"0", b"0")


def test_a_notice_is_not_believed_because_there_are_none() -> None:
    for raw in (b"", b"?", b"?R1 R1\n", b"?Y1 R1,R2\nxx", b"\xff?\n", b"?R1 Z\n"):
        with pytest.raises(BadMessage):
            connector().decode(raw)
