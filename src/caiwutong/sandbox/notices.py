"""What the centre tells the participant by itself: late answers, netting, clearing, returns.

One netting notice (601) and one clearing notice (603) carry many payments, so that their signature
is shared. Faults may withhold a payment from every notice, tell it twice, or tell the payee bank's
yes only after the netting it belongs before.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import groupby

from caiwutong.kernel.clock import china_date
from caiwutong.rails.contract import AccountAtBank
from caiwutong.rails.ibps import messages as m
from caiwutong.rails.ibps.reports import TRANSFER
from caiwutong.sandbox.centre import RETURN, Transfer
from caiwutong.sandbox.doors import Speaker
from caiwutong.sandbox.faults import FaultKind
from caiwutong.sandbox.network import COUNTER, Network
from caiwutong.sandbox.pushes import Pushes
from caiwutong.sandbox.sponsor import CHANNEL, answer_of, tells_late

PER_NOTICE = 400
"""Payments in one notice; about 120 kB."""


class Notices:
    """The sponsor's ``Front``: turns what happened into pushes."""

    def __init__(self, network: Network, speaker: Speaker, pushes: Pushes, path: str) -> None:
        self._network = network
        self._speaker = speaker
        self._pushes = pushes
        self._path = path
        self._code = network.world.sponsor

    def push(self, message: m.Message) -> None:
        """Send one message to the hub."""
        self._pushes.put(self._path, self._speaker.frame(message), glue=True)

    def _strike(self, kind: FaultKind, transfer: Transfer) -> bool:
        at = self._network.clock.now()
        faults = self._network.faults
        return faults.strike(kind, transfer.reference, at, channel=CHANNEL) is not None

    def _tells_late(self, transfer: Transfer) -> bool:
        at = self._network.clock.now()
        return tells_late(self._network.faults, transfer.reference, at)

    # -- Front

    def answered(self, transfer: Transfer) -> None:
        """A 102 that did not come with the response."""
        if transfer.originator != self._code or transfer.system != CHANNEL:
            return
        if self._strike(FaultKind.LOST_NOTICE, transfer):
            return
        message = answer_of(transfer)
        self.push(message)
        if self._strike(FaultKind.DUPLICATE, transfer):
            self.push(message)

    def netted(self, transfers: list[Transfer]) -> None:
        """601 for our payments out and for money coming in; the A105 of returns; then the answers
        that a fault has put out of order."""
        told = self._told(transfers)
        number = str(transfers[0].round)
        at = self._network.clock.now()
        for chunk in _chunks(told):
            self.push(self._netting(number, chunk, at))
        again = [each for each in told if self._strike(FaultKind.DUPLICATE, each)]
        for chunk in _chunks(again):
            self.push(self._netting(number, chunk, at))
        for transfer in told:
            if transfer.kind == RETURN:
                self._push_return(transfer)
            elif transfer.originator == self._code and self._tells_late(transfer):
                self.push(answer_of(transfer))

    def settled(self, settlement: int, transfers: list[Transfer]) -> None:
        """603, one or more for each netting round that was settled."""
        at = self._network.clock.now()
        told = sorted(self._told(transfers), key=lambda each: each.round or 0)
        for number, group in groupby(told, key=lambda each: each.round or 0):
            for chunk in _chunks(list(group)):
                net, payments = self._payments(chunk)
                day = _day(chunk[0])
                self.push(m.ClearingNotice(str(number), _whole(at), day, net, payments))

    # -- words

    def _told(self, transfers: Iterable[Transfer]) -> list[Transfer]:
        ours = [
            each
            for each in transfers
            if each.system == CHANNEL and self._code in (each.payer_bank, each.payee_bank)
        ]
        return [
            each
            for each in ours
            if each.originator.endswith(COUNTER) or not self._strike(FaultKind.LOST_NOTICE, each)
        ]

    def _netting(self, number: str, chunk: list[Transfer], at: datetime) -> m.NettingNotice:
        net, payments = self._payments(chunk)
        return m.NettingNotice(number, _whole(at), china_date(at), net, payments)

    def _payments(self, chunk: list[Transfer]) -> tuple[int, tuple[m.NettedPayment, ...]]:
        payments = tuple(
            m.NettedPayment(
                message_id=each.message_id or each.reference,
                sender=each.payer_bank,
                amount_fen=-each.amount_fen if each.payer_bank == self._code else each.amount_fen,
                kind=TRANSFER,
            )
            for each in chunk
        )
        return sum(each.amount_fen for each in payments), payments

    def _push_return(self, transfer: Transfer) -> None:
        """The money of one of our payments came back: the A105 credit itself."""
        if transfer.original_originator != self._code:
            return
        banks = self._network.books
        message = m.CreditTransfer(
            amount_fen=transfer.amount_fen,
            payer=AccountAtBank(
                transfer.payer_name,
                transfer.payer_account,
                transfer.payer_bank,
                banks[transfer.payer_bank].name,
            ),
            payee=AccountAtBank(
                transfer.payee_name,
                transfer.payee_account,
                transfer.payee_bank,
                banks[transfer.payee_bank].name,
            ),
            type_code=RETURN,
            remark=transfer.purpose,
            original=m.Original(
                transfer.original_reference, transfer.original_originator, TRANSFER
            ),
        )
        body = self._speaker.frame(
            message, sender=transfer.payer_bank, message_id=transfer.reference
        )
        self._pushes.put(self._path, body, glue=True)


def _chunks(transfers: list[Transfer]) -> Iterable[list[Transfer]]:
    for start in range(0, len(transfers), PER_NOTICE):
        yield transfers[start : start + PER_NOTICE]


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _day(transfer: Transfer) -> date:
    return china_date(datetime.fromtimestamp(transfer.received_at, UTC))
