"""Questions about accounts over one link: balances, statement pages, receipts.

Every question may be asked again without harm, so anything that goes wrong is ``Unavailable``.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from datetime import date
from typing import TypeVar

from caiwutong.kernel.errors import Unavailable
from caiwutong.rails.bank_direct import day_pages
from caiwutong.rails.bank_direct.contract import NAME, Receipt
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.styles.pab import messages as m
from caiwutong.rails.bank_direct.styles.pab import profile
from caiwutong.rails.bank_direct.styles.pab.codec import Frame
from caiwutong.rails.bank_direct.styles.pab.link import Link
from caiwutong.rails.bank_direct.styles.pab.reports import balance_of, lines_of
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

BodyT = TypeVar("BodyT", bound=Word)


async def balances(link: Link, accounts: Sequence[str]) -> list[BankBalance]:
    """The balances of these accounts, one question each."""
    found = await asyncio.gather(*(_balance(link, each) for each in accounts))
    return [each for each in found if each is not None]


async def _balance(link: Link, account: str) -> BankBalance | None:
    frame = await _ask(link, m.BalanceRequest(account=account, currency=link.profile.currency))
    try:
        return balance_of(frame, account)
    except BadMessage as error:
        raise _unreadable(error) from None


async def statement(
    link: Link, account: str, cursor: str, *, earliest: date, today: date
) -> StatementPage:
    """One page after ``cursor``. The bank numbers pages, so the page that holds the place is asked
    for and what is read already is dropped."""
    place = day_pages.opened(cursor, earliest)
    page, skip = divmod(place.seen, link.profile.page_lines)
    body, lines = await _page(link, account, place.day, f"{today:%Y%m%d}", page)
    days = [entry.day for entry in body.entries[skip:]]
    return StatementPage(
        lines=lines[skip:],
        cursor=day_pages.after(place, days),
        more=body.last_page != "Y" and bool(lines),
    )


async def returned(link: Link, account: str, first: date, last: date) -> list[RailReport]:
    """A RETURNED report for every payment that came back, by the lines of these days: this style
    has no message that lists them."""
    found: list[RailReport] = []
    for page in range(_MOST_PAGES):
        body, lines = await _page(link, account, f"{first:%Y%m%d}", f"{last:%Y%m%d}", page)
        found += [_returned(line) for line in lines if line.kind == "return" and line.reference]
        if body.last_page == "Y" or not lines:
            break
    return found


async def receipts(link: Link, account: str, lines: Sequence[StatementLine]) -> list[Receipt]:
    """The receipts of these lines; a line the bank has none for is left out."""
    found: list[Receipt] = []
    for line in lines:
        request = m.ReceiptRequest(
            account=account, day=f"{line.value_date:%Y%m%d}", line_id=line.line_id
        )
        body = (await _ask(link, request)).body
        if isinstance(body, m.ReceiptAnswer) and body.line_id == line.line_id:
            found.append(_receipt(account, body))
    return found


async def _page(
    link: Link, account: str, first: str, last: str, page: int
) -> tuple[m.StatementAnswer, tuple[StatementLine, ...]]:
    """The page of this number, counted from 0."""
    request = m.StatementRequest(
        account=account,
        currency=link.profile.currency,
        first=first,
        last=last,
        page=str(page + 1),
        size=str(link.profile.page_lines),
        order=profile.OLDEST_FIRST,
    )
    frame = await _ask(link, request)
    body = frame.body
    if not isinstance(body, m.StatementAnswer):
        raise Unavailable(
            "bank_direct.refused_query",
            f"The bank answered {frame.head.code}: {frame.head.words[:80]}",
            "See the bank's code; ask again later.",
        )
    try:
        return body, lines_of(body, account)
    except BadMessage as error:
        raise _unreadable(error) from None


def _returned(line: StatementLine) -> RailReport:
    return RailReport(
        kind=ReportKind.RETURNED,
        rail=NAME,
        reference=line.reference,
        code=profile.RETURNED_CODE,
        at=line.booked_at,
        words=line.words,
        amount_fen=line.amount_fen,
        message_id=line.line_id,
    )


def _receipt(account: str, body: m.ReceiptAnswer) -> Receipt:
    try:
        document = base64.b64decode(body.document, validate=True)
    except binascii.Error:
        raise Unavailable(
            "bank_direct.receipt", "The receipt's file is not base64.", "Ask again later."
        ) from None
    return Receipt(
        account=account,
        line_id=body.line_id,
        document=document,
        check_code=body.check_code,
        receipt_id=body.receipt_id,
    )


async def _ask(link: Link, request: Word) -> Frame:
    try:
        return await link.ask(request)
    except SentInDoubt as error:
        raise Unavailable("bank_direct.silent", error.detail, "Ask again later.") from None
    except BadMessage as error:
        raise _unreadable(error) from None


def _unreadable(error: BadMessage) -> Unavailable:
    return Unavailable(error.code, error.detail, error.cure)
