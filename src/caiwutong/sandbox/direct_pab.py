"""The skin of the voucher-number style over a direct bank: its head, its words, and its clerks.

A voucher number that is used already is answered as a duplicate, whatever else the message says. A
payment above 10,000,000.00, or to another bank without that bank's number, is kept by a clerk
(落地) for ``CLERK_S`` business seconds; a person may release or refuse it before. The bank tells
nothing by itself. Its business is ``direct``, its answers to questions come from ``desk``.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import parse_fen, yuan
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.signing import Signer, load_keys
from caiwutong.rails.bank_direct.styles.pab import codec, profile
from caiwutong.rails.bank_direct.styles.pab import messages as m
from caiwutong.rails.bank_direct.styles.pab.envelope import ANSWER, REQUEST, Head
from caiwutong.rails.bank_direct.styles.pab.voucher import reference_of, voucher_of
from caiwutong.rails.contract import BadMessage
from caiwutong.sandbox.desk import day_of, line_id
from caiwutong.sandbox.direct import DirectBank, Taken
from caiwutong.sandbox.entries import Line
from caiwutong.sandbox.links import LinkKeys
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.pushes import Pushes
from caiwutong.sandbox.requests import AUT, CAME_BACK, FIN, MAN, NTE, PAID, Order, PaymentRequest
from caiwutong.sandbox.wire import Reply, clean

CLERK_S = 1_800.0
"""Business seconds a clerk keeps a payment when nobody hurries him."""
REFUSED = "CW0199"
"""Code of this bank for what it does not answer; the hub knows it not, so it is doubt."""

_FACTS = profile.PAB_DIRECT
_KINDS = {kind: code for code, kind in profile.LINE_KINDS.items()}
_DUPLICATE = (profile.DUPLICATE, "转账凭证号重复")


class PabBank(DirectBank):
    """A bank of the voucher-number style."""

    window = timedelta(seconds=_FACTS.order_window_s)

    def __init__(
        self, network: Network, code: str, link: LinkKeys, pushes: Pushes, path: str
    ) -> None:
        super().__init__(network, code, link, pushes, path)
        self._keys = load_keys(link.bank_secret, self.hub_key.to_hex())
        self._wrong = load_keys(self.wrong_secret, self.hub_key.to_hex())

    # -- requests

    def handle(self, raw: bytes) -> Reply:
        try:
            frame = codec.decode(raw, self._keys.verifier, forgiving=False)
            if frame.head.service != REQUEST or frame.head.customer != self.link.user_id:
                raise BadMessage("sandbox.request", "不是本客户的请求")
            reference = _reference(frame)
        except BadMessage as error:
            return Reply(str(error).encode(), status=400)
        broken = self.out_of_order(reference)
        if broken is not None:
            return broken
        try:
            if isinstance(frame.body, m.PayRequest | m.BatchRequest):
                return self._pay(frame, frame.body)
            return Reply(self._answer(frame, self._ask(frame.body)))
        except Refused as error:
            code = error.code if error.code in _CODES else REFUSED
            return Reply(self._answer(frame, None, code, error.detail))

    def _answer(
        self,
        frame: codec.Frame,
        body: Word | None,
        code: str = profile.OK,
        words: str = "交易受理成功",
        signer: Signer | None = None,
    ) -> bytes:
        head = Head(
            customer=frame.head.customer,
            function=frame.head.function,
            service=ANSWER,
            message_id=frame.head.message_id,
            at=self.network.clock.now(),
            code=code,
            words=clean(words, 40),
        )
        return codec.encode(head, body, signer or self._keys.signer)

    # -- paying

    def _pay(self, frame: codec.Frame, body: m.PayRequest | m.BatchRequest) -> Reply:
        if isinstance(body, m.BatchRequest):
            orders = [_order(each, body.payer_account) for each in body.payments]
            known = bool(self.register.in_package(body.batch))
            package = body.batch
        else:
            orders = [_order(body, body.payer_account)]
            known = self.register.get(orders[0].reference) is not None
            package = ""
        if not known and abs(frame.head.at - self.network.clock.now()) > self.window:
            raise Refused(profile.STALE, "交易时间超出受理范围")

        def answer(taken: Sequence[Taken], wrong: bool) -> bytes:
            signer = self._wrong.signer if wrong else None
            first = taken[0]
            if known or isinstance(first, Refused):
                return self._answer(frame, None, *_DUPLICATE, signer)
            told: Word = m.BatchAnswer(batch=package)
            if not package:
                told = m.PayAnswer(
                    voucher=voucher_of(first.reference),
                    bank_reference=first.bank_reference,
                    state=self._state(first),
                )
            return self._answer(frame, told, signer=signer)

        return self.receive(orders, answer, package=package, signed_at=frame.head.at)

    def clerk_s(self, order: Order) -> float:
        waits = profile.waits_for_a_clerk(
            order.amount_fen, inside=order.inside, payee_bank=order.payee_bank_code
        )
        return CLERK_S if waits else 0.0

    def payee_bank_of(self, order: Order) -> str:
        """The clerk looks up the bank whose number is missing."""
        bank = super().payee_bank_of(order)
        found = None if bank else self.network.find(order.payee_account)
        return bank or (found[0].code if found else "")

    # -- questions

    def _ask(self, body: Word | None) -> Word:
        match body:
            case m.StatusRequest():
                return self._status(body)
            case m.BalanceRequest():
                return self._balance(body.account)
            case m.StatementRequest():
                return self._statement(body)
            case m.ReceiptRequest():
                slip = self.desk.slip(body.account, body.line_id)
                return m.ReceiptAnswer(
                    line_id=body.line_id,
                    receipt_id=slip.receipt_id,
                    check_code=slip.check_code,
                    document=base64.b64encode(slip.document).decode(),
                )
            case _:
                raise Refused("sandbox.function", "不支持的查询")

    def _status(self, body: m.StatusRequest) -> m.StatusAnswer:
        request = self.register.get(reference_of(body.voucher))
        if request is None:
            raise Refused(profile.NO_RECORD, "没有满足条件记录")
        order = request.order
        state = self._state(request)
        meaning = profile.meaning_of(state)
        failed = state == profile.FAILED
        return m.StatusAnswer(
            voucher=body.voucher,
            bank_reference=request.bank_reference,
            currency=_FACTS.currency,
            payer_account=order.payer_account,
            payee_account=order.payee_account,
            amount=yuan(order.amount_fen, grouped=False),
            state=state,
            returned="1" if request.flag == CAME_BACK else "0",
            reason=clean(request.reason, 60),
            result=f"{'MA9112' if failed else profile.OK}:{meaning.zh}",
        )

    def _state(self, request: PaymentRequest) -> str:
        if request.state == FIN:
            return profile.DONE if request.flag in (PAID, CAME_BACK) else profile.FAILED
        kept = request.state == MAN
        coming = request.state in (AUT, NTE) and self.clerk_s(request.order) > 0
        return profile.MANUAL if kept or coming else profile.WORKING

    def _balance(self, number: str) -> m.BalanceAnswer:
        account = self.desk.must_own(number)
        return m.BalanceAnswer(
            account=number,
            currency=_FACTS.currency,
            name=account.name,
            available=yuan(account.available_fen, grouped=False),
            booked=yuan(account.balance_fen, grouped=False),
        )

    def _statement(self, body: m.StatementRequest) -> m.StatementAnswer:
        account = self.desk.must_own(body.account)
        first, last = day_of(body.first), day_of(body.last)
        size = max(1, min(int(body.size), _FACTS.page_lines))
        skip = max(0, int(body.page) - 1) * size
        lines, total = self.desk.numbered(account, skip, first, last, size)
        return m.StatementAnswer(
            account=body.account,
            last_page="N" if skip + len(lines) < total else "Y",
            page=body.page,
            entries=tuple(_entry(each, account.account, account.name) for each in lines),
        )


_CODES = frozenset({profile.NO_RECORD, profile.STALE})


def _reference(frame: codec.Frame) -> str:
    """Whose fortune decides about faults. The books are kept under the hub's own references, not
    under vouchers, so that the judge can compare."""
    match frame.body:
        case m.PayRequest() | m.StatusRequest():
            return reference_of(frame.body.voucher)
        case m.BatchRequest(payments=(payment, *_)):
            return reference_of(payment.voucher)
        case _:
            return frame.head.message_id


def _order(payment: m.PayRequest | m.BatchPayment, payer_account: str) -> Order:
    return Order(
        reference=reference_of(payment.voucher),
        payer_account=payer_account,
        payee_account=payment.payee_account,
        payee_name=payment.payee_name,
        payee_bank_name=payment.payee_bank_name,
        payee_bank_code=payment.payee_bank,
        amount_fen=parse_fen(payment.amount),
        inside=payment.inside == "1",
        purpose=payment.use,
    )


def _entry(line: Line, account: str, name: str) -> m.Entry:
    at = datetime.fromtimestamp(line.booked_at, UTC).astimezone(CHINA)
    out = line.amount_fen < 0
    ours, theirs = (account, name), (line.counter_account, line.counter_name)
    payer, payee = (ours, theirs) if out else (theirs, ours)
    return m.Entry(
        day=f"{at:%Y%m%d}",
        time=f"{at:%H%M%S}",
        line_id=line_id(line),
        payer_account=payer[0],
        payer_name=_gbk(clean(payer[1], 60)),
        payee_account=payee[0],
        payee_name=_gbk(clean(payee[1], 60)),
        amount=yuan(abs(line.amount_fen), grouped=False),
        side=profile.OUT if out else profile.IN,
        kind=_KINDS[line.kind],
        balance_after=yuan(line.balance_after_fen, grouped=False),
        words=_gbk(clean(line.words, 100)),
        own_number=_own_number(line.reference),
    )


def _own_number(reference: str) -> str:
    """The voucher the customer gave, or what stood in its place at another bank."""
    try:
        return voucher_of(reference) if reference else ""
    except Refused:
        return reference[:20]


def _gbk(text: str) -> str:
    """The text as this bank writes it: what GBK does not have becomes a question mark, so that
    money from a rare name does not make the statement unreadable."""
    return text.encode("gbk", "replace").decode("gbk")
