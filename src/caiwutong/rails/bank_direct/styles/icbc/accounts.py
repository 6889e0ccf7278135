"""Questions about accounts over one link: balances, statement pages, returned payments, receipts.

Every question may be asked again without harm, so anything that goes wrong is ``Unavailable``.
Owns: the statement cursor. The bank pages by ``NextTag`` within a span of days and ends with an
empty one; so the cursor keeps the span's first day, the tag of the page reading stopped on and how
many lines of it are read, and begins again at the newest day once all is read: a question stays
short however old the account is. Read next: ``reports.py``.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import Refused, Unavailable
from caiwutong.rails.bank_direct.contract import Receipt
from caiwutong.rails.bank_direct.fields import exact_base64, months_before
from caiwutong.rails.bank_direct.styles.icbc import messages as m
from caiwutong.rails.bank_direct.styles.icbc.link import REFUSED_QUERY, Link, unreadable
from caiwutong.rails.bank_direct.styles.icbc.reports import balances_of, lines_of, returned_of
from caiwutong.rails.bank_direct.words import bad
from caiwutong.rails.contract import (
    BadMessage,
    BankBalance,
    RailReport,
    StatementLine,
    StatementPage,
)

_MOST_PAGES = 10_000
"""A bank that always says there is more is asked no further than this."""


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Up to here the statement is read."""

    from_day: str
    """BeginDate of the questions."""
    tag: str
    """NextTag of the page reading stopped on."""
    seen: int
    """Lines from that page on that are read already."""
    day: str
    """Day of the last line read."""
    on_day: int
    """Lines of that day that are read."""


async def balances(link: Link, accounts: Sequence[str]) -> list[BankBalance]:
    """The balances of these accounts, asked twenty at a time."""
    found: list[BankBalance] = []
    for at in range(0, len(accounts), link.profile.balance_accounts):
        part = accounts[at : at + link.profile.balance_accounts]
        queries = tuple(
            m.BalanceQuery(row=str(n), account=each, currency=link.profile.currency)
            for n, each in enumerate(part, 1)
        )
        body = m.BalancesRequest(count=str(len(queries)), queries=queries)
        document = await link.ask_again(body)
        try:
            found.extend(each for each in balances_of(document) if each.account in part)
        except BadMessage as error:
            raise unreadable(error) from None
    return found


async def statement(link: Link, account: str, cursor: str, now: datetime) -> StatementPage:
    """One page after ``cursor``. The cursor stays good when there is nothing more yet."""
    today = china_date(now)
    earliest = f"{months_before(today, link.profile.statement_months):%Y%m%d}"
    begin = Place(earliest, "", 0, "", 0)
    place = _opened(cursor) if cursor else begin
    if place.from_day < earliest:
        # The bank reaches no further back: go on from the last line read, or where it begins.
        known = place.day >= earliest
        place = Place(place.day, "", place.on_day, place.day, place.on_day) if known else begin
    for _ in range(_MOST_PAGES):
        body = await _page(link, account, place, today)
        if len(body.entries) > place.seen or not body.next_tag:
            return _page_of(body, place)
        # The whole page is read: it filled up since, or its lines were counted by day.
        seen = place.seen - len(body.entries)
        place = msgspec.structs.replace(place, tag=body.next_tag, seen=seen)
    raise Unavailable(
        "bank_direct.endless_statement",
        "The bank's statement does not come to an end.",
        "Show the bank this account and day; ask again later.",
    )


async def _page(link: Link, account: str, place: Place, today: date) -> m.StatementAnswer:
    document = await link.ask_again(
        m.StatementRequest(
            account=account,
            from_day=place.from_day,
            to_day=f"{today:%Y%m%d}",
            next_tag=place.tag,
        )
    )
    body = document.body
    if not isinstance(body, m.StatementAnswer) or body.account != account:
        raise unreadable(bad("other_answer", "The bank's answer is about another account."))
    return body


def _page_of(body: m.StatementAnswer, place: Place) -> StatementPage:
    try:
        lines = lines_of(body)[place.seen :]
    except BadMessage as error:
        raise unreadable(error) from None
    day, on_day = place.day, place.on_day
    for entry in body.entries[place.seen :]:
        day, on_day = (day, on_day + 1) if entry.day == day else (entry.day, 1)
    if body.next_tag:
        follow = Place(place.from_day, body.next_tag, 0, day, on_day)
    elif day > place.from_day:
        follow = Place(day, "", on_day, day, on_day)
    else:
        seen = max(place.seen, len(body.entries))
        follow = Place(place.from_day, place.tag, seen, day, on_day)
    return StatementPage(lines=lines, cursor=_closed(follow), more=bool(body.next_tag))


async def returned(link: Link, account: str, first: date, last: date) -> list[RailReport]:
    """A RETURNED report for every payment of this account that came back (退汇)."""
    document = await link.ask_again(
        m.ReturnsRequest(account=account, from_day=f"{first:%Y%m%d}", to_day=f"{last:%Y%m%d}")
    )
    try:
        return returned_of(document)
    except BadMessage as error:
        raise unreadable(error) from None


async def receipts(link: Link, account: str, lines: Sequence[StatementLine]) -> list[Receipt]:
    """The receipts of these lines; one the bank does not have is left out."""
    found = await asyncio.gather(*(_receipt(link, account, line) for line in lines))
    return [each for each in found if each is not None]


async def _receipt(link: Link, account: str, line: StatementLine) -> Receipt | None:
    try:
        document = await link.ask_again(m.ReceiptRequest(account=account, line_id=line.line_id))
    except Unavailable as error:
        if error.code == REFUSED_QUERY:
            return None
        raise
    body = document.body
    assert isinstance(body, m.ReceiptAnswer)  # the codec reads no other body here
    try:
        file = exact_base64(body.document.encode())
    except BadMessage as error:
        raise unreadable(error) from None
    return Receipt(
        account=account,
        line_id=line.line_id,
        document=file,
        check_code=body.check_code,
        receipt_id=body.receipt_id,
    )


def _closed(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _opened(cursor: str) -> Place:
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=Place)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        place = Place("", "", 0, "", 0)
    if len(place.from_day) != 8 or not place.from_day.isdigit() or place.seen < 0:
        raise Refused(
            "bank_direct.bad_cursor",
            "The statement cursor is not one this rail gave out.",
            "Hand back the cursor of the last page unchanged, or an empty one to begin again.",
        )
    return place
