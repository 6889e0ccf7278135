"""The demo's month as a file, the way a finance department would send it: one row a transfer, dated
over the working days of a month, amounts log-normal, crowded at month end."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from caiwutong.kernel.business_days import default_calendar
from caiwutong.kernel.money import yuan
from caiwutong.sandbox.world import OwnAccount, Payee, World

MEDIAN_YUAN = 8_000
SIGMA = 1.9
"""Of the log of the amount; the median and this give about 1 % above a million yuan."""
CEILING_FEN = 990_000_00
"""Below what one IBPS payment may carry."""
ROOM = 0.8
"""Share of an account's opening balance the month may use."""
BAD_SHARE = 0.006
"""Share of transfers to payees whose data is wrong: they must be rejected, not lost."""

_PURPOSES = ("货款", "工程款", "服务费", "租金", "差旅报销", "运费", "材料款")
_HEADER = ("流水号", "付款账号", "收款账号", "收款户名", "收款行号", "金额", "用途", "执行日期")


@dataclass(frozen=True)
class Month:
    """What to write: how many transfers, from which day, drawn by which seed."""

    world: World
    first_day: date
    payments: int
    seed: int


def write_month(month: Month, path: Path) -> list[date]:
    """Write the CSV (UTF-8 with BOM, as spreadsheets save it); the working days it uses."""
    draw = random.Random(month.seed)
    days = _working_days(month.first_day)
    weights = [4.0 if day == days[-1] else 1.0 for day in days]
    room = {a.account: int(a.opening_fen * ROOM) for a in month.world.accounts}
    good = [p for p in month.world.payees if p.condition == "ok"]
    bad = [p for p in month.world.payees if p.condition != "ok"]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file)
        out.writerow(_HEADER)
        for number in range(month.payments):
            payer = _payer(draw, month.world.accounts, room)
            payee = draw.choice(bad) if bad and draw.random() < BAD_SHARE else draw.choice(good)
            fen = min(_amount(draw), room[payer.account])
            room[payer.account] -= fen
            out.writerow(_row(draw, number, payer, payee, fen, draw.choices(days, weights)[0]))
    return days


def _working_days(first: date) -> list[date]:
    calendar = default_calendar()
    last = (first + timedelta(days=32)).replace(day=1)
    every = [first + timedelta(days=n) for n in range((last - first).days)]
    return [day for day in every if calendar.is_working(day)]


def _payer(
    draw: random.Random, accounts: tuple[OwnAccount, ...], room: dict[str, int]
) -> OwnAccount:
    while True:
        account = draw.choice(accounts)
        if room[account.account] >= CEILING_FEN:
            return account


def _amount(draw: random.Random) -> int:
    fen = int(MEDIAN_YUAN * 100 * draw.lognormvariate(0, SIGMA))
    return max(1_00, min(fen, CEILING_FEN))


def _row(
    draw: random.Random, number: int, payer: OwnAccount, payee: Payee, fen: int, day: date
) -> tuple[str, ...]:
    return (
        f"M{number + 1:06d}",
        payer.account,
        payee.account,
        payee.name,
        payee.bank_code,
        yuan(fen, grouped=False),
        draw.choice(_PURPOSES),
        day.isoformat(),
    )
