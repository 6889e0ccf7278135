"""One connection to one bank of this style, as the composite wants it.

Owns: how attempts become packages. A package (fSeqno) carries up to ``batch_payments`` payments out
of one account; each has our reference as its ``iSeqno``, and the bank executes a number once, in
whichever package it comes. A package of one has its payment's reference as its number; a package of
many has a digest of the references inside, so the same package again has the same number.
Read next: ``link.py`` for the wire, ``reports.py`` for what an answer means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta

from caiwutong.crypto.gm import sm3
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.order import Priority
from caiwutong.rails.bank_direct.contract import UNREADABLE, Receipt, Tools
from caiwutong.rails.bank_direct.styles.icbc import accounts as questions
from caiwutong.rails.bank_direct.styles.icbc import codec, envelope, profile, reports
from caiwutong.rails.bank_direct.styles.icbc import messages as m
from caiwutong.rails.bank_direct.styles.icbc.link import IcbcConnection, Link
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


class IcbcConnector:
    """A ``Connector`` of this style."""

    def __init__(self, connection: IcbcConnection, tools: Tools) -> None:
        self._clock = tools.clock
        self._link = Link(connection, tools)
        self._profile = self._link.profile
        self._batch = connection.batch_payments

    async def close(self) -> None:
        await self._link.close()

    # ---- paying

    def valid_until(self, at: datetime) -> datetime:
        """One hour on, when the bank stops taking a package of this time, and five minutes for the
        difference between two clocks."""
        window = self._profile.package_window_s + self._profile.clock_allowance_s
        return at + timedelta(seconds=window)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """Signed packages; payments of one account travel together. Raises Refused where a field
        does not fit or a sign does not exist in the bank's character set."""
        by_account: dict[tuple[str, datetime], list[Attempt]] = {}
        for attempt in attempts:
            # A package has one time: attempts of another moment would outlive their own.
            key = (attempt.payer.account, attempt.created_at)
            by_account.setdefault(key, []).append(attempt)
        return [
            self._package(group[at : at + self._batch])
            for group in by_account.values()
            for at in range(0, len(group), self._batch)
        ]

    def _package(self, attempts: Sequence[Attempt]) -> RailMessage:
        references = tuple(each.reference for each in attempts)
        number = package_number(references)
        day, time = codec.stamp(attempts[0].created_at)
        body = m.PayRequest(
            online="1",
            settle_mode="0",
            count=str(len(attempts)),
            total=str(sum(each.amount_fen for each in attempts)),
            signed_at=day + time,
            orders=tuple(self._order(each) for each in attempts),
        )
        form = self._link.sealed(self._link.pub(profile.PAY, number, day, time), body)
        return RailMessage(number, profile.PAY, references, form)

    def _order(self, attempt: Attempt) -> m.Order:
        facts, charset = self._profile, self._link.connection.charset
        for who, side in (("payer", attempt.payer), ("payee", attempt.payee)):
            name = printable(f"{who}'s name", side.name)
            if len(raw := envelope.encoded(name, charset)) > facts.name_bytes:
                raise Refused(
                    "bank_direct.does_not_fit",
                    f"The {who}'s name has {len(raw)} bytes; the bank takes {facts.name_bytes}.",
                    "A name is never cut: choose another channel.",
                )
        inside = self._inside(attempt.payee)
        urgent = attempt.priority is Priority.URGENT
        return m.Order(
            reference=attempt.reference,
            pay_type=profile.URGENT if urgent else profile.NORMAL,
            payer_account=attempt.payer.account,
            payer_name=attempt.payer.name,
            payee_account=attempt.payee.account,
            payee_name=attempt.payee.name,
            scope="1" if inside else "2",
            payee_bank_code=attempt.payee.bank_code,
            payee_bank_name=self._text(attempt.payee.bank_name),
            currency=facts.currency,
            amount=str(attempt.amount_fen),
            purpose=self._text(attempt.purpose or attempt.remark) or "转账",
            remark=self._text(attempt.remark),
        )

    def _inside(self, payee: AccountAtBank) -> bool:
        return any(payee.bank_code.startswith(c) for c in self._link.connection.bank_codes)

    def _text(self, text: str) -> str:
        """A text that may be cut, in signs the bank has."""
        most = self._profile.text_bytes
        return envelope.fitting(one_line(text, most), self._link.connection.charset, most)

    async def send(self, message: RailMessage) -> bytes:
        """Carry the package. What comes back is the bank's answer with what was asked before it:
        an answer that refuses a whole package names no payment in it."""
        raw = await self._link.carry(message.body)
        asked = f"?{message.message_id} {','.join(message.references)}\n"
        return asked.encode() + raw

    def decode(self, raw: bytes) -> list[RailReport]:
        """The reports in an answer (as ``send`` returned it) or in a notice of the bank."""
        if not raw.startswith(b"?"):
            document = codec.decode_answer(envelope.opened(raw, self._link.keys.verifier))
            if document.pub.customer != self._link.connection.customer_id:
                raise bad("unknown_user", "The notice is for another customer.")
            return reports.reports_of_notice(document)
        asked, _, answer = raw.partition(b"\n")
        try:
            number, references = asked[1:].decode("ascii").split(" ")
        except ValueError:
            raise bad("form", "What was asked does not stand before the answer.") from None
        named = tuple(references.split(","))
        if package_number(named) != number:
            raise bad("other_answer", "The answer belongs to another package.")
        return reports.reports_of_pay(self._link.read(answer, profile.PAY, number), named)

    def acknowledge(self, raw: bytes) -> bytes:
        """Nothing: HTTP 200 says it all."""
        return b""

    # ---- asking

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        """What the bank says of each reference, in order; many in one question where packages
        carry many."""
        step = self._profile.query_references if self._batch > 1 else 1
        parts = [attempts[at : at + step] for at in range(0, len(attempts), step)]
        found = await asyncio.gather(*(self._enquire(part) for part in parts))
        return [report for part in found for report in part]

    async def _enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        if self._batch > 1:
            return await self._ask(attempts, "")
        named = await self._ask(attempts, attempts[0].reference)
        if named[0].code != NOT_FOUND:
            return named
        # It may have gone in a package of many, before the operator chose one by one. A bank that
        # refuses a question without a package never had one of many from us.
        unnamed = await self._ask(attempts, "")
        refused = unnamed[0].code.startswith(reports.REFUSED)
        return named if refused else unnamed

    async def _ask(self, attempts: Sequence[Attempt], package: str) -> list[RailReport]:
        question = m.PayQueryRequest(
            package=package,
            queries=tuple(
                m.PayQuery(row=str(n), reference=each.reference)
                for n, each in enumerate(attempts, 1)
            ),
        )
        now = self._clock.now()
        try:
            document = await self._link.ask(question)
            return [reports.report_of(document, each.reference) for each in attempts]
        except (NotSent, SentInDoubt) as error:
            return [silence(each.reference, now, error.detail) for each in attempts]
        except BadMessage as error:
            return [doubt(each.reference, UNREADABLE, now, error.detail) for each in attempts]
        except Refused as error:
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
        """The lines after ``cursor``, a page of the bank's; from 13 months back where it is
        empty."""
        return await questions.statement(self._link, account.account, cursor, self._clock.now())

    async def receipts(
        self, account: AccountAtBank, lines: Sequence[StatementLine]
    ) -> list[Receipt]:
        return await questions.receipts(self._link, account.account, lines)

    async def returned_payments(
        self, account: AccountAtBank, first: date, last: date
    ) -> list[RailReport]:
        return await questions.returned(self._link, account.account, first, last)


def package_number(references: Sequence[str]) -> str:
    """fSeqno of the package with exactly these references, in this order: the reference itself
    where there is one, else ``P`` and thirty digits of a digest (SM3)."""
    if len(references) == 1:
        return references[0]
    return f"P{sm3(','.join(references).encode()).hex()[:30].upper()}"
