"""The rail contract as every CNAPS2 channel keeps it: attempts become messages, bytes reports.

Owns the requests about payments and accounts (307, 309, 311, 316, 318) and how they meet their
answers. A channel adds its payment (``transfer``), its reading (``reports``) and its hours.
Promises: silence, a cut line or an answer that is no answer is IN_DOUBT and never a no.
Read next: ``reports.py`` (what messages say), ``exchange.py`` (how questions meet answers).
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from caiwutong.kernel.clock import Clock
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.order import Direction, Priority
from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.codec import Codec
from caiwutong.rails.cnaps.exchange import CnapsConnection, Exchange
from caiwutong.rails.cnaps.notices import notices_of
from caiwutong.rails.cnaps.signing import Signer, Verifier
from caiwutong.rails.contract import (
    SILENCE,
    AccountAtBank,
    Attempt,
    BadMessage,
    BankBalance,
    Concerning,
    Notice,
    NotSent,
    RailMessage,
    RailReport,
    ReportKind,
    SentInDoubt,
    StatementLine,
    StatementPage,
)

ENQUIRIES_A_POST = 50
PAGE = 200


class CnapsRail(ABC):
    """What ``rails.contract.Rail`` asks for, but for the payment itself. Signer and verifier can be
    replaced, for a key kept elsewhere or for a simulated world."""

    name: str
    """Of the rail: ``ibps``, ``hvps``, ``beps``."""
    transfer_kind: str
    """Message type of the payment, which enquiries and revocations name."""

    def __init__(
        self,
        connection: CnapsConnection,
        codec: Codec,
        clock: Clock,
        ids: Ids,
        *,
        signer: Signer | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        self._us = connection
        self._clock = clock
        self._exchange = Exchange(connection, codec, clock, ids, signer=signer, verifier=verifier)

    @abstractmethod
    def transfer(self, attempt: Attempt) -> Any:
        """The word that pays this attempt. Raises Refused for one that cannot travel."""

    @abstractmethod
    def reports(self, frame: m.Frame) -> list[RailReport]:
        """What a verified message says about our payments."""

    def priority_of(self, priority: Priority) -> int:
        """The header's priority: 1 特急, 2 紧急, 3 普通. Ours never ask for 特急, which is kept for
        disaster relief and war (own)."""
        return 2 if priority is Priority.URGENT else 3

    async def close(self) -> None:
        """Let go of the connections."""
        await self._exchange.close()

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """One signed message for each attempt, dated when the attempt was made, so that one sent
        again is the same message. Takes about 0.5 ms each and may run in a thread. Raises
        Refused for the first attempt that cannot travel."""
        return [
            RailMessage(
                message_id=attempt.reference,
                kind=self.transfer_kind,
                references=(attempt.reference,),
                body=self._exchange.encode(
                    self.transfer(attempt),
                    attempt.reference,
                    attempt.created_at,
                    priority=self.priority_of(attempt.priority),
                ),
            )
            for attempt in attempts
        ]

    async def send(self, message: RailMessage) -> bytes:
        return await self._exchange.post(message.body)

    def decode(self, raw: bytes) -> list[RailReport]:
        return [report for frame in self._exchange.frames(raw) for report in self.reports(frame)]

    def acknowledge(self, raw: bytes) -> bytes:
        """The 990s that tell the centre its messages arrived: the answer to a callback. Raises
        BadMessage."""
        now = self._clock.now()
        return b"".join(
            self._exchange.encode(
                m.Acknowledgement(
                    m.Original(frame.header.message_id, frame.header.sender, frame.header.kind)
                ),
                self._exchange.new_id(),
                now,
            )
            for frame in self._exchange.frames(raw)
            if not isinstance(frame.message, m.Acknowledgement)
        )

    def notices(self, raw: bytes) -> list[Notice]:
        """What the centre announces in these bytes; empty for any other message. Raises
        BadMessage."""
        return [notice for frame in self._exchange.frames(raw) for notice in notices_of(frame)]

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        groups = [
            attempts[start : start + ENQUIRIES_A_POST]
            for start in range(0, len(attempts), ENQUIRIES_A_POST)
        ]
        answered = await asyncio.gather(*[self._enquire(group) for group in groups])
        return [report for reports in answered for report in reports]

    async def revoke(self, attempt: Attempt) -> list[RailReport]:
        return await self._request(
            attempt, m.Revocation(self.original(attempt)), Concerning.REVOCATION
        )

    async def request_return(self, attempt: Attempt, reason: str) -> list[RailReport]:
        request = m.ReturnRequest(
            self.original(attempt), attempt.amount_fen, one_line(reason, 280), attempt.currency
        )
        return await self._request(attempt, request, Concerning.RETURN_REQUEST)

    async def ask_payee_bank(self, attempt: Attempt, question: str) -> str:
        """What the payee's bank says to a question in words (查询 314, 查复 315): for people and
        files, never a status. Empty when the answer will come later. Raises Unavailable."""
        asked = m.Question(self.original(attempt), one_line(question, 280))
        try:
            (frames,) = await self._exchange.ask([asked])
        except (SentInDoubt, BadMessage) as error:
            raise Unavailable("cnaps.no_answer", error.detail, "Ask again later.") from None
        said = [each.message for each in frames if isinstance(each.message, m.QuestionAnswer)]
        return said[0].content if said else ""

    async def balances(self, accounts: Sequence[AccountAtBank]) -> list[BankBalance]:
        asked = [
            m.BalanceEnquiry(account.account, account.bank_code or self._us.bank_code)
            for account in accounts
        ]
        answers = await self._exchange.query(asked, m.BalanceAnswer)
        found: list[BankBalance] = []
        for question, (header, answer) in zip(asked, answers, strict=True):
            _check_answer(question, answer)
            found.append(
                BankBalance(
                    answer.account,
                    answer.balance_fen,
                    answer.available_fen,
                    answer.at or header.at,
                    answer.currency,
                )
            )
        return found

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        bank_code = account.bank_code or self._us.bank_code
        question = m.DetailEnquiry(account.account, bank_code, cursor, PAGE)
        ((_, answer),) = await self._exchange.query([question], m.DetailAnswer)
        _check_answer(question, answer)
        return StatementPage(
            lines=tuple(_statement_line(account.account, line) for line in answer.lines),
            cursor=answer.cursor or cursor,
            more=answer.more,
        )

    # How requests meet their answers.

    def enquiry(self, attempt: Attempt) -> Any:
        """The question what became of an attempt."""
        return m.Enquiry(self.original(attempt))

    async def _enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        """Reports on one post's worth of attempts. No trouble on the way becomes more than doubt:
        not having been able to ask says nothing about the payment."""
        try:
            answers = await self._exchange.ask([self.enquiry(one) for one in attempts])
        except (NotSent, SentInDoubt, BadMessage) as error:
            return [self._silence(one, Concerning.PAYMENT, error.detail) for one in attempts]
        reports: list[RailReport] = []
        for attempt, frames in zip(attempts, answers, strict=True):
            about = [
                report
                for frame in frames
                if isinstance(frame.message, m.EnquiryAnswer)
                for report in self.reports(frame)
                if report.reference == attempt.reference
            ]
            reports.append(about[0] if about else self._silence(attempt, Concerning.PAYMENT))
        return reports

    async def _request(
        self, attempt: Attempt, request: m.Revocation | m.ReturnRequest, concerning: Concerning
    ) -> list[RailReport]:
        """What came back at once to a request about a payment. A bare acknowledgement says that
        the answer will come later."""
        try:
            (frames,) = await self._exchange.ask([request])
        except (SentInDoubt, BadMessage) as error:
            return [self._silence(attempt, concerning, error.detail)]
        reports: list[RailReport] = []
        for frame in frames:
            match frame.message:
                case m.RevocationAnswer() | m.ReturnAnswer():
                    reports += [
                        report
                        for report in self.reports(frame)
                        if report.reference == attempt.reference
                    ]
                case m.Acknowledgement(result=code):
                    reports.append(self._about(attempt, concerning, ReportKind.ACCEPTED, code))
                case m.Discard(result=code, reason=reason, words=words):
                    # The request was thrown away: it did not happen. Unless the system failed.
                    definite = bool(reason) and not codes.is_system_error(code)
                    kind = ReportKind.REJECTED if definite else ReportKind.IN_DOUBT
                    reports.append(self._about(attempt, concerning, kind, reason or code, words))
                case _:
                    pass
        return reports or [self._silence(attempt, concerning)]

    def payable(self, attempt: Attempt) -> None:
        """Return if this rail can pay the attempt at all; raise Refused if not."""
        if attempt.direction is not Direction.PUSH:
            raise Refused(
                "cnaps.push_only",
                f"Attempt {attempt.reference} collects money; this rail pays only.",
                "Choose a rail with collection.",
            )
        if not attempt.payee.bank_code:
            raise Refused(
                "cnaps.no_bank_code",
                f"Attempt {attempt.reference} does not say which bank the payee is with.",
                "Give the payee's 联行号, twelve digits.",
            )

    def original(self, attempt: Attempt) -> m.Original:
        """What a question about this attempt names."""
        return m.Original(attempt.reference, self._us.sponsor, self.transfer_kind)

    def _silence(self, attempt: Attempt, concerning: Concerning, words: str = "") -> RailReport:
        return self._about(attempt, concerning, ReportKind.IN_DOUBT, SILENCE, words)

    def _about(
        self,
        attempt: Attempt,
        concerning: Concerning,
        kind: ReportKind,
        code: str,
        words: str = "",
    ) -> RailReport:
        return RailReport(
            kind=kind,
            rail=self.name,
            reference=attempt.reference,
            code=code,
            at=self._clock.now(),
            words=words or codes.words_for(code),
            concerning=concerning,
        )


_NOT_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]+")


def one_line(text: str, most: int) -> str:
    """A free text as the wire carries it: one line, at most so long, ``|`` made full-width (it
    separates the signed values). For words only: a name is never changed."""
    clean = " ".join(_NOT_TEXT.sub(" ", text).replace("|", "｜").split())
    return clean[:most].rstrip()


def party(account: AccountAtBank, bank_code: str) -> AccountAtBank:
    """An account as a payment names it; ``bank_code`` where it does not say its bank."""
    return AccountAtBank(
        name=account.name.strip(),
        account=account.account,
        bank_code=account.bank_code or bank_code,
        bank_name=one_line(account.bank_name, 140),
    )


def _check_answer(
    question: m.BalanceEnquiry | m.DetailEnquiry, answer: m.BalanceAnswer | m.DetailAnswer
) -> None:
    """The answer must be a yes and speak of the account that was asked about."""
    masked = f"…{question.account[-4:]}"
    if not codes.same(answer.result, codes.DONE):
        words = answer.words or codes.words_for(answer.result)
        raise Unavailable(
            "cnaps.query_refused",
            f"The bank does not answer for account {masked}: {answer.result} {words}",
            "Check the account's number and bank, and that queries are agreed with the bank.",
        )
    if (answer.account, answer.bank_code) != (question.account, question.bank_code):
        raise Unavailable(
            "cnaps.other_account",
            f"Asked about account {masked}, the bank answered about another.",
            "Ask again later; if it stays so, tell the bank.",
        )


def _statement_line(account: str, line: m.DetailLine) -> StatementLine:
    return StatementLine(
        account=account,
        line_id=line.line_id,
        booked_at=line.booked_at,
        value_date=line.value_date,
        amount_fen=line.amount_fen,
        balance_after_fen=line.balance_after_fen,
        kind=line.kind,
        reference=line.reference,
        counterparty_name=line.counterparty_name,
        counterparty_account=line.counterparty_account,
        words=line.words,
        currency=line.currency,
    )
