"""Facts from a file: JSON as the API takes them, or CSV with one fact a row. Pure.

A file is read whole or not at all: every row that is not understood is named with its number, its
column and what is wrong. A time without an offset is China's, a day is its midnight there. CSV rows
of kind ``tariff`` that follow each other with the same rail, bank and days are the bands of one
tariff. Docs: docs/catalog.md lists the columns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time
from typing import Any, cast

import msgspec

from caiwutong.kernel.clock import CHINA
from caiwutong.kernel.errors import CaiwutongError, Refused
from caiwutong.kernel.money import parse_fen
from caiwutong.rails.catalog.changes import checked
from caiwutong.rails.catalog.model import (
    Band,
    Discount,
    Fact,
    Hours,
    Limit,
    Maintenance,
    NettingRounds,
    SystemDay,
    Tariff,
    Withdrawal,
)

MOST_BYTES = 4_000_000
_SHOWN = 50
_DAY_ONLY = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIMES = ("valid_from", "valid_until")
_COMMON = ("fact", "rail", "bank", "valid_from", "valid_until", "source")
_OWN = {
    "limit": ("amount", "inclusive"),
    "hours": (
        "around_the_clock", "opens", "opens_days_before", "closes", "clearing_until",
        "working_days_only",
    ),
    "netting_rounds": ("times", "every_minutes"),
    "maintenance": ("words",),
    "system_day": ("day", "working"),
    "tariff": ("up_to", "flat", "rate_percent", "cap", "in_bank_free"),
    "discount": ("percent_off", "up_to"),
    "withdrawal": ("withdraws",),
}  # fmt: skip
COLUMNS = (*_COMMON, *dict.fromkeys(name for names in _OWN.values() for name in names))
"""Every column a CSV file may have, in any order; only those of its kind count for a row."""

_convert = msgspec.json.Decoder(Fact)


class RowError(msgspec.Struct, frozen=True):
    """A row (or JSON item, from 1) that was not understood."""

    row: int
    field: str
    words: str


def read_file(name: str, raw: bytes) -> list[Fact]:
    """The facts of a file named ``*.json`` or ``*.csv``. Raises Refused ``catalog.bad_file`` with
    every row that was not understood (``facts["rows"]``)."""
    if len(raw) > MOST_BYTES:
        raise _refused([RowError(0, "", f"the file has more than {MOST_BYTES} bytes")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = raw.decode("gb18030")
        except UnicodeDecodeError:
            raise _refused([RowError(0, "", "it is neither UTF-8 nor GB18030 text")]) from None
    return _read_json(text) if name.lower().endswith(".json") else _read_csv(text)


def _read_json(text: str) -> list[Fact]:
    try:
        data: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _refused([RowError(0, "", f"it is not JSON: {error}")]) from None
    if isinstance(data, dict):
        data = cast(dict[str, Any], data).get("facts")
    if not isinstance(data, list) or not data:
        raise _refused([RowError(0, "facts", "there is no list of facts")])
    facts: list[Fact] = []
    errors: list[RowError] = []
    for number, item in enumerate(cast(list[Any], data), 1):
        _take(number, lambda item=item: _fact_of(item), facts, errors)
    return _whole(facts, errors)


def _fact_of(item: Any) -> Fact:
    if isinstance(item, dict):
        item = {
            name: _instant(value) if name in _TIMES and isinstance(value, str) else value
            for name, value in cast(dict[str, Any], item).items()
        }
    return checked(_convert.decode(msgspec.json.encode(item)))


def _read_csv(text: str) -> list[Fact]:
    rows = list(csv.reader(text.splitlines()))
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    unknown = [name for name in header if name and name not in COLUMNS]
    if "fact" not in header or unknown:
        said = f"unknown columns {', '.join(unknown)[:100]}" if unknown else "no column fact"
        raise _refused([RowError(1, "", f"{said}; the columns are {', '.join(COLUMNS)}")])
    facts: list[Fact] = []
    errors: list[RowError] = []
    for number, cells in _tariffs_together(header, rows[1:]):
        _take(number, lambda cells=cells: checked(_row(cells)), facts, errors)
    return _whole(facts, errors)


def _tariffs_together(
    header: Sequence[str], rows: Iterable[Sequence[str]]
) -> list[tuple[int, list[dict[str, str]]]]:
    """Rows as groups: bands of one tariff together, every other row alone, with its number."""
    groups: list[tuple[int, list[dict[str, str]]]] = []
    for number, row in enumerate(rows, 2):
        cells = {n: v.strip() for n, v in zip(header, row, strict=False) if n and v.strip()}
        if not cells:
            continue
        before = groups[-1][1][0] if groups else {}
        same = all(before.get(name) == cells.get(name) for name in _COMMON)
        if cells.get("fact") == "tariff" and same:
            groups[-1][1].append(cells)
        else:
            groups.append((number, [cells]))
    return groups


def _row(group: Sequence[dict[str, str]]) -> Fact:
    cells = group[0]
    kind = cells.get("fact", "")
    if kind not in _OWN:
        raise _Wrong("fact", f"{kind[:30]!r} is none of {', '.join(_OWN)}")
    for each in group:
        foreign = [n for n in each if n not in _COMMON and n not in _OWN[kind]]
        if foreign:
            raise _Wrong(foreign[0], f"does not belong to a {kind}")
    if "valid_from" not in cells:
        raise _Wrong("valid_from", "is missing")
    head: dict[str, Any] = {
        "rail": cells.get("rail", ""),
        "bank": cells.get("bank", ""),
        "source": cells.get("source", ""),
        "valid_from": _aware(cells, "valid_from"),
        "valid_until": _aware(cells, "valid_until") if "valid_until" in cells else None,
    }
    return _KINDS[kind](head, group)


class _Wrong(Exception):
    """A cell that was not understood."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.field = field


def _limit(head: dict[str, Any], group: Sequence[dict[str, str]]) -> Fact:
    cells = group[0]
    if "amount" not in cells:
        raise _Wrong("amount", "is missing; write yuan, or none for no limit")
    fen = None if cells["amount"].lower() in ("none", "无") else _fen(cells, "amount")
    return Limit(**head, per_payment_fen=fen, inclusive=_yes(cells, "inclusive", True))


def _hours(head: dict[str, Any], group: Sequence[dict[str, str]]) -> Fact:
    cells = group[0]
    if _yes(cells, "around_the_clock", False):
        return Hours(**head, around_the_clock=True)
    return Hours(
        **head,
        opens=_time(cells, "opens"),
        opens_days_before=_whole_number(cells, "opens_days_before", 0),
        closes=_time(cells, "closes"),
        clearing_until=_time(cells, "clearing_until") if "clearing_until" in cells else None,
        working_days_only=_yes(cells, "working_days_only", True),
    )


def _netting(head: dict[str, Any], group: Sequence[dict[str, str]]) -> Fact:
    cells = group[0]
    times = tuple(_time({"times": each}, "times") for each in cells.get("times", "").split())
    every = _whole_number(cells, "every_minutes", 0)
    return NettingRounds(**head, times=times, every_minutes=every)


def _maintenance(head: dict[str, Any], group: Sequence[dict[str, str]]) -> Fact:
    return Maintenance(**head, words=group[0].get("words", ""))


def _system_day(head: dict[str, Any], group: Sequence[dict[str, str]]) -> Fact:
    try:
        day = date.fromisoformat(group[0].get("day", ""))
    except ValueError:
        raise _Wrong("day", "is no day like 2026-12-05") from None
    return SystemDay(**head, day=day, working=_yes(group[0], "working", None))


def _tariff(head: dict[str, Any], group: Sequence[dict[str, str]]) -> Fact:
    bands = tuple(
        Band(
            up_to_fen=_fen(cells, "up_to") if "up_to" in cells else None,
            flat_fen=_fen(cells, "flat") if "flat" in cells else 0,
            rate_ppm=_ppm(cells) if "rate_percent" in cells else 0,
            cap_fen=_fen(cells, "cap") if "cap" in cells else None,
        )
        for cells in group
    )
    return Tariff(**head, bands=bands, in_bank_free=_yes(group[0], "in_bank_free", True))


def _discount(head: dict[str, Any], group: Sequence[dict[str, str]]) -> Fact:
    cells = group[0]
    up_to = _fen(cells, "up_to") if "up_to" in cells else None
    return Discount(**head, percent_off=_whole_number(cells, "percent_off", 0), up_to_fen=up_to)


def _withdrawal(head: dict[str, Any], group: Sequence[dict[str, str]]) -> Fact:
    return Withdrawal(**head, withdraws=group[0].get("withdraws", ""))


_KINDS: dict[str, Callable[[dict[str, Any], Sequence[dict[str, str]]], Fact]] = {
    "limit": _limit,
    "hours": _hours,
    "netting_rounds": _netting,
    "maintenance": _maintenance,
    "system_day": _system_day,
    "tariff": _tariff,
    "discount": _discount,
    "withdrawal": _withdrawal,
}


def _fen(cells: dict[str, str], name: str) -> int:
    try:
        return parse_fen(cells[name])
    except Refused as refused:
        raise _Wrong(name, refused.detail) from None


def _ppm(cells: dict[str, str]) -> int:
    match = re.fullmatch(r"(\d{1,3})(?:\.(\d{1,4}))?%?", cells["rate_percent"])
    if match is None:
        raise _Wrong("rate_percent", "is no percentage with at most four decimals, like 0.002")
    return int(match[1]) * 10_000 + int((match[2] or "").ljust(4, "0"))


def _time(cells: dict[str, str], name: str) -> time:
    try:
        return time.fromisoformat(cells.get(name, ""))
    except ValueError:
        raise _Wrong(name, "is no time of day like 17:15") from None


def _whole_number(cells: dict[str, str], name: str, default: int) -> int:
    text = cells.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", text):
        raise _Wrong(name, f"{text[:20]!r} is no whole number")
    return int(text)


def _yes(cells: dict[str, str], name: str, default: bool | None) -> bool:
    text = cells.get(name, "").lower()
    if text in ("yes", "true", "1", "是"):
        return True
    if text in ("no", "false", "0", "否"):
        return False
    if text or default is None:
        raise _Wrong(name, "is yes or no")
    return default


def _aware(cells: dict[str, str], name: str) -> datetime:
    text = _instant(cells[name])
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise _Wrong(name, f"{cells[name][:40]!r} is no day or time") from None


def _instant(text: str) -> str:
    """A day as its midnight in China; a time without an offset as China's; else as it is."""
    if _DAY_ONLY.fullmatch(text):
        return f"{text}T00:00:00+08:00"
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (at if at.tzinfo else at.replace(tzinfo=CHINA)).isoformat()


def _take(number: int, read: Callable[[], Fact], facts: list[Fact], errors: list[RowError]) -> None:
    try:
        facts.append(read())
    except _Wrong as wrong:
        errors.append(RowError(number, wrong.field, str(wrong)))
    except CaiwutongError as error:
        errors.append(RowError(number, str(error.facts.get("field", "")), error.detail))
    except (msgspec.ValidationError, msgspec.DecodeError, OverflowError) as error:
        errors.append(RowError(number, "", str(error)[:200]))


def _whole(facts: list[Fact], errors: list[RowError]) -> list[Fact]:
    if errors:
        raise _refused(errors)
    if not facts:
        raise _refused([RowError(0, "", "there is no fact in it")])
    return facts


def _refused(errors: list[RowError]) -> Refused:
    first = errors[0]
    more = f" And {len(errors) - 1} more." if len(errors) > 1 else ""
    where = f"Row {first.row}" if first.row else "The file"
    return Refused(
        "catalog.bad_file",
        f"{where}{', ' + first.field if first.field else ''}: {first.words}.{more}",
        "Correct the rows named and import the file again; nothing of it was recorded.",
        rows=[msgspec.to_builtins(error) for error in errors[:_SHOWN]],
    )
