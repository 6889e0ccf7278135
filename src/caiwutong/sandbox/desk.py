"""A direct bank's counter for questions, in words no interface owns: balances now and past,
statement lines, returned payments, receipts.

Everything is read from the books; asking changes nothing. A skin writes the answers in its style's
words. Next: ``desk_cmb``.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

from caiwutong.crypto.gm import sm3
from caiwutong.kernel.clock import CHINA, Clock, china_date
from caiwutong.kernel.errors import Refused
from caiwutong.sandbox.books import Book
from caiwutong.sandbox.entries import Account, Line
from caiwutong.sandbox.receipt import receipt_pdf
from caiwutong.sandbox.requests import PaymentRequest, Register


class Slip(NamedTuple):
    """An electronic receipt (电子回单) of one line."""

    line: Line
    check_code: str
    """Twelve hex digits; the same line always has the same."""
    receipt_id: str
    document: bytes
    """PDF."""


class Desk:
    """Answers questions about the group's accounts at one bank."""

    def __init__(self, book: Book, register: Register, clock: Clock) -> None:
        self._book = book
        self._register = register
        self._clock = clock

    @property
    def today(self) -> date:
        """The bank's day in China."""
        return china_date(self._clock.now())

    def own(self, number: str) -> Account | None:
        """The group's account of this number, or None."""
        found = self._book.account(number)
        return found if found is not None and found.owner == "group" else None

    def must_own(self, number: str) -> Account:
        """The same. Raises Refused where there is none."""
        found = self.own(number)
        if found is None:
            raise Refused("sandbox.account", "账号不存在或无权查询")
        return found

    def past_balances(
        self, account: Account, first: date, last: date, most_days: int
    ) -> list[tuple[date, int]]:
        """What stood at the end of these days, before today. Raises Refused for another span."""
        if (last - first).days >= most_days or last >= self.today:
            raise Refused("sandbox.span", f"查询日期须早于当日且不超过{most_days}天")
        days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
        balances = [(day, self._book.balance_on(account.account, day.isoformat())) for day in days]
        return [(day, balance) for day, balance in balances if balance is not None]

    def page(
        self, account: Account, after: int, first: date, last: date, size: int
    ) -> tuple[list[Line], bool]:
        """Lines after this number on these days, and whether there are more."""
        days = (first.isoformat(), last.isoformat())
        lines = self._book.lines_within(account.account, after, *days, size + 1)
        return lines[:size], len(lines) > size

    def numbered(
        self, account: Account, skip: int, first: date, last: date, size: int
    ) -> tuple[list[Line], int]:
        """Lines of these days after so many of them, and how many these days have altogether."""
        days = (first.isoformat(), last.isoformat())
        before = self._book.count_lines(account.account, "", _day_before(first))
        lines = self._book.lines_within(account.account, before + skip, *days, size)
        return lines, self._book.count_lines(account.account, *days)

    def returned(self, first: date, last: date, account: str = "") -> list[PaymentRequest]:
        """Payments that came back on these days: of this account, or of all."""
        found = self._register.returned_between(f"{first:%Y%m%d}", f"{last:%Y%m%d}")
        return [each for each in found if account in ("", each.order.payer_account)]

    def packages(self, first: date, last: date) -> dict[str, list[PaymentRequest]]:
        """What came in packages on these days, by package, in the bank's order."""
        names = self._register.packages(f"{first:%Y%m%d}", f"{last:%Y%m%d}")
        return {name: self._register.in_package(name) for name in names}

    def package(self, name: str) -> list[PaymentRequest]:
        """What came in this package."""
        return self._register.in_package(name)

    def slip(self, number: str, line_id: str) -> Slip:
        """The receipt of one line. Raises Refused where there is no such line."""
        account = self.must_own(number)
        digits = line_id.rpartition("-")[2]
        line_no = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
        lines = self._book.lines(account.account, line_no - 1, 1) if line_no else []
        if not lines or lines[0].line_no != line_no:
            raise Refused("sandbox.receipt", "未找到该笔交易的回单")
        line = lines[0]
        identity = f"{self._book.code}{line.account}{line.line_no}{line.amount_fen}"
        check = sm3(identity.encode()).hex()[:12].upper()
        document = receipt_pdf(self._book.name, account, line, check)
        return Slip(line, check, f"{line.day.replace('-', '')}{check}", document)


def _day_before(day: date) -> str:
    return (day - timedelta(days=1)).isoformat()


def line_id(line: Line) -> str:
    """The bank's own number of a line (流水号)."""
    return f"{line.account}-{line.line_no}"


def day_of(text: str) -> date:
    """The day of ``yyyyMMdd``. Raises Refused."""
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=CHINA).date()
    except ValueError:
        raise Refused("sandbox.day", "日期格式须为yyyyMMdd") from None
