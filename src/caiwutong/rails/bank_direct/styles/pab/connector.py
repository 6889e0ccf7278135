"""One connection to one bank of this style, as the composite wants it.

Owns: how attempts become payments. One alone goes as 4004; where the connection allows it, several
out of one account go as 4018, each with its own voucher number. Read next: ``voucher.py``, and
``reports.py`` for what an answer means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import yuan
from caiwutong.kernel.order import Priority
from caiwutong.rails.bank_direct import sent
from caiwutong.rails.bank_direct.contract import UNREADABLE, Receipt, Tools
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.fields import months_before
from caiwutong.rails.bank_direct.styles.pab import accounts as questions
from caiwutong.rails.bank_direct.styles.pab import messages as m
from caiwutong.rails.bank_direct.styles.pab import profile
from caiwutong.rails.bank_direct.styles.pab.envelope import CHARSET
from caiwutong.rails.bank_direct.styles.pab.link import Link, PabConnection
from caiwutong.rails.bank_direct.styles.pab.reports import report_of_status, reports_of_pay
from caiwutong.rails.bank_direct.styles.pab.voucher import batch_number, voucher_of
from caiwutong.rails.bank_direct.words import (
    bad,
    doubt,
    one_line,
    printable,
    silence,
    unsupported,
)
from caiwutong.rails.contract import (
    AccountAtBank,
    Attempt,
    BadMessage,
    BankBalance,
    Concerning,
    NotSent,
    RailMessage,
    RailReport,
    SentInDoubt,
    StatementLine,
    StatementPage,
)


class PabConnector:
    """A ``Connector`` of this style."""

    def __init__(self, connection: PabConnection, tools: Tools) -> None:
        self._clock = tools.clock
        self._link = Link(connection, tools)
        self._profile = self._link.profile

    async def close(self) -> None:
        await self._link.close()

    # ---- paying

    def valid_until(self, at: datetime) -> datetime:
        """One hour on, when the bank stops taking a payment of this time, and five minutes for the
        difference between two clocks."""
        window = self._profile.order_window_s + self._profile.clock_allowance_s
        return at + timedelta(seconds=window)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """A signed message for each payment, or for each payer's account and urgency as many as
        the connection allows. Raises Refused where a field does not fit."""
        by_payer: dict[tuple[str, Priority], list[Attempt]] = {}
        for each in attempts:
            by_payer.setdefault((each.payer.account, each.priority), []).append(each)
        step = self._link.connection.batch_payments
        return [
            self._message(group[at : at + step])
            for group in by_payer.values()
            for at in range(0, len(group), step)
        ]

    def _message(self, attempts: Sequence[Attempt]) -> RailMessage:
        payments = [self._payment(each) for each in attempts]
        first = attempts[0]
        references = tuple(each.reference for each in attempts)
        message_id = message_id_of(references)
        body: Word = payments[0]
        if len(payments) > 1:
            body = _batch(payments, message_id, sum(each.amount_fen for each in attempts))
        # Dated as of the attempt, not of the sending: the same attempt sent again is the same
        # message, and the bank stops taking it when ``valid_until`` says.
        frame = self._link.frame(body, message_id, first.created_at)
        kind = profile.BATCH if len(payments) > 1 else profile.PAY
        return RailMessage(message_id, kind, references, frame)

    def _payment(self, attempt: Attempt) -> m.PayRequest:
        codes = self._link.connection.bank_codes
        inside = any(attempt.payee.bank_code.startswith(code) for code in codes)
        return pay_request(attempt, inside=inside, facts=self._profile)

    async def send(self, message: RailMessage) -> bytes:
        """Post the payments. What comes back is the bank's answer with what was asked before it:
        an answer to a batch names no payment."""
        return sent.joined(message, await self._link.carry(message.body))

    def decode(self, raw: bytes) -> list[RailReport]:
        """The reports in an answer, as ``send`` returned it. This style has no notices."""
        parts = sent.split(raw)
        if parts is None:
            raise bad("unknown_notice", "A bank of this style posts nothing by itself.")
        message_id, references, answer = parts
        if message_id != message_id_of(references):
            raise bad("other_answer", "The answer belongs to other payments.")
        function = profile.BATCH if len(references) > 1 else profile.PAY
        return reports_of_pay(self._link.read(answer, function, message_id), references)

    def acknowledge(self, raw: bytes) -> bytes:
        """Nothing: this style has no notices."""
        return b""

    # ---- asking

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        """What the bank says of each voucher, in order, one question each."""
        return list(await asyncio.gather(*(self._enquire(each) for each in attempts)))

    async def _enquire(self, attempt: Attempt) -> RailReport:
        try:
            frame = await self._link.ask(m.StatusRequest(voucher=voucher_of(attempt.reference)))
            return report_of_status(frame, attempt)
        except (NotSent, SentInDoubt) as error:
            return silence(attempt.reference, self._clock.now(), error.detail)
        except BadMessage as error:
            return doubt(attempt.reference, UNREADABLE, self._clock.now(), error.detail)
        except Refused as error:
            return doubt(attempt.reference, error.code, self._clock.now(), error.detail)

    # ---- what this style has no message for

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        """Always REJECTED as ``unsupported``. Asks once, so that the caller also learns how the
        payment stands now."""
        standing = await self._enquire(attempt)
        words = "The bank's interface has no message that takes a payment back."
        if standing.code == f"STT/{profile.MANUAL}":
            words += " It waits for a clerk: call the bank."
        return [
            standing,
            unsupported(attempt, Concerning.REVOCATION, self._clock.now(), words),
        ]

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        """Always REJECTED as ``unsupported``: ask the payee, or the bank in writing."""
        words = "The bank's interface has no message that asks the payee's bank for the money."
        return [unsupported(attempt, Concerning.RETURN_REQUEST, self._clock.now(), words)]

    # ---- accounts

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        return await questions.balances(self._link, [each.account for each in accounts])

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        """The lines after ``cursor``, at most a hundred; from 13 months back where it is empty."""
        today = china_date(self._clock.now())
        earliest = months_before(today, self._profile.statement_months)
        return await questions.statement(
            self._link, account.account, cursor, earliest=earliest, today=today
        )

    async def receipts(
        self, account: AccountAtBank, lines: Sequence[StatementLine]
    ) -> list[Receipt]:
        return await questions.receipts(self._link, account.account, lines)

    async def returned_payments(
        self, account: AccountAtBank, first: date, last: date
    ) -> list[RailReport]:
        return await questions.returned(self._link, account.account, first, last)


def message_id_of(references: Sequence[str]) -> str:
    """The number of the message that carries these payments: the voucher of a single one. Raises
    BadMessage for what is no reference of ours."""
    try:
        vouchers = [voucher_of(each) for each in references]
    except Refused as error:
        raise bad("voucher", error.detail) from None
    return vouchers[0] if len(vouchers) == 1 else batch_number(vouchers)


def pay_request(
    attempt: Attempt, *, inside: bool, facts: profile.Profile = profile.PAB_DIRECT
) -> m.PayRequest:
    """The payment an attempt asks for. Raises Refused for what does not fit: a name is never cut
    and never spelt otherwise, a purpose is cut."""
    for side in (attempt.payer, attempt.payee):
        _fits(printable("account's name", side.name), facts.name_bytes)
    bank_name = attempt.payee.bank_name or attempt.payee.bank_code
    if not bank_name:
        raise Refused(
            "bank_direct.payee_bank_missing",
            "The payee's bank has neither a name nor a number.",
            "Name the payee's bank; with its 联行号 no clerk is needed.",
        )
    voucher = voucher_of(attempt.reference)
    return m.PayRequest(
        voucher=voucher,
        own_number=voucher,
        currency=facts.currency,
        payer_account=attempt.payer.account,
        payer_name=attempt.payer.name,
        payee_bank=attempt.payee.bank_code,
        payee_account=attempt.payee.account,
        payee_name=attempt.payee.name,
        payee_bank_name=_cut(bank_name, facts.name_bytes),
        amount=yuan(attempt.amount_fen, grouped=False),
        use=_cut(attempt.purpose or attempt.remark, facts.use_bytes),
        inside="1" if inside else "0",
        urgency="Y" if attempt.priority is Priority.URGENT else "N",
        distance="1",
    )


def _batch(payments: Sequence[m.PayRequest], number: str, total_fen: int) -> m.BatchRequest:
    first = payments[0]
    return m.BatchRequest(
        batch=number,
        count=str(len(payments)),
        total=yuan(total_fen, grouped=False),
        urgency=first.urgency,
        currency=first.currency,
        payer_account=first.payer_account,
        payer_name=first.payer_name,
        payments=tuple(
            m.BatchPayment(
                voucher=each.voucher,
                own_number=each.own_number,
                payee_bank=each.payee_bank,
                payee_account=each.payee_account,
                payee_name=each.payee_name,
                payee_bank_name=each.payee_bank_name,
                amount=each.amount,
                use=each.use,
                inside=each.inside,
                distance=each.distance,
            )
            for each in payments
        ),
    )


def _fits(name: str, limit: int) -> None:
    """Raise Refused for a name the bank cannot hold whole."""
    try:
        length = len(name.encode(CHARSET))
    except UnicodeEncodeError as error:
        raise Refused(
            "bank_direct.character_set",
            f"The account's name has a character that GBK does not have "
            f"(U+{ord(error.object[error.start]):04X}); the bank's messages are in GBK.",
            "Choose another channel for this account: a name is never spelt otherwise.",
        ) from None
    if length > limit:
        raise Refused(
            "bank_direct.does_not_fit",
            f"The account's name has {length} bytes in GBK; the bank takes {limit}.",
            "Choose another channel for this account: a name is never cut.",
        )


def _cut(text: str, limit: int) -> str:
    """As much of the text as fits, at a whole character; what GBK does not have becomes ``?``."""
    raw = one_line(text, limit).encode(CHARSET, "replace")
    return raw[:limit].decode(CHARSET, "ignore").strip()
