"""HVPS behind the common rail contract: attempts become hvps.111, bytes become reports.

What it does like every CNAPS2 channel (enquiries by 316, revocations by 307, returns by 318,
questions by 314, balances, statements, notices) is ``rails/cnaps/rail.py``.
Read next: ``reports.py`` (what messages say), ``profile.py`` (the business day).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from caiwutong.kernel.clock import Clock
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.order import Priority
from caiwutong.rails.catalog import Catalog, shipped
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.exchange import CnapsConnection
from caiwutong.rails.cnaps.rail import CnapsRail, one_line, party
from caiwutong.rails.cnaps.signing import Signer, Verifier
from caiwutong.rails.contract import Attempt, RailReport
from caiwutong.rails.hvps import messages as h
from caiwutong.rails.hvps import profile
from caiwutong.rails.hvps.codec import CODEC
from caiwutong.rails.hvps.reports import TRANSFER, reporter_for, reports_of

__all__ = ["HvpsConnection", "HvpsRail"]


class HvpsConnection(CnapsConnection, frozen=True):
    """How the sponsor's front-end (前置) reaches HVPS: frames go to ``{url}/hvps``."""


class HvpsRail(CnapsRail):
    """The HVPS rail: implements ``rails.contract.Rail``. ``catalog`` gives the facts in force, for
    the end of the business day; by default those that came with the software."""

    name = profile.NAME
    transfer_kind = TRANSFER

    def __init__(
        self,
        connection: CnapsConnection,
        clock: Clock,
        ids: Ids,
        *,
        signer: Signer | None = None,
        verifier: Verifier | None = None,
        catalog: Callable[[], Catalog] = shipped,
    ) -> None:
        super().__init__(connection, CODEC, clock, ids, signer=signer, verifier=verifier)
        self._reporter = reporter_for(connection.sponsor)
        self._catalog = catalog

    def go_by(self, catalog: Callable[[], Catalog]) -> None:
        """Ask this catalog from now on."""
        self._catalog = catalog

    def valid_until(self, at: datetime) -> datetime:
        return profile.valid_until(at, self._catalog())

    def priority_of(self, priority: Priority) -> int:
        return profile.PRIORITY[priority]

    def transfer(self, attempt: Attempt) -> h.CreditTransfer:
        self.payable(attempt)
        return h.CreditTransfer(
            amount_fen=attempt.amount_fen,
            payer=party(attempt.payer, self._us.bank_code),
            payee=party(attempt.payee, ""),
            priority=self.priority_of(attempt.priority),
            currency=attempt.currency,
            purpose=one_line(attempt.purpose, 140),
            remark=one_line(attempt.remark, 280),
        )

    def reports(self, frame: m.Frame) -> list[RailReport]:
        return reports_of(frame, self._reporter)
