"""The other side: a bank with books of its own, which never reads ours.

It keeps accounts, and every payment under its rail and reference: the same reference again is
answered for the first. It refuses what comes after ``valid_until`` by its own clock, which differs
from ours by up to half a minute; lets a payment be revoked before netting; rejects for the payee's
bank; and sends money back hours after it was settled. Each channel has its manners: IBPS and BEPS
net in rounds, BEPS takes batches and has a quota, HVPS settles one by one, in its hours, and queues
what its settlement account cannot cover; the bank's direct interface executes at once, and hands
large amounts to a clerk. Whatever it says is true. What is lost, late or doubled happens to its
words on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from caiwutong.kernel.clock import china_date
from caiwutong.rails.contract import NOT_FOUND, Concerning, ReportKind, StatementLine
from caiwutong.simulation.chance import Chance, Fault
from caiwutong.simulation.loop import SimClock, SimLoop
from caiwutong.simulation.trace import Trace
from caiwutong.simulation.wire import Ask, AskBack, Message, Pay, PayOrder, Revoke, Say, Word


@dataclass(frozen=True, slots=True)
class Channel:
    """One rail into the bank."""

    name: str
    valid_for_s: float
    """How long after an attempt was made its message is still taken."""
    round_s: float
    """Seconds between netting rounds; zero: executed at once."""
    most_a_message: int
    notices: bool
    """Whether the bank tells by itself how a payment ended. A return it always tells."""
    insists: bool = False
    """Whether it repeats the notice of a return until the hub confirms it. Else a lost one shows
    in the statement only."""
    closed: Callable[[datetime], bool] = lambda at: False
    """Whether it takes nothing at this moment (HVPS outside its hours)."""
    has_quota: bool = False
    """Whether its netting quota may be used up (BEPS)."""
    queues: bool = False
    """Whether payments wait while the settlement account is short (HVPS)."""
    clerk_above_fen: int | None = None
    """Above this a person at the bank looks at it first (the direct interface)."""
    needs_bank_code: bool = True

    @property
    def is_direct(self) -> bool:
        """The bank's own interface, which says FIN and a flag instead of reject codes."""
        return self.name == "bank_direct"


@dataclass(slots=True)
class BankAccount:
    number: str
    name: str
    balance_fen: int
    overdraft_fen: int = 0
    state: str = "active"
    lines: list[StatementLine] | None = None
    """The statement, in the order of booking; None for accounts nobody reads."""


@dataclass(slots=True)
class Order:
    """A payment in the bank's books."""

    channel: Channel
    order: PayOrder
    kind: ReportKind
    code: str
    at: datetime
    words: str = ""
    executed: bool = False


class Listener(Protocol):
    """Who watches the bank's books."""

    def executed(self, order: Order) -> None: ...

    def line_booked(self, number: str) -> None: ...


_RETURN_LIKELY = 0.05
_PAYEE_BANK_REFUSES = 0.04
_CLERK_REFUSES = 0.15


@dataclass(slots=True)
class Bank:
    """Accounts and payments at the bank."""

    loop: SimLoop
    clock: SimClock
    chance: Chance
    trace: Trace
    notify: Callable[[Channel, Word, bool], None]
    """Tell the hub: channel, word, and whether it is repeated until the hub confirms it."""
    listener: Listener
    skew: timedelta = timedelta()
    accounts: dict[str, BankAccount] = field(default_factory=dict[str, BankAccount])
    orders: dict[tuple[str, str], Order] = field(default_factory=dict[tuple[str, str], Order])
    executions: dict[str, list[Order]] = field(default_factory=dict[str, list[Order]])
    """What was executed, by the caller's mark."""

    def take(self, channel: Channel, message: Message) -> Say:
        """The answer to a message of the hub."""
        match message:
            case Pay(orders):
                return Say([self._pay(channel, order) for order in orders])
            case Ask(references):
                return Say([self._ask(channel, reference) for reference in references])
            case Revoke(reference):
                return Say(self._revoke(channel, reference))
            case AskBack(reference):
                return Say(self._ask_back(channel, reference))
            case Say():
                raise AssertionError("the hub asks, it does not say")

    def now(self) -> datetime:
        return self.clock.now() + self.skew

    # Accounts.

    def open_account(self, number: str, name: str, balance_fen: int, overdraft_fen: int) -> None:
        """An account of the hub's group, with a statement."""
        account = BankAccount(number, name, 0, overdraft_fen, lines=[])
        self.accounts[number] = account
        self._book(account, balance_fen, "opening")

    def charge(self, number: str, amount_fen: int, kind: str) -> None:
        """The bank books a fee (below zero) or interest by itself."""
        self.trace.tell("bank", f"{kind} {amount_fen}")
        self._book(self.accounts[number], amount_fen, kind)

    def _book(
        self, account: BankAccount, amount_fen: int, kind: str, order: PayOrder | None = None
    ) -> None:
        account.balance_fen += amount_fen
        if account.lines is None:
            return
        at = self.clock.now()
        account.lines.append(
            StatementLine(
                account=account.number,
                line_id=f"L{len(account.lines) + 1:06d}",
                booked_at=at,
                value_date=china_date(at),
                amount_fen=amount_fen,
                balance_after_fen=account.balance_fen,
                kind=kind,
                reference=order.reference if order else "",
                counterparty_name=order.payee_name if order else "",
                counterparty_account=order.payee if order else "",
            )
        )
        self.listener.line_booked(account.number)

    # Payments.

    def _pay(self, channel: Channel, order: PayOrder) -> Word:
        known = self.orders.get((channel.name, order.reference))
        if known is not None:
            self.trace.tell("bank", f"knows {order.reference} {order.mark}")
            return self._word(known)
        now = self.now()
        if now > order.valid_until:
            self.trace.tell("bank", f"too late {order.reference} {order.mark}")
            return Word(ReportKind.REJECTED, order.reference, "RJ32", now, "too late")
        row = Order(channel, order, ReportKind.ACCEPTED, "PR00", now)
        self.orders[(channel.name, order.reference)] = row
        if channel.closed(now):
            return self._reject(row, "RJ99", "the system is closed")
        payer = self.accounts.get(order.payer)
        if payer is None or payer.state != "active":
            return self._reject(row, "RJ11", "账户状态错误")
        if payer.balance_fen + payer.overdraft_fen < order.amount_fen:
            return self._reject(row, "RJ03", "账户余额不足")
        if channel.has_quota and self.chance.strikes(Fault.QUOTA_USED, order.mark):
            return self._reject(row, "RJ94", "the netting quota is used up")
        self._book(payer, -order.amount_fen, "payment", order)
        self.trace.tell("bank", f"accepts {order.reference} {order.mark}")
        self.loop.later(self._works_for(channel, order), self._net, row)
        return self._word(row)

    def _works_for(self, channel: Channel, order: PayOrder) -> float:
        """Seconds until the payment meets its netting round."""
        draw = self.chance.bank
        work = draw.uniform(0.5, 5)
        if self.chance.strikes(Fault.BANK_SILENT, order.mark):
            work += draw.uniform(3600, 6 * 3600)
        elif self.chance.strikes(Fault.BANK_SLOW, order.mark):
            work += draw.choice((10.0, 120.0, 3600.0)) * draw.random()
        if channel.queues and self.chance.strikes(Fault.FUNDS_SHORT, order.mark):
            work += draw.uniform(60, 4 * 3600)
        if self._for_a_clerk(channel, order):
            work += draw.uniform(60, 3 * 3600)
        if channel.round_s:
            at = self.loop.time() + work
            work += channel.round_s - at % channel.round_s
        return work

    @staticmethod
    def _for_a_clerk(channel: Channel, order: PayOrder) -> bool:
        return channel.clerk_above_fen is not None and order.amount_fen > channel.clerk_above_fen

    def _net(self, row: Order) -> None:
        if row.kind is not ReportKind.ACCEPTED:
            return
        order = row.order
        payee = self.accounts.get(order.payee)
        if payee is None or payee.state != "active":
            self._refund(row, "RJ01", "账号不存在")
        elif payee.name != order.payee_name:
            self._refund(row, "RJ02", "账号户名不符")
        elif row.channel.closed(self.now()):
            self._refund(row, "RJ99", "the day ended before funds came")
        elif self.chance.bank.random() < _PAYEE_BANK_REFUSES:
            self._refund(row, "RJ95", "refused by the payee's bank")
        elif self._for_a_clerk(row.channel, order) and self.chance.bank.random() < _CLERK_REFUSES:
            self._refund(row, "FIN/R", "refused by a clerk")
        else:
            self._execute(row, payee)

    def _execute(self, row: Order, payee: BankAccount) -> None:
        payee.balance_fen += row.order.amount_fen
        row.executed = True
        self.executions.setdefault(row.order.mark, []).append(row)
        if row.channel.round_s:
            self._move(row, ReportKind.NETTED, "PR03")
            self.loop.later(self.chance.bank.uniform(60, 900), self._settle, row)
        else:
            self._settle(row)
        self.listener.executed(row)

    def _settle(self, row: Order) -> None:
        self._move(row, ReportKind.SETTLED, "FIN/S" if row.channel.is_direct else "PR04")
        if self.chance.bank.random() < _RETURN_LIKELY:
            self.loop.later(self.chance.bank.uniform(5, 40_000), self._send_back, row)

    def _send_back(self, row: Order) -> None:
        if row.kind is not ReportKind.SETTLED:
            return
        amount = row.order.amount_fen
        self.accounts[row.order.payee].balance_fen -= amount
        self._book(self.accounts[row.order.payer], amount, "return", row.order)
        self._move(row, ReportKind.RETURNED, "RT01", "sent back by the payee's bank")

    def _refund(self, row: Order, code: str, words: str) -> None:
        self._give_back(row)
        self._reject(row, code, words)

    def _give_back(self, row: Order) -> None:
        payer = self.accounts[row.order.payer]
        self._book(payer, row.order.amount_fen, "other", row.order)

    def _reject(self, row: Order, code: str, words: str) -> Word:
        code = "FIN/F" if row.channel.is_direct and code.startswith("RJ") else code
        self._move(row, ReportKind.REJECTED, code, words)
        return self._word(row)

    def _move(self, row: Order, kind: ReportKind, code: str, words: str = "") -> None:
        row.kind, row.code, row.words, row.at = kind, code, words, self.now()
        self.trace.tell("bank", f"{kind.value} {code} {row.order.reference} {row.order.mark}")
        returned = kind is ReportKind.RETURNED
        if row.channel.notices or returned:
            self.notify(row.channel, self._word(row), returned and row.channel.insists)

    # Questions and requests.

    def _ask(self, channel: Channel, reference: str) -> Word:
        row = self.orders.get((channel.name, reference))
        if row is None:
            return Word(ReportKind.IN_DOUBT, reference, NOT_FOUND, self.now())
        return self._word(row)

    def _revoke(self, channel: Channel, reference: str) -> list[Word]:
        row = self.orders.get((channel.name, reference))
        if row is None or row.kind is not ReportKind.ACCEPTED:
            code = "RV01" if row is None else "RV02"
            return [self._about(ReportKind.REJECTED, reference, code, Concerning.REVOCATION)]
        self._give_back(row)
        self._move(row, ReportKind.REVOKED, "PR08")
        return [
            self._about(ReportKind.ACCEPTED, reference, "RV00", Concerning.REVOCATION),
            self._word(row),
        ]

    def _ask_back(self, channel: Channel, reference: str) -> list[Word]:
        row = self.orders.get((channel.name, reference))
        willing = row is not None and row.kind is ReportKind.SETTLED
        if row is None or not willing or self.chance.bank.random() < 0.5:
            return [self._about(ReportKind.REJECTED, reference, "RR01", Concerning.RETURN_REQUEST)]
        self.loop.later(self.chance.bank.uniform(60, 7200), self._send_back, row)
        return [self._about(ReportKind.ACCEPTED, reference, "RR00", Concerning.RETURN_REQUEST)]

    def _about(self, kind: ReportKind, reference: str, code: str, concerning: Concerning) -> Word:
        return Word(kind, reference, code, self.now(), concerning=concerning)

    @staticmethod
    def _word(row: Order) -> Word:
        return Word(
            row.kind, row.order.reference, row.code, row.at, row.words, row.order.amount_fen
        )
