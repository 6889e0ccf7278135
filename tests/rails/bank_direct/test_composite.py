"""One rail, many connections of different styles: who serves whom, and whose bytes are whose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from caiwutong.kernel.clock import ManualClock, SystemRandomness
from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.connector import BankDirectRail
from caiwutong.rails.bank_direct.contract import NAME, Connection, Connector, Receipt, Style, Tools
from caiwutong.rails.bank_direct.styles.catalog import STYLES, read_connections
from caiwutong.rails.bank_direct.words import bad, unsupported
from caiwutong.rails.contract import (
    NOT_FOUND,
    AccountAtBank,
    Attempt,
    BadMessage,
    BankBalance,
    Concerning,
    NotSent,
    RailMessage,
    RailReport,
    ReportKind,
    StatementLine,
    StatementPage,
)
from support.cmb_bank import BANK_KEY, HUB_KEY, SHARED

NOON = datetime(2026, 11, 24, 4, 0, 0, tzinfo=UTC)
PAYEE = AccountAtBank("供应商有限公司", "6222021001116245000", "102100099996", "中国工商银行")


class ToyConnection(Connection, frozen=True, kw_only=True, tag="toy"):
    """A style known to this file only."""

    word: str


class ToyConnector:
    """Writes ``word:reference`` and believes nobody who does not begin with the word."""

    def __init__(self, connection: ToyConnection, tools: Tools) -> None:
        self.word = connection.word
        self.tools = tools
        self.known: set[str] = set()

    def valid_until(self, at: datetime) -> datetime:
        return at + timedelta(days=2)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        references = tuple(each.reference for each in attempts)
        body = f"{self.word}:{','.join(references)}".encode()
        return [RailMessage(references[0], "toy", references, body)]

    async def send(self, message: RailMessage) -> bytes:
        assert message.body.startswith(self.word.encode()), "the tag never reaches a bank"
        self.known |= set(message.references)
        return message.body

    def decode(self, raw: bytes) -> list[RailReport]:
        word, _, references = raw.decode("ascii", "replace").partition(":")
        if word != self.word:
            raise bad("toy", "Not our word.")
        return [self._report(ReportKind.ACCEPTED, each) for each in references.split(",")]

    def acknowledge(self, raw: bytes) -> bytes:
        return b"thanks, " + raw[: len(self.word)]

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        return [
            self._report(ReportKind.SETTLED, each.reference)
            if each.reference in self.known
            else self._report(ReportKind.IN_DOUBT, each.reference, NOT_FOUND)
            for each in attempts
        ]

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        return [unsupported(attempt, Concerning.REVOCATION, NOON, "")]

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        return [unsupported(attempt, Concerning.RETURN_REQUEST, NOON, reason)]

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        return [BankBalance(each.account, 1, 1, NOON) for each in accounts]

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        return StatementPage((), cursor or self.word, False)

    async def receipts(
        self, account: AccountAtBank, lines: Sequence[StatementLine]
    ) -> list[Receipt]:
        return [Receipt(account.account, each.line_id, self.word.encode()) for each in lines]

    async def returned_payments(
        self, account: AccountAtBank, first: date, last: date
    ) -> list[RailReport]:
        return []

    async def close(self) -> None:
        self.known.clear()

    def _report(self, kind: ReportKind, reference: str, code: str = "toy") -> RailReport:
        return RailReport(kind, NAME, reference, code, NOON)


STYLES_AND_TOY = {**STYLES, "toy": Style(ToyConnection, ToyConnector)}
"""What adding a style costs: its own code, and one line."""

ENTRIES: list[dict[str, object]] = [
    {
        "style": "toy",
        "name": "toy-a",
        "url": "http://a.test",
        "bank_codes": ["105"],
        "word": "alpha",
    },
    {
        "style": "toy",
        "name": "toy-b",
        "url": "http://b.test",
        "bank_codes": ["105", "313331"],
        "accounts": ["B-1"],
        "word": "beta",
    },
    {
        "url": "http://127.0.0.1:9/",
        "bank_codes": ["308"],
        "user_id": "N003261207",
        "signing_key": HUB_KEY.to_hex(),
        "bank_key": BANK_KEY.public.to_hex(),
        "sm4_key": SHARED,
    },
]


def rail(*entries: dict[str, object]) -> BankDirectRail:
    return BankDirectRail(
        read_connections(entries or ENTRIES, STYLES_AND_TOY),
        clock=ManualClock(NOON),
        randomness=SystemRandomness(),
        styles=STYLES_AND_TOY,
    )


def payer(account: str, bank: str) -> AccountAtBank:
    return AccountAtBank("示例集团", account, bank)


def attempt(number: int, account: AccountAtBank) -> Attempt:
    return Attempt(
        tenant="t",
        payment_id=UUID(int=number),
        attempt_id=UUID(int=number),
        rail=NAME,
        reference=f"20261124{number:012d}",
        payer=account,
        payee=PAYEE,
        amount_fen=100,
        created_at=NOON,
        valid_until=NOON + timedelta(hours=1),
    )


A = payer("A-1", "105100000017")
B = payer("B-1", "105100000017")
CITY = payer("C-1", "313331000014")
CMB = payer("755915671610302", "308584000013")
NOBODY = payer("N-1", "403100000004")


def test_every_line_of_the_catalog_says_the_style_of_its_entries():
    for name, style in STYLES_AND_TOY.items():
        assert style.connection.__struct_config__.tag == name
        assert style.connection.__struct_config__.tag_field == "style"


def test_an_entry_written_before_there_were_styles_is_still_read():
    *_, old = read_connections(ENTRIES, STYLES_AND_TOY)
    assert type(old) is STYLES["cmb"].connection
    assert old.name == "N003261207"


@pytest.mark.parametrize(
    "changes",
    [{"style": "telex"}, {"word": 7}, {"url": None}],
)
def test_an_entry_that_is_no_connection_is_refused_with_the_styles_there_are(changes):
    with pytest.raises(Refused) as refused:
        read_connections([ENTRIES[0] | changes], STYLES_AND_TOY)
    assert refused.value.code == "bank_direct.bad_connection"
    assert "toy" in refused.value.cure and "alpha" not in refused.value.detail


@pytest.mark.parametrize("name", ["", "has space", "a/b", "a\nb", "名", "x" * 33])
def test_a_name_that_cannot_stand_in_an_address_is_refused(name: str):
    with pytest.raises(Refused) as refused:
        rail(ENTRIES[0] | {"name": name})
    assert refused.value.code == "bank_direct.bad_name"


def test_an_account_named_in_an_entry_goes_before_every_bank_code():
    both = rail()
    assert both.connection_of(A) == "toy-a"
    assert both.connection_of(B) == "toy-b"
    assert both.connection_of(CITY) == "toy-b"
    assert both.connection_of(CMB) == "N003261207"
    assert not both.serves(NOBODY)
    with pytest.raises(Refused) as refused:
        both.connection_of(NOBODY)
    assert refused.value.code == "bank_direct.no_connection"


def test_an_account_belongs_to_one_connection_only():
    twice = ENTRIES[0] | {"accounts": ["B-1"]}
    with pytest.raises(Refused) as refused:
        rail(ENTRIES[1], twice)
    assert refused.value.code == "bank_direct.account_twice"


async def test_one_round_reaches_banks_of_different_styles_and_each_answer_finds_its_keys():
    both = rail()
    attempts = [attempt(1, A), attempt(2, B), attempt(3, A), attempt(4, CITY)]
    messages = both.encode_many(attempts)
    assert [message.references for message in messages] == [
        (attempts[0].reference, attempts[2].reference),
        (attempts[1].reference, attempts[3].reference),
    ]
    reports = [each for message in messages for each in both.decode(await both.send(message))]
    assert {each.reference for each in reports} == {each.reference for each in attempts}
    [cmb] = both.encode_many([attempt(5, CMB)])
    assert cmb.body.startswith(b"@N003261207\nUID=N003261207&")


async def test_reports_of_an_enquiry_come_in_the_order_of_the_question():
    both = rail()
    asked = [attempt(1, A), attempt(2, NOBODY), attempt(3, B), attempt(4, A)]
    [message] = both.encode_many([asked[3]])
    await both.send(message)
    reports = await both.enquire(asked)
    assert [each.reference for each in reports] == [each.reference for each in asked]
    assert [each.code for each in reports] == [
        NOT_FOUND,
        "bank_direct.no_connection",
        NOT_FOUND,
        "toy",
    ]


def test_what_a_bank_posts_is_read_with_the_keys_of_its_own_address_only():
    both = rail()
    [report] = both.decode(both.tag("toy-b", b"beta:R1"))
    assert report.reference == "R1"
    assert both.acknowledge(both.tag("toy-b", b"beta:R1")) == b"thanks, beta"
    with pytest.raises(BadMessage):
        both.decode(both.tag("toy-a", b"beta:R1"))
    with pytest.raises(BadMessage) as refused:
        both.tag("toy-z", b"beta:R1")
    assert refused.value.code == "bank_direct.unknown_connection"


def test_a_post_to_the_shared_address_is_read_by_the_connection_whose_keys_fit():
    both = rail()
    [report] = both.decode(b"beta:R1")
    assert report.reference == "R1"
    assert both.acknowledge(b"beta:R1") == b"thanks, beta"
    with pytest.raises(BadMessage):
        both.decode(b"gamma:R1")


async def test_a_message_of_a_connection_that_is_gone_is_certainly_not_sent():
    [message] = rail().encode_many([attempt(1, B)])
    with pytest.raises(NotSent):
        await rail(ENTRIES[0]).send(message)


def test_an_unknown_reference_is_dead_only_when_the_most_patient_bank_says_so():
    assert rail().valid_until(NOON) == NOON + timedelta(days=2)
    assert rail(ENTRIES[2]).valid_until(NOON) < NOON + timedelta(hours=2)


async def test_accounts_are_asked_at_their_own_banks():
    both = rail()
    assert {each.account for each in await both.balances([A, B, CITY])} == {"A-1", "B-1", "C-1"}
    assert (await both.statement(A, "")).cursor == "alpha"
    line = StatementLine("C-1", "L1", NOON, NOON.date(), -1, 0, "payment")
    [receipt] = await both.receipts(CITY, [line])
    assert receipt.document == b"beta"
    assert await both.returned_payments(B, NOON.date(), NOON.date()) == []
    [refusal] = await both.revoke(attempt(1, A))
    assert refusal.code == "unsupported"


def test_a_toy_is_a_connector_to_the_type_checker_too():
    made: Connector = ToyConnector(
        ToyConnection(name="t", url="", bank_codes=("105",), word="w"),
        Tools(ManualClock(NOON), SystemRandomness()),
    )
    assert made.valid_until(NOON) > NOON
