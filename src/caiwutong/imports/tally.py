"""Counting while a file is checked: what would be paid, from where, and what stands in the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from caiwutong.imports.model import Directory, Line, OwnAccount
from caiwutong.imports.readers import LeftOut, Source
from caiwutong.imports.records import Report, RowOutcome, Shortfall, Status, Total
from caiwutong.imports.sorting import Ready
from caiwutong.kernel.masking import mask_account
from caiwutong.kernel.money import yuan
from caiwutong.sheets.amounts import amount_fen
from caiwutong.sheets.model import Read

FIRST_PROBLEMS = 100


class Tally:
    """Adds rows one by one; ``report`` at the end."""

    def __init__(self, source: Source, directory: Directory) -> None:
        self._source = source
        self._directory = directory
        self._good = [0, 0]
        self._counts = dict.fromkeys(Status, 0)
        self._by_unit: dict[str, list[int]] = {}
        self._by_bank: dict[str, list[int]] = {}
        self._by_account: dict[str, list[int]] = {}
        self._needed: dict[str, int] = {}
        self._first: list[RowOutcome] = []
        self._claims: list[tuple[int, int]] = []

    @property
    def blocking(self) -> int:
        """Rows that would not be paid."""
        return self._counts[Status.BAD] + self._counts[Status.DUPLICATE]

    def add(self, sorted_row: Ready | RowOutcome) -> RowOutcome | None:
        """Count it; give back what is to be kept of it."""
        if isinstance(sorted_row, RowOutcome):
            self._counts[sorted_row.status] += 1
            if sorted_row.status is not Status.LEFT_OUT and len(self._first) < FIRST_PROBLEMS:
                self._first.append(sorted_row)
            return sorted_row
        self._add_line(sorted_row.line)
        if not sorted_row.notes:
            return None
        self._counts[Status.NOTED] += 1
        line = sorted_row.line
        return RowOutcome(line.row_no, Status.NOTED, sorted_row.notes, line.key)

    def claim(self, row: LeftOut) -> None:
        """Remember what a total row claims, beside the sum of the good rows above it."""
        read = amount_fen(row.amount, self._source.layout.unit_fen)
        if isinstance(read, Read):
            self._claims.append((row.row_no, read.value))

    def paying(self) -> list[OwnAccount]:
        """The accounts from which something would be paid."""
        return [own for number in self._needed if (own := self._directory.account(number))]

    def shortfalls(self, available: Mapping[UUID, int]) -> tuple[Shortfall, ...]:
        """The accounts that have less than is asked of them."""
        return tuple(
            Shortfall(mask_account(own.number), own.unit_code, needed, available_fen)
            for own in self.paying()
            if (available_fen := available.get(own.bank_account_id, 0))
            < (needed := self._needed[own.number])
        )

    def report(self, available: Mapping[UUID, int]) -> Report:
        """What the check found. ``available``: fen on each paying account."""
        return Report(
            kind=self._source.kind,
            good=Total(*self._good),
            bad=self._counts[Status.BAD],
            duplicates=self._counts[Status.DUPLICATE],
            left_out=self._counts[Status.LEFT_OUT],
            noted=self._counts[Status.NOTED],
            by_unit=_totals(self._by_unit),
            by_bank=_totals(self._by_bank),
            by_account=_totals(self._by_account),
            shortfalls=self.shortfalls(available),
            first_problems=tuple(self._first),
            faults=tuple(self._source.faults),
            notes=(*self._source.notes, *self._claims_not_met()),
        )

    def _add_line(self, line: Line) -> None:
        own = self._directory.account(line.payer_account)
        fen = line.order.amount_fen
        _count(self._by_unit, line.unit, fen)
        _count(self._by_bank, own.bank_name if own else "", fen)
        _count(self._by_account, mask_account(line.payer_account), fen)
        self._needed[line.payer_account] = self._needed.get(line.payer_account, 0) + fen
        self._good[0] += 1
        self._good[1] += fen

    def _claims_not_met(self) -> Sequence[str]:
        """A total row that says another sum is told only where every row is good: else the
        difference is no news."""
        if self.blocking:
            return ()
        return [
            f"The total in row {row_no} says {yuan(claimed)}; the rows sum to "
            f"{yuan(self._good[1])}. Compare before applying."
            for row_no, claimed in self._claims[-1:]
            if claimed != self._good[1]
        ]


def _count(table: dict[str, list[int]], name: str, fen: int) -> None:
    counted = table.setdefault(name, [0, 0])
    counted[0] += 1
    counted[1] += fen


def _totals(table: dict[str, list[int]]) -> dict[str, Total]:
    return {name: Total(*counted) for name, counted in sorted(table.items())}
