"""What the shared CNAPS2 messages say about our attempts: a translation, never a judgement.

Promises: only a message that is definite gives a definite report; whatever is unclear, unknown to
us or a failure of the system itself is IN_DOUBT, and the hub asks. Messages about other
participants' payments say nothing here. Pure.
Read next: ``payments/states.py``, which decides what a report means.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.contract import NOT_FOUND, Concerning, RailReport, ReportKind

RETURN = "A105"
"""退汇: the type of a credit that brings money back, and the code of its report."""

NETTED_STATUS: Mapping[str, ReportKind] = {
    "PR00": ReportKind.ACCEPTED,
    "PR01": ReportKind.ACCEPTED,
    "PR02": ReportKind.ACCEPTED,
    "PR03": ReportKind.NETTED,
    "PR04": ReportKind.SETTLED,
    # PR05 已成功 ends acts that move no money; of a payment it is no evidence of netting.
    "PR05": ReportKind.ACCEPTED,
    "PR06": ReportKind.ACCEPTED,
    "PR07": ReportKind.ACCEPTED,
    "PR08": ReportKind.REVOKED,
    "PR09": ReportKind.REJECTED,
    "PR10": ReportKind.ACCEPTED,
}
"""What a business status says of a payment where payments are netted (IBPS, BEPS)."""


class Reporter(msgspec.Struct, frozen=True):
    """Reads messages for one rail and one participant."""

    rail: str
    sponsor: str
    """Reports are made about payments this participant sent."""
    transfers: frozenset[str]
    """Message types of our payments."""
    by_status: Mapping[str, ReportKind]

    def shared(self, frame: m.Frame) -> list[RailReport]:
        """Every report in one shared message; often one, often none."""
        header, message = frame.header, frame.message
        match message:
            case m.NettingNotice() | m.ClearingNotice():
                return self._notice(header, message)
            case m.EnquiryAnswer():
                return self._enquiry(header, message)
            case m.ProcessingConfirm(original=original):
                return self.status(header, original, message.status, message.reason, message.words)
            case m.RevocationAnswer():
                return self._revocation(header, message)
            case m.ReturnAnswer():
                return self._return_answer(header, message)
            case m.Discard():
                return self._discard(header, message)
            case m.Acknowledgement(original=original):
                return self.report(header, original, ReportKind.ACCEPTED, message.result)
            case _:
                return []

    def status(
        self,
        header: m.Header,
        original: m.Original,
        status: str,
        reason: str,
        words: str,
        **facts: Any,
    ) -> list[RailReport]:
        """A business status, with the reject code in its place where it is a no."""
        kind = self.by_status.get(status, ReportKind.IN_DOUBT)
        code = reason if kind is ReportKind.REJECTED and reason else status
        return self.report(header, original, kind, code, words=words, **facts)

    def report(
        self,
        header: m.Header,
        original: m.Original,
        kind: ReportKind,
        code: str,
        *,
        words: str = "",
        at: datetime | None = None,
        amount_fen: int | None = None,
        bank_reference: str = "",
        concerning: Concerning = Concerning.PAYMENT,
    ) -> list[RailReport]:
        """One report, or none where the original is not a payment of ours."""
        if original.sender != self.sponsor or original.kind not in self.transfers:
            return []
        return [
            RailReport(
                kind=kind,
                rail=self.rail,
                reference=original.transaction_id or original.message_id,
                code=code,
                at=at or header.at,
                words=words or codes.words_for(code),
                amount_fen=amount_fen,
                message_id=header.message_id,
                bank_reference=bank_reference,
                concerning=concerning,
            )
        ]

    def _notice(
        self, header: m.Header, notice: m.NettingNotice | m.ClearingNotice
    ) -> list[RailReport]:
        kind = self.by_status.get(notice.status, ReportKind.IN_DOUBT)
        return [
            report
            for paid in notice.payments
            for report in self.report(
                header,
                m.Original(paid.message_id, paid.sender, paid.kind, paid.transaction_id),
                kind,
                notice.status,
                at=notice.at,
                amount_fen=abs(paid.amount_fen),
            )
        ]

    def _enquiry(self, header: m.Header, answer: m.EnquiryAnswer) -> list[RailReport]:
        result, original = answer.result, answer.original
        if codes.same(result, codes.UNKNOWN_ORIGINAL):
            words = answer.words or codes.words_for(result)
            return self.report(header, original, ReportKind.IN_DOUBT, NOT_FOUND, words=words)
        if not codes.same(result, codes.DONE):
            return self.report(header, original, ReportKind.IN_DOUBT, result, words=answer.words)
        return self.status(
            header, original, answer.status, answer.reason, answer.words, at=answer.changed_at
        )

    def _revocation(self, header: m.Header, answer: m.RevocationAnswer) -> list[RailReport]:
        """A yes ends the payment; a no speaks of the revocation only, the payment goes on."""
        if answer.status == "PR08":
            return self.report(
                header, answer.original, ReportKind.REVOKED, answer.status, words=answer.words
            )
        no = answer.status == "PR09"
        return self.report(
            header,
            answer.original,
            ReportKind.REJECTED if no else ReportKind.IN_DOUBT,
            (answer.reason if no else "") or answer.status,
            words=answer.words,
            concerning=Concerning.REVOCATION,
        )

    def _return_answer(self, header: m.Header, answer: m.ReturnAnswer) -> list[RailReport]:
        """A yes is only a promise: the money itself comes as a credit of type A105."""
        no = answer.status == "PR09"
        kind = self.by_status.get(answer.status, ReportKind.IN_DOUBT)
        return self.report(
            header,
            answer.original,
            kind if kind in (ReportKind.ACCEPTED, ReportKind.REJECTED) else ReportKind.IN_DOUBT,
            (answer.reason if no else "") or answer.status,
            words=answer.words,
            concerning=Concerning.RETURN_REQUEST,
        )

    def _discard(self, header: m.Header, discard: m.Discard) -> list[RailReport]:
        """A discard speaks of one *copy* of our message; an earlier copy may live. So it is a no
        only where the centre adds a reject code: then it vouches for the payment, not for the
        copy."""
        if codes.same(discard.result, codes.DUPLICATE):
            kind = ReportKind.ACCEPTED
        elif discard.reason and not codes.is_system_error(discard.result):
            kind = ReportKind.REJECTED
        else:
            kind = ReportKind.IN_DOUBT
        code = discard.reason if kind is ReportKind.REJECTED else discard.result
        return self.report(header, discard.original, kind, code, words=discard.words)
