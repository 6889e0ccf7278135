"""A bank that has only a web page (网银): a person uploads the bank's template, downloads the
result and the statement. Authorising the batch on the page is part of the upload here.

It keeps a register of uploads beside its books: a row's 企业流水号 is executed at most once, and a
second upload of it is refused as a duplicate, in words of the bank's own. What the result says is
read from the books when it is asked for. Faults: rows dropped, left out of results, told in odd
words or another order. Next: ``books`` and ``network``, where the money moves.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import msgspec

from caiwutong.kernel.clock import china_date
from caiwutong.kernel.errors import NotFound, Refused
from caiwutong.rails.bank_file.counterpart import (
    ToldLine,
    ToldRow,
    Uploaded,
    read_upload,
    write_result,
    write_statement,
)
from caiwutong.rails.bank_file.template import BankTemplate, shipped
from caiwutong.sandbox.codes import words_of
from caiwutong.sandbox.entries import EXECUTED, PENDING, RETURNED, Instruction
from caiwutong.sandbox.faults import FaultKind
from caiwutong.sandbox.network import Network
from caiwutong.sandbox.wire import clean

CHANNEL = "bank_file"
DUPLICATE = "企业流水号重复"
UNNAMED = "企业流水号为空"
ODD_WORDS = ("人工核查", "已提交核心", "成功待核", "异常")
_LINES_AT_ONCE = 100_000

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS web_batches (number INTEGER PRIMARY KEY AUTOINCREMENT,"
    " file_name TEXT NOT NULL, digest TEXT NOT NULL, uploaded_at REAL NOT NULL)",
    "CREATE TABLE IF NOT EXISTS web_rows (batch INTEGER NOT NULL, row_no INTEGER NOT NULL,"
    " reference TEXT NOT NULL, detail BLOB NOT NULL, refusal TEXT NOT NULL,"
    " dropped INTEGER NOT NULL, PRIMARY KEY (batch, row_no))",
    "CREATE INDEX IF NOT EXISTS web_rows_reference ON web_rows (reference)",
)


class Row(NamedTuple):
    """One row of an upload as the page keeps it."""

    batch: int
    row_no: int
    reference: str
    detail: bytes
    refusal: str
    """Why the page refused it at once, or empty."""
    dropped: int

    @property
    def uploaded(self) -> Uploaded:
        return msgspec.json.decode(self.detail, type=Uploaded)


class WebBank:
    """The web page of one bank, for the demo group."""

    def __init__(self, network: Network, code: str, template: str) -> None:
        self.code = code
        self.network = network
        self.book = network.books[code]
        self._template = template
        for statement in _SCHEMA:
            self.book.write(statement)
        self.book.commit()

    @property
    def template(self) -> BankTemplate:
        """What the page takes today."""
        day = china_date(self.network.clock.now())
        for template in shipped():
            if template.name == self._template and template.good_on(day):
                return template
        raise Refused("sandbox.no_template", f"The page takes no {self._template} on {day}.")

    # -- uploading

    def upload(self, file_name: str, raw: bytes) -> dict[str, Any]:
        """Take a file and execute its rows. Raises BadMessage for what is no batch file."""
        rows = read_upload(self.template, raw)
        at = self.network.clock.now()
        done = self.book.write(
            "INSERT INTO web_batches (file_name, digest, uploaded_at) VALUES (?,?,?)",
            file_name[:200],
            hashlib.sha256(raw).hexdigest(),
            at.timestamp(),
        )
        batch = int(done.lastrowid or 0)
        refused = sum(bool(self._take(batch, row, at)) for row in rows)
        return {"bank": self.code, "batch": batch, "rows": len(rows), "refused": refused}

    def _take(self, batch: int, row: Uploaded, at: datetime) -> str:
        """Note a row and execute it, once; why the page refuses it, or empty."""
        lost = False
        refusal = self._refusal(row)
        if not refusal:
            lost = self._strike(FaultKind.LOST_ROW, row.reference)
        self.book.write(
            "INSERT INTO web_rows VALUES (?,?,?,?,?,?)",
            batch,
            row.row_no,
            row.reference,
            msgspec.json.encode(row),
            refusal,
            int(lost),
        )
        if not refusal and not lost:
            self._execute(row)
        return refusal

    def _refusal(self, row: Uploaded) -> str:
        if not row.reference:
            return UNNAMED
        known = self.book.read(
            "SELECT 1 FROM web_rows WHERE reference = ? AND refusal = '' LIMIT 1", row.reference
        )
        if known:
            return DUPLICATE
        payer = self.book.account(row.payer_account)
        if payer is None or payer.owner != "group":
            return "付款账号不存在或无权操作"
        return "" if row.amount_fen > 0 else "金额必须大于零"

    def _execute(self, row: Uploaded) -> None:
        payer = self.book.account(row.payer_account)
        assert payer is not None
        bank = row.payee_bank_code or self.code
        order = Instruction(
            originator=self.code,
            reference=row.reference,
            payer_account=row.payer_account,
            payer_name=payer.name,
            payee_account=row.payee_account,
            payee_name=row.payee_name,
            payee_bank=bank,
            amount_fen=row.amount_fen,
            purpose=clean(row.words, 120),
        )
        self.network.pay(order, self.code, channel=CHANNEL, inside=bank == self.code)

    # -- downloading

    def batches(self) -> list[dict[str, Any]]:
        """What was uploaded, oldest first."""
        rows = self.book.read(
            "SELECT b.number, b.file_name, b.digest, b.uploaded_at, count(r.row_no)"
            " FROM web_batches b LEFT JOIN web_rows r ON r.batch = b.number"
            " GROUP BY b.number ORDER BY b.number"
        )
        return [
            {
                "bank": self.code,
                "batch": number,
                "file_name": name,
                "digest": digest,
                "uploaded_at": datetime.fromtimestamp(at, UTC),
                "rows": count,
            }
            for number, name, digest, at, count in rows
        ]

    def result(self, batch: int) -> tuple[str, bytes]:
        """The result file of an upload, as the books stand now."""
        kept = self.book.read("SELECT * FROM web_rows WHERE batch = ? ORDER BY row_no", batch)
        rows = [Row(*row) for row in kept]
        if not rows:
            raise NotFound("sandbox.no_batch", f"There is no upload {batch}.")
        told = [
            self._told(row)
            for row in rows
            if not row.dropped and not self._strike(FaultKind.MISSING_ROW, row.reference)
        ]
        if self._strike(FaultKind.REORDERED, f"{self.code}/{batch}"):
            told.sort(key=lambda each: hashlib.sha256(each.row.reference.encode()).digest())
        template = self.template
        return f"回盘_{batch:06d}.{template.format}", write_result(template, told)

    def _told(self, row: Row) -> ToldRow:
        words = self.template.result
        if row.refusal:
            return ToldRow(row.uploaded, words.rejected[0], row.refusal)
        known = self.book.execution(self.code, row.reference)
        if known is None or known.status == PENDING:
            return ToldRow(row.uploaded, words.accepted[0])
        number = f"{known.seq:012d}"
        if self._strike(FaultKind.ODD_WORD, row.reference):
            return ToldRow(row.uploaded, ODD_WORDS[known.seq % len(ODD_WORDS)], "", number)
        if known.status in (EXECUTED, RETURNED):
            return ToldRow(row.uploaded, words.settled[0], "", number)
        why = known.words or words_of(known.code) or known.code
        return ToldRow(row.uploaded, words.rejected[0], clean(why, 80), number)

    def statement(self, account: str, first: date, last: date) -> tuple[str, bytes]:
        """The export of an account's lines on these days, both counted."""
        kept = self.book.account(account)
        if kept is None or kept.owner != "group":
            raise NotFound("sandbox.no_account", "There is no such account of the group here.")
        lines = self.book.lines_within(
            account, 0, first.isoformat(), last.isoformat(), _LINES_AT_ONCE
        )
        told = [
            ToldLine(
                line_id=f"{account[-4:]}{line.line_no:08d}",
                at=datetime.fromtimestamp(line.booked_at, UTC),
                amount_fen=line.amount_fen,
                balance_fen=line.balance_after_fen,
                counterparty_name=line.counter_name,
                counterparty_account=line.counter_account,
                reference=line.reference,
                words=line.words,
            )
            for line in lines
        ]
        template = self.template
        name = f"明细_{account[-4:]}_{first:%Y%m%d}_{last:%Y%m%d}.{template.format}"
        return name, write_statement(template, told)

    def _strike(self, kind: FaultKind, reference: str) -> bool:
        at = self.network.clock.now()
        rule = self.network.faults.strike(kind, reference, at, channel=CHANNEL, bank=self.code)
        return rule is not None


class WebAdmin:
    """The person's hand on the web pages, under ``/admin/web``."""

    def __init__(self, banks: Mapping[str, WebBank]) -> None:
        self._banks = banks
        self.routes: dict[tuple[str, str], Callable[[Mapping[str, str], bytes], Any]] = {
            ("POST", "/admin/web/upload"): self._upload,
            ("GET", "/admin/web/batches"): self._batches,
            ("GET", "/admin/web/result"): self._result,
            ("GET", "/admin/web/statement"): self._statement,
        }

    def _bank(self, query: Mapping[str, str]) -> WebBank:
        code = query.get("bank", "") or next(iter(self._banks), "")
        bank = self._banks.get(code)
        if bank is None:
            raise NotFound("sandbox.no_web_page", f"Bank {code[:12]!r} has no web page here.")
        return bank

    def _upload(self, query: Mapping[str, str], body: bytes) -> Any:
        return self._bank(query).upload(query.get("file_name", "upload"), body)

    def _batches(self, query: Mapping[str, str], body: bytes) -> Any:
        return {"batches": [each for bank in self._banks.values() for each in bank.batches()]}

    def _result(self, query: Mapping[str, str], body: bytes) -> Any:
        number = query.get("batch", "")
        if not number.isdigit():
            raise Refused("sandbox.batch", f"{number[:20]!r} is no number of an upload.")
        return _file(*self._bank(query).result(int(number)))

    def _statement(self, query: Mapping[str, str], body: bytes) -> Any:
        account = query.get("account", "")
        try:
            first = date.fromisoformat(query.get("first", "2000-01-01"))
            last = date.fromisoformat(query.get("last", "2099-12-31"))
        except ValueError:
            raise Refused("sandbox.day", "Days are written 2026-07-03.") from None
        for bank in self._banks.values():
            if bank.book.account(account) is not None:
                return _file(*bank.statement(account, first, last))
        raise NotFound("sandbox.no_account", "There is no such account at a bank with a web page.")


def _file(name: str, content: bytes) -> dict[str, str]:
    return {"file_name": name, "content": base64.b64encode(content).decode()}
