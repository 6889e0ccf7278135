"""Words of the voucher-number style for tests: one sample of every message, both sides' keys."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.signing import load_keys
from caiwutong.rails.bank_direct.styles.pab import messages as m
from caiwutong.rails.bank_direct.styles.pab import profile
from caiwutong.rails.bank_direct.styles.pab.connector import pay_request
from caiwutong.rails.bank_direct.styles.pab.envelope import ANSWER, Head
from caiwutong.rails.contract import AccountAtBank, Attempt

HUB_KEY = Sm2PrivateKey.from_hex("11" * 32)
BANK_KEY = Sm2PrivateKey.from_hex("22" * 32)
STRANGER_KEY = Sm2PrivateKey.from_hex("33" * 32)
HUB = load_keys(HUB_KEY.to_hex(), BANK_KEY.public.to_hex())
BANK = load_keys(BANK_KEY.to_hex(), HUB_KEY.public.to_hex())
STRANGER = load_keys(STRANGER_KEY.to_hex(), HUB_KEY.public.to_hex())
NOON = datetime(2026, 11, 24, 4, 0, 0, tzinfo=UTC)
PAYER = AccountAtBank("华东示例集团有限公司", "11007187041901", "313301093012", "临江银行")
PAYEE = AccountAtBank("深圳示例贸易有限公司", "6222021001116245000", "102100099996", "国信银行")


def attempt(
    reference: str = "20261124ABCDEFGHIJKL",
    amount_fen: int = 100_00,
    payee: AccountAtBank = PAYEE,
) -> Attempt:
    """A payment out of the group's account."""
    return Attempt(
        tenant="demo",
        payment_id=UUID(int=1),
        attempt_id=UUID(int=2),
        rail="bank_direct",
        reference=reference,
        payer=PAYER,
        payee=payee,
        amount_fen=amount_fen,
        created_at=NOON,
        valid_until=NOON,
        purpose="货款",
    )


def head(function: str, service: str = ANSWER, **fields: str) -> Head:
    """The head of a message of this function; of an answer that says yes, unless told otherwise."""
    code = profile.OK if service == ANSWER else ""
    values: dict[str, str] = {"customer": "N313000005", "message_id": "M1", "code": code}
    return Head(function=function, service=service, at=NOON, **(values | fields))


def status(state: str, each: Attempt | None = None, **fields: str) -> m.StatusAnswer:
    """How the bank says a payment stands."""
    payment = each or attempt()
    values = {
        "voucher": payment.reference,
        "bank_reference": "0000000007",
        "payer_account": payment.payer.account,
        "payee_account": payment.payee.account,
        "amount": f"{payment.amount_fen // 100}.{payment.amount_fen % 100:02d}",
        "state": state,
    }
    return m.StatusAnswer(**(values | fields))


_PAY = pay_request(attempt(), inside=False)
ENTRY = m.Entry(
    day="20261124",
    time="120001",
    line_id="11007187041901-7",
    payer_account="11007187041901",
    payer_name="华东示例集团有限公司",
    payee_account="6222021001116245000",
    payee_name="乙<&>公司",
    amount="100.00",
    side="D",
    kind="TRS",
    balance_after="-5.20",
    words="货款",
    own_number="20261124ABCDEFGHIJKL",
)
WORDS: dict[str, Word] = {
    "4001-rq": m.BalanceRequest(account="11007187041901", currency="RMB"),
    "4001-rs": m.BalanceAnswer(
        account="11007187041901", currency="RMB", available="10.00", booked="12.00"
    ),
    "4004-rq": _PAY,
    "4004-rs": m.PayAnswer(voucher=_PAY.voucher, bank_reference="0000000007", state="10"),
    "4005-rq": m.StatusRequest(voucher=_PAY.voucher),
    "4005-rs": status("20", returned="0", reason="", result="000000:转账交易成功"),
    "4013-rq": m.StatementRequest(
        account="11007187041901",
        currency="RMB",
        first="20261101",
        last="20261124",
        page="1",
        size="100",
        order=profile.OLDEST_FIRST,
    ),
    "4013-rs": m.StatementAnswer(
        account="11007187041901", last_page="Y", page="1", entries=(ENTRY, ENTRY)
    ),
    "4018-rq": m.BatchRequest(
        batch="Y" + "0" * 19,
        count="1",
        total="100.00",
        urgency="N",
        currency="RMB",
        payer_account="11007187041901",
        payer_name="华东示例集团有限公司",
        payments=(
            m.BatchPayment(
                voucher=_PAY.voucher,
                own_number=_PAY.own_number,
                payee_account="1",
                payee_name="甲",
                payee_bank_name="国信银行",
                amount="100.00",
                inside="0",
                distance="1",
            ),
        ),
    ),
    "4018-rs": m.BatchAnswer(batch="Y" + "0" * 19),
    "RCPT01-rq": m.ReceiptRequest(account="1", day="20261124", line_id="1-7"),
    "RCPT01-rs": m.ReceiptAnswer(line_id="1-7", receipt_id="R9", document="JVBERg=="),
}
