"""Attempts become the rows of a bank's template; the rows of its result file become reports. Pure.

Promises: the same attempts give the same bytes; a name is never changed, and what the file cannot
carry is refused with the cell's name before anything is handed out; a cell that a spreadsheet would
run is written full-width; a status word nobody knows is doubt, never a no.
Next: ``tables.py`` (bytes to rows), ``statement.py``, ``connector.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

import msgspec

from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import Refusal, Refused
from caiwutong.kernel.masking import mask_name, mask_words
from caiwutong.kernel.money import CNY, yuan
from caiwutong.kernel.order import Direction, Priority
from caiwutong.rails.bank_file.template import (
    BankTemplate,
    Column,
    Field,
    ResultColumn,
    plain,
)
from caiwutong.rails.contract import Attempt, BadMessage, RailReport, ReportKind
from caiwutong.sheets.accounts import account_number
from caiwutong.sheets.amounts import amount_fen
from caiwutong.sheets.cells import shown, text
from caiwutong.sheets.model import Raw, Read
from caiwutong.sheets.writer import Sheet, begins_like_a_formula, csv_bytes, xlsx_bytes

NAME = "bank_file"
REFERENCE = re.compile(r"(?<![0-9A-Za-z])20[0-9]{6}[0-9A-Z]{12}(?![0-9A-Za-z])")
"""Our reference wherever the bank echoes it (``kernel.ids.reference``)."""

UNKNOWN_WORD = "unknown_word"
"""Report code: the bank's status word stands nowhere in the template."""
DOUBTFUL_NO = "doubtful_no"
"""Report code: a no whose reason leaves open whether the row was executed."""
PAGE_NO = "page_no"
"""Report code: a definite no of the bank's page; the reason stands in the words."""
TWO_WORDS = "two_words"
"""Report code: one file says two different things of one reference."""

_FULL_WIDTH = str.maketrans("=+-@", "\uff1d\uff0b\uff0d\uff20")
_EXACT = frozenset({Field.PAYEE_NAME, Field.PAYEE_ACCOUNT, Field.PAYER_NAME, Field.PAYER_ACCOUNT})
"""Cells the bank compares letter by letter: written as they are, or not at all."""


# ------------------------------------------------------------------------------- writing


def check(template: BankTemplate, attempt: Attempt) -> Refusal | None:
    """Why this attempt cannot travel in this template, or None."""
    if attempt.direction is not Direction.PUSH or attempt.currency != CNY:
        return Refusal(
            "bank_file.push_only",
            f"Attempt {attempt.reference} is no payment out in CNY; a bank file carries only "
            "those.",
            "Choose another channel.",
        )
    largest = template.max_amount_fen or template.max_total_fen
    if largest is not None and attempt.amount_fen > largest:
        return Refusal(
            "bank_file.amount_too_large",
            f"{yuan(attempt.amount_fen)} CNY is above the {yuan(largest)} that one row of "
            f"{template.title} carries.",
            "Pay it at the counter or over another channel; it is never split.",
        )
    for column in template.columns:
        cell = _cell(template, column, attempt, 1)
        if isinstance(cell, Refusal):
            return cell
    return None


def row_of(template: BankTemplate, attempt: Attempt, number: int) -> list[str]:
    """The cells of one row. Raises Refused for what the template cannot carry."""
    if refusal := check(template, attempt):
        refusal.raise_()
    cells = [_cell(template, column, attempt, number) for column in template.columns]
    return [cell for cell in cells if isinstance(cell, str)]


def encode(template: BankTemplate, attempts: Sequence[Attempt]) -> bytes:
    """One file carrying these attempts of one account, in order. Raises Refused."""
    if not attempts:
        raise Refused("bank_file.empty", "The file has no row.", "There is nothing to carry.")
    rows = [list(cells) for cells in _top(template, attempts)]
    if template.header:
        rows.append([column.title for column in template.columns])
    rows += [row_of(template, each, n) for n, each in enumerate(attempts, start=1)]
    if template.format == "xlsx":
        return xlsx_bytes([Sheet(template.sheet, rows)])
    return csv_bytes(
        rows, template.encoding, delimiter=template.delimiter, line_end=template.line_end
    )


def batches(template: BankTemplate, attempts: Iterable[Attempt]) -> list[list[Attempt]]:
    """The attempts of one account cut into files the bank takes, in order."""
    files: list[list[Attempt]] = []
    total = 0
    for attempt in attempts:
        fits = files and fits_in(template, len(files[-1]), total, attempt.amount_fen)
        if not fits:
            files.append([])
            total = 0
        files[-1].append(attempt)
        total += attempt.amount_fen
    return files


def fits_in(template: BankTemplate, rows: int, total_fen: int, amount_fen: int) -> bool:
    """Whether a file with so many rows and fen may take one more."""
    most = template.max_total_fen
    return rows < template.max_rows and (most is None or total_fen + amount_fen <= most)


def _top(template: BankTemplate, attempts: Sequence[Attempt]) -> list[list[str]]:
    first = attempts[0]
    total = sum(each.amount_fen for each in attempts)
    facts = {
        "rows": len(attempts),
        "total": _amount(template, total),
        "day": _day(china_date(first.created_at)),
        "payer_account": first.payer.account,
        "payer_name": first.payer.name,
    }
    return [[cell.format(**facts) for cell in row] for row in template.top]


def _cell(template: BankTemplate, column: Column, attempt: Attempt, number: int) -> str | Refusal:
    words = _value(template, column, attempt, number)
    if column.required and not words:
        return Refusal(
            "bank_file.cell_missing",
            f"The bank's template wants «{column.title}», and the order does not say it.",
            "Fill it in and send the order again.",
        )
    return _fitted(template, column, words, attempt.reference)


def _value(template: BankTemplate, column: Column, attempt: Attempt, number: int) -> str:
    payee, payer = attempt.payee, attempt.payer
    match column.field:
        case Field.SEQUENCE:
            return str(number)
        case Field.DAY:
            return _day(china_date(attempt.created_at))
        case Field.PAYER_ACCOUNT:
            return payer.account
        case Field.PAYER_NAME:
            return payer.name
        case Field.PAYEE_ACCOUNT:
            return payee.account
        case Field.PAYEE_NAME:
            return payee.name
        case Field.PAYEE_BANK_CODE:
            return payee.bank_code
        case Field.PAYEE_BANK_NAME:
            return payee.bank_name
        case Field.IN_BANK:
            same = payee.bank_code[:3] == payer.bank_code[:3] and bool(payee.bank_code)
            return column.yes if same else column.no
        case Field.URGENT:
            return column.yes if attempt.priority is Priority.URGENT else column.no
        case Field.AMOUNT:
            return _amount(template, attempt.amount_fen)
        case Field.CURRENCY | Field.CONSTANT:
            return column.value
        case Field.REFERENCE:
            return attempt.reference
        case Field.PURPOSE:
            words = attempt.purpose or attempt.remark
        case Field.REMARK:
            words = attempt.remark or attempt.purpose
    if column.field is template.reference_in:
        # In front, because banks cut words at their end.
        words = f"{attempt.reference} {words}".strip()
    return words


def _fitted(template: BankTemplate, column: Column, words: str, reference: str) -> str | Refusal:
    exact = column.field in _EXACT
    if not exact:
        words = " ".join(words.split())
        if words and begins_like_a_formula(words):
            words = words[0].translate(_FULL_WIDTH) + words[1:]
    if exact and (begins_like_a_formula(words) or not words.isprintable()):
        return Refusal(
            "bank_file.cell_runs",
            f"«{column.title}» begins with a sign that a spreadsheet would run, or holds a control "
            "character; a name is never changed on its way.",
            "Correct the name or account in the order.",
        )
    missing = unencodable(words, template.encoding)
    if missing:
        whose = mask_name(words) if column.field in (Field.PAYEE_NAME, Field.PAYER_NAME) else ""
        return Refusal(
            "bank_file.character",
            f"«{column.title}» {whose} holds {missing[0]!r} (U+{ord(missing[0]):04X}), which the "
            f"bank's file in {template.encoding.upper()} cannot carry.",
            "Ask the bank how it writes the name (often with another character or pinyin) and "
            "correct the order, or pay over another channel.",
        )
    if exact and not _within(template, column, words):
        return Refusal(
            "bank_file.cell_too_long",
            f"«{column.title}» has {len(words)} characters; the bank's template takes "
            f"{column.max_chars}" + (f" ({column.max_bytes} bytes)." if column.max_bytes else "."),
            "Shorten it as the bank writes it, or pay over another channel.",
        )
    while not _within(template, column, words):
        words = words[:-1].rstrip()
    return words


def unencodable(words: str, encoding: str) -> list[str]:
    """The characters an encoding cannot hold. GB18030 can write every character, but banks' fonts
    stop at its double-byte part, so four-byte forms count as not held."""
    return [c for c in words if not _holds(c, encoding)]


def _holds(character: str, encoding: str) -> bool:
    try:
        raw = character.encode(encoding.removesuffix("-sig"))
    except UnicodeEncodeError:
        return False
    return encoding != "gb18030" or len(raw) <= 2


def _within(template: BankTemplate, column: Column, words: str) -> bool:
    if len(words) > column.max_chars:
        return False
    encoding = template.encoding.removesuffix("-sig")
    return column.max_bytes is None or len(words.encode(encoding)) <= column.max_bytes


def _amount(template: BankTemplate, fen: int) -> str:
    return str(fen) if template.amount == "fen" else yuan(fen, grouped=False)


def _day(day: date) -> str:
    return f"{day:%Y%m%d}"


# ------------------------------------------------------------------------------- reading results

Rows = Sequence[tuple[int, Sequence[Raw]]]
"""(Row number as a spreadsheet shows it, its cells)."""


class Header(msgspec.Struct, frozen=True):
    """Where the header stands and which column is where."""

    row: int
    places: dict[str, int]


class ResultRow(msgspec.Struct, frozen=True):
    """One row of a result file, understood. ``fault``: why it says nothing."""

    row_no: int
    kind: ReportKind = ReportKind.IN_DOUBT
    code: str = ""
    words: str = ""
    reference: str = ""
    """Ours, as echoed; empty where the bank dropped it."""
    payee_account: str = ""
    payee_name: str = ""
    amount_fen: int | None = None
    bank_reference: str = ""
    fault: Refusal | None = None


def find_header(rows: Rows, columns: Mapping[str, Sequence[str]], within: int = 30) -> Header:
    """The row that names most of these columns, among the first ones. Raises BadMessage."""
    best = Header(0, {})
    for number, row in rows[:within]:
        named = {plain(text(cell)): at for at, cell in reversed(list(enumerate(row)))}
        places: dict[str, int] = {}
        for column, titles in columns.items():
            at = next((named[plain(t)] for t in titles if plain(t) in named), None)
            if at is not None:
                places[column] = at
        if len(places) > len(best.places):
            best = Header(number, places)
    return best


def decode_result(template: BankTemplate, rows: Rows) -> list[ResultRow]:
    """What the bank says of each row. Raises BadMessage when it is no result file of this
    template; rows that cannot be understood are among the answers, with their fault."""
    columns = {column.value: titles for column, titles in template.result.columns.items()}
    header = find_header(rows, columns)
    carried = {ResultColumn.REFERENCE.value, ResultColumn.REMARK.value} & set(header.places)
    if ResultColumn.STATUS.value not in header.places or len(header.places) < 3:
        raise BadMessage(
            "bank_file.no_result",
            f"No row of the file has the header of a result file of {template.title}.",
            "Choose the result file (回盘) of this batch; it must name the column "
            + "/".join(template.result.columns[ResultColumn.STATUS])
            + ".",
        )
    found: list[ResultRow] = []
    for number, row in rows:
        if number > header.row and any(text(cell) for cell in row):
            read = _result_row(template, header, number, row, bool(carried))
            if read is not None:
                found.append(read)
    return _no_two_words(found)


def reports_of(rows: Iterable[ResultRow], at: datetime) -> list[RailReport]:
    """The reports of the rows that bear our reference."""
    return [
        RailReport(
            kind=row.kind,
            rail=NAME,
            reference=row.reference,
            code=row.code,
            at=at,
            words=row.words,
            amount_fen=row.amount_fen,
            bank_reference=row.bank_reference,
        )
        for row in rows
        if row.reference and row.fault is None
    ]


def _result_row(
    template: BankTemplate, header: Header, number: int, row: Sequence[Raw], carried: bool
) -> ResultRow | None:
    def cell(column: ResultColumn) -> Raw:
        at = header.places.get(column.value)
        return row[at] if at is not None and at < len(row) else None

    status = plain(text(cell(ResultColumn.STATUS)))
    reference = find_reference(text(cell(ResultColumn.REFERENCE)), text(cell(ResultColumn.REMARK)))
    if not status and not reference:
        return None  # A total, a signature, a note below the rows.
    kind, code = _meaning(template, status, plain(text(cell(ResultColumn.REASON))))
    account = account_number(cell(ResultColumn.PAYEE_ACCOUNT))
    fen: int | None = None
    fault: Refusal | None = None
    if ResultColumn.AMOUNT.value in header.places:
        amount = amount_fen(cell(ResultColumn.AMOUNT), 1 if template.amount == "fen" else 100)
        if isinstance(amount, Refusal):
            fault = amount
        else:
            fen = amount.value
    said = " ".join(
        part for part in (text(cell(ResultColumn.STATUS)), text(cell(ResultColumn.REASON))) if part
    )
    return ResultRow(
        row_no=number,
        kind=kind,
        code=code,
        words=mask_words(said)[:200],
        reference=reference,
        payee_account=account.value if isinstance(account, Read) else "",
        payee_name=text(cell(ResultColumn.PAYEE_NAME))[:120],
        amount_fen=fen,
        bank_reference=text(cell(ResultColumn.BANK_REFERENCE))[:40],
        fault=fault or _unnamed(number, reference, fen, carried),
    )


def _unnamed(number: int, reference: str, fen: int | None, carried: bool) -> Refusal | None:
    if reference or fen is not None:
        return None
    return Refusal(
        "bank_file.row_names_nothing",
        f"Row {number} has neither our reference nor an amount"
        + ("." if carried else ", and the file has no column for the reference."),
        "Export the result with all its columns.",
    )


def _meaning(template: BankTemplate, status: str, reason: str) -> tuple[ReportKind, str]:
    """What a status word means, and the code that says so."""
    result = template.result
    if status in {plain(word) for word in result.settled}:
        return ReportKind.SETTLED, status
    if status in {plain(word) for word in result.accepted}:
        return ReportKind.ACCEPTED, status
    if status not in {plain(word) for word in result.rejected}:
        return ReportKind.IN_DOUBT, UNKNOWN_WORD
    if any(plain(word) in reason for word in result.doubtful_reasons):
        return ReportKind.IN_DOUBT, DOUBTFUL_NO
    return ReportKind.REJECTED, PAGE_NO


def _no_two_words(rows: list[ResultRow]) -> list[ResultRow]:
    """A reference of which one file says two different things is in doubt: a row uploaded twice is
    paid once and refused once."""
    kinds: dict[str, set[ReportKind]] = {}
    for row in rows:
        if row.reference:
            kinds.setdefault(row.reference, set()).add(row.kind)
    return [
        msgspec.structs.replace(row, kind=ReportKind.IN_DOUBT, code=TWO_WORDS)
        if len(kinds.get(row.reference, ())) > 1
        else row
        for row in rows
    ]


def find_reference(*cells: str) -> str:
    """Our reference in the first of these cells that has one; a cell with two has none."""
    for words in cells:
        found = set(REFERENCE.findall(words.upper().replace("'", " ")))
        if len(found) == 1:
            return found.pop()
    return ""


def unclear_cell(raw: Raw) -> str:
    """A cell as it may be quoted to a person."""
    return shown(raw)
