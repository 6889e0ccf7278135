"""What an IBPS message says about our attempts: a translation, never a judgement.

Promises: only a message that is definite gives a definite report; whatever is unclear, unknown to
us or a failure of the system itself is IN_DOUBT, and the hub asks. Messages about other
participants' payments say nothing here. Pure.
Read next: ``payments/states.py``, which decides what a report means.
"""

from __future__ import annotations

from datetime import datetime

from caiwutong.rails.contract import NOT_FOUND, Concerning, RailReport, ReportKind
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps import profile

TRANSFER = "ibps.101.001.01"
RETURN = "A105"

_BY_STATUS = {
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


def reports_of(frame: m.Frame, sponsor: str) -> list[RailReport]:
    """Every report in one message about payments that ``sponsor`` sent; often one, often none."""
    header, message = frame.header, frame.message
    match message:
        case m.NettingNotice() | m.ClearingNotice():
            return _of_notice(header, message, sponsor)
        case m.CreditTransfer(type_code="A105", original=m.Original() as original):
            report = _report(
                header,
                original,
                ReportKind.RETURNED,
                RETURN,
                words=message.remark,
                amount_fen=message.amount_fen,
            )
        case m.CreditAnswer(original=original):
            report = _of_status(
                header,
                original,
                message.status,
                message.reason,
                message.words,
                amount_fen=message.amount_fen,
                bank_reference=message.bank_reference,
            )
        case m.EnquiryAnswer(original=original):
            report = _of_enquiry(header, message)
        case m.ProcessingConfirm(original=original):
            report = _of_status(header, original, message.status, message.reason, message.words)
        case m.RevocationAnswer(original=original):
            report = _of_revocation(header, message)
        case m.ReturnAnswer(original=original):
            report = _of_return_answer(header, message)
        case m.Discard(original=original):
            report = _of_discard(header, message)
        case m.Acknowledgement(original=original):
            report = _report(header, original, ReportKind.ACCEPTED, message.result)
        case _:
            return []
    ours = original.sender == sponsor and original.kind == TRANSFER
    return [report] if ours else []


def _of_notice(
    header: m.Header, notice: m.NettingNotice | m.ClearingNotice, sponsor: str
) -> list[RailReport]:
    kind = _BY_STATUS.get(notice.status, ReportKind.IN_DOUBT)
    words = profile.words_for(notice.status)
    return [
        RailReport(
            kind=kind,
            rail=profile.NAME,
            reference=payment.message_id,
            code=notice.status,
            at=notice.at,
            words=words,
            amount_fen=abs(payment.amount_fen),
            message_id=header.message_id,
        )
        for payment in notice.payments
        if payment.sender == sponsor and payment.kind == TRANSFER
    ]


def _of_enquiry(header: m.Header, answer: m.EnquiryAnswer) -> RailReport:
    if answer.result == profile.UNKNOWN_ORIGINAL:
        words = answer.words or profile.words_for(answer.result)
        return _report(header, answer.original, ReportKind.IN_DOUBT, NOT_FOUND, words=words)
    if answer.result != profile.DONE:
        return _report(
            header, answer.original, ReportKind.IN_DOUBT, answer.result, words=answer.words
        )
    return _of_status(
        header,
        answer.original,
        answer.status,
        answer.reason,
        answer.words,
        at=answer.changed_at,
    )


def _of_revocation(header: m.Header, answer: m.RevocationAnswer) -> RailReport:
    """A yes ends the payment; a no speaks of the revocation only, the payment goes on."""
    if answer.status == "PR08":
        return _report(
            header, answer.original, ReportKind.REVOKED, answer.status, words=answer.words
        )
    no = answer.status == "PR09"
    return _report(
        header,
        answer.original,
        ReportKind.REJECTED if no else ReportKind.IN_DOUBT,
        (answer.reason if no else "") or answer.status,
        words=answer.words,
        concerning=Concerning.REVOCATION,
    )


def _of_return_answer(header: m.Header, answer: m.ReturnAnswer) -> RailReport:
    """A yes is only a promise: the money itself comes as a credit of type A105."""
    no = answer.status == "PR09"
    kind = _BY_STATUS.get(answer.status, ReportKind.IN_DOUBT)
    return _report(
        header,
        answer.original,
        kind if kind in (ReportKind.ACCEPTED, ReportKind.REJECTED) else ReportKind.IN_DOUBT,
        (answer.reason if no else "") or answer.status,
        words=answer.words,
        concerning=Concerning.RETURN_REQUEST,
    )


def _of_discard(header: m.Header, discard: m.Discard) -> RailReport:
    """A discard speaks of one *copy* of our message; an earlier copy may live. So it is a no only
    where the centre adds a reject code: then it vouches for the payment, not for the copy."""
    if discard.result == profile.DUPLICATE:
        kind = ReportKind.ACCEPTED
    elif discard.reason and not profile.is_system_error(discard.result):
        kind = ReportKind.REJECTED
    else:
        kind = ReportKind.IN_DOUBT
    code = discard.reason if kind is ReportKind.REJECTED else discard.result
    return _report(header, discard.original, kind, code, words=discard.words)


def _of_status(
    header: m.Header,
    original: m.Original,
    status: str,
    reason: str,
    words: str,
    *,
    at: datetime | None = None,
    amount_fen: int | None = None,
    bank_reference: str = "",
) -> RailReport:
    kind = _BY_STATUS.get(status, ReportKind.IN_DOUBT)
    code = reason if kind is ReportKind.REJECTED and reason else status
    return _report(
        header,
        original,
        kind,
        code,
        words=words,
        at=at,
        amount_fen=amount_fen,
        bank_reference=bank_reference,
    )


def _report(
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
) -> RailReport:
    return RailReport(
        kind=kind,
        rail=profile.NAME,
        reference=original.message_id,
        code=code,
        at=at or header.at,
        words=words or profile.words_for(code),
        amount_fen=amount_fen,
        message_id=header.message_id,
        bank_reference=bank_reference,
        concerning=concerning,
    )
