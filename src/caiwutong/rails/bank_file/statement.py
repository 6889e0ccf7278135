"""A bank's statement export (交易明细) becomes statement lines, for accounts without a link.

Lines come out in the order of time, whichever way the bank sorted them; each keeps the bank's own
number, or one made of what it says, so that an export that overlaps the last one is read once.
A line that cannot be understood refuses the file: a statement with a hole is none.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta

import msgspec

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import Refusal
from caiwutong.rails.bank_file.codec import Header, Rows, find_header, find_reference
from caiwutong.rails.bank_file.template import BankTemplate, Statement, StatementColumn, plain
from caiwutong.rails.contract import BadMessage, StatementLine
from caiwutong.sheets.accounts import account_number
from caiwutong.sheets.amounts import amount_fen
from caiwutong.sheets.cells import text
from caiwutong.sheets.dates import execution_date
from caiwutong.sheets.model import Raw, Read

_C = StatementColumn
_Look = Callable[[StatementColumn], Raw]
_CLOCK = re.compile(r"(\d{1,2}):?(\d{2})(?::?(\d{2}))?(?:\.\d+)?$")
_ZERO = re.compile(r"[-+]?0*(?:\.0*)?")


class _Draft(msgspec.Struct):
    row_no: int
    at: datetime
    amount_fen: int
    balance_fen: int
    line_id: str
    reference: str
    name: str
    account: str
    words: str
    kind: str


def decode_statement(template: BankTemplate, rows: Rows, account: str) -> list[StatementLine]:
    """The lines of this export for our account, oldest first. Raises BadMessage with the row and
    its cure when any line is not understood, or when its balances do not follow."""
    words = template.statement
    columns = {column.value: titles for column, titles in words.columns.items()}
    header = find_header(rows, columns)
    need = {_C.DAY.value, _C.BALANCE.value}
    if not need <= set(header.places) or len(header.places) < 4:
        raise BadMessage(
            "bank_file.no_statement",
            f"No row of the file has the header of a statement of {template.title}.",
            "Export the account's transactions (交易明细) with date, amounts and balance.",
        )
    drafts = [
        draft
        for number, row in rows
        if number > header.row and any(text(cell) for cell in row)
        if (draft := _line(words, header, number, row)) is not None
    ]
    return _lines(_in_time(drafts), account)


def _line(words: Statement, header: Header, number: int, row: Sequence[Raw]) -> _Draft | None:
    def cell(column: StatementColumn) -> Raw:
        at = header.places.get(column.value)
        return row[at] if at is not None and at < len(row) else None

    told = plain(text(cell(_C.DAY)))
    if not told or re.match(r"(合计|总计|小计|承前|期初|期末|total)", told):
        return None
    day = execution_date(_only_day(cell(_C.DAY)))
    if isinstance(day, Refusal) or day.value is None:
        raise _row_fault(number, "the date", day)
    fen = _amount(words, number, cell)
    balance = _signed(number, "the balance", cell(_C.BALANCE))
    summary, remark = text(cell(_C.SUMMARY)), text(cell(_C.REMARK))
    said = " ".join(part for part in (summary, remark) if part)[:200]
    other = account_number(cell(_C.COUNTERPARTY_ACCOUNT))
    reference = find_reference(text(cell(_C.REFERENCE)), remark, summary)
    at = datetime.combine(day.value, _time(cell(_C.TIME), cell(_C.DAY)), CHINA).astimezone(UTC)
    return _Draft(
        number,
        at,
        fen,
        balance,
        text(cell(_C.LINE_ID))[:60],
        reference,
        text(cell(_C.COUNTERPARTY_NAME))[:120],
        other.value if isinstance(other, Read) else "",
        said,
        _kind(words, said, fen, reference, isinstance(other, Read)),
    )


def _amount(words: Statement, number: int, look: _Look) -> int:
    if _C.AMOUNT not in words.columns:
        out = _signed(number, "the amount out", look(_C.PAID_OUT))
        into = _signed(number, "the amount in", look(_C.PAID_IN))
        if out and into:
            raise _row_fault(number, "the amounts: both in and out", None)
        return into - out
    fen = _signed(number, "the amount", look(_C.AMOUNT))
    direction = plain(text(look(_C.DIRECTION)))
    if not direction:
        return fen
    if direction in {plain(word) for word in words.out_words}:
        return -fen
    if direction in {plain(word) for word in words.in_words}:
        return fen
    raise _row_fault(number, f"the direction {direction[:8]!r}", None)


def _signed(number: int, what: str, raw: Raw) -> int:
    """Fen of a cell that may be blank, zero or negative (冲正 stands in red)."""
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        if raw == 0:
            return 0
        sign, body = (-1, -raw) if raw < 0 else (1, raw)
    else:
        words = unicodedata.normalize("NFKC", text(raw)).replace(" ", "")
        if not words or words in ("-", "--") or _ZERO.fullmatch(words):
            return 0
        sign = -1 if words[0] in "-\u2212" else 1
        body = words.lstrip("+-\u2212")
    read = amount_fen(body)
    if isinstance(read, Refusal):
        raise _row_fault(number, what, read)
    return sign * read.value


def _only_day(raw: Raw) -> Raw:
    """The date of a cell that may hold the time as well: 20260703 10:15:00."""
    if not isinstance(raw, str):
        return raw
    match = re.match(r"\s*(\d{8})[\sT]?\d{2}:?\d{2}(:?\d{2})?\s*$", raw)
    return match[1] if match else raw


def _time(raw: Raw, day: Raw) -> time:
    for cell in (raw, day):
        if isinstance(cell, datetime):
            return cell.time()
        if isinstance(cell, time):
            return cell
        if isinstance(cell, timedelta):
            seconds = int(cell.total_seconds()) % 86_400
            return time(seconds // 3600, seconds // 60 % 60, seconds % 60)
        words = text(cell)
        match = _CLOCK.search(words) if cell is raw or ":" in words else None
        if match and int(match[1]) < 24 and int(match[2]) < 60 and int(match[3] or 0) < 60:
            return time(int(match[1]), int(match[2]), int(match[3] or 0))
    return time(0)


def _kind(words: Statement, said: str, fen: int, reference: str, somebody: bool) -> str:
    """What the bank's words say of a line. Fees and interest are between us and the bank alone: a
    line with a counterparty is none, whatever its purpose calls it (服务费)."""
    folded = plain(said)

    def any_of(some: Sequence[str]) -> bool:
        return any(plain(word) in folded for word in some)

    if any_of(words.correction_words):
        return "other"
    if "期初" in folded and not reference:
        return "opening"
    if fen > 0 and reference and any_of(words.return_words):
        return "return"
    if not reference and not somebody:
        if any_of(words.fee_words):
            return "fee" if fen < 0 else "other"
        if any_of(words.interest_words):
            return "interest"
    return "payment" if fen < 0 else "incoming"


def _in_time(drafts: list[_Draft]) -> list[_Draft]:
    """Oldest first, by the chain of balances where the file itself can be read both ways."""
    backwards = list(reversed(drafts))
    if _breaks(backwards) < _breaks(drafts):
        drafts = backwards
    if broken := _breaks(drafts):
        raise BadMessage(
            "bank_file.statement_broken",
            f"The balances of the statement do not follow from its amounts at {broken} place(s): "
            "lines are missing, filtered out or changed.",
            "Export it again for whole days, without any filter, and do not edit the file.",
        )
    return drafts


def _breaks(drafts: Sequence[_Draft]) -> int:
    return sum(
        after.balance_fen != before.balance_fen + after.amount_fen
        for before, after in itertools.pairwise(drafts)
    )


def _lines(drafts: Sequence[_Draft], account: str) -> list[StatementLine]:
    """Time never runs backwards within a statement."""
    lines: list[StatementLine] = []
    seen: dict[str, int] = {}
    latest = datetime.min.replace(tzinfo=UTC)
    for draft in drafts:
        latest = max(latest, draft.at)
        line_id = _line_id(draft)
        seen[line_id] = seen.get(line_id, 0) + 1
        if seen[line_id] > 1:
            line_id = f"{line_id}#{seen[line_id]}"
        lines.append(
            StatementLine(
                account=account,
                line_id=line_id,
                booked_at=latest,
                value_date=latest.astimezone(CHINA).date(),
                amount_fen=draft.amount_fen,
                balance_after_fen=draft.balance_fen,
                kind=draft.kind,
                reference=draft.reference,
                counterparty_name=draft.name,
                counterparty_account=draft.account,
                words=draft.words,
            )
        )
    return lines


def _line_id(draft: _Draft) -> str:
    """The bank's number with a mark of what the line says (banks give a payment and its fee one
    number); without a number, what it says alone."""
    said = f"{draft.at.isoformat()}|{draft.amount_fen}|{draft.balance_fen}|{draft.account}"
    mark = hashlib.sha256(said.encode()).hexdigest()
    return f"{draft.line_id}-{mark[:8]}" if draft.line_id else f"L{mark[:24]}"


def _row_fault(number: int, what: str, refusal: object) -> BadMessage:
    why = refusal.detail if isinstance(refusal, Refusal) else ""
    cure = refusal.cure if isinstance(refusal, Refusal) else ""
    return BadMessage(
        "bank_file.statement_row",
        f"Row {number}: {what} cannot be read. {why}".strip(),
        cure or "Export the statement again and do not edit it.",
    )
