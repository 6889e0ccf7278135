"""Pure decisions of bank files: which row of the bank's is which of ours, and what a statement
proves. Where two answers are possible there is none, and a person decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import msgspec

from caiwutong.bank_files.model import Ambiguous, Doubtful, FileLine
from caiwutong.kernel.masking import mask_account, mask_name
from caiwutong.rails.bank_file.codec import ResultRow
from caiwutong.rails.contract import AccountAtBank, Attempt, ReportKind, StatementLine
from caiwutong.statements.model import LineRow

NONE = "none"
"""A person's choice: the line is no payment of ours."""


class Laid(msgspec.Struct, frozen=True):
    """Rows of a result laid to rows of ours, by our reference."""

    rows: dict[str, ResultRow]
    unclear: tuple[Doubtful, ...]


def lay_results(
    rows: Sequence[ResultRow], lines: Mapping[str, FileLine], attempts: Mapping[str, Attempt]
) -> Laid:
    """Which row of the bank's speaks of which of ours. By our reference; where the bank dropped it,
    by amount and payee, and only when as many rows as there are such lines say the same thing."""
    laid: dict[str, ResultRow] = {}
    unclear: list[Doubtful] = []
    nameless: dict[tuple[int, str], list[ResultRow]] = {}
    for row in rows:
        if row.fault is not None:
            unclear.append(_doubtful(row, f"{row.fault.detail} {row.fault.cure}"))
        elif row.reference in lines:
            laid[row.reference] = row
        elif row.reference:
            unclear.append(_doubtful(row, "Its reference is not in this file."))
        else:
            assert row.amount_fen is not None
            nameless.setdefault((row.amount_fen, _payee(row)), []).append(row)
    for (fen, payee), group in nameless.items():
        fits = [
            reference
            for reference, line in sorted(lines.items(), key=lambda item: item[1].line_no)
            if reference not in laid
            and line.amount_fen == fen
            and _is_payee(attempts[reference].payee, payee)
        ]
        same = len({row.kind for row in group}) == 1
        if payee and same and len(fits) == len(group):
            laid |= dict(zip(fits, group, strict=True))
        else:
            why = "The bank dropped our reference, and amount and payee do not decide it."
            unclear += [_doubtful(row, why, tuple(fits)) for row in group]
    return Laid(laid, tuple(unclear))


def _doubtful(row: ResultRow, why: str, candidates: tuple[str, ...] = ()) -> Doubtful:
    return Doubtful(row.row_no, why, row.reference, row.amount_fen, candidates)


def _payee(row: ResultRow) -> str:
    return row.payee_account or row.payee_name


def _is_payee(payee: AccountAtBank, said: str) -> bool:
    return bool(said) and said in (payee.account, payee.name)


class Found(msgspec.Struct, frozen=True):
    """Lines of a statement without our reference: laid to payments, or left to a person."""

    lines: tuple[StatementLine, ...]
    """All lines again, with our reference where it was found or chosen."""
    matched: int
    ambiguous: tuple[Ambiguous, ...]


def find_payments(
    lines: Sequence[StatementLine],
    waiting: Mapping[str, tuple[Attempt, date]],
    choices: Mapping[str, str],
) -> Found:
    """Lay debits without a reference to what waits (reference → attempt and day of its export), by
    amount, payee and day: only where as many lines as payments fit. ``choices`` (line → reference,
    or ``none``) are a person's."""
    free = dict(waiting)
    for line in lines:
        free.pop(line.reference, None)
    given: dict[str, str] = {}
    for line_id, reference in choices.items():
        given[line_id] = "" if reference == NONE else reference
        free.pop(reference, None)
    groups: dict[tuple[int, str], list[StatementLine]] = {}
    for line in lines:
        if line.reference or line.amount_fen >= 0 or line.line_id in given:
            continue
        if line.kind == "payment":
            payee = line.counterparty_account or line.counterparty_name
            groups.setdefault((-line.amount_fen, payee), []).append(line)
    ambiguous: list[Ambiguous] = []
    matched = len([1 for reference in given.values() if reference])
    for (fen, payee), group in sorted(groups.items()):
        fits = _fits(free, fen, payee, group[-1].value_date)
        sure = payee and len(fits) == len(group) and _none_too_early(free, fits, group)
        if fits and sure:
            for line, reference in zip(group, fits, strict=True):
                given[line.line_id] = reference
                del free[reference]
            matched += len(group)
            continue
        loose = fits or ([] if payee else _fits(free, fen, "", group[-1].value_date))
        if loose:
            ambiguous += [_ambiguous(line, loose) for line in group]
    return Found(
        tuple(
            msgspec.structs.replace(line, reference=given[line.line_id])
            if given.get(line.line_id)
            else line
            for line in lines
        ),
        matched,
        tuple(ambiguous),
    )


def _fits(free: Mapping[str, tuple[Attempt, date]], fen: int, payee: str, day: date) -> list[str]:
    return [
        reference
        for reference, (attempt, exported_on) in sorted(free.items())
        if attempt.amount_fen == fen
        and exported_on <= day
        and (not payee or _is_payee(attempt.payee, payee))
    ]


def _none_too_early(
    free: Mapping[str, tuple[Attempt, date]],
    references: Sequence[str],
    group: Sequence[StatementLine],
) -> bool:
    """No line may stand before the day on which its payment's file was handed out."""
    return all(
        free[reference][1] <= line.value_date
        for reference, line in zip(references, group, strict=True)
    )


def _ambiguous(line: StatementLine, candidates: Sequence[str]) -> Ambiguous:
    name = mask_name(line.counterparty_name) if line.counterparty_name else ""
    return Ambiguous(
        line.line_id,
        line.value_date,
        line.amount_fen,
        f"{name} {mask_account(line.counterparty_account)}".strip(),
        tuple(candidates),
    )


def proven(lines: Iterable[LineRow], amount_fen: int, complete_to: date) -> ReportKind | None:
    """What the statement's lines under one reference prove, once it shows the whole of their days:
    a debit that stands is a yes; one that the bank has given back (冲正) is a no; a return (退汇)
    is told by evidence. None: nothing is proven yet."""
    net, debited, latest = 0, False, None
    for line in lines:
        if line.kind == "fee":
            continue
        if line.kind == "return":
            return None
        net += line.amount_fen
        debited = debited or line.amount_fen == -amount_fen
        latest = line.value_date if latest is None else max(latest, line.value_date)
    if not debited or latest is None or latest > complete_to:
        return None
    if net == -amount_fen:
        return ReportKind.SETTLED
    return ReportKind.REJECTED if net == 0 else None
