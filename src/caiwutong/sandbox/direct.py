"""A bank's direct interface (银企直连) in the CMB style: payments in, results and notices out.

A payment is first only received (AUT), then approved (NTE), then executed in the bank's books or
over the centre (BNK), then finished (FIN with S or F); a returned one turns to B later. A known
reference is never executed again. What may go wrong on the way is drawn from ``faults``.
Next: ``requests`` (the register), ``desk`` (balances, statements, receipts).
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from caiwutong.crypto.gm import Sm2PrivateKey
from caiwutong.kernel.clock import CHINA, SystemRandomness, china_date
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import parse_fen, yuan
from caiwutong.rails.bank_direct.styles.cmb import codec, profile
from caiwutong.rails.bank_direct.styles.cmb import messages as b
from caiwutong.rails.bank_direct.styles.cmb.envelope import Keys
from caiwutong.rails.bank_direct.styles.cmb.keys import load_keys
from caiwutong.rails.bank_direct.styles.cmb.messages import Wire
from caiwutong.rails.contract import BadMessage
from caiwutong.sandbox.centre import NETTED, REFUSED, RETURN, Transfer
from caiwutong.sandbox.codes import words_of
from caiwutong.sandbox.desk import Desk
from caiwutong.sandbox.entries import (
    EXECUTED,
    PENDING,
    RETURNED,
    Instruction,
)
from caiwutong.sandbox.faults import FaultKind
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.pushes import Pushes
from caiwutong.sandbox.requests import (
    AUT,
    BNK,
    CAME_BACK,
    FAILED,
    FIN,
    NTE,
    PAID,
    PaymentRequest,
    Register,
)
from caiwutong.sandbox.setup import LinkKeys
from caiwutong.sandbox.wire import Fate, MessageIds, Reply, clean, outage

CHANNEL = "bank_direct"
STEP_S = 0.5
"""Business seconds between AUT, NTE and BNK."""
IN_BANK_S = 1.0
"""Business seconds until a transfer within the bank is finished."""

_log = logging.getLogger("caiwutong.sandbox")


class DirectBank:
    """One bank's direct interface for the demo group. Also a ``Front`` of the network."""

    def __init__(
        self, network: Network, code: str, link: LinkKeys, pushes: Pushes, path: str
    ) -> None:
        self.code = code
        self.network = network
        self.book = network.books[code]
        self.register = Register(self.book)
        self.desk = Desk(self.book, self.register, network.clock)
        self._user_id = link.user_id
        hub_public = Sm2PrivateKey.from_hex(link.hub_secret).public.to_hex()
        self._keys = load_keys(link.bank_secret, hub_public, link.sm4)
        wrong = Sm2PrivateKey.generate(SystemRandomness()).to_hex()
        self._wrong_keys = load_keys(wrong, hub_public, link.sm4)
        self._pushes = pushes
        self._path = path
        self._ids = MessageIds()
        network.timers.every_tick(self._tick)

    def recover(self) -> None:
        """After a stop, look again at everything that waited."""
        self.register.wake(self.network.clock.now().timestamp())

    def heal(self) -> int:
        """Go on with what was kept silent; gives how many requests."""
        return self.register.wake(self.network.clock.now().timestamp())

    # -- requests

    def handle(self, raw: bytes) -> Reply:
        """The reply to one form. Nothing is durable yet: the caller commits before it goes."""
        at = self.network.clock.now()
        try:
            request = codec.decode_request(raw, self._keys_of, now=at)
        except BadMessage as error:
            return Reply(str(error).encode(), status=400)
        reference = self._reference(request)
        faults = self.network.faults
        fate = outage(faults, reference, at, channel=CHANNEL, bank=self.code)
        if fate is not None:
            return Reply(fate=fate, status=503)
        if isinstance(request.body, b.PayRequest):
            return self._handle_pay(request, request.body, reference)
        try:
            return Reply(self._answer(request, self._ask(request.body)))
        except Refused as error:
            return Reply(self._refuse(request, error))

    def _keys_of(self, user_id: str) -> Keys | None:
        return self._keys if user_id == self._user_id else None

    def _reference(self, request: codec.Request) -> str:
        match request.body:
            case b.PayRequest(payments=(payment, *_)):
                return payment.reference
            case b.PayQueryRequest(queries=(query, *_)):
                return query.reference
            case _:
                return request.request_id

    def _answer(self, request: codec.Request, body: Wire, keys: Keys | None = None) -> bytes:
        at = self.network.clock.now()
        return codec.encode_answer(
            body,
            request=request,
            response_id=self._ids.new(at),
            at=at,
            keys=keys or self._keys,
        )

    def _refuse(self, request: codec.Request, error: Refused) -> bytes:
        at = self.network.clock.now()
        return codec.encode_answer(
            None,
            request=request,
            response_id=self._ids.new(at),
            at=at,
            keys=self._keys,
            result_code="CDCSRV1",
            result_message=error.detail,
        )

    def _ask(self, body: Wire) -> Wire:
        if isinstance(body, b.PayQueryRequest):
            found = [self.register.get(query.reference) for query in body.queries]
            return b.PayQueryAnswer(records=tuple(self._record(each) for each in found if each))
        return self.desk.answer(body)

    # -- paying

    def _handle_pay(self, request: codec.Request, body: b.PayRequest, reference: str) -> Reply:
        faults, at = self.network.faults, self.network.clock.now()

        def strike(kind: FaultKind):
            return faults.strike(kind, reference, at, channel=CHANNEL, bank=self.code)

        if strike(FaultKind.LOST_REQUEST):
            return Reply(fate=Fate.RESET)
        if rule := strike(FaultKind.LATE):
            self.network.timers.after(rule.delay_s, lambda: self._take_late(request, body))
            return Reply(fate=Fate.RESET)
        outcome = self._take(body)
        if strike(FaultKind.LOST_REPLY):
            return Reply(fate=Fate.RESET)
        slow = strike(FaultKind.SLOW)
        keys = self._wrong_keys if strike(FaultKind.WRONG_SIGNATURE) else self._keys
        answer = self._answer(request, b.PayAnswer(outcomes=(outcome,)), keys)
        return Reply(answer, delay_s=slow.delay_s if slow else 0.0)

    def _take_late(self, request: codec.Request, body: b.PayRequest) -> None:
        """A message that was long on its way: taken while its signature is fresh enough."""
        age = self.network.clock.now() - request.signed_at
        if age <= timedelta(seconds=profile.CMB_CLOUD.signature_window_s):
            self._take(body)

    def _take(self, body: b.PayRequest) -> b.PayOutcome:
        """Note the payment, once. The same reference again tells how the first one stands."""
        if len(body.payments) != 1 or len(body.modes) != 1:
            return _error("CDCPAY1", "一次只受理一笔支付")
        detail, mode = body.payments[0], body.modes[0]
        known = self.register.get(detail.reference)
        if known is not None:
            if known.detail != detail:
                return _error("CDCPAY2", "业务参考号重复且内容不同")
            return self._outcome(known)
        at = self.network.clock.now()
        day = f"{china_date(at):%Y%m%d}"
        noted = self.register.add(detail, mode.mode, mode.business, day, at.timestamp() + STEP_S)
        return self._outcome(noted)

    def _outcome(self, request: PaymentRequest) -> b.PayOutcome:
        return b.PayOutcome(
            bank_reference=request.bank_reference,
            state=request.state,
            flag=request.flag,
            error_code=profile.CMB_CLOUD.accepted_code,
            error_text=request.reason,
        )

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
            if silent is not None:
                self.register.step(reference, NTE)
            else:
                self._execute(request, now)
        else:
            self._conclude(request)

    def _execute(self, request: PaymentRequest, now: float) -> None:
        """Debit the payer and send the money on its way; a no ends it."""
        try:
            order = self._instruction(request.detail)
        except Refused as error:
            self._finish(request.reference, FAILED, clean(error.detail, 100))
            return
        inside = order.payee_bank == self.code
        paid = self.network.pay(order, self.code, channel=CHANNEL, inside=inside)
        waits = paid.execution.status == PENDING
        due = None if waits else now + (IN_BANK_S if inside else STEP_S)
        self.register.step(request.reference, BNK, due_at=due)

    def _instruction(self, detail: b.PayDetail) -> Instruction:
        payer = self.book.account(detail.payer_account)
        if payer is None or payer.owner != "group":
            raise Refused("sandbox.payer", "付款账号不存在或无权操作")
        if detail.currency != profile.CMB_CLOUD.currency_code:
            raise Refused("sandbox.currency", "币种不支持")
        amount_fen = parse_fen(detail.amount)
        if amount_fen <= 0:
            raise Refused("sandbox.amount", "金额必须大于零")
        limit = profile.CMB_CLOUD.instant_limit_fen
        if detail.channel == profile.CHANNEL_INSTANT and amount_fen > limit:
            raise Refused("sandbox.limit", words_of("RJ04"))
        return Instruction(
            originator=self.code,
            reference=detail.reference,
            payer_account=detail.payer_account,
            payer_name=payer.name,
            payee_account=detail.payee_account,
            payee_name=detail.payee_name,
            payee_bank=self.code if detail.in_bank == "Y" else detail.payee_bank_code,
            amount_fen=amount_fen,
            purpose=clean(detail.remark or detail.purpose, 120),
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
        self._notify(b.PaymentFinished(record=self._record(request)), reference)

    def _record(self, request: PaymentRequest) -> b.PaymentRecord:
        detail = request.detail
        payer = self.book.account(detail.payer_account)
        return b.PaymentRecord(
            bank_reference=request.bank_reference,
            reference=request.reference,
            state=request.state,
            flag=request.flag,
            reason=request.reason,
            amount=detail.amount,
            currency=detail.currency,
            payer_account=detail.payer_account,
            payer_name=payer.name if payer else "",
            payee_account=detail.payee_account,
            payee_name=detail.payee_name,
            payee_bank_name=detail.payee_bank_name,
            payee_bank_code=detail.payee_bank_code,
            in_bank=detail.in_bank,
            channel=detail.channel,
            purpose=detail.purpose,
            remark=detail.remark,
            business=request.business,
            mode=request.mode,
            submitted_on=request.day,
            returned_on=request.returned_day,
        )

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

    def _came_back(self, transfer: Transfer) -> None:
        reference = transfer.original_reference
        at = self.network.clock.now()
        if self.register.came_back(reference, transfer.purpose, f"{china_date(at):%Y%m%d}"):
            request = self.register.get(reference)
            assert request is not None and request.flag == CAME_BACK
            self._notify(b.PaymentCameBack(payment=self.desk.returned(request)), reference)

    def _money_came(self, transfer: Transfer) -> None:
        account = self.book.account(transfer.payee_account)
        if account is None or account.owner != "group":
            return
        lines = self.book.lines(account.account, account.lines - 1, 1)
        line = lines[0]
        at = _local(line.booked_at)
        change = b.AccountChange(
            account=account.account,
            account_name=account.name,
            day=at[:8],
            time=at[8:],
            amount=yuan(transfer.amount_fen, grouped=False),
            side="C",
            line_id=f"{line.account}-{line.line_no}",
            balance_after=yuan(line.balance_after_fen, grouped=False),
            reference=line.reference,
            counterparty_account=transfer.payer_account,
            counterparty_name=transfer.payer_name,
            summary=clean(transfer.purpose, 100),
        )
        self._notify(change, transfer.reference)

    def _notify(self, event: b.Notice, reference: str) -> None:
        at = self.network.clock.now()
        faults = self.network.faults

        def strike(kind: FaultKind) -> bool:
            rule = faults.strike(kind, reference, at, channel=CHANNEL, bank=self.code)
            return rule is not None

        # Like the A105 on IBPS, the news that money came back is never lost: nobody asks for it.
        if not isinstance(event, b.PaymentCameBack) and strike(FaultKind.LOST_NOTICE):
            return
        for _ in range(2 if strike(FaultKind.DUPLICATE) else 1):
            body = codec.encode_notice(
                event, user_id=self._user_id, number=self._ids.new(at), at=at, keys=self._keys
            )
            self._pushes.put(self._path, body)


def _error(code: str, words: str) -> b.PayOutcome:
    return b.PayOutcome(state="OPR", error_code=code, error_text=words)


def _local(stamp: float) -> str:
    return f"{datetime.fromtimestamp(stamp, CHINA):%Y%m%d%H%M%S}"
