"""One connection to one bank of this style, as the composite wants it.

Owns: how attempts become messages. The bank's rule is kept to the letter
(``profile.IDEMPOTENCY_RULE``): received is not paid, on any error ask, the reference of an attempt
never changes. Read next: ``link.py`` for the wire, ``account_service.py`` for accounts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from caiwutong.crypto.gm import sm3
from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.kernel.money import yuan
from caiwutong.rails.bank_direct.contract import UNREADABLE, Receipt, Tools
from caiwutong.rails.bank_direct.styles.cmb import account_service, codec, profile
from caiwutong.rails.bank_direct.styles.cmb.envelope import Form, read_form, write_form
from caiwutong.rails.bank_direct.styles.cmb.link import CmbConnection, Link
from caiwutong.rails.bank_direct.styles.cmb.messages import (
    BatchMode,
    BatchPayRequest,
    PayDetail,
    PayMode,
    PayQuery,
    PayQueryRequest,
    PayRequest,
)
from caiwutong.rails.bank_direct.styles.cmb.profile import CMB_CLOUD
from caiwutong.rails.bank_direct.styles.cmb.reports import (
    report_of_query,
    reports_of_answer,
    reports_of_batch,
    reports_of_notice,
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
    NOT_FOUND,
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


class CmbConnector:
    """A ``Connector`` of this style."""

    def __init__(self, connection: CmbConnection, tools: Tools) -> None:
        self._clock = tools.clock
        self._link = Link(connection, tools)
        self._profile = self._link.profile

    async def close(self) -> None:
        await self._link.close()

    # ---- paying

    def valid_until(self, at: datetime) -> datetime:
        """One hour on, when the bank stops taking a message signed now, and five minutes for the
        difference between two clocks."""
        window = self._profile.signature_window_s + self._profile.clock_allowance_s
        return at + timedelta(seconds=window)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """One signed payment for each attempt, or batches of them where the connection says so.
        Raises Refused where a field does not fit."""
        most = self._link.connection.batch_payments
        if most == 1:
            return [self._encode(attempt) for attempt in attempts]
        # A batch has one time: attempts of another moment would outlive their own.
        moments: dict[datetime, list[Attempt]] = {}
        for attempt in attempts:
            moments.setdefault(attempt.created_at, []).append(attempt)
        return [
            self._encode_batch(group[at : at + most])
            for group in moments.values()
            for at in range(0, len(group), most)
        ]

    async def send(self, message: RailMessage) -> bytes:
        """Post the payment. What comes back is the bank's answer in the form of a request, so that
        ``decode`` knows to which function it belongs."""
        form = read_form(message.body)
        raw = await self._link.pay(message.body)
        answer = write_form(Form(form.user_id, form.function, raw.strip()))
        if message.kind != profile.PAY_BATCH:
            return answer
        # The answer to a batch names no payment of it.
        return b"?%b\n%b" % (",".join(message.references).encode(), answer)

    def decode(self, raw: bytes) -> list[RailReport]:
        """The reports in an answer (as ``send`` returned it) or in a notice of the bank."""
        if raw.lstrip()[:1] == b"{":
            return reports_of_notice(codec.decode_notice(raw, self._keys_of))
        if raw.startswith(b"?"):
            return self._decode_batch(raw)
        return reports_of_answer(self._answer(raw))

    def _decode_batch(self, raw: bytes) -> list[RailReport]:
        asked, _, form = raw.partition(b"\n")
        answer = self._answer(form)
        try:
            references = asked[1:].decode("ascii").split(",")
        except UnicodeDecodeError:
            raise bad("form", "What was asked does not stand before the answer.") from None
        named = codec.reference_of(answer.request_id)
        if answer.function != profile.PAY_BATCH or named != batch_number(references):
            raise bad("other_answer", "The bank's answer belongs to another batch.")
        return reports_of_batch(answer, references)

    def _answer(self, raw: bytes) -> codec.Answer:
        form = read_form(raw)
        if form.user_id != self._link.user_id:
            raise bad("unknown_user", "There is no link with this user id.")
        return codec.decode_answer(
            form.data, user_id=form.user_id, function=form.function, keys=self._link.keys
        )

    def acknowledge(self, raw: bytes) -> bytes:
        """Nothing: HTTP 200 says it all."""
        return b""

    def _encode(self, attempt: Attempt) -> RailMessage:
        link = self._link
        request_id = codec.pay_request_id(attempt.created_at, attempt.reference)
        # Signed as of the attempt, not of the sending: the same attempt sent again is the same
        # message, and the bank stops taking it exactly when ``valid_until`` says.
        body = codec.encode_request(
            pay_request(attempt, link),
            user_id=link.user_id,
            request_id=request_id,
            at=attempt.created_at,
            keys=link.keys,
        )
        return RailMessage(request_id, profile.PAY, (attempt.reference,), body)

    def _encode_batch(self, attempts: Sequence[Attempt]) -> RailMessage:
        link, at = self._link, attempts[0].created_at
        references = tuple(each.reference for each in attempts)
        number = batch_number(references)
        mode = BatchMode(
            mode=link.connection.business_mode,
            business=self._profile.business_code,
            batch=number,
            count=str(len(attempts)),
        )
        payments = tuple(pay_request(each, link).payments[0] for each in attempts)
        request_id = codec.pay_request_id(at, number)
        body = codec.encode_request(
            BatchPayRequest(modes=(mode,), payments=payments),
            user_id=link.user_id,
            request_id=request_id,
            at=at,
            keys=link.keys,
        )
        return RailMessage(request_id, profile.PAY_BATCH, references, body)

    def _keys_of(self, user_id: str) -> codec.Keys | None:
        return self._link.keys if user_id == self._link.user_id else None

    # ---- asking

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        """What the bank says of each reference, in order."""
        found = list(await asyncio.gather(*(self._enquire(each) for each in attempts)))
        missing = [n for n, each in enumerate(found) if each.code == NOT_FOUND]
        if missing:
            days = [china_date(attempts[n].created_at) for n in missing]
            in_batches = await self._in_batches(min(days), [found[n] for n in missing])
            for n, report in zip(missing, in_batches, strict=True):
                found[n] = report
        return found

    async def _in_batches(self, first: date, missing: Sequence[RailReport]) -> list[RailReport]:
        """The same references looked for in the batches since that day: no document says that
        BB1PAYQR finds a payment of a batch, and a wrong *not found* would pay twice. Where the
        batches cannot be read, the doubt is no longer *not found*; where the bank refuses the
        question to a user who pays one by one, there are none."""
        try:
            last = max(first, china_date(self._clock.now()))
            first -= timedelta(days=1)  # two clocks may differ about midnight
            batches = await account_service.batches(self._link, first, last)
            lines = [await account_service.batch(self._link, each.number) for each in batches]
        except Unavailable as error:
            alone = self._link.connection.batch_payments == 1
            if alone and error.code == account_service.REFUSED_QUERY:
                return list(missing)
            now = self._clock.now()
            return [doubt(each.reference, error.code, now, error.detail) for each in missing]
        known = {report.reference: report for part in lines for report in part}
        return [known.get(each.reference, each) for each in missing]

    async def _enquire(self, attempt: Attempt) -> RailReport:
        query = PayQuery(business=self._profile.business_code, reference=attempt.reference)
        try:
            answer = await self._link.ask(PayQueryRequest(queries=(query,)))
            return report_of_query(answer, attempt.reference)
        except (NotSent, SentInDoubt) as error:
            return silence(attempt.reference, self._clock.now(), error.detail)
        except BadMessage as error:
            return doubt(attempt.reference, UNREADABLE, self._clock.now(), error.detail)

    # ---- what this style has no message for

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        """Always REJECTED as ``unsupported``: the interface cannot take a payment back. Asks once,
        so that the caller also learns how the payment stands now."""
        payment = await self._enquire(attempt)
        words = "The bank's interface has no message that takes a payment back."
        if self._profile.has_cancellation and payment.code in ("AUT", "NTE"):
            words += " It may still be cancelled on the bank's own page; the bank then reports C."
        now = self._clock.now()
        return [payment, unsupported(attempt, Concerning.REVOCATION, now, words)]

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        """Always REJECTED as ``unsupported``: ask the payee, or the bank in writing."""
        words = "The bank's interface has no message that asks the payee's bank for the money."
        return [unsupported(attempt, Concerning.RETURN_REQUEST, self._clock.now(), words)]

    # ---- accounts

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        return await account_service.balances(self._link, [each.account for each in accounts])

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        """The lines after ``cursor``, at most 200; from 13 months back where it is empty."""
        now = self._clock.now()
        return await account_service.statement(self._link, account.account, cursor, now)

    async def past_balances(
        self, account: AccountAtBank, first: date, days: int
    ) -> list[account_service.DayBalance]:
        """What stood on the account at the end of each of these past days."""
        return await account_service.past_balances(self._link, account.account, first, days)

    async def returned_payments(
        self, account: AccountAtBank, first: date, last: date
    ) -> list[RailReport]:
        return await account_service.returned(self._link, account.account, first, last)

    async def returned_by_day(self, first: date, last: date) -> list[RailReport]:
        """The payments of all our accounts here that came back on these days."""
        return await account_service.returned_by_day(self._link, first, last)

    async def batches(self, first: date, last: date) -> list[account_service.Batch]:
        """The batches handed in on these China days, both counted. Raises Unavailable."""
        return await account_service.batches(self._link, first, last)

    async def batch(self, number: str) -> list[RailReport]:
        """How each payment of a batch stands. Raises Unavailable."""
        return await account_service.batch(self._link, number)

    async def receipts(
        self, account: AccountAtBank, lines: Sequence[StatementLine]
    ) -> list[Receipt]:
        found = await asyncio.gather(
            *(account_service.receipt(self._link, account.account, line) for line in lines)
        )
        return [each for each in found if each is not None]


def batch_number(references: Sequence[str]) -> str:
    """bthNbr of the batch with exactly these references, in this order: ``B`` and 19 digits of a
    digest (SM3), so the same batch again has the same number."""
    return f"B{sm3(','.join(references).encode()).hex()[: CMB_CLOUD.batch_length - 1].upper()}"


def pay_request(attempt: Attempt, link: Link) -> PayRequest:
    """The payment an attempt asks for, in the bank's words. Raises Refused for what does not fit:
    a payee's name is never cut, a purpose is."""
    facts = link.profile
    if len(attempt.reference) > facts.reference_length:
        raise _does_not_fit("reference", len(attempt.reference), facts.reference_length)
    if len(attempt.payee.name) > facts.name_length:
        raise _does_not_fit("payee's name", len(attempt.payee.name), facts.name_length)
    codes = link.connection.bank_codes
    in_bank = any(attempt.payee.bank_code.startswith(code) for code in codes)
    channel = profile.channel_for(attempt.amount_fen, attempt.priority, facts)
    detail = PayDetail(
        payer_account=attempt.payer.account,
        payee_account=attempt.payee.account,
        payee_name=printable("payee's name", attempt.payee.name),
        payee_bank_name=one_line(attempt.payee.bank_name, facts.bank_name_length),
        payee_bank_code=attempt.payee.bank_code,
        currency=facts.currency_code,
        amount=yuan(attempt.amount_fen, grouped=False),
        in_bank="Y" if in_bank else "N",
        channel="" if in_bank else channel,
        purpose=one_line(attempt.purpose or attempt.remark, facts.text_length) or "转账",
        remark=one_line(attempt.remark, facts.text_length),
        reference=attempt.reference,
    )
    mode = PayMode(mode=link.connection.business_mode, business=facts.business_code)
    return PayRequest(modes=(mode,), payments=(detail,))


def _does_not_fit(what: str, length: int, limit: int) -> Refused:
    return Refused(
        "bank_direct.does_not_fit",
        f"The {what} has {length} characters; the bank takes {limit}.",
        f"Shorten the {what}, or choose another channel.",
    )
