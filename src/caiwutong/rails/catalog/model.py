"""The words of the catalog: dated facts about rails, and the answers that are read from them.

A *fact* says something about a rail (or, where ``bank`` is given, about one bank on it) from one
moment to another, with the source it comes from and when it was recorded. Facts are never edited:
a newer one stands before an older one, a ``Withdrawal`` takes one back. Every question has an
answer for every moment: what is not known is the value ``Unknown``, never a guess and never an
error. Read next: ``rules.py`` (the questions), ``facts.py`` (what is shipped).
"""

from __future__ import annotations

from datetime import date, datetime, time

import msgspec

COUNTER = "counter"
"""The channel name of an order handed in at the bank's counter (柜台), which only tariffs use."""


class FactBase(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="fact", forbid_unknown_fields=True
):
    """What every fact carries. Times are aware; ``valid_until`` is the first moment at which it no
    longer holds, None: until a newer fact stands before it."""

    rail: str
    """The rail (or tariff channel) it speaks of; empty for facts about the whole country."""
    valid_from: datetime
    valid_until: datetime | None = None
    source: str
    """The notice, message or person it comes from, and how sure that is."""
    bank: str = ""
    """The first digits of the 联行号 it speaks of (three for a whole bank); empty: every bank."""
    fact_id: str = ""
    """Given when it is recorded."""
    recorded_at: datetime | None = None
    """When it became known here; None: it came with the software."""


class Limit(FactBase, tag="limit", frozen=True, kw_only=True):
    """The most one payment may carry (单笔限额)."""

    per_payment_fen: int | None
    """None: no limit of its own."""
    inclusive: bool = True
    """Whether exactly the limit still passes: public texts are ambiguous, so it is a field."""


class Hours(FactBase, tag="hours", frozen=True, kw_only=True):
    """When a rail takes payments (运行时间), in the time of China. It holds for every system day
    whose midnight lies inside its validity."""

    around_the_clock: bool = False
    """7×24; the other fields are then not read."""
    opens: time = time(0)
    opens_days_before: int = 0
    """1: it opens on the evening of the natural day before (T-1)."""
    closes: time = time(0)
    clearing_until: time | None = None
    """End of the clearing window (清算窗口) after closing: funds for what is queued may still come,
    new payments may not."""
    working_days_only: bool = True
    """Legal working days, with the weekends worked in exchange (调休)."""


class NettingRounds(FactBase, tag="netting_rounds", frozen=True, kw_only=True):
    """When a netted rail nets what it holds (轧差场次): at these times of each day in China, or
    every so many minutes from midnight on."""

    times: tuple[time, ...] = ()
    every_minutes: int = 0


class Maintenance(FactBase, tag="maintenance", frozen=True, kw_only=True):
    """The rail, or one bank on it, stops from ``valid_from`` to ``valid_until`` (停运维护)."""

    words: str = ""
    """What the announcement says."""


class SystemDay(FactBase, tag="system_day", frozen=True, kw_only=True):
    """Whether the rail works on one day, as the network says (ccms.801): it stands before the
    calendar, for this rail only."""

    day: date
    working: bool


class Band(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to this amount, inclusive, a payment costs ``flat_fen`` plus a share of the amount."""

    up_to_fen: int | None = None
    """None: the last band, without end."""
    flat_fen: int = 0
    rate_ppm: int = 0
    """Millionths of the amount: 0.002 % is 20. Rounded half up to a whole fen."""
    cap_fen: int | None = None
    """The most that is taken."""


class Tariff(FactBase, tag="tariff", frozen=True, kw_only=True):
    """What a bank takes for one payment on a channel (收费标准); ``rail`` is the channel."""

    bands: tuple[Band, ...]
    """In rising order; the first that reaches the amount counts."""
    in_bank_free: bool = True
    """Whether a payment to the same bank costs nothing."""


class Discount(FactBase, tag="discount", frozen=True, kw_only=True):
    """Something off a tariff for a while (优惠)."""

    percent_off: int
    up_to_fen: int | None = None
    """For payments up to this amount, inclusive; None: for all."""


class Holidays(FactBase, tag="holidays", frozen=True, kw_only=True):
    """One year's working days as the State Council's notice says (国务院办公厅关于部分节假日安排
    的通知), or a change of it in mid-year."""

    year: int
    version: str
    """The notice's own number: 国办发明电〔2025〕7号."""
    free: dict[date, str]
    """Days off with the holiday's name, weekends inside a holiday included."""
    worked: tuple[date, ...] = ()
    """Weekend days worked in exchange (调休)."""
    amends: bool = False
    """True: only the days named change; the rest of the year stays as it was known."""


class Withdrawal(FactBase, tag="withdrawal", frozen=True, kw_only=True):
    """Another fact no longer counts: an outage called off, a mistake taken back."""

    withdraws: str
    """The ``fact_id``."""


Fact = (
    Limit
    | Hours
    | NettingRounds
    | Maintenance
    | SystemDay
    | Tariff
    | Discount
    | Holidays
    | Withdrawal
)


class Unknown(msgspec.Struct, frozen=True, tag_field="answer", tag="unknown"):
    """The catalog cannot say. Show it, and treat what follows from it as an assumption."""

    why: str


class Open(msgspec.Struct, frozen=True, tag_field="answer", tag="open"):
    """The rail takes payments now."""

    until: datetime | None
    """The first moment at which it no longer does; None: no end in sight."""
    system_day: date
    """The day the rail books a payment on: in the evening the next working day's."""
    note: str = ""
    """Why the answer is provisional: a year without a holiday notice. Empty: it is certain."""

    @property
    def provisional(self) -> bool:
        """Whether it rests on an assumption about a year without a notice."""
        return bool(self.note)


class Closed(msgspec.Struct, frozen=True, tag_field="answer", tag="closed"):
    """The rail takes no payments now."""

    until: datetime | None
    """When it opens again; None: no opening in sight."""
    why: str
    """``hours``, ``holiday``, ``clearing_window`` or ``maintenance``."""
    words: str = ""
    note: str = ""
    """Why the answer is provisional. Empty: it is certain."""

    @property
    def provisional(self) -> bool:
        """Whether it rests on an assumption about a year without a notice."""
        return bool(self.note)


class Fee(msgspec.Struct, frozen=True):
    """What a payment should cost."""

    fen: int
    list_fen: int
    """Before the discount."""
    tariff: str
    """The ``fact_id`` of the tariff."""
    discount: str = ""
    """The ``fact_id`` of the discount, where one applies."""
    source: str = ""
