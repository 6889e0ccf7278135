"""What the centre tells the participant over BEPS by itself: late answers, netting, clearing,
returns, outages.

One notice carries up to ``PER_NOTICE`` payments under one signature. Returns of a round travel
together as one batch of A105 credits. Faults may withhold a payment from every notice, or tell it
twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Any

from caiwutong.kernel.clock import china_date
from caiwutong.rails.beps import messages as b
from caiwutong.rails.cnaps import codes
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.contract import AccountAtBank
from caiwutong.sandbox.beps import confirm, outcome_of, round_of
from caiwutong.sandbox.beps_centre import SYSTEM, BepsCentre
from caiwutong.sandbox.centre import RETURN, Transfer
from caiwutong.sandbox.doors import Speaker
from caiwutong.sandbox.faults import FaultKind
from caiwutong.sandbox.network import COUNTER, Network
from caiwutong.sandbox.pushes import Pushes

BATCH = "beps.121.001.01"
PER_NOTICE = 500
"""Payments in one notice; about 130 kB."""


class BepsNotices:
    """The BEPS ``Front``: turns what happened into pushes."""

    def __init__(self, centre: BepsCentre, speaker: Speaker, pushes: Pushes, path: str) -> None:
        self._centre = centre
        self._network: Network = centre.network
        self._speaker = speaker
        self._pushes = pushes
        self._path = path
        self._code = self._network.world.sponsor
        self._answered: list[Transfer] = []

    def push(self, message: Any) -> None:
        """Send one message to the hub."""
        self._pushes.put(self._path, self._speaker.frame(message), glue=True)

    def tick(self, now: float) -> None:
        """Tell what payees' banks have answered since the last tick, a 900 for each batch; and
        announce maintenance a day ahead."""
        answered, self._answered = self._answered, []
        answered.sort(key=lambda each: each.message_id)
        for message_id, group in groupby(answered, key=lambda each: each.message_id):
            original = m.Original(message_id, self._code, BATCH)
            self.push(confirm(original, tuple([outcome_of(each) for each in group])))
        due = self._centre.due_maintenance(self._network.clock.now())
        if due is not None:
            self.announce(due.valid_from, due.valid_until, due.words)

    def announce(self, since: datetime, until: datetime | None, words: str) -> None:
        """809: the system will be out of service."""
        self.push(m.Outage(SYSTEM.upper(), since, until, words))

    # -- Front

    def answered(self, transfer: Transfer) -> None:
        """An answer that did not come with the response."""
        if transfer.system != SYSTEM or transfer.originator != self._code:
            return
        if self._strike(FaultKind.LOST_NOTICE, transfer):
            return
        self._answered.append(transfer)
        if self._strike(FaultKind.DUPLICATE, transfer):
            self._answered.append(transfer)

    def netted(self, transfers: list[Transfer]) -> None:
        """601 for our payments out and for money coming in; the returns of the round."""
        told = self._told(transfers)
        at = self._network.clock.now()
        again = [each for each in told if self._strike(FaultKind.DUPLICATE, each)]
        for chunk in (*_chunks(told), *_chunks(again)):
            net, payments = self._payments(chunk)
            number = round_of(chunk[0])
            self.push(m.NettingNotice(number, _whole(at), china_date(at), net, payments))
        back = [
            each for each in told if each.kind == RETURN and each.original_originator == self._code
        ]
        # One bank speaks in a batch: the one that returns the money.
        back.sort(key=lambda each: each.payer_bank)
        for bank, group in groupby(back, key=lambda each: each.payer_bank):
            for chunk in _chunks(list(group)):
                self._push_returns(bank, chunk)

    def settled(self, settlement: int, transfers: list[Transfer]) -> None:
        """603, one or more for each netting round that was settled."""
        at = self._network.clock.now()
        told = sorted(self._told(transfers), key=round_of)
        for number, group in groupby(told, key=round_of):
            for chunk in _chunks(list(group)):
                net, payments = self._payments(chunk)
                self.push(m.ClearingNotice(number, _whole(at), _day(chunk[0]), net, payments))

    # -- words

    def _strike(self, kind: FaultKind, transfer: Transfer) -> bool:
        at = self._network.clock.now()
        found = self._network.faults.strike(kind, transfer.reference, at, channel=SYSTEM)
        return found is not None

    def _told(self, transfers: Iterable[Transfer]) -> list[Transfer]:
        ours = [
            each
            for each in transfers
            if each.system == SYSTEM and self._code in (each.payer_bank, each.payee_bank)
        ]
        return [
            each
            for each in ours
            if each.originator.endswith(COUNTER) or not self._strike(FaultKind.LOST_NOTICE, each)
        ]

    def _payments(self, chunk: list[Transfer]) -> tuple[int, tuple[m.NettedPayment, ...]]:
        payments = tuple(
            [
                m.NettedPayment(
                    message_id=each.message_id or each.reference,
                    sender=each.payer_bank,
                    amount_fen=-each.amount_fen
                    if each.payer_bank == self._code
                    else each.amount_fen,
                    kind=BATCH,
                    transaction_id=each.reference,
                )
                for each in chunk
            ]
        )
        return sum([each.amount_fen for each in payments]), payments

    def _push_returns(self, bank: str, transfers: list[Transfer]) -> None:
        """The money of payments of ours came back: a batch of A105 credits."""
        credits = [self._return(each) for each in transfers]
        message = b.CustomerCredits.of(credits)
        body = self._speaker.frame(message, sender=bank, message_id=transfers[0].reference)
        self._pushes.put(self._path, body, glue=True)

    def _return(self, transfer: Transfer) -> b.Credit:
        banks = self._network.books
        original = transfer.original_reference
        return b.Credit(
            transaction_id=transfer.reference,
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
            remark=transfer.purpose or codes.words_for("RJ90"),
            original=m.Original(original, transfer.original_originator, BATCH, original),
        )


def _chunks(transfers: list[Transfer]) -> Iterable[list[Transfer]]:
    for start in range(0, len(transfers), PER_NOTICE):
        yield transfers[start : start + PER_NOTICE]


def _whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _day(transfer: Transfer) -> date:
    return china_date(datetime.fromtimestamp(transfer.received_at, UTC))
