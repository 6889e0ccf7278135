"""BEPS behind the common rail contract: attempts become batches, bytes become reports.

Owns the batch: many attempts in one signed message, each with an outcome of its own. Questions are
batched too: one ccms.316 asks about as many payments as a batch carries. Requests about a single
payment, balances and statements are those of every CNAPS2 channel (``rails/cnaps/rail.py``).
Promises: silence, a cut line or an answer that is no answer is IN_DOUBT for every payment of the
batch and never a no; a payment sent again in another batch keeps its transaction id, by which the
centre executes it once.
Read next: ``packing.py`` (which travel together), ``reports.py`` (what messages say).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime

from caiwutong.kernel.clock import Clock, china_date
from caiwutong.kernel.ids import Ids
from caiwutong.kernel.order import Priority
from caiwutong.rails.beps import messages as b
from caiwutong.rails.beps import profile
from caiwutong.rails.beps.codec import CODEC
from caiwutong.rails.beps.packing import Packed, pack
from caiwutong.rails.beps.reports import BATCH, REAL_TIME, reporter_for, reports_of
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.cnaps.exchange import CnapsConnection
from caiwutong.rails.cnaps.rail import CnapsRail, one_line, party
from caiwutong.rails.cnaps.signing import Signer, Verifier
from caiwutong.rails.contract import (
    Attempt,
    BadMessage,
    Concerning,
    NotSent,
    RailMessage,
    RailReport,
    SentInDoubt,
)

__all__ = ["BepsConnection", "BepsRail"]

REMEMBERED = 50_000
"""Payments of which it is kept in memory in which message they went. A word on a message that is
forgotten says nothing of its payments, and the hub asks about each."""


class BepsConnection(CnapsConnection, frozen=True, repr_omit_defaults=True):
    """How a sponsoring participant's front-end (前置) reaches BEPS: frames go to ``{url}/beps``."""


class BepsRail(CnapsRail):
    """The BEPS rail: implements ``rails.contract.Rail``. Signer and verifier can be replaced, for
    a key kept elsewhere or for a simulated world."""

    name = profile.NAME
    transfer_kind = BATCH

    def __init__(
        self,
        connection: CnapsConnection,
        clock: Clock,
        ids: Ids,
        *,
        signer: Signer | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        super().__init__(connection, CODEC, clock, ids, signer=signer, verifier=verifier)
        self._reporter = reporter_for(connection.sponsor)
        self._contents: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._remembered = 0

    def valid_until(self, at: datetime) -> datetime:
        return profile.valid_until(at)

    def encode_many(self, attempts: Sequence[Attempt]) -> list[RailMessage]:
        """Signed batches (beps.121) carrying these attempts, as few as the rule of the day allows;
        an urgent one travels alone (beps.123). The same attempts give the same messages. One
        signature a batch; may run in a thread. Raises Refused when one of them cannot travel."""
        for attempt in attempts:
            self.payable(attempt)
        return [self._message(packed) for packed in pack(attempts, self._us.bank_code)]

    def _message(self, packed: Packed) -> RailMessage:
        credits = [self.transfer(attempt) for attempt in packed.attempts]
        references = tuple([each.transaction_id for each in credits])
        word = b.RealTimeCredit(credits[0]) if packed.real_time else b.CustomerCredits.of(credits)
        body = self._exchange.encode(
            word, packed.message_id, packed.at, priority=2 if packed.real_time else 3
        )
        kind = REAL_TIME if packed.real_time else BATCH
        self._remember(packed.message_id, references)
        return RailMessage(packed.message_id, kind, references, body)

    def _remember(self, message_id: str, references: tuple[str, ...]) -> None:
        self._remembered += len(references) - len(self._contents.pop(message_id, ()))
        self._contents[message_id] = references
        while self._remembered > REMEMBERED:
            self._remembered -= len(self._contents.popitem(last=False)[1])

    def transfer(self, attempt: Attempt) -> b.Credit:
        """The payment as it stands in a batch."""
        return b.Credit(
            transaction_id=attempt.reference,
            amount_fen=attempt.amount_fen,
            payer=party(attempt.payer, self._us.bank_code),
            payee=party(attempt.payee, ""),
            currency=attempt.currency,
            purpose=one_line(attempt.purpose, 140),
            remark=one_line(attempt.remark, 280),
        )

    def original(self, attempt: Attempt) -> m.Original:
        """A payment is named by its transaction id. The batch it travelled in is not asked for: it
        may have been in several, and after a restart nobody here knows."""
        kind = REAL_TIME if attempt.priority is Priority.URGENT else BATCH
        return m.Original(attempt.reference, self._us.sponsor, kind, attempt.reference)

    def reports(self, frame: m.Frame) -> list[RailReport]:
        return reports_of(frame, self._reporter, self._contents)

    async def enquire(self, attempts: Sequence[Attempt]) -> list[RailReport]:
        most = profile.batch_rule_on(china_date(self._clock.now())).payments
        groups = [attempts[start : start + most] for start in range(0, len(attempts), most)]
        pulls = [
            b.StatusPull(tuple([b.Asked(attempt.reference) for attempt in group]))
            for group in groups
        ]
        try:
            answers = await self._exchange.ask(pulls) if pulls else []
        except (NotSent, SentInDoubt, BadMessage) as error:
            # Not having been able to ask says nothing about a payment.
            return [self._silence(one, Concerning.PAYMENT, error.detail) for one in attempts]
        told = {
            report.reference: report
            for frames in answers
            for frame in frames
            if isinstance(frame.message, b.StatusAnswer)
            for report in self.reports(frame)
        }
        return [
            told.get(attempt.reference) or self._silence(attempt, Concerning.PAYMENT)
            for attempt in attempts
        ]
