"""When a rail is open: sessions of system days, cut by maintenance, laid out day by day.

A *session* (系统工作日) belongs to the day the rail books on: HVPS opens for a working day on the
evening before it. Each day in China becomes a short list of pieces, worked out once and kept, so
that a question costs a look-up. Pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

import msgspec

from caiwutong.kernel.business_days import Day
from caiwutong.kernel.clock import CHINA, china_date, china_midnight
from caiwutong.rails.catalog.model import Closed, Hours, Maintenance, Open, Unknown

HORIZON_DAYS = 60
"""How far an opening or closing is looked for. No holiday lasts this long; an outage without an
end does."""

_ONE_DAY = timedelta(days=1)
_KEPT = 4096
Answer = Open | Closed | Unknown


class Facts(Protocol):
    """What the hours are worked out from."""

    def hours_on(self, rail: str, day: date, bank: str) -> Hours | None: ...
    def maintenance_between(
        self, rail: str, start: datetime, end: datetime, bank: str
    ) -> Sequence[Maintenance]: ...
    def look(self, rail: str, day: date) -> Day: ...


class _Piece(msgspec.Struct, frozen=True):
    """From ``start`` to the next piece, the rail is as ``state`` says, its end still open."""

    start: datetime
    state: Answer


class Timetable:
    """Open and closed, for any moment. Keeps what it worked out; the facts never change."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._pieces: dict[tuple[str, str, date], tuple[_Piece, ...]] = {}
        self._answers: dict[
            tuple[str, str, date], tuple[tuple[datetime, ...], tuple[Answer, ...]]
        ] = {}

    def at(self, rail: str, at: datetime, bank: str) -> Answer:
        """Whether the rail is open at this moment, and until when."""
        key = (rail, bank, china_date(at))
        known = self._answers.get(key)
        if known is None:
            known = self._answer_day(*key)
            if len(self._answers) >= _KEPT:
                self._answers.clear()
            self._answers[key] = known
        starts, answers = known
        return answers[bisect_right(starts, at) - 1]

    def last_moment(self, rail: str, day: date, bank: str) -> datetime | None:
        """The end of the last open piece that books on ``day``, or None when there is none."""
        ends: list[datetime] = []
        for each in (day - _ONE_DAY, day):
            pieces = self._day(rail, bank, each)
            following = [piece.start for piece in pieces[1:]] + [china_midnight(each + _ONE_DAY)]
            ends += [
                end
                for piece, end in zip(pieces, following, strict=True)
                if isinstance(piece.state, Open) and piece.state.system_day == day
            ]
        return max(ends, default=None)

    def _answer_day(
        self, rail: str, bank: str, day: date
    ) -> tuple[tuple[datetime, ...], tuple[Answer, ...]]:
        pieces = self._day(rail, bank, day)
        answers: list[Answer] = []
        for number, piece in enumerate(pieces):
            answers.append(self._with_end(piece.state, rail, bank, day, pieces[number + 1 :]))
        return tuple(piece.start for piece in pieces), tuple(answers)

    def _with_end(
        self, state: Answer, rail: str, bank: str, day: date, rest: Sequence[_Piece]
    ) -> Answer:
        if isinstance(state, Unknown):
            return state
        note = state.note
        for ahead in range(HORIZON_DAYS):
            for piece in rest:
                if isinstance(state, Open) and not isinstance(piece.state, Open):
                    return msgspec.structs.replace(state, until=piece.start)
                if isinstance(state, Closed):
                    if isinstance(piece.state, Open):
                        note = note or piece.state.note
                        return msgspec.structs.replace(state, until=piece.start, note=note)
                    if isinstance(piece.state, Unknown):
                        return state
                    note = note or piece.state.note
            rest = self._day(rail, bank, day + _ONE_DAY * (ahead + 1))
        return state

    def _day(self, rail: str, bank: str, day: date) -> tuple[_Piece, ...]:
        key = (rail, bank, day)
        known = self._pieces.get(key)
        if known is None:
            if len(self._pieces) >= _KEPT:
                self._pieces.clear()
            known = self._pieces[key] = self._lay_out(rail, bank, day)
        return known

    def _lay_out(self, rail: str, bank: str, day: date) -> tuple[_Piece, ...]:
        """The day from midnight to midnight, cut where anything changes."""
        start, end = china_midnight(day), china_midnight(day + _ONE_DAY)
        outages = self._facts.maintenance_between(rail, start, end, bank)
        sessions = [
            session
            for each in (day, day + _ONE_DAY)
            if (session := self._session(rail, bank, each)) is not None
        ]
        cuts = {start}
        for session in sessions:
            cuts |= {session.start, session.end, session.clearing_end}
        for outage in outages:
            cuts |= {outage.valid_from, outage.valid_until or end}
        pieces: list[_Piece] = []
        for cut in sorted(cut for cut in cuts if start <= cut < end):
            state = self._state(rail, bank, day, cut, sessions, outages)
            if not pieces or pieces[-1].state != state:
                pieces.append(_Piece(cut, state))
        return tuple(pieces)

    def _state(
        self,
        rail: str,
        bank: str,
        day: date,
        at: datetime,
        sessions: Sequence[_Session],
        outages: Sequence[Maintenance],
    ) -> Answer:
        for outage in outages:
            if outage.valid_from <= at and (outage.valid_until is None or at < outage.valid_until):
                return Closed(None, "maintenance", outage.words or outage.source)
        for session in sessions:
            if session.start <= at < session.end:
                return Open(None, session.day, session.note)
        hours = self._facts.hours_on(rail, day, bank)
        if hours is None:
            return Unknown(f"no hours of {rail} are recorded for {day}")
        if any(session.end <= at < session.clearing_end for session in sessions):
            return Closed(None, "clearing_window", "the clearing window: no new payments")
        looked = self._facts.look(rail, day)
        note = looked.year_unknown.detail if looked.year_unknown else ""
        if hours.working_days_only and not looked.working:
            return Closed(None, "holiday", looked.reason, note)
        return Closed(None, "hours", "outside its hours", note)

    def _session(self, rail: str, bank: str, day: date) -> _Session | None:
        """The session that books on ``day``; None when there is none, or nothing is known."""
        hours = self._facts.hours_on(rail, day, bank)
        if hours is None:
            return None
        if hours.around_the_clock:
            end = china_midnight(day + _ONE_DAY)
            return _Session(day, china_midnight(day), end, end, "")
        note = ""
        if hours.working_days_only:
            looked = self._facts.look(rail, day)
            if not looked.working:
                return None
            note = looked.year_unknown.detail if looked.year_unknown else ""
        closes = moment(day, hours.closes)
        return _Session(
            day=day,
            start=moment(day - timedelta(days=hours.opens_days_before), hours.opens),
            end=closes,
            clearing_end=moment(day, hours.clearing_until) if hours.clearing_until else closes,
            note=note,
        )


class _Session(msgspec.Struct, frozen=True):
    """The stretch of time in which payments book on ``day``."""

    day: date
    start: datetime
    end: datetime
    clearing_end: datetime
    note: str


def moment(day: date, at: time) -> datetime:
    """The instant of a wall-clock time in China, aware UTC."""
    return datetime.combine(day, at, CHINA).astimezone(UTC)
