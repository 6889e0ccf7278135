"""The banks and the centre joined into one network that money can cross.

It owns the order of things: the payer's bank debits before the centre hears; the payee's bank says
yes or no; the centre nets, durably, before any bank books; what a killed process left half-way is
found in the books and finished (``recovery``). Protocols stay outside: the ways in (``sponsor`` for
IBPS, ``direct`` for bank-direct) call ``pay`` and are told what happens through ``Front``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from caiwutong.kernel.clock import Clock, china_date
from caiwutong.sandbox.books import Book
from caiwutong.sandbox.centre import (
    CREDIT,
    IBPS,
    NETTED,
    REFUSED,
    RETURN,
    SETTLED,
    Centre,
    Transfer,
)
from caiwutong.sandbox.codes import CENTRE_CHECK, END_OF_DAY, REVOKED_CODE, words_of
from caiwutong.sandbox.commits import Commits
from caiwutong.sandbox.entries import (
    REJECTED,
    RESERVE,
    REVOKED,
    Execution,
    Instruction,
)
from caiwutong.sandbox.faults import FaultKind, Faults
from caiwutong.sandbox.gross import Gross
from caiwutong.sandbox.settlement import SettlementAccounts
from caiwutong.sandbox.timers import Timers
from caiwutong.sandbox.world import World

COUNTER = "-counter"
"""Ends the originator of what outsiders and banks send themselves (柜面): not the hub's doing."""

OWN_RETURN = "RT"
"""Begins the reference of a return a bank sends by itself."""
LEAST_NETTING_REAL_S = 0.05
LEAST_CLEARING_REAL_S = 0.5
"""However fast business time runs, rounds come no more often than this: each costs signatures."""

_log = logging.getLogger("caiwutong.sandbox")


class Front(Protocol):
    """A way into the network: told what became of transfers that concern its customers."""

    def answered(self, transfer: Transfer) -> None:
        """The payee's bank has said yes (PR10) or no (PR09), later than ``pay`` returned."""
        ...

    def netted(self, transfers: list[Transfer]) -> None:
        """These are netted and booked. Both payments out and money coming in."""
        ...

    def settled(self, settlement: int, transfers: list[Transfer]) -> None:
        """The net of these has been settled between the banks."""
        ...


class Paid(NamedTuple):
    """What ``pay`` did: the execution at the payer's bank and, where it came that far, the
    transfer. ``first`` is False when the reference was known and nothing was done."""

    execution: Execution
    transfer: Transfer | None
    first: bool


class Network:
    """All banks, the centre, their faults and their time."""

    def __init__(
        self,
        folder: Path,
        world: World,
        clock: Clock,
        faults: Faults,
        *,
        netting_s: float = 2.0,
        clearing_s: float = 600.0,
    ) -> None:
        """``netting_s`` and ``clearing_s``: business seconds between netting rounds and between
        clearing points."""
        self.world = world
        self.clock = clock
        self.faults = faults
        self.timers = Timers(clock)
        self.books = {
            bank.code: Book(folder / f"bank-{bank.code}.db", bank.code, bank.name, bank.fees)
            for bank in world.banks
        }
        for code, book in self.books.items():
            book.overcharges = partial(self._overcharges, code)
        self.centre = Centre(folder / "centre.db")
        self.commits = Commits([*self.books.values(), self.centre])
        self.netting_s = netting_s
        self.clearing_s = clearing_s
        self.accounts = SettlementAccounts(self.centre)
        self.fronts: list[Front] = []
        self.gross: dict[str, Gross] = {}
        """The systems that settle gross, by name."""
        self.credits_at_acceptance: Callable[[Transfer], bool] = lambda transfer: False
        """Whether the payee's bank credits its customer when it says yes, before the netting."""
        now = clock.now().timestamp()
        self._next_net = now + netting_s
        self._next_clear = now + clearing_s
        self._last_net = self._last_clear = 0.0
        self._day = self._today()
        self._returns = 0
        self._stalled: set[int] = set()
        self.timers.every_tick(self._tick)

    def _overcharges(self, bank: str, reference: str, at: datetime) -> str:
        rule = self.faults.strike(FaultKind.OVERCHARGE, reference, at, bank=bank)
        return rule.mode if rule is not None else ""

    def open_books(self) -> None:
        """Open every account of the world with its balance, once."""
        at = self.clock.now()
        for own in self.world.accounts:
            self.books[own.bank_code].open_account(
                own.account,
                own.name,
                nature=own.nature,
                owner="group",
                opening_fen=own.opening_fen,
                overdraft_fen=own.overdraft_fen,
                at=at,
            )
        for payee in self.world.payees:
            state = payee.condition if payee.condition in ("frozen", "closed") else "active"
            self.books[payee.bank_code].open_account(
                payee.account,
                payee.name_at_bank or payee.name,
                state=state,
                opening_fen=payee.opening_fen,
                at=at,
            )
        for code, book in self.books.items():
            self.accounts.open(code, -book.internal_fen(RESERVE))
        self.commits.flush()

    def close(self) -> None:
        """Commit everything and let go of the files."""
        self.commits.flush()
        for book in self.books.values():
            book.close()
        self.centre.close()

    # -- paying

    def pay(
        self,
        order: Instruction,
        payer_bank: str,
        *,
        channel: str = "",
        message_id: str = "",
        system: str = IBPS,
        inside: bool = False,
    ) -> Paid:
        """Take an order at the payer's bank and send it on its way over a clearing system.
        ``inside``: within one bank, booked at once without the centre. Idempotent by (originator,
        reference)."""
        at = self.clock.now()
        book = self.books[payer_bank]
        if order.payee_bank not in self.books:
            words = f"收款行 {order.payee_bank} 不存在"
            refused = book.refuse(
                order, CENTRE_CHECK, words, at, system=system, message_id=message_id
            )
            return Paid(refused, None, True)
        execution, first = book.begin(order, at, system=system, message_id=message_id)
        if not first:
            transfer = self.centre.transfer(order.originator, order.reference)
            return Paid(execution, transfer, False)
        if execution.status == REJECTED:
            return Paid(execution, None, True)
        if inside:
            return Paid(self._pay_inside(book, order, at), None, True)
        transfer = self.centre.submit(order, payer_bank, at, message_id=message_id, system=system)
        transfer = self.forward(transfer, channel)
        if transfer.status in (REFUSED, SETTLED):
            execution = book.execution(order.originator, order.reference) or execution
        return Paid(execution, transfer, True)

    def _pay_inside(self, book: Book, order: Instruction, at: datetime) -> Execution:
        code = book.check_payee(order.payee_account, order.payee_name)
        if code:
            book.undo(order.originator, order.reference, REJECTED, code, words_of(code), at)
        else:
            book.complete(order.originator, order.reference, at)
            book.credit(order, "incoming", order.reference, at)
        done = book.execution(order.originator, order.reference)
        assert done is not None
        return done

    def forward(self, transfer: Transfer, channel: str) -> Transfer:
        """Put the transfer before the payee's bank, which may answer now, later, or be silent."""
        if gross := self.gross.get(transfer.system):
            return gross.take(transfer)
        reference, bank, at = transfer.reference, transfer.payee_bank, self.clock.now()

        def strike(kind: FaultKind):
            return self.faults.strike(kind, reference, at, channel=channel, bank=bank)

        if transfer.originator.endswith(COUNTER):
            return self._ask(transfer)
        if strike(FaultKind.SILENT):
            self._stalled.add(transfer.seq)
            return transfer
        if rule := strike(FaultKind.SLOW_BANK):
            self.timers.after(rule.delay_s, lambda: self._ask_later(transfer))
            return transfer
        if rule := strike(FaultKind.REJECT):
            return self._decide(transfer, rule.code, words_of(rule.code) or "收款行拒绝")
        return self._ask(transfer)

    def _ask(self, transfer: Transfer) -> Transfer:
        book = self.books[transfer.payee_bank]
        if book.credited(transfer.originator, transfer.reference):
            # Credited at acceptance, and then the centre's note of the yes was lost in a kill.
            return self._decide(transfer, "", "")
        code = book.check_payee(transfer.payee_account, transfer.payee_name)
        return self._decide(transfer, code, words_of(code))

    def _ask_later(self, transfer: Transfer) -> None:
        self._stalled.discard(transfer.seq)
        answered = self._ask(transfer)
        if answered is not transfer:
            self.tell_answered(answered)

    def _decide(self, transfer: Transfer, code: str, words: str) -> Transfer:
        """Note the payee bank's answer; a no gives the payer the money back."""
        at = self.clock.now()
        answered = self.centre.answer(transfer, code, words, at)
        if answered is None:
            return transfer
        if code:
            self.books[transfer.payer_bank].undo(
                transfer.originator, transfer.reference, REJECTED, code, words, at
            )
        elif self.credits_at_acceptance(answered):
            self._credit_payee(answered, at)
        return answered

    def tell_answered(self, transfer: Transfer) -> None:
        """Tell the fronts that the payee's bank has answered."""
        for front in self.fronts:
            front.answered(transfer)

    def revoke(self, originator: str, reference: str) -> tuple[bool, Transfer | None]:
        """Take a payment back (撤销). True when it is (or already was) revoked; False with the
        transfer as it stands when it is too late (netted, or the payee has the money already),
        with None when it is not known."""
        transfer = self.centre.transfer(originator, reference)
        if transfer is None:
            return False, None
        if self.books[transfer.payee_bank].credited(originator, reference):
            return False, transfer
        at = self.clock.now()
        revoked = self.centre.revoke(transfer, at)
        if revoked is None:
            return transfer.status == "PR08", transfer
        # The centre's word must be durable before the payer's bank gives the money back.
        self.commits.flush()
        self.books[transfer.payer_bank].undo(
            originator, reference, REVOKED, REVOKED_CODE, words_of(REVOKED_CODE), at
        )
        return True, revoked

    # -- rounds

    def net(self, system: str = IBPS, most: int = -1) -> int:
        """Close a netting round of this system now, or its oldest ``most``; gives how many
        transfers it made final."""
        self.commits.flush()
        at = self.clock.now()
        if system == IBPS:
            self._next_net = at.timestamp() + self.netting_s
        transfers = self.centre.net(at, system, most)
        if not transfers:
            return 0
        self.centre.commit()
        for transfer in transfers:
            self.book_transfer(transfer, at)
            self.plan_return(transfer, at)
        self.close_round(transfers)
        return len(transfers)

    def net_all(self) -> int:
        """Close a round of every system in which something waits; gives how many transfers."""
        return sum(self.net(system) for system in self.centre.waiting_systems())

    def close_round(self, transfers: list[Transfer]) -> None:
        """The banks have booked: tell everyone. What is told and that the round is done become
        durable together; a kill before that tells it again, never not at all."""
        self.commits.flush()
        self.centre.booked(int(transfers[0].round or 0))
        for front in self.fronts:
            front.netted(transfers)

    def book_transfer(self, transfer: Transfer, at: datetime) -> None:
        """Book a netted transfer at both banks; booking it again changes nothing."""
        payer, payee = self.books[transfer.payer_bank], self.books[transfer.payee_bank]
        payer.complete(transfer.originator, transfer.reference, at)
        if transfer.kind == RETURN:
            payee.credit(transfer.order, "return", transfer.original_reference, at)
            payee.mark_returned(transfer.original_originator, transfer.original_reference)
        else:
            self._credit_payee(transfer, at)

    def _credit_payee(self, transfer: Transfer, at: datetime) -> None:
        own = not transfer.originator.endswith(COUNTER)
        shown = transfer.reference if own else ""
        self.books[transfer.payee_bank].credit(transfer.order, "incoming", shown, at)

    def plan_return(self, transfer: Transfer, at: datetime) -> None:
        """Let the payee's bank send a payment back later, where a fault says so."""
        if transfer.kind != CREDIT or transfer.originator.endswith(COUNTER):
            return
        bank = transfer.payee_bank
        rule = self.faults.strike(FaultKind.RETURN, transfer.reference, at, bank=bank)
        if rule:
            self.centre.plan_return(transfer, at.timestamp() + rule.delay_s)

    def clear(self) -> int:
        """Reach the clearing point now; gives how many transfers were settled."""
        self.commits.flush()
        at = self.clock.now()
        self._next_clear = at.timestamp() + self.clearing_s
        number, transfers = self.centre.clear(at)
        if not transfers:
            return 0
        self.accounts.settle_net(number)
        self.centre.commit()
        self.settle_legs()
        for front in self.fronts:
            front.settled(number, transfers)
        return len(transfers)

    def settle_legs(self) -> None:
        """Book settlements the banks have not booked yet."""
        for settlement, bank, net_fen in self.centre.unsettled_legs():
            self.books[bank].settle(settlement, net_fen)
        self.commits.flush()
        self.centre.legs_booked()

    # -- money coming back and coming in

    def send_back(self, transfer: Transfer, reason: str) -> str:
        """The payee's bank returns the money of this transfer (退汇, a new A105 transfer). Empty
        when it does, else why not."""
        if transfer.kind != CREDIT or transfer.status not in (NETTED, "PR04"):
            return "原业务未轧差"
        at = self.clock.now()
        bank = transfer.payee_bank
        gross = self.gross.get(transfer.system)
        if gross is not None and (opening := gross.opens(at)):
            self.centre.plan_return(transfer, opening.timestamp())
            return ""
        held_on = self.books[bank].credited_to(transfer.originator, transfer.reference)
        original = transfer.order._replace(payee_account=held_on or transfer.payee_account)
        order = Instruction(
            originator=bank + COUNTER,
            reference=self._own_reference(OWN_RETURN, at, transfer.seq),
            payer_account=original.payee_account,
            payer_name=transfer.payee_name,
            payee_account=transfer.payer_account,
            payee_name=transfer.payer_name,
            payee_bank=transfer.payer_bank,
            amount_fen=transfer.amount_fen,
            purpose=f"退汇 {reason}".strip(),
        )
        if not self.books[bank].begin_return(original, order, at):
            return "款项已退或账户余额不足"
        back = self.centre.submit(
            order,
            bank,
            at,
            kind=RETURN,
            original=(transfer.originator, transfer.reference),
            message_id=order.reference,
            system=transfer.system,
        )
        if gross is not None:
            gross.take(back)
        else:
            self.centre.answer(back, "", "", at)
        return ""

    def incoming(
        self,
        payer_account: str,
        payee_account: str,
        amount_fen: int,
        words: str,
        system: str = IBPS,
    ) -> Paid:
        """An outsider pays into an account of the group, over one of the centre's systems."""
        payer, payee = self.find(payer_account), self.find(payee_account)
        if payer is None or payee is None:
            raise KeyError(payer_account if payer is None else payee_account)
        at = self.clock.now()
        self._returns += 1
        order = Instruction(
            originator=payer[0].code + COUNTER,
            reference=self._own_reference("IN", at, self._returns),
            payer_account=payer_account,
            payer_name=payer[1],
            payee_account=payee_account,
            payee_name=payee[1],
            payee_bank=payee[0].code,
            amount_fen=amount_fen,
            purpose=words,
        )
        return self.pay(order, payer[0].code, message_id=order.reference, system=system)

    def find(self, account: str) -> tuple[Book, str] | None:
        """The bank that keeps this account, and its name there."""
        for book in self.books.values():
            found = book.account(account)
            if found is not None:
                return book, found.name
        return None

    def _own_reference(self, prefix: str, at: datetime, number: int) -> str:
        return f"{prefix}{at:%y%m%d%H%M%S}{number % 10**6:06d}"

    # -- time and healing

    def heal(self, bank: str = "") -> int:
        """Put everything that was kept silent before its bank again; gives how many."""
        woken = 0
        for transfer in self.centre.unanswered():
            if bank in ("", transfer.payee_bank) and transfer.seq in self._stalled:
                self._ask_later(transfer)
                woken += 1
        return woken + sum([gross.heal(bank) for gross in self.gross.values()])

    def stalled(self) -> int:
        """How many transfers wait for a silent bank."""
        return len(self._stalled)

    def _today(self) -> str:
        return f"{china_date(self.clock.now()):%Y%m%d}"

    def _tick(self, now: float) -> None:
        today = self._today()
        if today != self._day:
            self._day = today
            self._end_of_day(today)
        real = time.monotonic()
        if now >= self._next_net and real >= self._last_net + LEAST_NETTING_REAL_S:
            self._last_net = real
            self.net()
        if now >= self._next_clear and real >= self._last_clear + LEAST_CLEARING_REAL_S:
            self._last_clear = real
            self.clear()
        for transfer in self.centre.returns_due(self.clock.now()):
            self.send_back(transfer, "账户信息有误")

    def _end_of_day(self, today: str) -> None:
        """What a payee's bank has not answered on its business date is refused (RJ99)."""
        for transfer in self.centre.expired(today):
            self._stalled.discard(transfer.seq)
            answered = self._decide(transfer, END_OF_DAY, words_of(END_OF_DAY))
            if answered is not transfer:
                self.tell_answered(answered)
