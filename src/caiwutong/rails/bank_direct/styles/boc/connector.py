"""One connection to one bank of this style, as the composite wants it.

Owns: how attempts become orders. Several attempts go in one message, each with its own status;
``insid`` is our reference, so a payment is the same to the bank whichever message it comes in.
Read next: ``link.py`` for the session, ``reports.py`` for what an answer means.
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
from caiwutong.rails.bank_direct.fields import bank_time, months_before
from caiwutong.rails.bank_direct.styles.boc import accounts as questions
from caiwutong.rails.bank_direct.styles.boc import codec, envelope, profile
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc.link import BocConnection, Link
from caiwutong.rails.bank_direct.styles.boc.profile import BOC_B2E, Profile
from caiwutong.rails.bank_direct.styles.boc.reports import (
    report_of_status,
    reports_of_notice,
    reports_of_pay,
)
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


class BocConnector:
    """A ``Connector`` of this style."""

    def __init__(self, connection: BocConnection, tools: Tools) -> None:
        self._clock = tools.clock
        self._link = Link(connection, tools)
        self._profile = self._link.profile

    async def close(self) -> None:
        await self._link.close()

    # ---- paying

    def valid_until(self, at: datetime) -> datetime:
        """One hour on, when the bank stops taking an order of this time, and five minutes for the
        difference between two clocks."""
        window = self._profile.order_window_s + self._profile.clock_allowance_s
        return at + timedelta(seconds=window)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """Messages of up to fifty orders, or what the connection allows. Token and signature are
        put in when a message is sent, because they belong to the session; until then a seal keeps
        it as it was written. Raises Refused where a field does not fit."""
        orders = [order_of(each, self._profile) for each in attempts]
        step = self._link.connection.batch_payments
        return [self._message(orders[at : at + step]) for at in range(0, len(orders), step)]

    def _message(self, orders: Sequence[m.Order]) -> RailMessage:
        references = tuple(each.reference for each in orders)
        message_id = message_id_of(references)
        head = self._link.head(profile.PAY, message_id)
        document = codec.encode(head, m.PayRequest(orders=tuple(orders)))
        return RailMessage(message_id, profile.PAY, references, self._link.keep(document))

    async def send(self, message: RailMessage) -> bytes:
        """Carry the orders in the session. What comes back is the bank's answer with what was
        asked before it."""
        document = self._link.kept(message.body)
        raw = await self._link.carry(document, message.message_id)
        return sent.joined(message, raw)

    def decode(self, raw: bytes) -> list[RailReport]:
        """The reports in an answer (as ``send`` returned it) or in a notice of the bank."""
        parts = sent.split(raw)
        if parts is None:
            return reports_of_notice(codec.decode(envelope.opened(raw, self._link.keys.verifier)))
        message_id, references, answer = parts
        if message_id != message_id_of(references):
            raise bad("other_answer", "The answer belongs to other payments.")
        return reports_of_pay(self._link.read(answer, message_id), references)

    def acknowledge(self, raw: bytes) -> bytes:
        """Nothing: HTTP 200 says it all."""
        return b""

    # ---- asking

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        """What the bank says of each reference, in order, asked up to fifty at a time."""
        step = self._profile.query_references
        parts = [attempts[at : at + step] for at in range(0, len(attempts), step)]
        found = await asyncio.gather(*(self._enquire(part) for part in parts))
        return [report for part in found for report in part]

    async def _enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        queries = tuple(m.StatusQuery(reference=each.reference) for each in attempts)
        try:
            document = await self._link.ask(m.StatusRequest(queries=queries))
            return [report_of_status(document, each) for each in attempts]
        except (NotSent, SentInDoubt) as error:
            now = self._clock.now()
            return [silence(each.reference, now, error.detail) for each in attempts]
        except BadMessage as error:
            now = self._clock.now()
            return [doubt(each.reference, UNREADABLE, now, error.detail) for each in attempts]
        except Refused as error:
            now = self._clock.now()
            return [doubt(each.reference, error.code, now, error.detail) for each in attempts]

    # ---- what this style has no message for

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        """Always REJECTED as ``unsupported``. Asks once, so that the caller also learns how the
        payment stands now."""
        words = "The bank's interface has no message that takes a payment back."
        standing = await self.enquire([attempt])
        return [*standing, unsupported(attempt, Concerning.REVOCATION, self._clock.now(), words)]

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
    """``trnid`` of the message that carries these payments: the reference of a single one."""
    return references[0] if len(references) == 1 else f"Y{sent.number_of(references)}"


def order_of(attempt: Attempt, facts: Profile = BOC_B2E) -> m.Order:
    """The order an attempt asks for. Raises Refused for what does not fit: a payee's name is never
    cut, a purpose is."""
    if len(attempt.reference) > facts.reference_length:
        raise _does_not_fit("reference", len(attempt.reference), facts.reference_length)
    for side in (attempt.payer, attempt.payee):
        if len(side.name) > facts.name_length:
            raise _does_not_fit("account's name", len(side.name), facts.name_length)
    at = bank_time(attempt.created_at)
    return m.Order(
        reference=attempt.reference,
        payer=m.PayFrom(
            bank=attempt.payer.bank_code,
            account=attempt.payer.account,
            name=printable("payer's name", attempt.payer.name),
        ),
        payee=m.PayTo(
            bank=attempt.payee.bank_code,
            account=attempt.payee.account,
            name=printable("payee's name", attempt.payee.name),
            bank_name=one_line(attempt.payee.bank_name, facts.name_length),
        ),
        amount=yuan(attempt.amount_fen, grouped=False),
        currency=facts.currency,
        urgent="1" if attempt.priority is Priority.URGENT else "0",
        purpose=one_line(attempt.purpose or attempt.remark, facts.text_length),
        day=at[:8],
        time=at[8:],
    )


def _does_not_fit(what: str, length: int, limit: int) -> Refused:
    return Refused(
        "bank_direct.does_not_fit",
        f"The {what} has {length} characters; the bank takes {limit}.",
        f"Shorten the {what}, or choose another channel.",
    )
