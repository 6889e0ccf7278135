"""What an IBPS message says about our attempts: its own payment and answer here, the rest shared.

Promises and shared messages: ``rails/cnaps/reports.py``. Pure.
"""

from __future__ import annotations

from caiwutong.rails.cnaps.reports import NETTED_STATUS, RETURN, Reporter
from caiwutong.rails.contract import RailReport, ReportKind
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps import profile

TRANSFER = "ibps.101.001.01"


def reports_of(frame: m.Frame, sponsor: str) -> list[RailReport]:
    """Every report in one message about payments that ``sponsor`` sent; often one, often none."""
    reporter = Reporter(profile.NAME, sponsor, frozenset({TRANSFER}), NETTED_STATUS)
    header, message = frame.header, frame.message
    match message:
        case m.CreditTransfer(type_code="A105", original=m.Original() as original):
            return reporter.report(
                header,
                original,
                ReportKind.RETURNED,
                RETURN,
                words=message.remark,
                amount_fen=message.amount_fen,
            )
        case m.CreditAnswer(original=original):
            return reporter.status(
                header,
                original,
                message.status,
                message.reason,
                message.words,
                amount_fen=message.amount_fen,
                bank_reference=message.bank_reference,
            )
        case _:
            return reporter.shared(frame)
