"""The skin of the token-session style over a direct bank: sessions, its documents, its push.

A sign-in gives a token that lives for ``SESSION_S`` business seconds; a message without a living
one is refused unread. The bank's business is ``direct``, its answers to questions come from
``desk``; here is only how they are read and written.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from caiwutong.crypto.gm import sm3_hmac
from caiwutong.kernel.clock import CHINA, SystemRandomness
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import parse_fen, yuan
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.fields import bank_time, instant
from caiwutong.rails.bank_direct.signing import Signer, load_keys
from caiwutong.rails.bank_direct.styles.boc import codec, envelope, profile
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.contract import BadMessage
from caiwutong.sandbox.desk import day_of, line_id
from caiwutong.sandbox.direct import DirectBank, Taken
from caiwutong.sandbox.entries import Line
from caiwutong.sandbox.links import LinkKeys
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.pushes import Pushes
from caiwutong.sandbox.requests import AUT, BNK, FAILED, FIN, NTE, PAID, Order, PaymentRequest
from caiwutong.sandbox.wire import Reply, clean

SESSION_S = 1_200.0
"""Business seconds a token lives."""
REFUSED = "B099"
"""Code of this bank for what it does not answer; the hub knows it not, so it is doubt."""

_FACTS = profile.BOC_B2E
_KINDS = {kind: code for code, kind in profile.LINE_KINDS.items()}
_OK = m.Status(code=profile.OK, words="交易成功")


class BocBank(DirectBank):
    """A bank of the token-session style."""

    window = timedelta(seconds=_FACTS.order_window_s)

    def __init__(
        self, network: Network, code: str, link: LinkKeys, pushes: Pushes, path: str
    ) -> None:
        super().__init__(network, code, link, pushes, path)
        self._keys = load_keys(link.bank_secret, self.hub_key.to_hex())
        self._wrong = load_keys(self.wrong_secret, self.hub_key.to_hex())
        self._sessions: dict[str, float] = {}
        """Living tokens, and when they end."""
        self._busy: list[float] = []
        """When the answers that are still on their way will have gone."""

    def end_sessions(self) -> int:
        ended = len(self._sessions)
        self._sessions.clear()
        return ended

    # -- requests

    def handle(self, raw: bytes) -> Reply:
        try:
            opened = envelope.opened(raw, self._keys.verifier)
            document = codec.decode(opened, forgiving=False)
        except BadMessage as error:
            return Reply(str(error).encode(), status=400)
        head, body = document.head, document.body
        broken = self.out_of_order(_reference(document))
        if broken is not None:
            return broken
        if isinstance(body, m.SignInRequest):
            return Reply(self._answer(head, self._sign_in(head, body)))
        now = self.network.clock.now().timestamp()
        self._busy = [gone for gone in self._busy if gone > now]
        if self._sessions.get(head.token, 0.0) <= now:
            self._sessions.pop(head.token, None)
            return Reply(self._answer(head, self._error(profile.SESSION_OVER, "会话已失效")))
        if len(self._busy) >= _FACTS.session_requests:
            return Reply(self._answer(head, self._error(profile.SESSION_FULL, "并发请求过多")))
        reply = self._act(document)
        if reply.delay_s:
            self._busy.append(now + reply.delay_s)
        return reply

    def _act(self, document: codec.Document) -> Reply:
        if isinstance(document.body, m.PayRequest):
            return self._pay(document, document.body)
        try:
            return Reply(self._answer(document.head, self._ask(document.body)))
        except Refused as error:
            return Reply(self._answer(document.head, self._error(REFUSED, error.detail)))

    def _answer(self, head: m.Head, body: Word, signer: Signer | None = None) -> bytes:
        return envelope.sealed(codec.encode(head, body), signer or self._keys.signer)

    def _error(self, code: str, words: str) -> m.ErrorAnswer:
        return m.ErrorAnswer(status=m.Status(code=code, words=clean(words, 100)), at=self._stamp())

    def _stamp(self) -> str:
        return bank_time(self.network.clock.now())

    def _sign_in(self, head: m.Head, body: m.SignInRequest) -> m.SignInAnswer:
        proof = sm3_hmac(self.link.password.encode(), body.sign_in.at.encode()).hex()
        at = self.network.clock.now()
        try:
            fresh = abs(instant(body.sign_in.at) - at) <= self.window
        except BadMessage:
            fresh = False
        if head.customer != self.link.user_id or body.sign_in.proof != proof or not fresh:
            status = m.Status(code=REFUSED, words="操作员或密码错误")
            return m.SignInAnswer(status=status, at=self._stamp())
        token = SystemRandomness().bytes(12).hex()
        self._sessions[token] = at.timestamp() + SESSION_S
        return m.SignInAnswer(status=_OK, at=self._stamp(), token=token)

    # -- paying

    def _pay(self, document: codec.Document, body: m.PayRequest) -> Reply:
        stale = {each.reference for each in body.orders if self._is_stale(each)}
        orders = [self._order(each) for each in body.orders if each.reference not in stale]

        def answer(taken: Sequence[Taken], wrong: bool) -> bytes:
            statuses = [_taken(*each) for each in zip(orders, taken, strict=True)]
            statuses += [_refused(each, profile.STALE) for each in sorted(stale)]
            told = m.PayAnswer(status=_OK, orders=tuple(statuses), at=self._stamp())
            signer = self._wrong.signer if wrong else self._keys.signer
            return self._answer(document.head, told, signer)

        if not orders:
            return Reply(answer((), False))
        return self.receive(orders, answer, signed_at=instant(orders[0].terms["at"]))

    def _is_stale(self, order: m.Order) -> bool:
        """Too old or too far ahead, and not known from before."""
        try:
            away = abs(instant(order.day + order.time) - self.network.clock.now())
        except BadMessage:
            return True
        return away > self.window and self.register.get(order.reference) is None

    def _order(self, order: m.Order) -> Order:
        return Order(
            reference=order.reference,
            payer_account=order.payer.account,
            payee_account=order.payee.account,
            payee_name=order.payee.name,
            payee_bank_name=order.payee.bank_name,
            payee_bank_code=order.payee.bank,
            amount_fen=parse_fen(order.amount),
            inside=order.payee.bank == self.code,
            purpose=order.purpose,
            terms={"at": order.day + order.time, "urgent": order.urgent},
        )

    # -- questions

    def _ask(self, body: Word) -> Word:
        match body:
            case m.StatusRequest():
                payments = tuple(self._status(each.reference) for each in body.queries)
                return m.StatusAnswer(status=_OK, payments=payments, at=self._stamp())
            case m.BalancesRequest():
                return self._balances(body)
            case m.StatementRequest():
                return self._statement(body.query)
            case m.ReceiptRequest():
                return self._receipt(body.query)
            case _:
                raise Refused("sandbox.function", "不支持的查询")

    def _status(self, reference: str) -> m.PaymentStatus:
        request = self.register.get(reference)
        if request is None:
            status = m.Status(code=profile.UNKNOWN, words="指令不存在")
            return m.PaymentStatus(status=status, reference=reference)
        return _payment(request)

    def _balances(self, body: m.BalancesRequest) -> m.BalancesAnswer:
        if len(body.queries) > _FACTS.balance_accounts:
            raise Refused("sandbox.too_many", "一次查询的账户过多")
        rows = tuple(self._balance(each.account.account) for each in body.queries)
        return m.BalancesAnswer(status=_OK, balances=rows, at=self._stamp())

    def _balance(self, number: str) -> m.Balance:
        found = self.desk.own(number)
        if found is None:
            status = m.Status(code=REFUSED, words="账号不存在或无权查询")
            return m.Balance(status=status, account=m.AccountAt(account=number))
        held = found.balance_fen if found.state == "frozen" else 0
        return m.Balance(
            status=_OK,
            account=m.AccountAt(
                bank=self.code, account=number, currency=_FACTS.currency, name=found.name
            ),
            balance=m.Amounts(
                booked=yuan(found.balance_fen, grouped=False),
                available=yuan(found.available_fen, grouped=False),
                stopped=yuan(held, grouped=False),
                overdraft=yuan(found.overdraft_fen, grouped=False),
            ),
            at=self._stamp()[:8],
        )

    def _statement(self, query: m.StatementQuery) -> m.StatementAnswer:
        account = self.desk.must_own(query.account)
        first, last = day_of(query.days.first), day_of(query.days.last)
        size = min(int(query.lines), _FACTS.page_lines)
        skip = max(0, int(query.first_line) - 1)
        lines, total = self.desk.numbered(account, skip, first, last, size)
        return m.StatementAnswer(
            status=_OK,
            total=str(total),
            count=str(len(lines)),
            entries=tuple(_entry(each) for each in lines),
            at=self._stamp(),
        )

    def _receipt(self, query: m.ReceiptQuery) -> m.ReceiptAnswer:
        try:
            slip = self.desk.slip(query.account, query.line_id)
        except Refused as error:
            status = m.Status(code=REFUSED, words=error.detail)
            return m.ReceiptAnswer(status=status, at=self._stamp())
        file = m.ReceiptFile(
            line_id=query.line_id,
            receipt_id=slip.receipt_id,
            check_code=slip.check_code,
            document=base64.b64encode(slip.document).decode(),
        )
        return m.ReceiptAnswer(status=_OK, receipt=file, at=self._stamp())

    # -- notices

    def finished_notice(self, request: PaymentRequest) -> bytes:
        at = self.network.clock.now()
        head = m.Head(
            terminal=f"E{self.code}",
            message_id=self.ids.new(at),
            customer=self.link.user_id,
            operator=self.link.user_id,
            function=profile.STATUS,
        )
        notice = m.StatusNotice(payments=(_payment(request),), at=bank_time(at))
        return self._answer(head, notice)

    def came_back_notice(self, request: PaymentRequest) -> bytes:
        return self.finished_notice(request)


def _reference(document: codec.Document) -> str:
    match document.body:
        case m.PayRequest(orders=(order, *_)):
            return order.reference
        case m.StatusRequest(queries=(query, *_)):
            return query.reference
        case _:
            return document.head.message_id


def _code(request: PaymentRequest) -> str:
    """How a payment stands, as this style says it."""
    if request.state != FIN:
        working = {AUT: profile.SUBMITTED, NTE: profile.SUBMITTED, BNK: profile.WORKING}
        return working.get(request.state, profile.WORKING)
    ends = {PAID: profile.OK, FAILED: profile.FAILED}
    return ends.get(request.flag, profile.CAME_BACK)


def _words(request: PaymentRequest) -> m.Status:
    code = _code(request)
    return m.Status(code=code, words=request.reason or profile.meaning_of(code).zh)


def _payment(request: PaymentRequest) -> m.PaymentStatus:
    order = request.order
    return m.PaymentStatus(
        status=_words(request),
        reference=request.reference,
        bank_reference=request.bank_reference,
        amount=yuan(order.amount_fen, grouped=False),
        payer_account=order.payer_account,
        payee_account=order.payee_account,
    )


def _taken(order: Order, taken: Taken) -> m.OrderStatus:
    if isinstance(taken, Refused):
        return _refused(order.reference, profile.OTHER_CONTENT)
    return m.OrderStatus(
        status=_words(taken), reference=taken.reference, bank_reference=taken.bank_reference
    )


def _refused(reference: str, code: str) -> m.OrderStatus:
    return m.OrderStatus(
        status=m.Status(code=code, words=profile.meaning_of(code).zh), reference=reference
    )


def _entry(line: Line) -> m.Entry:
    at = datetime.fromtimestamp(line.booked_at, UTC).astimezone(CHINA)
    return m.Entry(
        counterparty=m.Counterparty(
            account=line.counter_account, name=clean(line.counter_name, 100)
        ),
        line_id=line_id(line),
        reference=line.reference,
        day=f"{at:%Y%m%d}",
        time=f"{at:%H%M%S}",
        amount=yuan(abs(line.amount_fen), grouped=False),
        balance_after=yuan(line.balance_after_fen, grouped=False),
        words=clean(line.words, 100),
        kind=_KINDS[line.kind],
        currency=_FACTS.currency,
        direction=profile.IN if line.amount_fen >= 0 else profile.OUT,
        value_day=line.day.replace("-", ""),
    )
