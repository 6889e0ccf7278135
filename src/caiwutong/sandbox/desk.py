"""A direct bank's counter for questions: balances now and past, statement, returns, receipts.

Everything is read from the books; asking changes nothing. Amounts leave as text in yuan.
"""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, timedelta

from caiwutong.crypto.gm import sm3
from caiwutong.kernel.clock import CHINA, Clock, china_date
from caiwutong.kernel.errors import Refused
from caiwutong.kernel.money import yuan
from caiwutong.rails.bank_direct.styles.cmb import account_messages as a
from caiwutong.rails.bank_direct.styles.cmb import messages as b
from caiwutong.rails.bank_direct.styles.cmb import profile
from caiwutong.rails.bank_direct.styles.cmb.messages import Wire
from caiwutong.sandbox.books import Book
from caiwutong.sandbox.entries import (
    Account,
    Line,
)
from caiwutong.sandbox.receipt import receipt_pdf
from caiwutong.sandbox.requests import PaymentRequest, Register
from caiwutong.sandbox.wire import clean

_KINDS = {kind: code for code, kind in profile.LINE_KINDS.items()}
_STATES = {"active": "A", "frozen": "B", "closed": "C"}
_PAGE = profile.CMB_CLOUD.statement_page_lines


class Desk:
    """Answers questions about the group's accounts at one bank."""

    def __init__(self, book: Book, register: Register, clock: Clock) -> None:
        self._book = book
        self._register = register
        self._clock = clock

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
            case b.ReturnsRequest():
                return b.ReturnsAnswer(payments=self._returns(body))
            case b.ReturnsByDayRequest():
                return b.ReturnsByDayAnswer(payments=self._returns_by_day(body))
            case b.BatchListRequest():
                # Payments reach this bank one by one (BB1PAYOP), so it holds no batch.
                return b.BatchListAnswer()
            case b.BatchDetailRequest():
                return b.BatchDetailAnswer()
            case _:
                raise Refused("sandbox.function", "不支持的查询")

    def _own(self, number: str) -> Account | None:
        found = self._book.account(number)
        return found if found is not None and found.owner == "group" else None

    def _must_own(self, number: str) -> Account:
        found = self._own(number)
        if found is None:
            raise Refused("sandbox.account", "账号不存在或无权查询")
        return found

    # -- balances

    def _balances(self, body: a.BalancesRequest) -> a.BalancesAnswer:
        if len(body.queries) > profile.CMB_CLOUD.balance_accounts:
            raise Refused("sandbox.too_many", "一次最多查询30个账户")
        return a.BalancesAnswer(balances=tuple(self._balance(q.account) for q in body.queries))

    def _balance(self, number: str) -> a.Balance:
        found = self._own(number)
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
        today = china_date(self._clock.now())
        found: list[a.PastBalance] = []
        for query in body.queries:
            account = self._must_own(query.account)
            first, last = _day(query.from_day), _day(query.to_day)
            if (last - first).days >= profile.CMB_CLOUD.history_days or last >= today:
                raise Refused("sandbox.span", "查询日期须早于当日且不超过31天")
            for offset in range((last - first).days + 1):
                day = first + timedelta(days=offset)
                balance = self._book.balance_on(account.account, day.isoformat())
                if balance is not None:
                    found.append(
                        a.PastBalance(
                            account=account.account,
                            day=f"{day:%Y%m%d}",
                            balance=yuan(balance, grouped=False),
                        )
                    )
        return a.PastBalancesAnswer(balances=tuple(found))

    # -- statement

    def _statement(self, body: a.StatementRequest) -> a.StatementAnswer:
        """A page of lines from the break point, or from the first day asked for."""
        query = body.queries[0]
        account = self._must_own(query.account)
        first, last = _day(query.from_day).isoformat(), _day(query.to_day).isoformat()
        start = 1
        for point in body.break_points:
            if point.account == account.account and point.next_sequence.isdigit():
                start = int(point.next_sequence)
        if query.first_sequence.isdigit():
            start = max(start, int(query.first_sequence))
        lines = self._book.lines_within(account.account, start - 1, first, last, _PAGE + 1)
        page = lines[:_PAGE]
        more = len(lines) > _PAGE
        following = page[-1].line_no + 1 if page else start
        day = page[-1].day.replace("-", "") if page else query.from_day
        point = a.BreakPoint(account=account.account, day=day, next_sequence=str(following))
        return a.StatementAnswer(
            break_points=(point,),
            control=(_control(page, more, account.account),),
            entries=tuple(_entry(line) for line in page),
        )

    # -- returns

    def _returns(self, body: b.ReturnsRequest) -> tuple[b.ReturnedPayment, ...]:
        query = body.queries[0]
        return tuple(
            self.returned(request)
            for request in self._returned_between(query.from_day, query.to_day)
            if request.detail.payer_account == query.account
            and query.bank_reference in ("", request.bank_reference)
        )

    def _returns_by_day(self, body: b.ReturnsByDayRequest) -> tuple[b.ReturnedPayment, ...]:
        query = body.queries[0]
        found = self._returned_between(query.from_day, query.to_day)
        return tuple(self.returned(request) for request in found)

    def _returned_between(self, first: str, last: str) -> list[PaymentRequest]:
        days = (f"{_day(first):%Y%m%d}", f"{_day(last):%Y%m%d}")
        return self._register.returned_between(*days)

    def returned(self, request: PaymentRequest) -> b.ReturnedPayment:
        """A request whose money came back, in the bank's words."""
        detail = request.detail
        return b.ReturnedPayment(
            bank_reference=request.bank_reference,
            reference=request.reference,
            amount=detail.amount,
            currency=detail.currency,
            payer_account=detail.payer_account,
            payee_account=detail.payee_account,
            payee_name=detail.payee_name,
            reason=request.reason,
            submitted_on=request.day,
        )

    # -- receipts

    def _receipt(self, body: a.ReceiptRequest) -> a.ReceiptAnswer:
        account = self._must_own(body.account)
        number = body.line_id.rpartition("-")[2]
        lines = self._book.lines(account.account, int(number) - 1, 1) if number.isdigit() else []
        line = lines[0] if lines else None
        if line is None or line.line_no != int(number) or line.day != body.day:
            raise Refused("sandbox.receipt", "未找到该笔交易的回单")
        identity = f"{self._book.code}{line.account}{line.line_no}{line.amount_fen}"
        check = sm3(identity.encode()).hex()[:12].upper()
        document = receipt_pdf(self._book.name, account, line, check)
        return a.ReceiptAnswer(
            check_code=check,
            document=base64.b64encode(document).decode(),
            receipt_id=f"{line.day.replace('-', '')}{check}",
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
        line_id=f"{line.account}-{line.line_no}",
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


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=CHINA).date()
    except ValueError:
        raise Refused("sandbox.day", "日期格式须为yyyyMMdd") from None
