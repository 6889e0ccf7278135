"""The skin of the ICBC style over a direct bank: packages in GBK or GB18030, signed with SM2.

The bank answers in the character set it was asked in, and tells results by PAYNOTIFY. An element it
does not know, a count or a sum that does not fit its package, or a package from another hour is
refused as a whole (own). Next: ``direct`` (the business), ``desk`` (questions).
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.signing import load_keys
from caiwutong.rails.bank_direct.styles.icbc import codec, envelope, profile
from caiwutong.rails.bank_direct.styles.icbc import messages as m
from caiwutong.rails.contract import BadMessage
from caiwutong.sandbox.desk import day_of, line_id
from caiwutong.sandbox.direct import DirectBank, Taken
from caiwutong.sandbox.entries import Line
from caiwutong.sandbox.links import LinkKeys
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
    Order,
    PaymentRequest,
)
from caiwutong.sandbox.wire import Reply, clean

_FACTS = profile.ICBC_CMS
_KINDS = {kind: code for code, kind in profile.LINE_KINDS.items()}
_RESULTS = {AUT: "0", NTE: "1", BNK: "9"}
_ENDS = {PAID: "7", FAILED: "6", CAME_BACK: "99"}
CHARSET = profile.GB18030
"""What this bank reads, and writes notices in."""


class IcbcBank(DirectBank):
    """A bank of the ICBC style."""

    window = timedelta(seconds=_FACTS.package_window_s)

    def __init__(
        self, network: Network, code: str, link: LinkKeys, pushes: Pushes, path: str
    ) -> None:
        super().__init__(network, code, link, pushes, path)
        hub_public = self.hub_key.to_hex()
        self._keys = load_keys(link.bank_secret, hub_public)
        self._wrong_keys = load_keys(self.wrong_secret, hub_public)

    def handle(self, raw: bytes) -> Reply:
        try:
            form, document = envelope.opened_request(raw, self._keys.verifier)
            request = codec.decode_request(document)
            _same(form, request.pub)
        except BadMessage as error:
            return Reply(str(error).encode(), status=400)
        broken = self.out_of_order(_reference(request))
        if broken is not None:
            return broken
        charset = CHARSET if b'encoding="GB18030"' in document[:60] else profile.GBK
        try:
            self._check(request)
            if isinstance(request.body, m.PayRequest):
                return self._pay(request, request.body, charset)
            return Reply(self._answer(request.pub, self._ask(request.body), charset))
        except Refused as error:
            return Reply(self._answer(request.pub, m.Refusal(), charset, refused=error.detail))

    def _check(self, request: codec.Document) -> None:
        """Raise Refused for a package this bank does not take as a whole."""
        if request.pub.customer != self.link.user_id or request.pub.bank != _FACTS.bank:
            raise Refused("sandbox.customer", "集团CIS号不存在或与证书不符")
        if abs(self.network.clock.now() - request.at) > self.window:
            raise Refused("sandbox.stale", "交易日期时间与银行不符")
        if isinstance(request.body, m.PayRequest):
            orders = request.body.orders
            total = sum(int(order.amount) for order in orders)
            if (str(len(orders)), str(total)) != (request.body.count, request.body.total):
                raise Refused("sandbox.total", "总笔数或总金额与明细不符")

    def _answer(
        self,
        asked: m.Pub,
        body: Word,
        charset: str,
        *,
        refused: str = "",
        wrong: bool = False,
    ) -> bytes:
        day, time = codec.stamp(self.network.clock.now())
        pub = m.Pub(
            transaction=asked.transaction,
            customer=asked.customer,
            bank=asked.bank,
            user=asked.user,
            day=day,
            time=time,
            package=asked.package,
            code="EB0001" if refused else profile.DONE,
            text=clean(refused, 100),
        )
        keys = self._wrong_keys if wrong else self._keys
        return envelope.sealed(codec.encode_answer(pub, body, charset), keys.signer)

    # -- paying

    def _pay(self, request: codec.Document, body: m.PayRequest, charset: str) -> Reply:
        def answer(taken: list[Taken], wrong: bool) -> bytes:
            outcomes = tuple(
                _refused(order.reference, each.detail)
                if isinstance(each, Refused)
                else _outcome(each)
                for order, each in zip(body.orders, taken, strict=True)
            )
            words = m.PayAnswer(outcomes=outcomes)
            return self._answer(request.pub, words, charset, wrong=wrong)

        orders = [_order(each) for each in body.orders]
        package = request.pub.package
        return self.receive(orders, answer, package=package, signed_at=request.at)

    # -- questions

    def _ask(self, body: Word) -> Word:
        match body:
            case m.PayQueryRequest(queries=queries, package=package):
                return m.PayQueryAnswer(
                    outcomes=tuple(self._standing(each.reference, package) for each in queries)
                )
            case m.BalancesRequest(queries=queries):
                return m.BalancesAnswer(balances=tuple(self._balance(q.account) for q in queries))
            case m.StatementRequest():
                return self._statement(body)
            case m.ReturnsRequest():
                days = day_of(body.from_day), day_of(body.to_day)
                found = self.desk.returned(*days, self.desk.must_own(body.account).account)
                return m.ReturnsAnswer(outcomes=tuple(map(_outcome, found)))
            case m.ReceiptRequest():
                slip = self.desk.slip(body.account, body.line_id)
                return m.ReceiptAnswer(
                    check_code=slip.check_code,
                    receipt_id=slip.receipt_id,
                    document=base64.b64encode(slip.document).decode(),
                )
            case _:
                raise Refused("sandbox.function", "不支持的交易")

    def _standing(self, reference: str, package: str) -> m.Outcome:
        found = self.register.get(reference)
        if found is None or package not in ("", found.package):
            return m.Outcome(reference=reference, code=profile.NO_SUCH, text="无此指令")
        return _outcome(found)

    def _balance(self, number: str) -> m.Balance:
        found = self.desk.own(number)
        if found is None:
            return m.Balance(
                account=number, currency=_FACTS.currency, code="EB0002", text="账号不存在或无权查询"
            )
        return m.Balance(
            account=number,
            currency=_FACTS.currency,
            balance=str(found.balance_fen),
            usable=str(found.available_fen),
            code=profile.DONE,
        )

    def _statement(self, body: m.StatementRequest) -> m.StatementAnswer:
        """A page of lines. NextTag is the number of the last line given out."""
        account = self.desk.must_own(body.account)
        after = int(body.next_tag) if body.next_tag.isdigit() else 0
        first, last = day_of(body.from_day), day_of(body.to_day)
        page, more = self.desk.page(account, after, first, last, _FACTS.page_lines)
        return m.StatementAnswer(
            account=account.account,
            next_tag=str(page[-1].line_no) if more else profile.PAGE_ENDS,
            entries=tuple(map(_entry, page)),
        )

    # -- notices

    def finished_notice(self, request: PaymentRequest) -> bytes:
        return self._notice(request)

    def came_back_notice(self, request: PaymentRequest) -> bytes:
        return self._notice(request)

    def _notice(self, request: PaymentRequest) -> bytes:
        head = m.Pub(
            transaction=profile.NOTICE,
            customer=self.link.user_id,
            bank=_FACTS.bank,
            user=self.link.user_id,
            day="",
            time="",
            package=self.ids.new(self.network.clock.now()),
        )
        return self._answer(head, m.Notice(outcomes=(_outcome(request),)), CHARSET)


def _same(form: envelope.Form, pub: m.Pub) -> None:
    said = (pub.transaction, pub.customer, pub.user, pub.package)
    if said != (form.transaction, form.customer, form.user, form.package):
        raise BadMessage("sandbox.form", "The form says another thing than the document.")


def _reference(request: codec.Document) -> str:
    match request.body:
        case m.PayRequest(orders=(order, *_)):
            return order.reference
        case m.PayQueryRequest(queries=(query, *_)):
            return query.reference
        case _:
            return request.pub.package


def _order(order: m.Order) -> Order:
    return Order(
        reference=order.reference,
        payer_account=order.payer_account,
        payee_account=order.payee_account,
        payee_name=order.payee_name,
        payee_bank_name=order.payee_bank_name,
        payee_bank_code=order.payee_bank_code,
        amount_fen=int(order.amount),
        inside=order.scope == "1",
        purpose=order.purpose,
        remark=order.remark,
        terms={"pay_type": order.pay_type},
    )


def _outcome(request: PaymentRequest) -> m.Outcome:
    ended = request.state == FIN
    return m.Outcome(
        reference=request.reference,
        bank_reference=request.bank_reference,
        amount=str(request.order.amount_fen),
        result=_ENDS[request.flag] if ended else _RESULTS[request.state],
        code=profile.DONE,
        text=clean(request.reason, 100),
        returned_on=request.returned_day,
    )


def _refused(reference: str, words: str) -> m.Outcome:
    return m.Outcome(reference=reference, code="EB0003", text=clean(words, 100))


def _entry(line: Line) -> m.Entry:
    at = datetime.fromtimestamp(line.booked_at, UTC).astimezone(CHINA)
    return m.Entry(
        line_id=line_id(line),
        side="2" if line.amount_fen >= 0 else "1",
        amount=str(abs(line.amount_fen)),
        balance_after=str(line.balance_after_fen),
        day=f"{at:%Y%m%d}",
        time=f"{at:%H%M%S}",
        kind=_KINDS[line.kind],
        reference=line.reference,
        counterparty_account=line.counter_account,
        counterparty_name=clean(line.counter_name, 100),
        summary=clean(line.words, 100),
    )
