"""Reads the State Council's yearly notice of days off, as it is published, or a simple CSV.

国务院办公厅关于部分节假日安排的通知 comes as prose: numbered items, each with a span off, a count
and the weekend days worked in exchange. The reader understands the forms used since 2008 and checks
the notice against itself: weekdays in brackets, the counted days, weekends worked. A line about
days that it does not understand is an error with its number; a notice is read whole or not at all.
A notice that changes a year already published (2019 劳动节, 2020 春节) is read as an amendment.
Pure.
"""

from __future__ import annotations

import csv
import re
from datetime import date, datetime, timedelta

import msgspec

from caiwutong.kernel.business_days import Calendar
from caiwutong.kernel.errors import Refused
from caiwutong.rails.catalog.model import Holidays

_ITEM = re.compile(
    r"^[（(]?[一二三四五六七八九十]+[、)）]\s*(?:(?P<name>[^：:，。\d]{1,12})[：:])?"
)
_TITLE = re.compile(r"(\d{4})年(?:部分)?节假日(?:安排|的)|(?:调整|延长)(\d{4})年")
_AMENDS = re.compile(r"(?:调整|延长)(\d{4})年")
_NUMBER = re.compile(r"国办发明电〔\d{4}〕\d+号|国办发明电\[\d{4}\]\d+号")
_DAY = (
    r"(?:(?P<{p}y>\d{{4}})年)?(?:(?P<{p}m>\d{{1,2}})月)?(?P<{p}d>\d{{1,2}})日"
    r"(?:（(?P<{p}n>[^）]*)）)?"
)
_SPAN = re.compile(
    _DAY.format(p="a") + r"(?:至" + _DAY.format(p="b") + r")?"
    r"(?P<act>放假调休|放假公休|放假|补休|调休)(?:(?P<alone>\d+)天)?"
)
_ONE = re.compile(_DAY.format(p="w"))
_COUNT = re.compile(r"共(\d+)天")
_LONGER = re.compile(r"延长\d{4}年(?P<name>[^假]{1,6})假期至" + _DAY.format(p="e"))
_WEEKDAY = re.compile(r"(?:周|星期)([一二三四五六日天])")
_WEEKDAYS = "一二三四五六日"
_SAYS_DAYS = re.compile(r"\d{1,2}日")
_ABOUT = re.compile(r"放假|上班|调休|补休|公休|延长")
_SHOWN = 20


class LineError(msgspec.Struct, frozen=True):
    """A line that was not understood, and why."""

    line: int
    text: str
    words: str


class _NotUnderstood(Exception):
    """Why a sentence makes no sense."""


class _Reading:
    """What was read so far."""

    def __init__(self, year: int, calendar: Calendar) -> None:
        self.year = year
        self.calendar = calendar
        self.free: dict[date, str] = {}
        self.worked: list[date] = []
        self.name = ""

    def sentence(self, text: str) -> None:
        """Take one sentence in; raises _NotUnderstood."""
        longer = _LONGER.search(text)
        if longer is not None:
            self._lengthen(longer)
        elif "上班" in text and _SPAN.search(text) is None:
            self._work(text)
        else:
            self._rest(text)

    def _rest(self, text: str) -> None:
        spans = list(_SPAN.finditer(text))
        if not spans:
            raise _NotUnderstood("no days off or worked were recognised")
        days: list[date] = []
        for span in spans:
            first = self._date(span, "a", None)
            last = self._date(span, "b", first) if span["bd"] else first
            if not 0 <= (last - first).days < 30:
                raise _NotUnderstood(f"{first} to {last} is no holiday")
            days += [first + timedelta(days=n) for n in range((last - first).days + 1)]
        count = _COUNT.search(text) or re.search(r"放假(\d+)天", text)
        if count is not None and int(count[1]) != len(days):
            raise _NotUnderstood(f"it counts {count[1]} days, and names {len(days)}")
        if not self.name:
            raise _NotUnderstood("the holiday has no name before the colon")
        self.free |= dict.fromkeys(days, self.name)

    def _work(self, text: str) -> None:
        before: date | None = None
        for match in _ONE.finditer(text.partition("上班")[0]):
            before = self._date(match, "w", before)
            if before.weekday() < 5:
                raise _NotUnderstood(f"{before} is no weekend day that could be worked")
            self.worked.append(before)
        if before is None:
            raise _NotUnderstood("no day is named that is worked")

    def _lengthen(self, match: re.Match[str]) -> None:
        """延长…假期至: off from the holiday's known end to this day."""
        last = self._date(match, "e", None)
        name = match["name"]
        known = [d for d, n in self.calendar.holidays.items() if n == name and d.year == last.year]
        start = max((d for d in known if d < last), default=None)
        if start is None or (last - start).days > 30:
            raise _NotUnderstood(f"no {name} of {last.year} is known that could be longer")
        for n in range((last - start).days):
            self.free[start + timedelta(days=n + 1)] = name

    def _date(self, match: re.Match[str], part: str, before: date | None) -> date:
        month = match[f"{part}m"] or (before.month if before else None)
        if month is None:
            raise _NotUnderstood("a day is named without its month")
        year = int(match[f"{part}y"] or (before.year if before else self.year))
        try:
            found = date(year, int(month), int(match[f"{part}d"]))
        except ValueError as error:
            raise _NotUnderstood(f"{month}月{match[f'{part}d']}日 is no date") from error
        if before is not None and found < before and not match[f"{part}y"]:
            raise _NotUnderstood(f"{found} comes after {before} in the text")
        said = _WEEKDAY.search(match[f"{part}n"] or "")
        if said is not None:
            meant = _WEEKDAYS.index("日" if said[1] == "天" else said[1])
            if found.weekday() != meant:
                is_a = _WEEKDAYS[found.weekday()]
                raise _NotUnderstood(f"{found} is a 星期{is_a}, and the notice says 星期{said[1]}")
        return found


def read_notice(text: str, calendar: Calendar, published: datetime) -> Holidays:
    """The notice as a fact, valid from ``published``. ``calendar``: what was known before, which
    an amendment changes. Raises Refused ``catalog.notice_not_understood`` with every line that was
    not understood (``facts["lines"]``)."""
    plain = _plain(text)
    title = _TITLE.search(plain)
    if title is None:
        raise _refused([LineError(1, plain[:60], "no line says which year the notice is for")])
    year = int(title[1] or title[2])
    reading, errors = _Reading(year, calendar), list[LineError]()
    for number, line in enumerate(plain.splitlines(), 1):
        item = _ITEM.match(line)
        if item is not None:
            reading.name = (item["name"] or "").strip()
            line = line[item.end() :]
        elif reading.name == "" and "放假" not in line:
            continue
        for sentence in line.split("。"):
            if not (_SAYS_DAYS.search(sentence) and _ABOUT.search(sentence)):
                continue
            try:
                reading.sentence(sentence)
            except _NotUnderstood as why:
                errors.append(LineError(number, sentence.strip()[:120], str(why)))
    amends = _AMENDS.search(plain) is not None
    if not errors and not reading.free and not reading.worked:
        errors.append(LineError(1, plain[:60], "no day off was found"))
    if errors:
        raise _refused(errors)
    number_of = _NUMBER.search(plain)
    version = number_of[0] if number_of else f"国务院办公厅 {year}"
    return Holidays(
        rail="",
        valid_from=published,
        source=f"国务院办公厅关于{year}年节假日的通知 {version}",
        year=year,
        version=version,
        free=dict(sorted(reading.free.items())),
        worked=tuple(sorted(set(reading.worked))),
        amends=amends,
    )


def read_csv(text: str, source: str, published: datetime) -> Holidays:
    """Days as rows ``date,kind,name``: kind is ``off`` or ``worked``; all of one year, which is the
    year of most rows. Raises as ``read_notice``."""
    free: dict[date, str] = {}
    worked: list[date] = []
    errors: list[LineError] = []
    rows = csv.reader(text.lstrip("\ufeff").splitlines())
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells[0].lower() in ("date", "日期")):
            continue
        try:
            day, kind = date.fromisoformat(cells[0]), cells[1].lower() if len(cells) > 1 else ""
        except ValueError:
            errors.append(LineError(number, ",".join(row)[:120], "the date is not 2026-01-31"))
            continue
        if kind in ("off", "休", "放假"):
            free[day] = cells[2] if len(cells) > 2 and cells[2] else "节假日"
        elif kind in ("worked", "班", "上班"):
            worked.append(day)
            if day.weekday() < 5:
                errors.append(LineError(number, ",".join(row)[:120], "it is no weekend day"))
        else:
            errors.append(LineError(number, ",".join(row)[:120], "the kind is off or worked"))
    if not free and not worked and not errors:
        errors.append(LineError(1, text[:60], "no day is named"))
    if errors:
        raise _refused(errors)
    years = [day.year for day in (*free, *worked)]
    year = max(sorted(set(years)), key=years.count)
    return Holidays(
        rail="", valid_from=published, source=source, year=year, version=source[:60],
        free=dict(sorted(free.items())), worked=tuple(sorted(set(worked))),
    )  # fmt: skip


def _plain(text: str) -> str:
    """Digits and brackets in one form; no spaces inside lines."""
    table = str.maketrans("０１２３４５６７８９()　：", "0123456789（） ：")
    return "\n".join(
        re.sub(r"[ \t\u00a0]+", "", line) for line in text.translate(table).split("\n")
    )


def _refused(errors: list[LineError]) -> Refused:
    first = errors[0]
    more = f" And {len(errors) - 1} more." if len(errors) > 1 else ""
    return Refused(
        "catalog.notice_not_understood",
        f"Line {first.line} ({first.text}): {first.words}.{more}",
        "Correct the line so that it reads as published, or import the days as CSV "
        "(date,off or worked,name).",
        lines=[msgspec.to_builtins(error) for error in errors[:_SHOWN]],
    )
