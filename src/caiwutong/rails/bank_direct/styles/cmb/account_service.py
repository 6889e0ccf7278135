"""Questions about accounts over one link: balances, statement pages, returned payments, receipts.

Every question may be asked again without harm, so anything that goes wrong is ``Unavailable``.
Owns: the statement cursor, which is the bank's own break point (断点) wrapped up opaque, so reading
goes on exactly where it stopped, also days later. Read next: ``account_messages.py``.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TypeVar

import msgspec

from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.rails.bank_direct.contract import NAME, Receipt
from caiwutong.rails.bank_direct.fields import day_of, exact_base64, fen, months_before
from caiwutong.rails.bank_direct.styles.cmb.account_messages import (
    BalanceQuery,
    BalancesRequest,
    BreakPoint,
    PastBalancesAnswer,
    PastBalancesQuery,
    PastBalancesRequest,
    ReceiptAnswer,
    ReceiptRequest,
    StatementAnswer,
    StatementQuery,
    StatementRequest,
)
from caiwutong.rails.bank_direct.styles.cmb.codec import Answer
from caiwutong.rails.bank_direct.styles.cmb.link import Link
from caiwutong.rails.bank_direct.styles.cmb.messages import (
    BatchDetailAnswer,
    BatchDetailQuery,
    BatchDetailRequest,
    BatchListAnswer,
    BatchListQuery,
    BatchListRequest,
    ReturnedPayment,
    ReturnsAnswer,
    ReturnsByDayAnswer,
    ReturnsByDayQuery,
    ReturnsByDayRequest,
    ReturnsQuery,
    ReturnsRequest,
    Wire,
)
from caiwutong.rails.bank_direct.styles.cmb.reports import balances_of, lines_of, reports_of_lines
from caiwutong.rails.bank_direct.words import bad
from caiwutong.rails.contract import (
    BadMessage,
    BankBalance,
    RailReport,
    ReportKind,
    SentInDoubt,
    StatementLine,
    StatementPage,
)

_MOST_PAGES = 1_000
"""A bank that always says there is more is asked no further than this."""

REFUSED_QUERY = "bank_direct.refused_query"
"""Error code: the bank took the question and said no."""

BodyT = TypeVar("BodyT", bound=Wire)


class DayBalance(msgspec.Struct, frozen=True):
    """What stood on an account at the end of a day."""

    account: str
    day: date
    balance_fen: int


class Batch(msgspec.Struct, frozen=True):
    """A batch of payments as the bank lists it; what the bank leaves out is None."""

    number: str
    state: str
    """reqSts."""
    flag: str
    """rtnFlg."""
    count: int | None
    amount_fen: int | None
    words: str


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    from_day: str
    continue_account: str
    break_points: tuple[tuple[str, str, str], ...]


async def balances(link: Link, accounts: Sequence[str]) -> list[BankBalance]:
    """The balances of these accounts, asked thirty at a time."""
    found: list[BankBalance] = []
    for at in range(0, len(accounts), link.profile.balance_accounts):
        part = accounts[at : at + link.profile.balance_accounts]
        queries = tuple(
            BalanceQuery(account=each, currency=link.profile.currency_code) for each in part
        )
        answer, _ = await _ask(link, BalancesRequest(queries=queries), Wire)
        try:
            found.extend(each for each in balances_of(answer) if each.account in part)
        except BadMessage as error:
            raise _unreadable(error) from None
    return found


async def statement(link: Link, account: str, cursor: str, now: datetime) -> StatementPage:
    """One page after ``cursor``. The cursor stays good when there is nothing more yet."""
    today = china_date(now)
    earliest = months_before(today, link.profile.statement_months)
    place = _open_cursor(cursor) if cursor else _Cursor("", "", ())
    from_day = max(place.from_day, f"{earliest:%Y%m%d}")
    request = StatementRequest(
        queries=(
            StatementQuery(
                account=account,
                from_day=from_day,
                to_day=f"{today:%Y%m%d}",
                currency=link.profile.currency_code,
                continue_account=place.continue_account,
            ),
        ),
        break_points=tuple(
            BreakPoint(account=a, day=d, next_sequence=n) for a, d, n in place.break_points
        ),
    )
    _, body = await _ask(link, request, StatementAnswer)
    try:
        lines = lines_of(body, account)
        if not body.control:
            raise bad("statement_control", "The page does not say whether there is more.")
    except BadMessage as error:
        raise _unreadable(error) from None
    points = tuple((p.account, p.day, p.next_sequence) for p in body.break_points)
    more = body.control[0].more == "Y" and bool(lines)
    follow = _Cursor(
        from_day,
        body.control[0].continue_account if more else "",
        points or place.break_points,
    )
    return StatementPage(lines=lines, cursor=_close_cursor(follow), more=more)


async def past_balances(link: Link, account: str, first: date, days: int) -> list[DayBalance]:
    """Balances at the end of past days; the span of one question is the bank's (31 days)."""
    if not 1 <= days <= link.profile.history_days:
        raise Refused(
            "bank_direct.history_span",
            f"{days} days were asked for; the bank answers 1 to {link.profile.history_days}.",
            "Ask in parts.",
        )
    end = first + timedelta(days=days - 1)
    queries = (
        PastBalancesQuery(account=account, from_day=f"{first:%Y%m%d}", to_day=f"{end:%Y%m%d}"),
    )
    found: list[DayBalance] = []
    for _ in range(_MOST_PAGES):
        _, body = await _ask(link, PastBalancesRequest(queries=queries), PastBalancesAnswer)
        try:
            found.extend(
                DayBalance(each.account, day_of(each.day), fen(each.balance))
                for each in body.balances
            )
        except BadMessage as error:
            raise _unreadable(error) from None
        queries = body.next_queries
        if not any(each.continuation for each in queries):
            break
    return found


async def returned(link: Link, account: str, first: date, last: date) -> list[RailReport]:
    """A RETURNED report for every payment of this account that came back (退票)."""
    queries = (
        ReturnsQuery(
            account=account,
            from_day=f"{first:%Y%m%d}",
            to_day=f"{last:%Y%m%d}",
        ),
    )
    found: list[RailReport] = []
    for _ in range(_MOST_PAGES):
        answer, body = await _ask(link, ReturnsRequest(queries=queries), ReturnsAnswer)
        found += _returned(answer, body.payments)
        queries = body.next_queries
        if not any(each.continuation for each in queries):
            break
    return found


async def returned_by_day(link: Link, first: date, last: date) -> list[RailReport]:
    """The same for all accounts at once, by the day of return (BB1QRYOB)."""
    queries = (ReturnsByDayQuery(from_day=f"{first:%Y%m%d}", to_day=f"{last:%Y%m%d}"),)
    found: list[RailReport] = []
    for _ in range(_MOST_PAGES):
        request = ReturnsByDayRequest(queries=queries)
        answer, body = await _ask(link, request, ReturnsByDayAnswer)
        found += _returned(answer, body.payments)
        queries = body.next_queries
        if not any(each.continuation for each in queries):
            break
    return found


def _returned(answer: Answer, payments: Sequence[ReturnedPayment]) -> list[RailReport]:
    try:
        return [
            RailReport(
                kind=ReportKind.RETURNED,
                rail=NAME,
                reference=each.reference,
                code="FIN/B",
                at=answer.signed_at,
                words=each.reason,
                amount_fen=fen(each.amount),
                message_id=answer.response_id,
                bank_reference=each.bank_reference,
            )
            for each in payments
        ]
    except BadMessage as error:
        raise _unreadable(error) from None


async def batches(link: Link, first: date, last: date) -> list[Batch]:
    """The batches (批次) handed in on these China days (BB1QRYBT)."""
    query = BatchListQuery(from_day=f"{first:%Y%m%d}", to_day=f"{last:%Y%m%d}")
    _, body = await _ask(link, BatchListRequest(queries=(query,)), BatchListAnswer)
    try:
        return [
            Batch(
                each.batch,
                each.state,
                each.flag,
                int(each.count) if each.count.isascii() and each.count.isdigit() else None,
                fen(each.amount) if each.amount else None,
                each.error_text,
            )
            for each in body.batches
        ]
    except BadMessage as error:
        raise _unreadable(error) from None


async def batch(link: Link, number: str) -> list[RailReport]:
    """How each payment of a batch stands (BB1QRYBD)."""
    queries = (BatchDetailQuery(batch=number),)
    found: list[RailReport] = []
    for _ in range(_MOST_PAGES):
        request = BatchDetailRequest(queries=queries)
        answer, body = await _ask(link, request, BatchDetailAnswer)
        try:
            found += reports_of_lines(answer)
        except BadMessage as error:
            raise _unreadable(error) from None
        queries = body.next_queries
        if not any(each.continuation for each in queries):
            break
    return found


async def receipt(link: Link, account: str, line: StatementLine) -> Receipt | None:
    """The receipt of one line; None where the bank has none."""
    request = ReceiptRequest(
        account=account, day=f"{china_date(line.booked_at):%Y-%m-%d}", line_id=line.line_id
    )
    try:
        _, body = await _ask(link, request, ReceiptAnswer)
        document = exact_base64(body.document.encode())
    except BadMessage as error:
        raise _unreadable(error) from None
    except Unavailable as error:
        if error.code == REFUSED_QUERY:
            return None
        raise
    return Receipt(
        account=account,
        line_id=line.line_id,
        document=document,
        check_code=body.check_code,
        receipt_id=body.receipt_id,
    )


async def _ask(link: Link, request: Wire, kind: type[BodyT]) -> tuple[Answer, BodyT]:
    """The accepted answer and its body. Everything else is Unavailable: asking again is safe."""
    try:
        answer = await link.ask(request)
    except SentInDoubt as error:
        raise Unavailable("bank_direct.silent", error.detail, "Ask again later.") from None
    except BadMessage as error:
        raise _unreadable(error) from None
    if not isinstance(answer.body, kind):
        raise Unavailable(
            REFUSED_QUERY,
            f"The bank answered {answer.result_code}: {answer.result_message[:80]}",
            "See the bank's code; ask again later.",
        )
    return answer, answer.body


def _unreadable(error: BadMessage) -> Unavailable:
    return Unavailable(error.code, error.detail, error.cure)


def _close_cursor(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode()


def _open_cursor(text: str) -> _Cursor:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text), type=_Cursor)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise Refused(
            "bank_direct.bad_cursor",
            "The statement cursor is not one this rail gave out.",
            "Hand back the cursor of the last page unchanged, or an empty one to begin again.",
        ) from None
