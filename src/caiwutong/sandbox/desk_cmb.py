"""The counter's answers in the CMB style. Amounts leave as text in yuan."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import msgspec

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import yuan
from caiwutong.rails.bank_direct.styles.cmb import account_messages as a
from caiwutong.rails.bank_direct.styles.cmb import messages as b
from caiwutong.rails.bank_direct.styles.cmb import profile
from caiwutong.rails.bank_direct.styles.cmb.messages import Wire
from caiwutong.sandbox.desk import Desk, day_of, line_id
from caiwutong.sandbox.entries import Line
from caiwutong.sandbox.requests import FIN, PAID, PaymentRequest
from caiwutong.sandbox.wire import clean

_KINDS = {kind: code for code, kind in profile.LINE_KINDS.items()}
_STATES = {"active": "A", "frozen": "B", "closed": "C"}
_FACTS = profile.CMB_CLOUD
_BATCH_PAGE = 100


class CmbDesk:
    """Reads questions of this style and writes their answers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def answer(self, body: Wire) -> Wire:
        """The answer's body. Raises Refused for a question this bank does not take."""
        match body:
            case a.BalancesRequest():
                return self._balances(body)
            case a.PastBalancesRequest():
                return self._past_balances(body)
            case a.StatementRequest():
                return self._statement(body)
            case a.ReceiptRequest():
                return self._receipt(body)
            case b.ReturnsRequest(queries=(query, *_)):
                found = self._desk.returned(
                    day_of(query.from_day), day_of(query.to_day), query.account
                )
                payments = tuple(
                    self.returned(each)
                    for each in found
                    if query.bank_reference in ("", each.bank_reference)
                )
                return b.ReturnsAnswer(payments=payments)
            case b.ReturnsByDayRequest(queries=(query, *_)):
                found = self._desk.returned(day_of(query.from_day), day_of(query.to_day))
                return b.ReturnsByDayAnswer(payments=tuple(map(self.returned, found)))
            case b.BatchListRequest(queries=(query, *_)):
                days = day_of(query.from_day), day_of(query.to_day)
                found = self._desk.packages(*days)
                return b.BatchListAnswer(batches=tuple(_summary(*each) for each in found.items()))
            case b.BatchDetailRequest(queries=(query, *_)):
                return self._batch(query)
            case _:
                raise Refused("sandbox.function", "不支持的查询")

    def returned(self, request: PaymentRequest) -> b.ReturnedPayment:
        """A request whose money came back, in the bank's words."""
        order = request.order
        return b.ReturnedPayment(
            bank_reference=request.bank_reference,
            reference=request.reference,
            amount=yuan(order.amount_fen, grouped=False),
            currency=order.terms["currency"],
            payer_account=order.payer_account,
            payee_account=order.payee_account,
            payee_name=order.payee_name,
            reason=request.reason,
            submitted_on=request.day,
        )

    def _batch(self, query: b.BatchDetailQuery) -> b.BatchDetailAnswer:
        """A page of the payments of a batch; ctnKey is how many lie before it."""
        whole = self._desk.package(query.batch)
        at = int(query.continuation) if query.continuation.isdigit() else 0
        follow = at + _BATCH_PAGE
        more = (msgspec.structs.replace(query, continuation=str(follow)),)
        return b.BatchDetailAnswer(
            lines=tuple(_batch_line(query.batch, each) for each in whole[at:follow]),
            next_queries=more if follow < len(whole) else (),
        )

    def _balances(self, body: a.BalancesRequest) -> a.BalancesAnswer:
        if len(body.queries) > _FACTS.balance_accounts:
            raise Refused("sandbox.too_many", "一次最多查询30个账户")
        return a.BalancesAnswer(balances=tuple(self._balance(q.account) for q in body.queries))

    def _balance(self, number: str) -> a.Balance:
        found = self._desk.own(number)
        if found is None:
            return a.Balance(account=number, error_code="CDCACC1", error_text="账号不存在")
        held = found.balance_fen if found.state == "frozen" else 0
        return a.Balance(
            account=number,
            account_name=found.name,
            online=yuan(found.balance_fen, grouped=False),
            available=yuan(found.available_fen, grouped=False),
            frozen=yuan(held, grouped=False),
            overdraft_limit=yuan(found.overdraft_fen, grouped=False),
            status=_STATES[found.state],
        )

    def _past_balances(self, body: a.PastBalancesRequest) -> a.PastBalancesAnswer:
        found: list[a.PastBalance] = []
        for query in body.queries:
            account = self._desk.must_own(query.account)
            first, last = day_of(query.from_day), day_of(query.to_day)
            found += [
                a.PastBalance(
                    account=account.account,
                    day=f"{day:%Y%m%d}",
                    balance=yuan(balance, grouped=False),
                )
                for day, balance in self._desk.past_balances(
                    account, first, last, _FACTS.history_days
                )
            ]
        return a.PastBalancesAnswer(balances=tuple(found))

    def _statement(self, body: a.StatementRequest) -> a.StatementAnswer:
        """A page of lines from the break point, or from the first day asked for."""
        query = body.queries[0]
        account = self._desk.must_own(query.account)
        start = 1
        for point in body.break_points:
            if point.account == account.account and point.next_sequence.isdigit():
                start = int(point.next_sequence)
        if query.first_sequence.isdigit():
            start = max(start, int(query.first_sequence))
        first, last = day_of(query.from_day), day_of(query.to_day)
        page, more = self._desk.page(account, start - 1, first, last, _FACTS.statement_page_lines)
        following = page[-1].line_no + 1 if page else start
        day = page[-1].day.replace("-", "") if page else query.from_day
        point = a.BreakPoint(account=account.account, day=day, next_sequence=str(following))
        return a.StatementAnswer(
            break_points=(point,),
            control=(_control(page, more, account.account),),
            entries=tuple(_entry(line) for line in page),
        )

    def _receipt(self, body: a.ReceiptRequest) -> a.ReceiptAnswer:
        slip = self._desk.slip(body.account, body.line_id)
        if slip.line.day != body.day:
            raise Refused("sandbox.receipt", "未找到该笔交易的回单")
        return a.ReceiptAnswer(
            check_code=slip.check_code,
            document=base64.b64encode(slip.document).decode(),
            receipt_id=slip.receipt_id,
        )


def _summary(batch: str, requests: list[PaymentRequest]) -> b.BatchSummary:
    ended = all(each.state == FIN for each in requests)
    paid = [each for each in requests if each.flag == PAID]
    return b.BatchSummary(
        batch=batch,
        submitted_on=requests[0].day,
        state=FIN if ended else "BNK",
        flag=("S" if paid else "F") if ended else "",
        amount=yuan(sum(each.order.amount_fen for each in requests), grouped=False),
        count=str(len(requests)),
        accepted_amount=yuan(sum(each.order.amount_fen for each in paid), grouped=False),
        accepted_count=str(len(paid)),
    )


def _batch_line(batch: str, request: PaymentRequest) -> b.BatchLine:
    order = request.order
    return b.BatchLine(
        batch=batch,
        bank_reference=request.bank_reference,
        reference=request.reference,
        state=request.state,
        flag=request.flag,
        error_text=request.reason,
        amount=yuan(order.amount_fen, grouped=False),
        payer_account=order.payer_account,
        payee_account=order.payee_account,
        payee_name=order.payee_name,
    )


def _control(page: list[Line], more: bool, account: str) -> a.StatementControl:
    debits = [line.amount_fen for line in page if line.amount_fen < 0]
    credits_ = [line.amount_fen for line in page if line.amount_fen >= 0]
    return a.StatementControl(
        more="Y" if more else "N",
        continue_account=account if more else "",
        debit_count=str(len(debits)),
        debit_amount=yuan(-sum(debits), grouped=False),
        credit_count=str(len(credits_)),
        credit_amount=yuan(sum(credits_), grouped=False),
    )


def _entry(line: Line) -> a.StatementEntry:
    at = datetime.fromtimestamp(line.booked_at, UTC).astimezone(CHINA)
    return a.StatementEntry(
        line_id=line_id(line),
        day=f"{at:%Y%m%d}",
        time=f"{at:%H%M%S}",
        value_day=line.day.replace("-", ""),
        side="C" if line.amount_fen >= 0 else "D",
        amount=yuan(line.amount_fen, grouped=False),
        balance_after=yuan(line.balance_after_fen, grouped=False),
        kind=_KINDS[line.kind],
        reversal="*" if line.kind == "other" else "",
        summary=clean(line.words, 100),
        counterparty_account=line.counter_account,
        counterparty_name=clean(line.counter_name, 100),
        reference=line.reference,
    )
