"""IBPS behind the common rail contract: attempts become 101s, bytes become reports.

What it does like every CNAPS2 channel (enquiries, revocations, returns, balances, statements) is
``rails/cnaps/rail.py``. Read next: ``reports.py`` (what messages say), ``profile.py`` (the hours).
"""

from __future__ import annotations

from datetime import datetime

from caiwutong.kernel.clock import Clock
from caiwutong.kernel.ids import Ids
from caiwutong.rails.cnaps.exchange import CnapsConnection
from caiwutong.rails.cnaps.rail import CnapsRail, one_line, party
from caiwutong.rails.cnaps.signing import Signer, Verifier
from caiwutong.rails.contract import Attempt, RailReport
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps import profile
from caiwutong.rails.ibps.codec import CODEC
from caiwutong.rails.ibps.reports import TRANSFER, reports_of

__all__ = ["IbpsConnection", "IbpsRail"]


class IbpsConnection(CnapsConnection, frozen=True):
    """How the sponsor's front-end (前置) reaches IBPS."""


class IbpsRail(CnapsRail):
    """The IBPS rail: implements ``rails.contract.Rail``."""

    name = profile.NAME
    transfer_kind = TRANSFER

    def __init__(
        self,
        connection: IbpsConnection,
        clock: Clock,
        ids: Ids,
        *,
        signer: Signer | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        super().__init__(connection, CODEC, clock, ids, signer=signer, verifier=verifier)

    def valid_until(self, at: datetime) -> datetime:
        return profile.valid_until(at)

    def transfer(self, attempt: Attempt) -> m.CreditTransfer:
        self.payable(attempt)
        return m.CreditTransfer(
            amount_fen=attempt.amount_fen,
            payer=party(attempt.payer, self._us.bank_code),
            payee=party(attempt.payee, ""),
            currency=attempt.currency,
            purpose=one_line(attempt.purpose, 140),
            remark=one_line(attempt.remark, 280),
        )

    def reports(self, frame: m.Frame) -> list[RailReport]:
        return reports_of(frame, self._us.sponsor)
