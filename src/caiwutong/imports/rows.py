"""One row becomes one payment order, or every reason why it cannot.

A ``RowReader`` knows the file's habits (types, date order, unit of the amount), our own accounts
and the day of the import; it never stops at the first problem of a row, because the person who
mends the file wants to see them all. Pure: the same row gives the same ``Line`` for ever, which is
what makes an interrupted import safe to run again.
"""

from __future__ import annotations

from datetime import date
from typing import TypeVar

from caiwutong.imports.columns import TITLES
from caiwutong.imports.model import BadRow, Directory, Field, Line, OwnAccount, Problem, SourceRow
from caiwutong.imports.readers import Source
from caiwutong.kernel.errors import Refusal
from caiwutong.kernel.masking import mask_account
from caiwutong.kernel.order import Party, PaymentOrder, Priority, References
from caiwutong.sheets import cells as rules
from caiwutong.sheets.accounts import account_number, bank_code, zeros_lost
from caiwutong.sheets.amounts import amount_fen
from caiwutong.sheets.dates import execution_date
from caiwutong.sheets.model import DateOrder, Raw, Read

T = TypeVar("T")


class RowReader:
    """Reads the rows of one file. ``today`` is the China date on which the import was begun; a
    resumed import keeps it."""

    def __init__(
        self,
        directory: Directory,
        *,
        today: date,
        typed: bool = True,
        rounded: frozenset[Field] = frozenset(),
        date_order: DateOrder = DateOrder.UNKNOWN,
        unit_fen: int = 100,
        titles: dict[Field, str] | None = None,
    ) -> None:
        self._directory = directory
        self._today = today
        self._typed = typed
        self._rounded = rounded
        self._date_order = date_order
        self._unit_fen = unit_fen
        self._titles = TITLES | (titles or {})

    def read(self, row: SourceRow) -> Line | BadRow:
        """The row as a payment, or all its problems in the order of the columns."""
        return _Reading(self, row).result()

    @classmethod
    def of(cls, source: Source, directory: Directory, today: date) -> RowReader:
        """The reader for this file's habits."""
        return cls(
            directory,
            today=today,
            typed=source.typed,
            rounded=source.rounded,
            date_order=source.date_order,
            unit_fen=source.layout.unit_fen,
            titles=source.layout.titles,
        )

    # What a _Reading asks of the file and the house.

    def title(self, field: Field) -> str:
        return self._titles[field]

    def amount(self, raw: Raw) -> Read[int] | Refusal:
        return amount_fen(raw, self._unit_fen)

    def account(self, field: Field, raw: Raw) -> Read[str] | Refusal:
        if isinstance(raw, str) and self._directory.account(raw):
            return Read(raw)  # our own number, digit by digit: nothing to doubt
        return account_number(raw, rounded=field in self._rounded)

    def day(self, raw: Raw) -> Read[date | None] | Refusal:
        read = execution_date(raw, self._date_order)
        if isinstance(read, Refusal) or read.value is None or read.value >= self._today:
            return read
        return Refusal(
            "imports.date_past",
            f"{read.value.isoformat()} lies before {self._today.isoformat()}.",
            "Give today or a later day, or leave the cell blank to pay at once.",
        )

    def own(self, unit: str, number: str, numeric: bool) -> OwnAccount | Refusal:
        """Our account that pays: by number, by unit, or both when they agree."""
        known = self._directory.accounts_of(unit) if unit else None
        if unit and known is None:
            return Refusal(
                "imports.unit_unknown",
                f"There is no member unit «{unit[:40]}».",
                "Write the unit's code or its full name as the hub keeps it.",
            )
        if number:
            return self._own_by_number(unit, number, numeric)
        if not known:
            return Refusal(
                "imports.payer_blank",
                "The row does not say from which account to pay.",
                f"Fill in {self.title(Field.PAYER_ACCOUNT)}"
                + (f"; unit «{unit[:40]}» has no account." if unit else "."),
            )
        if len(known) > 1:
            return Refusal(
                "imports.payer_ambiguous",
                f"Unit «{unit[:40]}» has {len(known)} accounts.",
                f"Say which one in {self.title(Field.PAYER_ACCOUNT)}.",
            )
        return known[0]

    def _own_by_number(self, unit: str, number: str, numeric: bool) -> OwnAccount | Refusal:
        account = self._directory.account(number)
        if account is None:
            for zeros in range(1, 5) if numeric or not self._typed else ():
                if self._directory.account("0" * zeros + number):
                    return zeros_lost(number, "0" * zeros + number)
            return Refusal(
                "imports.payer_unknown",
                f"Account {mask_account(number)} is not one of yours.",
                "Check the number, or add the account first.",
            )
        names = (account.unit_code.casefold(), account.unit_name.casefold())
        if unit and unit.casefold() not in names:
            return Refusal(
                "imports.payer_of_other_unit",
                f"Account {mask_account(number)} belongs to {account.unit_name[:40]}, "
                f"not to «{unit[:40]}».",
                "Correct the account or the unit.",
            )
        return account


class _Reading:
    """One row being read: collects refusals and notes as its cells are understood."""

    def __init__(self, reader: RowReader, row: SourceRow) -> None:
        self._reader = reader
        self._row = row
        self._problems = [
            Problem("", refusal.code, refusal.detail, refusal.cure) for refusal in row.refusals
        ]
        self._notes: list[Problem] = []

    def result(self) -> Line | BadRow:
        key = self._words(Field.ROW_KEY, key=True)
        for field, raw in self._row.cells.items():
            if isinstance(raw, str) and len(raw) > rules.MAX_CELL:
                self._refuse(field, _huge(raw))
        if self._problems and self._problems[-1].code == "imports.cell_too_long":
            return BadRow(self._row.row_no, key, tuple(self._problems))
        payer = self._payer()
        order = self._order(payer)
        if self._problems or payer is None or order is None:
            return BadRow(self._row.row_no, key, tuple(self._problems))
        notes = tuple(self._notes)
        return Line(self._row.row_no, key, order, payer.unit_code, payer.number, notes)

    def _order(self, payer: OwnAccount | None) -> PaymentOrder | None:
        cell = self._row.cells.get
        name = self._take(Field.PAYEE_NAME, rules.name(cell(Field.PAYEE_NAME)), "")
        account = self._take(
            Field.PAYEE_ACCOUNT,
            self._reader.account(Field.PAYEE_ACCOUNT, cell(Field.PAYEE_ACCOUNT)),
            "",
        )
        code = self._take(Field.BANK_CODE, bank_code(cell(Field.BANK_CODE)), "")
        bank = self._words(Field.BANK_NAME)
        fen = self._take(Field.AMOUNT, self._reader.amount(cell(Field.AMOUNT)), 0)
        currency = self._take(Field.CURRENCY, rules.currency(cell(Field.CURRENCY)), "")
        day = self._take(Field.EXECUTE_ON, self._reader.day(cell(Field.EXECUTE_ON)), None)
        urgent = self._take(Field.PRIORITY, rules.urgent(cell(Field.PRIORITY)), False)
        purpose, remark = self._words(Field.PURPOSE), self._words(Field.REMARK)
        references = References(
            contract=self._words(Field.CONTRACT),
            invoice=self._words(Field.INVOICE),
            project=self._words(Field.PROJECT),
            budget=self._words(Field.BUDGET),
        )
        channel = self._words(Field.CHANNEL).lower()
        if payer and account == payer.number:
            self._refuse(Field.PAYEE_ACCOUNT, _SAME_ACCOUNT)
        if self._problems or payer is None:
            return None
        return PaymentOrder(
            bank_account_id=payer.bank_account_id,
            payee=Party(name=name, account=account, bank_code=code, bank_name=bank),
            amount_fen=fen,
            currency=currency,
            purpose=purpose,
            remark=remark,
            priority=Priority.URGENT if urgent else Priority.NORMAL,
            execute_on=day,
            channel=channel,
            references=references,
        )

    def _payer(self) -> OwnAccount | None:
        raw = self._row.cells.get(Field.PAYER_ACCOUNT)
        number = ""
        if not rules.is_blank(raw):
            number = self._take(
                Field.PAYER_ACCOUNT, self._reader.account(Field.PAYER_ACCOUNT, raw), ""
            )
            if not number:
                return None
        unit = self._words(Field.MEMBER_UNIT)
        own = self._reader.own(unit, number, isinstance(raw, int | float))
        if isinstance(own, OwnAccount) and own.barred:
            own = Refusal(
                "imports.payer_barred",
                f"Account {mask_account(own.number)} {own.barred}.",
                "Pay from another account, or have this one put back to use.",
            )
        if isinstance(own, Refusal):
            self._refuse(Field.PAYER_ACCOUNT if number or not unit else Field.MEMBER_UNIT, own)
            return None
        return own

    def _words(self, field: Field, *, key: bool = False) -> str:
        raw = self._row.cells.get(field)
        if raw is None or raw == "":
            return ""
        return self._take(field, rules.row_key(raw) if key else rules.words(raw), "")

    def _take(self, field: Field, read: Read[T] | Refusal, otherwise: T) -> T:
        if isinstance(read, Refusal):
            self._refuse(field, read)
            return otherwise
        if read.note:
            self._notes.append(Problem(self._reader.title(field), "imports.note", read.note))
        return read.value

    def _refuse(self, field: Field, refusal: Refusal) -> None:
        title = self._reader.title(field)
        self._problems.append(Problem(title, refusal.code, refusal.detail, refusal.cure))


_SAME_ACCOUNT = Refusal(
    "imports.payer_is_payee",
    "The payer's and the payee's account are the same.",
    "Correct one of them.",
)


def _huge(raw: str) -> Refusal:
    return Refusal(
        "imports.cell_too_long",
        f"The cell holds {len(raw):,} characters; {rules.MAX_CELL:,} fit.",
        "Shorten it, or check for a quotation mark that is opened and never closed.",
    )
