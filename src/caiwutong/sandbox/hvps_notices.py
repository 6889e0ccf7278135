"""What the centre tells the participant over HVPS by itself: settlement, refusal at the end of the
day, returns, the list of a day, announcements.

Each payment is told by a 900 the moment it is settled and once more in the list of its business
day (603), so that a lost 900 is made good. Faults may withhold a payment from every notice, or
tell it twice. Next: ``hvps_centre``, whose words these are.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from caiwutong.kernel.clock import CHINA
from caiwutong.rails.catalog.model import Limit, Maintenance, SystemDay
from caiwutong.rails.cnaps import messages as m
from caiwutong.rails.contract import AccountAtBank
from caiwutong.rails.hvps import messages as h
from caiwutong.sandbox.centre import RETURN, Transfer
from caiwutong.sandbox.doors import Speaker
from caiwutong.sandbox.faults import FaultKind
from caiwutong.sandbox.hvps import TRANSFER, confirm
from caiwutong.sandbox.hvps_centre import HvpsCentre
from caiwutong.sandbox.hvps_queue import SYSTEM
from caiwutong.sandbox.network import COUNTER
from caiwutong.sandbox.pushes import Pushes

PER_NOTICE = 500
_NAME = SYSTEM.upper()
_OPEN, _ENDED, _STOPPED = "10", "40", "50"


class HvpsNotices:
    """The HVPS ``Front``: turns what happened into pushes."""

    def __init__(self, centre: HvpsCentre, speaker: Speaker, pushes: Pushes, path: str) -> None:
        self._centre = centre
        self._network = centre.network
        self._speaker = speaker
        self._pushes = pushes
        self._path = path
        self._code = centre.network.world.sponsor
        centre.on_days(self)

    def push(self, message: Any, *, sender: str = "", message_id: str = "") -> None:
        """Send one message to the hub."""
        body = self._speaker.frame(message, sender=sender, message_id=message_id)
        self._pushes.put(self._path, body, glue=True)

    # -- Front

    def answered(self, transfer: Transfer) -> None:
        """A payment left the queue without settlement."""
        self._tell(transfer)

    def netted(self, transfers: list[Transfer]) -> None:
        """Settled and booked: on HVPS nothing is netted, each is final by itself."""
        for transfer in transfers:
            if transfer.system != SYSTEM:
                continue
            if transfer.kind == RETURN:
                self._push_return(transfer)
            elif transfer.payee_bank == self._code:
                self._push_incoming(transfer)
            self._tell(transfer)

    def settled(self, settlement: int, transfers: list[Transfer]) -> None:
        """Clearing points concern what is netted."""

    def _tell(self, transfer: Transfer) -> None:
        """The 900 on a payment of ours."""
        if transfer.system != SYSTEM or transfer.originator != self._code:
            return
        if self._strike(FaultKind.LOST_NOTICE, transfer):
            return
        original = m.Original(transfer.reference, self._code, TRANSFER)
        self.push(confirm(original, None, transfer))
        if self._strike(FaultKind.DUPLICATE, transfer):
            self.push(confirm(original, None, transfer))

    def _strike(self, kind: FaultKind, transfer: Transfer) -> bool:
        at = self._network.clock.now()
        found = self._network.faults.strike(kind, transfer.reference, at, channel=SYSTEM)
        return found is not None

    # -- money that comes in

    def _push_return(self, transfer: Transfer) -> None:
        """The money of one of our payments came back: a new hvps.111 of type A105."""
        original = self._network.centre.transfer(
            transfer.original_originator, transfer.original_reference
        )
        if original is None or original.originator != self._code:
            return
        message = h.CreditTransfer(
            amount_fen=transfer.amount_fen,
            payer=self._party(original.payee_name, original.payee_account, original.payee_bank),
            payee=self._party(original.payer_name, original.payer_account, original.payer_bank),
            type_code=RETURN,
            remark=transfer.purpose,
            original=m.Original(original.reference, original.originator, TRANSFER),
        )
        self.push(message, sender=transfer.payer_bank, message_id=transfer.reference)

    def _push_incoming(self, transfer: Transfer) -> None:
        """A payment of somebody else to an account of ours."""
        message = h.CreditTransfer(
            amount_fen=transfer.amount_fen,
            payer=self._party(transfer.payer_name, transfer.payer_account, transfer.payer_bank),
            payee=self._party(transfer.payee_name, transfer.payee_account, transfer.payee_bank),
            remark=transfer.purpose,
        )
        if transfer.originator.endswith(COUNTER):
            self.push(message, sender=transfer.payer_bank, message_id=transfer.reference)

    def _party(self, name: str, account: str, bank: str) -> AccountAtBank:
        return AccountAtBank(name, account, bank, self._network.books[bank].name)

    def funded(self, payer: str, amount_fen: int, reference: str) -> None:
        """hvps.112: another institution's money has come to our settlement account."""
        message = h.InstitutionTransfer(amount_fen, payer, self._code, words="头寸调拨")
        self.push(message, sender=payer, message_id=reference)

    # -- DayListener

    def day_began(self, day: date, before: date | None) -> None:
        """801: the system is open for this business day."""
        self._system_day(day, before, _OPEN, "业务开始受理")

    def day_ended(self, day: date, settled: list[Transfer]) -> None:
        """603, one or more: what was settled on the day, ours only; and 801."""
        ours = [
            each
            for each in settled
            if each.originator == self._code and not self._strike(FaultKind.LOST_NOTICE, each)
        ]
        at = _whole(self._network.clock.now())
        for chunk in _chunks(ours):
            payments = tuple(
                [
                    m.NettedPayment(each.reference, self._code, -each.amount_fen, TRANSFER)
                    for each in chunk
                ]
            )
            net = sum([each.amount_fen for each in payments])
            self.push(m.ClearingNotice(f"{day:%Y%m%d}", at, day, net, payments))
        self._system_day(day, day, _ENDED, "日终处理完成")

    def _system_day(self, day: date, before: date | None, status: str, words: str) -> None:
        at = _whole(self._network.clock.now())
        previous = before or day - timedelta(days=1)
        self.push(m.SystemDay(_NAME, previous, day, status, at, words=words))

    # -- announcements

    def announce_outage(self, since: datetime, until: datetime | None, words: str) -> None:
        """809, and the centre holds to it."""
        self._centre.announce(
            Maintenance(
                rail=SYSTEM, valid_from=since, valid_until=until, words=words, source="the sandbox"
            )
        )
        self.push(m.Outage(_NAME, since, until, words))

    def announce_day(self, day: date, *, working: bool, words: str) -> None:
        """801: whether the system works on a day, whatever the calendar says."""
        at = _whole(self._network.clock.now())
        self._centre.announce(
            SystemDay(rail=SYSTEM, valid_from=at, day=day, working=working, source="the sandbox")
        )
        status = _OPEN if working else _STOPPED
        previous = at.astimezone(CHINA).date()
        self.push(m.SystemDay(_NAME, previous, day, status, at, not working, words))

    def announce_limit(
        self, system: str, amount_fen: int, since: datetime, until: datetime | None, words: str
    ) -> None:
        """926: the most one payment may carry. HVPS holds to its own; about another system it is
        only passed on."""
        if system == SYSTEM:
            self._centre.announce(
                Limit(
                    rail=SYSTEM,
                    valid_from=since,
                    valid_until=until,
                    per_payment_fen=amount_fen,
                    source="the sandbox",
                )
            )
        self.push(m.LimitChange(system.upper(), amount_fen, since, until, words=words))


def _chunks(transfers: list[Transfer]) -> Iterable[list[Transfer]]:
    for start in range(0, len(transfers), PER_NOTICE):
        yield transfers[start : start + PER_NOTICE]


def _whole(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)
