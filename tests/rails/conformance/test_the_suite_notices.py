"""The suite is worth what it notices: connectors bent on purpose, and the question that finds each.

A bent connector is a good one behind a small lie. If a lie passes its question, the suite has lost
a tooth.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.rails.conformance import test_conformance as suite
from tests.rails.conformance.subject import Subject
from tests.rails.conformance.subjects import SUBJECTS

from caiwutong.rails.contract import (
    NOT_FOUND,
    AccountAtBank,
    Attempt,
    BadMessage,
    RailMessage,
    RailReport,
    ReportKind,
    StatementPage,
)

Question = Callable[[Subject], Awaitable[None]]


class Bent:
    """A rail that is another one, but for what a subclass bends."""

    def __init__(self, rail: Any) -> None:
        self.rail = rail

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rail, name)


class CallsTheUnknownRejected(Bent):
    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        return [
            msgspec.structs.replace(each, kind=ReportKind.REJECTED)
            if each.code == NOT_FOUND
            else each
            for each in await self.rail.enquire(attempts)
        ]


class CallsSilenceRejected(Bent):
    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        return [
            msgspec.structs.replace(each, kind=ReportKind.REJECTED)
            if each.kind is ReportKind.IN_DOUBT and each.code != NOT_FOUND
            else each
            for each in await self.rail.enquire(attempts)
        ]


class CallsReceivedPaid(Bent):
    def decode(self, raw: bytes) -> list[RailReport]:
        return [
            msgspec.structs.replace(each, kind=ReportKind.SETTLED)
            if each.kind is ReportKind.ACCEPTED
            else each
            for each in self.rail.decode(raw)
        ]


class PaysUnderAFreshReference(Bent):
    count = itertools.count(10)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        fresh = [
            msgspec.structs.replace(each, reference=f"{each.reference[:-2]}{next(self.count)}")
            for each in attempts
        ]
        return self.rail.encode_many(fresh)


class AnswersInAnotherOrder(Bent):
    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        return list(reversed(await self.rail.enquire(attempts)))


class BelievesAnybody(Bent):
    """Whatever cannot be verified is read as received."""

    def decode(self, raw: bytes) -> list[RailReport]:
        try:
            return self.rail.decode(raw)
        except BadMessage:
            at = self.rail._clock.now()
            return [RailReport(ReportKind.ACCEPTED, self.rail.name, "", "", at)]


class LetsAnyErrorOut(Bent):
    def decode(self, raw: bytes) -> list[RailReport]:
        try:
            return self.rail.decode(raw)
        except BadMessage as error:
            raise ValueError(error.detail) from None


class SpellsAnotherWay(Bent):
    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        def spelt(payee: AccountAtBank) -> AccountAtBank:
            name = payee.name.replace("·", "").replace("䶮", "龑")
            return msgspec.structs.replace(payee, name=name)

        return self.rail.encode_many(
            [msgspec.structs.replace(each, payee=spelt(each.payee)) for each in attempts]
        )


class LosesALine(Bent):
    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        page = await self.rail.statement(account, cursor)
        return msgspec.structs.replace(page, lines=page.lines[:-1])


class TellsAStatementTwice(Bent):
    """Forgets how far it had read."""

    async def statement(self, account: AccountAtBank, cursor: str) -> StatementPage:
        return await self.rail.statement(account, "")


def _name(name: str) -> Question:
    return lambda subject: (
        suite.test_a_name_arrives_exactly_as_written_or_is_refused_before_sending(subject, name)
    )


LIES: list[tuple[type[Bent], Question]] = [
    (CallsTheUnknownRejected, suite.test_a_reference_never_sent_is_doubt_and_not_failure),
    (CallsTheUnknownRejected, suite.test_after_a_lost_request_the_same_message_may_go_again),
    (
        CallsSilenceRejected,
        suite.test_nobody_there_is_doubt_for_payments_and_unavailable_for_the_rest,
    ),
    (CallsReceivedPaid, suite.test_many_payments_sent_together_each_have_their_own_outcome),
    (PaysUnderAFreshReference, suite.test_an_attempt_encoded_after_a_restart_is_the_same_payment),
    (
        PaysUnderAFreshReference,
        suite.test_every_message_names_the_references_inside_and_none_is_left_out,
    ),
    (AnswersInAnotherOrder, suite.test_a_reference_never_sent_is_doubt_and_not_failure),
    (BelievesAnybody, suite.test_an_answer_signed_by_somebody_else_is_not_believed),
    (BelievesAnybody, suite.test_no_tampering_with_what_the_bank_said_changes_what_we_read),
    (LetsAnyErrorOut, suite.test_whatever_bytes_come_only_bad_message_escapes),
    (SpellsAnotherWay, _name("阿不都热依木·买买提")),
    (SpellsAnotherWay, _name("王䶮")),
    (LosesALine, suite.test_the_statement_agrees_with_what_was_paid),
    (TellsAStatementTwice, suite.test_the_statement_agrees_with_what_was_paid),
]


def _told(lie: tuple[type[Bent], Question]) -> str:
    bent, question = lie
    return f"{bent.__name__}-{getattr(question, '__name__', 'name')}"[:80]


@pytest.mark.parametrize("lie", LIES, ids=_told)
async def test_a_bent_connector_does_not_pass_its_question(
    lie: tuple[type[Bent], Question], tmp_path: Path
):
    bent, question = lie
    async with SUBJECTS["bank_direct/icbc"](tmp_path / "world") as subject:
        subject.rail = bent(subject.rail)  # type: ignore[assignment]
        with pytest.raises((AssertionError, pytest.fail.Exception, ValueError)):
            await question(subject)
