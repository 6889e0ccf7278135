"""What an HVPS message says about our attempts: its own payment here, the rest shared.

HVPS settles gross, so only PR04 已清算 is final; a payment that waits in the centre's queue (PR06
待处理) is being worked on. Promises and shared messages: ``rails/cnaps/reports.py``. Pure.
"""

from __future__ import annotations

from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.reports import NETTED_STATUS, RETURN, Reporter
from caiwutong.rails.contract import RailReport, ReportKind
from caiwutong.rails.hvps import messages as h
from caiwutong.rails.hvps import profile

TRANSFER = "hvps.111.001.01"

GROSS_STATUS = {**NETTED_STATUS, "PR03": ReportKind.IN_DOUBT}
"""Nothing is netted on HVPS: a PR03 about one of its payments is no evidence of anything."""


def reporter_for(sponsor: str) -> Reporter:
    """Reads what messages say about this participant's payments."""
    return Reporter(profile.NAME, sponsor, frozenset({TRANSFER}), GROSS_STATUS)


def reports_of(frame: m.Frame, reporter: Reporter) -> list[RailReport]:
    """Every report in one message about payments of ``reporter.sponsor``; often one, often none.
    A new hvps.111 of type A105 is the return of the payment it names."""
    header, message = frame.header, frame.message
    match message:
        case h.CreditTransfer(type_code="A105", original=m.Original() as original):
            return reporter.report(
                header,
                original,
                ReportKind.RETURNED,
                RETURN,
                words=message.remark,
                amount_fen=message.amount_fen,
            )
        case h.CreditTransfer() | h.InstitutionTransfer():
            return []
        case _:
            return reporter.shared(frame)
