"""The skin of the CMB style over a direct bank: its form, its words, its two notices.

The bank's business is ``direct``, its answers to questions come from ``desk``; here is only how
they are read and written. Next: ``desk_cmb`` (questions in this style).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import parse_fen, yuan
from caiwutong.rails.bank_direct.styles.cmb import codec, profile
from caiwutong.rails.bank_direct.styles.cmb import messages as b
from caiwutong.rails.bank_direct.styles.cmb.envelope import Keys
from caiwutong.rails.bank_direct.styles.cmb.keys import load_keys
from caiwutong.rails.bank_direct.styles.cmb.messages import Wire
from caiwutong.rails.contract import BadMessage
from caiwutong.sandbox.centre import Transfer
from caiwutong.sandbox.codes import words_of
from caiwutong.sandbox.desk_cmb import CmbDesk
from caiwutong.sandbox.direct import DirectBank, Taken
from caiwutong.sandbox.entries import Account, Line
from caiwutong.sandbox.links import LinkKeys
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.pushes import Pushes
from caiwutong.sandbox.requests import Order, PaymentRequest
from caiwutong.sandbox.wire import Reply, clean


class CmbBank(DirectBank):
    """A bank of the CMB style."""

    window = timedelta(seconds=profile.CMB_CLOUD.signature_window_s)

    def __init__(
        self, network: Network, code: str, link: LinkKeys, pushes: Pushes, path: str
    ) -> None:
        super().__init__(network, code, link, pushes, path)
        hub_public = self.hub_key.to_hex()
        self._keys = load_keys(link.bank_secret, hub_public, link.sm4)
        self._wrong_keys = load_keys(self.wrong_secret, hub_public, link.sm4)
        self._questions = CmbDesk(self.desk)

    # -- requests

    def handle(self, raw: bytes) -> Reply:
        at = self.network.clock.now()
        try:
            request = codec.decode_request(raw, self._keys_of, now=at)
        except BadMessage as error:
            return Reply(str(error).encode(), status=400)
        broken = self.out_of_order(_reference(request))
        if broken is not None:
            return broken
        try:
            if isinstance(request.body, b.PayRequest):
                return self._pay(request, request.body)
            if isinstance(request.body, b.BatchPayRequest):
                return self._pay_batch(request, request.body)
            return Reply(self._answer(request, self._ask(request.body)))
        except Refused as error:
            return Reply(self._refuse(request, error))

    def _keys_of(self, user_id: str) -> Keys | None:
        return self._keys if user_id == self.link.user_id else None

    def _answer(self, request: codec.Request, body: Wire, keys: Keys | None = None) -> bytes:
        at = self.network.clock.now()
        return codec.encode_answer(
            body,
            request=request,
            response_id=self.ids.new(at),
            at=at,
            keys=keys or self._keys,
        )

    def _refuse(self, request: codec.Request, error: Refused) -> bytes:
        at = self.network.clock.now()
        return codec.encode_answer(
            None,
            request=request,
            response_id=self.ids.new(at),
            at=at,
            keys=self._keys,
            result_code="CDCSRV1",
            result_message=error.detail,
        )

    def _ask(self, body: Wire) -> Wire:
        if isinstance(body, b.PayQueryRequest):
            found = [self.register.get(query.reference) for query in body.queries]
            return b.PayQueryAnswer(records=tuple(self._record(each) for each in found if each))
        return self._questions.answer(body)

    # -- paying

    def _pay(self, request: codec.Request, body: b.PayRequest) -> Reply:
        if len(body.payments) != 1 or len(body.modes) != 1:
            outcome = _error("CDCPAY1", "一次只受理一笔支付")
            return Reply(self._answer(request, b.PayAnswer(outcomes=(outcome,))))

        def answer(taken: list[Taken], wrong: bool) -> bytes:
            outcomes = tuple(_outcome(each) for each in taken)
            keys = self._wrong_keys if wrong else self._keys
            return self._answer(request, b.PayAnswer(outcomes=outcomes), keys)

        order = order_of(body.payments[0], body.modes[0])
        return self.receive([order], answer, signed_at=request.signed_at)

    def _pay_batch(self, request: codec.Request, body: b.BatchPayRequest) -> Reply:
        mode = body.modes[0] if len(body.modes) == 1 else None
        if mode is None or mode.count != str(len(body.payments)) or mode.continued != "N":
            raise Refused("sandbox.batch", "批次信息与明细不符")

        def answer(taken: list[Taken], wrong: bool) -> bytes:
            refused = next((each for each in taken if isinstance(each, Refused)), None)
            outcome = b.BatchOutcome(
                batch=mode.batch,
                state="OPR",
                error_code="CDCPAY2" if refused else profile.CMB_CLOUD.accepted_code,
                error_text=refused.detail if refused else "",
            )
            keys = self._wrong_keys if wrong else self._keys
            return self._answer(request, b.BatchPayAnswer(outcomes=(outcome,)), keys)

        terms = b.PayMode(mode=mode.mode, business=mode.business)
        orders = [order_of(each, terms) for each in body.payments]
        return self.receive(orders, answer, package=mode.batch, signed_at=request.signed_at)

    def check_order(self, order: Order) -> None:
        """The instant channel has a limit."""
        limit = profile.CMB_CLOUD.instant_limit_fen
        instant = order.terms["channel"] == profile.CHANNEL_INSTANT
        if order.terms["currency"] != profile.CMB_CLOUD.currency_code:
            raise Refused("sandbox.currency", "币种不支持")
        if instant and order.amount_fen > limit:
            raise Refused("sandbox.limit", words_of("RJ04"))

    def _record(self, request: PaymentRequest) -> b.PaymentRecord:
        order = request.order
        terms = order.terms
        payer = self.book.account(order.payer_account)
        return b.PaymentRecord(
            bank_reference=request.bank_reference,
            reference=request.reference,
            state=request.state,
            flag=request.flag,
            reason=request.reason,
            amount=yuan(order.amount_fen, grouped=False),
            currency=terms["currency"],
            payer_account=order.payer_account,
            payer_name=payer.name if payer else "",
            payee_account=order.payee_account,
            payee_name=order.payee_name,
            payee_bank_name=order.payee_bank_name,
            payee_bank_code=order.payee_bank_code,
            in_bank="Y" if order.inside else "N",
            channel=terms["channel"],
            purpose=order.purpose,
            remark=order.remark,
            business=terms["business"],
            mode=terms["mode"],
            submitted_on=request.day,
            returned_on=request.returned_day,
        )

    # -- notices

    def finished_notice(self, request: PaymentRequest) -> bytes:
        return self._notice(b.PaymentFinished(record=self._record(request)))

    def came_back_notice(self, request: PaymentRequest) -> bytes:
        return self._notice(b.PaymentCameBack(payment=self._questions.returned(request)))

    def money_came_notice(self, account: Account, line: Line, transfer: Transfer) -> bytes:
        at = f"{datetime.fromtimestamp(line.booked_at, CHINA):%Y%m%d%H%M%S}"
        return self._notice(
            b.AccountChange(
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
        )

    def _notice(self, event: b.Notice) -> bytes:
        at = self.network.clock.now()
        return codec.encode_notice(
            event, user_id=self.link.user_id, number=self.ids.new(at), at=at, keys=self._keys
        )


def order_of(detail: b.PayDetail, mode: b.PayMode) -> Order:
    """The order in a payment of this style. Raises Refused for an amount that is none."""
    return Order(
        reference=detail.reference,
        payer_account=detail.payer_account,
        payee_account=detail.payee_account,
        payee_name=detail.payee_name,
        payee_bank_name=detail.payee_bank_name,
        payee_bank_code=detail.payee_bank_code,
        amount_fen=parse_fen(detail.amount),
        inside=detail.in_bank == "Y",
        purpose=detail.purpose,
        remark=detail.remark,
        terms={
            "channel": detail.channel,
            "currency": detail.currency,
            "mode": mode.mode,
            "business": mode.business,
        },
    )


def _reference(request: codec.Request) -> str:
    match request.body:
        case b.PayRequest(payments=(payment, *_)) | b.BatchPayRequest(payments=(payment, *_)):
            return payment.reference
        case b.PayQueryRequest(queries=(query, *_)):
            return query.reference
        case _:
            return request.request_id


def _outcome(taken: Taken) -> b.PayOutcome:
    if isinstance(taken, Refused):
        return _error("CDCPAY2", taken.detail)
    return b.PayOutcome(
        bank_reference=taken.bank_reference,
        state=taken.state,
        flag=taken.flag,
        error_code=profile.CMB_CLOUD.accepted_code,
        error_text=taken.reason,
    )


def _error(code: str, words: str) -> b.PayOutcome:
    return b.PayOutcome(state="OPR", error_code=code, error_text=words)
