"""HVPS at the clearing centre: business days, the queue, settlement one by one.

It promises: a payment is settled (PR04) only on its business day, only out of funds the paying
bank may use, in order of priority and arrival, and for ever: what is settled is never revoked. A
payment for which funds are short waits (PR06) and is settled when money comes in; until then it
can be taken back; at the end of the business day what is left is refused (RJ99). While the system
is out of service nothing is taken and nothing settled.

Hours are dated facts of the shipped catalog; the sandbox adds what it announces itself (801, 809).
A payee's bank is not asked before settlement: where it cannot credit, it holds the money (挂账)
and sends it back as a new payment (A105).
Next: ``hvps``, which speaks, ``hvps_notices``, which tells, and ``network``.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from typing import Protocol

from caiwutong.kernel.clock import china_date
from caiwutong.rails.catalog import Catalog, Closed, Open, shipped
from caiwutong.rails.catalog.hours import moment
from caiwutong.rails.catalog.model import Fact
from caiwutong.sandbox.centre import CREDIT, QUEUED, REFUSED, RETURN, REVOKED, SETTLED, Transfer
from caiwutong.sandbox.codes import (
    CENTRE_CHECK,
    END_OF_DAY,
    INSUFFICIENT,
    OTHER,
    REVOKED_CODE,
    words_of,
)
from caiwutong.sandbox.entries import REJECTED, SUSPENSE
from caiwutong.sandbox.entries import REVOKED as TAKEN_BACK
from caiwutong.sandbox.hvps_queue import SYSTEM, Queue, Waiting
from caiwutong.sandbox.network import Network

NORMAL = 3
OUTSIDE_HOURS = ("reject", "hold")
SUSPENSE_S = 60
"""Business seconds after which a payee's bank sends back what it could not credit (own)."""
_LOOK_EVERY_S = 0.05
_INSTITUTIONS = 10**12
"""Above every payment's number, so that settlements of both have numbers of their own."""
_FAR = timedelta(days=60)


class DayListener(Protocol):
    """Told when business days begin and end."""

    def day_began(self, day: date, before: date | None) -> None:
        """Payments of this business day are taken from now on."""
        ...

    def day_ended(self, day: date, settled: list[Transfer]) -> None:
        """The clearing window is over; these were settled on the day."""
        ...


class HvpsCentre:
    """One centre, on the network's banks. It is the network's gross system."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.queue = Queue(network.centre)
        self.outside_hours = "reject"
        """What becomes of a payment that comes while the system is closed: ``reject`` it, or
        ``hold`` it (PR06) for the next business day. An outage always rejects."""
        self._catalog = shipped().with_facts(self.queue.facts())
        self._last_look = 0.0
        self._begun: date | None = None
        self._listeners: list[DayListener] = []
        network.gross[SYSTEM] = self

    def on_days(self, listener: DayListener) -> None:
        """Tell it when business days begin and end."""
        self._listeners.append(listener)

    # -- the business day

    @property
    def catalog(self) -> Catalog:
        """The facts in force here."""
        return self._catalog

    def announce(self, fact: Fact) -> None:
        """Let an announced fact hold from now on."""
        self.queue.announce(fact)
        self._catalog = shipped().with_facts(self.queue.facts())

    def state(self, at: datetime) -> Open | Closed:
        """Open with its business day, or closed with the reason and the next opening."""
        answer = self._catalog.open_at(SYSTEM, at)
        assert isinstance(answer, (Open, Closed)), "the shipped catalog knows the hours"
        return answer

    def business_day(self, at: datetime) -> date | None:
        """The business day a payment made at this moment belongs to: while closed the next one;
        None when no opening is in sight."""
        state = self.state(at)
        if isinstance(state, Closed):
            if state.until is None:
                return None
            state = self.state(state.until)
        return state.system_day if isinstance(state, Open) else None

    def settling_day(self, at: datetime) -> date | None:
        """The business day on which settlement goes on now, the clearing window included."""
        state = self.state(at)
        if isinstance(state, Open):
            return state.system_day
        return china_date(at) if state.why == "clearing_window" else None

    def opens(self, at: datetime) -> datetime | None:
        """None while payments are taken; else when they are again."""
        state = self.state(at)
        if isinstance(state, Open):
            return None
        return state.until or at + _FAR

    # -- one payment

    def take(self, transfer: Transfer) -> Transfer:
        """Put a payment that was just submitted into the queue and settle what can be settled;
        gives it as it then stands."""
        at = self.network.clock.now()
        if not self.queue.noted(transfer):
            day = self.business_day(at) or china_date(at)
            self.queue.note(transfer.originator, transfer.reference, NORMAL, day)
        self.network.centre.enqueue(transfer, at)
        self.drain()
        found = self.network.centre.transfer(transfer.originator, transfer.reference)
        assert found is not None
        return found

    def drain(self) -> int:
        """Settle everything that can be settled now; gives how many. A payment that lacks funds
        holds back those of its bank that come after it in the queue: nothing is overtaken."""
        done = 0
        while True:
            at = self.network.clock.now()
            day = self.settling_day(at)
            following = self._next(day, at) if day is not None else None
            if day is None or following is None:
                return done
            self._settle(following, at, day)
            done += 1

    def _next(self, day: date, at: datetime) -> Transfer | None:
        now = at.timestamp()
        short: set[str] = set()
        for each in self.queue.waiting():
            transfer = each.transfer
            if each.day > day or each.due_at > now or transfer.payer_bank in short:
                continue
            funds = self.network.accounts.of(transfer.payer_bank)
            if funds.usable_fen >= transfer.amount_fen:
                return transfer
            short.add(transfer.payer_bank)
        return None

    def _settle(self, transfer: Transfer, at: datetime, day: date) -> None:
        network = self.network
        # The payer's debit first, then the centre's word, durable before any bank books.
        network.commits.flush()
        settled = network.centre.dequeue(transfer, SETTLED, "", "", at)
        assert settled is not None, "nobody else takes from the queue meanwhile"
        network.accounts.move(transfer.payer_bank, transfer.payee_bank, transfer.amount_fen)
        self.queue.settled(transfer, day)
        network.centre.commit()
        self._finish(settled, at)

    def _finish(self, transfer: Transfer, at: datetime) -> None:
        """The banks book, and everyone is told. What is told and that it is booked become durable
        together; a kill before that does it again, which changes nothing at the banks."""
        self._book(transfer, at)
        self.network.commits.flush()
        self.queue.booked(transfer)
        for front in self.network.fronts:
            front.netted([transfer])

    def _book(self, transfer: Transfer, at: datetime) -> None:
        network = self.network
        payer, payee = network.books[transfer.payer_bank], network.books[transfer.payee_bank]
        order = transfer.order
        known = payee.credited(transfer.originator, transfer.reference)
        bad = "" if known else payee.check_payee(order.payee_account, order.payee_name)
        if bad and transfer.kind == CREDIT:
            payer.complete(transfer.originator, transfer.reference, at)
            held = order._replace(payee_account=SUSPENSE, purpose=f"挂账 {words_of(bad)}")
            payee.credit(held, "incoming", transfer.reference, at)
            network.centre.plan_return(transfer, at.timestamp() + SUSPENSE_S)
        else:
            network.book_transfer(transfer, at)
            network.plan_return(transfer, at)
        if payer is not payee:
            # Numbers below zero: those above belong to the clearing points.
            payer.settle(-transfer.seq, transfer.amount_fen)
            payee.settle(-transfer.seq, -transfer.amount_fen)

    def revoke(self, originator: str, reference: str) -> tuple[bool, Transfer | None]:
        """Take a payment out of the queue (撤销). True when it is (or already was) revoked; False
        with the transfer as it stands when it is settled or ended, with None when unknown."""
        transfer = self.network.centre.transfer(originator, reference)
        if transfer is None or transfer.system != SYSTEM:
            return False, None
        if transfer.status != QUEUED:
            return transfer.status == REVOKED, transfer
        ended = self._end(transfer, REVOKED, REVOKED_CODE, TAKEN_BACK)
        self.drain()
        return True, ended

    def _end(self, transfer: Transfer, status: str, code: str, at_bank: str) -> Transfer:
        """Out of the queue without settlement: the payer gets the money back."""
        network, at = self.network, self.network.clock.now()
        network.commits.flush()
        ended = network.centre.dequeue(transfer, status, code, words_of(code), at)
        assert ended is not None
        # The centre's word must be durable before the payer's bank gives the money back.
        network.centre.commit()
        network.books[transfer.payer_bank].undo(
            transfer.originator, transfer.reference, at_bank, code, words_of(code), at
        )
        return ended

    # -- between institutions

    def transfer_reserves(
        self, sender: str, reference: str, payer: str, payee: str, fen: int
    ) -> str:
        """hvps.112: move money between two settlement accounts, once. Empty when it is done (or
        was), else why not: a reject code."""
        known = self.queue.institution(sender, reference)
        if known is not None:
            return "" if known[1:] == (fen, payer, payee) else OTHER
        if why := self.reserves_refusal(payer, payee, fen):
            return why
        # The debits of what waits must be durable before anything of the centre is.
        self.network.commits.flush()
        number = self.queue.add_institution(sender, reference, fen, payer, payee)
        self.network.accounts.move(payer, payee, fen)
        self.network.centre.commit()
        self._book_reserves(number, fen, payer, payee)
        self.drain()
        return ""

    def reserves_refusal(self, payer: str, payee: str, fen: int) -> str:
        """Why an hvps.112 of these would be refused now: a reject code, or empty."""
        books = self.network.books
        if payer not in books or payee not in books or payer == payee:
            return CENTRE_CHECK
        if self.settling_day(self.network.clock.now()) is None:
            return CENTRE_CHECK
        return "" if self.network.accounts.of(payer).usable_fen >= fen else INSUFFICIENT

    def _book_reserves(self, number: int, fen: int, payer: str, payee: str) -> None:
        settlement = -_INSTITUTIONS - number
        self.network.books[payer].lend(settlement, fen)
        self.network.books[payee].lend(settlement, -fen)

    # -- time, healing, recovery

    def tick(self, now: float) -> None:
        """Begin and end business days, settle what has become due."""
        real = time.monotonic()
        if real < self._last_look + _LOOK_EVERY_S:
            return
        self._last_look = real
        self.look()

    def look(self) -> None:
        """What ``tick`` does, now."""
        at = self.network.clock.now()
        for day in self.queue.unended():
            if self._over(day, at):
                self._end_day(day)
        state = self.state(at)
        if isinstance(state, Open) and state.system_day != self._begun:
            self._begin_day(state.system_day)
        if not self.queue.is_empty():
            self._refuse_what_is_late(at)
            self.drain()

    def _begin_day(self, day: date) -> None:
        self._begun = day
        if self.queue.begun(day):
            for listener in self._listeners:
                listener.day_began(day, self.queue.last_day_before(day))

    def _over(self, day: date, at: datetime) -> bool:
        """Whether the clearing window of this business day has passed."""
        hours = self._catalog.hours_on(SYSTEM, day, "")
        assert hours is not None
        return at >= moment(day, hours.clearing_until or hours.closes)

    def _end_day(self, day: date) -> None:
        self._refuse_what_is_late(self.network.clock.now())
        self.queue.ended(day)
        settled = self.queue.settled_on(day)
        for listener in self._listeners:
            listener.day_ended(day, settled)

    def _refuse_what_is_late(self, at: datetime) -> None:
        """What is left of an earlier business day is refused; a return waits for the next: its
        money is with neither customer and must arrive."""
        for each in self.queue.waiting():
            if not self._over(each.day, at):
                continue
            if each.transfer.kind == RETURN:
                self.queue.postpone(each, self.business_day(at) or each.day + timedelta(days=1))
                continue
            ended = self._end(each.transfer, REFUSED, END_OF_DAY, REJECTED)
            self.network.tell_answered(ended)

    def heal(self, bank: str = "") -> int:
        """Speak again about what was kept silent; gives how many were woken."""
        woken = self.queue.wake(bank)
        if woken:
            self.drain()
        return woken

    def waiting(self) -> list[Waiting]:
        """The queue in its order."""
        return self.queue.waiting()

    def recover(self) -> int:
        """After a kill: book what was settled and not booked. Gives how many."""
        at = self.network.clock.now()
        for institution in self.queue.institutions():
            self._book_reserves(*institution)
        unbooked = self.queue.unbooked()
        for transfer in unbooked:
            self._finish(transfer, at)
        return len(unbooked)
