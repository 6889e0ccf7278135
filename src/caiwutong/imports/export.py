"""What became of the rows, as a CSV that people open beside their own file.

A cell that begins like a formula is written behind an apostrophe: the words come from files of
others, and a spreadsheet must not run them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from caiwutong.imports.records import RowOutcome, Status
from caiwutong.sheets.writer import harmless

HEADER = ("行号", "结果", "流水号", "列", "原因", "处理办法", "代码", "付款编号")
WORDS = {
    Status.BAD: "有误,未付",
    Status.DUPLICATE: "疑似重复,未付",
    Status.REFUSED: "被拒绝,未付",
    Status.ALREADY: "以前已受理,未再付",
    Status.NOTED: "已受理,请核对",
    Status.LEFT_OUT: "非付款行",
}


def outcomes_csv(rows: Iterable[RowOutcome]) -> bytes:
    """One line for each problem of each row, UTF-8 with the mark Excel needs."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADER)
    for row in rows:
        payment = "" if row.payment_id is None else str(row.payment_id)
        for problem in row.problems:
            writer.writerow(
                harmless(cell)
                for cell in (
                    str(row.row_no),
                    WORDS[row.status],
                    row.key,
                    problem.field,
                    problem.detail,
                    problem.cure,
                    problem.code,
                    payment,
                )
            )
    return out.getvalue().encode("utf-8-sig")
