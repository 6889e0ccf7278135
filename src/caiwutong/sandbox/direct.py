"""A bank's direct interface (银企直连), whatever its wire format: payments in, results told.

A payment is first only received (AUT), then approved (NTE), then executed in the bank's books or
over the centre (BNK), then finished (FIN with S or F); a returned one turns to B later. A known
reference is never executed again. What may go wrong on the way is drawn from ``faults``.

A *skin* is a subclass that reads and writes one style's bytes: ``handle``, and what it tells of
itself. Next: ``requests`` (the register), ``desk`` (questions), ``direct_cmb`` (a skin).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.kernel.clock import SystemRandomness, china_date
from caiwutong.kernel.errors import Refused
from caiwutong.sandbox.centre import NETTED, REFUSED, RETURN, Transfer
from caiwutong.sandbox.desk import Desk
from caiwutong.sandbox.entries import EXECUTED, PENDING, RETURNED, Account, Instruction, Line
from caiwutong.sandbox.faults import FaultKind
from caiwutong.sandbox.links import LinkKeys
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.pushes import Pushes
from caiwutong.sandbox.requests import (
    AUT,
    BNK,
    CAME_BACK,
    FAILED,
    FIN,
    MAN,
    NTE,
    PAID,
    Order,
    PaymentRequest,
    Register,
)
from caiwutong.sandbox.wire import Fate, MessageIds, Reply, clean, outage

CHANNEL = "bank_direct"
STEP_S = 0.5
"""Business seconds between AUT, NTE and BNK."""
IN_BANK_S = 1.0
"""Business seconds until a transfer within the bank is finished."""

Taken = PaymentRequest | Refused
"""One order of a message: noted (now or before), or refused without a trace."""


class DirectBank(ABC):
    """One bank's direct interface for the demo group. Also a ``Front`` of the network."""

    window = timedelta(hours=1)
    """How old a message may be when it arrives."""

    def __init__(
        self, network: Network, code: str, link: LinkKeys, pushes: Pushes, path: str
    ) -> None:
        self.code = code
        self.network = network
        self.book = network.books[code]
        self.register = Register(self.book)
        self.desk = Desk(self.book, self.register, network.clock)
        self.link = link
        self.hub_key = Sm2PrivateKey.from_hex(link.hub_secret).public
        self.wrong_secret = Sm2PrivateKey.generate(SystemRandomness()).to_hex()
        """A key that is nobody's: for answers with a signature that does not fit."""
        self.ids = MessageIds()
        self._pushes = pushes
        self._path = path
        network.timers.every_tick(self._tick)

    def recover(self) -> None:
        """After a stop, look again at everything that waited."""
        self.register.wake(self.network.clock.now().timestamp())

    def heal(self) -> int:
        """Go on with what was kept silent; gives how many requests."""
        return self.register.wake(self.network.clock.now().timestamp())

    def end_sessions(self) -> int:
        """Let every session of the customer end now; gives how many. Most interfaces have none."""
        return 0

    # -- what a skin says in its style's words

    @abstractmethod
    def handle(self, raw: bytes) -> Reply:
        """The reply to one message. Nothing is durable yet: the caller commits before it goes."""

    def finished_notice(self, request: PaymentRequest) -> bytes | None:
        """What is told when a payment has ended; None where the interface tells nothing."""
        return None

    def came_back_notice(self, request: PaymentRequest) -> bytes | None:
        """What is told when a paid payment was returned."""
        return None

    def money_came_notice(self, account: Account, line: Line, transfer: Transfer) -> bytes | None:
        """What is told when money came in on an account of the group."""
        return None

    def clerk_s(self, order: Order) -> float:
        """Business seconds for which a clerk keeps this order before it is executed (落地); 0 for
        one that no clerk sees."""
        return 0.0

    def payee_bank_of(self, order: Order) -> str:
        """联行号 of the bank the money goes to, as far as the bank can tell."""
        return self.code if order.inside else order.payee_bank_code

    def check_order(self, order: Order) -> None:
        """Raise Refused for an order the interface executes under no condition; it then fails."""
        return

    # -- taking orders in

    def out_of_order(self, reference: str) -> Reply | None:
        """The broken line, when the bank cannot be reached now."""
        at = self.network.clock.now()
        fate = outage(self.network.faults, reference, at, channel=CHANNEL, bank=self.code)
        return None if fate is None else Reply(fate=fate, status=503)

    def receive(
        self,
        orders: Sequence[Order],
        answer: Callable[[list[Taken], bool], bytes],
        *,
        package: str = "",
        signed_at: datetime,
    ) -> Reply:
        """Take in the orders of one message and answer. ``answer`` writes what was taken, in the
        order of the orders, and signs with the wrong key when its second argument says so."""
        faults, at = self.network.faults, self.network.clock.now()
        reference = orders[0].reference

        def strike(kind: FaultKind):
            return faults.strike(kind, reference, at, channel=CHANNEL, bank=self.code)

        if strike(FaultKind.LOST_REQUEST):
            return Reply(fate=Fate.RESET)
        if rule := strike(FaultKind.LATE):
            self.network.timers.after(
                rule.delay_s, lambda: self._take_late(orders, package, signed_at)
            )
            return Reply(fate=Fate.RESET)
        taken = [self._take(order, package) for order in orders]
        if strike(FaultKind.LOST_REPLY):
            return Reply(fate=Fate.RESET)
        slow = strike(FaultKind.SLOW)
        body = answer(taken, strike(FaultKind.WRONG_SIGNATURE) is not None)
        return Reply(body, delay_s=slow.delay_s if slow else 0.0)

    def _take_late(self, orders: Sequence[Order], package: str, signed_at: datetime) -> None:
        """A message that was long on its way: taken while its signature is fresh enough."""
        if self.network.clock.now() - signed_at <= self.window:
            for order in orders:
                self._take(order, package)

    def _take(self, order: Order, package: str) -> Taken:
        """Note the payment, once. The same reference again tells how the first one stands."""
        known = self.register.get(order.reference)
        if known is not None:
            if known.order != order:
                return Refused("sandbox.other_content", "业务参考号重复且内容不同")
            return known
        at = self.network.clock.now()
        day = f"{china_date(at):%Y%m%d}"
        return self.register.add(order, package, day, at.timestamp() + STEP_S)

    # -- the way through the bank

    def _tick(self, now: float) -> None:
        for request in self.register.due(now):
            self._step(request, now)

    def _step(self, request: PaymentRequest, now: float) -> None:
        reference = request.reference
        if request.state == AUT:
            self.register.step(reference, NTE, due_at=now + STEP_S)
        elif request.state == NTE:
            at = self.network.clock.now()
            silent = self.network.faults.strike(
                FaultKind.SILENT, reference, at, channel=CHANNEL, bank=self.code
            )
            clerk_s = self.clerk_s(request.order)
            if silent is not None:
                self.register.step(reference, NTE)
            elif clerk_s:
                self.register.step(reference, MAN, due_at=now + clerk_s)
            else:
                self._execute(request, now)
        else:
            self._conclude(request)

    def _execute(self, request: PaymentRequest, now: float) -> None:
        """Debit the payer and send the money on its way; a no ends it."""
        try:
            order = self._instruction(request.order)
        except Refused as error:
            self._finish(request.reference, FAILED, clean(error.detail, 100))
            return
        inside = order.payee_bank == self.code
        paid = self.network.pay(order, self.code, channel=CHANNEL, inside=inside)
        waits = paid.execution.status == PENDING
        due = None if waits else now + (IN_BANK_S if inside else STEP_S)
        self.register.step(request.reference, BNK, due_at=due)

    def _instruction(self, order: Order) -> Instruction:
        payer = self.book.account(order.payer_account)
        if payer is None or payer.owner != "group":
            raise Refused("sandbox.payer", "付款账号不存在或无权操作")
        if order.amount_fen <= 0:
            raise Refused("sandbox.amount", "金额必须大于零")
        self.check_order(order)
        return Instruction(
            originator=self.code,
            reference=order.reference,
            payer_account=order.payer_account,
            payer_name=payer.name,
            payee_account=order.payee_account,
            payee_name=order.payee_name,
            payee_bank=self.payee_bank_of(order),
            amount_fen=order.amount_fen,
            purpose=clean(order.remark or order.purpose, 120),
        )

    def _conclude(self, request: PaymentRequest) -> None:
        """The books have decided: say so. Undecided, wait for the centre."""
        known = self.book.execution(self.code, request.reference)
        if known is None:
            self._execute(request, self.network.clock.now().timestamp())
        elif known.status == PENDING:
            self.register.step(request.reference, BNK)
        elif known.status in (EXECUTED, RETURNED):
            self._finish(request.reference, PAID)
        else:
            self._finish(request.reference, FAILED, clean(f"{known.code} {known.words}", 100))

    def _finish(self, reference: str, flag: str, reason: str = "") -> None:
        before = self.register.get(reference)
        if before is None or before.state == FIN:
            return
        self.register.step(reference, FIN, flag=flag, reason=reason)
        request = self.register.get(reference)
        assert request is not None
        self._tell(lambda: self.finished_notice(request), reference)

    # -- the clerk's queue (落地)

    def with_the_clerk(self) -> list[PaymentRequest]:
        """The payments a clerk keeps now, oldest first."""
        return self.register.in_state(MAN)

    def release(self, reference: str) -> bool:
        """The clerk lets a payment go on. False when he does not have it."""
        request = self.register.get(reference)
        if request is None or request.state != MAN:
            return False
        self._execute(request, self.network.clock.now().timestamp())
        return True

    def refuse(self, reference: str, reason: str) -> bool:
        """The clerk refuses a payment: it fails, and nothing was debited. False when he does not
        have it."""
        request = self.register.get(reference)
        if request is None or request.state != MAN:
            return False
        self._finish(reference, FAILED, clean(reason, 100))
        return True

    # -- Front

    def answered(self, transfer: Transfer) -> None:
        """A payment of ours was refused after a while: it failed."""
        if transfer.originator == self.code and transfer.status == REFUSED:
            self._finish(
                transfer.reference, FAILED, clean(f"{transfer.code} {transfer.words}", 100)
            )

    def netted(self, transfers: list[Transfer]) -> None:
        """Payments of ours are paid; returns and money from outside have come in."""
        for transfer in transfers:
            if transfer.originator == self.code and transfer.status == NETTED:
                self._finish(transfer.reference, PAID)
            elif transfer.kind == RETURN and transfer.original_originator == self.code:
                self._came_back(transfer)
            if transfer.payee_bank == self.code:
                self._money_came(transfer)

    def settled(self, settlement: int, transfers: list[Transfer]) -> None:
        """Settlement between banks is not told to customers."""
        return

    def _came_back(self, transfer: Transfer) -> None:
        reference = transfer.original_reference
        at = self.network.clock.now()
        if self.register.came_back(reference, transfer.purpose, f"{china_date(at):%Y%m%d}"):
            request = self.register.get(reference)
            assert request is not None and request.flag == CAME_BACK
            # Like the A105 on IBPS, the news that money came back is never lost: nobody asks for
            # it.
            self._tell(lambda: self.came_back_notice(request), reference, sure=True)

    def _money_came(self, transfer: Transfer) -> None:
        account = self.book.account(transfer.payee_account)
        if account is None or account.owner != "group":
            return
        (line,) = self.book.lines(account.account, account.lines - 1, 1)
        self._tell(lambda: self.money_came_notice(account, line, transfer), transfer.reference)

    def _tell(
        self, notice: Callable[[], bytes | None], reference: str, *, sure: bool = False
    ) -> None:
        at = self.network.clock.now()
        faults = self.network.faults

        def strike(kind: FaultKind) -> bool:
            rule = faults.strike(kind, reference, at, channel=CHANNEL, bank=self.code)
            return rule is not None

        if not sure and strike(FaultKind.LOST_NOTICE):
            return
        for _ in range(2 if strike(FaultKind.DUPLICATE) else 1):
            body = notice()
            if body is not None:
                self._pushes.put(self._path, body)
