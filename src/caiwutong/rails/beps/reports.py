"""What a BEPS message says about our attempts: a translation, never a judgement.

Promises: only a word on a single payment is definite. A word on a batch as a whole (990, 911, a 900
without outcomes) vouches for that copy of the message and not for the payments in it, which may
have reached the centre in another message: it says at most that they are being worked on, else
IN_DOUBT, and the hub asks. Messages about other participants' payments say nothing here. Pure.
Read next: ``payments/states.py``, which decides what a report means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from caiwutong.rails.beps import messages as b
from caiwutong.rails.beps import profile
from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.reports import NETTED_STATUS, RETURN, Reporter
from caiwutong.rails.contract import NOT_FOUND, RailReport, ReportKind

BATCH = "beps.121.001.01"
REAL_TIME = "beps.123.001.01"
TRANSFERS = frozenset({BATCH, REAL_TIME})

_CONFIRMED = "PR10"
"""The payee's bank has said yes; the next news is the netting round."""

Contents = Mapping[str, Sequence[str]]
"""The references in messages of ours, by message id, as far as they are remembered."""


def reporter_for(sponsor: str) -> Reporter:
    """Reads what the shared messages say about this participant's payments."""
    return Reporter(profile.NAME, sponsor, TRANSFERS, NETTED_STATUS)


def reports_of(frame: m.Frame, reporter: Reporter, contents: Contents) -> list[RailReport]:
    """Every report in one message about payments that ``reporter.sponsor`` sent."""
    header, message = frame.header, frame.message
    match message:
        case b.BatchConfirm():
            return _of_confirm(header, message, reporter, contents)
        case b.StatusAnswer():
            return _of_answer(header, message, reporter)
        case b.RealTimeAnswer(original=original):
            return reporter.status(
                header,
                original,
                message.status,
                message.reason,
                message.words,
                amount_fen=message.amount_fen,
                bank_reference=message.bank_reference,
            )
        case b.CustomerCredits():
            return _of_returns(header, message, reporter)
        case m.Acknowledgement(original=original):
            return _of_message(
                header, original, ReportKind.ACCEPTED, message.result, "", reporter, contents
            )
        case m.Discard(original=original, result=result):
            known = codes.same(result, codes.DUPLICATE)
            kind = ReportKind.ACCEPTED if known else ReportKind.IN_DOUBT
            return _of_message(header, original, kind, result, message.words, reporter, contents)
        case _:
            return reporter.shared(frame)


def _of_confirm(
    header: m.Header, confirm: b.BatchConfirm, reporter: Reporter, contents: Contents
) -> list[RailReport]:
    original = confirm.original
    if original.sender != reporter.sponsor or original.kind not in TRANSFERS:
        return []
    if not confirm.outcomes:
        worked_on = NETTED_STATUS.get(confirm.status) is ReportKind.ACCEPTED
        kind = ReportKind.ACCEPTED if worked_on else ReportKind.IN_DOUBT
        code = confirm.reason or confirm.status
        return _of_message(header, original, kind, code, confirm.words, reporter, contents)
    news_at = profile.news_at(header.at)
    return [
        _report(
            header,
            outcome.transaction_id,
            outcome.status,
            outcome.reason,
            outcome.words,
            header.at,
            news_at,
        )
        for outcome in confirm.outcomes
    ]


def _of_answer(header: m.Header, answer: b.StatusAnswer, reporter: Reporter) -> list[RailReport]:
    if answer.sender != reporter.sponsor:
        return []
    reports: list[RailReport] = []
    news_at = profile.news_at(header.at)
    for found in answer.payments:
        if codes.same(found.result, codes.DONE):
            reports.append(
                _report(
                    header,
                    found.transaction_id,
                    found.status,
                    found.reason,
                    found.words,
                    found.changed_at or header.at,
                    news_at,
                )
            )
            continue
        unknown = codes.same(found.result, codes.UNKNOWN_ORIGINAL)
        code = NOT_FOUND if unknown else found.result
        words = found.words or codes.words_for(found.result)
        reports.append(
            RailReport(
                ReportKind.IN_DOUBT,
                profile.NAME,
                found.transaction_id,
                code,
                header.at,
                words,
                message_id=header.message_id,
            )
        )
    return reports


def _of_returns(header: m.Header, batch: b.CustomerCredits, reporter: Reporter) -> list[RailReport]:
    """Credits of type A105 bring the money of a payment of ours back; other credits are somebody's
    payment to us, which the statement tells."""
    return [
        report
        for credit in batch.payments
        if credit.type_code == RETURN and credit.original is not None
        for report in reporter.report(
            header,
            credit.original,
            ReportKind.RETURNED,
            RETURN,
            words=credit.remark,
            amount_fen=credit.amount_fen,
        )
    ]


def _of_message(
    header: m.Header,
    original: m.Original,
    kind: ReportKind,
    code: str,
    words: str,
    reporter: Reporter,
    contents: Contents,
) -> list[RailReport]:
    """The same word for every payment of a message of ours that is remembered."""
    if original.sender != reporter.sponsor or original.kind not in TRANSFERS:
        return []
    return [
        RailReport(
            kind,
            profile.NAME,
            reference,
            code,
            header.at,
            words or codes.words_for(code),
            message_id=header.message_id,
        )
        for reference in contents.get(original.message_id, (original.message_id,))
    ]


def _report(
    header: m.Header,
    reference: str,
    status: str,
    reason: str,
    words: str,
    at: datetime,
    news_at: datetime | None,
) -> RailReport:
    kind = NETTED_STATUS.get(status, ReportKind.IN_DOUBT)
    code = reason if reason and kind is ReportKind.REJECTED else status
    return RailReport(
        kind,
        profile.NAME,
        reference,
        code,
        at,
        words or codes.words_for(code),
        message_id=header.message_id,
        next_word_at=news_at if status == _CONFIRMED else None,
    )
