"""Questions about accounts over one link: balances, statement pages, receipts.

Every question may be asked again without harm, so anything that goes wrong is ``Unavailable``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import date
from typing import TypeVar

from caiwutong.kernel.errors import Unavailable
from caiwutong.rails.bank_direct import day_pages
from caiwutong.rails.bank_direct.contract import NAME, Receipt
from caiwutong.rails.bank_direct.elements import Word
from caiwutong.rails.bank_direct.styles.boc import messages as m
from caiwutong.rails.bank_direct.styles.boc import profile
from caiwutong.rails.bank_direct.styles.boc.link import Link
from caiwutong.rails.bank_direct.styles.boc.reports import balances_of, lines_of
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
    """The balances of these accounts, asked so many at a time."""
    found: list[BankBalance] = []
    step = link.profile.balance_accounts
    for at in range(0, len(accounts), step):
        part = accounts[at : at + step]
        queries = tuple(m.BalanceQuery(account=m.AccountAt(account=each)) for each in part)
        body = await _ask(link, m.BalancesRequest(queries=queries), m.BalancesAnswer)
        try:
            found += balances_of(body, part)
        except BadMessage as error:
            raise _unreadable(error) from None
    return found


async def statement(
    link: Link, account: str, cursor: str, *, earliest: date, today: date
) -> StatementPage:
    """One page after ``cursor``. The cursor stays good when there is nothing more yet."""
    place = day_pages.opened(cursor, earliest)
    body, lines = await _page(link, account, place.day, f"{today:%Y%m%d}", place.seen)
    total = int(body.total or 0)
    return StatementPage(
        lines=lines,
        cursor=day_pages.after(place, (entry.day for entry in body.entries)),
        more=bool(lines) and place.seen + len(lines) < total,
    )


async def returned(link: Link, account: str, first: date, last: date) -> list[RailReport]:
    """A RETURNED report for every payment that came back, by the lines of these days: this style
    has no message that lists them."""
    found: list[RailReport] = []
    seen = 0
    for _ in range(_MOST_PAGES):
        body, lines = await _page(link, account, f"{first:%Y%m%d}", f"{last:%Y%m%d}", seen)
        found += [_returned(line) for line in lines if line.kind == "return" and line.reference]
        seen += len(lines)
        if not lines or seen >= int(body.total or 0):
            break
    return found


async def receipts(link: Link, account: str, lines: Sequence[StatementLine]) -> list[Receipt]:
    """The receipts of these lines; a line the bank has none for is left out."""
    found: list[Receipt] = []
    for line in lines:
        query = m.ReceiptQuery(
            account=account, day=f"{line.value_date:%Y%m%d}", line_id=line.line_id
        )
        body = await _ask(link, m.ReceiptRequest(query=query), m.ReceiptAnswer, strict=False)
        if body.receipt is not None and body.receipt.line_id == line.line_id:
            found.append(_receipt(account, body.receipt))
    return found


async def _page(
    link: Link, account: str, first: str, last: str, seen: int
) -> tuple[m.StatementAnswer, tuple[StatementLine, ...]]:
    query = m.StatementQuery(
        account=account,
        days=m.Days(first=first, last=last),
        first_line=str(seen + 1),
        lines=str(link.profile.page_lines),
    )
    body = await _ask(link, m.StatementRequest(query=query), m.StatementAnswer)
    try:
        return body, lines_of(body, account)
    except BadMessage as error:
        raise _unreadable(error) from None


def _returned(line: StatementLine) -> RailReport:
    return RailReport(
        kind=ReportKind.RETURNED,
        rail=NAME,
        reference=line.reference,
        code=profile.CAME_BACK,
        at=line.booked_at,
        words=line.words,
        amount_fen=line.amount_fen,
        message_id=line.line_id,
    )


def _receipt(account: str, file: m.ReceiptFile) -> Receipt:
    try:
        document = base64.b64decode(file.document, validate=True)
    except binascii.Error:
        raise Unavailable(
            "bank_direct.receipt", "The receipt's file is not base64.", "Ask again later."
        ) from None
    return Receipt(
        account=account,
        line_id=file.line_id,
        document=document,
        check_code=file.check_code,
        receipt_id=file.receipt_id,
    )


async def _ask(link: Link, request: Word, kind: type[BodyT], *, strict: bool = True) -> BodyT:
    """The body of the bank's answer; with ``strict``, of one that says OK."""
    try:
        body = (await link.ask(request)).body
    except SentInDoubt as error:
        raise Unavailable("bank_direct.silent", error.detail, "Ask again later.") from None
    except BadMessage as error:
        raise _unreadable(error) from None
    status: m.Status | None = getattr(body, "status", None)
    if isinstance(body, kind) and (not strict or (status and status.code == profile.OK)):
        return body
    told = f"{status.code}: {status.words[:80]}" if status else "something else"
    raise Unavailable(
        "bank_direct.refused_query",
        f"The bank answered {told}",
        "See the bank's code; ask again later.",
    )


def _unreadable(error: BadMessage) -> Unavailable:
    return Unavailable(error.code, error.detail, error.cure)
